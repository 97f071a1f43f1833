"""What proves who is who is renewed while the world runs."""

from __future__ import annotations

import socket
import ssl
import time
from pathlib import Path

from cryptography import x509

from tests.support.world import World

PATIENCE = 30.0


def shown(world: World, port: int, client: str) -> int:
    """The serial number of the certificate that a new connection is shown; `client` is who connects."""
    folder = Path(world.addresses["certs"]) / client
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # it is looked at, and nothing said
    context.load_cert_chain(folder / "tls.pem", folder / "tls.key")
    with socket.create_connection(("127.0.0.1", port), timeout=5) as plain, context.wrap_socket(plain) as secure:
        certificate = secure.getpeercert(binary_form=True)
    assert certificate
    return x509.load_der_x509_certificate(certificate).serial_number


def port_of(address: str) -> int:
    return int(address.removesuffix("/ws").rpartition(":")[2])


def test_renewed_certificates_are_shown_to_whoever_comes_from_then_on(world: World) -> None:
    where = world.addresses
    doors = {
        "the edge": (port_of(where["grpc"]), "world"),
        "the mesh": (port_of(where["mesh"]), "world"),
        "a gateway": (port_of(where["gateways_wss"][0]), "world"),
        "a service in Python": (port_of(where["services"]["world-0"]), "envoy-mesh"),
        "a service in Go": (port_of(where["services"]["relay-0"]), "envoy-mesh"),
    }
    before = {door: shown(world, *how) for door, how in doors.items()}
    world.command("rotate", "certificates")
    limit = time.monotonic() + PATIENCE
    while old := [door for door, how in doors.items() if shown(world, *how) == before[door]]:
        assert time.monotonic() < limit, f"shown as before by {old}"
        time.sleep(0.5)
    world.guest()  # the way through all of it
