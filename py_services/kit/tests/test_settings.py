"""Settings from the environment."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from worldmesh_kit import Environment, ServiceSettings, SettingsError, load_settings

GOOD = {
    "WORLDMESH_SERVICE": "quests",
    "WORLDMESH_INSTANCE": "quests-0",
    "WORLDMESH_GRPC_ADDR": "127.0.0.1:0",
    "WORLDMESH_ADMIN_ADDR": "127.0.0.1:0",
    "WORLDMESH_MESH_ADDR": "127.0.0.1:1",
    "WORLDMESH_TLS_DIR": "certs",
}

# What services say of themselves alike in all languages.
TELEMETRY = json.loads((Path(__file__).parents[3] / "tests/contract/telemetry.json").read_text())


@pytest.fixture
def environ(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for key, value in GOOD.items():
        monkeypatch.setenv(key, value)
    return monkeypatch


def test_the_environment_is_production_unless_it_is_said(environ: pytest.MonkeyPatch) -> None:
    assert load_settings(ServiceSettings).environment is Environment.PRODUCTION


def test_settings_can_not_be_changed(environ: pytest.MonkeyPatch) -> None:
    settings = load_settings(ServiceSettings)
    with pytest.raises(ValueError, match="frozen"):
        settings.service = "others"  # type: ignore[misc]


@pytest.mark.parametrize("variable", GOOD)
def test_a_missing_setting_is_named_in_one_line(environ: pytest.MonkeyPatch, variable: str) -> None:
    environ.delenv(variable)
    with pytest.raises(SettingsError) as raised:
        load_settings(ServiceSettings)
    assert variable in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_wrong_clock_is_refused_in_production(environ: pytest.MonkeyPatch) -> None:
    environ.setenv("WORLDMESH_CLOCK_OFFSET_SECONDS", "300")
    with pytest.raises(SettingsError, match="CLOCK_OFFSET_SECONDS"):
        load_settings(ServiceSettings)
    environ.setenv("WORLDMESH_ENVIRONMENT", "development")
    ahead = load_settings(ServiceSettings).clock.now() - datetime.now(UTC)
    assert timedelta(seconds=290) < ahead < timedelta(seconds=310)


def test_log_levels_have_the_names_that_they_have_in_other_languages(environ: pytest.MonkeyPatch) -> None:
    for level in TELEMETRY["log_levels"]:
        environ.setenv("WORLDMESH_LOG_LEVEL", level)
        assert load_settings(ServiceSettings).log_level == level
    for level in ("loud", "INFO", "warning", ""):
        environ.setenv("WORLDMESH_LOG_LEVEL", level)
        with pytest.raises(SettingsError, match="WORLDMESH_LOG_LEVEL"):
            load_settings(ServiceSettings)


def test_a_wrong_setting_is_named_without_its_value(environ: pytest.MonkeyPatch) -> None:
    environ.setenv("WORLDMESH_DRAIN_SECONDS", "hunter2")
    with pytest.raises(SettingsError, match="WORLDMESH_DRAIN_SECONDS") as raised:
        load_settings(ServiceSettings)
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("text", ["-1", "inf", "nan"])
def test_what_is_no_time_is_refused(environ: pytest.MonkeyPatch, text: str) -> None:
    environ.setenv("WORLDMESH_DRAIN_SECONDS", text)
    with pytest.raises(SettingsError, match="WORLDMESH_DRAIN_SECONDS"):
        load_settings(ServiceSettings)
