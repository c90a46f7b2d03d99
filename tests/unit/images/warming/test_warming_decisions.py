"""Mirrors grow first, are warmed, then hosts pull; and what happens when any of it fails."""

from dataclasses import replace

from warming_world import GB, IMAGE, SETTINGS, Site, hosts

from dcp.images.warming.model import REGISTRY, Way
from dcp.images.warming.states import HostImageState, MirrorState

FEW = replace(SETTINGS, peers=False)


def test_mirrors_first_then_warming_then_pulls() -> None:
    site = Site(hosts(100), FEW)
    first = site.step()
    assert (first.way, len(first.mirrors), first.pulls) == (Way.MIRRORS, 5, ())
    assert site.step().pulls == ()  # they do not answer yet
    site.all_answer()
    answered = site.step()
    assert {mirror.state for mirror in site.mirrors.values()} == {MirrorState.READY}
    assert len(answered.warm) == 5
    pulls = site.step().pulls
    assert len(pulls) == 5 * SETTINGS.pulls_per_mirror
    assert {pull.source for pull in pulls} == set(site.mirrors)
    for _ in range(10):
        site.finish_pulls()
        site.step()
    assert site.states() == {"present": 100}


def test_mirrors_are_spread_over_racks() -> None:
    site = Site(hosts(100, racks=5), FEW)
    site.step()
    racks = {host.id: host.rack for host in site.hosts}
    assert len({racks[mirror.host_id] for mirror in site.mirrors.values()}) == 5


def test_hosts_serve_each_other_where_that_is_faster() -> None:
    site = Site(hosts(100))
    assert (site.step().way, len(site.mirrors)) == (Way.PEERS, 100)
    site.all_answer()
    site.step()
    pulls = site.pulling
    assert len(pulls) == 100
    assert all(site.mirrors[source].host_id == host_id for (host_id, _), source in pulls.items())


def test_without_a_mirror_image_hosts_pull_directly_a_few_at_a_time() -> None:
    site = Site(hosts(40), replace(SETTINGS, mirror_image=""))
    decision = site.step()
    assert (decision.way, decision.mirrors) == (Way.DIRECT, ())
    assert {pull.source for pull in decision.pulls} == {REGISTRY}
    assert len(decision.pulls) == SETTINGS.direct_pulls


def test_what_is_there_is_not_pulled() -> None:
    site = Site(hosts(3))
    site.present = {host.id: {IMAGE} for host in site.hosts}
    decision = site.step()
    assert site.states() == {"present": 3}
    assert (decision.pulls, decision.mirrors) == ((), ())


def test_an_image_removed_from_a_host_is_pulled_again() -> None:
    site = Site(hosts(1))
    site.present = {"host-1": {IMAGE}}
    site.step()
    site.present = {}
    site.step()
    assert site.states() == {"wanted": 1}
    assert len(site.step().pulls) == 1


def test_children_of_a_lost_mirror_take_from_others() -> None:
    site = Site(hosts(30))
    site.step()
    site.all_answer()
    site.step()
    top = next(iter(site.mirrors))
    site.answering.discard(top)
    site.silent.add(top)
    site.step()
    assert site.mirrors[top].state == MirrorState.LOST
    others = [mirror for mirror in site.mirrors.values() if mirror.id != top]
    assert all(top not in stripe for mirror in others for stripe in mirror.stripes.upward)
    site.answering.add(top)
    site.silent.clear()
    site.step()
    assert site.mirrors[top].state == MirrorState.READY


def test_a_mirror_that_stays_silent_is_replaced_on_another_host() -> None:
    site = Site(hosts(20), FEW)
    site.step()
    assert len(site.mirrors) == 1
    (first,) = site.mirrors.values()
    site.step(61.0)  # never answered
    assert site.mirrors[first.id].state == MirrorState.LEAVING
    site.step()
    assert [mirror.id for mirror in site.gone] == [first.id]
    assert len([m for m in site.mirrors.values() if m.state == MirrorState.STARTING]) == 1


def test_a_host_that_gets_no_mirror_pulls_directly_in_the_end() -> None:
    site = Site(hosts(5), FEW)
    for _ in range(80):
        decision = site.step()
        if decision.pulls:
            break
    assert {pull.source for pull in decision.pulls} == {REGISTRY}
    assert site.now >= 1000 + FEW.mirror_wait_s


