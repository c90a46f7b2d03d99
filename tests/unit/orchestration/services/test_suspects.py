"""Which hosts the failures of their instances speak against."""

from dcp.hosts.model import Resources
from dcp.orchestration.services.model import Instance, ServiceKey
from dcp.orchestration.services.states import InstanceState
from dcp.orchestration.services.suspects import suspect_hosts

FEED, USER, CARD = (ServiceKey("shop", name) for name in ("feed", "user", "card"))


def live(service: ServiceKey, host_id: str, state: InstanceState = InstanceState.SERVING) -> Instance:
    return Instance(
        id=f"{service.name}-{host_id}",
        application=service.application,
        service=service.name,
        host_id=host_id,
        spec_revision=1,
        state=state,
        plan_id="plan-1",
        created_at=0.0,
        resources=Resources(1, 1),
    )


ELSEWHERE = [live(service, f"good-{n}") for service in (FEED, USER, CARD) for n in range(2)]


def test_two_services_that_fail_here_and_serve_elsewhere_speak_against_the_host() -> None:
    found = suspect_hosts([("bad", FEED), ("bad", USER)], ELSEWHERE)
    assert list(found) == ["bad"]
    assert "shop/feed, shop/user" in found["bad"]


def test_one_service_speaks_against_itself() -> None:
    assert suspect_hosts([("bad", FEED), ("bad", FEED)], ELSEWHERE) == {}


def test_what_serves_there_as_well_or_fails_everywhere_does_not_count() -> None:
    assert suspect_hosts([("bad", FEED), ("bad", USER)], [*ELSEWHERE, live(FEED, "bad")]) == {}
    broken = [(host, service) for host in ("bad", "worse", "worst") for service in (FEED, USER)]
    assert suspect_hosts(broken, ELSEWHERE) == {}


def test_most_services_of_the_host_have_to_fail() -> None:
    others = [live(ServiceKey("shop", name), "bad") for name in ("a", "b")]
    assert suspect_hosts([("bad", FEED), ("bad", USER)], [*ELSEWHERE, *others]) == {}
    assert suspect_hosts([("bad", FEED), ("bad", USER)], [*ELSEWHERE, others[0]]) != {}
