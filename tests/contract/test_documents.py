"""What the documents say can be done, can be done: commands, options, settings, messages, diffs, links.

Every command in a ```bash block is run here, or is known to be run by another test, or says in a comment what it needs
("# needs a GPU", "# after dvc repro"); whether it is run or not, its options and settings exist.
"""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
import typer

from pipeline.application import app
from pipeline.commands.chat import read_sampler_flags
from pipeline.commands.train import app as training
from pipeline.profile import load_profile
from tests.support.imports import PACKAGES, REPOSITORY

DOCUMENTS = [
    *(REPOSITORY / name for name in ("README.md", "README.id.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((REPOSITORY / "docs").glob("*.md")),
]
ELSEWHERE = {  # command -> the test that runs it, or what it is
    "make repro": "tests/end_to_end/test_main_job.py runs the same graph",
    "make test": "this very run",
    "dvc repro": "tests/end_to_end/test_main_job.py",
    "pytest": "this very run",
}
NEEDS = re.compile(r"\b(needs|after|perlu|setelah)\b")  # README.id.md is in Indonesian


@dataclass(frozen=True)
class Command:
    """One command of a document, without its comment."""

    document: str
    words: tuple[str, ...]
    comment: str

    def __str__(self) -> str:
        return f"{self.document}: {' '.join(self.words)}"


def commands_of(document: Path) -> list[Command]:
    """Commands of the bash blocks; a block's first line may be a comment for all of it."""
    found = []
    for block in re.findall(r"^```bash\n(.*?)^```", document.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE):
        lines = block.replace("\\\n", " ").splitlines()
        common = lines[0] if lines[0].startswith("#") else ""
        for line in lines:
            text, _, comment = line.partition(" #") if not line.startswith("#") else ("", "", "")
            for part in re.split(r" && | \| ", text) if text.strip() else []:
                words = shlex.split(part.partition(" > ")[0])
                found.append(Command(document.name, tuple(words), f"{common} {comment}"))
    return found


built = cache(typer.main.get_command)
COMMANDS = [command for document in DOCUMENTS for command in commands_of(document)]
OURS = [command for command in COMMANDS if {"pipeline", "train_adapter.py"} & set(command.words)]


def test_there_are_commands_in_every_guide() -> None:
    assert {"README.md", "README.id.md", "CONTRIBUTING.md", "chat.md", "multi-gpu.md"} <= {c.document for c in COMMANDS}
    assert len(OURS) > 15


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_a_command_is_run_by_a_test_or_says_what_it_needs(command: Command) -> None:
    plain = " ".join(command.words)
    if plain == "python -m pipeline.reference" or plain in ELSEWHERE:
        return  # tests/contract/test_reference.py runs the former
    assert NEEDS.search(command.comment), f"{command}: say behind it what it needs, or run it in a test"


@pytest.mark.parametrize("command", OURS, ids=str)
def test_options_profile_and_settings_of_a_command_exist(command: Command) -> None:
    words = list(command.words)
    if "train_adapter.py" in words:
        launcher, arguments = words[: words.index("train_adapter.py")], words[words.index("train_adapter.py") + 1 :]
        if "--config_file" in launcher:
            assert (REPOSITORY / launcher[launcher.index("--config_file") + 1]).is_file()
        known = built(training)
    else:
        group = built(app)
        name, arguments = words[words.index("pipeline") + 1], words[words.index("pipeline") + 2 :]
        assert name in group.commands, f"no such command: {name}"  # type: ignore[attr-defined]
        known = group.commands[name]  # type: ignore[attr-defined]
    context = known.make_context("documented", arguments, resilient_parsing=False)  # raises for unknown options
    read_sampler_flags(context.args)  # as does this, for what chat and demo take besides
    values = context.params
    profile = load_profile(values.get("profile") or "mini", values.get("overrides") or ())
    method = values.get("method")
    assert method in (None, "base") or profile.method(method)


def test_a_documented_experiment_names_a_profile() -> None:
    chosen = [word for command in COMMANDS for word in command.words if word.startswith("profile=")]
    assert {"profile=llada-8b", "profile=kcv-2025"} <= set(chosen)
    for word in chosen:
        load_profile(word.removeprefix("profile="))


@pytest.mark.parametrize("number", range(3), ids=["a method", "a metric", "a sampling rule"])
def test_a_diff_in_contributing_applies(number: int) -> None:
    text = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
    diffs = re.findall(r"^```diff\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert len(diffs) == 3
    check = ["git", "apply", "--check", "-"]
    found = subprocess.run(check, cwd=REPOSITORY, input=diffs[number], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr


def test_every_hint_at_an_installation_names_an_extra_that_there_is() -> None:
    """By its path, `.[demo]`: the project is on no index, so its name would find nothing, or something else."""
    pyproject = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    sources = [file for package in PACKAGES for file in (REPOSITORY / package).rglob("*.py")]
    hints = [
        hint
        for path in [*DOCUMENTS, *sources, REPOSITORY / "Makefile"]
        for hint in re.findall(r"""pip install ([^`"#\n]+)""", path.read_text(encoding="utf-8"))
    ]
    named = {extra for hint in hints for extras in re.findall(r"\.\[([\w,-]+)\]", hint) for extra in extras.split(",")}
    extras = pyproject["project"]["optional-dependencies"].keys()
    assert {"demo", "ray", "gguf", "bertscore", "lm-eval"} <= named <= extras
    assert not [hint for hint in hints if pyproject["project"]["name"] in hint]


@cache
def messages_in_the_code() -> tuple[str, ...]:
    """Every string of ours, the values that an f-string puts in left out as a zero character."""
    found = []
    for path in [file for package in PACKAGES for file in (REPOSITORY / package).rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else "\0" for part in node.values]
                found.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return tuple(found)


def documented_messages() -> list[str]:
    lines = (REPOSITORY / "docs" / "troubleshooting.md").read_text(encoding="utf-8").splitlines()
    cells = [line.split("|")[1] for line in lines if line.startswith("| `") and "(from DVC)" not in line]
    return [message for cell in cells for message in re.findall(r"`([^`]+)`", cell)]


@pytest.mark.parametrize("message", documented_messages())
def test_a_documented_message_is_one_of_the_code(message: str) -> None:
    fragments = [part.strip() for part in message.split("...") if len(part.strip()) > 3]
    assert fragments
    for fragment in fragments:
        assert any(fragment in text for text in messages_in_the_code()), fragment


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_to_files(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", document.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (document.parent / target).exists(), target


def test_the_configuration_reference_is_printed_by_its_command() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "pipeline.reference"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert result.stdout == (REPOSITORY / "docs" / "configuration.md").read_text(encoding="utf-8")
