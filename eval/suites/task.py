"""A task: a suite's file as the profile or the command names it, its questions and its examples read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from common.errors import InputError
from common.files import sha256_of_file
from eval.config import TaskConfig
from eval.suites.formats import SUITES, SuiteFile, read_suite
from eval.suites.questions import Question


@dataclass(frozen=True)
class Task:
    """A task with its questions read. sha256: of its files."""

    config: TaskConfig
    questions: tuple[Question, ...]
    pool: tuple[Question, ...]
    damaged: int
    reason: str
    sha256: tuple[str, ...]

    def told(self) -> str:
        """What was read, in one line."""
        suite = SUITES[self.config.kind]
        groups = len({question.group for question in self.questions})
        parts = [f"{self.config.name}: {len(self.questions)} questions ({suite.title})"]
        if suite.groups and groups < len(self.questions):
            parts.append(f"{groups} groups by {suite.groups}")
        if self.damaged:
            parts.append(f"{self.damaged} damaged rows left out (first: {self.reason})")
        return ", ".join(parts)


def read_task(config: TaskConfig, key: str = "evaluation.tasks") -> Task:
    """Read a task's files.

    Raises:
        InputError: a file is missing or of another form; or examples are wanted and there are too few.
    """
    where = f"{key}: {config.name}"
    path = Path(config.file)
    found = read_suite(config.kind, path, where)
    pool, files = found.shots, [path]
    if config.shots_file is not None:
        files.append(Path(config.shots_file))
        other: SuiteFile = read_suite(config.kind, files[1], where)
        pool = (*other.shots, *other.questions)
    if len(pool) < config.shots:
        raise InputError(
            f"{where}: {config.shots} examples are wanted and {path.name} has {len(pool)} few-shot rows; "
            "name a file of the same form with `shots_file`"
        )
    questions = found.questions[: config.limit]
    hashes = tuple(map(sha256_of_file, files))
    return Task(config, questions, pool, found.damaged, found.reason, hashes)
