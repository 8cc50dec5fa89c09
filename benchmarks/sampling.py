"""The sampler against the published algorithm as written, on the same prompts and model, in one process.

The published algorithm recomputes the whole sequence at every step, takes logits at all positions over the whole
vocabulary and a float64 softmax of all of them, one prompt at a time, and never stops early. Each variant of the
sampler is measured beside it: seconds per item and their ratio, tokens per second up to each answer's stop token, share
of tokens equal to the published answer up to its stop, and the likelihood bound that the model itself gives the answers
(nats per token, higher is better).

    python benchmarks/sampling.py                                 # CPU: small network, 126,464-word head, 100 prompts
    python benchmarks/sampling.py --model BASE --adapter ADAPTER --prompts formatted/test.parquet
    python benchmarks/sampling.py --shape 8b --device cuda --dtype bfloat16 --published-rows 4 --json FILE

What early stopping and parallel rules gain depends on how long answers are and how sure the model is. So the small
network is either one of the project's own (`--model`, with an adapter and the prompts of its test split), its
vocabulary enlarged to LLaDA-8B's; or one trained on the spot on a language in which each token follows from the one
before and the prompt names how long the answer is. A random network of LLaDA-8B's shape has neither, so `--shape 8b`
measures time at fixed steps, one token per step and three, against the floors that the hardware sets.

The published algorithm is slow, so it runs on the first --published-rows prompts only and is compared per item, in wall
seconds and in processor seconds of all threads (on a busy machine the latter are the fairer ones). Runs from a bare
checkout with torch, transformers, safetensors and rich; --adapter needs peft, --prompts pyarrow.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from torch.nn import functional as F  # noqa: N812

from common.files import write_json
from common.progress import track
from llada import LLaDAConfig, LLaDAModelLM, SamplerConfig
from llada.diffusion.likelihood import log_likelihoods
from llada.sampling.batches import generate_many

VOCABULARY = 126464
MASK, EOS, EOT = 126336, 126081, 126348
SMALL: dict[str, Any] = {"d_model": 128, "n_layers": 3, "n_heads": 4, "mlp_hidden_size": 384}
LLADA_8B: dict[str, Any] = {"d_model": 4096, "n_layers": 32, "n_heads": 32, "mlp_hidden_size": 12288}
GENERATED = 128  # new tokens

# the small language: WORDS follow one another by a fixed permutation; LENGTHS name how many words an answer has
WORDS, FIRST_LENGTH, LENGTHS, FILLERS, UNSEEN = 64, 64, 48, 64, 64
TRAINED = WORDS + LENGTHS + FILLERS + UNSEEN + 3  # ids of the language, then mask, EOS and EOT


def main() -> None:
    options = parse_arguments()
    torch.manual_seed(0)
    if options.threads:
        torch.set_num_threads(options.threads)
    prompts = make_prompts(options.rows)
    if options.shape == "8b":
        model = random_8b(options)
        result = measure_8b(model, options)
    else:
        model = load_small(options) if options.model else train_small(options)
        if options.prompts:
            prompts = read_prompts(options.prompts, options.rows, model)
        result = measure_small(model, prompts, options)
    result = {**environment(options), **result}
    print(json.dumps(result, indent=2))
    if options.json:
        write_json(options.json, result)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=["small", "8b"], default="small")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--model", type=Path, help="folder of a small LLaDA checkpoint, instead of training one")
    parser.add_argument("--adapter", type=Path, help="folder of an adapter for it")
    parser.add_argument("--prompts", type=Path, help="parquet with input_ids and prompt_length")
    parser.add_argument("--threads", type=int, default=None, help="of the CPU; default torch's")
    parser.add_argument("--rows", type=int, default=100, help="prompts")
    parser.add_argument("--published-rows", type=int, default=4, help="prompts for the published algorithm")
    parser.add_argument("--published-steps", type=int, default=None, help="of its 128 per prompt; scaled up")
    parser.add_argument("--bound-rows", type=int, default=8, help="answers whose likelihood bound is estimated")
    parser.add_argument("--token-budget", type=int, default=4096, help="positions per forward pass")
    parser.add_argument("--train-steps", type=int, default=400, help="of the small network")
    parser.add_argument("--variants", nargs="*", default=None, help="names of variants; default all")
    parser.add_argument("--json", type=Path, default=None, help="write the result here")
    return parser.parse_args()


def variants() -> dict[str, SamplerConfig]:
    """What is measured, under the names of the report; the ids of this language are all known."""
    exact = SamplerConfig(gen_length=GENERATED, block_length=32, steps=GENERATED, known_tokens=VOCABULARY)
    stop = replace(exact, stop_at_eos=True)
    return {
        "quota": exact,
        "quota, stop": stop,
        "quota, prefix": replace(exact, cache="prefix"),
        "quota, dual": replace(exact, cache="dual"),
        "quota, dual, stop": replace(stop, cache="dual"),
        "threshold": replace(exact, rule="threshold"),
        "threshold, prefix": replace(exact, rule="threshold", cache="prefix"),
        "threshold, dual": replace(exact, rule="threshold", cache="dual"),
        "threshold, dual, stop": replace(stop, rule="threshold", cache="dual"),
        "factor, dual, stop": replace(stop, rule="factor", cache="dual"),
        "entropy_bound, dual, stop": replace(stop, rule="entropy_bound", cache="dual"),
        "revoke, stop": replace(stop, rule="revoke"),
    }


# --- the published algorithm, as written ---


@torch.no_grad()
def published(model: LLaDAModelLM, prompt: list[int], config: SamplerConfig, limit: int | None = None) -> list[int]:
    """The answer to one prompt by the algorithm of the published sampler at temperature 0; unfinished after `limit`."""
    P, K = len(prompt), config.block_length
    x = torch.full((1, P + config.gen_length), MASK, device=model.device)
    x[0, :P] = torch.tensor(prompt, device=model.device)
    steps = config.steps // config.blocks
    passes = 0
    for block in range(config.blocks):
        end = P + (block + 1) * K
        masks = int((x[:, end - K : end] == MASK).sum())
        for step in range(steps):
            if passes == limit:
                return x[0, P:].tolist()
            logits = model(x).logits  # (1, T, V)
            passes += 1
            noisy = logits.to(torch.float64)  # the published noise function widens before it looks at the temperature
            proposal = noisy.argmax(dim=-1)
            probabilities = F.softmax(logits.to(torch.float64), dim=-1)
            confidence = probabilities.gather(-1, proposal[..., None])[..., 0]
            confidence[:, end:] = -torch.inf
            confidence = torch.where(x == MASK, confidence, -torch.inf)
            quota = masks // steps + (1 if step < masks % steps else 0)
            chosen = confidence[0].topk(quota).indices
            x[0, chosen] = proposal[0, chosen]
    return x[0, P:].tolist()


# --- a small language and a network that has learnt it ---


def make_prompts(rows: int, seed: int = 1) -> list[list[int]]:
    """Prompts of 10 to 74 tokens, in the ids of the small language: fillers, a length, a first word."""
    generator = torch.Generator().manual_seed(seed)
    fillers = torch.randint(8, 73, (rows,), generator=generator).tolist()
    return [_prompt(count, generator) for count in fillers]


def _prompt(fillers: int, generator: torch.Generator) -> list[int]:
    noise = torch.randint(FIRST_LENGTH + LENGTHS, FIRST_LENGTH + LENGTHS + FILLERS, (fillers,), generator=generator)
    length = torch.randint(FIRST_LENGTH, FIRST_LENGTH + LENGTHS, (1,), generator=generator)
    word = torch.randint(0, WORDS, (1,), generator=generator)
    return torch.cat((noise, length, word)).tolist()


def _answer(prompt: list[int], following: list[int], length: int) -> list[int]:
    """The words that follow the prompt's last one, as many as it names (4 and up), EOT, then EOS up to `length`."""
    mask, eos, eot = TRAINED - 3, TRAINED - 2, TRAINED - 1
    words, word = [], prompt[-1]
    for _ in range(prompt[-2] - FIRST_LENGTH + 4):
        word = following[word]
        words.append(word)
    assert mask not in words
    return (words + [eot] + [eos] * length)[:length]


