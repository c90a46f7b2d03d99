"""Bare Debian machines become ready hosts, through the real engine: `dcp serve`, Ansible, SSH, Docker Engine.

Two machines. One is added by a person and made ready while the controller is killed in the middle; the other stands in
`dcp.yaml` and never can be, as its packages cannot be installed: it is tried again, given up with its log, set aside,
and replaced by the first. That one is given back, and added again with an engine of its own, which is kept.
"""

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml
from served import Serve, free_ports, until

from dcp.drivers.initialisers.ansible import AnsibleChoice, AnsibleInitialiser
from dcp.drivers.ssh import SshAccess, SshLooker
from dcp.hosts.adding.model import MachineLook, Reach
from dcp.hosts.model import Host, HostType, Resources, SourceKind
from dcp.hosts.ports import InitNews
from dcp.hosts.states import HostState
from dcp.kernel.clock import SystemClock
from dcp.store import hosts, initialisations
from dcp.store.database import open_database
from debian_machines import Machine, Machines, make_tree

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.xdist_group("docker")]
BARE = HostType("c1", Resources(1000, 1 << 30), initialise=True)
PORT = 2375
VARS = {
    "dcp_sysctl_apply": False,
    "dcp_engine_listen": ["unix:///run/docker.sock", f"tcp://0.0.0.0:{PORT}"],
    "dcp_daemon": {"tls": False},
}
COMPOSE = """
name: shop
services:
  web:
    image: lab/nothing:1
    command: ["serve"]
    deploy: {replicas: 1, resources: {limits: {cpus: "0.1", memory: 32M}}}
"""


def missing() -> str:
    if os.geteuid() != 0:
        return "needs root: machines in namespaces"
    programs = ("debootstrap", "unshare", "setpriv", "nsenter", "ip", "ssh", "ssh-keygen")
    absent = [one for one in programs if shutil.which(one) is None]
    return f"not installed: {', '.join(absent)}" if absent else ""


@pytest.fixture(scope="module")
def tree() -> None:
    if why := missing():
        assert not os.environ.get("CI"), why
        pytest.skip(why)
    make_tree()


@pytest.fixture
def machines(tree: None) -> Iterator[Machines]:
    folder = Path(tempfile.mkdtemp(prefix="dcp-bare-", dir="/var/tmp"))
    made = Machines(folder)
    try:
        made.open()
        yield made
    finally:
        made.close()
        shutil.rmtree(folder, ignore_errors=True)


def bare(machine: Machine) -> Host:
    name, address = machine.name, machine.address
    return Host(name, "spare", SourceKind.PRIVATE, BARE, HostState.INITIALISING, 0.0, address=address)


def initialise(machines: Machines, batch: tuple[Host, ...], choice: AnsibleChoice) -> dict[str, InitNews]:
    """Run once; return how each host ended."""
    initialiser = AnsibleInitialiser(machines.folder / "initialise", choice, SystemClock())

    async def run() -> dict[str, InitNews]:
        return {news.host_id: news async for news in initialiser.run(batch) if news.ended}

    ended = asyncio.run(run())
    left = [one.name for one in (machines.folder / "initialise").iterdir()]
    assert left == ["known_hosts"], "a run leaves no files"
    return ended


def test_a_phase_is_bounded_in_time_and_own_roles_come_after_ours(machines: Machines) -> None:
    """The light one: no package is installed, so that only our own role's tasks and the clock count."""
    roles = machines.folder / "roles"
    (roles / "slow/tasks").mkdir(parents=True)
    (roles / "slow/tasks/main.yml").write_text(
        "- name: note\n  copy: {dest: /root/own, content: '{{ greeting }}'}\n"
        "- name: wait\n  command: sleep 30\n  when: inventory_hostname == 'bare1'\n"
    )
    light = {"dcp_packages": [], "dcp_time_package": "", "dcp_exporter_package": "", "dcp_engine_package": "bash"}
    choice = AnsibleChoice(
        key=str(machines.key),
        roles_path=str(roles),
        roles=("slow",),
        vars={**VARS, **light, "greeting": "hello"},
        limits_s={"own-roles": 2, "engine": 5},
    )
    first, second = machines.start(1), machines.start(2)
    for machine in (first, second):  # stands in for the engine, so that the role finds one that answers
        for name, does in (("/usr/bin/docker", "[ -e /run/on ] && echo 1"), ("/usr/sbin/dockerd", "touch /run/on")):
            machine.run("sh", "-c", f"printf '#!/bin/sh\\n{does}\\n' > {name} && chmod +x {name}")
    ended = initialise(machines, (bare(first), bare(second)), choice)
    assert ended["bare1"].phase == "own-roles" and "imed out" in ended["bare1"].failed_words, ended["bare1"]
    assert "own-roles: note" in ended["bare1"].log
    assert ended["bare2"].failed_words == "" and second.run("cat", "/root/own") == "hello"


