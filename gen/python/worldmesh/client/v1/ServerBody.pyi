from __future__ import annotations

import flatbuffers
import numpy as np

import typing
from typing import cast

uoffset: typing.TypeAlias = flatbuffers.number_types.UOffsetTFlags.py_type

class ServerBody(object):
  NONE = cast(int, ...)
  Welcome = cast(int, ...)
  Ok = cast(int, ...)
  Error = cast(int, ...)
  Snapshot = cast(int, ...)
  StateBatch = cast(int, ...)
  Correction = cast(int, ...)
  RoomEvent = cast(int, ...)
  RoomLeft = cast(int, ...)
  CallResult = cast(int, ...)
  Pong = cast(int, ...)
  Roster = cast(int, ...)