def train_small(options: argparse.Namespace) -> LLaDAModelLM:
    """Train on the language with its own few ids, then move it into the vocabulary of LLaDA-8B.

    The table's other rows become copies of those of UNSEEN ids, which training has made improbable.
    """
    config = LLaDAConfig(
        **SMALL,
        vocab_size=TRAINED,
        embedding_size=TRAINED,
        max_sequence_length=512,
        mask_token_id=TRAINED - 3,
        eos_token_id=TRAINED - 2,
        pad_token_id=TRAINED - 2,
        eot_token_id=TRAINED - 1,
    )
    model = LLaDAModelLM(config).train()
    generator = torch.Generator().manual_seed(0)
    following = torch.randperm(WORDS, generator=generator).tolist()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, betas=(0.9, 0.95))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=options.train_steps, pct_start=0.1)
    for _ in track(range(options.train_steps), "training a small network"):
        fillers = int(torch.randint(8, 73, (1,), generator=generator))
        rows = [_prompt(fillers, generator) for _ in range(16)]
        ids = torch.tensor([row + _answer(row, following, GENERATED) for row in rows])
        t = (torch.arange(16)[:, None] + torch.rand(1, generator=generator)) / 16
        mask = torch.rand(ids.shape, generator=generator) < t
        mask[:, : fillers + 2] = False
        hidden = model.hidden(ids.masked_fill(mask, config.mask_token_id))
        losses = F.cross_entropy(model.head(hidden[mask]), ids[mask], reduction="none")
        weight = (1 / t.clamp(min=0.05)).expand_as(mask)[mask]  # clamped: a few-token row must not drown the others
        loss = (losses * weight).sum() / (16 * GENERATED)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    unseen = torch.arange(TRAINED - 3 - UNSEEN, TRAINED - 3)
    return _into_large_vocabulary(model.eval(), unseen).to(options.device, getattr(torch, options.dtype))


