"""Settings that somebody gives services or single instances on top of those that the mesh renders."""

from __future__ import annotations

from pathlib import Path

import yaml

from .topology import Overrides, TopologyError


def load_overrides(path: Path) -> Overrides:
    """Read the file that WORLDMESH_OVERRIDES names: YAML, for example `{relay-0: {WORLDMESH_RELAY_LEASE: 6s}}`."""
    try:
        raw = yaml.safe_load(path.read_text()) or {}
        return {
            str(name): {str(k): _text(f"{name}: {k}", v) for k, v in settings.items()} for name, settings in raw.items()
        }
    except (OSError, AttributeError, yaml.YAMLError) as error:
        raise TopologyError(f"WORLDMESH_OVERRIDES={path}: {error}") from error


def _text(name: str, value: object) -> str:
    """A setting as the environment has it. What YAML reads as something else would not be what was written."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise TopologyError(f"WORLDMESH_OVERRIDES: {name} is {value!r}: write a number, or a text in quotation marks")
    return str(value)
