"""Client frames as FlatBuffers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import flatbuffers
from worldmesh.client.v1 import Call as FbCall
from worldmesh.client.v1 import Chat as FbChat
from worldmesh.client.v1 import ClientFrame as FbClientFrame
from worldmesh.client.v1 import Emote as FbEmote
from worldmesh.client.v1 import Hello as FbHello
from worldmesh.client.v1 import Join as FbJoin
from worldmesh.client.v1 import Leave as FbLeave
from worldmesh.client.v1 import Move as FbMove
from worldmesh.client.v1 import Ping as FbPing
from worldmesh.client.v1 import Position as FbPosition
from worldmesh.client.v1 import Refresh as FbRefresh
from worldmesh.client.v1 import Vec3 as FbVec3
from worldmesh.client.v1 import Whisper as FbWhisper
from worldmesh.client.v1.ClientBody import ClientBody as Kind

from . import _frames as f

IDENTIFIER = b"WMC1"

Builder: TypeAlias = Any  # flatbuffers has no types
Add: TypeAlias = Callable[[Any, int], None]
Fields: TypeAlias = list[tuple[Add, int]]


def encode(frame: f.ClientFrame) -> bytes:
    """One binary WebSocket message."""
    b: Builder = flatbuffers.Builder(256)
    kind, body = _body(b, frame.body)
    FbClientFrame.ClientFrameStart(b)
    FbClientFrame.ClientFrameAddRid(b, frame.rid)
    FbClientFrame.ClientFrameAddBodyType(b, kind)
    FbClientFrame.ClientFrameAddBody(b, body)
    b.Finish(FbClientFrame.ClientFrameEnd(b), file_identifier=IDENTIFIER)
    return bytes(b.Output())


def _body(b: Builder, body: f.ClientBody) -> tuple[int, int]:
    match body:
        case f.Hello():
            texts = _texts(b, (FbHello.HelloAddAccessToken, body.access_token))
            texts += _texts(b, optional=(FbHello.HelloAddDeviceName, body.device_name))
            return Kind.Hello, _table(b, FbHello, texts)
        case f.Refresh():
            texts = _texts(b, (FbRefresh.RefreshAddAccessToken, body.access_token))
            return Kind.Refresh, _table(b, FbRefresh, texts)
        case f.Join():
            return Kind.Join, _join(b, body)
        case f.Leave():
            return Kind.Leave, _table(b, FbLeave, [])
        case f.Move():
            return Kind.Move, _move(b, body)
        case f.Ping():
            return Kind.Ping, _table(b, FbPing, [(FbPing.PingAddClientTimeMs, body.client_time_ms)])
        case f.Call():
            fields = _texts(b, (FbCall.CallAddMethod, body.method))
            fields.append((FbCall.CallAddPayload, b.CreateByteVector(bytes(body.request))))
            return Kind.Call, _table(b, FbCall, fields)
        case f.Chat() | f.Whisper() | f.Emote():
            return _speech(b, body)


def _speech(b: Builder, body: f.Chat | f.Whisper | f.Emote) -> tuple[int, int]:
    match body:
        case f.Chat():
            texts = _texts(b, (FbChat.ChatAddText, body.text))
            texts += _texts(b, optional=(FbChat.ChatAddClientMessageId, body.client_message_id))
            return Kind.Chat, _table(b, FbChat, texts)
        case f.Whisper():
            texts = _texts(
                b,
                (FbWhisper.WhisperAddTargetUserId, body.target_user_id),
                (FbWhisper.WhisperAddText, body.text),
                optional=(FbWhisper.WhisperAddClientMessageId, body.client_message_id),
            )
            return Kind.Whisper, _table(b, FbWhisper, texts)
        case f.Emote():
            texts = _texts(b, (FbEmote.EmoteAddEmoteId, body.emote_id))
            texts += _texts(b, optional=(FbEmote.EmoteAddTargetUserId, body.target_user_id))
            texts += _texts(b, optional=(FbEmote.EmoteAddClientMessageId, body.client_message_id))
            return Kind.Emote, _table(b, FbEmote, texts)


def _join(b: Builder, body: f.Join) -> int:
    fields = _texts(b, (FbJoin.JoinAddRoomId, body.room_id))
    if p := body.resume:
        position: Fields = [
            (FbPosition.PositionAddEpoch, p.epoch),
            (FbPosition.PositionAddSeq, p.seq),
            (FbPosition.PositionAddSub, p.sub),
        ]
        fields.append((FbJoin.JoinAddResume, _table(b, FbPosition, position)))
    return _table(b, FbJoin, fields)


def _move(b: Builder, body: f.Move) -> int:
    values = b.CreateByteVector(body.values) if body.values else 0
    FbMove.MoveStart(b)
    p = body.position
    FbMove.MoveAddPosition(b, FbVec3.CreateVec3(b, p.x, p.y, p.z))
    FbMove.MoveAddYaw(b, body.yaw)
    FbMove.MoveAddAnimation(b, body.animation)
    if values:
        FbMove.MoveAddValues(b, values)
    return int(FbMove.MoveEnd(b))


def _texts(b: Builder, *required: tuple[Add, str], optional: tuple[Add, str] | None = None) -> Fields:
    """Writes the texts; an optional one that is empty is left out."""
    wanted = [*required, optional] if optional and optional[1] else required
    return [(add, b.CreateString(text)) for add, text in wanted]


def _table(b: Builder, module: Any, fields: Fields) -> int:
    """Writes a table of the generated module out of scalars and offsets."""
    module.Start(b)
    for add, value in fields:
        add(b, value)
    return int(module.End(b))
