"""Faults of real engines under a real controller: nothing is lost, doubled or left behind."""

import asyncio
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from container_platform import Platform, serving, show, steady_load, web

from dcp.lab.lab import Lab

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.xdist_group("docker")]

ENGINE_PORT = "2376"


@pytest.fixture
def platform(lab: Lab, tmp_path: Path) -> Iterator[Platform]:
    made = Platform(lab, tmp_path)
    made.start()
    yield made
    made.end()
    left = {host.name: made.containers(host.name) for host in lab.hosts}
    assert not any(left.values()), show(left)


def host_of(platform: Platform, instance: str) -> str:
    """Return the lab's name of the host that carries an instance."""
    (address,) = [a for a, one in platform.hosts().items() if instance in one["instances"]]
    (found,) = [host.name for host in platform.lab.hosts if host.address == address]
    return found


def state_of(platform: Platform, host: str) -> str:
    return str(platform.hosts()[platform.lab.host(host).address]["state"])


def test_a_killed_engine_takes_nothing_with_it(platform: Platform):
    platform.apply({"front": web(4)})
    platform.until(serving("front", 4))
    before = {one["id"] for one in platform.instances()}
    host = host_of(platform, min(before))
    with steady_load(platform.url("front")) as counted:
        asyncio.run(platform.lab.kill_engine(host))
        platform.until(lambda _: state_of(platform, host) == "unreachable")
        time.sleep(2)
        assert {one["id"] for one in platform.instances(ended=True)} == before
        asyncio.run(platform.lab.start_engine(host))
        platform.until(lambda _: state_of(platform, host) == "ready")
    assert set(counted) == {"200"}
    assert {one["id"] for one in platform.instances(ended=True)} == before, "nothing was started beside them"
    assert sum(len(platform.containers(one.name)) for one in platform.lab.hosts) == 4


def test_a_host_cut_off_from_the_controller_serves_on_and_is_doubled_only_once_it_is_lost(platform: Platform):
    platform.apply({"front": web(4)})
    platform.until(serving("front", 4))
    before = {one["id"]: one["host"] for one in platform.instances()}
    host = host_of(platform, min(before))
    there = {one for one in before if host_of(platform, one) == host}
    with steady_load(platform.url("front")) as counted:
        with engine_port_closed(platform.lab, host):
            platform.until(lambda _: state_of(platform, host) == "unreachable")
            assert {one["id"] for one in platform.instances(ended=True)} == set(before), "not doubled while it is away"
            platform.until(lambda client: serving("front", 4)(client) and not there & ids(platform))
            assert state_of(platform, host) == "lost"
            assert len(platform.containers(host)) == len(there), "they run on where nobody can reach them"
        platform.until(lambda _: platform.containers(host) == [])
    assert set(counted) == {"200"}
    assert [r for one in sorted(there) for r in platform.reasons(f"instance/{one}") if r == "collected"]
    platform.until(lambda _: platform.lab.host(host).address not in platform.hosts())


def ids(platform: Platform) -> set[str]:
    return {one["id"] for one in platform.instances()}


class engine_port_closed:
    """The host's engine cannot be reached over the network meanwhile; everything else of the host can."""

    def __init__(self, lab: Lab, host: str) -> None:
        self._lab, self._host = lab, host

    def __enter__(self) -> None:
        self._rule("-I")

    def __exit__(self, *_: object) -> None:
        self._rule("-D")

    def _rule(self, action: str) -> None:
        rule = ("INPUT", "-p", "tcp", "--dport", ENGINE_PORT, "-j", "DROP")
        asyncio.run(self._lab.run_on(self._host, "iptables", action, *rule))


def test_a_host_without_a_network_is_replaced_and_cleaned_when_it_comes_back(platform: Platform):
    platform.apply({"front": web(4)})
    platform.until(serving("front", 4))
    host = host_of(platform, min(ids(platform)))
    there = {one for one in ids(platform) if host_of(platform, one) == host}
    asyncio.run(platform.lab.cut(host))
    try:
        platform.until(lambda client: serving("front", 4)(client) and not there & ids(platform))
    finally:
        asyncio.run(platform.lab.mend(host))
    platform.until(lambda _: platform.containers(host) == [])
    with steady_load(platform.url("front")) as counted:
        time.sleep(1)
    assert set(counted) == {"200"}


def test_kill_9_of_the_controller_starts_nothing_twice(platform: Platform):
    platform.apply({"front": web(6)})
    for pause_s in (0.6, 0.3, 1.0):
        time.sleep(pause_s)
        platform.kill()
        platform.start()
    platform.until(serving("front", 6))
    assert sum(len(platform.containers(one.name)) for one in platform.lab.hosts) == 6
    assert all(platform.reasons(f"instance/{one}").count("start") == 1 for one in ids(platform))


def test_a_container_that_ignores_the_stop_signal_is_killed_after_its_grace(platform: Platform):
    deaf = web(1, command=["sh", "-c", "trap '' TERM; while :; do sleep 0.2; done"], stop_grace_period="2s")
    del deaf["x-dcp"]
    platform.apply({"deaf": deaf})
    platform.until(serving("deaf", 1))
    (instance,) = ids(platform)
    platform.apply({"deaf": {**deaf, "deploy": {**deaf["deploy"], "replicas": 0}}})
    platform.until(lambda _: not ids(platform))
    (ended,) = [one for one in platform.instances(ended=True) if one["id"] == instance]
    assert ended["state"] == "stopped"


def test_a_fixed_port_that_somebody_has_is_left_to_him(platform: Platform):
    platform.apply({"front": web(1)})
    platform.until(serving("front", 1))
    (first,) = ids(platform)
    host = host_of(platform, first)
    squatter = subprocess.Popen(
        ["nsenter", f"--net=/run/netns/{platform.lab.host(host).namespace}", "busybox", "httpd", "-f", "-p", "8099"]
    )
    try:
        fixed = web(2, ports=[{"target": 8099, "published": 8099, "mode": "host"}])
        platform.apply({"front": web(1), "fixed": fixed})
        platform.until(serving("fixed", 2))
        assert squatter.poll() is None
        where = {host_of(platform, one["id"]) for one in platform.instances() if one["service"] == "fixed"}
        assert len(where) == 2
        assert host not in where
    finally:
        squatter.terminate()
        squatter.wait()


def test_an_image_that_is_nowhere_is_said_and_the_rest_goes_on(platform: Platform):
    platform.apply({"front": web(1), "ghost": web(1, image="nowhere.invalid/ghost:1")})
    platform.until(serving("front", 1))
    platform.until(lambda client: "image-missing" in str(client.why("web/ghost")) + failed_words(platform))
    assert serving_now(platform) == {"front": 1, "ghost": 0}


def failed_words(platform: Platform) -> str:
    found = platform.ask(lambda client: client.events(limit=200)["events"])
    return " ".join(event["words"] for event in found)


def serving_now(platform: Platform) -> dict[str, int]:
    return {s["name"]: s["serving"] for s in platform.ask(lambda client: client.services()["services"])}
