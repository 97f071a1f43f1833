"""The two dialects behind one face."""

from __future__ import annotations

from typing import Literal, Protocol, TypeVar

import betterproto2

from . import _fb_decode, _fb_encode, _json, _protojson
from ._errors import ProtocolError
from ._frames import CallResult, ClientFrame, ServerFrame

M = TypeVar("M", bound=betterproto2.Message)

DialectName = Literal["flatbuffers", "json"]


class Dialect(Protocol):
    """How frames are written; chosen by WebSocket subprotocol."""

    subprotocol: str

    def encode(self, frame: ClientFrame) -> bytes | str:
        """One WebSocket message: bytes are sent as binary, text as text."""

    def decode(self, message: bytes | str) -> ServerFrame:
        """Reads one WebSocket message. Raises ProtocolError."""


class FlatBuffers:
    """Binary messages; the smaller and faster of the two."""

    subprotocol = "worldmesh.v1.flatbuffers"

    def encode(self, frame: ClientFrame) -> bytes:
        """One binary message."""
        return _fb_encode.encode(frame)

    def decode(self, message: bytes | str) -> ServerFrame:
        """Reads one binary message."""
        if isinstance(message, str):
            raise ProtocolError("a text message in the FlatBuffers dialect")
        return _fb_decode.decode(message)


class Json:
    """Text messages; for people who want to read them."""

    subprotocol = "worldmesh.v1.json"

    def encode(self, frame: ClientFrame) -> str:
        """One text message."""
        return _json.encode(frame)

    def decode(self, message: bytes | str) -> ServerFrame:
        """Reads one text message."""
        if isinstance(message, bytes):
            raise ProtocolError("a binary message in the JSON dialect")
        return _json.decode(message)


def dialect(name: DialectName) -> Dialect:
    """The dialect of that name."""
    return Json() if name == "json" else FlatBuffers()


def response_of(result: CallResult, kind: type[M]) -> M:
    """The message that a CallResult carries, whichever dialect it came in."""
    try:
        if isinstance(result.response, bytes):
            return kind.parse(result.response)
        return _protojson.decode(kind, result.response)
    except (ValueError, TypeError, KeyError, AttributeError, EOFError) as e:
        raise ProtocolError(f"the response is no {kind.__name__}") from e
