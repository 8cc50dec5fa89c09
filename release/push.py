"""Share an adapter: its weights, configuration, card and curve go to a hub repository, and nothing else does.

What is uploaded is named here, file by file. Rows, splits, evaluations with texts and resumable state are never among
it, wherever they may lie.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters.stored import CONFIG, WEIGHTS
from common.errors import InputError
from common.escaping import without_machine_paths
from common.files import inside, write_json, write_text

if TYPE_CHECKING:
    from huggingface_hub.errors import HfHubHTTPError

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
    sources = {name: inside(adapter, name) for name in SHARED}
    if card.is_file():
        sources["README.md"] = inside(card.parent, card.name)
    return [Upload(path, name) for name, path in sources.items() if path.is_file()]


def push(files: list[Upload], repository: str, private: bool) -> str:
    """Create the repository where it is not there, upload the files in one commit, and return its address.

    Raises:
        InputError: the name is no repository name, nobody is logged in, the hub refused (the card, say) or was not
            reached.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    # The error that the client's HTTP library raises without an answer; which library it is depends on the version.
    no_answer: Any = HfHubHTTPError.__mro__[1]
    hub = HfApi()
    try:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for file in files:
                _copy(file.source, folder / file.name)
            # None, not False, where it was not asked for: an organisation may make its repositories private by itself.
            address = hub.create_repo(repository, private=private or None, exist_ok=True)
            hub.upload_folder(
                repo_id=address.repo_id,
                folder_path=folder,
                allow_patterns=list(SHARED),
                commit_message="Upload the adapter and its card",
            )
    except HFValidationError as error:
        raise InputError(f"--repo {repository}: not a repository name: {_line(error)}") from None
    except HfHubHTTPError as error:
        raise InputError(f"--repo {repository}: the hub refused: {_answer(error)}; {_cure(error)}") from None
    except (no_answer, ConnectionError) as error:
        cure = "check the network, HF_HUB_OFFLINE and HF_ENDPOINT"
        raise InputError(f"the hub at {hub.endpoint} was not reached: {_line(error)}; {cure}") from None
    except ValueError as error:  # what the client makes of a card whose front matter the hub does not take
        if "README.md" not in str(error):
            raise
        raise InputError(f"{_line(error)}; correct the front matter of {_card(files)}") from None
    return str(address)


def _copy(source: Path, target: Path) -> None:
    """Copy a file; what may hold paths of this machine as it may leave it, byte for byte where it holds none."""
    if source.suffix == ".safetensors":
        shutil.copyfile(source, target)
        return
    text = source.read_text(encoding="utf-8")
    try:
        content = json.loads(text) if source.suffix == ".json" else text
    except (ValueError, RecursionError):
        content = text
    told = without_machine_paths(content)
    if told == content:
        shutil.copyfile(source, target)
    elif isinstance(told, str):
        write_text(target, told)
    else:
        write_json(target, told)


def _answer(error: HfHubHTTPError) -> str:
    said = error.server_message or error.response.reason_phrase
    return f"{error.response.status_code}, {' '.join(said.split())[:200].rstrip('.')}"


def _cure(error: HfHubHTTPError) -> str:
    status = error.response.status_code
    if status == 401:
        return "run `hf auth login` with a token that may write"
    if status in (403, 404):
        return "name a repository of yours as USER/NAME, and use a token that may write to it"
    return "try again later"


def _card(files: list[Upload]) -> Path:
    return next(file.source for file in files if file.name == "README.md")


def show(files: list[Upload], repository: str) -> None:
    """Print what would go."""
    from rich.table import Table

    from common.progress import plain_console

    grid = Table("file", "bytes", title=f"to {repository}", title_justify="left")
    for file in files:
        grid.add_row(file.name, f"{file.bytes:,}")
    grid.add_row("all", f"{sum(file.bytes for file in files):,}")
    plain_console().print(grid)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
