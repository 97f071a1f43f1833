"""What every part of a configuration is made of."""

from __future__ import annotations

Json = dict[str, object]
"""A part of a configuration."""

_TYPE = "type.googleapis.com/envoy."


def typed(kind: str, **fields: object) -> Json:
    """An extension's configuration: `kind` is the message's name below `envoy.`."""
    return {"@type": _TYPE + kind, **fields}


def file_source(path: str) -> Json:
    """A file, relative to the data folder."""
    return {"filename": path}
