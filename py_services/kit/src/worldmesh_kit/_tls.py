"""A service's own certificate, and the authority that signs proxies: the only peers that a service has."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import grpc

MESH_SERVER_NAME = "mesh.worldmesh.internal"


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

        seen = self._stamp()

        def renewed() -> grpc.ServerCertificateConfiguration | None:
            nonlocal seen
            stamp = self._stamp()
            if stamp == seen:
                return None
            seen = stamp
            return configuration()

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

    def _stamp(self) -> int:
        return (self.folder / "tls.pem").stat().st_mtime_ns
