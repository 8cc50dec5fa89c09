"""Have this very command run by a process that has imported its libraries; see `pipeline.warm`.

The process forks, and the fork takes this one's place: arguments, folder, environment, the three streams. What is left
here passes signals on and ends as the fork ends. If this process is killed, so is the fork.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

SOCKET = "PIPELINE_WARM"
"""In the environment: where the warm process listens."""
COMMANDS = {"embed", "cluster", "split", "format", "evaluate", "report", "train_adapter.py", "--single-item"}
"""The script's name or its first argument, of command lines that have themselves run there."""
PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
standing_in = False
"""Whether this process is such a fork itself."""


def hand_over() -> None:
    """Exits with the fork's status, or by its signal; returns where nobody takes over, and the caller does the work."""
    listening, known = os.environ.get(SOCKET), COMMANDS & {Path(sys.argv[0]).name, *sys.argv[1:2]}
    if not listening or not known or standing_in or "LOCAL_RANK" in os.environ:
        return
    begin, begun = os.pipe()  # the fork waits for a byte, so that no signal comes before it can be passed on
    answers = _ask(listening, _request(), begin)
    os.close(begin)
    if answers is None or not (line := answers.readline()):
        os.close(begun)
        return
    fork = int(line)
    for number in PASSED_ON:
        signal.signal(number, lambda received, _: os.killpg(fork, received))
    with suppress(BrokenPipeError):  # the fork has died already
        os.write(begun, b"1")
    os.close(begun)
    line = answers.readline()
    if not line:
        print("error: the process in which this command ran was killed", file=sys.stderr)
        os._exit(1)
    status = int(line)
    if status < 0:
        with suppress(OSError):  # SIGKILL has no handler to take back
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status)


def _request() -> dict[str, Any]:
    module = sys.modules["__main__"].__spec__
    named = None if module is None else module.name.removesuffix(".__main__")
    return {
        "python": sys.executable,
        "parent": os.getppid(),
        "folder": str(Path.cwd()),
        "module": named,
        "arguments": sys.argv,
        "environment": dict(os.environ),
    }


def _ask(path: str, request: dict[str, Any], begin: int) -> Any:
    """The stream of answers, one line each: the fork's number, its exit status; None where nobody listens."""
    asked = json.dumps(request).encode() + b"\n"
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(path)
            socket.send_fds(connection, [asked[:1]], [0, 1, 2, begin])
            connection.sendall(asked[1:])
        except OSError:
            return None
        return connection.makefile("r")
