"""State batches as the FlatBuffers dialect has them: packed, as docs/wire.md says."""

from __future__ import annotations

from . import _frames as f
from ._errors import ProtocolError

_MASK, _PACKED = 0b11, 0b01  # all other frames begin with an offset that is a multiple of 4
_ANEW, _GONE = 1 << 2, 1 << 3
_KNOWN = _PACKED | _ANEW | _GONE
_Y, _ANIMATION, _VALUES = 1, 2, 4  # what follows, in the lowest bits of an entity's number
_ENTITY_SHIFT = 3
_MAX_TICK, _MAX_ENTITY, _MAX_U16 = (1 << 64) - 1, (1 << 32) - 1, (1 << 16) - 1


def is_one(data: bytes) -> bool:
    """Whether a binary message is a state batch, and no table of FlatBuffers."""
    return len(data) > 0 and data[0] & _MASK != 0


def decode(data: bytes) -> f.StateBatch | f.Unknown:
    """Reads one: Unknown if it is of a later version. Raises ProtocolError if it is cut short or
    has numbers that are too large."""
    first = data[0]
    if first & _MASK != _PACKED or first & ~_KNOWN:
        return f.Unknown()
    r = _Reader(data)
    tick = r.unsigned(_MAX_TICK)
    gone = tuple(r.unsigned(_MAX_ENTITY) for _ in range(r.unsigned(len(data)))) if first & _GONE else ()
    states: list[f.EntityState] = []
    values: list[f.EntityValues] = []
    while r.at < len(data):
        number = r.unsigned((_MAX_ENTITY << _ENTITY_SHIFT) | _Y | _ANIMATION | _VALUES)
        entity, x, z, yaw = number >> _ENTITY_SHIFT, r.metres(), r.metres(), int.from_bytes(r.bytes(2), "little")
        y = r.metres() if number & _Y else 0.0
        animation = r.unsigned(_MAX_U16) if number & _ANIMATION else 0
        states.append(f.EntityState(entity, f.Vec3(x, y, z), yaw, animation))
        if number & _VALUES:
            values.append(f.EntityValues(entity, r.bytes(r.unsigned(len(data)))))
    return f.StateBatch(tick, tuple(states), tuple(values), gone, bool(first & _ANEW))


class _Reader:
    """What follows the first byte, part by part."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 1

    def unsigned(self, most: int) -> int:
        """A LEB128 number, of at most ten bytes."""
        value = 0
        for shift in range(0, 70, 7):
            if self.at == len(self._data):
                raise ProtocolError("the state batch is cut short")
            byte = self._data[self.at]
            self.at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
        else:
            raise ProtocolError("the state batch has a number without an end")
        if value > most:
            raise ProtocolError("the state batch has a number that is too large")
        return value

    def metres(self) -> float:
        """Centimetres, in zigzag."""
        n = self.unsigned(_MAX_ENTITY)
        return ((n >> 1) ^ -(n & 1)) / 100

    def bytes(self, n: int) -> bytes:
        """The next n."""
        taken = self._data[self.at : self.at + n]
        if len(taken) < n:
            raise ProtocolError("the state batch is cut short")
        self.at += n
        return taken
