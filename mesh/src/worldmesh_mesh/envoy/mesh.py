"""The mesh listener: mTLS between services, and who may call what."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from worldmesh_mesh.certificates import spiffe
from worldmesh_mesh.contract import Method
from worldmesh_mesh.topology import MESH, MESH_ADMIN, Topology

from .basics import Json, typed
from .common import (
    CALLER_HEADER,
    HEALTH,
    REFLECTION,
    USER_HEADERS,
    access_log,
    address,
    bootstrap,
    hashed_services,
    otlp_cluster,
    person_routes,
    route,
    router,
    service_cluster,
    tracing,
)
from .replies import local_replies
from .secrets import authorities, certificate

PROXY = "envoy-mesh"


def mesh_config(topology: Topology, methods: Sequence[Method]) -> Json:
    """The mesh Envoy's whole configuration."""
    hashed = hashed_services(topology, methods)
    clusters = [service_cluster(topology, s.name, PROXY, hashed=s.name in hashed) for s in topology.services]
    return bootstrap(
        PROXY,
        topology.port(MESH_ADMIN),
        [_listener(topology, methods)],
        [*clusters, *otlp_cluster(topology)],
    )


def _listener(topology: Topology, methods: Sequence[Method]) -> Json:
    manager = typed(
        "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="mesh",
        codec_type="HTTP2",
        http2_protocol_options={
            # A gateway has a stream a room, on one connection: more than it may have sockets.
            "max_concurrent_streams": 65_536,
            # Nor is one that stands still for a moment, with a frame a tick of each of them, a flood to be cut off.
            "max_outbound_frames": 500_000,
            "initial_stream_window_size": 1 << 20,
            "initial_connection_window_size": 8 << 20,
            # A service whose machine or network is gone ends no stream: whoever waits for its end, waits for this.
            "connection_keepalive": {"interval": "3s", "timeout": "2s"},
        },
        stream_idle_timeout="0s",
        access_log=access_log(),
        **tracing(topology, PROXY),
        local_reply_config=local_replies(),
        http_filters=[_authorization(topology, methods), router()],
        route_config={
            "name": "mesh",
            "request_headers_to_add": [
                {
                    "header": {"key": CALLER_HEADER, "value": "%DOWNSTREAM_PEER_URI_SAN%"},
                    "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
                }
            ],
            "virtual_hosts": [
                {
                    "name": "mesh",
                    "domains": ["*"],
                    "routes": [
                        *(
                            route(m, topology.serving(m.service).name)
                            for m in methods
                            if m.callers_in(topology.services)
                        ),
                        *person_routes(topology),
                    ],
                }
            ],
        },
    )
    return {
        "name": "mesh",
        "address": address(topology.port(MESH)),
        "filter_chains": [
            {
                "transport_socket": _mutual_tls(),
                "filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}],
            }
        ],
    }


def _mutual_tls() -> Json:
    context = typed(
        "extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        require_client_certificate=True,
        common_tls_context={
            **certificate(PROXY),
            "alpn_protocols": ["h2"],
            **authorities(PROXY),
        },
    )
    return {"name": "envoy.transport_sockets.tls", "typed_config": context}


def _authorization(topology: Topology, methods: Sequence[Method]) -> Json:
    """Deny by default: each service may call the methods whose contract names it.

    Only services that act for clients may say on whose behalf they call.
    """
    allowed: dict[str, list[str]] = defaultdict(list)
    for method in methods:
        for caller in method.callers_in(topology.services):
            allowed[caller].append(method.path)
    policies: dict[str, Json] = {
        f"calls of {service.name}": _policy(service.name, allowed[service.name], acts=service.acts_for_clients)
        for service in topology.services
        if allowed[service.name]
    }
    # A person who debugs with a service's certificate may look at any service's reflection and health.
    policies["reflection and health"] = {
        "permissions": [{"url_path": {"path": {"prefix": prefix}}} for prefix in (*REFLECTION, HEALTH)],
        "principals": [{"any": True}],
    }
    rbac = typed("extensions.filters.http.rbac.v3.RBAC", rules={"action": "ALLOW", "policies": policies})
    return {"name": "envoy.filters.http.rbac", "typed_config": rbac}


def _policy(service: str, paths: Sequence[str], *, acts: bool) -> Json:
    permission: Json = {"or_rules": {"rules": [{"url_path": {"path": {"exact": path}}} for path in paths]}}
    if not acts:
        silent = [{"not_rule": {"header": {"name": header, "present_match": True}}} for header in USER_HEADERS]
        permission = {"and_rules": {"rules": [permission, *silent]}}
    return {
        "permissions": [permission],
        "principals": [{"authenticated": {"principal_name": {"exact": spiffe(service)}}}],
    }
