"""Certificates for development: three authorities, made at first start and renewed before they end.

The services CA signs services, the proxies CA signs Envoys, the public CA signs what browsers see. See
docs/decisions/2026-11-24-two-certificate-authorities.md.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

MESH_AUTHORITIES = ("services", "proxies")
"""Those whose certificates only processes of the mesh look at; the public one is in the hands of clients."""
READ_SECONDS = 12.0
"""After so long all have read what was renewed: services look every ten seconds."""
TRUST_DOMAIN = "spiffe://worldmesh/"
_CA_LIFE = timedelta(days=3650)
_LIFE = timedelta(days=30)
_RENEW = timedelta(days=10)


def spiffe(name: str) -> str:
    """The SPIFFE id of a service or proxy."""
    return TRUST_DOMAIN + name


@dataclass(frozen=True)
class Authority:
    """A certificate authority of ours."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        """Its certificate."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)


def ensure_certificates(folder: Path, services: Sequence[str], *, renew: bool = False) -> None:
    """Make what is missing in the folder, and renew what ends soon: all certificates, if `renew` is set."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    services_ca, proxies_ca, public_ca = (_authority(folder, name) for name in (*MESH_AUTHORITIES, "public"))
    services_trust, proxies_trust = (_trusted(folder, name) for name in MESH_AUTHORITIES)
    for service in services:
        names = [x509.UniformResourceIdentifier(spiffe(service)), x509.DNSName(f"{service}.worldmesh.internal")]
        _leaf(folder / service, services_ca, service, names, {"proxies-ca.pem": proxies_trust}, renew=renew)
    for proxy, dns in (("envoy-mesh", "mesh.worldmesh.internal"), ("envoy-edge", "edge.worldmesh.internal")):
        names = [x509.UniformResourceIdentifier(spiffe(proxy)), x509.DNSName(dns)]
        _leaf(folder / proxy, proxies_ca, proxy, names, {"services-ca.pem": services_trust}, renew=renew)
    local: list[x509.GeneralName] = [
        x509.DNSName("localhost"),
        x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
        x509.IPAddress(ipaddress.ip_address("::1")),
    ]
    _leaf(folder / "public", public_ca, "localhost", local, {"ca.pem": public_ca.pem}, renew=renew)


def introduce_authorities(folder: Path, services: Sequence[str]) -> None:
    """First step to new authorities of the mesh: all trust them beside those of now. Nobody is signed by them yet."""
    for name in MESH_AUTHORITIES:
        _authority(folder, name, "ca-next")
    ensure_certificates(folder, services)


def adopt_authorities(folder: Path, services: Sequence[str]) -> None:
    """Second step, when all have read the first: everybody is signed by the new ones. The old are still trusted."""
    for name in MESH_AUTHORITIES:
        _write(folder / f"{name}-ca-old.pem", (folder / f"{name}-ca.pem").read_bytes())
        for kind in ("key", "pem"):
            (folder / f"{name}-ca-next.{kind}").replace(folder / f"{name}-ca.{kind}")
    ensure_certificates(folder, services)


def retire_authorities(folder: Path, services: Sequence[str]) -> None:
    """Last step, when all have read the second: the old ones are trusted no more."""
    for name in MESH_AUTHORITIES:
        (folder / f"{name}-ca-old.pem").unlink()
    ensure_certificates(folder, services)


def _trusted(folder: Path, name: str) -> bytes:
    """The certificates of an authority: its own, and while it is replaced the next or the last one."""
    files = (folder / f"{name}-{kind}.pem" for kind in ("ca", "ca-next", "ca-old"))
    return b"".join(file.read_bytes() for file in files if file.exists())


def _authority(folder: Path, name: str, kind: str = "ca") -> Authority:
    certificate, key = folder / f"{name}-{kind}.pem", folder / f"{name}-{kind}.key"
    if certificate.exists() and key.exists():
        loaded = serialization.load_pem_private_key(key.read_bytes(), None)
        if isinstance(loaded, ec.EllipticCurvePrivateKey):
            return Authority(x509.load_pem_x509_certificate(certificate.read_bytes()), loaded)
    private = ec.generate_private_key(ec.SECP256R1())
    subject = _name(f"Worldmesh development {name} CA")
    builder = _builder(subject, subject, private, _CA_LIFE)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    signed = builder.add_extension(_usage(sign=True), critical=True).sign(private, hashes.SHA256())
    authority = Authority(signed, private)
    _write(key, _pem(private), 0o600)
    _write(certificate, authority.pem)
    return authority


def _leaf(
    folder: Path,
    ca: Authority,
    common: str,
    names: Sequence[x509.GeneralName],
    beside: dict[str, bytes],
    *,
    renew: bool,
) -> None:
    folder.mkdir(exist_ok=True, mode=0o700)
    for name, content in beside.items():
        _write(folder / name, content)
    if _good(folder / "tls.pem", ca) and not renew:
        return
    private = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(_name(common), ca.certificate.subject, private, _LIFE)
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(sign=False), critical=True)
    uses = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    signed = builder.add_extension(x509.ExtendedKeyUsage(uses), critical=False).sign(ca.key, hashes.SHA256())
    _write(folder / "tls.key", _pem(private), 0o600)
    _write(folder / "tls.pem", signed.public_bytes(serialization.Encoding.PEM) + ca.pem)


def _good(path: Path, ca: Authority) -> bool:
    if not path.exists():
        return False
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    if certificate.not_valid_after_utc < datetime.now(UTC) + _RENEW:
        return False
    try:
        certificate.verify_directly_issued_by(ca.certificate)
    except Exception:
        return False
    return True


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, life: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=10))
        .not_valid_after(now + life)
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _usage(*, sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign,
        crl_sign=sign,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Replace by rename: whoever reads sees the old file or the new one."""
    fresh = path.with_name(path.name + ".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    fresh.replace(path)
