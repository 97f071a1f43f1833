"""The web world's files, as the edge serves them."""

from __future__ import annotations

from pathlib import Path

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
}
_SKIPPED = {"tests", "node_modules"}


def web_files(folder: Path) -> dict[str, tuple[str, str]]:
    """URL path to (file, content type). `/` is index.html; tests and what has no known type are left out."""
    files: dict[str, tuple[str, str]] = {}
    for file in sorted(folder.rglob("*")):
        relative = file.relative_to(folder)
        if not file.is_file() or _SKIPPED.intersection(relative.parts) or ".test." in file.name:
            continue
        if kind := _TYPES.get(file.suffix):
            files[f"/{relative.as_posix()}"] = (str(file), kind)
    if "/index.html" in files:
        files = {"/": files["/index.html"], **files}
    return files
