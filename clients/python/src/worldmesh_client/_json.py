"""The JSON dialect: one object a text message, the body under its own name, names as in client.fbs."""

from __future__ import annotations

import base64
import dataclasses
import json
import re
import typing
from collections.abc import Mapping
from functools import cache
from typing import Any

from . import _frames as f
from . import _protojson
from ._errors import ProtocolError


def _name(kind: type) -> str:
    """The name of a body in JSON: `ChatMessage` is `chat_message`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()


_BODIES: dict[str, type[Any]] = {_name(kind): kind for kind in typing.get_args(f.ServerBody)}
_EVENTS: dict[str, type[Any]] = {_name(kind): kind for kind in typing.get_args(f.EventBody)}


def encode(frame: f.ClientFrame) -> str:
    """One text WebSocket message."""
    body = frame.body
    value = (
        {"method": body.method, "request": _protojson.encode(body.request)}
        if isinstance(body, f.Call)
        else _to_json(body)
    )
    message = {"rid": frame.rid} if frame.rid else {}
    return json.dumps(message | {_name(type(body)): value}, ensure_ascii=False, separators=(",", ":"))


def decode(data: str) -> f.ServerFrame:
    """Reads one text WebSocket message. Raises ProtocolError if it is no frame."""
    try:
        message = json.loads(data)
        rid = _checked(int, message.get("rid", 0))
        name = _kind(_BODIES, message, {"rid"})
        return f.ServerFrame(rid, _body(_BODIES[name], message[name]) if name else f.Unknown())
    except (ValueError, TypeError, KeyError, AttributeError) as e:
        raise ProtocolError("the frame does not decode") from e


def _kind(known: Mapping[str, type[Any]], value: Mapping[str, Any], beside: set[str]) -> str | None:
    """The key that says of which kind a value is; None if it is of one that this version does not know."""
    name = next((key for key in value if key in known), None)
    if name is None and not value.keys() - beside:
        raise KeyError("no body")
    return name


def _body(kind: type[Any], value: Any) -> Any:
    if kind is f.CallResult:
        return f.CallResult(value.get("response", {}))
    if kind is f.RoomEvent:
        epoch, seq, time_ms, sub = value["epoch"], value["seq"], value["time_ms"], value.get("sub", 0)
        name = _kind(_EVENTS, value, {"epoch", "seq", "time_ms", "sub"})
        if name is None:
            return f.Unknown(f.Position(epoch, seq, sub))
        return f.RoomEvent(epoch, seq, time_ms, _from_json(_EVENTS[name], value[name]), sub)
    return _from_json(kind, value)


def _to_json(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        fields = ((field, getattr(value, field.name)) for field in dataclasses.fields(value))
        return {field.name: _to_json(item) for field, item in fields if item not in (b"", None)}
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


@cache
def _hints(kind: type[Any]) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _from_json(kind: Any, value: Any) -> Any:
    """Reads a value of a frame: what is missing has its default, what is not known is ignored."""
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        hints = _hints(kind)
        return kind(**{name: _from_json(hints[name], item) for name, item in value.items() if name in hints})
    if kind is bytes:
        return base64.b64decode(value or "")
    if typing.get_origin(kind) is tuple:
        return tuple(_from_json(typing.get_args(kind)[0], item) for item in value or ())
    if kind is float:
        return float(value)
    return _checked(kind, value)


def _checked(kind: Any, value: Any) -> Any:
    if kind in (int, str, bool):
        if type(value) is not kind:
            raise TypeError(f"{value!r} is no {kind.__name__}")
        return value
    if not isinstance(value, Mapping | list):
        raise TypeError(f"{value!r} is neither an object nor a list")
    return value
