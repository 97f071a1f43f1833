"""Which failures does Envoy retry? Tried on the real mesh Envoy, with a server in Python and one in Go.

Envoy retries gRPC only on a status that comes in the response's headers (envoyproxy/envoy#11049): a status in the
trailers comes too late. So it matters how a server says UNAVAILABLE. See
docs/decisions/2026-11-24-what-envoy-retries.md.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from google.rpc import status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from worldmesh_mesh.catalogue import load_catalogue
from worldmesh_mesh.contract import Retry, load_methods
from worldmesh_mesh.envoy.common import endpoints
from worldmesh_mesh.paths import CATALOGUE, DESCRIPTORS
from worldmesh_mesh.topology import make_topology

from tests.integration.test_mesh_life import eventually
from tests.integration.test_mesh_trust import reason_of
from tests.support.world import ROOT, World, running_world

SERVICES = load_catalogue(CATALOGUE)
METHODS = {m.path: m for m in load_methods(DESCRIPTORS)}
# Methods of world that the gateway may call, one of each class.
PATHS = {
    Retry.SAFE: "/worldmesh.world.v1.WorldService/GetRoom",
    Retry.UNSENT: "/worldmesh.world.v1.WorldService/UpdateRoom",
}


@pytest.fixture(scope="module")
def own_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A small world whose `world` service the tests replace."""
    with running_world(tmp_path_factory.mktemp("retries"), scale={}) as running:
        yield running


@pytest.fixture(scope="module", params=["python", "go"])
def probed(request: pytest.FixtureRequest, own_world: World) -> Iterator[Callable[[Retry, str], tuple[str, int]]]:
    """Points the mesh at a server that fails first; gives a function that calls it."""
    server = _go_server if request.param == "go" else _python_server
    with server(own_world) as port, own_world.mesh_channel("gateway") as channel:
        _point_world_at(own_world, [port])
        eventually(lambda: _call(channel, Retry.SAFE, "early")[1] > 0)
        yield lambda retry, how: _call(channel, retry, how)


def _call(channel: grpc.Channel, retry: Retry, how: str) -> tuple[str, int]:
    """The status, and how often the server was called."""
    call = channel.unary_unary(PATHS[retry], request_serializer=bytes, response_deserializer=bytes)
    metadata = (("x-key", uuid.uuid4().hex), ("x-fail", how))
    try:
        _, done = call.with_call(b"", timeout=10, metadata=metadata)
    except grpc.RpcError as error:
        return error.code().name, _calls(error.trailing_metadata())
    return "OK", _calls(done.trailing_metadata())


def _calls(trailers: Iterable[Any] | None) -> int:
    return next((int(each.value) for each in trailers or () if each.key == "x-calls"), 0)


def _point_world_at(world: World, ports: Sequence[int]) -> None:
    """Rewrites the endpoint file, as when instances come and go: Envoy sees it without a restart."""
    topology = make_topology(SERVICES, base=8000, data=Path(), environ={})
    world_0 = topology.of("world")[0]
    instances = tuple(replace(world_0, number=number, grpc_port=port) for number, port in enumerate(ports))
    text = json.dumps(endpoints(replace(topology, instances=instances), "world"))
    path = Path(world.addresses["data"]) / "envoy/endpoints/world.json"
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.replace(path)


@contextmanager
def _go_server(world: World) -> Iterator[int]:
    with _go_process(world) as (port, _):
        yield port


@contextmanager
def _go_process(world: World, *options: str) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    binary = ROOT / ".build/retryprobe"
    subprocess.run(["go", "build", "-o", binary, "./tests/support/retryprobe"], cwd=ROOT, check=True)
    certs = Path(world.addresses["certs"]) / "world"
    process = subprocess.Popen([binary, "--certs", certs, *options], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline()), process
    finally:
        process.kill()
        process.wait()


