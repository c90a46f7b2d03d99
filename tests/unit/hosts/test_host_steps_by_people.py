"""What people may ask of hosts, and in which states."""

import pytest

from dcp.hosts import verbs
from dcp.hosts.model import Host, HostType, Resources, SourceKind
from dcp.hosts.states import HostState
from dcp.hosts.steps import after_step
from dcp.kernel.errors import Conflict

NOW = 1000.0


def host(state: HostState, leave_by: float | None = None) -> Host:
    return Host("rack-1", "rack", SourceKind.PRIVATE, HostType("h", Resources(1, 1)), state, 0.0, leave_by=leave_by)


def test_cordoning_twice_changes_nothing_the_second_time() -> None:
    step = verbs.cordon(host(HostState.READY))
    assert step is not None
    cordoned = after_step(step, step.host, NOW)
    assert (cordoned.state, cordoned.leave_by) == (HostState.CORDONED, None)
    assert verbs.cordon(cordoned) is None


def test_draining_gives_a_time_and_uncordoning_takes_it_back() -> None:
    step = verbs.drain(host(HostState.CORDONED), NOW + 60, NOW)
    assert step is not None
    leaving = after_step(step, step.host, NOW)
    assert (leaving.state, leaving.leave_by) == (HostState.CORDONED, NOW + 60)
    assert verbs.drain(leaving, NOW + 60, NOW) is None
    assert verbs.drain(host(HostState.DRAINING), NOW + 60, NOW) is None
    for left in (leaving, host(HostState.DRAINING, NOW + 60), host(HostState.READY, NOW + 60)):
        back = verbs.uncordon(left)
        assert back is not None
        assert after_step(back, left, NOW).leave_by is None
        assert after_step(back, left, NOW).state == HostState.READY
    assert verbs.uncordon(host(HostState.READY)) is None


@pytest.mark.parametrize("state", [HostState.BOOTING, HostState.UNREACHABLE, HostState.STOPPED, HostState.RELEASING])
def test_what_is_not_in_use_is_refused_with_the_state(state: HostState) -> None:
    for ask in (verbs.cordon, verbs.uncordon, lambda one: verbs.drain(one, NOW, NOW)):
        with pytest.raises(Conflict, match=str(state)):
            ask(host(state))
