"""The page of all services' settings, read from the sources in which they are declared.

Read, not imported: the mesh knows no service's code, and Go's is not Python's to import.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_PREFIX = "WORLDMESH_"
_REQUIRED, _NONE = "must be given", "–"
_STRUCT = re.compile(r"^type (\w*Config) struct \{\n(.*?)^\}", re.DOTALL | re.MULTILINE)
_FIELD = re.compile(r'^\s+(\w+)\s+(\S+)\s+`env:"(\w+)([^"]*)"(?: envDefault:"([^"]*)")?`$')
_EMBEDDED = re.compile(r"^\s+kit\.(\w+)$")
_ZERO = {"bool": "false", "float64": "0", "int": "0", "int64": "0"}

_INTRODUCTION = """\
# Settings

Made by `make gen` from where they are declared. Services take their settings from the environment, and from nowhere
else; one that is missing or wrong is one line that names it, and the service does not start.

`make up` gives every service what must be given. Others you give to services or single instances by the file that
`WORLDMESH_OVERRIDES` names; it refuses a setting that the service does not know. That and what else `make up` itself is
told (`WORLDMESH_PORT_BASE`, `WORLDMESH_DATA`, `RELAYS`, …) is in [mesh.md](mesh.md#one-machine).
"""


@dataclass(frozen=True)
class Setting:
    """An environment variable."""

    variable: str
    default: str
    text: str


@dataclass(frozen=True)
class Declared:
    """A struct or a class of settings, and the names of those that it takes in."""

    settings: tuple[Setting, ...]
    takes_in: tuple[str, ...]


def go_settings(source: str) -> dict[str, Declared]:
    """The structs of settings in a Go file, by their names."""
    return {name: _go_struct(body) for name, body in _STRUCT.findall(source)}


def _go_struct(body: str) -> Declared:
    fields: list[tuple[re.Match[str], str]] = []
    takes_in: list[str] = []
    comment: list[str] = []
    after_field = False
    for line in body.splitlines():
        if (said := line.strip()).startswith("//"):
            comment = ([] if after_field else comment) + [said.removeprefix("//").strip()]
            after_field = False
        elif field := _FIELD.match(line):
            fields.append((field, " ".join(comment)))  # fields in a row share what is said above the first
            after_field = True
        elif embedded := _EMBEDDED.match(line):
            takes_in.append(embedded[1])
    variables = {field[1]: field[3] for field, _ in fields}
    return Declared(tuple(_go_setting(field, said, variables) for field, said in fields), tuple(takes_in))


def _go_setting(field: re.Match[str], said: str, variables: dict[str, str]) -> Setting:
    _, kind, variable, options, default = field.groups()
    names = "|".join(variables)
    text = re.sub(rf"^(?:{names})(?: and (?:{names}))* (?:is |are )?", "", said)
    for name, other in variables.items():
        if re.fullmatch(r"(?:[A-Z]+[a-z]+){2,}", name):  # a name of one word may be just that word
            text = re.sub(rf"\b{name}\b", f"`{other}`", text)
    unset = _REQUIRED if "required" in options else _ZERO.get(kind, _NONE)
    return Setting(variable, default if default is not None else unset, text[:1].upper() + text[1:])


def python_settings(source: str) -> dict[str, Declared]:
    """The classes of settings in a Python file, by their names."""
    classes = [node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
    return {c.name: Declared(tuple(_python_fields(c)), tuple(ast.unparse(base) for base in c.bases)) for c in classes}


def _python_fields(declared: ast.ClassDef) -> Iterator[Setting]:
    for node in declared.body:
        match node:
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.Call(args=arguments, keywords=keywords)):
                named = {k.arg: k.value for k in keywords}
                default = arguments[0] if arguments else named.get("default")
                text = ast.literal_eval(named["description"])
                yield Setting(_PREFIX + name.upper(), _python_default(default), text)


def _python_default(default: ast.expr | None) -> str:
    match default:
        case None:
            return _REQUIRED
        case ast.Constant(value=None | ""):
            return _NONE
        case ast.Constant(value=bool(value)):
            return str(value).lower()
        case ast.Constant(value=float(value)):
            return f"{value:g}"
        case ast.Attribute(attr=name):  # of an enumeration
            return name.lower()
        case _:
            return ast.unparse(default).strip("'")


def settings_page(root: Path) -> str:
    """The page, of all services that are in a tree."""
    go_kit, python_kit, services = _go_kit(root), _python_kit(root), _services(root)
    of_all = [*go_kit["Config"].settings, *python_kit["ServiceSettings"].settings]
    parts = [_INTRODUCTION, _section("Every service", tuple({s.variable: s for s in of_all}.values()))]
    for title, kit, name in (("MongoDB", python_kit, "MongoSettings"), ("Redis", go_kit, "RedisConfig")):
        if users := sorted(s for s, declared in services.items() if name in declared.takes_in):
            parts.append(_section(f"What is kept in {title}: {', '.join(users)}", kit[name].settings))
    parts += [_section(name, services[name].settings) for name in sorted(services) if services[name].settings]
    return "\n".join(parts)


def known_settings(root: Path) -> dict[str, frozenset[str]]:
    """The variables that each service in a tree reads."""
    kits = _go_kit(root) | _python_kit(root)

    def variables(declared: Declared) -> frozenset[str]:
        taken_in = (variables(kits[name]) for name in declared.takes_in if name in kits)
        return frozenset(s.variable for s in declared.settings).union(*taken_in)

    return {service: variables(declared) for service, declared in _services(root).items()}


def _services(root: Path) -> dict[str, Declared]:
    services = {p.parent.name: go_settings(p.read_text())["Config"] for p in root.glob("go_services/*/config.go")}
    for path in root.glob("py_services/*/src/*/config.py"):
        services[path.parent.name.removeprefix("worldmesh_")] = python_settings(path.read_text())["Settings"]
    return services


def _go_kit(root: Path) -> dict[str, Declared]:
    files = sorted((root / "go_services/internal/kit").glob("*.go"))
    return {name: declared for path in files for name, declared in go_settings(path.read_text()).items()}


def _python_kit(root: Path) -> dict[str, Declared]:
    return python_settings((root / "py_services/kit/src/worldmesh_kit/_settings.py").read_text())


def _section(title: str, settings: Sequence[Setting]) -> str:
    rows = [f"| `{s.variable}` | {s.default} | {s.text} |".replace("\n", " ") for s in settings]
    return "\n".join([f"## {title}", "| setting | default | |", "|---|---|---|", *rows, ""])
