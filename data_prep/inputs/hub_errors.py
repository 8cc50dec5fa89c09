"""What the hub's client raises, in the words of who has to act: refusals, a full disk, a hub that is out of reach.

A refusal (a token, a licence, a revision) and a full disk end at once with their cure. What may pass (a lost
connection, a server error, too many requests) is tried again; Xet storage that fails is left for plain HTTP.
"""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar
from urllib.parse import unquote

from common.errors import InputError, disk_is_full
from common.progress import console

if TYPE_CHECKING:
    from huggingface_hub.errors import HfHubHTTPError

Result = TypeVar("Result")
Kind = Literal["dataset", "model"]

WAITS = (1.0, 4.0, 10.0)
"""Seconds before each further attempt."""
PATIENCE = 20.0
"""Seconds without anything achieved after which there is no further attempt: huggingface_hub tries most requests six
times by itself, which takes it 23 seconds.
"""
LONGEST_WAIT = 310.0
"""The hub counts requests in windows of five minutes; a server that asks for more than that is not waited for."""
now = time.monotonic
_PASSING = (408, 429, *range(500, 600))
_SHORT_COMMIT = re.compile(r"[0-9a-f]{4,39}")


class UnreachableError(ConnectionError):
    """The hub is out of reach, or stays unable to answer. cure: what to do about it."""

    def __init__(self, said: str, cure: str = "connect and run again") -> None:
        super().__init__(said)
        self.cure = cure


def attempt(
    repository: str,
    kind: Kind,
    action: Callable[[], Result],
    *,
    progress: Callable[[], int] = lambda: 0,
) -> Result:
    """Run `action`, again after what may pass.

    Args:
        progress: a number that grows when an attempt achieved something; then all further attempts are granted anew.

    Raises:
        InputError: a refusal (`_refusal`) or a full disk.
        UnreachableError: still no answer after the last attempt; at once where the client is set to be offline.
    """
    left, achieved, since = list(WAITS), progress(), now()
    while True:
        try:
            return action()
        except Exception as error:
            if disk_is_full(error):
                raise InputError(_full(repository)) from error
            if _leave_xet(repository, error):
                continue
            passing = _passing(repository, kind, error)
            if progress() > achieved:
                left, achieved, since = list(WAITS), progress(), now()
            if not left or now() - since > PATIENCE or passing.wait > LONGEST_WAIT:
                raise passing from error
            wait = max(left.pop(0), passing.wait)
            console.print(f"{repository}: {passing}; again in {wait:.0f} s", soft_wrap=True, markup=False)
            since += passing.wait
            time.sleep(wait)


def reason(error: BaseException) -> str:
    """Its first words, on one line."""
    return " ".join(str(error).split())[:160] or type(error).__name__


class _PassingError(UnreachableError):
    """wait: the seconds that the hub asks for."""

    def __init__(self, said: str, cure: str, wait: float = 0.0) -> None:
        super().__init__(said, cure)
        self.wait = wait


def _passing(repository: str, kind: Kind, error: Exception) -> _PassingError:
    """What may pass of it.

    Raises:
        InputError: it will not pass. UnreachableError: the client is set to be offline. The error: a fault of ours.
    """
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OfflineModeIsEnabled

    if isinstance(error, InputError):
        raise error
    if isinstance(error, OfflineModeIsEnabled):
        raise UnreachableError("HF_HUB_OFFLINE is set", "unset HF_HUB_OFFLINE and run again") from error
    if isinstance(error, HFValidationError):
        raise InputError(f"{repository}: neither a folder here nor a hub id ({reason(error)})") from error
    answer = next((cause for cause in _causes(error) if isinstance(cause, HfHubHTTPError)), None)
    if answer is not None and answer.response.status_code not in _PASSING:
        raise InputError(f"{repository}: {_refusal(repository, kind, answer)}") from error
    if answer is not None:
        return _busy(answer)
    if isinstance(error, json.JSONDecodeError):
        cure = "check HF_ENDPOINT, and whether a proxy or a login page of your network answers instead"
        return _PassingError("its answer is not JSON", cure)
    client_error: type[Exception] = HfHubHTTPError.__mro__[1]  # of the HTTP library, which depends on the version
    lost = (client_error, LocalEntryNotFoundError, ConnectionError, TimeoutError)
    if not isinstance(error, lost) and "Consistency check failed" not in str(error):
        raise error
    said = next((cause for cause in _causes(error) if isinstance(cause, client_error)), error)
    return _PassingError(reason(said), "connect and run again")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what it was raised from, outermost first."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _busy(answer: HfHubHTTPError) -> _PassingError:
    status = answer.response.status_code
    if status != 429:
        return _PassingError(f"it answers {status}, a fault of the server's", "run again later")
    wait = _wait_asked_for(answer)
    asked = f", and asks for a wait of {wait:.0f} s" if wait else ""
    return _PassingError(
        f"it answers 429, too many requests{asked}",
        "wait and run again; with an account more are allowed (`hf auth login`)",
        wait,
    )


