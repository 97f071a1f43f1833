"""Runs an Envoy, and on SIGHUP the next one beside it, which takes its listeners over while the old one drains.

Run as `python -m worldmesh_mesh.succession base-id envoy arguments…`, with a number that no other succession on the
machine has, by which an Envoy finds the one before it and what they share in memory. The supervisor knows one process
that stays. If the Envoy that serves ends by itself, all end, and the supervisor starts anew.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_SIGNALS = {signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGCHLD}


def serving(pid: int) -> int:
    """The Envoy that serves, or will in a moment: the youngest child of a succession. Of any other process itself."""
    try:
        if b"worldmesh_mesh.succession" not in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
            return pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return pid  # it has ended meanwhile
    return int(children[-1]) if children else pid


def main() -> int:
    """The command line."""
    base, *command = sys.argv[1:]
    try:
        return succeed([*command, "--base-id", base])
    finally:
        Path(f"/dev/shm/envoy_shared_memory_{int(base) * 10}").unlink(missing_ok=True)  # noqa: S108 - Envoy's name for it


def succeed(command: Sequence[str]) -> int:
    """Run one Envoy after another, until told to end or until the one that serves ends. Returns its status."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    epoch, envoys = 0, [_start(command, 0)]
    while True:
        number = signal.sigwait(_SIGNALS)
        envoys = [e for e in envoys if e.poll() is None or e is envoys[-1]]
        if (status := envoys[-1].returncode) is not None:
            _end(envoys)
            return status or 1  # whoever serves does not end unasked
        if number in (signal.SIGTERM, signal.SIGINT):
            _end(envoys)
            return 0
        if number == signal.SIGHUP and len(envoys) == 1:  # Envoy knows one that drains, not several
            epoch += 1
            envoys.append(_start(command, epoch))


def _start(command: Sequence[str], epoch: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen([*command, "--restart-epoch", str(epoch)], preexec_fn=_bound_to(os.getpid()))


def _bound_to(parent: int) -> Callable[[], None]:
    """What a child does first: it ends with its parent, however that ends, and hears signals."""
    libc = ctypes.CDLL(None)

    def bind() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)

    return bind


def _end(envoys: Sequence[subprocess.Popen[bytes]]) -> None:
    for envoy in envoys:
        envoy.terminate()
    for envoy in envoys:
        envoy.wait()


if __name__ == "__main__":
    sys.exit(main())
