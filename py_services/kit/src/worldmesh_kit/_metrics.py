"""Rate, errors and duration of calls; the one place where the kit's metrics are named."""

from __future__ import annotations

from prometheus_client import Histogram

# The bounds, in seconds, that OpenTelemetry's conventions advise for RPCs, with two finer ones.
_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_LABELS = ("rpc_method", "rpc_grpc_status_code")

SERVER_CALLS = Histogram(
    "rpc_server_call_duration_seconds", "Duration of calls that were served.", _LABELS, buckets=_BUCKETS
)
CLIENT_CALLS = Histogram(
    "rpc_client_call_duration_seconds", "Duration of calls that were made.", _LABELS, buckets=_BUCKETS
)
