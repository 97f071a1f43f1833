import datetime

from buf.validate import validate_pb2 as _validate_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from worldmesh.options.v1 import options_pb2 as _options_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class UserPresence(_message.Message):
    __slots__ = ("user_id", "online", "devices", "change_time")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    ONLINE_FIELD_NUMBER: _ClassVar[int]
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    CHANGE_TIME_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    online: bool
    devices: _containers.RepeatedCompositeFieldContainer[Device]
    change_time: _timestamp_pb2.Timestamp
    def __init__(self, user_id: _Optional[str] = ..., online: _Optional[bool] = ..., devices: _Optional[_Iterable[_Union[Device, _Mapping]]] = ..., change_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Device(_message.Message):
    __slots__ = ("gateway_session_id", "device_name", "room_id")
    GATEWAY_SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    DEVICE_NAME_FIELD_NUMBER: _ClassVar[int]
    ROOM_ID_FIELD_NUMBER: _ClassVar[int]
    gateway_session_id: str
    device_name: str
    room_id: str
    def __init__(self, gateway_session_id: _Optional[str] = ..., device_name: _Optional[str] = ..., room_id: _Optional[str] = ...) -> None: ...

class AttachRequest(_message.Message):
    __slots__ = ("open", "snapshot", "changes")
    class Open(_message.Message):
        __slots__ = ("gateway_id", "incarnation", "shard")
        GATEWAY_ID_FIELD_NUMBER: _ClassVar[int]
        INCARNATION_FIELD_NUMBER: _ClassVar[int]
        SHARD_FIELD_NUMBER: _ClassVar[int]
        gateway_id: str
        incarnation: str
        shard: int
        def __init__(self, gateway_id: _Optional[str] = ..., incarnation: _Optional[str] = ..., shard: _Optional[int] = ...) -> None: ...
    class Changes(_message.Message):
        __slots__ = ("seq", "changes")
        SEQ_FIELD_NUMBER: _ClassVar[int]
        CHANGES_FIELD_NUMBER: _ClassVar[int]
        seq: int
        changes: _containers.RepeatedCompositeFieldContainer[AttachRequest.Change]
        def __init__(self, seq: _Optional[int] = ..., changes: _Optional[_Iterable[_Union[AttachRequest.Change, _Mapping]]] = ...) -> None: ...
    class Change(_message.Message):
        __slots__ = ("user_id", "device", "gone")
        USER_ID_FIELD_NUMBER: _ClassVar[int]
        DEVICE_FIELD_NUMBER: _ClassVar[int]
        GONE_FIELD_NUMBER: _ClassVar[int]
        user_id: str
        device: Device
        gone: bool
        def __init__(self, user_id: _Optional[str] = ..., device: _Optional[_Union[Device, _Mapping]] = ..., gone: _Optional[bool] = ...) -> None: ...
    OPEN_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    open: AttachRequest.Open
    snapshot: AttachRequest.Changes
    changes: AttachRequest.Changes
    def __init__(self, open: _Optional[_Union[AttachRequest.Open, _Mapping]] = ..., snapshot: _Optional[_Union[AttachRequest.Changes, _Mapping]] = ..., changes: _Optional[_Union[AttachRequest.Changes, _Mapping]] = ...) -> None: ...

class AttachResponse(_message.Message):
    __slots__ = ("acked_seq",)
    ACKED_SEQ_FIELD_NUMBER: _ClassVar[int]
    acked_seq: int
    def __init__(self, acked_seq: _Optional[int] = ...) -> None: ...

class BatchGetPresenceRequest(_message.Message):
    __slots__ = ("user_ids",)
    USER_IDS_FIELD_NUMBER: _ClassVar[int]
    user_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, user_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class BatchGetPresenceResponse(_message.Message):
    __slots__ = ("presences",)
    PRESENCES_FIELD_NUMBER: _ClassVar[int]
    presences: _containers.RepeatedCompositeFieldContainer[UserPresence]
    def __init__(self, presences: _Optional[_Iterable[_Union[UserPresence, _Mapping]]] = ...) -> None: ...

class WatchPresenceRequest(_message.Message):
    __slots__ = ("user_ids",)
    USER_IDS_FIELD_NUMBER: _ClassVar[int]
    user_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, user_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class WatchPresenceResponse(_message.Message):
    __slots__ = ("presences",)
    PRESENCES_FIELD_NUMBER: _ClassVar[int]
    presences: _containers.RepeatedCompositeFieldContainer[UserPresence]
    def __init__(self, presences: _Optional[_Iterable[_Union[UserPresence, _Mapping]]] = ...) -> None: ...

class GetShardPresenceRequest(_message.Message):
    __slots__ = ("shard", "user_ids")
    SHARD_FIELD_NUMBER: _ClassVar[int]
    USER_IDS_FIELD_NUMBER: _ClassVar[int]
    shard: int
    user_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, shard: _Optional[int] = ..., user_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class GetShardPresenceResponse(_message.Message):
    __slots__ = ("presences",)
    PRESENCES_FIELD_NUMBER: _ClassVar[int]
    presences: _containers.RepeatedCompositeFieldContainer[UserPresence]
    def __init__(self, presences: _Optional[_Iterable[_Union[UserPresence, _Mapping]]] = ...) -> None: ...

class WatchShardPresenceRequest(_message.Message):
    __slots__ = ("shard", "user_ids")
    SHARD_FIELD_NUMBER: _ClassVar[int]
    USER_IDS_FIELD_NUMBER: _ClassVar[int]
    shard: int
    user_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, shard: _Optional[int] = ..., user_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class WatchShardPresenceResponse(_message.Message):
    __slots__ = ("presences",)
    PRESENCES_FIELD_NUMBER: _ClassVar[int]
    presences: _containers.RepeatedCompositeFieldContainer[UserPresence]
    def __init__(self, presences: _Optional[_Iterable[_Union[UserPresence, _Mapping]]] = ...) -> None: ...
