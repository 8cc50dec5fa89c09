"""A change of the code that trains never continues an old run; a change of other code does not stop one."""

import shutil
from pathlib import Path

import pytest

from adapters.config import MethodConfig, ModelConfig
from tests.support.imports import REPOSITORY
from training.config import TrainConfig
from training.run.fingerprint import CODE, code_files, code_hash, deciding, run_settings

ELSEWHERE = ("eval/report/verdict.py", "chat/terminal.py", "pipeline/commands/status.py", "llada/sampling/engine.py")


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The code that trains, and some that does not."""
    root = tmp_path_factory.mktemp("code")
    for path in [*code_files(), *(REPOSITORY / name for name in ELSEWHERE)]:
        target = root / path.relative_to(REPOSITORY)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    return root


def hash_with(root: Path, name: str, more: str) -> str:
    """The hash while a file has one line more."""
    path = root / name
    text = path.read_text(encoding="utf-8")
    path.write_text(f"{text}\n{more}\n", encoding="utf-8")
    try:
        return code_hash(root)
    finally:
        path.write_text(text, encoding="utf-8")


def test_the_hash_is_that_of_the_code_wherever_it_lies(copy: Path) -> None:
    assert code_hash(copy) == code_hash()


@pytest.mark.parametrize(
    "name",
    [
        "llada/diffusion/noise.py",
        "llada/diffusion/cross_entropy.py",
        "llada/network/modeling.py",
        "adapters/forward.py",
        "training/batching.py",
        "common/files.py",
        "pipeline/stages/train.py",
    ],
)
def test_an_edit_of_the_code_that_trains_changes_the_hash(copy: Path, name: str) -> None:
    assert hash_with(copy, name, "CHANGED = 1") != code_hash()
    assert hash_with(copy, name, "# a comment") == code_hash()


@pytest.mark.parametrize("name", ELSEWHERE)
def test_an_edit_elsewhere_does_not(copy: Path, name: str) -> None:
    assert hash_with(copy, name, "CHANGED = 1") == code_hash()


def test_every_place_holds_code() -> None:
    for place in CODE:
        assert any(path.is_relative_to(REPOSITORY / place) for path in code_files()), place


def test_where_training_ends_by_validations_their_interval_decides() -> None:
    def kept(**train: object) -> bool:
        settings = run_settings(ModelConfig(), TrainConfig.model_validate(train), MethodConfig())
        return "validate_every" in deciding(settings)["train"]

    assert not kept()
    assert kept(early_stopping=3)
    assert kept(levels="importance")
