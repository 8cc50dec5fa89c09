"""A hub on 127.0.0.1 that speaks what huggingface_hub needs to create a repository and commit files to it.

Large files come by git-lfs (a batch request, then one PUT each), the others inside the commit. It remembers the files
of the last commit, every body that was sent, and every request that it did not expect.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support.hub.server import serving

TOKEN = "hf_thistokenmaywrite"


class Hub(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.address = f"http://127.0.0.1:{self.server_address[1]}"
        self.created: dict[str, Any] = {}
        self.stored: dict[str, bytes] = {}  # what was PUT, by its git-lfs id
        self.files: dict[str, bytes] = {}
        self.unexpected: list[str] = []
        self.bodies: list[bytes] = []
        self.invalid_card: str | None = None

    def answer(self, request: str, body: bytes) -> tuple[int, Any]:
        """Status and JSON for `METHOD /path`."""
        if request == "POST /api/repos/create":
            self.created = json.loads(body)
            return 200, {"url": f"{self.address}/{self.created['organization'] or 'me'}/{self.created['name']}"}
        if request == "POST /api/validate-yaml":
            return (400, {"errors": [{"message": self.invalid_card}]}) if self.invalid_card else (200, {})
        if request == "POST /api/models/me/mine/preupload/main":
            kinds = {True: "lfs", False: "regular"}
            names = [file["path"] for file in json.loads(body)["files"]]
            modes = [{"path": n, "uploadMode": kinds[n.endswith(".safetensors")], "shouldIgnore": False} for n in names]
            return 200, {"files": modes}
        if request == "POST /me/mine.git/info/lfs/objects/batch":
            upload = [{**one, "actions": {"upload": {"href": f"{self.address}/lfs/{one['oid']}"}}}
                      for one in json.loads(body)["objects"]]  # fmt: skip
            return 200, {"transfer": "basic", "objects": upload}
        if request.startswith("PUT /lfs/"):
            self.stored[request.removeprefix("PUT /lfs/")] = body
            return 200, {}
        if request == "POST /api/models/me/mine/commit/main":
            for entry in map(json.loads, body.splitlines()):
                value = entry["value"]
                if entry["key"] == "file":
                    self.files[value["path"]] = base64.b64decode(value["content"])
                elif entry["key"] == "lfsFile":
                    self.files[value["path"]] = self.stored[value["oid"]]
            return 200, {"commitUrl": f"{self.address}/me/mine/commit/1", "commitOid": "1" * 40}
        self.unexpected.append(request)
        return 404, {"error": "not found"}


class _Handler(BaseHTTPRequestHandler):
    server: Hub

    def _reply(self) -> None:
        length = self.headers.get("Content-Length")
        body = self.rfile.read(int(length)) if length else b""
        self.server.bodies.append(body)
        stored = self.path.startswith("/lfs/")  # the address of a PUT is its own permission
        if not stored and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            status, content = 401, {"error": "Invalid username or password."}
        else:
            status, content = self.server.answer(f"{self.command} {self.path}", body)
        answer = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_HEAD = do_POST = do_PUT = _reply  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:  # what http.server calls it
        pass


@contextmanager
def running_hub() -> Iterator[Hub]:
    with serving(Hub()) as hub:
        yield hub
