"""What the token server can be told, frozen."""

from dataclasses import dataclass
from urllib.parse import urlsplit

TOKEN_PATH = "/registry/token"
EVENTS_PATH = "/registry/events"


@dataclass(frozen=True, slots=True)
class AccessSettings:
    """Names and lives of tokens. Registries of all sites share them, so a token of one is good at the others."""

    url: str = ""
    """Where clients of the registries reach dcp; empty: wherever the request came in."""
    registry: str = ""
    """What images name as their registry; empty: whatever they name. Robots look at images of this registry only."""
    sites: tuple[str, ...] = ()
    """Sites with a registry; none: sites are not configured, and any name is taken."""
    service: str = "dcp-registry"
    issuer: str = "dcp"
    token_ttl_s: float = 300.0
    refresh_ttl_s: float = 30 * 86400.0
    """A client that logged in stays so this long; a new password ends it at once."""
    failures: int = 10
    """Wrong passwords of one account from one address in `failures_window_s`; after them it is refused unheard."""
    failures_window_s: float = 60.0
    keep_history_s: float = 90 * 86400.0
    """What registries told is dropped after this time."""

    def is_realm(self, realm: str) -> bool:
        """Return whether tokens are asked for here at `realm`: nobody else is shown a password of dcp's own accounts.

        Where dcp does not know its own address (`url`), the path must do.
        """
        if self.url:
            return realm == self.url.rstrip("/") + TOKEN_PATH
        return urlsplit(realm).path == TOKEN_PATH
