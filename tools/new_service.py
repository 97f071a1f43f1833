"""Scaffolds a Python service that runs and passes its test: `make new-service NAME=quests`.

It writes the contract with its first error reason, the service in the usual layout with a MongoDB collection and a
test, and the entry in the service catalogue, and generates the code. The service keeps notes: change them into what you
need.
"""

from __future__ import annotations

import argparse
import keyword
import re
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
TEMPLATES = Path(__file__).resolve().parent / "templates/service"
MAX_SERVICES = 17  # ports for more are not laid out: see mesh/src/worldmesh_mesh/topology.py
RESERVED = {"edge", "mesh", "kit", "common", "options", "events", "client", "mongod", "valkey", "room"}


class BadNameError(Exception):
    """The name can not be a service's."""


def check_name(name: str, taken: set[str]) -> None:
    """Raise BadNameError with what to do."""
    if keyword.iskeyword(name):
        raise BadNameError(f"{name!r} is a keyword of Python, and packages are named after the service: choose another")
    if not re.fullmatch(r"[a-z][a-z0-9]{2,19}", name):
        raise BadNameError(f"{name!r}: a name is 3 to 20 lower-case letters and digits, and begins with a letter")
    if name in RESERVED:
        raise BadNameError(f"{name!r} means something else here: choose another name")
    if name in taken:
        raise BadNameError(f"{name!r} is taken: choose another name")


def targets(root: Path, name: str) -> dict[Path, str]:
    """Every file to write, by its path, with its content."""
    words = {"__name__": name, "__Name__": name.capitalize(), "__NAME__": name.upper()}
    files = {}
    for template in sorted(TEMPLATES.rglob("*.tmpl")):
        relative = str(template.relative_to(TEMPLATES)).removesuffix(".tmpl")
        content = template.read_text()
        for mark, word in words.items():
            relative, content = relative.replace(mark, word), content.replace(mark, word)
        files[root / relative] = content
    return files


def add_to_catalogue(path: Path, name: str) -> None:
    """Append the service; the file keeps its comments."""
    entry = (
        f"  {name}:\n    language: python\n    contracts: [worldmesh.{name}.v1.{name.capitalize()}Service]\n"
        f"    mongo: true\n    about: notes that somebody keeps (say here what it is for)\n"
    )
    path.write_text(path.read_text().rstrip("\n") + "\n" + entry)


def add_reason(path: Path, name: str) -> None:
    """Append the service's first error reason, in a hundred of its own."""
    text = path.read_text().rstrip()
    number = max(int(n) for n in re.findall(r"ERROR_REASON_\w+ = (\d+);", text)) // 100 * 100 + 101
    reason = (
        f"\n  // NOT_FOUND. No such note of this account in {name}.\n"
        f"  ERROR_REASON_{name.upper()}_NOTE_NOT_FOUND = {number};\n"
    )
    path.write_text(text.removesuffix("}") + reason + "}\n")


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="make new-service", description=__doc__)
    parser.add_argument("name", help="for example quests")
    name = parser.parse_args().name
    catalogue = ROOT / "mesh/catalogue.yaml"
    taken = set(yaml.safe_load(catalogue.read_text())["services"])
    try:
        check_name(name, taken)
        if len(taken) >= MAX_SERVICES:
            raise BadNameError(f"there are ports for {MAX_SERVICES} services: make room in topology.py first")
    except BadNameError as error:
        print(f"error: NAME={error}", file=sys.stderr)
        return 1
    files = targets(ROOT, name)
    if there := [p for p in files if p.exists()]:
        print(f"error: {there[0].relative_to(ROOT)} is there already", file=sys.stderr)
        return 1
    for path, content in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        print(f"wrote {path.relative_to(ROOT)}")
    # Where imports sort and lines break depends on the name.
    ruff, made = Path(sys.executable).parent / "ruff", ROOT / "py_services" / name
    subprocess.run([ruff, "check", "--quiet", "--fix", made], check=True)
    subprocess.run([ruff, "format", "--quiet", made], check=True)
    add_to_catalogue(catalogue, name)
    add_reason(ROOT / "proto/worldmesh/common/v1/errors.proto", name)
    print("added it to mesh/catalogue.yaml, and an error reason to errors.proto; generating code")
    subprocess.run([sys.executable, ROOT / "tools/paths.py"], check=True)
    subprocess.run([ROOT / "tools/gen"], check=True)
    subprocess.run([sys.executable, "-m", "worldmesh_mesh", "docs"], check=True, cwd=ROOT)
    print(f"done: `make test-unit SERVICE={name}`, then `make up`; docs/add-a-service.md goes on from here")
    return 0


if __name__ == "__main__":
    sys.exit(main())