def _wait_asked_for(answer: HfHubHTTPError) -> float:
    headers = answer.response.headers
    seconds = headers.get("Retry-After", "")
    window = re.search(r";\s*t\s*=\s*(\d+)", headers.get("RateLimit", ""))
    return float(seconds) if seconds.isdigit() else float(window[1]) if window else 0.0


def _refusal(repository: str, kind: Kind, answer: HfHubHTTPError) -> str:
    """What the hub refuses, and who can do what about it."""
    from huggingface_hub import get_token
    from huggingface_hub.errors import DisabledRepoError, GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    status, named = answer.response.status_code, answer.server_message or reason(answer)
    if isinstance(answer, GatedRepoError):
        return _gated(_page(repository, kind), get_token() is not None)
    if isinstance(answer, RevisionNotFoundError):
        return f"the hub knows no such revision{_revision(answer)}"
    if isinstance(answer, DisabledRepoError):
        return "the hub has disabled this repository; take another one, or a copy in a local folder"
    if status == 401 and get_token() is not None:
        return (
            "the hub does not accept your token (401): it is wrong or has expired; log in with a new one "
            "(`hf auth login`, or HF_TOKEN), or without (`hf auth logout`): public repositories need none"
        )
    if status in (401, 404) or isinstance(answer, RepositoryNotFoundError):
        return (
            "no folder here and no repository on the hub that you may see: check the name; if it is private, log in "
            "as somebody who may read it (`hf auth login`)"
        )
    if status == 403:
        return (
            f"your token may not read it (403, {named[:90]}); allow it that at {_endpoint()}/settings/tokens "
            "(gated repositories have a switch of their own), or log in with a token of type read (`hf auth login`)"
        )
    return f"the hub refused: {status}, {named[:160]}"


def _gated(page: str, logged_in: bool) -> str:
    if logged_in:
        return f"gated, and your account has no access; accept its licence at {page} with that account, then run again"
    return f"gated; accept its licence at {page}, then log in here with the same account (`hf auth login`)"


def _revision(answer: HfHubHTTPError) -> str:
    """The revision that was asked for, and what is missing where it looks like the beginning of a commit."""
    request = answer.response.request
    found = re.search(r"/(?:revision|resolve|tree)/([^/?]+)", str(request.url) if request is not None else "")
    if found is None:
        return ""
    short = _SHORT_COMMIT.fullmatch(found[1]) is not None
    return f": {unquote(found[1])}{'; write a commit with all of its 40 characters' if short else ''}"


def _endpoint() -> str:
    from huggingface_hub import constants

    return constants.ENDPOINT


def _page(repository: str, kind: Kind) -> str:
    return f"{_endpoint()}/{'datasets/' if kind == 'dataset' else ''}{repository}"


def _full(repository: str) -> str:
    from huggingface_hub import constants

    cache = Path(constants.HF_HUB_CACHE)
    free = shutil.disk_usage(next(path for path in (cache, *cache.parents) if path.is_dir())).free
    return (
        f"{repository}: no space left in {cache} ({free / 1e6:,.0f} MB are free); make room, or name a folder on a "
        "larger disk in HF_HOME, then run again; whole files stay"
    )


def _leave_xet(repository: str, error: Exception) -> bool:
    """After a fault of Xet storage: fetch by plain HTTP for the rest of this process. False where it is none."""
    from huggingface_hub import constants

    if constants.HF_HUB_DISABLE_XET or not _from_xet(error):
        return False
    said = f"{repository}: Xet storage failed ({reason(error)}); plain HTTP instead"
    console.print(said, soft_wrap=True, markup=False)
    constants.HF_HUB_DISABLE_XET = True
    return True


def _from_xet(error: Exception) -> bool:
    """The Rust client raises RuntimeError and classes of its own; huggingface_hub a ValueError about the headers."""
    trace, last = error.__traceback__, ""
    while trace is not None:
        last, trace = trace.tb_frame.f_code.co_name, trace.tb_next
    named = type(error).__module__.startswith("hf_xet") or "Xet" in type(error).__name__
    return named or (isinstance(error, RuntimeError | ValueError) and "xet" in last)
