"""Accounts for servers of the studio, made from a shell."""

from __future__ import annotations

from pathlib import Path

import pytest
from worldmesh.identity.v1 import identity_service_pb2 as pb
from worldmesh.identity.v1.identity_service_pb2_grpc import IdentityServiceStub
from worldmesh_identity.app import build
from worldmesh_identity.config import Settings
from worldmesh_identity.server_accounts import create_server_account
from worldmesh_kit import new_id
from worldmesh_kit.testing import headers, running, service_settings


@pytest.fixture
def settings(mongo_uri: str, tls_dir: Path, tmp_path: Path) -> Settings:
    return Settings(
        **service_settings("identity", tls_dir),  # type: ignore[arg-type]
        mongo_uri=mongo_uri,
        mongo_database=new_id("identity"),
        identity_key_file=tmp_path / "identity.key",
    )


async def test_a_server_signs_in_with_the_printed_token(
    settings: Settings, tls_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running(settings, build, tls_dir) as up:
        capsys.readouterr()
        await create_server_account(settings, "my-server")
        token = capsys.readouterr().out.strip()
        stub = IdentityServiceStub(up.channel)
        done = await stub.SignInBot(pb.SignInBotRequest(bot_token=token), metadata=headers())
    assert done.account.username == "my-server"


@pytest.mark.parametrize("name", ["", "x", "-server", "my server", "my-server\n", "x" * 25, "naïve", "$(reboot)"])
async def test_a_name_that_is_none_is_refused_in_one_line(settings: Settings, name: str) -> None:
    with pytest.raises(SystemExit) as raised:
        await create_server_account(settings, name)
    assert str(raised.value).startswith("error: NAME=")
    assert "3 to 24 letters" in str(raised.value)
    assert "\n" not in str(raised.value)


async def test_a_name_that_is_taken_is_refused_in_one_line(settings: Settings, tls_dir: Path) -> None:
    async with running(settings, build, tls_dir):
        await create_server_account(settings, "my-server")
        with pytest.raises(SystemExit, match="error: NAME='My-Server': the username is taken"):
            await create_server_account(settings, "My-Server")
