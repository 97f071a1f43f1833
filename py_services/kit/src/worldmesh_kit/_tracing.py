"""OpenTelemetry: spans by gRPC's and PyMongo's instrumentation, exported by OTLP if an endpoint is set."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import propagate, trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.pymongo import PymongoInstrumentor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


@contextmanager
def tracing(service: str, instance: str) -> Iterator[None]:
    """Make spans for the life of the process; on leaving, export what is left.

    The sampler and the exporter's details follow OpenTelemetry's own environment variables.
    """
    provider = TracerProvider(
        resource=Resource.create(
            {"service.name": service, "service.namespace": "worldmesh", "service.instance.id": instance}
        )
    )
    if os.environ.get(_ENDPOINT):
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    propagate.set_global_textmap(TraceContextTextMapPropagator())
    instrumentor = PymongoInstrumentor()
    instrumentor.instrument(tracer_provider=provider)
    try:
        yield
    finally:
        instrumentor.uninstrument()
        provider.shutdown()


def current_trace_id() -> str:
    """The id of the trace that this task is in; zeros if none."""
    return trace.format_trace_id(trace.get_current_span().get_span_context().trace_id)
