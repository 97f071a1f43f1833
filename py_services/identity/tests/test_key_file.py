"""The file with the key that encrypts signing keys."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from worldmesh_identity.adapters.mongo_keys import load_cipher
from worldmesh_kit import Environment, SettingsError


def same(one: Fernet, other: Fernet) -> bool:
    """Whether two ciphers have the same key."""
    return other.decrypt(one.encrypt(b"text")) == b"text"


def test_a_missing_key_is_made_in_development_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "identity.key"
    made = load_cipher(path, Environment.DEVELOPMENT)
    assert same(made, load_cipher(path, Environment.PRODUCTION))
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_key_is_an_error_in_production(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="WORLDMESH_IDENTITY_KEY_FILE"):
        load_cipher(tmp_path / "identity.key", Environment.PRODUCTION)


def test_instances_that_start_at_once_have_one_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second starts, and ends, while the first is making its key."""
    path = tmp_path / "identity.key"
    generate, others = Fernet.generate_key, []

    def slowly() -> bytes:
        monkeypatch.setattr(Fernet, "generate_key", generate)
        others.append(load_cipher(path, Environment.DEVELOPMENT))
        return generate()

    monkeypatch.setattr(Fernet, "generate_key", slowly)
    first = load_cipher(path, Environment.DEVELOPMENT)
    assert same(first, others[0])
    assert list(tmp_path.iterdir()) == [path]
