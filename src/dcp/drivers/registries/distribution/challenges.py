"""What a registry answers to a request without a right to it: the `WWW-Authenticate` header, taken apart."""

import re
from dataclasses import dataclass

_PARAMETER = re.compile(r'([A-Za-z_]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')


@dataclass(frozen=True, slots=True)
class Challenge:
    """`scheme` is lower-case: `bearer` asks for a token from `realm`, `basic` for the password itself."""

    scheme: str
    realm: str = ""
    service: str = ""
    scope: str = ""
    error: str = ""


def read_challenge(header: str) -> Challenge | None:
    """Return the challenge in `header`; None if it asks for neither a token nor a password."""
    scheme, _, rest = header.strip().partition(" ")
    if scheme.lower() not in ("bearer", "basic"):
        return None
    found = {
        name.lower(): re.sub(r"\\(.)", r"\1", quoted) if quoted else plain
        for name, quoted, plain in _PARAMETER.findall(rest)
    }
    return Challenge(
        scheme.lower(), found.get("realm", ""), found.get("service", ""), found.get("scope", ""), found.get("error", "")
    )
