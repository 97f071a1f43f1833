"""World's settings."""

from __future__ import annotations

from pathlib import Path

import pytest
from worldmesh_kit import Environment, load_settings
from worldmesh_kit.testing import service_settings
from worldmesh_world.config import Settings


@pytest.mark.parametrize(
    ("environment", "said", "expected"),
    [
        (Environment.DEVELOPMENT, None, True),
        (Environment.PRODUCTION, None, False),
        (None, None, False),
        (Environment.DEVELOPMENT, "false", False),
        (Environment.PRODUCTION, "true", True),
    ],
)
def test_demo_rooms_are_made_in_development_unless_it_is_said_otherwise(
    monkeypatch: pytest.MonkeyPatch, environment: Environment | None, said: str | None, expected: bool
) -> None:
    settings = service_settings("world", Path("certs")) | {"mongo_uri": "mongodb://", "environment": environment}
    settings["world_demo"] = said
    for name, value in settings.items():
        monkeypatch.delenv(f"WORLDMESH_{name.upper()}", raising=False)
        if value is not None:
            monkeypatch.setenv(f"WORLDMESH_{name.upper()}", str(value))
    assert load_settings(Settings).demo is expected
