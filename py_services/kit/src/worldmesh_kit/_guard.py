"""What stands before every handler.

It names the caller, checks the method's policy and the message's bounds, bounds the time, turns errors into
google.rpc.Status, and counts. One interceptor rather than six: each one costs a Python call a message.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, cast

import grpc
import protovalidate
from google.protobuf.message import Message
from grpc.aio import AbortError, ServicerContext

from ._caller import caller_from, set_caller
from ._deadline import set_deadline
from ._errors import DETAILS_KEY, DomainError, ErrorReason, FieldViolation, internal, outward, to_status, unavailable
from ._logging import get_logger
from ._metrics import SERVER_CALLS
from ._policy import Policy, policy_of
from ._tracing import current_trace_id

log = get_logger(__name__)

if TYPE_CHECKING:  # the stubs' classes are generic, grpcio's own are not
    Handler = grpc.RpcMethodHandler[Message, Message]

_CODES: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}

Context = ServicerContext[Message, Message]
Unary = Callable[[Message, Context], Awaitable[Message]]
Stream = Callable[[Message, Context], AsyncIterator[Message]]


class Guard(grpc.aio.ServerInterceptor):
    """The interceptor of every server of ours."""

    def __init__(self) -> None:
        self._validator = protovalidate.Validator()
        self._handlers: dict[str, Handler] = {}
        self._streams: set[asyncio.Task[object]] = set()
        self._ends = False

    def end_streams(self) -> None:
        """Have whoever follows a stream open it elsewhere: it would not end by itself within the time of a drain."""
        self._ends = True
        for task in self._streams:
            task.cancel()

    # The stubs make this generic over every message type at once; it is so over Message.
    async def intercept_service(  # type: ignore[override]
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Wrap the method's handler; the wrapping is made once a method."""
        method = handler_call_details.method
        wrapped = self._handlers.get(method)
        if wrapped is None:
            handler = await continuation(handler_call_details)
            if handler is None:
                return None
            policy = policy_of(method)
            if policy is None:
                return handler
            wrapped = self._handlers[method] = self._wrap(handler, method, policy)
        return wrapped

    def _wrap(self, handler: Handler, method: str, policy: Policy) -> Handler:
        if handler.unary_unary is not None:
            return grpc.unary_unary_rpc_method_handler(
                self._unary(handler.unary_unary, method, policy),
                request_deserializer=handler.request_deserializer,
                response_serializer=handler.response_serializer,
            )
        if handler.unary_stream is not None:
            return grpc.unary_stream_rpc_method_handler(
                self._stream(handler.unary_stream, method, policy),
                request_deserializer=handler.request_deserializer,
                response_serializer=handler.response_serializer,
            )
        raise TypeError(f"{method}: Python services have no methods with a stream of requests")

    def _unary(self, handle: object, method: str, policy: Policy) -> Unary:
        call = cast("Unary", handle)
        ok = SERVER_CALLS.labels(method[1:], "OK")

        async def guarded(request: Message, context: Context) -> Message:
            start = time.perf_counter()
            try:
                self._admit(request, context, policy)
                # None without a deadline, whatever the stubs say.
                remaining = cast("float | None", context.time_remaining())
                limit = policy.timeout if remaining is None else min(remaining, policy.timeout)
                set_deadline(limit)
                async with asyncio.timeout(limit):
                    response = await call(request, context)
            except asyncio.CancelledError:
                SERVER_CALLS.labels(method[1:], "CANCELLED").observe(time.perf_counter() - start)
                raise
            except Exception as error:
                failure = error
            else:
                ok.observe(time.perf_counter() - start)
                return response
            # Not in the handler above: there the abort would carry the failure, and its text, into the call's span.
            await self._abort(failure, context, method, start)
            raise failure

        return guarded

    def _stream(self, handle: object, method: str, policy: Policy) -> Stream:
        call = cast("Stream", handle)

        async def guarded(request: Message, context: Context) -> AsyncIterator[Message]:
            start, task = time.perf_counter(), cast("asyncio.Task[object]", asyncio.current_task())
            self._streams.add(task)
            failure: Exception
            try:
                self._admit(request, context, policy)
                if self._ends:
                    raise _ending()
                async for response in call(request, context):
                    yield response
            except asyncio.CancelledError:
                if not self._ends:
                    SERVER_CALLS.labels(method[1:], "CANCELLED").observe(time.perf_counter() - start)
                    raise
                task.uncancel()
                failure = _ending()
            except Exception as error:
                failure = error
            else:
                SERVER_CALLS.labels(method[1:], "OK").observe(time.perf_counter() - start)
                return
            finally:
                self._streams.discard(task)
            await self._abort(failure, context, method, start)
            raise failure

        return guarded

    def _admit(self, request: Message, context: Context, policy: Policy) -> None:
        caller = caller_from(cast("list[tuple[str, str | bytes]]", context.invocation_metadata()))
        set_caller(caller)
        policy.authorize(caller)
        violations = [_violation(v) for v in self._validator.collect_violations(request)]
        if violations:
            raise DomainError(
                grpc.StatusCode.INVALID_ARGUMENT,
                ErrorReason.ERROR_REASON_INVALID_FIELD,
                str(violations[0]),
                violations=violations,
            )

    async def _abort(self, error: Exception, context: Context, method: str, start: float) -> None:
        if isinstance(error, AbortError):
            return
        status = outward(error)
        if status is None:
            log.error("call failed", method=method, exc_info=error)
            status = to_status(internal(current_trace_id()))
        code = _CODES[status.code]
        SERVER_CALLS.labels(method[1:], code.name).observe(time.perf_counter() - start)
        await context.abort(code, status.message, trailing_metadata=((DETAILS_KEY, status.SerializeToString()),))


def _ending() -> DomainError:
    return unavailable("the service shuts down")


def _violation(violation: protovalidate.Violation) -> FieldViolation:
    proto = violation.proto
    path = ".".join(element.field_name or "" for element in proto.field.elements) if proto.field else ""
    return FieldViolation(path, proto.message or "")
