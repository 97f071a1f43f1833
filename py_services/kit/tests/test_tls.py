"""Certificates and authorities that are renewed while a service runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from worldmesh_kit import Kit, ServiceSettings, _renewed_channel, mesh_channel, serve
from worldmesh_kit._tls import Renewals, TlsFiles
from worldmesh_kit.testing import service_settings
from worldmesh_kit.testing_tls import make_tls_folder


@asynccontextmanager
async def health_alone(_kit: Kit[ServiceSettings], _settings: ServiceSettings) -> AsyncIterator[None]:
    """A service that serves nothing of its own."""
    yield


def as_proxy(folder: Path, port: int) -> grpc.aio.Channel:
    """The channel of a proxy with what is in the folder now."""
    root, key, chain = ((folder / name).read_bytes() for name in ("services-ca.pem", "proxy.key", "proxy.pem"))
    options = [("grpc.ssl_target_name_override", "service.worldmesh.internal"), ("grpc.use_local_subchannel_pool", 1)]
    return grpc.aio.secure_channel(f"127.0.0.1:{port}", grpc.ssl_channel_credentials(root, key, chain), options)


async def check(channel: grpc.aio.Channel) -> None:
    await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)


async def test_proxies_of_a_new_authority_are_let_in_and_those_of_the_old_one_are_not(tmp_path: Path) -> None:
    make_tls_folder(tmp_path)
    settings = ServiceSettings(**service_settings("world", tmp_path))  # type: ignore[arg-type]
    async with serve(settings, health_alone) as address, as_proxy(tmp_path, address.grpc_port) as open_before:
        await check(open_before)
        async with as_proxy(tmp_path, address.grpc_port) as old:
            make_tls_folder(tmp_path)
            async with as_proxy(tmp_path, address.grpc_port) as new:
                await check(new)
            await check(open_before)
            with pytest.raises(grpc.aio.AioRpcError):
                await check(old)


async def test_a_channel_dials_a_mesh_of_a_new_authority_with_a_renewed_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_renewed_channel, "LOOK_SECONDS", 0)
    make_tls_folder(tmp_path)
    settings = service_settings("mesh", tmp_path / "mesh")
    async with serve(ServiceSettings(**settings), health_alone) as first:  # type: ignore[arg-type]
        address = f"127.0.0.1:{first.grpc_port}"
        caller = ServiceSettings(**(service_settings("world", tmp_path) | {"mesh_addr": address}))  # type: ignore[arg-type]
        channel = mesh_channel(caller)
        stub = health_pb2_grpc.HealthStub(channel)
        await stub.Check(health_pb2.HealthCheckRequest(), timeout=5)
    make_tls_folder(tmp_path)
    async with channel, serve(ServiceSettings(**(settings | {"grpc_addr": address})), health_alone):  # type: ignore[arg-type]
        await stub.Check(health_pb2.HealthCheckRequest(), timeout=5, wait_for_ready=True)


def test_a_key_without_its_certificate_is_not_taken(tmp_path: Path) -> None:
    make_tls_folder(tmp_path)
    watch = Renewals(TlsFiles(tmp_path))
    other = tmp_path / "other"
    other.mkdir()
    make_tls_folder(other)
    (other / "tls.key").replace(tmp_path / "tls.key")
    assert not watch.renewed()
    (other / "tls.pem").replace(tmp_path / "tls.pem")
    assert watch.renewed()
    assert not watch.renewed()
