"""Fetching from a hub that is there, refuses, breaks off, or is gone: the local hub of the tests answers for real."""

from __future__ import annotations

import re
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from huggingface_hub import constants

from common.errors import LONGEST, InputError
from data_prep.inputs import hub_errors
from data_prep.inputs.hub import WORKERS, fetch_dataset, fetch_model
from tests.support.cendol_rows import question_rows, write_rows
from tests.support.hub.server import NARROW, READER, STRANGER, Hub, Repository, client_of, etag_of, running_hub

NAME, ROWS = "owner/model", "owner/rows"
SHARDS = {f"model-{number:05d}-of-00006.safetensors": bytes([number]) * 300_000 for number in range(1, 7)}
FILES = {"config.json": b"{}", "vocab.txt": b"a\n", "README.md": b"", "modeling.py": b"raise SystemExit", **SHARDS}
FETCHED = {"config.json", "vocab.txt", *SHARDS}


@pytest.fixture
def model() -> Repository:
    return Repository.of(NAME, dict(FILES))


@pytest.fixture
def rows(tmp_path: Path) -> Repository:
    content = write_rows(tmp_path / "rows.parquet", question_rows(2)).read_bytes()
    names = ("data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet", "data/test.parquet")
    return Repository.of(ROWS, dict.fromkeys(names, content) | {"README.md": b""}, "dataset")