def load_small(options: argparse.Namespace) -> LLaDAModelLM:
    """A checkpoint, with its adapter merged, in the vocabulary of LLaDA-8B; it never predicts a begin-of-text token."""
    model = LLaDAModelLM.from_pretrained(options.model, dtype=torch.float32)
    if options.adapter:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, options.adapter).merge_and_unload()
    unseen = torch.tensor([model.config.bos_token_id])
    return _into_large_vocabulary(model.eval(), unseen).to(options.device, getattr(torch, options.dtype))


def read_prompts(path: Path, rows: int, model: LLaDAModelLM) -> list[list[int]]:
    import pyarrow.parquet as pq

    table = pq.read_table(path, columns=["input_ids", "prompt_length"]).slice(0, rows).to_pydict()
    return [ids[:length] for ids, length in zip(table["input_ids"], table["prompt_length"], strict=True)]


@torch.no_grad()
def _into_large_vocabulary(model: LLaDAModelLM, unseen: torch.Tensor) -> LLaDAModelLM:
    """The same network with LLaDA-8B's table and special ids; rows that are new become copies of `unseen` ids' rows."""
    old = model.config
    sizes: dict[str, Any] = {
        "vocab_size": VOCABULARY,
        "embedding_size": VOCABULARY,
        "mask_token_id": MASK,
        "eos_token_id": EOS,
    }
    config = LLaDAConfig(**{**old.to_dict(), **sizes, "pad_token_id": EOS, "eot_token_id": EOT})
    large = LLaDAModelLM(config).eval()
    source = unseen[torch.arange(VOCABULARY) % len(unseen)]  # (VOCABULARY,) row of the old table
    source[: old.vocab_size] = torch.arange(old.vocab_size)
    specials = torch.tensor([old.mask_token_id, old.eos_token_id, old.eot_token_id])
    source[specials] = unseen[0]
    source[[MASK, EOS, EOT]] = specials
    tables = ("model.transformer.wte.weight", "model.transformer.ff_out.weight")
    large.load_state_dict(
        {name: tensor[source] if name in tables else tensor for name, tensor in model.state_dict().items()}
    )
    return large


