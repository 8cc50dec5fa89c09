"""Listening for the web page and the server: on this machine alone unless told otherwise, behind the guard."""

from __future__ import annotations

import os
import re
import socket
import sys
from typing import Any

from chat.serving.guard import Guard, Rules
from common.environment import is_loopback
from common.errors import InputError

PASSWORD = "LLADA_PASSWORD"
"""The environment variable that holds the password; an option would be read by everybody who lists processes."""
MOST_CONNECTIONS = 256


def password() -> str | None:
    """The password in the environment; None where it is not set.

    Raises:
        InputError: it is set to fewer than eight characters.
    """
    given = os.environ.get(PASSWORD)
    if given is not None and len(given) < 8:
        raise InputError(f"{PASSWORD} has {len(given)} characters; take at least 8, or unset it for no password")
    return given


def listen(app: Any, host: str, port: int, paths: re.Pattern[str], most_bytes: int, told: str) -> None:
    """Serve an ASGI application until Ctrl-C.

    Args:
        paths: those that are answered. most_bytes: of a request's body. told: printed once it listens, with `{url}`.

    Raises:
        InputError: the port is taken, the address is not one of this machine's, or the password is too short.
    """
    import uvicorn  # pyright: ignore[reportMissingImports]

    known = password()
    with _socket(host, port) as listening:
        url = _url(host, listening.getsockname()[1])
        if not is_loopback(url):
            lets_in = "whoever knows the password" if known else f"without a password; set {PASSWORD} to ask for one"
            print(f"warning: {url} lets everyone in who reaches this machine, {lets_in}", file=sys.stderr)
        print(told.format(url=url), flush=True)
        config = uvicorn.Config(
            Guard(app, Rules(host, paths, password=known, most_bytes=most_bytes)),
            log_level="warning",
            access_log=False,  # texts and addresses of others are not ours to keep
            server_header=False,
            limit_concurrency=MOST_CONNECTIONS,
            timeout_graceful_shutdown=3,
        )
        try:
            uvicorn.Server(config).run(sockets=[listening])
        except KeyboardInterrupt:
            return


def _socket(host: str, port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(MOST_CONNECTIONS)
    except (OSError, UnicodeError):
        listening.close()
        raise InputError(
            f"--host {host} --port {port}: cannot listen there; another program may use the port, so try --port 0"
        ) from None
    return listening


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
