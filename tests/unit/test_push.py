"""Sharing an adapter: exactly its own files go, through the hub's client, and never data."""

from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub.errors import HFValidationError, LocalTokenNotFoundError

from adapters.push import SHARED, push, uploads
from common.errors import InputError

DATA = ("train.parquet", "items.jsonl", "optimizer.safetensors", "inputs.json")


class FakeHub:
    """Remembers what was asked of it."""

    calls: list[tuple[str, dict]]
    failure: Exception | None = None

    def __init__(self) -> None:
        FakeHub.calls = []

    def create_repo(self, repo_id: str, *, private: bool, exist_ok: bool) -> str:
        if self.failure is not None:
            raise self.failure
        self.calls.append(("create", {"repo": repo_id, "private": private, "exist_ok": exist_ok}))
        return f"https://hub.example/{repo_id}"

    def upload_folder(self, *, repo_id: str, folder_path: Path, allow_patterns: list[str], commit_message: str) -> None:
        sent = {path.name: path.read_text() for path in Path(folder_path).rglob("*")}
        self.calls.append(("upload", {"repo": repo_id, "sent": sent, "patterns": allow_patterns}))


@pytest.fixture
def hub(monkeypatch):
    monkeypatch.setattr(huggingface_hub, "HfApi", FakeHub)
    monkeypatch.setattr(FakeHub, "failure", None)
    return FakeHub


@pytest.fixture
def adapter(tmp_path) -> Path:
    folder = tmp_path / "adapter"
    (folder / "last").mkdir(parents=True)
    for name in (*SHARED, *DATA, "last/adapter_model.safetensors"):
        (folder / name).write_text(f"content of {name}")
    return folder


def test_only_the_adapters_files_go(adapter, tmp_path, hub):
    files = uploads(adapter, tmp_path / "no-card.md")
    assert push(files, "me/mine", private=True) == "https://hub.example/me/mine"
    (_, created), (_, uploaded) = hub.calls
    assert created == {"repo": "me/mine", "private": True, "exist_ok": True}
    assert uploaded["sent"] == {name: f"content of {name}" for name in SHARED}
    assert set(uploaded["patterns"]) == set(SHARED)


def test_the_reports_card_is_the_readme(adapter, tmp_path, hub):
    card = tmp_path / "card.md"
    card.write_text("the evaluated card")
    push(uploads(adapter, card), "me/mine", private=False)
    assert hub.calls[1][1]["sent"]["README.md"] == "the evaluated card"


def test_sizes_are_the_files_own(adapter, tmp_path):
    for file in uploads(adapter, tmp_path / "none"):
        assert file.bytes == len(f"content of {file.name}")


def test_a_folder_without_weights_is_named(adapter, tmp_path):
    (adapter / "adapter_model.safetensors").unlink()
    with pytest.raises(InputError, match=r"adapter_model.safetensors: no such file"):
        uploads(adapter, tmp_path / "none")


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (HFValidationError("bad name"), "not a repository name"),
        (LocalTokenNotFoundError("no token"), "hf auth login"),
        (ConnectionError("unreachable"), "was not reached: unreachable"),
    ],
)
def test_refusals_are_the_users_to_cure(adapter, tmp_path, hub, monkeypatch, failure, words):
    monkeypatch.setattr(hub, "failure", failure)
    with pytest.raises(InputError, match=words):
        push(uploads(adapter, tmp_path / "none"), "me/mine", private=False)
