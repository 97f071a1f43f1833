"""Writes a .pth file, so that the development environment imports every package of this tree in place.

With --print it says the folders instead, separated as in MYPYPATH.
"""

import sys
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
    if sys.argv[1:] == ["--print"]:
        print(":".join(map(str, SOURCES)))
        sys.exit()
    pth = Path(sysconfig.get_path("purelib")) / "worldmesh.pth"
    pth.write_text("".join(f"{path}\n" for path in SOURCES))
