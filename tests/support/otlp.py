"""An OTLP receiver that keeps the spans it is sent."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc


@dataclass(frozen=True)
class Span:
    """A span, as far as tests look at it."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str


class SpanReceiver(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps spans in memory."""

    def __init__(self) -> None:
        self.endpoint = ""
        self._lock = threading.Lock()
        self._spans: list[Span] = []

    def Export(  # noqa: N802 - the RPC's name
        self, request: trace_service_pb2.ExportTraceServiceRequest, context: grpc.ServicerContext
    ) -> trace_service_pb2.ExportTraceServiceResponse:
        for resource in request.resource_spans:
            attributes = {a.key: a.value.string_value for a in resource.resource.attributes}
            for scope in resource.scope_spans:
                spans = [
                    Span(
                        service=attributes.get("service.name", ""),
                        name=s.name,
                        trace_id=s.trace_id.hex(),
                        span_id=s.span_id.hex(),
                        parent_id=s.parent_span_id.hex(),
                    )
                    for s in scope.spans
                ]
                with self._lock:
                    self._spans += spans
        return trace_service_pb2.ExportTraceServiceResponse()

    def spans(self) -> list[Span]:
        """All spans so far."""
        with self._lock:
            return list(self._spans)

    def wait_for_trace(self, complete: Callable[[list[Span]], bool], patience: float = 20.0) -> list[Span]:
        """The first trace whose spans satisfy the condition; the spans come in batches, so it waits."""
        limit = time.monotonic() + patience
        while True:
            traces: dict[str, list[Span]] = {}
            for span in self.spans():
                traces.setdefault(span.trace_id, []).append(span)
            for spans in traces.values():
                if complete(spans):
                    return spans
            if time.monotonic() > limit:
                seen = sorted({(s.service, s.name) for s in self.spans()})
                raise AssertionError(f"no such trace within {patience} s; spans seen: {seen}")
            time.sleep(0.1)


@contextmanager
def span_receiver() -> Iterator[SpanReceiver]:
    """A receiver on a free port."""
    receiver = SpanReceiver()
    server = grpc.server(ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(receiver, server)  # type: ignore[no-untyped-call]
    receiver.endpoint = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield receiver
    finally:
        server.stop(None).wait()
