"""An ASGI application in a thread of this process, on a free port of the loopback."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from chat.serving.guard import Guard, Rules


@contextmanager
def running(app: Any, paths: re.Pattern[str], most_bytes: int = 1 << 20, **rules: Any) -> Iterator[str]:
    """Yields the address, `http://127.0.0.1:PORT`; the application stands behind the guard, as in `listen`."""
    import uvicorn

    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        guarded = Guard(app, Rules("127.0.0.1", paths, most_bytes=most_bytes, **rules))
        server = uvicorn.Server(uvicorn.Config(guarded, log_level="warning", timeout_graceful_shutdown=2))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        deadline = time.monotonic() + 20
        while not server.started:
            assert thread.is_alive()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(timeout=20)
