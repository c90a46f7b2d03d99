"""The files of one run of Ansible: who is reached how, what is applied, and which phase a task is in."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from dcp.drivers.initialisers.ansible.playbook import (
    LIMITS_S,
    OWN_PHASE,
    ROLES,
    AnsibleChoice,
    environment,
    inventory,
    phase_of,
    playbook,
    variables,
)
from dcp.hosts.model import Host, HostType, Resources, SourceKind
from dcp.hosts.states import HostState

BARE = HostType("c1", Resources(1000, 1 << 30), labels=(("site", "a"),), initialise=True)
HOST = Host("h1", "spare", SourceKind.PRIVATE, BARE, HostState.INITIALISING, 0.0, address="10.0.0.1")


def reach(host: Host, choice: AnsibleChoice) -> dict[str, object]:
    return inventory((host,), choice)["all"]["hosts"]["h1"]


def test_a_host_is_reached_as_its_engine_over_ssh_says_else_as_configured():
    choice = AnsibleChoice(user="admin", port=2200, key="/keys/one")
    found = reach(HOST, choice)
    assert (found["ansible_host"], found["ansible_user"], found["ansible_port"]) == ("10.0.0.1", "admin", 2200)
    assert found["ansible_ssh_private_key_file"] == "/keys/one" and found["dcp_site"] == "a"
    told = reach(replace(HOST, engine="ssh://root@10.0.0.1:2222"), choice)
    assert (told["ansible_user"], told["ansible_port"]) == ("root", 2222)
    assert "ansible_ssh_private_key_file" not in reach(HOST, AnsibleChoice())


def test_own_roles_come_after_ours_and_are_bounded():
    ours, own, done = playbook(AnsibleChoice(roles=("base",), limits_s={OWN_PHASE: 7}))[0]["tasks"]
    assert ours["import_role"] == {"name": "dcp_host"} and own["timeout"] == 7
    facts, *roles = own["block"]
    assert facts["setup"] == {"gather_subset": ["!all"]}, "only they need to know of the machine"
    assert [task["import_role"]["name"] for task in roles] == ["base"]
    assert done["name"] == "done | ready"
    assert len(playbook(AnsibleChoice())[0]["tasks"]) == 2


def test_a_limit_of_one_phase_leaves_the_others_and_variables_cannot_undo_it():
    told = variables(AnsibleChoice(limits_s={"engine": 5}, vars={"dcp_limits": {}, "mine": 1}))
    assert told["dcp_limits"] == {**{name: int(limit) for name, limit in LIMITS_S.items()}, "engine": 5}
    assert told["mine"] == 1


def test_known_hosts_are_the_users_own_only_where_new_ones_are_refused():
    def arguments(choice: AnsibleChoice) -> str:
        return environment(Path("/run/one"), Path("/run/known"), choice)["ANSIBLE_SSH_ARGS"]

    assert "StrictHostKeyChecking=accept-new -o UserKnownHostsFile=/run/known" in arguments(AnsibleChoice())
    assert "UserKnownHostsFile" not in arguments(AnsibleChoice(host_keys="known"))
    assert "StrictHostKeyChecking=yes" in arguments(AnsibleChoice(host_keys="known"))


@pytest.mark.parametrize("file", sorted((ROLES / "dcp_host/tasks").glob("*.yml")), ids=lambda file: file.name)
def test_every_task_of_the_role_names_its_phase_and_every_phase_is_bounded(file: Path):
    if file.name == "main.yml":
        return
    (block,) = yaml.safe_load(file.read_text())
    phase = file.stem
    assert phase in LIMITS_S and block["timeout"] == f"{{{{ dcp_limits.{phase} | int }}}}"
    assert {phase_of("dcp_host", task["name"]) for task in block["block"]} == {phase}


def test_tasks_of_other_roles_are_one_phase():
    assert phase_of("base", "engine | fake") == OWN_PHASE