# --- measuring ---


def measure_small(model: LLaDAModelLM, prompts: list[list[int]], options: argparse.Namespace) -> dict[str, Any]:
    chosen = {name: config for name, config in variants().items() if not options.variants or name in options.variants}
    exact = variants()["quota"]
    limit, rows = options.published_steps, options.published_rows
    begin, processor, reference = time.perf_counter(), time.process_time(), []
    for prompt in track(prompts[:rows], "published algorithm"):
        reference.append(published(model, prompt, exact, limit))
    share = (limit or GENERATED) / GENERATED * rows  # every step of it costs the same
    base: dict[str, Any] = {
        "seconds_per_item": (time.perf_counter() - begin) / share,
        "processor_seconds_per_item": (time.process_time() - processor) / share,
        "rows": rows,
        "steps_measured": limit or GENERATED,
        "forward_passes_per_item": GENERATED,
    }
    if limit:  # unfinished answers are no reference; the tests hold "quota" to be equal to the published ones
        reference = run(model, prompts[:rows], exact, options)[1]
    report: dict[str, Any] = {
        "published": {**base, "bound_per_token": bound(model, prompts, reference, options)},
        "reference": "quota" if limit else "published",
        "answer_lengths_of_the_reference": [_length(answer) for answer in reference],
        "variants": {},
    }
    for name, config in track(chosen.items(), "variants", total=len(chosen)):
        measured, answers = run(model, prompts, config, options)
        measured["ratio"] = base["seconds_per_item"] / measured["seconds_per_item"]
        measured["processor_ratio"] = base["processor_seconds_per_item"] / measured["processor_seconds_per_item"]
        measured["equal_tokens"] = agreement(reference, answers[: len(reference)])
        measured["bound_per_token"] = bound(model, prompts, answers, options)
        report["variants"][name] = measured
        if options.json:  # a run takes long: what is there is kept
            write_json(options.json, {**environment(options), **report})
    return report


def run(
    model: LLaDAModelLM, prompts: list[list[int]], config: SamplerConfig, options: argparse.Namespace
) -> tuple[dict[str, Any], list[list[int]]]:
    answers: list[list[int]] = [[] for _ in prompts]
    seconds, passes, stopped, memory, processor = 0.0, 0, 0, 0, time.process_time()
    for batch in generate_many(model, prompts, config, token_budget=options.token_budget):
        seconds += batch.seconds
        passes += batch.forward_passes
        stopped += batch.rows_stopped_early
        memory = max(memory, batch.peak_memory or 0)
        for item, answer in zip(batch.items, batch.answers, strict=True):
            answers[item] = answer
    tokens = sum(map(len, answers))
    measured = {
        "seconds_per_item": seconds / len(prompts),
        "processor_seconds_per_item": (time.process_time() - processor) / len(prompts),
        "rows": len(prompts),
        "forward_passes": passes,
        "tokens_to_first_stop": tokens,
        "tokens_per_second": tokens / seconds,
        "rows_stopped_early": stopped,
    }
    if memory:
        measured["peak_memory_gib"] = memory / 2**30
    return measured, answers


def _length(answer: list[int]) -> int:
    return next((place + 1 for place, token in enumerate(answer) if token in (EOS, EOT)), len(answer))


