"""The model class `llada` for lm-evaluation-harness, so that its tasks run on the base and on adapters.

    python -m eval.harness run --model llada --model_args base=FOLDER,adapter=FOLDER --tasks xcopa_id

Every argument is lm_eval's own. Needs the extra `lm-eval`. Likelihoods are the Monte-Carlo bound of
`llada.diffusion.likelihood` on the same masks for every model, so that choices are ranked by lower
bounds of log p. A bound has no greedy path:
`is_greedy` is always False, and metrics made of it (such as LAMBADA's accuracy) say nothing here.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from common.errors import InputError

if find_spec("lm_eval") is None:
    message = "eval.harness needs lm-evaluation-harness: pip install --editable '.[lm-eval]'"
    if __name__ == "__main__":
        print(message, file=sys.stderr)
        sys.exit(2)
    raise ImportError(message)

from lm_eval.api.instance import Instance  # pyright: ignore[reportMissingImports]
from lm_eval.api.model import LM  # pyright: ignore[reportMissingImports]
from lm_eval.api.registry import register_model  # pyright: ignore[reportMissingImports]

from adapters.config import ModelConfig
from adapters.lineage import check_base
from common.files import sha256_of_model_folder
from eval.measure.evaluate import load_system
from eval.measure.generation import generate_answers
from eval.measure.likelihood import bounds
from llada.sampling.settings import SamplerConfig


@register_model("llada")
class LLaDAHarness(LM):
    """LLaDA, bare or with an adapter, behind lm_eval's interface.

    Args:
        base: folder in the published layout, tokenizer included; adapter: an adapter folder, or None.
        dtype, quantization, mask_token_id: as in the profile's `model` section.
        samples: mask samples per likelihood. seed: of masks and of sampling.
        max_gen_toks: answer tokens where a task names none. block_length, temperature: of the sampler, which spends one
            step per token.
        batch_size: rows per batch in generation. device: ignored, CUDA is used where there is one.

    Raises:
        llada.errors.CheckpointError: the base folder lacks weights or tokenizer.
        InputError: no adapter in its folder, or one that was trained on another base.
    """

    def __init__(
        self,
        base: str,
        adapter: str | None = None,
        dtype: str = "float32",
        quantization: str = "none",
        mask_token_id: int | None = None,
        samples: int = 128,
        seed: int = 0,
        max_gen_toks: int = 256,
        block_length: int = 32,
        temperature: float = 0.0,
        batch_size: int | str = 8,
        device: str | None = None,
        **_: Any,
    ) -> None:
        super().__init__()
        model = ModelConfig.model_validate(
            {"base": base, "dtype": dtype, "quantization": quantization, "mask_token_id": mask_token_id}
        )
        if adapter:
            check_base(Path(adapter), Path(base), sha256_of_model_folder(Path(base), "base"))
        self.network, self.tokenizer = load_system(model, Path(base), Path(adapter) if adapter else None)
        self.samples, self.seed = int(samples), int(seed)
        self.max_gen_toks, self.block_length = int(max_gen_toks), int(block_length)
        self.temperature = float(temperature)
        self.batch = int(batch_size) if str(batch_size).isdigit() else 8
        self.name = "-".join(Path(part).name for part in (base, adapter) if part)

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        """Lower bound of log p(continuation | context) in nats, and False, per request."""
        pairs = [self._pair(*request.args) for request in requests]
        return [(value, False) for value in self._bounds(pairs)]

    def loglikelihood_rolling(self, requests: list[Instance]) -> list[float]:
        """Lower bound of log p(text) in nats per request, begin-of-text given."""
        return self._bounds([(self._begin(), self._ids(request.args[0])) for request in requests])

    def generate_until(self, requests: list[Instance]) -> list[str]:
        """Answers, cut before the first of the request's `until` strings."""
        groups: dict[SamplerConfig, list[int]] = {}
        arguments: list[tuple[Any, ...]] = [request.args for request in requests]  # (context, generation settings)
        for index, (_, settings) in enumerate(arguments):
            groups.setdefault(self._sampling(settings), []).append(index)
        texts = [""] * len(requests)
        for config, members in groups.items():
            prompts = [self._context(arguments[index][0]) for index in members]
            answers, _ = generate_answers(
                self.network, self.tokenizer, prompts, config, batch_size=self.batch, seed=self.seed
            )
            for index, answer in zip(members, answers, strict=True):
                texts[index] = cut_before(answer.text, arguments[index][1].get("until"))
        return texts

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        return self.tokenizer.apply_chat_template(
            chat_history,
            tokenize=False,
            add_generation_prompt=add_generation_prompt,
            continue_final_message=not add_generation_prompt,
        )

    def chat_template(self, chat_template: bool | str = False) -> str | None:
        return self.tokenizer.chat_template if chat_template else ""

    @property
    def tokenizer_name(self) -> str:
        return self.name

    def _bounds(self, pairs: list[tuple[list[int], list[int]]]) -> list[float]:
        """An empty continuation has probability one."""
        rows = [index for index, (_, answer) in enumerate(pairs) if answer]
        if not rows:
            return [0.0] * len(pairs)
        prompts, answers = [pairs[row][0] for row in rows], [pairs[row][1] for row in rows]
        estimates = bounds(self.network, prompts, answers, samples=self.samples, seed=self.seed, label="likelihoods")
        values = dict(zip(rows, (estimate.estimate for estimate in estimates), strict=True))
        return [values.get(index, 0.0) for index in range(len(pairs))]

    def _pair(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
        """Ids of context and continuation; blanks at the context's end move over, where tokens carry them."""
        kept = context.rstrip() if context.strip() else context
        prompt = self._context(kept)
        whole = self._context(context + continuation)
        if whole[: len(prompt)] == prompt:
            return prompt, whole[len(prompt) :]
        return prompt, self._ids(context[len(kept) :] + continuation)  # a token would span the border

    def _context(self, text: str) -> list[int]:
        ids = self._ids(text)
        begin = self._begin()
        return ids if ids[:1] == begin else [*begin, *ids]  # a chat template writes its own

    def _ids(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def _begin(self) -> list[int]:
        """The begin-of-text token, where the base has one."""
        return [] if self.tokenizer.bos_token_id is None else [self.tokenizer.bos_token_id]

    def _sampling(self, arguments: dict[str, Any]) -> SamplerConfig:
        """The sampler for a request: its token budget, rounded up to whole blocks."""
        budget = int(arguments.get("max_gen_toks") or arguments.get("max_tokens") or self.max_gen_toks)
        if budget < 1:
            raise InputError(f"max_gen_toks: {budget}; must be at least 1")
        block = min(self.block_length, budget)
        length = -(-budget // block) * block
        temperature = float(arguments.get("temperature") or self.temperature) if arguments.get("do_sample") else 0.0
        return SamplerConfig(
            gen_length=length, block_length=block, steps=length, temperature=temperature, stop_at_eos=True
        )


def cut_before(text: str, until: str | list[str] | None) -> str:
    """The text up to the first occurrence of any stop string."""
    stops = [until] if isinstance(until, str) else (until or [])
    places = [place for stop in stops if stop and (place := text.find(stop)) >= 0]
    return text[: min(places)] if places else text


def main() -> None:
    """lm_eval's own command line; a fault of the user's ends as in every other command."""
    from lm_eval.__main__ import cli_evaluate  # pyright: ignore[reportMissingImports]

    try:
        cli_evaluate()
    except InputError as error:
        print(*(f"error: {fault}" for fault in error.faults), sep="\n", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
