import datetime

from google.protobuf import descriptor_pb2 as _descriptor_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Exposure(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EXPOSURE_UNSPECIFIED: _ClassVar[Exposure]
    EXPOSURE_INTERNAL: _ClassVar[Exposure]
    EXPOSURE_SERVER: _ClassVar[Exposure]
    EXPOSURE_CLIENT: _ClassVar[Exposure]
    EXPOSURE_PUBLIC: _ClassVar[Exposure]

class RetryClass(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RETRY_CLASS_UNSPECIFIED: _ClassVar[RetryClass]
    RETRY_CLASS_NEVER: _ClassVar[RetryClass]
    RETRY_CLASS_UNSENT: _ClassVar[RetryClass]
    RETRY_CLASS_SAFE: _ClassVar[RetryClass]

class RouteKey(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROUTE_KEY_UNSPECIFIED: _ClassVar[RouteKey]
    ROUTE_KEY_ROOM: _ClassVar[RouteKey]
    ROUTE_KEY_PRESENCE_SHARD: _ClassVar[RouteKey]
EXPOSURE_UNSPECIFIED: Exposure
EXPOSURE_INTERNAL: Exposure
EXPOSURE_SERVER: Exposure
EXPOSURE_CLIENT: Exposure
EXPOSURE_PUBLIC: Exposure
RETRY_CLASS_UNSPECIFIED: RetryClass
RETRY_CLASS_NEVER: RetryClass
RETRY_CLASS_UNSENT: RetryClass
RETRY_CLASS_SAFE: RetryClass
ROUTE_KEY_UNSPECIFIED: RouteKey
ROUTE_KEY_ROOM: RouteKey
ROUTE_KEY_PRESENCE_SHARD: RouteKey
POLICY_FIELD_NUMBER: _ClassVar[int]
policy: _descriptor.FieldDescriptor

class MethodPolicy(_message.Message):
    __slots__ = ("exposure", "scopes", "callers", "retry", "timeout", "route_key")
    EXPOSURE_FIELD_NUMBER: _ClassVar[int]
    SCOPES_FIELD_NUMBER: _ClassVar[int]
    CALLERS_FIELD_NUMBER: _ClassVar[int]
    RETRY_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    ROUTE_KEY_FIELD_NUMBER: _ClassVar[int]
    exposure: Exposure
    scopes: _containers.RepeatedScalarFieldContainer[str]
    callers: _containers.RepeatedScalarFieldContainer[str]
    retry: RetryClass
    timeout: _duration_pb2.Duration
    route_key: RouteKey
    def __init__(self, exposure: _Optional[_Union[Exposure, str]] = ..., scopes: _Optional[_Iterable[str]] = ..., callers: _Optional[_Iterable[str]] = ..., retry: _Optional[_Union[RetryClass, str]] = ..., timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., route_key: _Optional[_Union[RouteKey, str]] = ...) -> None: ...
