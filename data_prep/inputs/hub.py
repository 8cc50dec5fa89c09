"""Fetching from the Hugging Face hub: a revision resolved to its commit, whole files kept, plain errors.

huggingface_hub does the fetching: its cache keeps finished files, and within a run it continues a file whose connection
broke. Added here: the commit (so that a run can be repeated), a fetch without the hub of what was fetched before, plain
HTTP where Xet storage fails, and errors a user can act on (`data_prep.inputs.hub_errors`).
"""

from __future__ import annotations

import fnmatch
import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.errors import InputError
from common.files import write_text
from common.progress import console
from data_prep.inputs.card import CARD, Configuration, read_configurations
from data_prep.inputs.finding import choose_files
from data_prep.inputs.hub_errors import Kind, UnreachableError, attempt, reason

MODEL_FILES = ("*.json", "*.txt", "*.model", "*.jinja", "*.safetensors")
PICKLED = "*pytorch_model*.bin"
WORKERS = 2
"""Files fetched at once: those are begun anew after a break. More would not be faster by much; eight, the client's
default, would be all shards of LLaDA-8B.
"""
XET = {"HF_XET_CLIENT_RETRY_MAX_ATTEMPTS": "2", "HF_XET_CLIENT_RETRY_BASE_DELAY": "1s"}
"""Xet's client tries in silence, by default for a minute and a half; here plain HTTP takes over from it."""


@dataclass(frozen=True)
class Snapshot:
    """A repository's files on this machine, at one commit. files: a dataset's chosen row files."""

    folder: Path
    revision: str
    files: tuple[Path, ...] = field(default=(), compare=False)


@dataclass(frozen=True)
class _Listing:
    """A commit and the names of its files. cached: the hub is out of reach, and they come from its cache."""

    commit: str
    names: list[str]
    cached: bool = False


def fetch_dataset(
    repository: str, revision: str | None, converted: Path, *, split: str = "train", pattern: str | None = None
) -> Snapshot:
    """Fetch a dataset's row files of one split, or those that a pattern matches (`finding.choose_files`), and before
    them its card.

    A repository in any other form is read by `datasets` and written to `converted` as parquet.

    Raises:
        InputError: unknown, private or gated repository; unknown revision; hub out of reach and nothing cached; no
            file of that split or pattern, or several configurations.
    """
    listing = _listing(repository, revision, "dataset")
    declared = _declared(repository, revision, listing) if CARD in listing.names else []
    chosen = choose_files(repository, listing.names, split, pattern, declared)
    if not chosen and listing.cached:
        raise InputError(f"{repository}: the hub is out of reach, and its cache holds no row files of this dataset")
    if not chosen:
        return _convert(repository, listing.commit, converted, split)
    folder = _fetch(repository, revision, "dataset", listing, chosen)
    return Snapshot(folder, listing.commit, tuple(folder / name for name in chosen))


def _declared(repository: str, revision: str | None, listing: _Listing) -> list[Configuration]:
    """The configurations of a dataset's card; one that cannot be read is told, and the files' names decide."""
    if listing.cached and not (_folder(repository, "dataset", listing.commit) / CARD).is_file():
        return []  # what is cached was chosen without it
    folder = _fetch(repository, revision, "dataset", listing, [CARD])
    try:
        return read_configurations((folder / CARD).read_text(encoding="utf-8", errors="replace"), CARD)
    except InputError as error:
        console.print(f"{repository}: its card is passed over ({error}); the files' names decide", soft_wrap=True)
        return []


def fetch_model(repository: str, revision: str | None) -> Snapshot:
    """Fetch a model's configuration, tokenizer and weights (safetensors; .bin only where there are none).

    Raises:
        InputError: as `fetch_dataset`.
    """
    listing = _listing(repository, revision, "model")
    weights = any(name.endswith(".safetensors") for name in listing.names)
    patterns = [*MODEL_FILES, *([] if weights else [PICKLED])]
    names = [name for name in listing.names if any(fnmatch.fnmatch(name, pattern) for pattern in patterns)]
    return Snapshot(_fetch(repository, revision, "model", listing, names), listing.commit)


def _listing(repository: str, revision: str | None, kind: Kind) -> _Listing:
    """The commit a revision (default: the main branch) stands for, and its files; of the cache where the hub is out of
    reach.
    """
    from huggingface_hub import HfApi

    hub, commit = HfApi(), None
    try:
        commit = attempt(
            repository,
            kind,
            lambda: hub.repo_info(repository, repo_type=kind, revision=revision, timeout=10).sha,
        )
        names = attempt(
            repository,
            kind,
            lambda: list(hub.list_repo_files(repository, repo_type=kind, revision=commit)),
        )
        _refuse_names_that_leave(repository, [str(commit), *names])
        return _Listing(str(commit), sorted(names))
    except UnreachableError as error:
        console.print(
            f"{repository}: the hub is out of reach ({error}); looking in the local cache",
            style="yellow",
            soft_wrap=True,
            markup=False,
        )
        return _cached_listing(repository, commit or revision, kind, error)