def test_a_failed_pull_is_tried_again_later_and_later_then_the_host_is_excluded() -> None:
    site = Site(hosts(1), replace(SETTINGS, mirror_image=""))
    gaps = []
    for _ in range(SETTINGS.attempts):
        began = site.now
        while not site.pulling:
            site.step(0.5)
        gaps.append(site.now - began)
        site.fail_pull("host-1", "disk-full")
    assert gaps == sorted(gaps)
    row = site.rows["host-1", IMAGE]
    assert (row.state, row.reason) == (HostImageState.EXCLUDED, "disk-full")
    site.step(SETTINGS.excluded_s + 1)
    assert site.states() == {"wanted": 1}


def test_no_host_is_excluded_for_an_image_that_nobody_has() -> None:
    site = Site(hosts(1), replace(SETTINGS, mirror_image=""))
    for _ in range(SETTINGS.attempts + 3):
        while not site.pulling:
            site.step(10.0)
        site.fail_pull("host-1", "image-missing")
    assert site.states() == {"failed": 1}


def test_a_pull_that_a_crash_left_is_taken_up_again() -> None:
    site = Site(hosts(1), replace(SETTINGS, mirror_image=""))
    site.step()
    site.pulling.clear()
    decision = site.step()
    assert len(decision.pulls) == 1


def test_rows_go_with_their_host_and_with_their_need() -> None:
    site = Site(hosts(4), replace(SETTINGS, mirror_image="", direct_pulls=1))
    site.step()
    site.lose_host("host-1")
    site.pulling.clear()
    site.need("host-2")
    site.step()
    assert {key[0] for key in site.rows} == {"host-3", "host-4"}


def test_a_mirror_goes_with_its_host() -> None:
    site = Site(hosts(20), FEW)
    site.step()
    (mirror,) = site.mirrors.values()
    site.lose_host(mirror.host_id)
    site.step()
    assert [gone.id for gone in site.gone] == [mirror.id]


def test_idle_mirrors_leave_in_the_end() -> None:
    site = Site(hosts(10), FEW)
    site.step()
    site.all_answer()
    for _ in range(6):
        site.step()
        site.finish_pulls()
    assert site.states() == {"present": 10}
    assert len(site.mirrors) == 1
    site.step(SETTINGS.mirror_linger_s + 1)
    site.step()
    assert not site.mirrors


def test_a_second_image_comes_through_the_mirrors_that_stand() -> None:
    site = Site(hosts(100), FEW)
    site.step()
    site.all_answer()
    for _ in range(12):
        site.step()
        site.finish_pulls()
    other = IMAGE.replace("feed", "user")
    for number in range(1, 101):
        site.need(f"host-{number}", IMAGE, other)
    site.images[other] = replace(site.images[IMAGE], reference=other, size_bytes=GB // 10)
    decision = site.step()
    assert not [step for step in decision.mirrors if step.before is None]
    assert {image for _, image in decision.warm} == {other}


def test_an_outage_of_the_registry_excludes_nobody() -> None:
    site = Site(hosts(2), replace(SETTINGS, mirror_image=""))
    for _ in range(SETTINGS.attempts + 2):
        while len(site.pulling) < 2:
            site.step(5.0)
        for host in site.hosts:
            site.fail_pull(host.id, "registry-down")
    site.step()
    assert site.states() == {"failed": 2}


def test_a_host_that_fails_while_others_get_it_is_excluded() -> None:
    site = Site(hosts(2), replace(SETTINGS, mirror_image=""))
    site.step()
    site.fail_pull("host-1", "pull-failed")
    site.step()
    site.finish_pulls()
    for _ in range(SETTINGS.attempts - 1):
        while not site.pulling:
            site.step(5.0)
        site.fail_pull("host-1", "pull-failed")
    site.step()
    assert site.states() == {"excluded": 1, "present": 1}


def test_a_host_that_cannot_pull_from_mirrors_turns_to_the_registry() -> None:
    site = Site(hosts(10), FEW)
    site.step()
    site.all_answer()
    sources = []
    for _ in range(4):
        while ("host-1", IMAGE) not in site.pulling:
            site.step(5.0)
            for host_id, image in [key for key in site.pulling if key[0] != "host-1"]:
                site.flowing.add((site.pulling.pop((host_id, image)), image))
                site.rows.pop((host_id, image))
                site.need(host_id)
        sources.append(site.pulling["host-1", IMAGE])
        site.fail_pull("host-1", "pull-failed")
    assert sources[0] in site.mirrors
    assert sources[2] == REGISTRY


def test_a_mirror_that_answers_later_stands_below_whatever_its_number() -> None:
    site = Site(hosts(40), FEW)
    site.step()
    first, second = site.mirrors
    site.answering = {second}
    site.step()
    assert site.mirrors[second].stripes.upward == ((),)
    site.all_answer()
    site.step()
    assert site.mirrors[second].stripes.upward[0] == ()
    assert site.mirrors[first].stripes.upward[0] == (second,)
