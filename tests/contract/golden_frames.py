"""Golden client frames: written here by the Python client, in both dialects, and read by the gateway's decoder.

`python -m tests.contract.golden_frames` renews them. Server frames go the other way:
`go test ./go_services/internal/frames -update` writes them with the relay's encoder.
"""

from __future__ import annotations

import json
from typing import Any

from worldmesh_client import _fb_encode, _json
from worldmesh_client import _frames as f
from worldmesh_messages.google.protobuf import FieldMask
from worldmesh_messages.worldmesh.world.v1 import AccessPolicy, Room, UpdateRoomRequest

from .golden import FOLDER, Sample

TEXT = 'naïve ☃ 𝄞 "\\\n'
UPDATE = UpdateRoomRequest(
    room=Room(room_id="room_1", display_name=TEXT, access_policy=AccessPolicy.PRIVATE, capacity=-1),
    update_mask=FieldMask(paths=["display_name", "access_policy"]),
)

FRAMES: dict[str, f.ClientFrame] = {
    "hello": f.ClientFrame(1, f.Hello("token", "web")),
    "hello bare": f.ClientFrame(1, f.Hello("token")),
    "refresh": f.ClientFrame(2, f.Refresh("token")),
    "join": f.ClientFrame(3, f.Join("room_1")),
    "join resume": f.ClientFrame(3, f.Join("room_1", f.Position(2097153, 98, 3))),
    "leave": f.ClientFrame(4, f.Leave()),
    "move": f.ClientFrame(0, f.Move(f.Vec3(1.5, 2.5, 3.5), 16384, 3, b"\x00\x01\xff")),
    "move bare": f.ClientFrame(0, f.Move(f.Vec3())),
    "move edge": f.ClientFrame(0, f.Move(f.Vec3(-1.5, 65536.0, -0.25), 65535, 65535, bytes(range(256)))),
    "chat": f.ClientFrame(5, f.Chat(TEXT, "m1")),
    "chat bare": f.ClientFrame(5, f.Chat("hi")),
    "chat long": f.ClientFrame(5, f.Chat("☃" * 1000)),
    "whisper": f.ClientFrame(6, f.Whisper("usr_2", TEXT, "m2")),
    "whisper bare": f.ClientFrame(6, f.Whisper("usr_2", "psst")),
    "emote": f.ClientFrame(7, f.Emote("wave", "usr_2", "m3")),
    "emote bare": f.ClientFrame(7, f.Emote("wave")),
    "call": f.ClientFrame(8, f.Call("worldmesh.world.v1.WorldService/UpdateRoom", UPDATE)),
    "call bare": f.ClientFrame(8, f.Call("worldmesh.world.v1.WorldService/UpdateRoom", UpdateRoomRequest())),
    "ping": f.ClientFrame(9, f.Ping(1795482123456)),
    "ping largest": f.ClientFrame(2**32 - 1, f.Ping(2**53 - 1)),
}


def expected() -> dict[str, Sample]:
    """The client frames as the Python client writes them."""
    return {
        name: {"hex": _fb_encode.encode(frame).hex(), "json": json.loads(_json.encode(frame))}
        for name, frame in FRAMES.items()
    }


def committed(side: str) -> dict[str, Any]:
    """The golden frames of one side, `client` or `server`."""
    frames: dict[str, Any] = json.loads((FOLDER / f"frames.{side}.json").read_text())
    return frames


def main() -> None:
    """Renews the client's golden frames."""
    lines = (f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in expected().items())
    (FOLDER / "frames.client.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