def _refuse_names_that_leave(repository: str, names: Sequence[str]) -> None:
    """Names become paths in the cache. Raises InputError for one that leads elsewhere."""
    for name in names:
        parts = name.split("/")
        if not set(parts).isdisjoint(("", ".", "..")) or "\\" in name or not name.isprintable():
            raise InputError(
                f"{repository}: the hub lists the file {name!r}, which is no name within a folder; not fetched"
            )


def _cached_listing(repository: str, revision: str | None, kind: Kind, cause: UnreachableError) -> _Listing:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = Path(
            snapshot_download(repository, repo_type=kind, revision=revision, allow_patterns=[], local_files_only=True)
        )
    except (LocalEntryNotFoundError, ValueError) as error:
        raise InputError(
            f"{repository}: not a folder here, the hub is out of reach, and its cache does not hold this {kind}; "
            f"{cause.cure}, give a local folder, or use `embedded`"
        ) from error
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return _Listing(folder.name, sorted(there | _listed_before(repository, folder.name, kind)), cached=True)


def _listed_before(repository: str, commit: str, kind: Kind) -> set[str]:
    """The commit's files as the hub told them; newer versions of its client keep that beside the files."""
    import huggingface_hub

    recall: Any = getattr(huggingface_hub, "get_cached_repo_tree", None)
    if recall is None:
        return set()
    try:
        return {entry.path for entry in recall(repository, repo_type=kind, revision=commit)}
    except Exception as error:  # of a class that only the newer versions have
        if type(error).__name__ != "CachedRepoTreeNotFoundError":
            raise
        return set()


def _fetch(repository: str, revision: str | None, kind: Kind, listing: _Listing, names: Sequence[str]) -> Path:
    """The snapshot's folder with these files in it."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    os.environ.update({name: value for name, value in XET.items() if name not in os.environ})
    patterns = [glob.escape(name) for name in names]

    def download(local: bool = False) -> str:
        return snapshot_download(
            repository,
            repo_type=kind,
            revision=listing.commit,
            allow_patterns=patterns,
            max_workers=WORKERS,
            local_files_only=local,
        )

    def present() -> int:
        """How many of the files are here and whole."""
        folder = _folder(repository, kind, listing.commit)
        return sum((folder / name).is_file() for name in names)

    if listing.cached:
        try:
            return Path(download(local=True))
        except LocalEntryNotFoundError:
            raise InputError(
                f"{repository}: the hub is out of reach, and its cache holds {present()} of {len(names)} files; "
                "connect and run again"
            ) from None
    try:
        folder = Path(attempt(repository, kind, download, progress=present))
    except UnreachableError as error:
        raise InputError(
            f"{repository}: the download stopped ({error}); {present()} of {len(names)} files are whole and stay, the "
            f"others begin anew; {error.cure}"
        ) from error
    _remember(folder, revision)
    return folder


def _folder(repository: str, kind: Kind, commit: str) -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / f"{kind}s--{repository.replace('/', '--')}" / "snapshots" / commit


def _remember(folder: Path, revision: str | None) -> None:
    """Write down in the hub's cache which commit a branch, a tag or a shortened commit stands for.

    The client does so only for what it resolved itself. Without it nothing would be found later without the hub.
    """
    refs = folder.parent.parent / "refs"
    path = refs / (revision or "main")
    if (revision or "main") != folder.name and path.resolve().is_relative_to(refs.resolve()):
        write_text(path, folder.name)


def _convert(repository: str, commit: str, converted: Path, split: str) -> Snapshot:
    import datasets

    def load() -> Path:
        loaded = datasets.load_dataset(repository, revision=commit, split=split)
        converted.mkdir(parents=True, exist_ok=True)
        loaded.to_parquet(str(converted / "rows.parquet"))  # pyright: ignore[reportAttributeAccessIssue]
        return converted

    try:
        return Snapshot(attempt(repository, "dataset", load), commit, (converted / "rows.parquet",))
    except (ValueError, RuntimeError, OSError) as error:  # no train split, a loading script, an unknown format
        if isinstance(error, InputError):
            raise
        raise InputError(f"{repository}: `datasets` cannot read it as rows ({reason(error)})") from error
