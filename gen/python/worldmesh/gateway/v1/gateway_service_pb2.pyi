import datetime

from buf.validate import validate_pb2 as _validate_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from worldmesh.options.v1 import options_pb2 as _options_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CloseCode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CLOSE_CODE_UNSPECIFIED: _ClassVar[CloseCode]
    CLOSE_CODE_DRAINING: _ClassVar[CloseCode]
    CLOSE_CODE_SLOW_CONSUMER: _ClassVar[CloseCode]
    CLOSE_CODE_HEARTBEAT_TIMEOUT: _ClassVar[CloseCode]
    CLOSE_CODE_OVERLOADED: _ClassVar[CloseCode]
    CLOSE_CODE_RATE_LIMITED: _ClassVar[CloseCode]
    CLOSE_CODE_UNAVAILABLE: _ClassVar[CloseCode]
    CLOSE_CODE_TOKEN_MISSING: _ClassVar[CloseCode]
    CLOSE_CODE_TOKEN_INVALID: _ClassVar[CloseCode]
    CLOSE_CODE_TOKEN_EXPIRED: _ClassVar[CloseCode]
    CLOSE_CODE_SESSION_REVOKED: _ClassVar[CloseCode]
    CLOSE_CODE_UNSUPPORTED_PROTOCOL: _ClassVar[CloseCode]
    CLOSE_CODE_FORBIDDEN: _ClassVar[CloseCode]
    CLOSE_CODE_REPLACED: _ClassVar[CloseCode]
CLOSE_CODE_UNSPECIFIED: CloseCode
CLOSE_CODE_DRAINING: CloseCode
CLOSE_CODE_SLOW_CONSUMER: CloseCode
CLOSE_CODE_HEARTBEAT_TIMEOUT: CloseCode
CLOSE_CODE_OVERLOADED: CloseCode
CLOSE_CODE_RATE_LIMITED: CloseCode
CLOSE_CODE_UNAVAILABLE: CloseCode
CLOSE_CODE_TOKEN_MISSING: CloseCode
CLOSE_CODE_TOKEN_INVALID: CloseCode
CLOSE_CODE_TOKEN_EXPIRED: CloseCode
CLOSE_CODE_SESSION_REVOKED: CloseCode
CLOSE_CODE_UNSUPPORTED_PROTOCOL: CloseCode
CLOSE_CODE_FORBIDDEN: CloseCode
CLOSE_CODE_REPLACED: CloseCode

class GatewaySession(_message.Message):
    __slots__ = ("gateway_session_id", "user_id", "room_id", "dialect", "open_time", "queued_bytes")
    GATEWAY_SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    ROOM_ID_FIELD_NUMBER: _ClassVar[int]
    DIALECT_FIELD_NUMBER: _ClassVar[int]
    OPEN_TIME_FIELD_NUMBER: _ClassVar[int]
    QUEUED_BYTES_FIELD_NUMBER: _ClassVar[int]
    gateway_session_id: str
    user_id: str
    room_id: str
    dialect: str
    open_time: _timestamp_pb2.Timestamp
    queued_bytes: int
    def __init__(self, gateway_session_id: _Optional[str] = ..., user_id: _Optional[str] = ..., room_id: _Optional[str] = ..., dialect: _Optional[str] = ..., open_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., queued_bytes: _Optional[int] = ...) -> None: ...

class ListSessionsRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "room_id")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    ROOM_ID_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    room_id: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., room_id: _Optional[str] = ...) -> None: ...

class ListSessionsResponse(_message.Message):
    __slots__ = ("gateway_id", "sessions", "next_page_token")
    GATEWAY_ID_FIELD_NUMBER: _ClassVar[int]
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    gateway_id: str
    sessions: _containers.RepeatedCompositeFieldContainer[GatewaySession]
    next_page_token: str
    def __init__(self, gateway_id: _Optional[str] = ..., sessions: _Optional[_Iterable[_Union[GatewaySession, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...