@pytest.fixture
def hub(model: Repository, rows: Repository, tmp_path: Path, waits: list[float]) -> Iterator[Hub]:
    with running_hub(model, rows) as server, client_of(server, tmp_path / "cache"):
        yield server


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What we and the client would have waited for, which nobody waits for here."""
    waited: list[float] = []
    monkeypatch.setattr("time.sleep", waited.append)
    monkeypatch.setattr(hub_errors, "now", lambda: sum(waited))
    return waited


def fault(name: str = NAME, revision: str | None = None) -> str:
    """The one sentence of a failed fetch."""
    with pytest.raises(InputError) as caught:
        fetch_model(name, revision)
    [said] = caught.value.faults
    assert len(said) < LONGEST  # nothing was cut
    return said


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# --- what is fetched --------------------------------------------------------------------------------------------------


def test_a_revision_is_resolved_and_what_a_model_needs_arrives(hub: Hub, model: Repository) -> None:
    snapshot = fetch_model(NAME, "main")
    assert snapshot.revision == model.commit
    assert contents(snapshot.folder) == {name: FILES[name] for name in FETCHED}


@pytest.mark.parametrize(
    "name", ["../../evil.json", "/tmp/evil.json", "a/../../evil.json", "a\\..\\evil.json", "a\x1b.json"]
)
def test_a_file_that_would_leave_the_folder_is_not_fetched(tmp_path: Path, waits: list[float], name: str) -> None:
    strange = Repository.of(NAME, FILES | {name: b"{}"})
    with running_hub(strange) as server, client_of(server, tmp_path / "cache"):
        assert "no name within a folder; not fetched" in fault()
        assert not server.asked("GET /owner/model/resolve/*")
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith("evil")]


def test_a_token_does_not_travel_to_the_storage(hub: Hub, tmp_path: Path) -> None:
    with client_of(hub, tmp_path / "other", READER):
        fetch_model(NAME, None)
    assert {one.token for one in hub.asked("GET /storage/*")} == {None}
    assert {one.token for one in hub.asked("* /owner/*")} == {READER}


def test_pickled_weights_come_only_where_there_are_no_others(tmp_path: Path, waits: list[float]) -> None:
    files = {"config.json": b"{}", "pytorch_model.bin": b"weights", "training_args.bin": b"settings"}
    both = Repository.of("owner/both", files | {"model.safetensors": b"weights"})
    with running_hub(Repository.of(NAME, files), both) as server, client_of(server, tmp_path):
        assert set(contents(fetch_model(NAME, None).folder)) == {"config.json", "pytorch_model.bin"}
        assert set(contents(fetch_model("owner/both", None).folder)) == {"config.json", "model.safetensors"}


def test_the_files_of_a_split_are_fetched_alone(hub: Hub, rows: Repository, tmp_path: Path) -> None:
    snapshot = fetch_dataset(ROWS, None, tmp_path / "converted")
    assert [path.name for path in snapshot.files] == ["train-00000-of-00002.parquet", "train-00001-of-00002.parquet"]
    assert hub.asked("* *test.parquet") == []
    assert snapshot.revision == rows.commit


# --- without the hub --------------------------------------------------------------------------------------------------


@contextmanager
def offline(hub: Hub) -> Iterator[None]:
    hub.fail("*")
    before = len(hub.requests)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "HF_HUB_OFFLINE", True)
        yield
    assert len(hub.requests) == before
    hub.mend()


@pytest.mark.parametrize("revision", [None, "main", "v1", "commit"])
def test_what_was_fetched_is_found_again_without_the_hub(hub: Hub, model: Repository, revision: str | None) -> None:
    model.refs["v1"] = model.commit
    revision = model.commit if revision == "commit" else revision
    fetched = fetch_model(NAME, revision)
    with offline(hub):
        assert fetch_model(NAME, revision) == fetched
    hub.fail("*")  # no answer at all, instead of the setting
    assert fetch_model(NAME, revision) == fetched


def test_one_split_of_a_dataset_is_found_again_without_the_others(hub: Hub, tmp_path: Path) -> None:
    fetched = fetch_dataset(ROWS, None, tmp_path / "converted")
    with offline(hub):
        again = fetch_dataset(ROWS, None, tmp_path / "converted")
        assert (again, again.files) == (fetched, fetched.files)
        with pytest.raises(InputError, match="its cache holds 0 of 1 files; connect and run again"):
            fetch_dataset(ROWS, None, tmp_path / "converted", split="test")


def test_half_a_download_is_not_taken_for_the_whole_without_the_hub(hub: Hub, model: Repository) -> None:
    hub.fail("GET /storage/*", 503)
    fault()
    hub.fail("*")
    assert re.search(r"its cache holds [0-2] of 8 files; connect and run again", fault(revision=model.commit))


def test_a_name_of_a_revision_stays_within_the_cache(hub: Hub, model: Repository, tmp_path: Path) -> None:
    outside = "../../../../outside"
    model.refs[outside] = model.commit
    fetch_model(NAME, outside)
    assert not list(tmp_path.rglob("outside"))


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", [None, READER, STRANGER, NARROW, "hf_expired"])
def test_a_gated_repository_names_the_cure_for_each_token(
    hub: Hub, model: Repository, tmp_path: Path, token: str | None, waits: list[float]
) -> None:
    model.gated = True
    with client_of(hub, tmp_path / "cache", token):
        if token == READER:
            assert set(contents(fetch_model(NAME, None).folder)) == FETCHED
            return
        said = fault()
    page = f"{hub.address}/{NAME}"
    assert {
        None: f"gated; accept its licence at {page}, then log in here with the same account (`hf auth login`)",
        STRANGER: f"your account has no access; accept its licence at {page} with that account",
        NARROW: f"403, Please enable access to public gated repositories in your fine-grained token settings); "
        f"allow it that at {hub.address}/settings/tokens",
        "hf_expired": "the hub does not accept your token (401): it is wrong or has expired; log in with a new one",
    }[token] in said
    assert waits == []  # a refusal does not pass


def test_a_gated_dataset_is_named_by_its_own_page(hub: Hub, rows: Repository, tmp_path: Path) -> None:
    rows.gated = True
    with pytest.raises(InputError, match=f"accept its licence at {hub.address}/datasets/{ROWS}, then"):
        fetch_dataset(ROWS, None, tmp_path / "converted")


@pytest.mark.parametrize("token", [None, STRANGER])
def test_a_private_or_missing_repository_is_said_to_be_either(
    hub: Hub, model: Repository, tmp_path: Path, token: str | None
) -> None:
    model.private = True
    with client_of(hub, tmp_path / "cache", token):
        for name in (NAME, "owner/none"):
            assert "no repository on the hub that you may see: check the name; if it is private, log in" in fault(name)


def test_an_unknown_revision_is_named_and_a_short_commit_explained(hub: Hub, model: Repository) -> None:
    assert fault(revision="v9").endswith("the hub knows no such revision: v9")
    short = model.commit[:7]
    assert fault(revision=short).endswith(f": {short}; write a commit with all of its 40 characters")


def test_a_disabled_repository_is_said_to_be(hub: Hub, waits: list[float]) -> None:
    hub.fail("* /owner/*", 403, message="Access to this resource is disabled.")
    assert "the hub has disabled this repository" in fault()
    assert waits == []


# --- what may pass ----------------------------------------------------------------------------------------------------

EVERY_REQUEST = ("GET /api/models/owner/model*", "GET /api/*/tree/*", "HEAD *", "GET /owner/*", "GET /storage/*")


@pytest.mark.parametrize("request_", EVERY_REQUEST)
@pytest.mark.parametrize("status", [0, 429, 503])
def test_a_fault_that_passes_is_tried_again(hub: Hub, request_: str, status: int) -> None:
    hub.fail(request_, status, times=1)
    assert set(contents(fetch_model(NAME, None).folder)) == FETCHED
    assert hub.faults[0].times == 0


@pytest.mark.parametrize("request_", EVERY_REQUEST)
@pytest.mark.parametrize(("status", "said"), [(0, ""), (429, "429, too many requests"), (503, "it answers 503")])
def test_a_fault_that_stays_ends_in_one_sentence_and_soon(
    hub: Hub, request_: str, status: int, said: str, waits: list[float]
) -> None:
    hub.fail(request_, status)
    sentence = fault()
    assert ("the hub is out of reach" in sentence) == request_.startswith("GET /api")
    if not request_.startswith("GET /api"):
        assert said in sentence
        assert "of 8 files are whole and stay, the others begin anew" in sentence
    assert sum(waits) / WORKERS < 100  # each worker waits for itself


def test_too_many_requests_wait_as_long_as_the_hub_asks_for(hub: Hub, waits: list[float]) -> None:
    hub.fail("GET /api/models/owner/model", 429, headers={"RateLimit": '"api";r=0;t=55'}, times=1)
    fetch_model(NAME, None)
    assert waits == [55.0]


def test_too_many_requests_for_ever_say_wait_or_log_in(hub: Hub, waits: list[float]) -> None:
    hub.fail("HEAD *", 429, headers={"Retry-After": "3600"})
    assert "asks for a wait of 3600 s" in (said := fault())
    assert "wait and run again; with an account more are allowed (`hf auth login`)" in said


def test_an_answer_that_is_no_json_is_a_login_page(hub: Hub) -> None:
    hub.fail("GET /api/models/owner/model", page=b"<html>Selamat datang</html>")
    assert "whether a proxy or a login page of your network answers instead" in fault()


# --- cut, full, Xet ---------------------------------------------------------------------------------------------------


def test_a_connection_cut_inside_a_shard_goes_on_where_it_broke(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 50_000)  # the client keeps whole pieces, of 10 MB otherwise
    hub.fail("GET /storage/*", cut=100_000, times=1)
    assert set(contents(fetch_model(NAME, None).folder)) == FETCHED
    assert [one.range for one in hub.asked("GET /storage/*") if one.range] == ["bytes=100000-"]


def test_what_is_whole_stays_and_is_not_fetched_again(hub: Hub) -> None:
    last = etag_of("6.safetensors", list(SHARDS.values())[5])
    hub.fail(f"GET /storage/{last}", 503)
    assert "7 of 8 files are whole and stay, the others begin anew" in fault()
    hub.mend()
    before = len(hub.requests)
    assert contents(fetch_model(NAME, None).folder)["config.json"] == b"{}"
    assert [one.path for one in hub.requests[before:] if one.path.startswith("/storage/")] == [f"/storage/{last}"]


def test_at_most_two_files_are_in_progress(hub: Hub) -> None:
    hub.fail("GET /storage/*", slow=0.1)
    fetch_model(NAME, None)
    assert hub.most_at_once == WORKERS == 2


def test_a_full_disk_is_said_at_once_and_with_its_place(hub: Hub, tmp_path: Path, waits: list[float]) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))  # a shard has 300,000 bytes
    try:
        said = fault()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert f"no space left in {tmp_path / 'cache' / 'hub'}" in said
    assert "in HF_HOME, then run again" in said
    assert waits == []


@pytest.mark.parametrize("status", [0, 404, 503])
def test_where_xet_storage_fails_plain_http_takes_over(
    hub: Hub, model: Repository, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("hf_xet")
    model.xet = True
    hub.fail("* /xet/*", status)
    assert set(contents(fetch_model(NAME, None).folder)) == FETCHED
    assert len(hub.asked("* /xet/*")) > 0
    said = capsys.readouterr()
    assert "Xet storage failed" in said.out + said.err


def test_where_plain_http_fails_too_there_is_one_sentence(hub: Hub, model: Repository) -> None:
    pytest.importorskip("hf_xet")
    model.xet = True
    hub.fail("GET /storage/*", 503)
    hub.fail("* /xet/*", 404)
    assert re.search(r"[0-2] of 8 files are whole and stay, the others begin anew", fault())
