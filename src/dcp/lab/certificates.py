"""The lab's own certificate authority and what it signs: certificates of engines and registries, one for clients."""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from dcp.lab.journal import write_whole
from dcp.lab.topology import Topology

_LIFE = timedelta(days=3650)


@dataclass(frozen=True, slots=True)
class ClientFiles:
    """PEM files of one who connects to the lab's engines."""

    ca: Path
    cert: Path
    key: Path


@dataclass(frozen=True, slots=True)
class _Authority:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def client_files(topology: Topology) -> ClientFiles:
    """Return where the client's files are."""
    folder = topology.directory / "tls"
    return ClientFiles(folder / "ca.pem", folder / "client.pem", folder / "client.key")


def server_files(topology: Topology, node: str) -> tuple[Path, Path]:
    """Return the certificate and key of a host (`h1`) or of a site's registry (`registry-s1`)."""
    folder = topology.directory / "tls"
    return folder / f"{node}.pem", folder / f"{node}.key"


def make_certificates(topology: Topology, now: float) -> None:
    """Make all certificates at once, unless they are there: a half-made set is never seen."""
    folder, new = topology.directory / "tls", topology.directory / "tls.new"
    if folder.is_dir():
        return
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(mode=0o700)
    since = datetime.fromtimestamp(now, UTC) - timedelta(hours=1)
    authority = _authority(f"lab {topology.name}", since)
    write_whole(new / "ca.pem", authority.certificate.public_bytes(Encoding.PEM))
    for host in topology.hosts:
        names = (host.address, "127.0.0.1", host.namespace, "localhost")
        _issue(new, host.name, authority, since, names, ExtendedKeyUsageOID.SERVER_AUTH)
    for registry in topology.registries:
        names = (registry.address, "127.0.0.1", topology.registry_name.partition(":")[0], "localhost")
        _issue(new, f"registry-{registry.site}", authority, since, names, ExtendedKeyUsageOID.SERVER_AUTH)
    _issue(new, "client", authority, since, (), ExtendedKeyUsageOID.CLIENT_AUTH)
    # The authority's key signs nothing more and is not kept.
    new.rename(folder)


def _authority(name: str, since: datetime) -> _Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        _unsigned(subject, subject, key, since)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return _Authority(certificate, key)


def _issue(
    folder: Path,
    node: str,
    authority: _Authority,
    since: datetime,
    names: Iterable[str],
    purpose: x509.ObjectIdentifier,
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, node)])
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    builder = (
        _unsigned(subject, authority.certificate.subject, key, since)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(identifier, critical=False)
    )
    alternatives = [_alternative(name) for name in names]
    if alternatives:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    write_whole(folder / f"{node}.pem", builder.sign(authority.key, hashes.SHA256()).public_bytes(Encoding.PEM))
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    write_whole(folder / f"{node}.key", secret, mode=0o600)


def _unsigned(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, since: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(since)
        .not_valid_after(since + _LIFE)
    )


def _alternative(name: str) -> x509.GeneralName:
    if name[0].isdigit():
        return x509.IPAddress(IPv4Address(name))
    return x509.DNSName(name)
