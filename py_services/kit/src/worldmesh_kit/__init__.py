"""What every Python service of Worldmesh shares.

A service's `__main__` says `run(Settings, build)`; `build` opens what the service needs, registers its servicers on
the `Kit`, and closes in reverse. Everything else a service gets by itself: mTLS, deadlines, the caller, authorization
from the contract, validation, errors with stable reasons, telemetry, health, reflection, drain.
"""

from ._caller import Caller, User, current_caller
from ._channel import mesh_channel
from ._clock import Clock, SystemClock
from ._errors import DomainError, ErrorReason, FieldViolation
from ._ids import new_id
from ._logging import get_logger
from ._mongo import Collection, Document, Mongo, connect_mongo
from ._pages import PageTokens
from ._server import Kit, run, serve
from ._settings import Environment, MongoSettings, ServiceSettings, SettingsError, load_settings

__all__ = [
    "Caller",
    "Clock",
    "Collection",
    "Document",
    "DomainError",
    "Environment",
    "ErrorReason",
    "FieldViolation",
    "Kit",
    "Mongo",
    "MongoSettings",
    "PageTokens",
    "ServiceSettings",
    "SettingsError",
    "SystemClock",
    "User",
    "connect_mongo",
    "current_caller",
    "get_logger",
    "load_settings",
    "mesh_channel",
    "new_id",
    "run",
    "serve",
]
