"""Asks the supervisor of a world that runs what it knows of its processes."""

from __future__ import annotations

import http.client
import json
import os
import socket
from contextlib import closing
from pathlib import Path
from typing import TypedDict, cast

SOCKET = "supervisor.sock"
"""Where the supervisor listens, in the data folder."""


class Process(TypedDict):
    """What we need of what it says of each."""

    name: str
    pid: int
    """Of one that does not run: its last."""
    is_running: bool
    restarts: int


def supervised(data: Path) -> list[Process]:
    """All processes of the world in a data folder. Raises OSError while the supervisor does not answer."""
    with closing(_Connection(data)) as supervisor:
        supervisor.request("GET", "/processes")
        return cast("list[Process]", json.load(supervisor.getresponse())["data"])


class _Connection(http.client.HTTPConnection):
    """The supervisor's API: whoever reaches it may start any program, so it is a file that is ours alone."""

    def __init__(self, data: Path) -> None:
        super().__init__("supervisor", timeout=2)
        self._data = data

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        folder = os.open(self._data, os.O_PATH)
        try:
            # Through the folder's descriptor, for a socket's path must not be longer than 107 bytes.
            self.sock.connect(f"/proc/self/fd/{folder}/{SOCKET}")
        finally:
            os.close(folder)
