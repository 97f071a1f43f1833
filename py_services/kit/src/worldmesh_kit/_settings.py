"""Typed settings from the environment: the one way in which a service is configured."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from pydantic import Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from ._clock import SystemClock

PREFIX = "WORLDMESH_"


class Environment(StrEnum):
    """How strict a service must be about conveniences of development."""

    DEVELOPMENT = "development"
    PRODUCTION = "production"


class MongoDriver(StrEnum):
    """Which client library speaks to MongoDB."""

    PYMONGO = "pymongo"
    MOTOR = "motor"


class SettingsError(Exception):
    """A setting is missing or wrong. The message is one line that names the variables."""


class ServiceSettings(BaseSettings):
    """Settings that every service has. Services subclass it for their own."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    service: str = Field(min_length=1, description="The name in the service catalogue, for example `world`.")
    instance: str = Field(min_length=1, description="Unique in the mesh, for example `world-0`.")
    environment: Environment = Field(
        Environment.PRODUCTION,
        description="development or production. The default is the strict one, so that forgetting is safe.",
    )
    grpc_addr: str = Field(description="host:port of the mTLS gRPC server; port 0: the system chooses.")
    admin_addr: str = Field(description="host:port of metrics and health, plain HTTP.")
    mesh_addr: str = Field(description="host:port of the mesh Envoy, by which other services are reached.")
    tls_dir: Path = Field(description="Folder with tls.pem, tls.key and proxies-ca.pem.")
    log_level: str = Field(
        "info", pattern="^(debug|info|warn|error)$", description="Least level to log: debug, info, warn or error."
    )
    clock_offset_seconds: float = Field(
        0.0, description="For tests: by how much the wall clock is wrong. Refused in production."
    )
    drain_seconds: float = Field(25.0, ge=0, allow_inf_nan=False, description="Bound of the time that a stop may take.")

    @field_validator("clock_offset_seconds")
    @classmethod
    def _only_in_tests(cls, seconds: float, info: ValidationInfo) -> float:
        if seconds and info.data.get("environment") is Environment.PRODUCTION:
            raise ValueError("a wrong clock is for tests only")
        return seconds

    @property
    def clock(self) -> SystemClock:
        """The clock that the service goes by."""
        return SystemClock(timedelta(seconds=self.clock_offset_seconds))


class MongoSettings(ServiceSettings):
    """Settings of a service that keeps something in MongoDB."""

    mongo_uri: str = Field(description="Of a replica set. May hold a password: it is never logged.")
    mongo_driver: MongoDriver = Field(MongoDriver.PYMONGO, description="pymongo (asynchronous) or motor.")
    mongo_database: str = Field("", description="Name of the database; empty: `worldmesh_` and the service's name.")

    @property
    def database(self) -> str:
        """The name of the service's own database."""
        return self.mongo_database or f"worldmesh_{self.service}"


S = TypeVar("S", bound=ServiceSettings)


def load_settings(kind: type[S]) -> S:
    """Read settings from the environment; raises SettingsError."""
    try:
        return kind()  # type: ignore[call-arg] # the environment gives them
    except ValidationError as error:
        problems = "; ".join(
            f"{PREFIX}{'_'.join(str(part) for part in e['loc']).upper()}: {e['msg'].lower()}"
            for e in error.errors(include_input=False)
        )
        raise SettingsError(f"settings: {problems}") from None
