"""Who is let through: hosts, origins, passwords, paths, sizes."""

from __future__ import annotations

import base64
import re
import socket
import time
from collections.abc import Iterator

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from chat.serving.guard import Guard, Rules, _host_of, _same_origin
from chat.serving.listening import PASSWORD, listen, password
from common.errors import InputError
from tests.support.web.serving import running

PATHS = re.compile(r"/|/echo")


async def echo(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(len(await request.body())))


APP = Starlette(routes=[Route("/", echo), Route("/echo", echo, methods=["GET", "POST"]), Route("/secret", echo)])


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with running(APP, PATHS, most_bytes=1000, seconds=0.5) as url:
        yield url


def asked(url: str, path: str = "/echo", method: str = "GET", **headers: str) -> int:
    return httpx.request(
        method, url + path, headers={k.replace("_", "-"): v for k, v in headers.items()}, trust_env=False
    ).status_code


@pytest.mark.parametrize("host", ["localhost:9", "127.0.0.1", "[::1]:80", "127.9.9.9", "LOCALHOST"])
def test_this_machines_own_names_are_answered(url: str, host: str) -> None:
    assert asked(url, host=host) == 200


@pytest.mark.parametrize(
    "host",
    ["", "evil.example", "evil.example:8080", "127.0.0.1.evil.example",
     "localhost.evil.example", "192.168.1.5", "8.8.8.8",
     "localhost@evil.example", "user:pw@localhost", "evil.example#localhost", "0.0.0.0", "localhost,evil.example"],
)  # fmt: skip
def test_another_host_is_refused(url: str, host: str) -> None:
    assert asked(url, host=host) in (400, 403)


def test_two_hosts_and_none_are_refused(url: str) -> None:
    address = (url.split("/")[2].split(":")[0], int(url.rsplit(":", 1)[1]))
    for lines in ("Host: localhost\r\nHost: evil.example\r\n", ""):
        with socket.create_connection(address) as connection:
            connection.sendall(f"GET /echo HTTP/1.1\r\n{lines}\r\n".encode())
            assert connection.recv(100).split()[1] in (b"400", b"403")


def test_listening_for_all_takes_addresses_and_own_names_alone() -> None:
    guard = Guard(APP, Rules("0.0.0.0", PATHS))
    assert guard._known_host("192.168.1.5:8080")
    assert guard._known_host(socket.gethostname())
    assert not guard._known_host("evil.example")


def test_pages_of_another_origin_are_refused(url: str) -> None:
    own = url.removeprefix("http://")
    assert asked(url, method="POST", origin=f"http://{own}") == 200
    for origin in (
        "http://evil.example",
        "null",
        "https://127.0.0.1",
        f"http://{own}.evil.example",
        "http://localhost:1",
        "",
    ):
        assert asked(url, method="POST", origin=origin) == 403, origin
    assert asked(url, sec_fetch_site="cross-site", sec_fetch_mode="no-cors", sec_fetch_dest="image") == 403
    assert asked(url, sec_fetch_site="same-site", sec_fetch_mode="cors", sec_fetch_dest="empty") == 403
    assert asked(url, sec_fetch_site="cross-site", sec_fetch_mode="navigate", sec_fetch_dest="iframe") == 403
    assert asked(url, sec_fetch_site="cross-site", sec_fetch_mode="navigate", sec_fetch_dest="document") == 200
    assert asked(url, sec_fetch_site="same-origin") == 200


@pytest.mark.parametrize(
    ("header", "host"), [("a:1", "a"), ("[::1]:8", "::1"), ("a b", ""), ("a:b:c", ""), ("a/b", "")]
)
def test_the_name_in_a_host_header(header: str, host: str) -> None:
    assert _host_of(header) == host


def test_https_before_us_is_the_same_origin() -> None:
    assert _same_origin({"host": "Chat.example", "origin": "https://chat.example"})


@pytest.mark.parametrize(
    "path", ["/secret", "/echo/", "/../secret", "/%2e%2e/secret", "/echo%2f", "//echo", "/ECHO", "/file=/etc/passwd"]
)
def test_no_path_but_those_of_the_list(url: str, path: str) -> None:
    assert asked(url, path) == 404


def test_methods_bodies_and_time_have_limits(url: str) -> None:
    assert asked(url, method="DELETE") == 405
    assert httpx.post(f"{url}/echo", content=b"x" * 1000, trust_env=False).text == "1000"
    assert httpx.post(f"{url}/echo", content=b"x" * 1001, trust_env=False).status_code == 413
    assert httpx.post(f"{url}/echo", content=iter([b"x" * 600, b"x" * 600]), trust_env=False).status_code == 413
    address = (url.split("/")[2].split(":")[0], int(url.rsplit(":", 1)[1]))
    with socket.create_connection(address) as connection:
        connection.sendall(b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nxx")
        begun = time.monotonic()
        assert connection.recv(100).split()[1] == b"408"
        assert time.monotonic() - begun < 5


def test_answers_say_what_browsers_may_not_do(url: str) -> None:
    headers = httpx.get(f"{url}/echo", trust_env=False).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert "access-control-allow-origin" not in headers


def test_a_password_is_asked_for_by_bearer_or_basic() -> None:
    with running(APP, PATHS, password="rahasia sekali é") as url:
        assert asked(url) == 401
        for right, status in (("rahasia sekali é", 200), ("rahasia", 401), ("", 401)):
            basic = base64.b64encode(f"siapa:{right}".encode()).decode()
            assert asked(url, authorization=f"Basic {basic}") == status
        assert asked(url, authorization="Basic %%%") == 401
        assert asked(url, authorization="Bearer rahasia") == 401
    with running(APP, PATHS, password="rahasia-sekali") as url:
        assert asked(url, authorization="Bearer rahasia-sekali") == 200
        refused = httpx.get(f"{url}/echo", trust_env=False)
        assert refused.headers["www-authenticate"].startswith("Basic ")
        assert "rahasia" not in refused.text


def test_a_short_password_a_taken_port_and_a_foreign_address_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PASSWORD, "1234567")
    with pytest.raises(InputError, match="has 7 characters"):
        password()
    monkeypatch.delenv(PASSWORD)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        for host, port in (("127.0.0.1", taken.getsockname()[1]), ("203.0.113.9", 0), ("nowhere.invalid", 0)):
            with pytest.raises(InputError, match="cannot listen there"):
                listen(APP, host, port, PATHS, 10, "")
