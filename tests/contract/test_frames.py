"""Client frames: the golden bytes of each kind are read alike by Go, by the Python client and by flatc, in both
dialects. Go's part is in
go_services/internal/frames."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
import re
import subprocess
from pathlib import Path
from typing import Any, get_args

import flatbuffers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from worldmesh.client.v1 import Ok, RoomEvent, ServerFrame
from worldmesh.client.v1.EventBody import EventBody
from worldmesh.client.v1.ServerBody import ServerBody
from worldmesh_client import ProtocolError, _fb_decode, _json
from worldmesh_client import _frames as f
from worldmesh_client._dialect import response_of
from worldmesh_messages.worldmesh.world.v1 import ListRoomsResponse

from . import golden_frames
from .contracts import ROOT
from .golden import same_json

SCHEMA = ROOT / "proto/worldmesh/client/v1/client.fbs"
FLATC = ROOT / ".venv/bin/flatc"
RENEW = "renew on purpose: make golden"

SERVER = golden_frames.committed("server")
CLIENT = golden_frames.committed("client")
# State batches are packed, and no tables.
TABLES = {name: sample for name, sample in SERVER.items() if "state_batch" not in sample["json"]}


def flatc(*arguments: str | Path) -> None:
    subprocess.run([FLATC, *arguments], check=True, capture_output=True, text=True)


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The tables of client.fbs as JSON Schema."""
    folder = tmp_path_factory.mktemp("schema")
    flatc("--jsonschema", "-o", folder, SCHEMA)
    definitions: dict[str, Any] = json.loads((folder / "client.schema.json").read_text())["definitions"]
    return {name.removeprefix("worldmesh_client_v1_"): value for name, value in definitions.items()}


