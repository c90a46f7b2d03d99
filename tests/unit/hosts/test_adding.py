"""Which machines are added or taken back, and everything that is wrong with what was asked."""

from dataclasses import replace

import pytest

from dcp.hosts.adding.aside import event_of, put_aside
from dcp.hosts.adding.decide import (
    MOST_AT_ONCE,
    Adding,
    decide_adding,
    problems_of_asked,
    removed,
    requested_hosts,
    taken_back,
)
from dcp.hosts.adding.model import SOURCE, AddAsked, AddedMachine, KnownMachines, MachineLook, Reach, SetAside
from dcp.hosts.coming import INITIALISATION_FAILED
from dcp.hosts.model import Host, HostType, Resources, SourceKind
from dcp.hosts.states import HostState
from dcp.hosts.steps import HostStep

DEFAULT = Reach("", "root", 22, "initialise")
LOOK = MachineLook(4000, (8 << 30) - (300 << 20) + 12345, "boot-1 net:[1]", "debian 12")


def decide(asked: AddAsked, known: KnownMachines | None = None, **looks: MachineLook) -> Adding:
    found = {address.replace("_", "."): look for address, look in looks.items()}
    return decide_adding(asked, DEFAULT, found, known or KnownMachines(), 7.0)


def added(asked: AddAsked) -> AddedMachine:
    looks = {address: replace(LOOK, identity=address) for address in asked.addresses}
    (machine,) = decide_adding(asked, DEFAULT, looks, KnownMachines(), 7.0).add
    return machine


def problems(adding: Adding) -> dict[str, str]:
    return {one.path: one.message for one in adding.problems}


def test_sizes_are_read_and_rounded_unless_they_are_told():
    one = added(AddAsked(("m1",)))
    assert one.host_type.resources == Resources(4000, (8 << 30) - (384 << 20))
    assert one.host_type.initialise and one.reach == Reach("m1", "root", 22, "initialise")
    told = added(AddAsked(("m1",), user="debian", port=2222, key="/k", cpu_millis=500, memory_bytes=1000))
    assert told.host_type.resources == Resources(500, 1000)
    assert told.reach == Reach("m1", "debian", 2222, "/k")


def test_machines_that_are_alike_are_of_one_type_and_a_cluster_has_types_of_its_own():
    names = {added(AddAsked((name,))).host_type.name for name in ("m1", "m2")}
    assert len(names) == 1 and names.pop().startswith("machine-")
    assert added(AddAsked(("m1",), labels=(("site", "a"),))).host_type.name.startswith("a-")
    assert added(AddAsked(("m1",), cluster="news")).host_type.name != added(AddAsked(("m1",))).host_type.name
    assert added(AddAsked(("m1",), type_name="large")).host_type.name == "large"


@pytest.mark.parametrize(
    ("asked", "url"),
    [
        (AddAsked(("m1",), key="racks"), "ssh://root@m1?key=racks"),
        (AddAsked(("m1",), user="ops", port=2200, key="/etc/k"), "ssh://ops@m1:2200?key=/etc/k"),
        (AddAsked(("m1",), engine="tcp://{address}:2376"), "tcp://m1:2376"),
        (AddAsked(("2001:db8::5",), engine="tcp://{address}:2376"), "tcp://[2001:db8::5]:2376"),
    ],
)
def test_the_engine_is_reached_over_the_same_ssh_unless_it_is_told(asked: AddAsked, url: str):
    assert added(asked).engine_url == url


@pytest.mark.parametrize(
    ("asked", "path", "words"),
    [
        (AddAsked(()), "addresses", "no machine is named"),
        (AddAsked(("-oProxyCommand=x",)), "addresses", "is no address"),
        (AddAsked(("a b",)), "addresses", "is no address"),
        (AddAsked(("M1", "m1")), "m1", "is named 2 times"),
        (AddAsked(("2001:db8:0::5", "2001:db8::5")), "2001:db8::5", "is named 2 times"),
        (AddAsked(tuple(f"m{n}" for n in range(MOST_AT_ONCE + 1))), "addresses", "501 machines at once"),
        (AddAsked(("m1",), user="-l"), "user", "is no name of a user"),
        (AddAsked(("m1",), port=70000), "port", "is no port"),
        (AddAsked(("m1",), key="nobody"), "key", "there is no key called 'nobody'; there are racks"),
        (AddAsked(("m1",), engine="tcp://here:1"), "engine", "is not the URL"),
        (AddAsked(("m1",), cluster="No No"), "cluster", "is no name"),
        (AddAsked(("m1",), type_name="-"), "type", "is no name of a type"),
        (AddAsked(("m1",), labels=(("", "x"),)), "label", "is no label"),
        (AddAsked(("m1",), labels=(("a", "x"), ("a", "y"))), "label", "is given twice"),
        (AddAsked(("m1",), cpu_millis=0), "cpus", "above 0"),
    ],
)
def test_what_makes_no_sense_is_refused_by_its_path(asked: AddAsked, path: str, words: str):
    (problem,) = problems_of_asked(asked, ["racks"])
    assert problem.path == path and words in problem.message


