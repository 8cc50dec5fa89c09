"""Which files of a dataset are fetched, asked of a hub on the loopback by huggingface_hub itself."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from common.errors import InputError
from data_prep.inputs.hub import fetch_dataset

NAME, COMMIT = "me/set", "c0ffee" + "0" * 34
CARD = b"""---
configs:
- config_name: id
  default: true
  data_files: [{split: train, path: "a/*.jsonl"}, {split: test, path: b/x.jsonl}]
- config_name: jv
  data_files: c.jsonl
---
"""
FILES = {"README.md": CARD, "a/3.bin": b"3", "c.jsonl": b"{}"} | {
    name: json.dumps({"from": name}).encode() for name in ("a/1.jsonl", "a/2.jsonl", "b/x.jsonl")
}


class DatasetHub(ThreadingHTTPServer):
    """Serves FILES as the one commit of the dataset NAME; `fetched` holds the paths of the files that were sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.address = f"http://127.0.0.1:{self.server_address[1]}"
        self.fetched: list[str] = []


class _Handler(BaseHTTPRequestHandler):
    server: DatasetHub

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        file = re.fullmatch(rf"/datasets/{NAME}/resolve/{COMMIT}/(.+)", path)
        if re.fullmatch(rf"/api/datasets/{NAME}(/revision/\w+)?", path):
            about = {"id": NAME, "sha": COMMIT, "siblings": [{"rfilename": name} for name in FILES]}
            self._answer(200, json.dumps(about).encode())
        elif path == f"/api/datasets/{NAME}/tree/{COMMIT}":
            entries = [{"type": "file", "path": name, "size": len(FILES[name]), "oid": "0" * 40} for name in FILES]
            self._answer(200, json.dumps(entries).encode())
        elif file and file[1] in FILES:
            if self.command == "GET":
                self.server.fetched.append(file[1])
            content = FILES[file[1]]
            self._answer(200, content, {"X-Repo-Commit": COMMIT, "ETag": f'"{hashlib.sha1(content).hexdigest()}"'})
        else:
            self._answer(404, b"{}")

    do_HEAD = do_GET  # noqa: N815

    def _answer(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DatasetHub]:
    from huggingface_hub import constants

    with DatasetHub() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        monkeypatch.setattr(constants, "ENDPOINT", server.address)
        template = server.address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("split", "files", "expected"),
    [
        ("train", None, ["a/1.jsonl", "a/2.jsonl"]),
        ("test", None, ["b/x.jsonl"]),
        ("train", "jv", ["c.jsonl"]),
        ("train", "*/x.*", ["b/x.jsonl"]),
    ],
)
def test_the_card_and_the_chosen_files_are_fetched_and_no_others(
    hub: DatasetHub, tmp_path: Path, split: str, files: str | None, expected: list[str]
) -> None:
    snapshot = fetch_dataset(NAME, None, tmp_path / "converted", split=split, pattern=files)
    assert [str(path.relative_to(snapshot.folder)) for path in snapshot.files] == expected
    assert [path.read_bytes() for path in snapshot.files] == [FILES[name] for name in expected]
    assert snapshot.revision == COMMIT
    assert sorted(hub.fetched) == sorted(["README.md", *expected])


def test_a_split_that_the_card_does_not_declare_is_refused_before_any_row_is_fetched(
    hub: DatasetHub, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="configuration id has no split validation, but train, test"):
        fetch_dataset(NAME, None, tmp_path / "converted", split="validation")
    assert hub.fetched == ["README.md"]
