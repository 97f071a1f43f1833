import datetime

from buf.validate import validate_pb2 as _validate_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from worldmesh.common.v1 import avatar_pb2 as _avatar_pb2
from worldmesh.common.v1 import errors_pb2 as _errors_pb2
from worldmesh.options.v1 import options_pb2 as _options_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Channel(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CHANNEL_UNSPECIFIED: _ClassVar[Channel]
    CHANNEL_STATE: _ClassVar[Channel]
    CHANNEL_ORDERED: _ClassVar[Channel]
CHANNEL_UNSPECIFIED: Channel
CHANNEL_STATE: Channel
CHANNEL_ORDERED: Channel

class AttachRequest(_message.Message):
    __slots__ = ("open", "inputs")
    class Open(_message.Message):
        __slots__ = ("room_id", "gateway_id", "config")
        ROOM_ID_FIELD_NUMBER: _ClassVar[int]
        GATEWAY_ID_FIELD_NUMBER: _ClassVar[int]
        CONFIG_FIELD_NUMBER: _ClassVar[int]
        room_id: str
        gateway_id: str
        config: RoomConfig
        def __init__(self, room_id: _Optional[str] = ..., gateway_id: _Optional[str] = ..., config: _Optional[_Union[RoomConfig, _Mapping]] = ...) -> None: ...
    class Inputs(_message.Message):
        __slots__ = ("inputs",)
        INPUTS_FIELD_NUMBER: _ClassVar[int]
        inputs: _containers.RepeatedCompositeFieldContainer[Input]
        def __init__(self, inputs: _Optional[_Iterable[_Union[Input, _Mapping]]] = ...) -> None: ...
    OPEN_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    open: AttachRequest.Open
    inputs: AttachRequest.Inputs
    def __init__(self, open: _Optional[_Union[AttachRequest.Open, _Mapping]] = ..., inputs: _Optional[_Union[AttachRequest.Inputs, _Mapping]] = ...) -> None: ...

class RoomConfig(_message.Message):
    __slots__ = ("capacity", "width", "depth", "tick_hz", "max_speed", "spawn", "display_name")
    CAPACITY_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    DEPTH_FIELD_NUMBER: _ClassVar[int]
    TICK_HZ_FIELD_NUMBER: _ClassVar[int]
    MAX_SPEED_FIELD_NUMBER: _ClassVar[int]
    SPAWN_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    capacity: int
    width: float
    depth: float
    tick_hz: int
    max_speed: float
    spawn: _avatar_pb2.Position
    display_name: str
    def __init__(self, capacity: _Optional[int] = ..., width: _Optional[float] = ..., depth: _Optional[float] = ..., tick_hz: _Optional[int] = ..., max_speed: _Optional[float] = ..., spawn: _Optional[_Union[_avatar_pb2.Position, _Mapping]] = ..., display_name: _Optional[str] = ...) -> None: ...

class Input(_message.Message):
    __slots__ = ("link", "rid", "join", "leave", "state", "chat", "whisper", "emote", "traceparent")
    class Join(_message.Message):
        __slots__ = ("user", "gateway_session_id", "role")
        USER_FIELD_NUMBER: _ClassVar[int]
        GATEWAY_SESSION_ID_FIELD_NUMBER: _ClassVar[int]
        ROLE_FIELD_NUMBER: _ClassVar[int]
        user: _avatar_pb2.PublicUser
        gateway_session_id: str
        role: int
        def __init__(self, user: _Optional[_Union[_avatar_pb2.PublicUser, _Mapping]] = ..., gateway_session_id: _Optional[str] = ..., role: _Optional[int] = ...) -> None: ...
    class Leave(_message.Message):
        __slots__ = ()
        def __init__(self) -> None: ...
    class State(_message.Message):
        __slots__ = ("position", "yaw", "animation", "values")
        POSITION_FIELD_NUMBER: _ClassVar[int]
        YAW_FIELD_NUMBER: _ClassVar[int]
        ANIMATION_FIELD_NUMBER: _ClassVar[int]
        VALUES_FIELD_NUMBER: _ClassVar[int]
        position: _avatar_pb2.Position
        yaw: int
        animation: int
        values: bytes
        def __init__(self, position: _Optional[_Union[_avatar_pb2.Position, _Mapping]] = ..., yaw: _Optional[int] = ..., animation: _Optional[int] = ..., values: _Optional[bytes] = ...) -> None: ...
    class Chat(_message.Message):
        __slots__ = ("text", "client_message_id")
        TEXT_FIELD_NUMBER: _ClassVar[int]
        CLIENT_MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
        text: str
        client_message_id: str
        def __init__(self, text: _Optional[str] = ..., client_message_id: _Optional[str] = ...) -> None: ...
    class Whisper(_message.Message):
        __slots__ = ("target_user_id", "text", "client_message_id")
        TARGET_USER_ID_FIELD_NUMBER: _ClassVar[int]
        TEXT_FIELD_NUMBER: _ClassVar[int]
        CLIENT_MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
        target_user_id: str
        text: str
        client_message_id: str
        def __init__(self, target_user_id: _Optional[str] = ..., text: _Optional[str] = ..., client_message_id: _Optional[str] = ...) -> None: ...
    class Emote(_message.Message):
        __slots__ = ("emote_id", "target_user_id", "client_message_id")
        EMOTE_ID_FIELD_NUMBER: _ClassVar[int]
        TARGET_USER_ID_FIELD_NUMBER: _ClassVar[int]
        CLIENT_MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
        emote_id: str
        target_user_id: str
        client_message_id: str
        def __init__(self, emote_id: _Optional[str] = ..., target_user_id: _Optional[str] = ..., client_message_id: _Optional[str] = ...) -> None: ...
    LINK_FIELD_NUMBER: _ClassVar[int]
    RID_FIELD_NUMBER: _ClassVar[int]
    JOIN_FIELD_NUMBER: _ClassVar[int]
    LEAVE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    CHAT_FIELD_NUMBER: _ClassVar[int]
    WHISPER_FIELD_NUMBER: _ClassVar[int]
    EMOTE_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    link: int
    rid: int
    join: Input.Join
    leave: Input.Leave
    state: Input.State
    chat: Input.Chat
    whisper: Input.Whisper
    emote: Input.Emote
    traceparent: str
    def __init__(self, link: _Optional[int] = ..., rid: _Optional[int] = ..., join: _Optional[_Union[Input.Join, _Mapping]] = ..., leave: _Optional[_Union[Input.Leave, _Mapping]] = ..., state: _Optional[_Union[Input.State, _Mapping]] = ..., chat: _Optional[_Union[Input.Chat, _Mapping]] = ..., whisper: _Optional[_Union[Input.Whisper, _Mapping]] = ..., emote: _Optional[_Union[Input.Emote, _Mapping]] = ..., traceparent: _Optional[str] = ...) -> None: ...

class AttachResponse(_message.Message):
    __slots__ = ("opened", "deliveries")
    class Opened(_message.Message):
        __slots__ = ("epoch", "relay_id")
        EPOCH_FIELD_NUMBER: _ClassVar[int]
        RELAY_ID_FIELD_NUMBER: _ClassVar[int]
        epoch: int
        relay_id: str
        def __init__(self, epoch: _Optional[int] = ..., relay_id: _Optional[str] = ...) -> None: ...
    class Deliveries(_message.Message):
        __slots__ = ("deliveries",)
        DELIVERIES_FIELD_NUMBER: _ClassVar[int]
        deliveries: _containers.RepeatedCompositeFieldContainer[Delivery]
        def __init__(self, deliveries: _Optional[_Iterable[_Union[Delivery, _Mapping]]] = ...) -> None: ...
    OPENED_FIELD_NUMBER: _ClassVar[int]
    DELIVERIES_FIELD_NUMBER: _ClassVar[int]
    opened: AttachResponse.Opened
    deliveries: AttachResponse.Deliveries
    def __init__(self, opened: _Optional[_Union[AttachResponse.Opened, _Mapping]] = ..., deliveries: _Optional[_Union[AttachResponse.Deliveries, _Mapping]] = ...) -> None: ...

class Delivery(_message.Message):
    __slots__ = ("frame", "channel", "links", "except_links", "membership")
    FRAME_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    LINKS_FIELD_NUMBER: _ClassVar[int]
    EXCEPT_LINKS_FIELD_NUMBER: _ClassVar[int]
    MEMBERSHIP_FIELD_NUMBER: _ClassVar[int]
    frame: bytes
    channel: Channel
    links: _containers.RepeatedScalarFieldContainer[int]
    except_links: _containers.RepeatedScalarFieldContainer[int]
    membership: Membership
    def __init__(self, frame: _Optional[bytes] = ..., channel: _Optional[_Union[Channel, str]] = ..., links: _Optional[_Iterable[int]] = ..., except_links: _Optional[_Iterable[int]] = ..., membership: _Optional[_Union[Membership, _Mapping]] = ...) -> None: ...

class Membership(_message.Message):
    __slots__ = ("link", "joined_entity", "refused", "removed")
    LINK_FIELD_NUMBER: _ClassVar[int]
    JOINED_ENTITY_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    link: int
    joined_entity: int
    refused: _errors_pb2.ErrorReason
    removed: _errors_pb2.ErrorReason
    def __init__(self, link: _Optional[int] = ..., joined_entity: _Optional[int] = ..., refused: _Optional[_Union[_errors_pb2.ErrorReason, str]] = ..., removed: _Optional[_Union[_errors_pb2.ErrorReason, str]] = ...) -> None: ...

class GetLiveRoomRequest(_message.Message):
    __slots__ = ("room_id",)
    ROOM_ID_FIELD_NUMBER: _ClassVar[int]
    room_id: str
    def __init__(self, room_id: _Optional[str] = ...) -> None: ...

class GetLiveRoomResponse(_message.Message):
    __slots__ = ("relay_id", "epoch", "seq", "tick", "members")
    RELAY_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    TICK_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    relay_id: str
    epoch: int
    seq: int
    tick: int
    members: _containers.RepeatedCompositeFieldContainer[LiveMember]
    def __init__(self, relay_id: _Optional[str] = ..., epoch: _Optional[int] = ..., seq: _Optional[int] = ..., tick: _Optional[int] = ..., members: _Optional[_Iterable[_Union[LiveMember, _Mapping]]] = ...) -> None: ...

class LiveMember(_message.Message):
    __slots__ = ("user", "entity", "position", "join_time", "gateway_id")
    USER_FIELD_NUMBER: _ClassVar[int]
    ENTITY_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    JOIN_TIME_FIELD_NUMBER: _ClassVar[int]
    GATEWAY_ID_FIELD_NUMBER: _ClassVar[int]
    user: _avatar_pb2.PublicUser
    entity: int
    position: _avatar_pb2.Position
    join_time: _timestamp_pb2.Timestamp
    gateway_id: str
    def __init__(self, user: _Optional[_Union[_avatar_pb2.PublicUser, _Mapping]] = ..., entity: _Optional[int] = ..., position: _Optional[_Union[_avatar_pb2.Position, _Mapping]] = ..., join_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., gateway_id: _Optional[str] = ...) -> None: ...
