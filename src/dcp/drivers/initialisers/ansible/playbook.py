"""The files of one run: inventory, playbook, variables and environment. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dcp.drivers.ssh.access import SshAccess, key_of
from dcp.hosts.adding.model import Reach
from dcp.hosts.model import Host, SourceKind

OWN_PHASE = "own-roles"
DONE_TASK = "done | ready"
KEPT = "dcp: kept "
"""What the role says before the version of an engine that is left as it is."""
TLS_TAG = "engine_tls"
"""Tasks that only engines with certificates need; what is skipped costs nearly as much as what is done."""
LIMITS_S = {"connect": 120.0, "packages": 600.0, "system": 120.0, "engine": 600.0, "exporter": 300.0, OWN_PHASE: 900.0}
"""How long a host may be in each phase."""
POLL_S = 0.02
"""Ansible's own 1 ms keeps a processor busy with waiting: it looks at every host of the run each time."""
ROLES = Path(__file__).parent / "roles"


@dataclass(frozen=True, slots=True)
class AnsibleChoice:
    """How hosts are reached and what is applied."""

    user: str = "root"
    port: int = 22
    key: str = ""
    """File of the private key; empty: what SSH finds by itself."""
    keys: Mapping[str, str] = field(default_factory=dict)
    """Files of private keys by name, for machines that name one."""
    host_keys: str = "accept-new"
    """`accept-new` remembers the key of a host that is seen for the first time; `known` refuses it."""
    roles_path: str = ""
    roles: tuple[str, ...] = ()
    vars: Mapping[str, Any] = field(default_factory=dict)
    limits_s: Mapping[str, float] = field(default_factory=lambda: dict(LIMITS_S))


def inventory(
    batch: tuple[Host, ...], choice: AnsibleChoice, reaches: Mapping[str, Reach] | None = None
) -> dict[str, Any]:
    """Return the hosts and how each is reached: as its machine was added (`reaches`, by address), else as an `ssh://`
    engine says, else as configured."""
    known = reaches or {}
    return {"all": {"hosts": {host.id: _variables(host, choice, known.get(host.address)) for host in batch}}}


def playbook(choice: AnsibleChoice) -> list[dict[str, Any]]:
    """Return the one play: every host goes at its own pace."""
    own = [{"name": f"own | {role}", "import_role": {"name": role}} for role in choice.roles]
    tasks: list[dict[str, Any]] = [{"name": "dcp", "import_role": {"name": "dcp_host"}}]
    if own:
        own.insert(0, {"name": "own | facts", "setup": {"gather_subset": ["!all"]}})
        tasks.append(
            {"name": "own roles", "timeout": int(choice.limits_s.get(OWN_PHASE, LIMITS_S[OWN_PHASE])), "block": own}
        )
    tasks.append({"name": DONE_TASK, "debug": {"msg": "ready"}})
    return [{"name": "dcp", "hosts": "all", "gather_facts": False, "strategy": "free", "tasks": tasks}]


def variables(choice: AnsibleChoice) -> dict[str, Any]:
    """Return what roles are told."""
    limits = {name: max(1, int(seconds)) for name, seconds in {**LIMITS_S, **choice.limits_s}.items()}
    return {**choice.vars, "dcp_limits": limits}


def skipped_tags(choice: AnsibleChoice) -> tuple[str, ...]:
    """Return the tags of tasks that nobody needs."""
    return () if choice.vars.get("dcp_engine_tls") else (TLS_TAG,)


def configuration() -> str:
    """Return Ansible's configuration: what cannot be said by the environment."""
    return f"[defaults]\ninternal_poll_interval = {POLL_S}\n"


def environment(folder: Path, known_hosts: Path, choice: AnsibleChoice) -> dict[str, str]:
    """Return the environment of the run: nothing of the user's own Ansible configuration applies."""
    strict = "accept-new" if choice.host_keys == "accept-new" else "yes"
    known = [f"-o UserKnownHostsFile={known_hosts}"] if choice.host_keys == "accept-new" else []
    arguments = [f"-o StrictHostKeyChecking={strict}", *known, "-o BatchMode=yes", "-o ConnectTimeout=10"]
    arguments += [
        "-o ServerAliveInterval=5",
        "-o ServerAliveCountMax=3",
        "-o HashKnownHosts=no",
        "-o LogLevel=ERROR",
        "-o ControlMaster=auto",
        "-o ControlPersist=30s",
    ]
    return {
        "ANSIBLE_CONFIG": str(folder / "ansible.cfg"),
        "ANSIBLE_HOME": str(folder / "home"),
        "ANSIBLE_ROLES_PATH": ":".join([str(ROLES), *([choice.roles_path] if choice.roles_path else [])]),
        "ANSIBLE_SSH_ARGS": " ".join(arguments),
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(folder / "c"),
        "ANSIBLE_PIPELINING": "True",
        "ANSIBLE_SSH_USETTY": "False",
        "ANSIBLE_SSH_RETRIES": "3",
        "ANSIBLE_RETRY_FILES_ENABLED": "False",
        "ANSIBLE_HOST_KEY_CHECKING": "True",
        "ANSIBLE_DEPRECATION_WARNINGS": "False",
        "ANSIBLE_NOCOLOR": "1",
    }


def phase_of(role: str, task: str) -> str:
    """Return the phase of a task by its role and name."""
    if task == DONE_TASK:
        return "done"
    return task.partition(" | ")[0] if role == "dcp_host" else OWN_PHASE


def _variables(host: Host, choice: AnsibleChoice, added: Reach | None) -> dict[str, Any]:
    reach = added or _reach(host, choice)
    key = SshAccess(choice.keys).key_file(reach.key) or choice.key
    found: dict[str, Any] = {
        "ansible_host": host.address,
        "ansible_user": reach.user,
        "ansible_port": reach.port,
        "ansible_become": reach.user != "root",
        "ansible_python_interpreter": "/usr/bin/python3",
        "dcp_host_id": host.id,
        "dcp_site": host.site,
    }
    if host.kind is SourceKind.PRIVATE:  # a cloud's image is ours to set up; a machine that was there may serve others
        found["dcp_existing_engine"] = "keep"
    return found | ({"ansible_ssh_private_key_file": key} if key else {})


def _reach(host: Host, choice: AnsibleChoice) -> Reach:
    url = urlsplit(host.engine)
    if url.scheme != "ssh":
        return Reach(host.address, choice.user, choice.port)
    return Reach(host.address, url.username or choice.user, url.port or choice.port, key_of(url))
