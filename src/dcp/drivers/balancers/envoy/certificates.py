"""Who may speak as a controller and who as a proxy: one authority, and certificates that carry a name each.

The authority is made once in the state directory, or configured (several controllers on several machines need the
same). A controller's certificate says `controller.dcp`, a proxy's `NODE.proxy.dcp`: a name, not an address, because
what matters is which of them it is, wherever it runs.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from dcp.drivers.runtimes.process.directory import take_lock
from dcp.kernel.clock import Clock
from dcp.kernel.errors import Unavailable

CONTROLLER = "controller.dcp"
_PROXY_SUFFIX = ".proxy.dcp"
_AUTHORITY_DAYS = 3650
_DAYS = 1825
"""A proxy's certificate ends with its bootstrap: print a new one and start the proxy with it before that."""
_SKEW = timedelta(hours=1)  # clocks of other machines may be behind


@dataclass(frozen=True, slots=True)
class Identity:
    """PEM texts: who signed, who we are, our key."""

    authority: str
    chain: str
    key: str = field(repr=False)


class Authority:
    """Signs the certificates of controllers and proxies."""

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey, clock: Clock) -> None:
        self._certificate = certificate
        self._key = key
        self._clock = clock
        self.pem = certificate.public_bytes(serialization.Encoding.PEM).decode()

    @classmethod
    def made_in(cls, directory: Path, clock: Clock) -> "Authority":
        """Return the authority of a directory; the first of several callers makes it."""
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        certificate, key = directory / "authority.pem", directory / "authority.key"
        lock = take_lock(directory / "authority.lock", wait=True)
        assert lock is not None
        with lock:
            if not (certificate.exists() and key.exists()):
                _make(certificate, key, clock)
        return cls.read(certificate, key, clock)

    @classmethod
    def read(cls, certificate: Path, key: Path, clock: Clock) -> "Authority":
        """Return the authority in two PEM files. Unavailable: they cannot be read, or do not belong together."""
        try:
            signer = serialization.load_pem_private_key(key.read_bytes(), password=None)
            found = x509.load_pem_x509_certificate(certificate.read_bytes())
        except (OSError, ValueError, TypeError) as error:
            raise Unavailable(f"the authority for proxies cannot be read: {error}", hint=str(certificate)) from error
        if not isinstance(signer, ec.EllipticCurvePrivateKey) or signer.public_key() != found.public_key():
            raise Unavailable(
                "the authority for proxies: certificate and key do not belong together",
                hint=f"{key} must be the elliptic-curve key of {certificate}",
            )
        return cls(found, signer, clock)

    @classmethod
    def found(cls, files: tuple[Path, Path] | None, directory: Path, clock: Clock) -> "Authority":
        """Return the one in `files`, or else that of the directory."""
        return cls.made_in(directory, clock) if files is None else cls.read(*files, clock)

    def for_controller(self) -> Identity:
        return self._issue(CONTROLLER)

    def for_proxy(self, node: str) -> Identity:
        return self._issue(node + _PROXY_SUFFIX)

    def _issue(self, name: str) -> Identity:
        key = ec.generate_private_key(ec.SECP256R1())
        now = _utc(self._clock)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(_name("dcp"))
            .issuer_name(self._certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _SKEW)
            .not_valid_after(min(now + timedelta(days=_DAYS), self._certificate.not_valid_after_utc))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]),
                critical=False,
            )
            .sign(self._key, hashes.SHA256())
        )
        return Identity(self.pem, certificate.public_bytes(serialization.Encoding.PEM).decode(), _pem(key))


def proxy_name(node: str) -> str:
    """Return the name in the certificate of the proxy `node`."""
    return node + _PROXY_SUFFIX


def _make(certificate: Path, key: Path, clock: Clock) -> None:
    signer = ec.generate_private_key(ec.SECP256R1())
    now = _utc(clock)
    made = (
        x509.CertificateBuilder()
        .subject_name(_name("dcp proxies"))
        .issuer_name(_name("dcp proxies"))
        .public_key(signer.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + timedelta(days=_AUTHORITY_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(signer, hashes.SHA256())
    )
    for path, text in ((key, _pem(signer)), (certificate, made.public_bytes(serialization.Encoding.PEM).decode())):
        path.touch(0o600)
        path.write_text(text)


def _utc(clock: Clock) -> datetime:
    return datetime.fromtimestamp(int(clock.now()), UTC)


def _name(words: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, words)])


def _pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
