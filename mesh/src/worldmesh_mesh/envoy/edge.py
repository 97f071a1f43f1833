"""The edge: TLS, REST, gRPC, gRPC-Web, sockets passed through, tokens checked, the web world's files."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from worldmesh_mesh.contract import Exposure, Method, Retry
from worldmesh_mesh.paths import DESCRIPTORS
from worldmesh_mesh.topology import EDGE, EDGE_ADMIN, EDGE_PLAIN, JWKS, Bucket, Limits, Topology

from .basics import Json, file_source, typed
from .common import (
    CALLER_HEADER,
    ELSEWHERE,
    HOST_HEADER,
    NOWHERE,
    SERVICE_HEADER,
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

PROXY = "envoy-edge"
_PUBLIC = "public"
"""Whose certificate browsers see."""
_JWKS_METHOD = "/worldmesh.identity.v1.IdentityService/GetJwks"
_CLAIMS = dict(zip(("sub", "sid", "name", "kind", "scope"), USER_HEADERS, strict=True))
_MAX_FILE = 1 << 20
_ADDRESS: Json = {"masked_remote_address": {"v4_prefix_mask_len": 32, "v6_prefix_mask_len": 64}}
_EACH_ADDRESS: Json = {"key": "masked_remote_address"}
"""Of IPv6 people have whole networks, of which each address would have a bucket."""
_MAX_ADDRESSES = 50_000
"""How many addresses have a bucket of their own; the one that was seen longest ago loses its."""
_READS: Json = {"safe_regex": {"regex": "GET|HEAD"}}

_SECURITY_HEADERS: Mapping[str, str] = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-cache",
}
_ONLY_TLS = "max-age=31536000"
"""What production tells browsers: a year of TLS alone. In development it would shut `localhost` to all else."""


def edge_config(topology: Topology, methods: Sequence[Method], files: Mapping[str, tuple[str, str]]) -> Json:
    """The edge Envoy's whole configuration. `files` maps URL paths to a file and its content type."""
    exposed = [m for m in methods if m.exposure is not Exposure.INTERNAL]
    routes = [
        *(route(m, topology.serving(m.service).name, stream_seconds=topology.limits.stream_seconds) for m in exposed),
        *(person_routes(topology) if topology.development else ()),
        _sockets(),
        {"match": {"path": "/healthz"}, "direct_response": {"status": 200, "body": {"inline_string": "ok\n"}}},
        *(_file(topology, path, file, kind) for path, (file, kind) in files.items()),
        _for_cors(),
    ]
    manager = _manager(topology, exposed, routes)
    listeners = [_secure(topology, manager), _jwks_listener(topology, exposed)]
    if topology.development:
        listeners.append(_plain("edge_plain", topology.port(EDGE_PLAIN), manager))
    names = sorted({topology.serving(m.service).name for m in exposed})
    hashed = hashed_services(topology, methods)
    clusters = [service_cluster(topology, name, PROXY, hashed=name in hashed) for name in names]
    return bootstrap(
        PROXY,
        topology.port(EDGE_ADMIN),
        listeners,
        [
            *clusters,
            _socket_cluster(topology),
            _jwks_cluster(topology),
            {"name": NOWHERE, "type": "STATIC"},
            *otlp_cluster(topology),
        ],
    )


