"""What the edge takes of one address, and how long it lets a stream live: tried on a real Envoy with small limits."""

from __future__ import annotations

import secrets
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import grpc
import httpx
import pytest
from google.rpc import error_details_pb2, status_pb2
from worldmesh.presence.v1 import presence_service_pb2
from worldmesh_mesh.catalogue import load_catalogue
from worldmesh_mesh.contract import load_methods
from worldmesh_mesh.envoy.edge import edge_config
from worldmesh_mesh.paths import CATALOGUE, DESCRIPTORS
from worldmesh_mesh.render import envoy_path, write
from worldmesh_mesh.topology import EDGE, EDGE_ADMIN, EDGE_PLAIN, Bucket, Limits, make_topology

from tests.integration.test_mesh_life import eventually
from tests.support.world import World, free_base

MUCH = Bucket(burst=10_000, per_second=5_000)
SIGN_IN = "/worldmesh.identity.v1.IdentityService/SignInGuest"


@dataclass(frozen=True)
class Edge:
    """A second edge of a world, with limits of its own."""

    rest: str
    target: str
    ca: bytes

    def channel(self) -> grpc.Channel:
        return grpc.secure_channel(self.target, grpc.ssl_channel_credentials(self.ca))

    def client(self, address: str) -> httpx.Client:
        """Somebody who comes from an address; this machine has all that begin with 127."""
        return httpx.Client(base_url=self.rest, transport=httpx.HTTPTransport(local_address=address))


@pytest.fixture
def edge(world: World) -> Iterator[Callable[[Limits], Edge]]:
    """Starts an edge in front of the world's services."""
    running: list[subprocess.Popen[bytes]] = []

    def start(limits: Limits) -> Edge:
        data, base = Path(world.addresses["data"]), free_base()
        topology = make_topology(
            load_catalogue(CATALOGUE),
            base=int(world.environ["WORLDMESH_PORT_BASE"]),
            data=data,
            environ=world.environ,
        )
        own = replace(topology, base=base, limits=limits, otlp_endpoint="")
        write(data / "envoy/second-edge.json", edge_config(own, load_methods(DESCRIPTORS), {}))
        options = "--config-path envoy/second-edge.json --disable-hot-restart --concurrency 1 --log-level error"
        running.append(subprocess.Popen([str(envoy_path()), *options.split()], cwd=data))
        eventually(lambda: _fetched_keys(base + EDGE_ADMIN))
        return Edge(
            rest=f"http://127.0.0.1:{base + EDGE_PLAIN}",
            target=f"localhost:{base + EDGE}",
            ca=Path(world.addresses["ca"]).read_bytes(),
        )

    yield start
    for process in running:
        process.terminate()
        process.wait()


def _fetched_keys(port: int) -> bool:
    try:
        stats = httpx.get(f"http://127.0.0.1:{port}/stats?filter=jwks_fetch_success&format=json").json()["stats"]
    except httpx.TransportError:
        return False
    return any(stat.get("value", 0) > 0 for stat in stats)


def statuses(client: httpx.Client, path: str, count: int) -> list[int]:
    return [client.get(path).status_code for _ in range(count)]


def test_an_address_that_asks_for_too_much_is_refused_and_others_are_not(edge: Callable[[Limits], Edge]) -> None:
    narrow = edge(Limits(MUCH, address=Bucket(5, 1), signing_in=MUCH))
    with narrow.client("127.0.0.2") as busy, narrow.client("127.0.0.3") as other:
        assert set(statuses(busy, "/healthz", 20)) == {200, 429}
        refused = busy.get("/healthz")
        assert refused.headers["retry-after"] == "1"
        assert refused.json()["code"] == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
        info, retry = refused.json()["details"]
        assert (info["reason"], retry["retry_delay"]) == ("RATE_LIMITED", "1s")
        assert statuses(other, "/healthz", 5) == [200] * 5
        time.sleep(1)  # as it was told
        assert busy.get("/healthz").status_code == 200


def test_signing_in_has_a_limit_of_its_own_however_its_url_is_written(edge: Callable[[Limits], Edge]) -> None:
    narrow = edge(Limits(MUCH, address=MUCH, signing_in=Bucket(4, 1)))
    with narrow.client("127.0.0.2") as busy, narrow.client("127.0.0.3") as other:

        def sign_in(client: httpx.Client, path: str = "/v1/identity:signInGuest") -> int:
            return client.post(path, json={"device_id": secrets.token_urlsafe(24)}).status_code

        ways = ["/v1/identity:signInGuest", "/v1/identity:signIn%47uest"] * 5
        assert {sign_in(busy, path) for path in ways} == {200, 429}
        assert set(statuses(busy, "/v1/rooms", 10)) == {200}, "reading is not signing in"
        assert sign_in(other) == 200


def test_a_refusal_by_grpc_says_when_to_try_again(edge: Callable[[Limits], Edge]) -> None:
    narrow = edge(Limits(MUCH, address=MUCH, signing_in=Bucket(1, 1)))
    with narrow.channel() as channel:
        sign_in = channel.unary_unary(SIGN_IN, request_serializer=bytes, response_deserializer=bytes)
        errors = []
        for _ in range(4):
            with pytest.raises(grpc.RpcError) as raised:  # the request is empty
                sign_in(b"", timeout=5)
            errors.append(raised.value)
    assert {e.code() for e in errors} == {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED}
    trailers = {each.key: each.value for each in errors[-1].trailing_metadata() or ()}
    status = status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    assert status.details[0].Unpack(info)
    assert status.details[1].Unpack(retry)
    assert (status.code, info.reason, retry.retry_delay.seconds) == (8, "RATE_LIMITED", 1)


@pytest.mark.parametrize("timeout", [None, 60], ids=["without a deadline", "with a later one"])
def test_a_stream_ends_in_time_whatever_its_client_asks_for(
    edge: Callable[[Limits], Edge], world: World, timeout: float | None
) -> None:
    short = edge(Limits(MUCH, address=MUCH, signing_in=MUCH, stream_seconds=1))
    guest = world.guest()
    with short.channel() as channel:
        watch = channel.unary_stream(
            "/worldmesh.presence.v1.PresenceService/WatchPresence",
            request_serializer=presence_service_pb2.WatchPresenceRequest.SerializeToString,
            response_deserializer=presence_service_pb2.WatchPresenceResponse.FromString,
        )
        request = presence_service_pb2.WatchPresenceRequest(user_ids=[guest.user_id])
        start = time.monotonic()
        stream = watch(request, timeout=timeout, metadata=(("authorization", f"Bearer {guest.access_token}"),))
        assert next(stream).presences[0].user_id == guest.user_id
        with pytest.raises(grpc.RpcError):
            next(stream)
    assert time.monotonic() - start < 10
