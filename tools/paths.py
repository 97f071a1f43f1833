"""Writes a .pth file, so that the development environment imports every package of this tree in place."""

import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = [
    ROOT / "gen/python",
    ROOT / "gen/betterproto",
    ROOT / "mesh/src",
    ROOT / "clients/python/src",
    *sorted(ROOT.glob("py_services/*/src")),
]

if __name__ == "__main__":
    pth = Path(sysconfig.get_path("purelib")) / "worldmesh.pth"
    pth.write_text("".join(f"{path}\n" for path in SOURCES))