def test_a_look_says_what_a_machine_is_or_why_it_cannot_be_used(machines: Machines) -> None:
    first, second = machines.start(1), machines.start(2)
    first.run("sh", "-c", "ip address add 10.77.1.9/16 dev eth0; useradd -m ops; cp -r /root/.ssh /home/ops")
    first.run("chown", "-R", "ops", "/home/ops/.ssh")
    other, known = machines.folder / "other", machines.folder / "known/hosts"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(other)], check=True)
    looker = SshLooker(SshAccess({"good": str(machines.key), "other": str(other)}, known))

    async def looks() -> tuple[MachineLook, ...]:
        reaches = (
            Reach(first.address, key="good"),
            Reach("10.77.1.9", key=str(machines.key)),
            Reach(second.address, key="good"),
            Reach(first.address, key="other"),
            Reach(first.address, key="/nowhere"),
            Reach(first.address, user="ops", key="good"),
            Reach(first.address, port=23, key="good"),
            Reach("10.77.250.250", key="good"),
        )
        return tuple(await asyncio.gather(*(looker.look(one) for one in reaches)))

    good, alias, next_one, refused, absent, ops, port, nobody = asyncio.run(looks())
    assert (good.fault, good.system.split()[0], good.engine) == ("", "debian", "")
    assert good.cpu_millis >= 1000 and good.memory_bytes > 1 << 29
    assert good.identity == alias.identity != next_one.identity
    assert "refuses user root with key other" in refused.fault and "there is no file /nowhere" in absent.fault
    assert "user ops is not root" in ops.fault
    assert "does not answer at port 23" in port.fault and "does not answer at port 22" in nobody.fault
    assert not known.exists(), "a look remembers nothing"

    async def made_anew() -> tuple[MachineLook, MachineLook, MachineLook]:
        reach = Reach(first.address, key="good")
        await looker.remember(reach, good)
        same = await looker.look(reach)
        first.run("sh", "-c", "rm /etc/ssh/ssh_host_*; ssh-keygen -A; kill -HUP $(cat /run/sshd.pid); sleep 0.3")
        changed = await looker.look(reach)
        anew = await looker.look(reach, new_host_key=True)
        await looker.remember(reach, anew, new_host_key=True)
        return same, changed, await looker.look(reach)

    same, changed, again = asyncio.run(made_anew())
    assert same.fault == "" and same.host_keys == () and "another host key than before" in changed.fault
    assert (again.fault, again.host_keys) == ("", ()) and len(known.read_text().splitlines()) == 1


