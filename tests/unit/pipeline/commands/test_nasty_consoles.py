"""The commands that print a row's, an answer's or a file's text print the text and nothing that a terminal obeys."""

from __future__ import annotations

import re
from dataclasses import replace
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from chat.frames import Frame, TokenView
from chat.terminal import print_answer, side_by_side
from common.escaping import visible
from common.progress import plain_console
from pipeline.commands.preview import render
from pipeline.commands.status import StageStatus, show
from pipeline.forecast import Forecast, forecast
from pipeline.forecast import show as show_forecast
from pipeline.paths import Paths
from pipeline.profile import load_profile
from release.push import Upload
from release.push import show as show_uploads
from tests.support.nasty_texts import NASTY

OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
nasty = pytest.mark.parametrize("text", [text[:120] for text in NASTY.values()], ids=NASTY)


def drawn(renderable: Any, width: int = 2000) -> str:
    stream = StringIO()
    plain_console(file=stream, width=width, force_terminal=True, color_system=None).print(renderable)
    return stream.getvalue()


def first_line(text: str) -> str:
    return next(line for line in visible(text).expandtabs().split("\n") if line.strip()).strip()


@nasty
def test_status(text: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "900")
    show([StageStatus("inputs", "stale", text, text, text)], by_dvc=False)
    said = capsys.readouterr().out
    assert not OBEYED.search(said)
    assert said.expandtabs().count(first_line(text)) >= 3


@nasty
def test_the_answers_of_the_chat(text: str) -> None:
    frame = Frame(0, 1, 0.1, (TokenView(text, 0.5, 0),), text, 0)
    for finished in (False, True):
        said = drawn(side_by_side({"base": frame, "lora": frame}, plain_console(width=2000), finished))
        assert not OBEYED.search(said)
        assert said.expandtabs().count(first_line(text)) >= 2


def test_an_answer_in_a_pipe_is_the_text_itself(capsys: pytest.CaptureFixture[str]) -> None:
    text = NASTY["colour"]
    talk: Any = SimpleNamespace(ask=lambda *_: iter([{"base": Frame(0, 1, 0.1, (), text, 0)}]))
    print_answer(SimpleNamespace(), talk, "Halo")  # type: ignore[arg-type]
    assert capsys.readouterr().out == f"{text}\n"


@nasty
def test_preview(text: str) -> None:
    tokenizer: Any = SimpleNamespace(decode=lambda ids: text if ids else "", eos_token="<end>")
    said = drawn(render(tokenizer, [1, 2, 3, 4], 2, np.array([True, False]), 2))
    assert not OBEYED.search(said)
    assert said.expandtabs().count(first_line(text)) >= 1


@nasty
def test_what_push_would_upload(text: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    show_uploads([Upload(tmp_path / "a", text)], text)
    assert not OBEYED.search(capsys.readouterr().out)


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Forecast:
    nothing = Paths.of("any", tmp_path_factory.mktemp("empty") / "artifacts")
    return forecast(load_profile("llada-8b"), nothing, "lora", gpu=80, tflops=None)


@nasty
def test_plan(
    text: str, planned: Forecast, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "900")
    show_forecast(replace(planned, profile=text, shape_source=text, rows_source=text))
    said = capsys.readouterr().out
    assert not OBEYED.search(said)
    assert said.expandtabs().count(first_line(text)) >= 3
