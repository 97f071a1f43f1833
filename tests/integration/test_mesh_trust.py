"""Deny by default: what Envoy and the services let through, tried on the real ones."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import grpc
import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from google.rpc import error_details_pb2, status_pb2
from worldmesh.world.v1 import world_service_pb2
from worldmesh_mesh.catalogue import load_catalogue
from worldmesh_mesh.contract import Exposure, Method, load_methods
from worldmesh_mesh.paths import CATALOGUE, DESCRIPTORS

from tests.support.world import World

SERVICES = load_catalogue(CATALOGUE)
METHODS = load_methods(DESCRIPTORS)


def raw_call(channel: grpc.Channel, path: str, metadata: tuple[tuple[str, str], ...] = ()) -> grpc.StatusCode:
    """The status of a call with an empty request; a stream is asked for its first message only."""
    call = channel.unary_stream(path, request_serializer=bytes, response_deserializer=bytes)
    stream = call(b"", timeout=5, metadata=metadata)
    try:
        next(stream, None)
        stream.cancel()
    except grpc.RpcError as error:
        return error.code()
    return grpc.StatusCode.OK


def reason_of(error: grpc.RpcError) -> str:
    """The stable reason in a status."""
    trailers = {each.key: each.value for each in error.trailing_metadata() or ()}
    details = trailers.get("grpc-status-details-bin", b"")
    for packed in status_pb2.Status.FromString(details).details:
        info = error_details_pb2.ErrorInfo()
        if packed.Unpack(info):
            return str(info.reason)
    return ""


@pytest.fixture(scope="module", params=[s.name for s in SERVICES])
def as_service(request: pytest.FixtureRequest, world: World) -> Iterator[tuple[str, grpc.Channel]]:
    with world.mesh_channel(request.param) as channel:
        yield request.param, channel


def test_mesh_lets_each_service_call_what_the_contracts_say_and_nothing_else(
    as_service: tuple[str, grpc.Channel],
) -> None:
    service, channel = as_service
    wrong = []
    for method in METHODS:
        allowed = service in method.callers_in(SERVICES)
        headers = (("x-room-id", "room_x"), ("x-presence-shard", "0"))
        denied = raw_call(channel, method.path, headers) in (
            grpc.StatusCode.PERMISSION_DENIED,
            grpc.StatusCode.UNIMPLEMENTED,
        )
        if denied == allowed:
            wrong.append(f"{service} -> {method.path}: allowed={allowed} denied={denied}")
    assert wrong == []


@pytest.mark.parametrize("method", [m for m in METHODS if m.exposure is Exposure.INTERNAL], ids=lambda m: m.path)
def test_internal_methods_can_not_be_reached_at_the_edge(world: World, method: Method) -> None:
    guest = world.guest()
    with world.edge_channel() as channel:
        code = raw_call(channel, method.path, (("authorization", f"Bearer {guest.access_token}"),))
    assert code is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize(
    "method", [m for m in METHODS if m.exposure in (Exposure.CLIENT, Exposure.SERVER)], ids=lambda m: m.path
)
def test_methods_for_clients_need_a_token_at_the_edge(world: World, method: Method) -> None:
    with world.edge_channel() as channel:
        assert raw_call(channel, method.path) is grpc.StatusCode.UNAUTHENTICATED


def test_a_client_token_does_not_open_methods_for_servers(world: World) -> None:
    guest = world.guest()
    with world.edge_channel() as channel:
        call = channel.unary_unary(
            "/worldmesh.gateway.v1.GatewayService/ListSessions", request_serializer=bytes, response_deserializer=bytes
        )
        with pytest.raises(grpc.RpcError) as raised:
            call(b"", timeout=5, metadata=(("authorization", f"Bearer {guest.access_token}"),))
    assert raised.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert reason_of(raised.value) == "SCOPE_MISSING"


def test_a_service_without_a_proxy_certificate_is_refused_at_a_services_own_port(world: World) -> None:
    """TLS itself refuses: no RPC gets through, so that nobody can pretend to be Envoy."""
    for instance in ("world-0", "relay-0"):
        with world.direct_channel(instance, "gateway") as channel:
            assert raw_call(channel, "/grpc.health.v1.Health/Check") is grpc.StatusCode.UNAVAILABLE
        with world.direct_channel(instance, "envoy-mesh") as channel:
            assert raw_call(channel, "/grpc.health.v1.Health/Check") is grpc.StatusCode.OK


def test_who_a_client_says_it_is_in_headers_is_dropped_at_the_edge(world: World) -> None:
    owner, thief = world.guest(), world.guest()
    room = {"display_name": "Private", "access_policy": "ACCESS_POLICY_PRIVATE"}
    made = httpx.post(
        f"{world.rest}/v1/rooms", json={"room": room, "request_id": owner.session_id}, headers=owner.headers
    ).json()["room"]
    spoofed = {"x-worldmesh-user-id": owner.user_id, "x-worldmesh-caller": "gateway"}
    url = f"{world.rest}/v1/rooms/{made['room_id']}"
    assert httpx.get(url, headers=owner.headers).status_code == 200
    assert httpx.get(url, headers=spoofed).status_code == 404
    assert httpx.get(url, headers=thief.headers | spoofed).status_code == 404


def test_only_services_that_act_for_clients_may_say_for_whom_they_call(world: World) -> None:
    path = "/worldmesh.presence.v1.PresenceService/BatchGetPresence"
    spoofed = (("x-worldmesh-user-id", "usr_somebody"), ("x-worldmesh-scopes", "client"))
    with world.mesh_channel("world") as channel:
        assert raw_call(channel, path, spoofed) is grpc.StatusCode.PERMISSION_DENIED
        assert raw_call(channel, path) is grpc.StatusCode.INVALID_ARGUMENT  # allowed, but the request is empty
    with world.mesh_channel("gateway") as channel:
        assert raw_call(channel, path, spoofed) is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("change", "reason"),
    [({}, "TOKEN_INVALID"), ({"aud": "others"}, "TOKEN_INVALID"), ({"exp": 1}, "TOKEN_EXPIRED")],
    ids=["forged", "of another audience", "expired"],
)
def test_bad_tokens_are_refused_with_their_reason(world: World, change: dict[str, object], reason: str) -> None:
    """Signed with a key of our own, but with the real key's id."""
    real = world.guest().access_token
    claims = jwt.decode(real, options={"verify_signature": False}) | change
    kid = jwt.get_unverified_header(real)["kid"]
    forged = jwt.encode(claims, Ed25519PrivateKey.generate(), algorithm="EdDSA", headers={"kid": kid})
    response = httpx.get(f"{world.rest}/v1/identity/self", headers={"authorization": f"Bearer {forged}"})
    assert response.status_code == 401
    assert response.json()["details"][0]["reason"] == reason
    # A method for everybody refuses a bad token too, rather than taking its bearer for nobody.
    assert httpx.get(f"{world.rest}/v1/rooms", headers={"authorization": f"Bearer {forged}"}).status_code == 401


