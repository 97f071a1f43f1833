"""The parts of the docs that the catalogue, the contracts and the sources say: a picture and tables."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from .catalogue import Service
from .contract import Method
from .settings import settings_page

_BEGIN, _END = "<!-- picture:begin (make gen) -->", "<!-- picture:end -->"


def picture(services: Sequence[Service], methods: Sequence[Method]) -> str:
    """Who calls whom, as a Mermaid flow chart."""
    serving = {contract: s.name for s in services for contract in s.contracts}
    lines = ["```mermaid", "flowchart LR", "  client([clients and bots])", "  edge[edge Envoy]", "  mesh[mesh Envoy]"]
    lines += [f'  {s.name}["{s.name} ({s.language})"]' for s in services]
    lines += ["  client -- REST, gRPC, gRPC-Web --> edge"]
    lines += [f"  client -- WSS --> {s.name}" for s in services if s.sockets]
    exposed = sorted({serving[m.service] for m in methods if m.exposure.name != "INTERNAL"})
    lines += [f"  edge --> {name}" for name in exposed]
    callers = sorted({c for m in methods for c in m.callers_in(services)})
    called = sorted({serving[m.service] for m in methods if m.callers_in(services)})
    lines += [f"  {name} -- mTLS --> mesh" for name in callers]
    lines += [f"  mesh --> {name}" for name in called]
    if kept := [s.name for s in services if s.mongo]:
        lines += ["  mongo[(MongoDB)]", *(f"  {name} --- mongo" for name in kept)]
    if kept := [s.name for s in services if s.redis]:
        lines += ["  redis[(Redis)]", *(f"  {name} --- redis" for name in kept)]
    return "\n".join([*lines, "```"])


def with_picture(page: str, drawn: str) -> str:
    """A page with the picture between its marks."""
    pattern = re.compile(re.escape(_BEGIN) + ".*?" + re.escape(_END), re.DOTALL)
    return pattern.sub(lambda _: f"{_BEGIN}\n{drawn}\n{_END}", page)


def authorization(services: Sequence[Service], methods: Sequence[Method]) -> str:
    """The table of who may call what."""
    lines = [
        "# Who may call what",
        "",
        "Made from the contracts by `make gen`; Envoy enforces it. *Edge* is what reaches a method from outside:",
        "`public` anybody, `client` a signed-in user, `server` a server of the studio; sockets reach `public` and",
        "`client` ones. *Services* are those that may call it through the mesh. All else is denied.",
        "",
        "| method | edge | scopes | services | retry | attempt |",
        "|---|---|---|---|---|---|",
    ]
    for m in methods:
        edge = m.exposure.name.lower() if m.exposure.name != "INTERNAL" else "–"
        timeout = f"{m.timeout:g} s" if m.timeout else "stream"
        callers = ", ".join(m.callers_in(services)) or "–"
        lines.append(
            f"| `{m.service}/{m.name}` | {edge} | {', '.join(m.scopes) or '–'} | {callers} "
            f"| {m.retry.name.lower()} | {timeout} |"
        )
    return "\n".join(lines) + "\n"


def write_documents(folder: Path, root: Path, services: Sequence[Service], methods: Sequence[Method]) -> None:
    """Renew the generated parts of the docs in a folder, of the tree at the root."""
    (folder / "settings.md").write_text(settings_page(root))
    (folder / "authorization.md").write_text(authorization(services, methods))
    page = folder / "architecture.md"
    page.write_text(with_picture(page.read_text(), picture(services, methods)))
