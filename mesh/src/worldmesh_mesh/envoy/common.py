"""What the edge and the mesh have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from worldmesh_mesh.certificates import spiffe
from worldmesh_mesh.contract import Method, Retry, RouteKey
from worldmesh_mesh.topology import HOST, Topology

from .basics import Json, typed
from .secrets import authorities, certificate

USER_HEADERS = (
    "x-worldmesh-user-id",
    "x-worldmesh-session-id",
    "x-worldmesh-username",
    "x-worldmesh-account-kind",
    "x-worldmesh-scopes",
)
CALLER_HEADER = "x-worldmesh-caller"
SERVICE_HEADER = "x-worldmesh-service"
"""By which a person says whose reflection or health is meant."""
HOST_HEADER = "x-worldmesh-host"
"""By which a gateway will name the relay that owns a room."""

NOWHERE = "nowhere"
"""A cluster without instances, for requests that have no route."""

REFLECTION = ("/grpc.reflection.v1.ServerReflection/", "/grpc.reflection.v1alpha.ServerReflection/")
HEALTH = "/grpc.health.v1.Health/"

_HASH_HEADERS = {RouteKey.ROOM: "x-room-id", RouteKey.PRESENCE_SHARD: "x-presence-shard"}
# What comes from outside is bounded more tightly than what services ask each other because of it: one call asks all of
# presence's 16 shards at most, and what was let in is not to be refused half way.
_CALLS_AT_ONCE = {"envoy-edge": {"python": 64, "go": 128}, "envoy-mesh": {"python": 64, "go": 128 * 16}}
_CONNECTIONS: Json = {
    "max_connections": 10_000,
    "max_pending_requests": 10_000,
    "retry_budget": {"budget_percent": {"value": 20.0}, "min_retry_concurrency": 10},
}
_RETRY_ON = {
    Retry.UNSENT: "connect-failure,refused-stream,reset-before-request",
    Retry.SAFE: "connect-failure,refused-stream,reset,unavailable",
}


ELSEWHERE: Json = {
    "retry_host_predicate": [
        {
            "name": "envoy.retry_host_predicates.previous_hosts",
            "typed_config": typed("extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"),
        }
    ],
    "host_selection_retry_max_attempts": 10,
}
"""A retry goes to another instance where there is one. Least-loaded choices may fall on the same one several times."""


def address(port: int) -> Json:
    """A port of this machine."""
    return {"socket_address": {"address": HOST, "port_value": port}}


def route(method: Method, cluster: str, *, stream_seconds: int = 0) -> Json:
    """Where calls of a method go, how long they may take, and when they are sent again. A stream may last for
    `stream_seconds`; 0: as long as it likes."""
    action: Json = {
        "cluster": cluster,
        # The caller's own deadline is passed on as grpc-timeout; the service and its contract bound the rest.
        "timeout": f"{method.timeout * 2:g}s" if not method.streaming else "0s",
        "max_stream_duration": {"grpc_timeout_header_max": "0s"},
    }
    if method.streaming and stream_seconds:
        longest = f"{stream_seconds}s"
        action["max_stream_duration"] = {"max_stream_duration": longest, "grpc_timeout_header_max": longest}
    if method.streaming:
        action |= {"idle_timeout": "0s", "priority": "HIGH"}
    if header := _HASH_HEADERS.get(method.route_key):
        action["hash_policy"] = [{"header": {"header_name": header}}]
    if retry_on := _RETRY_ON.get(method.retry):
        policy: Json = {
            "retry_on": retry_on,
            "num_retries": 2,
            "retry_back_off": {"base_interval": "0.025s", "max_interval": "0.25s"},
            **ELSEWHERE,
        }
        if not method.streaming:
            policy["per_try_timeout"] = f"{method.timeout:g}s"
        action["retry_policy"] = policy
    return {"match": {"path": method.path}, "route": action}


def person_routes(topology: Topology) -> list[Json]:
    """Reflection and health of each service, by the header that names it: for grpcurl."""
    return [
        {
            "match": {
                "prefix": prefix,
                "headers": [{"name": SERVICE_HEADER, "string_match": {"exact": service.name}}],
            },
            "route": {"cluster": service.name, "timeout": "60s"},
        }
        for service in topology.services
        for prefix in (*REFLECTION, HEALTH)
    ]


def hashed_services(topology: Topology, methods: Sequence[Method]) -> set[str]:
    """Services of which Envoy chooses the instance by a hash."""
    return {topology.serving(m.service).name for m in methods if m.route_key is not RouteKey.NONE}


def _most_calls(topology: Topology, name: str, proxy: str) -> int:
    """How many calls may be under way to a service's instances together: enough to keep them busy, and so few that each
    is answered before its caller gives up. One more is refused at once, which costs the service nothing."""
    instances = topology.of(name)
    return sum(_CALLS_AT_ONCE[proxy][i.service.language] for i in instances)


def service_cluster(topology: Topology, name: str, proxy: str, *, hashed: bool) -> Json:
    """A service's instances, reached by mTLS as the proxy. Streams have a high priority, with bounds of their own."""
    return {
        "name": name,
        "type": "EDS",
        "eds_cluster_config": {
            "eds_config": {
                "path_config_source": {
                    "path": f"envoy/endpoints/{name}.json",
                    "watched_directory": {"path": "envoy/endpoints"},
                }
            }
        },
        "connect_timeout": "1s",
        **_balancing(hashed=hashed),
        "transport_socket": {
            "name": "envoy.transport_sockets.tls",
            "typed_config": typed(
                "extensions.transport_sockets.tls.v3.UpstreamTlsContext",
                sni=f"{name}.worldmesh.internal",
                common_tls_context={
                    **certificate(proxy),
                    "alpn_protocols": ["h2"],
                    **authorities(proxy, {"san_type": "URI", "matcher": {"exact": spiffe(name)}}),
                },
            ),
        },
        "typed_extension_protocol_options": http2_options(),
        # An instance that is taken out of the file is gone, however healthy it looks.
        "ignore_health_on_host_removal": True,
        # What hangs is found within a second: 0.25 s until it is asked, twice 0.3 s in which it does not answer.
        "health_checks": [
            {
                "timeout": "0.3s",
                "interval": "0.25s",
                "unhealthy_edge_interval": "0.05s",
                "no_traffic_interval": "0.5s",
                "unhealthy_threshold": 2,
                "healthy_threshold": 1,
                "grpc_health_check": {},
            }
        ],
        "outlier_detection": {
            "consecutive_5xx": 5,
            "consecutive_gateway_failure": 3,
            "interval": "0.5s",
            "base_ejection_time": "2s",
            "max_ejection_time": "15s",
            "max_ejection_percent": 50,
        },
        "circuit_breakers": {
            "thresholds": [
                {"priority": "DEFAULT", "max_requests": _most_calls(topology, name, proxy), **_CONNECTIONS},
                {"priority": "HIGH", "max_requests": 100_000, **_CONNECTIONS},
            ]
        },
    }


