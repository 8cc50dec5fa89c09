"""Sharing an adapter: exactly its own files arrive at a hub, byte for byte, and never data."""

import json
import os
import socket
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest
from huggingface_hub import constants
from typer.testing import CliRunner

from common.errors import InputError
from pipeline.application import app
from release.push import SHARED, uploads
from tests.support.hub.uploads import TOKEN, Hub, running_hub
from tests.support.imports import REPOSITORY

DATA = ("train.parquet", "items.jsonl", "optimizer.safetensors", "inputs.json")
ROOT = REPOSITORY


@pytest.fixture
def hub(monkeypatch):
    with running_hub() as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.address)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # xet would ask for a server of its own
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)  # which all other tests run with
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield server


@pytest.fixture
def adapter(tmp_path) -> Path:
    folder = tmp_path / "adapters" / "lora"
    (folder / "last").mkdir(parents=True)
    for name in (*SHARED, *DATA, "last/adapter_model.safetensors"):
        (folder / name).write_text(f"content of {name}")
    return folder


def digest(content: bytes) -> str:
    return sha256(content).hexdigest()


def push(adapter: Path, *words: str, repository: str = "me/mine"):
    where = ["--artifacts", str(adapter.parents[1]), "--profile", "mini"]
    return CliRunner().invoke(app, ["push", "--method", "lora", "--repo", repository, *where, *words])


def assert_only_the_adapter_arrived(hub: Hub) -> None:
    wanted = {name: digest(f"content of {name}".encode()) for name in SHARED}
    assert {name: digest(content) for name, content in hub.files.items()} == wanted
    assert set(hub.stored) == {wanted["adapter_model.safetensors"]}  # by git-lfs its weights alone
    assert hub.unexpected == []
    assert not [body for body in hub.bodies for name in (*DATA, "last/") if name.encode() in body]


def test_the_command_sends_the_adapters_files_and_nothing_else(adapter, hub):
    """As a user runs it: another process, the hub named by HF_ENDPOINT."""
    environment = os.environ | {"HF_ENDPOINT": hub.address, "HF_HUB_DISABLE_XET": "1", "HF_HUB_OFFLINE": "0"}
    command = [sys.executable, "-m", "pipeline", "push", "--method", "lora", "--repo", "me/mine", "--profile", "mini"]
    command += ["--artifacts", str(adapter.parents[1]), "--private"]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == f"{hub.address}/me/mine"
    assert hub.created == {"name": "mine", "organization": "me", "visibility": "private"}
    assert_only_the_adapter_arrived(hub)


def test_a_repository_is_as_visible_as_its_owner_has_it_unless_private_is_asked_for(adapter, hub):
    assert push(adapter).exit_code == 0
    assert hub.created == {"name": "mine", "organization": "me"}


def test_a_name_alone_is_the_users_own_repository(adapter, hub):
    result = push(adapter, repository="mine")
    assert result.exit_code == 0, result.output
    assert hub.created == {"name": "mine", "organization": None}
    assert_only_the_adapter_arrived(hub)


def test_the_reports_card_is_the_readme(adapter, hub):
    card = adapter.parents[1] / "report" / "cards" / "lora" / "README.md"
    card.parent.mkdir(parents=True)
    card.write_text("the evaluated card")
    push(adapter)
    assert hub.files["README.md"] == b"the evaluated card"


def test_paths_of_this_machine_and_links_out_of_the_folder_stay(adapter, hub, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", "/data/people/budi")
    run = {"init_from": {"path": "/data/people/budi/old/lora"}, "provenance": {"command": "x /data/people/budi/rows"}}
    (adapter / "run.json").write_text(json.dumps(run))
    (adapter / "README.md").write_text("made in /data/people/budi/work")
    assert push(adapter).exit_code == 0
    assert json.loads(hub.files["run.json"]) == {"init_from": {"path": "lora"}, "provenance": {"command": "x ~/rows"}}
    assert hub.files["README.md"] == b"made in ~/work"
    assert hub.files["curve.csv"] == b"content of curve.csv"
    (tmp_path / "key").write_text("private")
    (adapter / "run.json").unlink()
    (adapter / "run.json").symlink_to(tmp_path / "key")
    assert "leads out of the folder" in refusal(push(adapter))


def test_a_dry_run_asks_the_hub_nothing(adapter, hub):
    result = push(adapter, "--dry-run")
    assert result.exit_code == 0
    assert all(name in result.output for name in SHARED)
    assert not [name for name in DATA if name in result.output]
    assert hub.bodies == []


def refusal(result) -> str:
    """The one line on stderr of a command that ended with status 2."""
    assert result.exit_code == 2, result.output
    [line] = result.stderr.splitlines()
    return line


def test_a_name_that_is_none_is_refused_before_anything_is_asked(adapter, hub):
    assert "not a repository name" in refusal(push(adapter, repository="me/not a name"))
    assert hub.bodies == []


@pytest.mark.parametrize("token", ["hf_expired", None])
def test_a_token_that_may_not_write_is_the_users_to_cure(adapter, hub, monkeypatch, token):
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(adapter / "no-token"))
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    assert "hf auth login" in refusal(push(adapter))
    assert (hub.files, hub.stored) == ({}, {})


def test_a_repository_that_is_not_the_users_is_named(adapter, hub):
    line = refusal(push(adapter, repository="them/theirs"))  # created, it says, but there is nothing to commit to
    assert "them/theirs" in line
    assert "404" in line


def test_a_card_that_the_hub_refuses_is_named(adapter, hub):
    hub.invalid_card = '"language" must be an array'
    line = refusal(push(adapter))
    assert "README.md" in line
    assert '"language" must be an array' in line


def test_no_network_is_said(adapter, hub, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{free.getsockname()[1]}")
    line = refusal(push(adapter))
    assert "was not reached" in line
    assert "HF_ENDPOINT" in line


def test_sizes_are_the_files_own(adapter, tmp_path):
    for file in uploads(adapter, tmp_path / "none"):
        assert file.bytes == len(f"content of {file.name}")


def test_a_folder_without_weights_is_named(adapter, tmp_path):
    (adapter / "adapter_model.safetensors").unlink()
    with pytest.raises(InputError, match=r"adapter_model.safetensors: no such file"):
        uploads(adapter, tmp_path / "none")
