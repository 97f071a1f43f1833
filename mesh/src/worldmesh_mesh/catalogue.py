"""The service catalogue (mesh/catalogue.yaml) as data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml


class CatalogueError(Exception):
    """The catalogue is not as it must be."""


@dataclass(frozen=True)
class Service:
    """A kind of process that serves contracts."""

    name: str
    language: Literal["python", "go"]
    contracts: tuple[str, ...]
    about: str
    instances: int = 1
    scale: str = ""
    """Environment variable that overrides `instances`."""
    mongo: bool = False
    redis: bool = False
    acts_for_clients: bool = False
    sockets: bool = False
    """Whether it has clients' sockets beside its RPCs."""


def load_catalogue(path: Path) -> tuple[Service, ...]:
    """Read the catalogue; services are in its order."""
    try:
        raw = yaml.safe_load(path.read_text())["services"]
        return tuple(
            Service(name=name, **(fields | {"contracts": tuple(fields["contracts"])})) for name, fields in raw.items()
        )
    except (KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise CatalogueError(f"{path}: {error}") from error
