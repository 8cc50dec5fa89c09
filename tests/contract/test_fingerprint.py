"""What makes an unfinished training start anew is what makes the stage run again."""

import yaml

from tests.support.imports import REPOSITORY, imported_files, stage_file
from training.run.fingerprint import CODE, code_files


def test_the_code_of_a_training_is_the_code_that_its_stage_depends_on() -> None:
    graph = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text(encoding="utf-8"))
    declared = [path for path in graph["stages"]["train"]["deps"] if not path.startswith("artifacts/")]
    assert list(CODE) == declared


def test_every_file_that_a_training_imports_counts() -> None:
    assert imported_files(stage_file("train")) <= set(code_files())
