"""A service's own certificate, and the authority that signs proxies: the only peers that a service has."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

import grpc

MESH_SERVER_NAME = "mesh.worldmesh.internal"
_NAMES = ("tls.pem", "tls.key", "proxies-ca.pem")


@dataclass(frozen=True)
class TlsFiles:
    """tls.pem, tls.key and proxies-ca.pem of a folder."""

    folder: Path

    def _read(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()

    def server_credentials(self) -> grpc.ServerCredentials:
        """Accept proxies only. Renewed files are used by new connections."""

        def configuration() -> grpc.ServerCertificateConfiguration:
            return grpc.ssl_server_certificate_configuration(
                [(self._read("tls.key"), self._read("tls.pem"))],
                root_certificates=self._read("proxies-ca.pem"),
            )

        watch = Renewals(self)

        def renewed() -> grpc.ServerCertificateConfiguration | None:
            return configuration() if watch.renewed() else None

        return grpc.dynamic_ssl_server_credentials(
            configuration(),
            renewed,  # type: ignore[arg-type] # None means: as before
            require_client_authentication=True,
        )

    def channel_credentials(self) -> grpc.ChannelCredentials:
        """Dial proxies only."""
        return grpc.ssl_channel_credentials(
            root_certificates=self._read("proxies-ca.pem"),
            private_key=self._read("tls.key"),
            certificate_chain=self._read("tls.pem"),
        )

    def stamp(self) -> tuple[int, ...]:
        """Another one when a file was replaced."""
        return tuple((self.folder / name).stat().st_mtime_ns for name in _NAMES)

    def whole(self) -> bool:
        """Whether certificate and key belong together: they are replaced one after the other."""
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(self.folder / "tls.pem", self.folder / "tls.key")
        except (ssl.SSLError, OSError):
            return False
        return True


class Renewals:
    """Notices that files were replaced, each time once."""

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._seen = files.stamp()

    def renewed(self) -> bool:
        """Whether there are other files than the last time."""
        try:
            stamp = self._files.stamp()
        except OSError:
            return False
        if stamp == self._seen or not self._files.whole():
            return False
        self._seen = stamp
        return True