def test_a_key_that_is_pasted_is_not_said_again():
    text = "-----BEGIN OPENSSH PRIVATE KEY-----\nc2VjcmV0\n"
    (problem,) = problems_of_asked(AddAsked(("m1",), key=text), [])
    assert "c2VjcmV0" not in str(problem) and "BEGIN" not in str(problem)
    assert problems_of_asked(AddAsked(("m1",), key="/etc/dcp/key"), []) == ()


def test_if_one_machine_cannot_be_used_none_is_added_and_all_faults_are_told():
    known = KnownMachines(named=(("M4", "racks"),))
    looks = {"m1": LOOK, "m2": MachineLook(fault="does not answer", hint="is it on?"), "m3": LOOK}
    found = decide(AddAsked(("m1", "m2", "m3", "m4")), known, **looks)
    assert (found.add, found.back, found.same) == ((), (), ())
    assert problems(found) == {
        "m2": "does not answer",
        "m3": "is the same machine as m1",
        "m4": "stands in dcp.yaml already, in source racks",
    }


def test_adding_again_changes_nothing_or_takes_back_what_was_removed_or_set_aside():
    before = added(AddAsked(("m1",)))
    assert decide(AddAsked(("m1",)), KnownMachines((before,)), m1=LOOK).same == (before,)
    larger = replace(LOOK, memory_bytes=LOOK.memory_bytes * 2)
    assert decide(AddAsked(("m1",)), KnownMachines((before,)), m1=larger).same == (before,), "nobody told a size"
    leaving = replace(before, leave_by=99.0)
    found = decide(AddAsked(("m1",)), KnownMachines((leaving,)), m1=LOOK)
    assert found.back == (leaving,) and taken_back(leaving) == before
    aside = SetAside(SOURCE, "m1", 1.0, "no mirror")
    assert decide(AddAsked(("m1",)), KnownMachines((before,), (aside,)), m1=LOOK).back == (before,)
    elsewhere = replace(aside, source="racks")
    assert decide(AddAsked(("m1",)), KnownMachines((before,), (elsewhere,)), m1=LOOK).same == (before,)


def test_adding_again_otherwise_is_refused_with_the_difference():
    before = added(AddAsked(("m1",)))
    found = decide(AddAsked(("m1",), user="ops", cluster="news"), KnownMachines((before,)), m1=LOOK)
    words = problems(found)["m1"]
    assert "user root, now ops" in words and "cluster none, now news" in words


def test_a_type_means_one_size_and_one_cluster():
    before = added(AddAsked(("m1",), type_name="large"))
    smaller = replace(LOOK, cpu_millis=2000, identity="other")
    found = decide(AddAsked(("m2",), type_name="large"), KnownMachines((before,)), m2=smaller)
    assert "type large is taken by m1: cpus 4 CPU, now 2 CPU" in problems(found)["m2"]


def test_the_earlier_of_two_times_to_leave_counts():
    machine = added(AddAsked(("m1",)))
    assert removed(removed(machine, 50.0), 60.0).leave_by == 50.0
    assert removed(removed(machine, 50.0), 40.0).leave_by == 40.0


def test_a_host_is_asked_for_with_each_machine():
    (host,) = requested_hosts([added(AddAsked(("m1",), cluster="news"))], 4, 9.0)
    assert (host.id, host.source, host.cluster, host.state) == ("added-5", SOURCE, "news", HostState.REQUESTED)


def test_only_our_own_machines_that_could_not_be_initialised_are_set_aside():
    bare = HostType("c1", Resources(1000, 1 << 30), initialise=True)

    def failed(name: str, kind: SourceKind, reason: str) -> tuple[HostStep, Host]:
        host = Host(name, "spare", kind, bare, HostState.INITIALISING, 0.0, address=f"10.0.0.{name}")
        return HostStep(host, HostState.FAILED, reason, "no mirror"), replace(host, state=HostState.FAILED)

    pairs = [
        failed("1", SourceKind.PRIVATE, INITIALISATION_FAILED),
        failed("2", SourceKind.PRIVATE, "boot-timeout"),
        failed("3", SourceKind.CLOUD, INITIALISATION_FAILED),
        failed("4", SourceKind.PRIVATE, INITIALISATION_FAILED),
    ]
    (one,) = put_aside([step for step, _ in pairs], [host for _, host in pairs[:3]], 5.0)
    assert one == SetAside("spare", "10.0.0.1", 5.0, "no mirror")
    assert "dcp hosts retry 10.0.0.1" in event_of(one).words