def test_errors_of_services_reach_rest_with_their_details(world: World) -> None:
    response = httpx.get(f"{world.rest}/v1/rooms", params={"page_size": 1000})
    assert response.status_code == 400
    reasons = [d.get("reason") for d in response.json()["details"]]
    assert "INVALID_FIELD" in reasons
    assert world_service_pb2.ListRoomsRequest.DESCRIPTOR.fields_by_name["page_size"].name in response.text


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/v1/rooms?no_such_field=1", None),
        ("GET", "/v1/rooms?page_size=many", None),
        ("POST", "/v1/identity:signInGuest", b"{no JSON"),
        ("POST", "/v1/identity:signInGuest", b"x" * 2_000_000),
    ],
    ids=["unknown field", "wrong type", "no JSON", "two megabytes of it"],
)
def test_what_is_no_request_of_a_method_is_refused_with_a_reason(
    world: World, method: str, path: str, body: bytes | None
) -> None:
    response = httpx.request(method, f"{world.rest}{path}", content=body)
    assert response.status_code == 400
    assert response.json()["details"][0]["reason"] == "PAYLOAD_MALFORMED"
    assert httpx.get(f"{world.rest}/v1/rooms").status_code == 200


def test_an_unknown_field_of_a_body_is_dropped(world: World) -> None:
    """A limit of Envoy's transcoder that docs/mesh.md names: if this fails, it has an option now; use it."""
    body = {"device_id": secrets.token_urlsafe(24), "device_nmae": "misspelt"}
    assert httpx.post(f"{world.rest}/v1/identity:signInGuest", json=body).status_code == 200


def test_an_unknown_path_or_method_is_refused_with_a_reason(world: World) -> None:
    for response in (httpx.get(f"{world.rest}/nowhere"), httpx.delete(f"{world.rest}/")):
        assert response.status_code == 404
        assert response.json()["details"][0]["reason"] == "METHOD_NOT_FOUND"
    with world.edge_channel() as channel:
        call = channel.unary_unary("/worldmesh.world.v1.WorldService/Nothing", bytes, bytes)
        with pytest.raises(grpc.RpcError) as raised:
            call(b"", timeout=5)
    assert (raised.value.code(), raised.value.details()) == (grpc.StatusCode.UNIMPLEMENTED, "no such method or page")
    assert reason_of(raised.value) == "METHOD_NOT_FOUND"


@pytest.mark.parametrize("path", ["/v1/rooms", "/worldmesh.world.v1.WorldService/ListRooms", "/nowhere"])
def test_browsers_may_call_from_our_own_pages_and_from_no_others(world: World, path: str) -> None:
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}
    ours, allowed = world.addresses["web_tls"].rstrip("/"), "access-control-allow-origin"
    preflight = httpx.options(f"{world.rest}{path}", headers={"origin": ours, **asked})
    assert (preflight.status_code, preflight.headers[allowed]) == (200, ours)
    assert httpx.get(f"{world.rest}{path}", headers={"origin": ours}).headers[allowed] == ours
    for origin in ("https://elsewhere.example", "null", f"{ours}.elsewhere.example"):
        assert allowed not in httpx.options(f"{world.rest}{path}", headers={"origin": origin, **asked}).headers
        assert allowed not in httpx.get(f"{world.rest}{path}", headers={"origin": origin}).headers


def test_clients_can_not_steer_envoy_by_its_own_headers(world: World) -> None:
    steering = {"x-envoy-upstream-rq-timeout-ms": "1", "x-envoy-max-retries": "9", "x-worldmesh-host": "127.0.0.1:1"}
    for _ in range(5):
        assert httpx.get(f"{world.rest}/v1/rooms", headers=steering).status_code == 200
