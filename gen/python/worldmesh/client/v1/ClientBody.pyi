from __future__ import annotations

import flatbuffers
import numpy as np

import typing
from typing import cast

uoffset: typing.TypeAlias = flatbuffers.number_types.UOffsetTFlags.py_type

class ClientBody(object):
  NONE = cast(int, ...)
  Hello = cast(int, ...)
  Refresh = cast(int, ...)
  Join = cast(int, ...)
  Leave = cast(int, ...)
  Move = cast(int, ...)
  Chat = cast(int, ...)
  Whisper = cast(int, ...)
  Emote = cast(int, ...)
  Call = cast(int, ...)
  Ping = cast(int, ...)

