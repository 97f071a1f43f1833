"""Where things are in the tree."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
CATALOGUE = ROOT / "mesh/catalogue.yaml"
DESCRIPTORS = ROOT / "gen/descriptors.binpb"
WEB = ROOT / "clients/web"
BIN = ROOT / ".build/bin"
PYTHON = Path(sys.executable)
