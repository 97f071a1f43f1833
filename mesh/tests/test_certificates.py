"""Development certificates: who is named, who signs, when they are renewed."""

from __future__ import annotations

import shutil
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from worldmesh_mesh import certificates
from worldmesh_mesh.certificates import (
    adopt_authorities,
    ensure_certificates,
    introduce_authorities,
    retire_authorities,
)


def load(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def names(certificate: x509.Certificate, kind: type[x509.GeneralName]) -> list[str]:
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [str(name.value) for name in found if isinstance(name, kind)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    ensure_certificates(tmp_path / "certs", ["world", "relay"])
    return tmp_path / "certs"


def test_a_service_is_named_by_its_spiffe_id_and_signed_by_the_services_authority(folder: Path) -> None:
    certificate = load(folder / "world/tls.pem")
    assert names(certificate, x509.UniformResourceIdentifier) == ["spiffe://worldmesh/world"]
    assert names(certificate, x509.DNSName) == ["world.worldmesh.internal"]
    certificate.verify_directly_issued_by(load(folder / "services-ca.pem"))


def test_a_proxy_is_signed_by_another_authority_than_services(folder: Path) -> None:
    certificate = load(folder / "envoy-mesh/tls.pem")
    assert names(certificate, x509.UniformResourceIdentifier) == ["spiffe://worldmesh/envoy-mesh"]
    certificate.verify_directly_issued_by(load(folder / "proxies-ca.pem"))
    with pytest.raises(ValueError, match="Issuer"):
        certificate.verify_directly_issued_by(load(folder / "services-ca.pem"))


def test_browsers_see_a_certificate_for_this_machine(folder: Path) -> None:
    certificate = load(folder / "public/tls.pem")
    assert names(certificate, x509.DNSName) == ["localhost"]
    assert names(certificate, x509.IPAddress) == ["127.0.0.1", "::1"]


def test_nobody_else_may_read_the_keys(folder: Path) -> None:
    keys = list(folder.rglob("*.key"))
    assert len(keys) == 3 + 2 + 2 + 1
    assert {stat.S_IMODE(key.stat().st_mode) for key in keys} == {0o600}


def test_a_certificate_is_kept_until_shortly_before_its_end(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = load(folder / "world/tls.pem").serial_number
    ensure_certificates(folder, ["world", "relay"])
    assert load(folder / "world/tls.pem").serial_number == before

    class Later(datetime):
        @classmethod
        def now(cls, tz: object = None) -> Later:
            return cls.fromtimestamp((datetime.now(UTC) + timedelta(days=21)).timestamp(), UTC)

    monkeypatch.setattr(certificates, "datetime", Later)
    ensure_certificates(folder, ["world", "relay"])
    renewed = load(folder / "world/tls.pem")
    assert renewed.serial_number != before
    renewed.verify_directly_issued_by(load(folder / "services-ca.pem"))


def test_a_certificate_of_an_authority_that_is_gone_is_made_again(folder: Path) -> None:
    (folder / "services-ca.key").unlink()
    ensure_certificates(folder, ["world"])
    load(folder / "world/tls.pem").verify_directly_issued_by(load(folder / "services-ca.pem"))


def trusts(truster: Path, subject: Path) -> bool:
    """Whether one of the authorities in a file has signed a certificate."""
    for authority in x509.load_pem_x509_certificates(truster.read_bytes()):
        try:
            load(subject).verify_directly_issued_by(authority)
        except (ValueError, InvalidSignature):
            continue
        return True
    return False


def test_while_authorities_are_replaced_everybody_trusts_everybody(folder: Path, tmp_path: Path) -> None:
    """At each step some processes have read it and others have not."""
    pairs = [("envoy-mesh/services-ca.pem", "world/tls.pem"), ("world/proxies-ca.pem", "envoy-mesh/tls.pem")]
    first = tmp_path / "first"
    shutil.copytree(folder, first)
    for step in (introduce_authorities, adopt_authorities, retire_authorities):
        before = tmp_path / step.__name__
        shutil.copytree(folder, before)
        step(folder, ["world", "relay"])
        for truster, subject in pairs:
            assert trusts(folder / truster, folder / subject)
            assert trusts(before / truster, folder / subject)
            assert trusts(folder / truster, before / subject)
    for truster, subject in pairs:
        assert not trusts(folder / truster, first / subject)
        assert not trusts(first / truster, folder / subject)
    assert load(folder / "public-ca.pem") == load(first / "public-ca.pem")
