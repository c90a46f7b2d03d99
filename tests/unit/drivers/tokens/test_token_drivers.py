"""Keys, signatures, passwords and the shared secret."""

import base64
import hashlib
import re
import stat
import subprocess
import sys
from pathlib import Path

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from dcp.drivers.tokens import Es256Signer, FileVault, ScryptPasswords
from dcp.drivers.tokens.passwords import Cost
from dcp.images.access.keys import SigningKey
from dcp.kernel.errors import Unavailable

CHEAP = Cost(n=16)


@pytest.fixture
def vault(tmp_path: Path) -> FileVault:
    return FileVault(tmp_path / "registry.secret")


def public_of(key: SigningKey):
    return x509.load_pem_x509_certificate(key.certificate.encode()).public_key()


def test_the_name_of_a_key_is_what_libtrust_makes_of_it(vault: FileVault):
    key = Es256Signer(vault).make_key(1_700_000_000.0, 0.0)
    der = public_of(key).public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    assert re.fullmatch(r"([A-Z2-7]{4}:){11}[A-Z2-7]{4}", key.kid)
    assert base64.b32decode(key.kid.replace(":", "")) == hashlib.sha256(der).digest()[:30]


def test_a_token_is_read_with_the_certificate_and_with_the_web_key(vault: FileVault):
    signer = Es256Signer(vault)
    key = signer.make_key(1_700_000_000.0, 0.0)
    token = signer.sign(key, {"sub": "ann", "access": []})
    assert jwt.get_unverified_header(token) == {"alg": "ES256", "typ": "JWT", "kid": key.kid}
    assert jwt.decode(token, public_of(key), ["ES256"]) == {"sub": "ann", "access": []}
    assert jwt.decode(token, jwt.PyJWK(signer.jwk(key)).key, ["ES256"])["sub"] == "ann"
    assert signer.jwk(key)["kid"] == key.kid
    other = signer.make_key(1_700_000_000.0, 0.0)
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(token, public_of(other), ["ES256"])


def test_the_store_alone_signs_nothing(vault: FileVault, tmp_path: Path):
    key = Es256Signer(vault).make_key(1_700_000_000.0, 0.0)
    assert "PRIVATE" not in key.certificate and key.sealed_key not in repr(key)
    assert Es256Signer(FileVault(tmp_path / "registry.secret")).sign(key, {}), "another controller's, same file"
    with pytest.raises(Unavailable, match="another secret") as caught:
        Es256Signer(FileVault(tmp_path / "other.secret")).sign(key, {})
    assert "rotate --now" in caught.value.hint
    swapped = SigningKey("A" * 59, key.certificate, key.sealed_key, 0, 0)
    with pytest.raises(Unavailable):
        Es256Signer(vault).sign(swapped, {})


def test_the_secret_is_made_once_for_our_eyes_only(tmp_path: Path):
    path = tmp_path / "state" / "registry.secret"
    first = FileVault(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["registry.secret"]
    assert FileVault(path).derive("x") == first.derive("x") != first.derive("y")
    assert first.matches("x", first.derive("x"))
    for wrong in ("", "x", first.derive("y"), first.derive("x")[:-1], "é\udcff"):
        assert not first.matches("x", wrong)


def test_many_who_start_together_get_the_same_secret(tmp_path: Path):
    words = "import sys, pathlib; from dcp.drivers.tokens.vault import FileVault;"
    words += "print(FileVault(pathlib.Path(sys.argv[1])).derive('x'))"
    command = [sys.executable, "-c", words, str(tmp_path / "secret")]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert len({process.communicate(timeout=30)[0] for process in started}) == 1


@pytest.mark.parametrize("text", ["", "xyz", "ab" * 31, "ab" * 33])
def test_a_secret_that_was_damaged_is_refused_and_kept(tmp_path: Path, text: str):
    (tmp_path / "secret").write_text(text)
    with pytest.raises(Unavailable, match="cannot be used"):
        FileVault(tmp_path / "secret")
    assert (tmp_path / "secret").read_text() == text


def test_a_password_is_known_again_and_no_two_hashes_are_alike():
    passwords = ScryptPasswords(CHEAP)
    stored = passwords.hash("correct hörse")
    assert stored.startswith("scrypt$16$8$3$") and stored != passwords.hash("correct hörse")
    assert passwords.verify("correct hörse", stored)
    assert not passwords.verify("correct horse", stored) and not passwords.verify("", stored)
    assert not passwords.is_quick(stored)


def test_hashes_of_another_cost_are_still_known():
    stored = ScryptPasswords(Cost(n=32, p=1)).hash("right")
    assert ScryptPasswords(CHEAP).verify("right", stored)


def test_the_secret_of_a_robot_is_known_quickly():
    passwords = ScryptPasswords(CHEAP)
    stored = passwords.hash_of_random("a" * 43)
    assert passwords.is_quick(stored) and stored != passwords.hash_of_random("a" * 43)
    assert passwords.verify("a" * 43, stored) and not passwords.verify("b" * 43, stored)


@pytest.mark.parametrize(
    "stored",
    [
        "",
        "x",
        "scrypt$1$2",
        "scrypt$a$8$1$AA==$AA==",
        "scrypt$16$8$1$A$AA==",
        "sha256$AA==",
        "md5$AA==$AA==",
        f"scrypt${1 << 22}$8$1$AA==$AA==",
    ],
)
def test_what_is_no_hash_is_nobodys(stored: str):
    passwords = ScryptPasswords(CHEAP)
    assert not passwords.verify("", stored) and not passwords.verify("x", stored)


def test_the_default_cost_is_what_owasp_asks_at_least():
    assert (Cost().n, Cost().r, Cost().p) == (2**15, 8, 3)
