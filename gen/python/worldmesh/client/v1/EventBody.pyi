from __future__ import annotations

import flatbuffers
import numpy as np

import typing
from typing import cast

uoffset: typing.TypeAlias = flatbuffers.number_types.UOffsetTFlags.py_type

class EventBody(object):
  NONE = cast(int, ...)
  MemberJoined = cast(int, ...)
  MemberLeft = cast(int, ...)
  ChatMessage = cast(int, ...)
  WhisperMessage = cast(int, ...)
  EmoteMessage = cast(int, ...)

