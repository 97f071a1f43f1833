"""A small world to render: three services, and of their methods one of each kind."""

from __future__ import annotations

from pathlib import Path

from worldmesh_mesh.catalogue import load_catalogue
from worldmesh_mesh.contract import Exposure, Method, Retry, RouteKey
from worldmesh_mesh.topology import Topology, make_topology

TESTDATA = Path(__file__).parent / "testdata"

_IDENTITY = "worldmesh.identity.v1.IdentityService"
_ROOM = "worldmesh.room.v1.RoomService"
_GATEWAY = "worldmesh.gateway.v1.GatewayService"

METHODS = (
    Method(_GATEWAY, "ListSessions", Exposure.SERVER, ("server",), (), Retry.NEVER, 2, RouteKey.NONE, False),
    Method(_IDENTITY, "GetJwks", Exposure.PUBLIC, (), (), Retry.SAFE, 2, RouteKey.NONE, False),
    Method(_IDENTITY, "GetSelf", Exposure.CLIENT, ("client",), (), Retry.SAFE, 2, RouteKey.NONE, False),
    Method(_IDENTITY, "SignUp", Exposure.PUBLIC, (), (), Retry.UNSENT, 5, RouteKey.NONE, False),
    Method(_ROOM, "Attach", Exposure.INTERNAL, (), ("gateway",), Retry.UNSENT, 0, RouteKey.ROOM, True),
    Method(_ROOM, "GetLiveRoom", Exposure.SERVER, ("server",), ("relay",), Retry.SAFE, 1, RouteKey.ROOM, False),
)
WEB = {"/": ("/web/index.html", "text/html; charset=utf-8")}


def small_topology(*, development: bool = True) -> Topology:
    """The small world with two relays."""
    return make_topology(
        load_catalogue(TESTDATA / "catalogue.yaml"),
        base=8000,
        data=Path("/data"),
        environ={"RELAYS": "2", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4317" if development else ""},
        development=development,
    )
