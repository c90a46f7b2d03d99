"""What a source refused lately, until when that is believed, and what it rules out."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from dcp.kernel.errors import AccessDenied, DriverError, OutOfStock, QuotaReached, Throttled


class RefusalKind(StrEnum):
    """Why a source did not give what it was asked for."""

    STOCK_OUT = "out-of-stock"  # none of this type left in this place
    QUOTA = "quota"  # the account may have no more of this type
    THROTTLED = "throttled"  # the account asks too often
    DENIED = "access-denied"  # the account has no right
    TRANSIENT = "driver-error"  # anything else; the same call may succeed later


@dataclass(frozen=True, slots=True)
class Refused:
    """One refusal that is remembered. Empty `type_name` or `variant`: it holds for all of them."""

    source: str
    type_name: str
    variant: str
    kind: RefusalKind
    words: str
    at: float
    until: float

    def rules_out(self, source: str, type_name: str, variant: str, now: float) -> bool:
        """Return whether asking there now is known to be in vain."""
        return (
            now < self.until
            and self.source == source
            and self.type_name in ("", type_name)
            and self.variant in ("", variant)
        )


def kind_of(error: DriverError) -> RefusalKind:
    """Return the kind of a driver's error."""
    if isinstance(error, QuotaReached):
        return RefusalKind.QUOTA
    if isinstance(error, OutOfStock):
        return RefusalKind.STOCK_OUT
    if isinstance(error, Throttled):
        return RefusalKind.THROTTLED
    return RefusalKind.DENIED if isinstance(error, AccessDenied) else RefusalKind.TRANSIENT


def ruled_out(memory: Iterable[Refused], source: str, type_name: str, variant: str, now: float) -> Refused | None:
    """Return the refusal that speaks against asking there now, the one that holds longest; None: nothing does."""
    found = [one for one in memory if one.rules_out(source, type_name, variant, now)]
    return max(found, key=lambda one: one.until, default=None)
