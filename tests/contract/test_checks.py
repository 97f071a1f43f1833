"""The checks that guard the contracts fail when they should: each is run on a copy with something broken in it."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from .contracts import ROOT

WORLD = "proto/worldmesh/world/v1/world_service.proto"
FRAMES = "proto/worldmesh/client/v1/client.fbs"


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy of all that the checks read."""

    root: Path

    def replace(self, path: str, old: str, new: str) -> None:
        """Changes the first occurrence of a text that must be there."""
        text = (self.root / path).read_text()
        assert old in text, f"{path} no longer holds {old!r}: this test needs another example"
        (self.root / path).write_text(text.replace(old, new, 1))

    def run(self, *command: str) -> tuple[int, str]:
        """Exit status and what was said."""
        done = subprocess.run(command, cwd=self.root, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    for name in ("docs", "proto", "tools", "tests/contract"):
        shutil.copytree(ROOT / name, tmp_path / name)
    (tmp_path / "mesh").mkdir()
    shutil.copy(ROOT / "mesh/catalogue.yaml", tmp_path / "mesh")
    for name in ("buf.yaml", "buf.gen.yaml", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    (tmp_path / ".build").mkdir()
    (tmp_path / ".build/bin").symlink_to(ROOT / ".build/bin")
    shutil.copytree(ROOT / ".build/proto-deps", tmp_path / ".build/proto-deps")
    return Copy(tmp_path)


ADDITION = ("message DeleteRoomResponse {}", "message DeleteRoomResponse {\n  // More.\n  bool more = 1;\n}")

LINT = (".venv/bin/buf", "lint")
BREAKING = ("tools/breaking",)
GEN_CHECK = ("tools/gen-check",)


def test_the_contracts_pass_lint_and_break_nothing(copy: Copy) -> None:
    assert copy.run(*LINT) == (0, "")
    assert copy.run(*BREAKING) == (0, "")


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("  // Only rooms of this owner.\n", "", "should have a non-empty comment"),
        ("string name_prefix = 4", "string namePrefix = 4", "should be lower_snake_case"),
        ("returns (GetRoomResponse)", "returns (CreateRoomResponse)", "used as the request or response"),
        ("ACCESS_POLICY_UNSPECIFIED = 0", "ACCESS_POLICY_NONE = 0", "UNSPECIFIED"),
    ],
)
def test_lint_fails(copy: Copy, old: str, new: str, complaint: str) -> None:
    copy.replace(WORLD, old, new)
    status, said = copy.run(*LINT)
    assert status != 0
    assert complaint in said


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("exposure: EXPOSURE_PUBLIC", "exposure: EXPOSURE_UNSPECIFIED", "no policy, or one without exposure"),
        ("owner_id = 3 [(buf.validate.field).string.max_len = 64]", "owner_id = 3", "owner_id: string without a bound"),
    ],
)
def test_lint_fails_for_rules_of_ours_too(copy: Copy, old: str, new: str, complaint: str) -> None:
    copy.replace(WORLD, old, new)
    status, said = copy.run("tools/lint")
    assert status != 0
    assert complaint in said
    assert "-- Python" not in said, "it ends at the first that fails"


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("int32 page_size = 1", "int64 page_size = 1", "changed type"),
        ("string owner_id = 3 [", "string owner_id = 33 [", "was deleted"),
        ("string name_prefix = 4", "string name_start = 4", "changed name"),
        ("  ACCESS_POLICY_FOLLOWERS = 3;\n", "", "was deleted"),
        ("rpc GetRoom(", "rpc FetchRoom(", "was deleted"),
        ("rpc GetRoom(GetRoomRequest) returns (", "rpc GetRoom(GetRoomRequest) returns (stream ", "streaming"),
    ],
)
def test_breaking_fails(copy: Copy, old: str, new: str, complaint: str) -> None:
    copy.replace(WORLD, old, new)
    status, said = copy.run(*BREAKING)
    assert status != 0
    assert complaint in said


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("  rid: uint;\n  body: ClientBody", "  newer: uint;\n  rid: uint;\n  body: ClientBody"),
        ("  yaw: ushort;\n  animation: ushort;\n  // Empty", "  yaw: uint;\n  animation: ushort;\n  // Empty"),
        ("  Hello,\n  Refresh,", "  Refresh,\n  Hello,"),
        ("  z: float;\n}", "  z: float;\n  w: float;\n}"),
    ],
    ids=["field in front", "other type", "union reordered", "struct grown"],
)
def test_breaking_fails_for_client_frames(copy: Copy, old: str, new: str) -> None:
    copy.replace(FRAMES, old, new)
    status, said = copy.run(*BREAKING)
    assert status != 0
    assert "error:" in said


def test_an_addition_breaks_nothing(copy: Copy) -> None:
    copy.replace(WORLD, *ADDITION)
    copy.replace(FRAMES, "  server_time_ms: ulong;\n", "  server_time_ms: ulong;\n  more: bool;\n")
    assert copy.run(*LINT) == (0, "")
    assert copy.run(*BREAKING) == (0, "")


def test_renewing_makes_a_breaking_change_the_released_state(copy: Copy) -> None:
    copy.replace(WORLD, "string name_prefix = 4", "string name_start = 4")
    assert copy.run(*BREAKING, "--renew") == (0, "")
    assert copy.run(*BREAKING) == (0, "")


def test_generated_code_that_lags_behind_or_was_edited_fails(copy: Copy) -> None:
    assert copy.run("tools/gen")[0] == 0
    assert copy.run(*GEN_CHECK) == (0, "")
    with (copy.root / "gen/python/worldmesh/world/v1/world_service_pb2.pyi").open("a") as stub:
        stub.write("# edited\n")
    copy.replace(WORLD, *ADDITION)
    status, said = copy.run(*GEN_CHECK)
    assert status != 0
    for part in ("world_service_pb2.pyi", "world_service.pb.go", "betterproto", "descriptors.binpb", "swagger.json"):
        assert part in said
