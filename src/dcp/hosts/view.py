"""What the decision on the hosts of one source looks at."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from dcp.hosts.model import Host, SourceHost, SourceHostState


@dataclass(frozen=True, slots=True)
class EngineLook:
    """Whether the engine of a host answers, since when it does or does not, and what the runtime still lists there."""

    answers: bool
    since: float
    leftovers: int = 0
    words: str = ""
    """What was wrong when it was last asked."""


@dataclass(frozen=True, slots=True)
class InitLook:
    """How far the initialisation of a host is."""

    done: bool
    failed_words: str = ""
    """Why it is given up; empty: it is not."""
    since: float = 0.0
    """When that became so."""


@dataclass(frozen=True, slots=True)
class SourceView:
    """Everything `decide_hosts` looks at."""

    now: float
    hosts: tuple[Host, ...]
    """The ledger's hosts of this source that were not given back, without those at rest (`rest`)."""
    listed: tuple[SourceHost, ...]
    live_instances: Mapping[str, int]
    """Instances on each host that hold resources there."""
    give_back: Mapping[str, str]
    """Hosts that nobody needs any more, and why."""
    unseen_since: Mapping[str, float]
    """Hosts that the listing does not show as there, and since when."""
    boot_limit_s: float
    lost_after_s: float
    engines: Mapping[str, EngineLook] = field(default_factory=dict)
    """What is known of the container engine of each host that has one."""
    engine_lost_after_s: float = 300.0
    shown_within_s: float = 120.0
    """A host that was accepted and is not shown for this long is given up."""
    initialised: Mapping[str, InitLook] = field(default_factory=dict)
    initialise_limit_s: float = 1800.0
    keep_stopped: Mapping[str, str] = field(default_factory=dict)
    """Empty hosts that are switched off and kept, and why."""
    suspects: Mapping[str, str] = field(default_factory=dict)
    """Hosts on which most services' instances fail that run well elsewhere, in words."""
    suspect_for_s: float = 300.0
    strangers_since: Mapping[str, float] = field(default_factory=dict)
    """Machines of ours that the source lists and the ledger does not know, and since when."""
    leak_grace_s: float = 60.0
    at_rest: int = 0
    """Further hosts of this source that are in use, look well, and for which there is nothing to decide."""


def is_there(seen: SourceHost | None) -> bool:
    """Return whether the source shows a machine that runs or will."""
    return seen is not None and seen.state in (SourceHostState.PENDING, SourceHostState.RUNNING)
