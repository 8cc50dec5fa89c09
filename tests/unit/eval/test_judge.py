"""A judge on a server of our own, in both orders; BERTScore's interface."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.errors import InputError
from common.files import write_json_lines
from eval.judge import Judge, Pair, compare_answers, parse_verdict, read_pairs

PAIRS = [Pair(str(i), f"Soal {i}?", "acuan", "panjang sekali " * (i + 1), "pendek") for i in range(12)]


@contextmanager
def server(decide: Callable[[str, str], str]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A chat completions server that answers by `decide(answer A, answer B)`; and what it was asked."""
    asked: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append({"path": self.path, "key": self.headers.get("Authorization"), **body})
            text = body["messages"][0]["content"]
            first = text.partition("Jawaban A:\n")[2].partition("\n\nJawaban B:")[0]
            second = text.partition("Jawaban B:\n")[2].partition("\n\nTulis")[0]
            content = json.dumps({"choices": [{"message": {"content": decide(first, second)}}]}).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    running = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{running.server_port}/v1", asked
    finally:
        running.shutdown()
        thread.join()
        running.server_close()


def longer(first: str, second: str) -> str:
    return "A" if len(first) > len(second) else "B."


def test_a_judge_that_knows_what_it_wants_wins_in_both_orders(tmp_path: Path) -> None:
    with server(longer) as (url, asked):
        judge = Judge(url, "m", "secret", tmp_path / "verdicts.jsonl")
        first, second = judge.score(PAIRS)
        assert first.tolist() == [1.0] * 12
        assert second.tolist() == [0.0] * 12
        assert len(asked) == 24
        assert {request["path"] for request in asked} == {"/v1/chat/completions"}
        assert {request["key"] for request in asked} == {"Bearer secret"}
        assert {request["temperature"] for request in asked} == {0}
        again = Judge(url, "m", "secret", tmp_path / "verdicts.jsonl")
        assert again.score(PAIRS)[0].tolist() == [1.0] * 12
        assert len(asked) == 24  # verdicts that were paid for are kept


def test_a_judge_that_loves_the_first_place_decides_nothing(tmp_path: Path) -> None:
    with server(lambda first, second: "A") as (url, _):
        judge = Judge(url, "m", None, tmp_path / "verdicts.jsonl")
        first, second = judge.score(PAIRS)
    assert not first.any()
    assert not second.any()
    assert judge.changed_with_order == 12


def test_chatter_is_no_verdict_and_equal_answers_are_not_asked_about(tmp_path: Path) -> None:
    same = Pair("s", "Soal?", "acuan", "sama", "sama")
    with server(lambda first, second: "Menurut saya keduanya baik.") as (url, asked):
        judge = Judge(url, "m", None, tmp_path / "verdicts.jsonl")
        judge.score([*PAIRS[:1], same])
    assert judge.unclear == 1
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("answer", "verdict"), [(" a.", 1), ("**B**", -1), ("sama", 0), ("A lebih baik", None), ("", None)]
)
def test_only_a_bare_verdict_counts(answer: str, verdict: int | None) -> None:
    assert parse_verdict(answer) == verdict


def test_what_is_written_is_the_paired_comparison(tmp_path: Path) -> None:
    with server(longer) as (url, _):
        judge = Judge(url, "m", None, tmp_path / "verdicts.jsonl")
        output = tmp_path / "judge.json"
        comparison = compare_answers(judge, ("lora", "base"), PAIRS, output, resamples=200, permutations=999, seed=0)
    written = json.loads(output.read_text())
    assert written["means"] == {"lora": 1.0, "base": 0.0}
    assert written["comparison"]["difference"] == comparison.difference == 1.0
    # all twelve one way: two of the 4,096 sign patterns are as extreme
    assert comparison.p == pytest.approx(2 / 4096, abs=3e-3)
    rows = [json.loads(line) for line in output.with_suffix(".jsonl").read_text().splitlines()]
    assert [row["lora"] for row in rows] == [1.0] * 12


def test_a_dead_server_is_named_and_the_verdicts_before_it_are_kept(tmp_path: Path) -> None:
    kept = tmp_path / "verdicts.jsonl"
    with server(longer) as (url, _):
        Judge(url, "m", None, kept).score(PAIRS[:3])
    with pytest.raises(InputError, match=r"127\.0\.0\.1.*what was judged is kept"):
        Judge(url, "m", None, kept).score(PAIRS)
    assert len(kept.read_text().splitlines()) == 6


def test_evaluations_on_different_items_cannot_be_paired(tmp_path: Path) -> None:
    row = {"prompt": "p", "reference": "r", "answer": "a"}
    for name, ids in (("one", "ab"), ("two", "ac")):
        (tmp_path / name).mkdir()
        write_json_lines(tmp_path / name / "items.jsonl", [{"id": key, **row} for key in ids])
    with pytest.raises(InputError, match="different items"):
        read_pairs(tmp_path / "one", tmp_path / "two")
    assert read_pairs(tmp_path / "one", tmp_path / "one", limit=1) == [Pair("a", "p", "r", "a", "a")]


def test_bertscore_of_the_package_prefers_the_reference_itself(tmp_path: Path) -> None:
    pytest.importorskip("bert_score", reason="bert-score is not installed")
    from eval.judge import BertScore
    from tests.support.cendol_rows import write_encoder

    encoder = write_encoder(tmp_path / "encoder")
    pairs = [Pair("1", "q", "saya makan nasi di rumah", "saya makan nasi di rumah", "burung terbang tinggi")]
    first, second = BertScore(str(encoder), layer=1).score(pairs)
    np.testing.assert_allclose(first, 1.0, atol=1e-5)
    assert second[0] < first[0]
