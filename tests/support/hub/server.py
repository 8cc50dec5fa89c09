"""A hub on 127.0.0.1 that serves repositories as huggingface_hub reads them, and fails when it is told to.

    with running_hub(repository) as hub, client_of(hub, tmp_path / "cache"):
        snapshot_download(repository.name)

It knows info, file listing (in pages), HEAD and GET of files with commit, etag and ranges, branches and tags. Large
files are behind a redirect to another host (`localhost`), as on the real hub, to which no token may travel. `requests`
holds what was asked; `fail` makes what matches a pattern fail, once or for ever.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.parse import unquote, urlsplit

LARGE = (".safetensors", ".bin", ".parquet", ".h5")
"""Endings of the files that the hub keeps in its large-file storage."""
PAGE = 10  # entries of a file listing that come in one answer; the real hub sends 1,000
READER, STRANGER, NARROW = "hf_reader", "hf_stranger", "hf_narrow"
"""Tokens: of a user with access to every repository, of one without access to gated ones, and a fine-grained token of
the first user that does not include gated repositories.
"""


@dataclass
class Repository:
    """Commits (by their 40 characters) with their files, branches and tags.

    Args:
        gated: its files need a user who has accepted its terms. private: unknown to everybody but READER.
        xet: large files are said to lie in Xet storage, at an address where nothing but errors comes.
    """

    name: str
    commits: dict[str, dict[str, bytes]]
    kind: Literal["model", "dataset"] = "model"
    refs: dict[str, str] = field(default_factory=dict)
    gated: bool = False
    private: bool = False
    xet: bool = False

    @classmethod
    def of(cls, name: str, files: dict[str, bytes], kind: Literal["model", "dataset"] = "model") -> Repository:
        """One commit, which is `main`."""
        commit = commit_of(name, files)
        return cls(name, {commit: files}, kind, {"main": commit})

    @property
    def commit(self) -> str:
        """What `main` stands for."""
        return self.refs["main"]

    def resolve(self, revision: str) -> str | None:
        return revision if revision in self.commits else self.refs.get(revision)


def commit_of(name: str, files: dict[str, bytes]) -> str:
    """40 characters that stand for these files."""
    digests = {path: hashlib.sha256(content).hexdigest() for path, content in files.items()}
    return hashlib.sha1(json.dumps([name, sorted(digests.items())]).encode()).hexdigest()


def etag_of(path: str, content: bytes) -> str:
    """SHA-256 for a large file, git's blob id for others; the client names its copy by it."""
    if path.endswith(LARGE):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@dataclass(frozen=True)
class Request:
    method: str
    path: str  # without the query
    range: str | None
    token: str | None
    host: str


@dataclass
class Fault:
    """What happens to requests whose "METHOD /path" matches a pattern (of fnmatch).

    status 0 closes the connection without an answer. cut: that many bytes of the body come before it is closed.
    """

    pattern: str
    status: int = 0
    message: str = ""
    code: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    page: bytes | None = None  # an answer of status 200 that is none of the hub's
    slow: float = 0.0  # seconds before an answer that is right
    times: int | None = None


