"""What a small world is rendered to, as files that a person reads.

After a change that is meant: `WORLDMESH_REWRITE=1 .venv/bin/python -m pytest mesh/tests`, then read the difference.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from worldmesh_mesh.documents import authorization, picture, with_picture
from worldmesh_mesh.envoy.common import endpoints
from worldmesh_mesh.envoy.edge import edge_config
from worldmesh_mesh.envoy.mesh import mesh_config
from worldmesh_mesh.envoy.secrets import secrets
from worldmesh_mesh.paths import PYTHON, ROOT
from worldmesh_mesh.processes import Programs, processes, where

from mesh.tests.small import METHODS, TESTDATA, WEB, small_topology

PROGRAMS = Programs(mongod=Path("/bin/mongod"), valkey=Path("/bin/valkey"), envoy=Path("/bin/envoy"))
OUTPUTS: dict[str, Callable[[], object]] = {
    "mesh.json": lambda: mesh_config(small_topology(), METHODS),
    "edge.json": lambda: edge_config(small_topology(), METHODS, WEB),
    "edge.production.json": lambda: edge_config(small_topology(development=False), METHODS, WEB),
    "secrets.json": secrets,
    "endpoints.relay.json": lambda: endpoints(small_topology(), "relay"),
    "processes.json": lambda: processes(small_topology(), PROGRAMS),
    "where.json": lambda: where(small_topology()),
    "picture.md": lambda: picture(small_topology().services, METHODS),
    "authorization.md": lambda: authorization(small_topology().services, METHODS),
}


def text_of(output: object) -> str:
    """Without what differs from one checkout to the next."""
    text = output if isinstance(output, str) else json.dumps(output, indent=1) + "\n"
    return text.replace(str(PYTHON), "<python>").replace(str(ROOT), "<root>")


@pytest.mark.parametrize("name", OUTPUTS)
def test_a_small_world_is_rendered_as_the_golden_files_say(name: str) -> None:
    golden, text = TESTDATA / "out" / name, text_of(OUTPUTS[name]())
    if os.environ.get("WORLDMESH_REWRITE"):
        golden.write_text(text)
    assert text == golden.read_text(), "if this is meant: WORLDMESH_REWRITE=1 pytest mesh/tests"


def test_the_picture_replaces_the_one_between_the_marks_and_nothing_else() -> None:
    page = "before\n<!-- picture:begin (make gen) -->\nold\n<!-- picture:end -->\nafter\n"
    assert with_picture(page, "new") == page.replace("old", "new")