def _balancing(*, hashed: bool) -> Json:
    """Least loaded first; or by hash, where a host that a header names comes before the hash's choice."""
    # What health checks find counts at once: by default Envoy gathers such news for up to a second.
    common: Json = {"healthy_panic_threshold": {"value": 0}, "update_merge_window": "0.05s"}
    if not hashed:
        return {"lb_policy": "LEAST_REQUEST", "common_lb_config": common}
    ring = {
        "name": "envoy.load_balancing_policies.ring_hash",
        "typed_config": typed("extensions.load_balancing_policies.ring_hash.v3.RingHash", minimum_ring_size=16_384),
    }
    override = typed(
        "extensions.load_balancing_policies.override_host.v3.OverrideHost",
        override_host_sources=[{"header": HOST_HEADER}],
        fallback_policy={"policies": [{"typed_extension_config": ring}]},
    )
    policy = {"name": "envoy.load_balancing_policies.override_host", "typed_config": override}
    return {"load_balancing_policy": {"policies": [{"typed_extension_config": policy}]}, "common_lb_config": common}


def http2_options() -> Json:
    """HTTP/2 to the service, with windows that carry many members on one stream."""
    return {
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": typed(
            "extensions.upstreams.http.v3.HttpProtocolOptions",
            explicit_http_config={
                "http2_protocol_options": {
                    "max_concurrent_streams": 1000,
                    "initial_stream_window_size": 1 << 20,
                    "initial_connection_window_size": 8 << 20,
                    "connection_keepalive": {"interval": "10s", "timeout": "3s"},
                }
            },
        )
    }


