"""Starts identity, or makes an account for a server of the studio."""

from __future__ import annotations

import argparse

import uvloop
from worldmesh_kit import load_settings, run

from .app import build
from .config import Settings
from .server_accounts import create_server_account


def main() -> None:
    """Without arguments: serve."""
    parser = argparse.ArgumentParser(prog="worldmesh_identity", description=__doc__)
    commands = parser.add_subparsers(dest="command")
    create = commands.add_parser(
        "create-server-account",
        help="make an account whose access tokens carry the scope `server`, and print its bot token, once",
    )
    create.add_argument("name", help="its unique username")
    arguments = parser.parse_args()
    if arguments.command == "create-server-account":
        uvloop.run(create_server_account(load_settings(Settings), arguments.name))
    else:
        run(Settings, build)


main()
