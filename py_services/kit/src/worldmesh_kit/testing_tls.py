"""Certificates for tests: a services CA, a proxies CA, one certificate of each."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ._tls import MESH_SERVER_NAME

_Pair = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


def make_tls_folder(folder: Path) -> None:
    """Write tls.pem, tls.key and proxies-ca.pem of a service, and proxy.pem, proxy.key and services-ca.pem; all anew.

    In `mesh` are the same files as the mesh Envoy would have them: a server with them lets services in.
    """
    services, proxies = _issue("services CA", None), _issue("proxies CA", None)
    _write(folder, "tls", _issue("service.worldmesh.internal", services))
    _write(folder, "proxy", _issue("service.worldmesh.internal", proxies))
    (folder / "services-ca.pem").write_bytes(_pem(services[0]))
    (folder / "proxies-ca.pem").write_bytes(_pem(proxies[0]))
    mesh = folder / "mesh"
    mesh.mkdir(exist_ok=True)
    _write(mesh, "tls", _issue(MESH_SERVER_NAME, proxies))
    (mesh / "proxies-ca.pem").write_bytes(_pem(services[0]))


def _write(folder: Path, name: str, pair: _Pair) -> None:
    certificate, key = pair
    (folder / f"{name}.pem").write_bytes(_pem(certificate))
    (folder / f"{name}.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


def _issue(name: str, ca: _Pair | None) -> _Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(ca[0].subject if ca else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=ca is None, path_length=None), critical=True)
    )
    if ca is not None:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    return builder.sign(ca[1] if ca else key, hashes.SHA256()), key


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