def endpoints(topology: Topology, service: str) -> Json:
    """The endpoint file of a service: rewritten when instances come and go."""
    return {
        "resources": [
            typed(
                "config.endpoint.v3.ClusterLoadAssignment",
                cluster_name=service,
                endpoints=[
                    {"lb_endpoints": [{"endpoint": {"address": address(i.grpc_port)}} for i in topology.of(service)]}
                ],
            )
        ]
    }


def tracing(topology: Topology, name: str) -> Json:
    """Spans by OTLP, if somebody takes them."""
    if not topology.otlp_endpoint:
        return {}
    provider = typed(
        "config.trace.v3.OpenTelemetryConfig",
        grpc_service={"envoy_grpc": {"cluster_name": "otlp"}, "timeout": "0.5s"},
        service_name=name,
    )
    return {"tracing": {"provider": {"name": "envoy.tracers.opentelemetry", "typed_config": provider}}}


def otlp_cluster(topology: Topology) -> list[Json]:
    """The collector of spans."""
    if not topology.otlp_endpoint:
        return []
    host, _, port = topology.otlp_endpoint.removeprefix("http://").rpartition(":")
    return [
        {
            "name": "otlp",
            "type": "STRICT_DNS",
            "connect_timeout": "1s",
            "typed_extension_protocol_options": http2_options(),
            "load_assignment": {
                "cluster_name": "otlp",
                "endpoints": [
                    {
                        "lb_endpoints": [
                            {"endpoint": {"address": {"socket_address": {"address": host, "port_value": int(port)}}}}
                        ]
                    }
                ],
            },
        }
    ]


def access_log() -> list[Json]:
    """One JSON line a call on standard output: never headers with tokens, never queries.

    Of calls that are refused because too many are under way there is a hundredth: to tell of all would cost more than
    to refuse them. Envoy's metrics count them.
    """
    fields: Mapping[str, str] = {
        "time": "%START_TIME%",
        "method": "%REQ(:METHOD)%",
        "path": "%PATH(NQ:PATH)%",
        "status": "%RESPONSE_CODE%",
        "grpc_status": "%GRPC_STATUS%",
        "duration_ms": "%DURATION%",
        "upstream": "%UPSTREAM_HOST%",
        "cluster": "%UPSTREAM_CLUSTER%",
        "peer": "%DOWNSTREAM_PEER_URI_SAN%",
        "flags": "%RESPONSE_FLAGS%",
        "details": "%RESPONSE_CODE_DETAILS%",
        "trace_id": "%TRACE_ID%",
        # Without a collector Envoy makes no spans, but services name their traces to each other all the same.
        "traceparent": "%REQ(TRACEPARENT):55%",
    }
    log = typed("extensions.access_loggers.stream.v3.StdoutAccessLog", log_format={"json_format": dict(fields)})
    told = {
        "extension_filter": {
            "name": "envoy.access_loggers.extension_filters.cel",
            "typed_config": typed(
                "extensions.access_loggers.filters.cel.v3.ExpressionFilter",
                expression="!response.code_details.contains('overflow')",
            ),
        }
    }
    some = {"runtime_filter": {"runtime_key": "access_log.refused", "percent_sampled": {"numerator": 1}}}
    return [
        {
            "name": "envoy.access_loggers.stdout",
            "filter": {"or_filter": {"filters": [told, some]}},
            "typed_config": log,
        }
    ]


def router() -> Json:
    """The last filter."""
    return {"name": "envoy.filters.http.router", "typed_config": typed("extensions.filters.http.router.v3.Router")}


def bootstrap(node: str, admin_port: int, listeners: Sequence[Json], clusters: Sequence[Json]) -> Json:
    """A whole configuration."""
    return {
        "node": {"id": node, "cluster": "worldmesh"},
        "admin": {"address": address(admin_port)},
        "static_resources": {"listeners": list(listeners), "clusters": list(clusters)},
        "overload_manager": {
            "resource_monitors": [
                {
                    "name": "envoy.resource_monitors.global_downstream_max_connections",
                    "typed_config": typed(
                        "extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
                        max_active_downstream_connections=18_000,
                    ),
                }
            ]
        },
    }
