"""The page of settings says what the sources say."""

from __future__ import annotations

import re

from worldmesh_mesh.catalogue import load_catalogue
from worldmesh_mesh.paths import CATALOGUE, ROOT
from worldmesh_mesh.settings import Setting, go_settings, known_settings, python_settings, settings_page

GO = """
// Config holds the settings.
type Config struct {
	kit.Config
	kit.RedisConfig

	// Lease is how long it lasts,
	// in all.
	Lease time.Duration `env:"WORLDMESH_LEASE" envDefault:"8s"`
	// TLSCert and TLSKey are PEM files.
	TLSCert string `env:"WORLDMESH_TLS_CERT,required,notEmpty"`
	TLSKey  string `env:"WORLDMESH_TLS_KEY,required,notEmpty"`
	// Strict refuses more, also what QueueBytes bounds, and not a Lease.
	Strict bool `env:"WORLDMESH_STRICT"`
	// QueueBytes bounds it.
	QueueBytes int `env:"WORLDMESH_QUEUE_BYTES"`
}
"""
PYTHON = """
class Settings(MongoSettings):
    \"\"\"What it can be told.\"\"\"

    addr: str = Field(description="host:port.")
    mode: Mode = Field(Mode.STRICT, description="How.")
    hours: float = Field(24.0, gt=0, description="How "
        "long.")
    name: str = Field("", description="Or none.")

    @property
    def other(self) -> str:
        return self.name
"""


def test_a_go_struct_is_read_with_what_is_said_above_its_fields() -> None:
    declared = go_settings(GO)["Config"]
    assert declared.takes_in == ("Config", "RedisConfig")
    assert declared.settings == (
        Setting("WORLDMESH_LEASE", "8s", "How long it lasts, in all."),
        Setting("WORLDMESH_TLS_CERT", "must be given", "PEM files."),
        Setting("WORLDMESH_TLS_KEY", "must be given", "PEM files."),
        Setting(
            "WORLDMESH_STRICT", "false", "Refuses more, also what `WORLDMESH_QUEUE_BYTES` bounds, and not a Lease."
        ),
        Setting("WORLDMESH_QUEUE_BYTES", "0", "Bounds it."),
    )


def test_a_python_class_is_read_with_its_fields_descriptions() -> None:
    declared = python_settings(PYTHON)["Settings"]
    assert declared.takes_in == ("MongoSettings",)
    assert declared.settings == (
        Setting("WORLDMESH_ADDR", "must be given", "host:port."),
        Setting("WORLDMESH_MODE", "strict", "How."),
        Setting("WORLDMESH_HOURS", "24", "How long."),
        Setting("WORLDMESH_NAME", "–", "Or none."),
    )


def test_both_kits_have_the_same_settings_for_every_service() -> None:
    go = go_settings((ROOT / "go_services/internal/kit/config.go").read_text())["Config"]
    python = python_settings((ROOT / "py_services/kit/src/worldmesh_kit/_settings.py").read_text())["ServiceSettings"]
    ours = {s.variable: s.default for s in go.settings if s.variable.startswith("WORLDMESH_")}
    assert ours == {s.variable: s.default for s in python.settings}


def test_every_variable_that_a_go_service_reads_is_on_the_page_and_explained() -> None:
    page = settings_page(ROOT)
    read = {
        v
        for file in (ROOT / "go_services").rglob("*.go")
        if not file.name.endswith("_test.go")
        for v in tags(file.read_text())
    }
    assert read
    assert {v for v in read if f"| `{v}` |" not in page} == set()
    assert "|  |\n" not in page


def test_a_service_knows_its_own_settings_and_those_of_what_it_takes_in() -> None:
    known = known_settings(ROOT)
    of_all = {"WORLDMESH_LOG_LEVEL", "WORLDMESH_CLOCK_OFFSET_SECONDS"}
    assert {"WORLDMESH_RELAY_HOLD", "WORLDMESH_REDIS_ADDRS", *of_all} <= known["relay"]
    assert {"WORLDMESH_WORLD_ROOMS", "WORLDMESH_MONGO_DATABASE", *of_all} <= known["world"]
    assert not {"WORLDMESH_RELAY_HOLD", "WORLDMESH_REDIS_ADDRS", "WORLDMESH_MONGO_URI"} & known["gateway"]
    assert {s.name for s in load_catalogue(CATALOGUE)} <= known.keys()


def tags(source: str) -> list[str]:
    """The variables in a Go file's tags."""
    return re.findall(r'`env:"(\w+)', source)
