"""Starts identity; or makes an account for a server of the studio, or the next signing key."""

from __future__ import annotations

import argparse

import uvloop
from worldmesh_kit import load_settings, run

from .app import build
from .config import Settings
from .server_accounts import create_server_account
from .signing_keys import rotate_signing_key


def main() -> None:
    """Without arguments: serve."""
    parser = argparse.ArgumentParser(prog="worldmesh_identity", description=__doc__)
    commands = parser.add_subparsers(dest="command")
    create = commands.add_parser(
        "create-server-account",
        help="make an account whose access tokens carry the scope `server`, and print its bot token, once",
    )
    create.add_argument("name", help="its unique username")
    commands.add_parser("rotate-signing-key", help="make the next signing key before its time")
    arguments = parser.parse_args()
    if arguments.command == "create-server-account":
        uvloop.run(create_server_account(load_settings(Settings), arguments.name))
    elif arguments.command == "rotate-signing-key":
        uvloop.run(rotate_signing_key(load_settings(Settings)))
    else:
        run(Settings, build)


main()
