"""Starts world."""

from worldmesh_kit import run

from .app import build
from .config import Settings

run(Settings, build)
