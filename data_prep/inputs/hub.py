"""Fetching from the Hugging Face hub: a revision resolved to its commit, resumable, with retries and plain errors.

huggingface_hub does the fetching: its cache keeps finished files, continues unfinished ones and shows the progress.
Added here: the commit (so that a run can be repeated), the waiting between attempts, and errors a user can act on.
"""

from __future__ import annotations

import glob
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

from common.errors import InputError
from common.progress import console
from data_prep.inputs.finding import SUFFIXES, choose_files

Result = TypeVar("Result")
Kind = Literal["dataset", "model"]

WAITS = (1.0, 4.0, 10.0)
"""Seconds before each further attempt after a connection fault or a server error."""
ROW_FILES = [f"*{suffix}{packed}" for suffix in SUFFIXES for packed in ("", ".gz")]
MODEL_FILES = ("*.json", "*.txt", "*.model", "*.jinja", "*.safetensors")


@dataclass(frozen=True)
class Snapshot:
    """A repository's files on this machine, at one commit. files: a dataset's chosen row files."""

    folder: Path
    revision: str
    files: tuple[Path, ...] = field(default=(), compare=False)


def fetch_dataset(
    repository: str, revision: str | None, converted: Path, *, split: str = "train", pattern: str | None = None
) -> Snapshot:
    """Fetch a dataset's row files of one split, or those that a pattern matches (`finding.choose_files`).

    A repository in any other form is read by `datasets` and written to `converted` as parquet.

    Raises:
        InputError: unknown, private or gated repository; unknown revision; hub out of reach and nothing cached; no
            file of that split or pattern, or several configurations.
    """
    commit = _commit(repository, revision, "dataset")
    if commit is None:
        snapshot = _cached(repository, revision, "dataset", ROW_FILES)
        names = [path.relative_to(snapshot.folder).as_posix() for path in snapshot.folder.rglob("*") if path.is_file()]
    else:
        snapshot, names = None, _file_names(repository, commit, "dataset")
    chosen = choose_files(repository, names, split, pattern)
    if snapshot is None and commit is not None:
        if not chosen:
            return _convert(repository, commit, converted, split)
        snapshot = _download(repository, commit, "dataset", [glob.escape(name) for name in chosen])
    elif not chosen:
        raise InputError(f"{repository}: the hub is out of reach, and its cache holds no row files of this dataset")
    assert snapshot is not None
    return Snapshot(snapshot.folder, snapshot.revision, tuple(snapshot.folder / name for name in chosen))


def fetch_model(repository: str, revision: str | None) -> Snapshot:
    """Fetch a model's configuration, tokenizer and weights (safetensors; .bin only where there are none).

    Raises:
        InputError: as `fetch_dataset`.
    """
    commit = _commit(repository, revision, "model")
    if commit is None:
        return _cached(repository, revision, "model", list(MODEL_FILES))
    names = _file_names(repository, commit, "model")
    weights = any(name.endswith(".safetensors") for name in names)
    return _download(repository, commit, "model", [*MODEL_FILES, *([] if weights else ["*.bin"])])


def _commit(repository: str, revision: str | None, kind: Kind) -> str | None:
    """The commit a revision (default: the main branch) stands for; None where the hub is out of reach."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import OfflineModeIsEnabled

    try:
        info = _attempt(
            repository, lambda: HfApi().repo_info(repository, repo_type=kind, revision=revision, timeout=10)
        )
    except (OfflineModeIsEnabled, ConnectionError) as error:
        console.print(
            f"{repository}: the hub is out of reach ({_reason(error)}); looking in the local cache",
            style="yellow",
            soft_wrap=True,
        )
        return None
    return info.sha


def _file_names(repository: str, commit: str, kind: Kind) -> list[str]:
    from huggingface_hub import HfApi

    return sorted(_attempt(repository, lambda: HfApi().list_repo_files(repository, repo_type=kind, revision=commit)))


def _download(repository: str, commit: str, kind: Kind, patterns: list[str]) -> Snapshot:
    from huggingface_hub import snapshot_download

    def download() -> str:
        return snapshot_download(repository, repo_type=kind, revision=commit, allow_patterns=patterns)

    try:
        return Snapshot(Path(_attempt(repository, download)), commit)
    except ConnectionError as error:
        raise InputError(
            f"{repository}: the download stopped ({_reason(error)}); run the stage again, it continues where it was"
        ) from error


def _cached(repository: str, revision: str | None, kind: Kind, patterns: list[str]) -> Snapshot:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = Path(
            snapshot_download(
                repository, repo_type=kind, revision=revision, allow_patterns=patterns, local_files_only=True
            )
        )
    except (LocalEntryNotFoundError, ValueError) as error:
        raise InputError(
            f"{repository}: not a folder here, the hub is out of reach, and its cache does not hold this {kind}; "
            "connect and run again, give a local folder, or use `embedded`"
        ) from error
    return Snapshot(folder, folder.name)


def _convert(repository: str, commit: str, converted: Path, split: str) -> Snapshot:
    import datasets

    def load() -> Path:
        loaded = datasets.load_dataset(repository, revision=commit, split=split)
        converted.mkdir(parents=True, exist_ok=True)
        loaded.to_parquet(str(converted / "rows.parquet"))  # pyright: ignore[reportAttributeAccessIssue]
        return converted

    try:
        return Snapshot(_attempt(repository, load), commit, (converted / "rows.parquet",))
    except (ValueError, RuntimeError, OSError) as error:  # no train split, a loading script, an unknown format
        raise InputError(f"{repository}: `datasets` cannot read it as rows ({_reason(error)})") from error


def _attempt(repository: str, action: Callable[[], Result]) -> Result:
    """Run `action`, again after connection faults and server errors, and put the hub's refusals in plain words.

    Raises:
        InputError: the hub refuses: unknown, private or gated repository, unknown revision.
        ConnectionError: still no connection after the last attempt. OfflineModeIsEnabled is one.
    """
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    # the first base is HTTPError of httpx or of its successor, whichever huggingface_hub uses
    client_errors: tuple[type[Exception], ...] = HfHubHTTPError.__bases__  # pyright: ignore[reportAssignmentType]
    for wait in (*WAITS, None):
        try:
            return action()
        except OfflineModeIsEnabled:
            raise
        except GatedRepoError as error:
            raise InputError(
                f"{repository}: gated; accept its terms at its page on the hub, then log in with `hf auth login`"
            ) from error
        except RepositoryNotFoundError as error:
            raise InputError(
                f"{repository}: no folder here and no repository on the hub (if it is private: `hf auth login`)"
            ) from error
        except RevisionNotFoundError as error:
            raise InputError(f"{repository}: the hub knows no such revision ({_reason(error)})") from error
        except HFValidationError as error:
            raise InputError(f"{repository}: neither a folder here nor a hub id ({_reason(error)})") from error
        except (*client_errors, LocalEntryNotFoundError, ConnectionError, TimeoutError) as error:
            status = getattr(getattr(error, "response", None), "status_code", 503)
            if wait is None or status not in (408, 429, *range(500, 600)):
                raise ConnectionError(_reason(error)) from error
            console.print(f"{repository}: {_reason(error)}; again in {wait:.0f} s", soft_wrap=True)
            time.sleep(wait)
    raise AssertionError("the last attempt either returns or raises")


def _reason(error: BaseException) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__