@pytest.fixture(scope="module")
def by_flatc(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """All golden frames as flatc reads them, which also verifies their bytes."""
    read = {}
    for side, root, frames in (("client", "ClientFrame", CLIENT), ("server", "ServerFrame", TABLES)):
        folder = tmp_path_factory.mktemp(side)
        paths = [folder / f"{i}.bin" for i in range(len(frames))]
        for path, sample in zip(paths, frames.values(), strict=True):
            path.write_bytes(bytes.fromhex(sample["hex"]))
        root_type = f"worldmesh.client.v1.{root}"
        options = ["--json", "--strict-json", "--defaults-json", "--natural-utf8", "--raw-binary"]
        flatc(*options, "--root-type", root_type, "-o", folder, SCHEMA, "--", *paths)
        read[side] = {
            name: json.loads(path.with_suffix(".json").read_text()) for name, path in zip(frames, paths, strict=True)
        }
    return read


def snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def in_dialect(value: Any, key: str = "") -> Any:
    """flatc's JSON in our JSON dialect: bodies under their own names, bytes in base64, no empty bytes."""
    if isinstance(value, dict):
        fields = {k: in_dialect(v, k) for k, v in value.items() if k not in ("body", "body_type")}
        fields = {k: v for k, v in fields.items() if v not in (None, "") or k not in ("values", "payload", "status")}
        if "body" in value:
            fields[snake(value["body_type"])] = in_dialect(value["body"])
        return fields
    if isinstance(value, list) and key in ("values", "payload", "status") and all(isinstance(v, int) for v in value):
        return base64.b64encode(bytes(value)).decode()
    return [in_dialect(v) for v in value] if isinstance(value, list) else value


def without_defaults(value: Any) -> Any:
    """A frame with what has its default left out, for the dialect may write it or not."""
    if isinstance(value, dict):
        fields = {k: without_defaults(v) for k, v in value.items()}
        return {k: v for k, v in fields.items() if v not in (0, "", False, [])}
    if isinstance(value, list):
        return [without_defaults(v) for v in value]
    if isinstance(value, float):
        return round(value, 5)  # flatc writes the float32 next to it
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def test_the_client_still_writes_the_golden_frames() -> None:
    assert same_json(golden_frames.expected(), CLIENT), RENEW


@pytest.mark.parametrize("name", CLIENT)
def test_flatc_reads_client_frames(name: str, by_flatc: dict[str, dict[str, Any]]) -> None:
    read, wanted = in_dialect(by_flatc["client"][name]), dict(CLIENT[name]["json"])
    if "call" in wanted:  # the request is Protobuf here and ProtoJSON there: Go's part compares them
        read["call"].pop("payload", None)
        wanted["call"] = {"method": wanted["call"]["method"]}
    assert without_defaults(read) == without_defaults(wanted)


@pytest.mark.parametrize("name", [name for name in TABLES if name != "call_result"])
def test_flatc_reads_server_frames(name: str, by_flatc: dict[str, dict[str, Any]]) -> None:
    assert without_defaults(in_dialect(by_flatc["server"][name])) == without_defaults(SERVER[name]["json"])


@pytest.mark.parametrize("name", SERVER)
def test_the_client_reads_server_frames_alike_in_both_dialects(name: str) -> None:
    binary = _fb_decode.decode(bytes.fromhex(SERVER[name]["hex"]))
    text = _json.decode(json.dumps(SERVER[name]["json"]))
    assert binary.rid == text.rid
    if isinstance(binary.body, f.CallResult):
        assert isinstance(text.body, f.CallResult)
        assert response_of(text.body, ListRoomsResponse) == ListRoomsResponse(next_page_token="abc")
        assert binary.body.response == b"\x0a\x03abc"
    else:
        assert binary.body == text.body


def test_there_is_a_golden_frame_of_every_kind(schema: dict[str, Any]) -> None:
    def kinds(union: str) -> set[str]:
        return {snake(name) for name in schema[union]["enum"] if name != "NONE"}

    assert {key for s in CLIENT.values() for key in s["json"]} - {"rid"} == kinds("ClientBody")
    assert {key for s in SERVER.values() for key in s["json"]} - {"rid"} == kinds("ServerBody")
    events = {key for s in SERVER.values() for key in s["json"].get("room_event", {})}
    assert events - {"epoch", "seq", "time_ms", "sub"} == kinds("EventBody")


@pytest.mark.parametrize(
    "kind",
    [
        *(k for k in (*get_args(f.ClientBody), *get_args(f.ServerBody), *get_args(f.EventBody))),
        *(f.Position, f.Vec3, f.EntityState, f.EntityValues, f.User, f.Member),
    ],
    ids=lambda kind: kind.__name__,
)
def test_the_client_knows_every_field_of_the_schema(kind: Any, schema: dict[str, Any]) -> None:
    ours = {field.name for field in dataclasses.fields(kind)}
    theirs = {name for name in schema[kind.__name__]["properties"] if not name.endswith("_type")}
    only_here = {"Call": {"request"}, "CallResult": {"response"}, "Error": {"details"}}
    only_there = {"Call": {"payload"}, "CallResult": {"payload"}}
    assert ours - only_here.get(kind.__name__, set()) == theirs - only_there.get(kind.__name__, set())


@settings(deadline=None)  # a busy machine is no defect
@given(
    name=st.sampled_from(sorted(SERVER)),
    changes=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=8),
)
def test_a_frame_with_changed_bytes_is_a_protocol_error_or_another_frame(
    name: str, changes: list[tuple[int, int]]
) -> None:
    data = bytearray.fromhex(SERVER[name]["hex"])
    for position, value in changes:
        data[position % len(data)] = value
    with contextlib.suppress(ProtocolError):
        _fb_decode.decode(bytes(data))


def newer(rid: int, kind: int, event: int | None = None) -> bytes:
    """A frame with a body of some kind; or with a room event, which has one."""
    builder = flatbuffers.Builder()

    def empty() -> Any:
        Ok.OkStart(builder)
        return Ok.OkEnd(builder)

    if event is None:
        body = empty()
    else:
        inner = empty()
        RoomEvent.RoomEventStart(builder)
        RoomEvent.RoomEventAddEpoch(builder, 3)
        RoomEvent.RoomEventAddSeq(builder, 7)
        RoomEvent.RoomEventAddSub(builder, 1)
        RoomEvent.RoomEventAddBodyType(builder, event)
        RoomEvent.RoomEventAddBody(builder, inner)
        body = RoomEvent.RoomEventEnd(builder)
    ServerFrame.ServerFrameStart(builder)
    ServerFrame.ServerFrameAddRid(builder, rid)
    ServerFrame.ServerFrameAddBodyType(builder, kind)
    ServerFrame.ServerFrameAddBody(builder, body)
    builder.Finish(ServerFrame.ServerFrameEnd(builder), b"WMS1")
    return bytes(builder.Output())


@pytest.mark.parametrize("rid", [0, 7])
@pytest.mark.parametrize("kind", [max(_fb_decode._BODIES) + 1, 255])
def test_a_frame_of_a_newer_kind_is_ignored(rid: int, kind: int) -> None:
    ignored = f.ServerFrame(rid, f.Unknown())
    assert _fb_decode.decode(newer(rid, kind)) == ignored
    assert _json.decode(json.dumps({"rid": rid, "new_kind": {"x": 1}})) == ignored


