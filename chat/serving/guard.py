"""Who may ask: what stands before every request to the web page and to the server, as ASGI middleware.

A page of another site must not reach a server on the reader's own machine. Its requests are told by `Origin` and
`Sec-Fetch-Site`; one that comes by a name of its own, which its DNS server leads here (DNS rebinding), by `Host`: only
addresses, which nobody can rebind, and this machine's own names are answered. Paths are those of a list, bodies have a
size and a time.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import ipaddress
import json
import re
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

SAFE_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
)

DRAINED = 8
"""Times the allowed size of a body: a larger one is read to here, so that its sender gets an answer and no reset."""


@dataclass(frozen=True)
class Rules:
    """What is let through.

    Args:
        host: the address that is listened on.
        paths: a pattern that a path must match in full.
        methods: of requests. password: None asks for none.
        most_bytes: of a body, which must be there within `seconds`.
    """

    host: str
    paths: re.Pattern[str]
    methods: tuple[str, ...] = ("GET", "HEAD", "POST")
    password: str | None = None
    most_bytes: int = 1 << 20
    seconds: float = 30.0


class Guard:
    """Refuses in one JSON sentence what the rules do not let through; everything else reaches `app`."""

    def __init__(self, app: App, rules: Rules) -> None:
        self.app, self.rules = app, rules

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":  # nothing here speaks over web sockets
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        refused = self._refusal(scope, headers)
        if refused is None and scope["method"] == "POST":
            body = await self._body(receive)
            if isinstance(body, bytes):
                receive = _replay(body, receive)
            else:
                refused = body
        if refused is None:
            await self.app(scope, receive, _with_safe_headers(send))
        elif refused[0]:
            await _refuse(send, *refused)

    def _refusal(self, scope: Message, headers: dict[str, str]) -> tuple[int, str] | None:
        rules = self.rules
        if len([name for name, _ in scope["headers"] if name.lower() == b"host"]) != 1 or not self._known_host(
            headers["host"]
        ):
            return 403, "this server answers to addresses and to its own name alone, not to this Host"
        if not _same_origin(headers):
            return 403, "requests from pages of another origin are refused"
        if rules.password is not None and not _knows(rules.password, headers.get("authorization", "")):
            return 401, "a password is needed: as the bearer token (API key), or in the browser's dialogue"
        if scope["method"] not in rules.methods:
            return 405, f"{scope['method'][:20]}: not a method that is used here"
        if not rules.paths.fullmatch(scope["path"]) or ".." in scope["path"]:  # it is decoded by now
            return 404, "there is nothing at this path"
        if (length := headers.get("content-length", "0")).isdecimal() and int(length[:20]) > DRAINED * rules.most_bytes:
            return 413, f"the body has {length[:20]} bytes, allowed: {rules.most_bytes:,}"
        return None

    def _known_host(self, header: str) -> bool:
        name = _host_of(header)
        listening_here = self.rules.host in ("localhost", "::1") or self.rules.host.startswith("127.")
        with suppress(ValueError):
            return ipaddress.ip_address(name).is_loopback or not listening_here
        own = {"localhost", self.rules.host.lower()}
        return name in own or (not listening_here and name in {socket.gethostname().lower(), socket.getfqdn().lower()})

    async def _body(self, receive: Receive) -> bytes | tuple[int, str]:
        """The whole body; or a refusal, of status 0 where the client has left."""
        body, size, most = bytearray(), 0, self.rules.most_bytes
        try:
            async with asyncio.timeout(self.rules.seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return 0, ""
                    size += len(part := message.get("body", b""))
                    body += part if size <= most else b""
                    if size > DRAINED * most or not message.get("more_body", False):
                        break
        except TimeoutError:
            return 408, f"the body did not arrive within {self.rules.seconds:g} s"
        return bytes(body) if size <= most else (413, f"the body has more than {most:,} bytes")


def _replay(body: bytes, receive: Receive) -> Receive:
    pending = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return pending.pop() if pending else await receive()

    return replay


def _host_of(header: str) -> str:
    """The name or address of a Host header, without the port."""
    found = re.fullmatch(r"\[([0-9A-Fa-f:.]+)\](?::\d{1,5})?|([^:\[\]/@\s]+)(?::\d{1,5})?", header.strip())
    return (found[1] or found[2]).lower() if found else ""


def _same_origin(headers: dict[str, str]) -> bool:
    """Does a request come from a page of ours, from no page at all, or from a link that somebody followed?"""
    origin = headers.get("origin")
    if origin is not None:
        return origin.lower() in {f"{scheme}://{headers['host'].lower()}" for scheme in ("http", "https")}
    followed = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    return headers.get("sec-fetch-site", "none") in ("none", "same-origin") or followed


def _knows(password: str, authorization: str) -> bool:
    kind, _, given = authorization.partition(" ")
    if kind.lower() == "basic":
        with suppress(ValueError):
            given = base64.b64decode(given.strip(), validate=True).decode("utf-8").partition(":")[2]
            return hmac.compare_digest(given.encode(), password.encode())
    return kind.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), password.encode())


def _with_safe_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *SAFE_HEADERS]}
        await send(message)

    return sending


async def _refuse(send: Send, status: int, words: str) -> None:
    kinds = {401: "authentication_error", 403: "permission_error"}
    error = {"message": words, "type": kinds.get(status, "invalid_request_error"), "param": None, "code": None}
    body = json.dumps({"error": error}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *SAFE_HEADERS]
    if status == 401:
        headers.append((b"www-authenticate", b'Basic realm="llada", charset="UTF-8"'))
    if status in (408, 413):
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
