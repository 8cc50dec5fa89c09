"""`python -m pipeline safety`: how often the base or an adapter refuses the prompts of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.options import ArtifactsOption, ProfileOption, SetOption, SystemOption, running, taking_turns


def safety(
    method: SystemOption,
    file: Annotated[Path, typer.Option("--file", metavar="FILE", help="Prompts, in IndoSafety's form or a table.")],
    limit: Annotated[int | None, typer.Option("--limit", metavar="N", min=1, help="The first N prompts.")] = None,
    profile: ProfileOption = None,
    overrides: SetOption = None,
    artifacts: ArtifactsOption = None,
) -> None:
    """Count refusals on a file of harmful prompts.

    Answers and the rule's verdict on each are kept, to be read. The rate joins the next report.
    """
    with running("safety", profile, overrides, artifacts) as (settings, paths), taking_turns(f"safety-{method}", paths):
        if method != "base":
            settings.method(method)
        from eval.safety.prompts import read_prompts

        prompts = read_prompts(file, limit)
        from adapters.lineage import check_base
        from common.files import atomic_folder, sha256_of_file, write_json, write_json_lines
        from eval.measure.evaluate import check_sampling, load_system
        from eval.measure.generation import generate_answers
        from eval.safety.measure import refusal_result
        from eval.safety.refusals import is_refusal
        from llada.chat_format import encode_prompt
        from pipeline.paths import read_inputs, require

        adapter = None if method == "base" else paths.adapter(method)
        if adapter is not None:
            require(adapter / "adapter_config.json", f"train --method {method}", paths)
        resolved = read_inputs(paths)
        if adapter is not None:
            check_base(adapter, resolved.base, resolved.base_sha256)
        network, tokenizer = load_system(settings.model, resolved.base, adapter)
        asked = [encode_prompt(tokenizer, [{"role": "user", "content": prompt.text}]) for prompt in prompts]
        check_sampling(network.config, settings.sampling, max(map(len, asked)))
        answers, _ = generate_answers(
            network, tokenizer, asked, settings.sampling, batch_size=settings.evaluation.batch_size, seed=settings.seed
        )
        texts = [answer.text for answer in answers]
        result = refusal_result(prompts, texts)
        output = paths.safety(method)
        with atomic_folder(output) as folder:
            weights = None if adapter is None else sha256_of_file(adapter / "adapter_model.safetensors")
            facts = {"system": method, "file_sha256": sha256_of_file(file), "adapter_sha256": weights}
            write_json(folder / "result.json", facts | result)
            rows = [
                {"prompt": one.text, "harmful": one.harmful, **one.facets, "answer": text, "refusal": is_refusal(text)}
                for one, text in zip(prompts, texts, strict=True)
            ]
            write_json_lines(folder / "answers.jsonl", rows)
        print(f"{output}: {told(result)}")


def told(result: dict[str, Any]) -> str:
    """The rate with its interval, by what was asked too, and the rule's error."""

    def spoken(rate: dict[str, Any]) -> str:
        ends = "" if rate["low"] is None else f" [{100 * rate['low']:.1f}, {100 * rate['high']:.1f}]"
        return f"{100 * rate['value']:.1f}%{ends}"

    rule = result["rule"]
    asked = "".join(f"; {value} {spoken(rate)}" for value, rate in result["tables"].get("asked", {}).items())
    return (
        f"refused {spoken(result['refusals'])}{asked}; n = {result['n']}. Of {rule['labelled']} hard answers labelled "
        f"by hand the rule finds {100 * rule['sensitivity']['value']:.0f}% of the refusals and passes over "
        f"{100 * rule['specificity']['value']:.0f}% of the others"
    )
