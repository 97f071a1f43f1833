"""Identity's settings."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from pydantic import Field
from worldmesh_kit import MongoSettings


class Settings(MongoSettings):
    """What identity can be told."""

    identity_key_file: Path = Field(
        description="Holds the key that encrypts signing keys in the database. Made at first start in development."
    )
    identity_access_seconds: int = Field(300, ge=10, le=300, description="Life of an access token.")
    identity_refresh_days: int = Field(30, ge=1, description="Life of a refresh token that is not used.")
    identity_key_hours: float = Field(24.0, gt=0, description="How long a signing key signs.")
    identity_key_lead_seconds: float = Field(
        60.0, ge=0, description="How long a new key is published before it signs: longer than verifiers cache."
    )
    identity_bots: int = Field(10, ge=0, description="Bots that one account may own.")

    @property
    def access_life(self) -> timedelta:
        """Life of an access token."""
        return timedelta(seconds=self.identity_access_seconds)

    @property
    def refresh_life(self) -> timedelta:
        """Life of a refresh token that is not used."""
        return timedelta(days=self.identity_refresh_days)
