"""Settings that somebody gives services or single instances on top of those that the mesh renders."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from difflib import get_close_matches
from pathlib import Path

import yaml

from .topology import Overrides, TopologyError

_OF_RUNTIMES = ("GO", "GRPC_", "OTEL_", "PYTHON")
"""What begins so is read by languages' runtimes and by libraries, not by services."""


def load_overrides(path: Path) -> Overrides:
    """Read the file that WORLDMESH_OVERRIDES names: YAML, for example `{relay-0: {WORLDMESH_RELAY_LEASE: 6s}}`."""
    try:
        raw = yaml.safe_load(path.read_text()) or {}
        return {
            str(name): {str(k): _text(f"{name}: {k}", v) for k, v in settings.items()} for name, settings in raw.items()
        }
    except OSError as error:
        raise TopologyError(f"WORLDMESH_OVERRIDES={path}: {error.strerror}") from error
    except (AttributeError, yaml.YAMLError) as error:
        raise TopologyError(f"WORLDMESH_OVERRIDES={path}: {error}") from error


def check_overrides(overrides: Overrides, known: Mapping[str, Collection[str]]) -> None:
    """Refuse what no service would read, by what each knows: a setting that is misspelt would go unnoticed."""
    wrong: list[str] = []
    for name, given in overrides.items():
        settings = known[name if name in known else name.rpartition("-")[0]]
        unknown = [v for v in given if v not in settings and not v.startswith(_OF_RUNTIMES)]
        wrong += [f"{name} knows no {variable}{_meant(variable, settings)}" for variable in unknown]
    if wrong:
        raise TopologyError(f"WORLDMESH_OVERRIDES: {'; '.join(wrong)}: all that there is stands in docs/settings.md")


def _meant(variable: str, settings: Collection[str]) -> str:
    close = get_close_matches(variable, settings, n=1, cutoff=0.85)
    return f" (is it {close[0]}?)" if close else ""


def _text(name: str, value: object) -> str:
    """A setting as the environment has it. What YAML reads as something else would not be what was written."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise TopologyError(f"WORLDMESH_OVERRIDES: {name} is {value!r}: write a number, or a text in quotation marks")
    return str(value)
