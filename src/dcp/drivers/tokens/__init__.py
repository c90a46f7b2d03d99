"""Keys, signatures, passwords and the shared secret of the token server."""

from dcp.drivers.tokens.passwords import ScryptPasswords
from dcp.drivers.tokens.signing import Es256Signer
from dcp.drivers.tokens.vault import FileVault

__all__ = ["Es256Signer", "FileVault", "ScryptPasswords"]