@pytest.mark.parametrize("data", ["1101", "02", "0f01"])
def test_a_state_batch_of_a_newer_version_is_ignored(data: str) -> None:
    """The reader in Go is tested with the same, and with those that follow."""
    assert _fb_decode.decode(bytes.fromhex(data)) == f.ServerFrame(0, f.Unknown())


@pytest.mark.parametrize(
    "data",
    [
        "01",  # no tick
        "01ffffffffffffffffff7f",  # a tick of more than 64 bits
        "018080808080808080808000",  # a number of eleven bytes
        "0901ff",  # who is gone is cut short
        "01010800",  # a state is cut short
        "010108000000008080808080",  # a number without an end
        "01010a00000000808004",  # an animation of more than 16 bits
        "01010c000000000500",  # values are cut short
    ],
)
def test_a_state_batch_that_is_none_is_a_protocol_error(data: str) -> None:
    with pytest.raises(ProtocolError):
        _fb_decode.decode(bytes.fromhex(data))


@pytest.mark.parametrize("event", [max(_fb_decode._EVENTS) + 1, 255])
def test_an_event_of_a_newer_kind_is_ignored(event: int) -> None:
    """Only its place is known: it need not come again to who resumes."""
    ignored = f.ServerFrame(0, f.Unknown(f.Position(3, 7, 1)))
    assert _fb_decode.decode(newer(0, ServerBody.RoomEvent, event)) == ignored
    text = '{"room_event": {"epoch": 3, "seq": 7, "sub": 1, "time_ms": 1, "new_event": {"x": 1}}}'
    assert _json.decode(text) == ignored


def test_a_frame_or_event_without_a_body_is_a_protocol_error() -> None:
    for data in (newer(1, ServerBody.NONE), newer(0, ServerBody.RoomEvent, EventBody.NONE)):
        with pytest.raises(ProtocolError):
            _fb_decode.decode(data)


@pytest.mark.parametrize("name", SERVER)
def test_fields_of_a_newer_version_are_ignored(name: str) -> None:
    """In JSON; FlatBuffers looks for nothing that it does not know."""

    def grown(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: grown(item) for key, item in value.items()} | {"new_field": {"x": [1]}}
        return [grown(item) for item in value] if isinstance(value, list) else value

    if "call_result" not in SERVER[name]["json"]:  # its ProtoJSON is read when it is asked for
        assert _json.decode(json.dumps(grown(SERVER[name]["json"]))) == _json.decode(json.dumps(SERVER[name]["json"]))


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["rid", "body", "sender", "state", "members", "position", "x"]), inner, max_size=3
        )
    ),
    max_leaves=8,
)


@settings(deadline=None)  # a busy machine is no defect
@given(kind=st.sampled_from(sorted(_json._BODIES)), value=JSON_VALUES)
def test_a_json_frame_with_anything_in_it_is_a_protocol_error_or_a_frame(kind: str, value: Any) -> None:
    with contextlib.suppress(ProtocolError):
        _json.decode(json.dumps({kind: value}))


@pytest.mark.parametrize("name", SERVER)
def test_a_frame_cut_short_is_a_protocol_error_or_a_shorter_frame(name: str) -> None:
    """FlatBuffers has no checksum: what is cut may still read. What it must not do is fail otherwise."""
    data = bytes.fromhex(SERVER[name]["hex"])
    for length in range(len(data)):
        try:
            _fb_decode.decode(data[:length])
        except ProtocolError:
            continue


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00" * 7,
        b"\x08\x00\x00\x00WMC1" + b"\x00" * 16,
        b"\xfc\xff\xff\x7fWMS1",
        b"\x08\x00\x00\x00WMS2" + b"\x00" * 16,
    ],
)
def test_what_is_no_server_frame_is_a_protocol_error(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        _fb_decode.decode(data)


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "7", "{}", '{"rid": 1}', '{"pong": 3}', '{"error": {}}', '{"room_event": {}}'),
        *('{"error": {"reason": 7}}', '{"rid": "1", "ok": {}}', '{"room_event": {"new_event": {}}}'),
        '{"room_event": {"epoch": 1, "seq": 1, "time_ms": 1, "sub": 1}}',
    ],
)
def test_what_is_no_server_frame_in_json_is_a_protocol_error(text: str) -> None:
    with pytest.raises(ProtocolError):
        _json.decode(text)
