"""What every cloud account is told in the same words: which machines, where, and how they are reached."""

from collections.abc import Mapping
from dataclasses import dataclass

from dcp.hosts.model import (
    ANYWHERE,
    HostType,
    Offer,
    SourceHost,
    SourceHostState,
    SourceKind,
    SourceLimits,
    Variant,
)
from dcp.kernel.errors import DriverError, Rejected


@dataclass(frozen=True, slots=True)
class Place:
    """Where machines can be made. Its name is the variant's key."""

    name: str
    zone: str = ""
    network: str = ""
    security_groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MachineType:
    """A type of host and what the cloud calls it. `place_prices` holds where a place has a price of its own."""

    host_type: HostType
    machine: str
    place_prices: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Template:
    """How machines of one source are made and known again."""

    name: str
    owner: str
    """What machines carry as whose they are; no two installations that share an account may have the same."""
    image: str
    types: tuple[MachineType, ...]
    places: tuple[Place, ...] = ()
    key: str = ""
    engine: str = ""
    """URL of a host's container engine, with `{address}` in it; empty: none."""
    public_address: bool = False
    in_flight: int = 32
    batch: int = 1
    list_every_s: float = 0.0

    def limits(self, *, can_stop: bool = False) -> SourceLimits:
        """Return how the source wants to be asked."""
        return SourceLimits(self.batch, self.in_flight, can_stop, self.list_every_s)

    def offers(self, available: Mapping[str, int | None]) -> tuple[Offer, ...]:
        """Return one offer for each type; `available` by type name, None where the cloud does not say."""
        return tuple(
            Offer(self.name, SourceKind.CLOUD, one.host_type, available.get(one.host_type.name), self._variants(one))
            for one in self.types
        )

    def type_named(self, name: str) -> MachineType:
        """Return the type. Raises Rejected."""
        for one in self.types:
            if one.host_type.name == name:
                return one
        known = ", ".join(one.host_type.name for one in self.types)
        raise Rejected(f"{self.name}: no host type {name!r}", hint=f"it has {known}")

    def place_named(self, name: str) -> Place:
        """Return the place; the first one for an order that names none. Raises Rejected."""
        if not name:
            return self.places[0] if self.places else Place("")
        for place in self.places:
            if place.name == name:
                return place
        known = ", ".join(place.name for place in self.places)
        raise Rejected(f"{self.name}: no zone {name!r}", hint=f"it has {known or 'none'}")

    def show(
        self,
        host_id: str,
        state: SourceHostState,
        type_name: str,
        address: str,
        *,
        leave_by: float | None = None,
        leave_words: str = "",
        refusal: DriverError | None = None,
    ) -> SourceHost:
        """Return a machine as one of our hosts. One whose type is no longer configured is shown all the same."""
        labels = next((one.host_type.labels for one in self.types if one.host_type.name == type_name), ())
        return SourceHost(
            host_id=host_id,
            state=state,
            type_name=type_name,
            address=address,
            engine=self.engine.replace("{address}", address) if self.engine and address else "",
            labels=labels,
            leave_by=leave_by,
            leave_words=leave_words,
            refusal=refusal,
        )

    def _variants(self, one: MachineType) -> tuple[Variant, ...]:
        prices = dict(one.place_prices)
        return tuple(Variant(place.name, prices.get(place.name)) for place in self.places) or ANYWHERE
