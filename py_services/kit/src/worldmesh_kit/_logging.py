"""JSON logs with trace ids, on standard output."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, cast

import structlog
from opentelemetry import trace
from structlog.tracebacks import ExceptionDictTransformer

# Values under these keys never reach the log, whoever passes them.
_SECRET_KEYS = frozenset(
    {"password", "token", "access_token", "refresh_token", "bot_token", "email", "device_id", "authorization"}
)
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}
# Levels that Python names otherwise than Go, or that Go does not have.
_RENAMED = {"warning": "warn", "exception": "error", "critical": "error"}

EventDict = MutableMapping[str, Any]

_exceptions = ExceptionDictTransformer(show_locals=False)


def configure_logging(level: str, service: str, instance: str) -> None:
    """Send structlog's and the standard library's records to standard output as JSON lines."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        _add_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        _add_trace,
        _redact,
    ]

    def ours(name: str) -> logging.Logger:
        logger = logging.getLogger(name)
        logger.setLevel(_LEVELS[level])
        return logger

    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=ours,
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.ExceptionRenderer(_where_it_failed),
                structlog.processors.EventRenamer("msg"),
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(_LEVELS[level], logging.INFO))  # of libraries, whose debug lines quote what they are sent
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(service=service, instance=instance)


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A logger: `log.info("room created", room_id=room_id)`."""
    return cast("structlog.stdlib.BoundLogger", structlog.get_logger(name))


def _add_level(_logger: object, method: str, event: EventDict) -> EventDict:
    event["level"] = _RENAMED.get(method, method)
    return event


def _add_trace(_logger: object, _method: str, event: EventDict) -> EventDict:
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = trace.format_trace_id(context.trace_id)
        event["span_id"] = trace.format_span_id(context.span_id)
    return event


def _redact(_logger: object, _method: str, event: EventDict) -> EventDict:
    for key in _SECRET_KEYS.intersection(event):
        event[key] = "[redacted]"
    return event


def _where_it_failed(exc_info: structlog.typing.ExcInfo) -> list[dict[str, Any]]:
    """An exception and its causes: their types, and the lines that they went through.

    Neither locals nor texts: both quote what was worked on (`dup key: {email: …}`, `invalid literal: …`), which is
    callers' secrets here. The line that raised is named, and a text that does not depend on the request stands there.
    """
    return [_without_text(stack) for stack in _exceptions(exc_info)]


def _without_text(stack: dict[str, Any]) -> dict[str, Any]:
    said = {"type": stack["exc_type"], "is_cause": stack["is_cause"], "frames": stack["frames"]}
    if stack["is_group"]:
        said["exceptions"] = [[_without_text(inner) for inner in chain] for chain in stack["exceptions"]]
    return said