def test_a_bare_host_is_ready_after_a_crash_and_one_that_cannot_be_is_replaced(machines: Machines) -> None:
    bad, good = machines.start(1), machines.start(2)
    bad.run("sh", "-c", "rm -rf /var/cache/apt/archives /var/lib/apt/lists; mkdir -p /var/lib/apt/lists/partial")
    first = free_ports(40)
    platform = {
        "sources": [
            {
                "name": "spare",
                "kind": "static",
                "engine": f"tcp://{{address}}:{PORT}",
                "hosts": [{"name": bad.name, "address": bad.address, "cpus": 1, "memory": "1G"}],
            }
        ],
        "runtime": {"kind": "docker", "ports": f"{first}-{first + 19}"},
        "balancer": {"internal_ports": f"{first + 20}-{first + 39}"},
        "initialise": {
            "key": str(machines.key),
            "keys": {"racks": str(machines.key)},
            "vars": VARS,
            "attempts": 2,
            "back_off_s": 0.2,
        },
        "engine": {"lease_ttl_s": 2},
    }
    config, compose = machines.folder / "dcp.yaml", machines.folder / "compose.yaml"
    config.write_text(yaml.safe_dump(platform))
    compose.write_text(COMPOSE)
    serve = Serve(machines.folder / "state", config)
    try:
        process, _ = serve.listening()
        applied = serve.run("apply", str(compose), "--yes", "--no-wait")
        assert applied.returncode == 0, applied.stdout + applied.stderr
        wrong = serve.run("hosts", "add", good.address, bad.address)
        assert wrong.returncode == 2 and f"{bad.address}: stands in dcp.yaml" in wrong.stderr, wrong.stderr
        added = serve.run("hosts", "add", good.address, "--key", "racks", "--label", "disk=ssd")
        assert added.returncode == 0 and f"{good.address} is taken in" in added.stdout, added.stderr
        until(lambda: hosts_at(serve, good) == ["initialising"] and phase(serve) in ("packages", "engine"), 60.0)
        process.kill()
        process.wait(10)
        serve.listening()
        until(lambda: hosts_at(serve, good) == ["ready"], 150.0)
        told = [one["reason"] for one in serve.ask(lambda api: api.events(limit=1000))["events"]]
        assert told.count("initialise-retried") >= 1 and told.count("initialise-failed") >= 1, told
        assert "initialised" in told and "machine-set-aside" in told
        (aside,) = serve.ask(lambda api: api.machines())["set_aside"]
        assert (aside["source"], aside["address"]) == ("spare", bad.address)
        version = httpx.get(f"http://{good.address}:{PORT}/version", timeout=10).raise_for_status().json()
        assert version["ApiVersion"]
        again = initialise(machines, (bare(good),), AnsibleChoice(key=str(machines.key), vars=VARS))
        assert (again["bare2"].failed_words, again["bare2"].changed) == ("", 0), "a second run changes nothing"
        given_back_and_added_again(serve, good)
    finally:
        asyncio.run(serve.clean_up())
    logs = asyncio.run(kept_logs(serve))
    assert logs and all("packages | " in one.text for one in logs)


def given_back_and_added_again(serve: Serve, machine: Machine) -> None:
    """What runs there has to leave first; an engine that dcp has not set up is left as it is."""
    assert serve.run("remove", "shop", "--yes", "--no-wait").returncode == 0
    assert serve.run("hosts", "remove", machine.address).returncode == 0
    until(lambda: not serve.ask(lambda api: api.machines())["machines"], 30.0)
    mine = '{"live-restore": false, "hosts": ["unix:///run/docker.sock"]}'
    machine.run(
        "sh", "-c", f"rm /etc/systemd/system/docker.service.d/dcp.conf; echo '{mine}' > /etc/docker/daemon.json"
    )
    added = serve.run("hosts", "add", machine.address, "--key", "racks", "--wait", "50s")
    assert added.returncode == 0 and "is kept" in added.stdout, added.stdout + added.stderr
    assert machine.run("cat", "/etc/docker/daemon.json").strip() == mine
    words = [one["words"] for one in serve.ask(lambda api: api.events(limit=1000))["events"]]
    assert any("its own engine" in one and "is kept as it is" in one for one in words), words[-20:]


def hosts_at(serve: Serve, machine: Machine) -> list[str]:
    found = serve.ask(lambda api: api.hosts())["hosts"]
    return [one["state"] for one in found if one["address"] == machine.address]


def phase(serve: Serve) -> str:
    """Return how far the host is that is in the latest phase, from the store."""
    database = open_database(f"sqlite:///{serve.state / 'dcp.sqlite'}")
    try:
        rows = asyncio.run(database.read(initialisations.rows))
    finally:
        database.close()
    return max((row.phase for row in rows.values() if row.host_id.endswith("-2")), default="")


async def kept_logs(serve: Serve) -> list[initialisations.InitLog]:
    database = open_database(f"sqlite:///{serve.state / 'dcp.sqlite'}")
    try:
        return [
            log
            for host in await database.read(hosts.every)
            for log in await database.read(lambda c, name=host.id: initialisations.logs(c, name))
        ]
    finally:
        database.close()
