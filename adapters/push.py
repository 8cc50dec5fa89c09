"""Share an adapter: its weights, configuration, card and curve go to a hub repository, and nothing else does.

What is uploaded is named here, file by file. Rows, splits, evaluations with texts and resumable state are never among
it, wherever they may lie.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapters.export import CONFIG, WEIGHTS
from common.errors import InputError

SHARED = (WEIGHTS, CONFIG, "README.md", "run.json", "curve.csv")


@dataclass(frozen=True)
class Upload:
    """One file that would go."""

    source: Path
    name: str  # in the repository

    @property
    def bytes(self) -> int:
        return self.source.stat().st_size


def uploads(adapter: Path, card: Path) -> list[Upload]:
    """What goes: the adapter of the best validation, and as its README the report's card where there is one.

    Raises:
        InputError: no adapter in the folder.
    """
    missing = [adapter / name for name in (WEIGHTS, CONFIG) if not (adapter / name).is_file()]
    if missing:
        raise InputError([f"{path}: no such file; train the adapter first" for path in missing])
    sources = {name: adapter / name for name in SHARED}
    if card.is_file():
        sources["README.md"] = card
    return [Upload(path, name) for name, path in sources.items() if path.is_file()]


def push(files: list[Upload], repository: str, private: bool) -> str:
    """Create the repository where it is not there, upload the files in one commit, and return its address.

    Raises:
        InputError: the name is no repository name, nobody is logged in, or the hub refused or cannot be reached.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError

    # The error that the client's HTTP library raises without an answer; which library it is depends on the version.
    no_answer: Any = HfHubHTTPError.__mro__[1]
    hub = HfApi()
    try:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for file in files:
                shutil.copyfile(file.source, folder / file.name)
            address = hub.create_repo(repository, private=private, exist_ok=True)
            hub.upload_folder(
                repo_id=repository,
                folder_path=folder,
                allow_patterns=list(SHARED),
                commit_message="Upload the adapter and its card",
            )
    except HFValidationError as error:
        raise InputError(f"--repo {repository}: not a repository name: {_line(error)}") from None
    except LocalTokenNotFoundError:
        raise InputError("nobody is logged in; run `hf auth login` first") from None
    except (HfHubHTTPError, no_answer, ConnectionError) as error:
        raise InputError(f"--repo {repository}: the hub refused or was not reached: {_line(error)}") from None
    return str(address)


def show(files: list[Upload], repository: str) -> None:
    """Print what would go."""
    from rich.console import Console
    from rich.table import Table

    grid = Table("file", "bytes", title=f"to {repository}", title_justify="left")
    for file in files:
        grid.add_row(file.name, f"{file.bytes:,}")
    grid.add_row("all", f"{sum(file.bytes for file in files):,}")
    Console().print(grid)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
