"""The warm process: `python -m pipeline.warm.server SOCKET`; see `pipeline.warm`.

Imports, and forks for every request on the socket, in between as well: a fork imports itself what was not there yet.
Ends when its standard input is closed and its forks have ended. Of the project it imports `common.environment` alone,
so a file that was changed meanwhile counts as in any other start.

Nothing is computed here, for a fork has lost the threads that a library had started.
"""

from __future__ import annotations

import atexit
import gc
import io
import json
import os
import runpy
import selectors
import shutil
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from common import environment
from pipeline.warm import client

LIBRARIES = (  # in the order in which the stages have need of them
    "torch",
    "transformers.modeling_utils",
    "transformers.models.bert.modeling_bert",
    "safetensors.torch",
    "pyarrow.parquet",
    "rich.progress",
    "typer",
    "pydantic",
    "sklearn.cluster",
    "sklearn.metrics",
    "sklearn.neighbors",
    "umap",
    "matplotlib.backends.backend_agg",
    "matplotlib.figure",
    "transformers.tokenization_utils_tokenizers",
    "dvc.cli",
    "dvc.commands.repro",
    "dvc.repo.reproduce",
    "peft",
    "accelerate",
    "sacrebleu",
    "rouge_score.rouge_scorer",
)
LINE = 2**20
ended: object = None
"""What a fork's command ended with."""


def main(path: str) -> None:
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(path)
    listening.listen()
    atexit.register(_leave_the_rest)  # the first to be registered is the last to run
    environment.writable_caches()
    environment.tell_libraries_of_processors()
    run = Server(listening).serve()
    if run is not None:
        run()
    else:
        shutil.rmtree(Path(path).parent, ignore_errors=True)


class Server:
    """Answers requests until standard input is closed."""

    def __init__(self, listening: socket.socket) -> None:
        self.listening = listening
        self.watched = selectors.DefaultSelector()
        self.forks: dict[int, tuple[int, socket.socket]] = {}  # by the descriptor of the process
        self.watched.register(listening, selectors.EVENT_READ, self._accept)
        self.watched.register(0, selectors.EVENT_READ, self._finish)

    def serve(self) -> Callable[[], None] | None:
        """None at the end; in a fork what it has to run, once nothing of the server is on its stack."""
        missing = list(LIBRARIES)
        while self.forks or self.listening.fileno() >= 0:
            for key, _ in self.watched.select(timeout=0 if missing else None):
                run = key.data(key.fd)
                if run is not None:
                    return run
            if missing:
                with suppress(Exception):  # the stage that wants it will say what is wrong with it
                    import_module(missing.pop(0))
                if not missing:
                    gc.collect()
                    gc.freeze()  # or each fork's collections would copy every page
        return None

    def _finish(self, _: int) -> None:
        self.watched.unregister(0)
        self.watched.unregister(self.listening)
        self.listening.close()

    def _accept(self, _: int) -> Callable[[], None] | None:
        connection, _ = self.listening.accept()
        request, streams = _read(connection)
        if request is None:
            connection.close()
        else:
            process = os.fork()
            if process == 0:
                self._forget(connection)
                return lambda: _become(request, streams)
            with suppress(OSError):
                os.setpgid(process, process)  # as the fork does, whoever comes first
            watch = os.pidfd_open(process)
            self.forks[watch] = process, connection
            self.watched.register(watch, selectors.EVENT_READ, self._ended)
            self.watched.register(connection, selectors.EVENT_READ, self._deserted)
            _tell(connection, process)
        for stream in streams:
            os.close(stream)
        return None

    def _ended(self, watch: int) -> None:
        process, connection = self.forks.pop(watch)
        status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        self.watched.unregister(watch)
        os.close(watch)
        if connection.fileno() in self.watched.get_map():
            self.watched.unregister(connection)
        _tell(connection, status)
        connection.close()

    def _deserted(self, descriptor: int) -> None:
        """Whoever asked has been killed, so what ran for it must not go on."""
        for process, connection in self.forks.values():
            if connection.fileno() == descriptor:
                self.watched.unregister(connection)
                with suppress(ProcessLookupError):
                    os.killpg(process, signal.SIGKILL)

    def _forget(self, connection: socket.socket) -> None:
        """In a fork: leave nothing open that tells others of an end."""
        self.watched.close()
        self.listening.close()
        connection.close()
        for watch, (_, other) in self.forks.items():
            os.close(watch)
            other.close()


def _read(connection: socket.socket) -> tuple[dict[str, Any] | None, list[int]]:
    """A request, None where this process cannot stand in for who asks; and what came with it: the three streams and the
    end of a pipe.
    """
    streams: list[int] = []
    try:
        connection.settimeout(10)
        first, streams, _, _ = socket.recv_fds(connection, 1, 4)
        with connection.makefile("rb") as rest:
            request = json.loads(first + rest.readline(LINE))
        connection.settimeout(None)
        known = request["python"] == sys.executable and request["folder"] == str(Path.cwd()) and len(streams) == 4
    except (OSError, ValueError, KeyError, TypeError):
        return None, streams
    return (request if known else None), streams


def _tell(connection: socket.socket, number: int) -> None:
    with suppress(OSError):  # nobody is there any more
        connection.sendall(f"{number}\n".encode())


def _become(request: dict[str, Any], streams: list[int]) -> None:
    """Run the command as if it had been started by itself."""
    global ended
    with suppress(OSError):
        os.setpgid(0, 0)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    *standard, begin = streams
    if not os.read(begin, 1):
        sys.exit(1)  # who asked has given up, or does it itself
    for place, stream in enumerate(standard):
        os.dup2(stream, place)
    for stream in streams:
        os.close(stream)
    sys.stdin, sys.stdout, sys.stderr = (
        _opened(place, name) for place, name in enumerate(("stdin", "stdout", "stderr"))
    )
    os.environ.clear()
    os.environ.update(request["environment"])
    environment.parent = request["parent"]
    client.standing_in = True
    _limit_threads()
    sys.argv = request["arguments"]
    try:
        if request["module"] is None:
            sys.path[0] = str(Path(sys.argv[0]).resolve().parent)
            runpy.run_path(sys.argv[0], run_name="__main__")
        else:
            runpy.run_module(request["module"], run_name="__main__", alter_sys=True)
        ended = 0
    except SystemExit as end:
        ended = 0 if end.code is None else end.code
        raise


def _leave_the_rest() -> None:
    """What an interpreter's end still has to do here, with threads joined and exits handled, is to clear the modules of
    every library: a second of a fork's life.
    """
    if not isinstance(ended, int):
        return  # an exception, or a last word that the interpreter prints
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        return  # of which it tells as well
    os._exit(ended & 0xFF)


def _opened(place: int, name: str) -> Any:
    """The stream as Python opens it: lines at once on a terminal, and always for errors."""
    before = getattr(sys, name)
    lines = place == 2 or os.isatty(place)
    opened = open(place, "rb" if place == 0 else "wb", closefd=False)  # noqa: SIM115
    return io.TextIOWrapper(opened, encoding=before.encoding, errors=before.errors, line_buffering=lines)


def _limit_threads() -> None:
    """Libraries read `OMP_NUM_THREADS` when they were imported; this command's environment may say otherwise."""
    asked = environment.omp_threads(os.environ)
    if asked is None:
        return
    from threadpoolctl import threadpool_limits

    threadpool_limits(asked)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(asked)


if __name__ == "__main__":
    for received in (signal.SIGINT, signal.SIGTERM):
        signal.signal(received, signal.SIG_IGN)  # who started this process says when it is over
    main(sys.argv[1])
