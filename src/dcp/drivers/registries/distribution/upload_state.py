"""The state of an upload, which CNCF distribution puts into the address where the upload goes on.

The address says at which offset the upload stands, sealed with the registry's `http.secret`, and the registry refuses
it once it stands elsewhere. So when a controller ends after its bytes arrived and before it heard the new address, the
upload is lost, although the registry has all of it. Whoever shares the secret, as dcp does with the registries that
it configures, can write the address that it did not hear.
"""

import base64
import binascii
import hashlib
import hmac
import json
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

_KEY = "_state"
_SEAL_BYTES = 32


def at_offset(location: str, secret: str, offset_bytes: int) -> str | None:
    """Return the address of the same upload at another offset; None if it is no address of this secret's registry."""
    parts = urlsplit(location)
    fields = dict(parse_qsl(parts.query))
    try:
        sealed = base64.urlsafe_b64decode(fields[_KEY])
        seal, text = sealed[:_SEAL_BYTES], sealed[_SEAL_BYTES:]
        if not hmac.compare_digest(seal, _seal(secret, text)):
            return None
        state = json.loads(text) | {"Offset": offset_bytes}
    except (KeyError, TypeError, ValueError, binascii.Error):
        return None
    moved = json.dumps(state, separators=(",", ":")).encode()
    fields[_KEY] = base64.urlsafe_b64encode(_seal(secret, moved) + moved).decode()
    return urlunsplit(parts._replace(query=urlencode(fields)))


def _seal(secret: str, text: bytes) -> bytes:
    return hmac.new(secret.encode(), text, hashlib.sha256).digest()
