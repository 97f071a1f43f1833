"""RPCs over the socket: betterproto2's stubs, with the socket in the place of a gRPC channel."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from functools import cache
from typing import Any, TypeVar, cast

import betterproto2
from betterproto2.casing import snake_case
from betterproto2.grpclib import ServiceStub

from ._dialect import response_of
from ._errors import ProtocolError, WorldmeshError
from ._frames import Call, CallResult, ClientBody, ServerBody, Unknown

M = TypeVar("M", bound=betterproto2.Message)
S = TypeVar("S", bound=ServiceStub)


class Requester:
    """Who sends a frame and waits for its answer."""

    async def request(self, body: ClientBody) -> ServerBody | Unknown:
        """Sends a frame and waits for its answer."""
        raise NotImplementedError


class _OverSocket:
    """Takes the place of ServiceStub's own way of calling."""

    _requester: Requester

    async def _unary_unary(self, route: str, request: betterproto2.Message, kind: type[M], **_: Any) -> M:
        answer = await self._requester.request(Call(route.lstrip("/"), request))
        if not isinstance(answer, CallResult):
            raise ProtocolError(f"a call was answered with {type(answer).__name__}")
        return response_of(answer, kind)

    def _unary_stream(self, route: str, *_: Any, **__: Any) -> AsyncIterator[Any]:
        raise WorldmeshError(f"{route} is a stream, and streams are not called over the socket")


@cache
def _class(stub: type[S]) -> type[S]:
    return cast("type[S]", type(stub.__name__, (_OverSocket, stub), {}))


def bind(stub: type[S], requester: Requester) -> S:
    """A stub whose calls go over the socket. Deadlines and metadata of single calls do not apply there."""
    bound: S = _class(stub)(cast("Any", None))  # no channel
    cast("_OverSocket", bound)._requester = requester
    return bound


@cache
def method_of(request: type[betterproto2.Message]) -> tuple[type[ServiceStub], str]:
    """The stub and its method that take this request: `ListRoomsRequest` is `WorldServiceStub.list_rooms`.
    Every RPC of ours has a request type of its own, named after it."""
    module = sys.modules[request.__module__]
    name = snake_case(request.__name__.removesuffix("Request"))
    for candidate in vars(module).values():
        if isinstance(candidate, type) and issubclass(candidate, ServiceStub) and hasattr(candidate, name):
            return candidate, name
    raise TypeError(f"{request.__name__} is no request of an RPC")
