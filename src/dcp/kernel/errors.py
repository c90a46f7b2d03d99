"""The one tree of errors. A class exists because its catcher must decide something different.

    DcpError
    ├── InvalidInput        the caller's file, flag or body is wrong: exit 2, HTTP 422; nothing was changed
    ├── NotFound            no such subject: exit 2, HTTP 404
    ├── Conflict            the state does not allow it, or a confirmation is missing: exit 1, HTTP 409
    ├── Denied              wrong or missing token: exit 1, HTTP 401
    ├── Unavailable         a server, database or proxy is away, a port or directory is taken: exit 1, HTTP 503
    ├── Stale               a guarded write changed no row; drop the plan, load again, decide again
    ├── LeaseLost           another controller holds this subject now; stop touching it
    └── DriverError         a driver failed; retry after back-off
        ├── OutOfStock      the source has none of this host type where it was asked: try the next place or offer
        │   └── QuotaReached  the account may have no more of them, wherever it is asked
        ├── Unreachable     an engine or registry does not answer: nothing is known, nothing may be concluded
        ├── Throttled       slow down for `delay_s`
        └── Rejected        the request will never succeed as it is: give up and say why
            └── AccessDenied  the account has no right to it: nothing is asked again until a person has looked

Expected outcomes of a decision (no host fits, no metrics) are values, not errors.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with an input: where (a dotted path), what, and what to do about it."""

    path: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        text = f"{self.path}: {self.message}" if self.path else self.message
        return f"{text} ({self.hint})" if self.hint else text


class DcpError(Exception):
    """Base of all errors that dcp raises on purpose."""

    code = "error"
    retry = False

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class InvalidInput(DcpError):
    """An input is wrong; `problems` names each fault with its path."""

    code = "invalid-input"

    def __init__(self, problems: tuple[Problem, ...], *, subject: str = "input") -> None:
        count = len(problems)
        noun = "problem" if count == 1 else "problems"
        super().__init__(f"{subject}: {count} {noun}: " + "; ".join(str(problem) for problem in problems))
        self.problems = problems
        self.subject = subject


class NotFound(DcpError):
    """There is no such subject."""

    code = "not-found"


class Conflict(DcpError):
    """The present state does not allow the request."""

    code = "conflict"


class Denied(DcpError):
    """The token is missing or wrong."""

    code = "denied"


class Unavailable(DcpError):
    """Something that dcp needs cannot be reached or is taken."""

    code = "unavailable"
    retry = True


class Stale(DcpError):
    """A write guarded by a version changed no row."""

    code = "stale"
    retry = True


class LeaseLost(DcpError):
    """The lease on a subject is no longer ours."""

    code = "lease-lost"


class DriverError(DcpError):
    """A driver could not do what was asked; trying again later may help."""

    code = "driver-error"
    retry = True


class OutOfStock(DriverError):
    """The source has no host of this type now."""

    code = "out-of-stock"


class QuotaReached(OutOfStock):
    """The account's own bound is reached: another zone of the same source will not help."""

    code = "quota"


class Unreachable(DriverError):
    """A host's engine, or a registry, does not answer; what runs or lies there may still be there, or not."""

    code = "unreachable"


class Throttled(DriverError):
    """The source asks to slow down for `delay_s` seconds."""

    code = "throttled"

    def __init__(self, message: str, *, delay_s: float, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.delay_s = delay_s


class Rejected(DriverError):
    """The request can never succeed as it is."""

    code = "rejected"
    retry = False


class AccessDenied(Rejected):
    """The source does not let our account do this."""

    code = "access-denied"