class _Probe(grpc.GenericRpcHandler):
    """As the Go one: fails the first call of each key."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        if "WorldService" not in details.method:
            return None
        return grpc.unary_unary_rpc_method_handler(self._serve)

    async def _serve(self, request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        metadata = dict(context.invocation_metadata() or ())
        key = str(metadata["x-key"])
        self.calls[key] += 1
        context.set_trailing_metadata((("x-calls", str(self.calls[key])),))
        if self.calls[key] == 1:
            if metadata["x-fail"] == "late":
                await context.send_initial_metadata(())
            await context.abort(
                grpc.StatusCode.UNAVAILABLE, "the first call fails", (("x-calls", str(self.calls[key])),)
            )
        return b""


@contextmanager
def _python_server(world: World) -> Iterator[int]:
    """A grpc.aio server in a process of its own would be the same; a thread with a loop is enough."""
    ready: list[int] = []
    stop = threading.Event()

    async def serve() -> None:
        server = grpc.aio.server()
        server.add_generic_rpc_handlers((_Probe(),))
        health = _Health()
        health_pb2_grpc.add_HealthServicer_to_server(health, server)
        folder = Path(world.addresses["certs"]) / "world"
        pair = ((folder / "tls.key").read_bytes(), (folder / "tls.pem").read_bytes())
        roots = (folder / "proxies-ca.pem").read_bytes()
        credentials = grpc.ssl_server_credentials([pair], roots, require_client_auth=True)
        ready.append(server.add_secure_port("127.0.0.1:0", credentials))
        await server.start()
        while not stop.is_set():  # noqa: ASYNC110 - it is another thread that sets it
            await asyncio.sleep(0.05)
        await server.stop(None)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        eventually(lambda: bool(ready))
        yield ready[0]
    finally:
        stop.set()
        thread.join()


class _Health(health_pb2_grpc.HealthServicer):
    async def Check(self, request: object, context: object) -> health_pb2.HealthCheckResponse:  # noqa: N802
        return health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)


def test_the_methods_are_of_the_classes_that_this_file_means() -> None:
    assert {METHODS[path].retry: path for path in PATHS.values()} == PATHS


def test_unavailable_in_the_headers_is_retried_for_safe_methods(
    probed: Callable[[Retry, str], tuple[str, int]],
) -> None:
    """Both servers put the status into the headers when they fail before they have answered anything."""
    assert probed(Retry.SAFE, "early") == ("OK", 2)


def test_unavailable_after_the_headers_is_not_retried(probed: Callable[[Retry, str], tuple[str, int]]) -> None:
    assert probed(Retry.SAFE, "late") == ("UNAVAILABLE", 1)


def test_a_call_that_reached_the_service_is_not_retried_for_unsent_methods(
    probed: Callable[[Retry, str], tuple[str, int]],
) -> None:
    assert probed(Retry.UNSENT, "early") == ("UNAVAILABLE", 1)


def test_a_connection_that_breaks_under_a_call_is_retried_for_safe_methods_only(own_world: World) -> None:
    with _go_server(own_world) as port, own_world.mesh_channel("gateway") as channel:
        _point_world_at(own_world, [port])
        eventually(lambda: _call(channel, Retry.SAFE, "early")[1] > 0)
        assert _call(channel, Retry.SAFE, "broken") == ("OK", 2)
        assert _call(channel, Retry.UNSENT, "broken") == ("UNAVAILABLE", 0)


def test_calls_that_an_instance_can_not_take_any_more_go_to_another(own_world: World) -> None:
    """A connection refused proves that nothing was sent, so that both classes are sent again; nobody sees a failure."""
    with ExitStack() as stack:
        channel = stack.enter_context(own_world.mesh_channel("gateway"))
        (stays, _), (goes, process) = (stack.enter_context(_go_process(own_world)) for _ in range(2))
        _point_world_at(own_world, [goes])
        eventually(lambda: _call(channel, Retry.SAFE, "never") == ("OK", 1))
        _point_world_at(own_world, [stays, goes])
        eventually(lambda: _call(channel, Retry.SAFE, "never")[0] == "OK" and _called(own_world) >= {stays, goes})
        process.kill()
        process.wait()
        for _ in range(20):
            assert _call(channel, Retry.UNSENT, "never") == ("OK", 1)


def test_an_instance_that_fails_again_and_again_is_left_out_for_a_while_although_it_looks_healthy(
    own_world: World,
) -> None:
    with ExitStack() as stack:
        channel = stack.enter_context(own_world.mesh_channel("gateway"))
        good, _ = stack.enter_context(_go_process(own_world))
        bad, _ = stack.enter_context(_go_process(own_world, "--broken"))
        _point_world_at(own_world, [good, bad])
        answers: list[str] = []

        def ejected() -> bool:
            answers.append(_call(channel, Retry.UNSENT, "never")[0])
            return _ejected(own_world) == {bad}

        eventually(ejected)
        assert answers.count("UNAVAILABLE") >= 3, "nobody hid the failures that it took to find out"
        assert [_call(channel, Retry.UNSENT, "never") for _ in range(10)] == [("OK", 1)] * 10
        eventually(lambda: _ejected(own_world) == set())


def test_a_service_that_does_not_answer_in_its_time_is_a_deadline_that_has_passed(own_world: World) -> None:
    with _go_server(own_world) as port, own_world.mesh_channel("gateway") as channel:
        _point_world_at(own_world, [port])
        eventually(lambda: _call(channel, Retry.SAFE, "never") == ("OK", 1))
        call = channel.unary_unary(PATHS[Retry.UNSENT], request_serializer=bytes, response_deserializer=bytes)
        with pytest.raises(grpc.RpcError) as raised:
            call(b"", timeout=60, metadata=(("x-key", uuid.uuid4().hex), ("x-fail", "hang")))
    assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert reason_of(raised.value) == "DEADLINE_EXCEEDED"


def test_calls_beyond_what_a_service_can_take_are_refused_with_a_time_to_try_again_and_hardly_logged(
    own_world: World,
) -> None:
    """To tell of each would cost more than to refuse it. All others are told of."""
    most, refused, answered = 64, 300, 5  # of a service in Python with one instance
    with _go_server(own_world) as port, own_world.mesh_channel("gateway") as channel:
        _point_world_at(own_world, [port])
        eventually(lambda: _call(channel, Retry.SAFE, "never") == ("OK", 1))
        call = channel.unary_unary(PATHS[Retry.UNSENT], request_serializer=bytes, response_deserializer=bytes)
        before = len(_lines(own_world, "overflow"))

        def ask(how: str, trace: str = "") -> grpc.Future[bytes]:
            named = (("traceparent", f"00-{trace}-{uuid.uuid4().hex[:16]}-01"),) if trace else ()
            return call.future(b"", timeout=20, metadata=(("x-key", uuid.uuid4().hex), ("x-fail", how), *named))

        hanging = [ask("hang") for _ in range(most)]
        eventually(lambda: _under_way(own_world) == most)
        for future in [ask("never") for _ in range(refused)]:
            error = future.exception()
            assert isinstance(error, grpc.RpcError)
            assert error.code() is grpc.StatusCode.UNAVAILABLE
            assert _details(error) == ["google.rpc.ErrorInfo", "google.rpc.RetryInfo"]
        for future in hanging:
            future.cancel()
        eventually(lambda: _under_way(own_world) == 0)
        trace = uuid.uuid4().hex
        for _ in range(answered):
            assert ask("never", trace).result() == b""
        eventually(lambda: len(_lines(own_world, trace)) == answered)
        assert len(_lines(own_world, "overflow")) - before < refused / 10


def _details(error: grpc.RpcError) -> list[str]:
    """What a status has besides its code."""
    trailers = {each.key: each.value for each in error.trailing_metadata() or ()}
    return [each.TypeName() for each in status_pb2.Status.FromString(trailers["grpc-status-details-bin"]).details]


def _lines(world: World, text: str) -> list[str]:
    """What the mesh's Envoy has logged."""
    log = Path(world.addresses["logs"]) / "envoy-mesh.log"
    return [line for line in log.read_text().splitlines() if text in line]


def _under_way(world: World) -> int:
    """Calls that are under way to `world`."""
    [line] = re.findall(
        r"^cluster\.world\.upstream_rq_active: (\d+)$",
        httpx.get(f"{world.addresses['admin']['mesh']}stats?filter=^cluster.world.upstream_rq_active$").text,
        re.MULTILINE,
    )
    return int(line)


def _called(world: World) -> set[int]:
    """Ports of the instances of `world` that Envoy has sent a call to."""
    return _instances(world, "rq_total::[1-9]")


def _ejected(world: World) -> set[int]:
    """Ports of the instances of `world` that Envoy leaves out, for their calls fail."""
    return _instances(world, "health_flags::.*/failed_outlier_check")


def _instances(world: World, what: str) -> set[int]:
    clusters = httpx.get(f"{world.addresses['admin']['mesh']}clusters").text
    return {int(port) for port in re.findall(rf"^world::127\.0\.0\.1:(\d+)::{what}", clusters, re.MULTILINE)}
