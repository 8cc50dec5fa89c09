"""`python -m pipeline judge`: two evaluated systems compared by a language model that judges, or by BERTScore."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from common.errors import InputError
from pipeline.options import ArtifactsOption, ProfileOption, SetOption, SystemOption, running, taking_turns


def judge(
    method: SystemOption,
    against: Annotated[str, typer.Option("--against", metavar="N", help="The other system; base is one.")],
    by: Annotated[str, typer.Option("--by", metavar="NAME", help="judge, or bertscore (needs the extra `bertscore`).")],
    model: Annotated[
        str, typer.Option("--model", metavar="NAME", help="The judge's name on its server, or BERTScore's encoder.")
    ],
    layer: Annotated[int, typer.Option("--layer", metavar="N", min=1, help="The layer of BERTScore's encoder.")] = 9,
    url: Annotated[
        str, typer.Option("--url", metavar="URL", help="An OpenAI-compatible server; its key in JUDGE_API_KEY.")
    ] = "http://127.0.0.1:8000/v1",
    limit: Annotated[int | None, typer.Option("--limit", metavar="N", min=1, help="Compare the first N items.")] = None,
    profile: ProfileOption = None,
    overrides: SetOption = None,
    artifacts: ArtifactsOption = None,
) -> None:
    """Compare two evaluated systems by a judging language model."""
    with running("judge", profile, overrides, artifacts) as (settings, paths), taking_turns("judge", paths):
        from eval.judge import BertScore, Judge, compare_answers, read_pairs
        from pipeline.paths import require

        if by not in ("judge", "bertscore"):
            raise InputError(f"--by: {by!r} is neither judge nor bertscore")
        for system in (method, against):
            require(paths.evaluation(system) / "items.jsonl", f"evaluate --method {system}", paths)
        pairs = read_pairs(paths.evaluation(method), paths.evaluation(against), limit)
        kept = paths.scratch / "judge" / "verdicts.jsonl"
        key = os.environ.get("JUDGE_API_KEY")
        output = paths.root / "opinions" / f"{by}-{method}-{against}.json"
        result = compare_answers(
            BertScore(model, layer) if by == "bertscore" else Judge(url, model, key, kept),
            (method, against),
            pairs,
            output,
            resamples=settings.evaluation.bootstrap_resamples,
            permutations=settings.evaluation.permutations,
            seed=settings.seed,
        )
        print(
            f"{by}: {method} minus {against} = {result.difference:+.3f} [{result.low:+.3f}, {result.high:+.3f}], "
            f"p = {result.p:.3f}, n = {result.n}; {output}"
        )