def _manager(topology: Topology, methods: Sequence[Method], routes: Sequence[Json]) -> Json:
    return typed(
        "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="edge",
        use_remote_address=True,
        normalize_path=True,
        merge_slashes=True,
        path_with_escaped_slashes_action="REJECT_REQUEST",
        common_http_protocol_options={"headers_with_underscores_action": "REJECT_REQUEST", "idle_timeout": "300s"},
        http2_protocol_options={"max_concurrent_streams": 100, "initial_stream_window_size": 1 << 16},
        request_headers_timeout="10s",
        stream_idle_timeout="300s",
        # A socket that its gateway has closed stays half open for so long; by default, clients come back a second late.
        delayed_close_timeout="0.1s",
        early_header_mutation_extensions=[_strip()],
        upgrade_configs=[{"upgrade_type": "websocket"}],
        access_log=access_log(),
        **tracing(topology, PROXY),
        local_reply_config=local_replies(),
        http_filters=[
            _limit_of_addresses(topology.limits),
            {"name": "envoy.filters.http.cors", "typed_config": typed("extensions.filters.http.cors.v3.Cors")},
            {
                "name": "envoy.filters.http.grpc_web",
                "typed_config": typed("extensions.filters.http.grpc_web.v3.GrpcWeb"),
            },
            _transcoder(sorted({m.service for m in methods})),
            _limit_of_signing_in(topology.limits, methods),
            _tokens(methods),
            router(),
        ],
        route_config={
            "name": "edge",
            "request_headers_to_add": [
                {"header": {"key": CALLER_HEADER, "value": "edge"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
            ],
            **({} if topology.development else _response_headers({"strict-transport-security": _ONLY_TLS})),
            "max_direct_response_body_size_bytes": _MAX_FILE,
            "virtual_hosts": [
                {
                    "name": "edge",
                    "domains": ["*"],
                    "routes": list(routes),
                    "typed_per_filter_config": {"envoy.filters.http.cors": _cors(topology)},
                }
            ],
        },
    )


def _strip() -> Json:
    """Whatever a client says of who it is, or of the host it wants, is dropped before anything looks at it."""
    remove = [*USER_HEADERS, CALLER_HEADER, HOST_HEADER]
    mutation = typed(
        "extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
        mutations=[{"remove": header} for header in remove],
    )
    return {"name": "envoy.http.early_header_mutation.header_mutation", "typed_config": mutation}


def _limit_of_addresses(limits: Limits) -> Json:
    """The first of all filters, so that what is refused costs next to nothing."""
    return _rate_limit(
        "requests",
        actions=[_ADDRESS],
        entries=[_EACH_ADDRESS],
        bucket=limits.address,
        together={"token_bucket": _bucket(limits.everybody)},
    )


def _limit_of_signing_in(limits: Limits, methods: Sequence[Method]) -> Json:
    """After transcoding: REST has its method's path here, however its URL was written."""
    paths = [m.path for m in methods if m.exposure is Exposure.PUBLIC and m.retry is not Retry.SAFE]
    is_one = {"name": ":path", "string_match": {"safe_regex": {"regex": "|".join(map(re.escape, paths))}}}
    match = {"descriptor_key": "method", "descriptor_value": "signing in", "headers": [is_one]}
    return _rate_limit(
        "signing_in",
        actions=[_ADDRESS, {"header_value_match": match}],
        entries=[_EACH_ADDRESS, {"key": "method", "value": "signing in"}],
        bucket=limits.signing_in,
        together={},
    )


def _rate_limit(name: str, *, actions: Sequence[Json], entries: Sequence[Json], bucket: Bucket, together: Json) -> Json:
    """A bucket for whatever the actions find, one for each value; and perhaps one for all requests together."""
    always: Json = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
    limit = typed(
        "extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
        stat_prefix=name,
        **together,
        rate_limits=[{"actions": list(actions)}],
        descriptors=[{"entries": list(entries), "token_bucket": _bucket(bucket)}],
        max_dynamic_descriptors=_MAX_ADDRESSES,
        rate_limited_as_resource_exhausted=True,
        filter_enabled=always,
        filter_enforced=always,
    )
    return {"name": f"envoy.filters.http.local_ratelimit.{name}", "typed_config": limit}


def _bucket(bucket: Bucket) -> Json:
    return {"max_tokens": bucket.burst, "tokens_per_fill": bucket.per_second, "fill_interval": "1s"}


def _transcoder(services: Sequence[str]) -> Json:
    """REST by the contracts' google.api.http options. It comes before the tokens, so that their rules see methods."""
    config = typed(
        "extensions.filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder",
        proto_descriptor=str(DESCRIPTORS),
        services=list(services),
        auto_mapping=False,
        convert_grpc_status=True,
        print_options={"preserve_proto_field_names": True, "always_print_primitive_fields": True},
        request_validation_options={
            "reject_unknown_method": False,
            "reject_unknown_query_parameters": True,
        },
    )
    return {"name": "envoy.filters.http.grpc_json_transcoder", "typed_config": config}


def _tokens(methods: Sequence[Method]) -> Json:
    provider: Json = {
        "issuer": "worldmesh",
        "audiences": ["worldmesh"],
        "require_expiration": True,
        "clock_skew_seconds": 5,
        "forward": False,
        # A token comes many times; its signature is checked once, its end each time.
        "jwt_cache_config": {"jwt_cache_size": 10_000},
        "remote_jwks": {
            "http_uri": {"uri": "http://identity/.well-known/jwks.json", "cluster": "jwks", "timeout": "2s"},
            "cache_duration": "20s",
            "async_fetch": {"fast_listener": True, "failed_refetch_duration": "1s"},
        },
        "claim_to_headers": [{"claim_name": claim, "header_name": header} for claim, header in _CLAIMS.items()],
    }
    config = typed(
        "extensions.filters.http.jwt_authn.v3.JwtAuthentication",
        providers={"identity": provider},
        rules=[{"match": {"path": m.path}, "requires": _requirement(m)} for m in methods],
    )
    return {"name": "envoy.filters.http.jwt_authn", "typed_config": config}


def _requirement(method: Method) -> Json:
    if method.exposure is Exposure.PUBLIC:
        return {"requires_any": {"requirements": [{"provider_name": "identity"}, {"allow_missing": {}}]}}
    return {"provider_name": "identity"}


def _cors(topology: Topology) -> Json:
    return typed(
        "extensions.filters.http.cors.v3.CorsPolicy",
        allow_origin_string_match=[{"exact": origin} for origin in topology.origins],
        allow_methods="GET,POST,PUT,PATCH,DELETE",
        allow_headers=f"authorization,content-type,x-grpc-web,x-user-agent,grpc-timeout,{SERVICE_HEADER}",
        expose_headers="grpc-status,grpc-message,grpc-status-details-bin,retry-after",
        max_age="600",
    )


def _sockets() -> Json:
    return {
        "match": {"path": "/ws"},
        "route": {
            "cluster": "sockets",
            "timeout": "0s",
            "idle_timeout": "90s",
            "retry_policy": {"retry_on": "connect-failure", "num_retries": 2, **ELSEWHERE},
        },
    }


def _for_cors() -> Json:
    """REST gets its route by transcoding, and a preflight none at all; but CORS, which comes before, works only for
    requests that have one. What keeps this route is answered as if it had none."""
    origin: Json = {"name": "origin", "present_match": True}
    return {"match": {"prefix": "/", "headers": [origin]}, "route": {"cluster": NOWHERE}}


def _file(topology: Topology, path: str, file: str, kind: str) -> Json:
    return {
        "match": {"path": path, "headers": [{"name": ":method", "string_match": _READS}]},
        "direct_response": {"status": 200, "body": file_source(file)},
        **_response_headers(
            {"content-type": kind, "content-security-policy": _content_security(topology), **_SECURITY_HEADERS}
        ),
    }


def _content_security(topology: Topology) -> str:
    """The page loads its own files, and calls nobody but us. Not every browser counts sockets to `'self'`."""
    sockets = " ".join("ws" + origin.removeprefix("http") for origin in topology.origins)
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        f"connect-src 'self' {sockets}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _response_headers(headers: Mapping[str, str]) -> Json:
    return {
        "response_headers_to_add": [
            {"header": {"key": key, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
            for key, value in headers.items()
        ]
    }


def _plain(name: str, port: int, manager: Json) -> Json:
    return {
        "name": name,
        "address": address(port),
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        ],
    }


def _secure(topology: Topology, manager: Json) -> Json:
    context = typed(
        "extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        common_tls_context={**certificate(_PUBLIC), "alpn_protocols": ["h2", "http/1.1"]},
    )
    listener = _plain("edge", topology.port(EDGE), manager)
    chain = {
        "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": context},
        "filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}],
    }
    return listener | {"filter_chains": [chain]}


def _socket_cluster(topology: Topology) -> Json:
    """Clients' sockets, by TLS as clients do it."""
    context = typed(
        "extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        sni="localhost",
        common_tls_context={
            "alpn_protocols": ["http/1.1"],
            **authorities(_PUBLIC, {"san_type": "DNS", "matcher": {"exact": "localhost"}}),
        },
    )
    gateways = topology.of(topology.with_sockets.name)
    return {
        "name": "sockets",
        "type": "STATIC",
        "connect_timeout": "1s",
        "lb_policy": "LEAST_REQUEST",
        "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": context},
        "circuit_breakers": {
            "thresholds": [{"max_connections": 20_000, "max_requests": 20_000, "max_pending_requests": 20_000}]
        },
        "load_assignment": {
            "cluster_name": "sockets",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(i.wss_port)}} for i in gateways]}],
        },
    }


def _jwks_listener(topology: Topology, methods: Sequence[Method]) -> Json:
    """The key set by plain HTTP on loopback, for the edge's own token filter, which can fetch it by REST only."""
    keys = [m for m in methods if m.path == _JWKS_METHOD]
    manager = typed(
        "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="jwks",
        http_filters=[_transcoder([m.service for m in keys]), router()],
        route_config={
            "name": "jwks",
            "request_headers_to_add": [
                {"header": {"key": CALLER_HEADER, "value": "edge"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
            ],
            "virtual_hosts": [
                {
                    "name": "jwks",
                    "domains": ["*"],
                    "routes": [route(m, topology.serving(m.service).name) for m in keys],
                }
            ],
        },
    )
    return _plain("jwks", topology.port(JWKS), manager)


def _jwks_cluster(topology: Topology) -> Json:
    return {
        "name": "jwks",
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": "jwks",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(topology.port(JWKS))}}]}],
        },
    }
