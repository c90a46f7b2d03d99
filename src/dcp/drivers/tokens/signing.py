"""ES256 keys (cryptography) and JSON Web Tokens (PyJWT).

Registries of version 2 find the key by `kid` in libtrust's form among the certificates of their bundle; those of
version 3 by the same `kid` in a set of JSON Web Keys.
"""

import base64
import datetime
import hashlib
import secrets
from collections.abc import Mapping
from functools import lru_cache

import jwt
from cryptography import x509
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from dcp.drivers.tokens.vault import FileVault
from dcp.images.access.keys import SigningKey
from dcp.kernel.errors import Unavailable

CERTIFICATE_DAYS = 3650
"""Registries read the certificate as a name for its key; what ends a key is its succession."""
_PURPOSE = "signing keys/1"
_NONCE_BYTES = 12


class Es256Signer:
    """Keeps opened keys in memory; there are a few at most."""

    def __init__(self, vault: FileVault) -> None:
        self._cipher = AESGCM(vault.key(_PURPOSE))
        self._opened = lru_cache(maxsize=16)(self._open)

    def make_key(self, now: float, signs_from: float) -> SigningKey:
        private = ec.generate_private_key(ec.SECP256R1())
        kid = key_id(private.public_key())
        nonce = secrets.token_bytes(_NONCE_BYTES)
        plain = private.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        sealed = nonce + self._cipher.encrypt(nonce, plain, kid.encode())
        certificate = _certificate(private, kid, now)
        return SigningKey(kid, certificate, base64.b64encode(sealed).decode(), now, signs_from)

    def sign(self, key: SigningKey, claims: Mapping[str, object]) -> str:
        return jwt.encode(dict(claims), self._opened(key.kid, key.sealed_key), "ES256", headers={"kid": key.kid})

    def jwk(self, key: SigningKey) -> dict[str, str]:
        public = x509.load_pem_x509_certificate(key.certificate.encode()).public_key()
        assert isinstance(public, ec.EllipticCurvePublicKey)
        numbers = public.public_numbers()
        point = {name: _base64url(value.to_bytes(32)) for name, value in (("x", numbers.x), ("y", numbers.y))}
        return {"kty": "EC", "crv": "P-256", **point, "kid": key.kid, "use": "sig", "alg": "ES256"}

    def _open(self, kid: str, sealed_key: str) -> ec.EllipticCurvePrivateKey:
        try:
            sealed = base64.b64decode(sealed_key, validate=True)
            plain = self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], kid.encode())
            private = serialization.load_der_private_key(plain, None)
        except (ValueError, InvalidTag) as error:
            words = f"signing key {kid} was made with another secret than that of this state directory"
            hint = "bring back the file registry.secret, or make a new key: dcp registry rotate --now"
            raise Unavailable(words, hint=hint) from error
        assert isinstance(private, ec.EllipticCurvePrivateKey)
        return private


def key_id(public: ec.EllipticCurvePublicKey) -> str:
    """Return libtrust's name of a key: base32 of 240 bits of its SHA-256, in groups of four."""
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    text = base64.b32encode(hashlib.sha256(der).digest()[:30]).decode()
    return ":".join(text[start : start + 4] for start in range(0, len(text), 4))


def _certificate(private: ec.EllipticCurvePrivateKey, kid: str, now: float) -> str:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"dcp {kid[:9]}")])
    begin = datetime.datetime.fromtimestamp(now, datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin - datetime.timedelta(hours=1))
        .not_valid_after(begin + datetime.timedelta(days=CERTIFICATE_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(private, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM).decode()


def _base64url(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")