def agreement(reference: list[list[int]], answers: list[list[int]]) -> float:
    """Share of the published tokens, up to the first stop token, that the variant has at the same place."""
    equal = total = 0
    for expected, answer in zip(reference, answers, strict=True):
        expected = expected[: _length(expected)]
        total += len(expected)
        equal += sum(a == b for a, b in zip(expected, answer, strict=False))
    return equal / total


def bound(
    model: LLaDAModelLM, prompts: list[list[int]], answers: list[list[int]], options: argparse.Namespace
) -> float:
    """Nats per token, averaged over the tokens of the first answers."""
    texts = [answer[: _length(answer)] for answer in answers[: options.bound_rows]]
    estimates = log_likelihoods(model, prompts[: len(texts)], texts, samples=8, seed=0)
    return sum(float(estimate.estimate) for estimate in estimates) / sum(map(len, texts))


# --- LLaDA-8B's shape on a GPU ---


def random_8b(options: argparse.Namespace) -> LLaDAModelLM:
    """Random weights: time does not depend on them. Made on the device, in the dtype of the run."""
    config = LLaDAConfig(**LLADA_8B, mask_token_id=MASK, eos_token_id=EOS, pad_token_id=EOS)
    default = torch.get_default_dtype()
    torch.set_default_dtype(getattr(torch, options.dtype))
    try:
        with torch.device(options.device):
            return LLaDAModelLM(config).eval()
    finally:
        torch.set_default_dtype(default)


def measure_8b(model: LLaDAModelLM, options: argparse.Namespace) -> dict[str, Any]:
    """Prompts of 128 tokens, 128 new; the published algorithm on few of them; one prompt at 3 tokens a step."""
    generator = torch.Generator().manual_seed(0)
    prompts = torch.randint(0, 126000, (options.rows, 128), generator=generator).tolist()
    exact = variants()["quota"]
    fast = replace(exact, cache="dual", steps=44)  # 11 steps per block of 32: 3 tokens a step
    cases = {
        "quota": (exact, prompts),
        "quota, prefix": (replace(exact, cache="prefix"), prompts),
        "quota, dual": (replace(exact, cache="dual"), prompts),
        "one prompt, dual, 3 tokens per step": (fast, prompts[:1]),
    }
    run(model, prompts[:1], replace(fast, gen_length=32, steps=11), options)  # warm up
    _synchronize(options)
    begin = time.perf_counter()
    for prompt in track(prompts[: options.published_rows], "published algorithm"):
        published(model, prompt, exact)
    _synchronize(options)
    per_item = (time.perf_counter() - begin) / max(1, options.published_rows)
    report: dict[str, Any] = {
        "published": {"seconds_per_item": per_item, "rows": options.published_rows},
        "variants": {},
    }
    for name, (config, rows) in track(cases.items(), "variants", total=len(cases)):
        measured, _ = run(model, rows, config, options)
        measured["seconds"] = measured["seconds_per_item"] * len(rows)
        measured["committed_per_second"] = GENERATED * len(rows) / measured["seconds"]
        measured["ratio"] = per_item / measured["seconds_per_item"]
        report["variants"][name] = measured
    return report


def _synchronize(options: argparse.Namespace) -> None:
    if options.device.startswith("cuda"):
        torch.cuda.synchronize()


def environment(options: argparse.Namespace) -> dict[str, Any]:
    cuda = options.device.startswith("cuda")
    return {
        "command": " ".join(["python benchmarks/sampling.py", *sys.argv[1:]]),
        "device": torch.cuda.get_device_name()
        if cuda
        else f"{platform.machine()} CPU, {torch.get_num_threads()} threads",
        "load": None if cuda else os.getloadavg()[0],
        "torch": torch.__version__,
        "shape": LLADA_8B if options.shape == "8b" else str(options.model.name if options.model else SMALL),
        "vocabulary": VOCABULARY,
        "new_tokens": GENERATED,
    }


if __name__ == "__main__":
    main()
