"""`dcp hosts add`, `remove`, `machines` and `retry`, from the command line to a host that is ready and gone again."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cli_world import Dcp, make_context, served

from dcp.drivers.clouds.added import AddedMachines
from dcp.drivers.initialisers.fake import FakeInitialiser
from dcp.drivers.ssh import FakeLooker
from dcp.engine.context import Context
from dcp.hosts.adding.model import MachineLook, Reach
from dcp.hosts.adding.ports import AddingParts
from dcp.hosts.initialising import InitialiseLimits
from dcp.kernel.clock import SystemClock
from dcp.store.machines import StoredMachines

LOOKS = {
    f"m{n}": MachineLook(4000, 8 << 30, f"machine-{n}", "debian 12", "20.10.24" if n == 2 else "") for n in range(1, 9)
} | {"fed": MachineLook(fault="is fedora, neither Debian nor Ubuntu"), "twin": MachineLook(1000, 1 << 30, "machine-1")}
BAD = {"m4"}
"""Machines whose initialisation fails."""


class Fleet:
    """A server that takes machines in."""

    def __init__(self, dcp: Dcp, looker: FakeLooker, initialiser: FakeInitialiser) -> None:
        self.dcp, self.looker, self.initialiser = dcp, looker, initialiser

    def states(self) -> dict[str, str]:
        found = json.loads(self.dcp("hosts", "machines", "--json").stdout)
        return {one["address"]: one["state"] for one in found["machines"]}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    looker = FakeLooker(LOOKS)
    made: list[FakeInitialiser] = []

    def make(folder: Path) -> Context:
        context = make_context(folder)
        clock = SystemClock()

        async def answers(_address: str, _port: int) -> bool:
            return True

        source = AddedMachines(
            StoredMachines(context.database, clock), probe=answers, forget=looker.forget, clock=clock
        )
        made.append(FakeInitialiser(clock, fault=lambda host, _: "no mirror" if host.address in BAD else ""))
        parts = AddingParts(looker, Reach("", "root", 22, "initialise"), ("initialise", "racks"), (("named", "racks"),))
        context.adding, context.initialiser, context.sources = parts, made[0], (*context.sources, source)
        context.initialise_limits = InitialiseLimits(attempts=2, back_off_s=0.01)
        # The runtime has no engines: hosts are ready as soon as they are initialised.
        source_show = source.list_all

        async def without_engine():  # type: ignore[no-untyped-def]
            return tuple(replace(one, engine="") for one in await source_show())

        source.list_all = without_engine  # type: ignore[method-assign]
        return context

    with served(tmp_path_factory.mktemp("fleet"), make) as command:
        yield Fleet(command, looker, made[0])


def test_machines_are_looked_at_taken_in_made_ready_and_given_back(fleet: Fleet):
    added = fleet.dcp("hosts", "add", "m1", "m2", "--key", "racks", "--label", "disk=ssd", "--wait", "20s")
    assert added.exit_code == 0, added.output
    assert "m1 is taken in: type machine-" in added.stdout and "its engine 20.10.24 is kept" in added.stdout
    assert fleet.looker.remembered == ["m1", "m2"]
    listed = fleet.dcp("hosts", "machines")
    assert "root:22" in listed.stdout and "racks" in listed.stdout and "ready" in listed.stdout
    assert fleet.dcp("hosts").stdout.count("added") >= 2
    again = fleet.dcp("hosts", "add", "m1", "m2", "--key", "racks", "--label", "disk=ssd")
    assert again.exit_code == 0 and again.stdout.count("was added before: nothing changes") == 2
    removed = fleet.dcp("hosts", "remove", "m1", "--within", "5m")
    assert removed.exit_code == 0 and "m1 is emptied within 5m: host added-" in removed.stdout, removed.output
    assert eventually(lambda: "m1" not in fleet.states()), fleet.states()
    assert "m1" in fleet.looker.forgotten
    assert fleet.dcp("hosts", "remove", "m1").exit_code == 2
    told = fleet.dcp("events", "--limit", "200").stdout
    assert "m2 was added as root at port 22 with key racks: debian 12, 4 CPU, 8 GiB" in told


def test_one_that_cannot_be_used_keeps_all_of_them_out(fleet: Fleet):
    before = fleet.states()
    result = fleet.dcp("hosts", "add", "m5", "fed", "nobody", "named")
    assert result.exit_code == 2
    for words in ("fed: is fedora", "nobody: does not answer at port 22", "named: stands in dcp.yaml already"):
        assert words in result.stderr, result.stderr
    assert "m5" not in result.stderr and fleet.states() == before


def test_a_dry_run_only_looks(fleet: Fleet):
    before = fleet.states()
    result = fleet.dcp("hosts", "add", "m6", "--dry-run", "--cpus", "2", "--memory", "4G", "--type", "half", "--json")
    assert result.exit_code == 0, result.output
    (one,) = json.loads(result.stdout)["machines"]
    assert (one["outcome"], one["type"], one["cpu_millis"], one["memory_bytes"]) == ("added", "half", 2000, 4 << 30)
    assert fleet.states() == before


def test_one_that_fails_is_set_aside_and_tried_again_when_a_person_says_so(fleet: Fleet):
    added = fleet.dcp("hosts", "add", "m4", "--wait", "20s")
    assert added.exit_code == 1 and "m4 was not ready within 20s: no mirror; given up after 2 tries" in added.stderr
    assert fleet.states()["m4"] == "set-aside"
    assert fleet.initialiser.tries and "dcp hosts retry m4" in fleet.dcp("events", "--limit", "200").stdout
    BAD.clear()
    retried = fleet.dcp("hosts", "retry", "m4")
    assert retried.exit_code == 0 and "tried again: m4" in retried.stdout
    assert eventually(lambda: fleet.states()["m4"] == "ready"), fleet.states()
    assert "nothing is set aside" in fleet.dcp("hosts", "retry", "--all").stdout


def eventually(holds: Callable[[], bool]) -> bool:
    limit = time.monotonic() + 20
    while not holds() and time.monotonic() < limit:
        time.sleep(0.1)
    return holds()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["add"], "Missing argument"),
        (["add", "m7", "m7"], "m7: is named 2 times"),
        (["add", "m7", "--key", "nobody"], "key: there is no key called 'nobody'; there are initialise, racks"),
        (["add", "m7", "--key", "-----BEGIN PRIVATE KEY-----"], "key: this is a key, not where one is"),
        (["add", "m7", "--label", "disk"], "--label: 'disk' is no label"),
        (["add", "m7", "--memory", "much"], "--memory"),
        (["add", "m7", "--port", "0"], "port: 0 is no port"),
        (["add", "m7", "--wait", "soon"], "--wait"),
        (["add", "m2", "--key", "racks", "--cluster", "news"], "m2: was added already, otherwise"),
        (["remove", "m7"], "was not added: m7"),
        (["remove", "named"], "named: stands in dcp.yaml, in source racks"),
        (["remove", "m2", "--within", "100d"], "between 0 s and 30 days"),
        (["retry"], "no machine is named"),
        (["retry", "m2"], "m2: is not set aside"),
    ],
)
def test_what_makes_no_sense_changes_nothing(fleet: Fleet, words: list[str], said: str):
    assert eventually(lambda: fleet.states().get("m2") == "ready") or words[1:2] != ["m2"]
    result = fleet.dcp("hosts", *words)
    assert (result.exit_code, said in result.stderr) == (2, True), result.output


def test_a_controller_whose_instances_run_here_takes_no_machines_in(dcp: Dcp):
    result = dcp("hosts", "add", "m1")
    assert result.exit_code == 1 and "takes no machines in" in result.stderr and "dcp[ansible]" in result.stderr
    assert "no machine was added" in dcp("hosts", "machines").stdout