class Hub(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, repositories: tuple[Repository, ...]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        port = self.server_address[1]
        self.address, self.storage = f"http://127.0.0.1:{port}", f"http://localhost:{port}"
        self.repositories = {(repository.kind, repository.name): repository for repository in repositories}
        self.stored = {
            etag_of(path, content): content
            for repository in repositories
            for files in repository.commits.values()
            for path, content in files.items()
        }
        self.requests: list[Request] = []
        self.faults: list[Fault] = []
        self.at_once, self.most_at_once = 0, 0  # large files that are being sent
        self._lock = threading.Lock()

    def fail(self, pattern: str, status: int = 0, **details: Any) -> None:
        """See Fault; the newest that matches counts."""
        self.faults.insert(0, Fault(pattern, status, **details))

    def mend(self) -> None:
        self.faults.clear()

    def asked(self, pattern: str) -> list[Request]:
        """The requests so far whose "METHOD /path" matches."""
        return [one for one in self.requests if fnmatch.fnmatch(f"{one.method} {one.path}", pattern)]

    def take_fault(self, request: Request) -> Fault | None:
        with self._lock:
            self.requests.append(request)
            for fault in self.faults:
                if fault.times != 0 and fnmatch.fnmatch(f"{request.method} {request.path}", fault.pattern):
                    fault.times = None if fault.times is None else fault.times - 1
                    return fault
        return None

    @contextmanager
    def counting(self) -> Iterator[None]:
        with self._lock:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            yield
        finally:
            with self._lock:
                self.at_once -= 1

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no news."""


_FILE = re.compile(r"/(?P<dataset>datasets/)?(?P<name>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)")
_API = re.compile(r"/api/(?P<kind>model|dataset)s/(?P<name>[^/]+/[^/]+)(?P<rest>/.*)?")


class _Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def _serve(self) -> None:
        url = urlsplit(self.path)
        token = self.headers.get("Authorization", "").removeprefix("Bearer ") or None
        request = Request(
            self.command, unquote(url.path), self.headers.get("Range"), token, self.headers.get("Host", "")
        )
        self.fault = self.server.take_fault(request)
        if self.fault is not None and self.fault.page is not None:
            self._send(self.fault.page, {"Content-Type": "text/html"})
        elif self.fault is not None and self.fault.cut is None and not self.fault.slow:
            if self.fault.status == 0:
                self.close_connection = True
            else:
                self._refuse(self.fault.status, self.fault.message, self.fault.code, self.fault.headers)
        elif request.path.startswith("/storage/"):
            self._storage(request.path.removeprefix("/storage/"))
        elif match := _FILE.fullmatch(request.path):
            self._file(match, token)
        elif match := _API.fullmatch(request.path):
            self._api(match, token, url.query)
        else:
            self._refuse(404, "not found")

    def _storage(self, etag: str) -> None:
        hub = self.server
        with hub.counting():
            threading.Event().wait(self.fault.slow if self.fault else 0.0)  # tests replace time.sleep
            self._send(hub.stored[etag], {})

    def _repository(self, kind: str, name: str, token: str | None) -> Repository | None:
        """None where the answer has been given already."""
        if token is not None and token not in (READER, STRANGER, NARROW):
            self._refuse(401, "Invalid credentials in Authorization header")
            return None
        repository = self.server.repositories.get((kind, name))
        if repository is None or (repository.private and token != READER):
            self._refuse(*((404, "Repository not found", "RepoNotFound") if token else (401, "Invalid username", "")))
            return None
        return repository

    def _commit(self, repository: Repository, revision: str) -> str | None:
        commit = repository.resolve(revision)
        if commit is None:
            self._refuse(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return commit

    def _api(self, match: re.Match[str], token: str | None, query: str) -> None:
        repository = self._repository(match["kind"], match["name"], token)
        parts = (match["rest"] or "").strip("/").split("/", 1)
        what = parts[0] or "revision"
        if repository is None:
            return
        if what.startswith("xet-"):
            self._xet_token()
            return
        commit = self._commit(repository, parts[1] if len(parts) > 1 else "main")
        if commit is None:
            return
        files = repository.commits[commit]
        if what == "revision":
            siblings = [{"rfilename": path} for path in sorted(files)]
            self._json(
                {
                    "id": repository.name,
                    "sha": commit,
                    "private": repository.private,
                    "gated": "manual" if repository.gated else False,
                    "siblings": siblings,
                }
            )
        elif what == "tree":
            self._tree(repository, commit, query)
        else:
            self._refuse(404, "not found")

    def _tree(self, repository: Repository, commit: str, query: str) -> None:
        start = int(dict(part.partition("=")[::2] for part in query.split("&")).get("cursor", 0))
        names = sorted(repository.commits[commit])
        entries = [_entry(repository, name, repository.commits[commit][name]) for name in names[start : start + PAGE]]
        place = f"{self.server.address}/api/{repository.kind}s/{repository.name}/tree/{commit}"
        more = {"Link": f'<{place}?recursive=true&cursor={start + PAGE}>; rel="next"'} if names[start + PAGE :] else {}
        self._json(entries, more)

    def _file(self, match: re.Match[str], token: str | None) -> None:
        repository = self._repository("dataset" if match["dataset"] else "model", match["name"], token)
        if repository is None or not self._may_read(repository, token):
            return
        commit = self._commit(repository, match["revision"])
        if commit is None:
            return
        path, about = match["path"], {"X-Repo-Commit": commit}
        content = repository.commits[commit].get(path)
        if content is None:
            self._refuse(404, "Entry not found", "EntryNotFound", about)
            return
        etag = etag_of(path, content)
        if not path.endswith(LARGE):
            self._send(content, about | {"ETag": f'"{etag}"'})
            return
        about |= {"X-Linked-Etag": f'"{etag}"', "X-Linked-Size": str(len(content))}
        if repository.xet:
            refresh = f"{self.server.address}/api/{repository.kind}s/{repository.name}/xet-read-token/{commit}"
            about |= {"X-Xet-Hash": etag, "X-Xet-Refresh-Route": refresh}
        self._send(b"", about | {"Location": f"{self.server.storage}/storage/{etag}"}, status=302)

    def _may_read(self, repository: Repository, token: str | None) -> bool:
        if not repository.gated or token == READER:
            return True
        about = f"Access to model {repository.name} is restricted"
        if token is None:
            self._refuse(401, f"{about}. You must be authenticated to access it.", "GatedRepo")
        elif token == STRANGER:
            self._refuse(403, f"{about} and you are not in the authorized list.", "GatedRepo")
        else:
            self._refuse(403, "Please enable access to public gated repositories in your fine-grained token settings")
        return False

    def _xet_token(self) -> None:
        about = {"X-Xet-Cas-Url": f"{self.server.address}/xet", "X-Xet-Access-Token": "xet"}
        self._json({}, about | {"X-Xet-Token-Expiration": "4102444800"})

    def _json(self, value: Any, headers: dict[str, str] | None = None) -> None:
        self._send(json.dumps(value).encode(), {"Content-Type": "application/json", **(headers or {})})

    def _refuse(self, status: int, message: str, code: str = "", headers: dict[str, str] | None = None) -> None:
        about = {"Content-Type": "application/json", "X-Error-Message": message, **(headers or {})}
        self._send(json.dumps({"error": message}).encode(), about | ({"X-Error-Code": code} if code else {}), status)

    def _send(self, content: bytes, headers: dict[str, str], status: int = 200) -> None:
        start, asked = 0, re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if status == 200 and asked:
            start, status = int(asked[1]), 206
            headers |= {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
        self.send_response(status)
        for name, value in {"Accept-Ranges": "bytes", "Content-Length": str(len(content) - start), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        end = len(content)
        if self.fault is not None and self.fault.cut is not None:
            end, self.close_connection = min(start + self.fault.cut, end), True
        self.wfile.write(content[start:end])

    do_GET = do_HEAD = _serve  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:  # what http.server calls it
        pass


def _entry(repository: Repository, path: str, content: bytes) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "file", "path": path, "size": len(content), "oid": etag_of(path, content)[:40]}
    if path.endswith(LARGE):
        digest = etag_of(path, content)
        entry["lfs"] = {"oid": digest, "size": len(content), "pointerSize": 130}
        if repository.xet:
            entry["xetHash"] = digest
    return entry


Server = TypeVar("Server", bound=ThreadingHTTPServer)


@contextmanager
def running_hub(*repositories: Repository) -> Iterator[Hub]:
    with serving(Hub(repositories)) as hub:
        yield hub


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    """The server answers in a thread of its own, and is shut down at the end."""
    with server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def environment_for(hub: Hub, cache: Path, token: str | None = None) -> dict[str, str]:
    """What a process needs in its environment to have this hub as its hub, and `cache` as its cache."""
    token_of = {"HF_TOKEN": token} if token else {"HF_TOKEN_PATH": str(cache / "no-token")}
    return {
        "HF_ENDPOINT": hub.address, "HF_HUB_OFFLINE": "0", "HF_HOME": str(cache), "HF_HUB_CACHE": str(cache / "hub"),
        "HF_XET_CACHE": str(cache / "xet"), "HF_HUB_DISABLE_TELEMETRY": "1", "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost", **token_of,
    }  # fmt: skip


@contextmanager
def client_of(hub: Hub, cache: Path, token: str | None = None) -> Iterator[None]:
    """This process as a client of the hub; huggingface_hub has read the environment before, so its constants change."""
    import pytest
    from huggingface_hub import constants

    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment_for(hub, cache, token).items():
            patch.setenv(name, value)
        if token is None:
            patch.delenv("HF_TOKEN", raising=False)
        patch.setattr(constants, "ENDPOINT", hub.address)
        template = hub.address + "/{repo_id}/resolve/{revision}/{filename}"
        patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        patch.setattr(constants, "HF_HUB_OFFLINE", False)
        patch.setattr(constants, "HF_HUB_CACHE", str(cache / "hub"))
        patch.setattr(constants, "HF_HUB_DISABLE_XET", False)
        patch.setattr(constants, "HF_TOKEN_PATH", str(cache / "no-token"))
        yield
