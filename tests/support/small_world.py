"""A very small base, rows and settings for the tests of the training code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from adapters.config import MethodConfig, ModelConfig
from adapters.starts.by_peft import StartRows
from common.systems import is_twin
from llada import LLaDAConfig, LLaDAModelLM
from llada.diffusion.loss import masked_diffusion_loss
from llada.network.configuration import ILLaDAConfig
from llada.network.modeling import network_of
from training.config import TrainConfig
from training.plan import TrainingPlan

WORDS, MASK, EOS, EOT = 64, 60, 61, 62
LAYERS = 2
KINDS = ("llada", "illada")


def small_config(**changes: Any) -> LLaDAConfig:
    values: dict[str, Any] = {
        "d_model": 64, "n_heads": 4, "n_kv_heads": 4, "n_layers": LAYERS, "mlp_hidden_size": 128,
        "vocab_size": WORDS, "embedding_size": WORDS, "max_sequence_length": 128, "rope_theta": 10000.0,
        "mask_token_id": MASK, "eos_token_id": EOS, "pad_token_id": EOS,
    } | changes  # fmt: skip
    return LLaDAConfig(**values)


def small_illada_config(**changes: Any) -> ILLaDAConfig:
    """The same sizes and token ids in iLLaDA's layout: a tied head, and keys and values shared by two heads each."""
    own = small_config(n_kv_heads=2).to_dict()
    names = ILLaDAConfig.attribute_map
    wanted = ("mask_token_id", "eos_token_id", "pad_token_id", "vocab_size", "rope_theta", *names)
    fields = {names.get(name, name): own[name] for name in wanted if name not in ("embedding_size", "weight_tying")}
    return ILLaDAConfig(**fields | {names.get(name, name): value for name, value in changes.items()})


def small_model(seed: int = 0, kind: str = "llada", **changes: Any) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if kind == "llama":
            return small_causal_model(**changes)
        if kind == "llada":
            return LLaDAModelLM(small_config(**changes)).eval()
        return network_of(small_illada_config(**{"init_std": 0.15} | changes)).eval()


def start_rows(seed: int = 0, batches: int = 3) -> StartRows:
    """Rows with masks, padded on the right, for the methods that start from some."""
    generator = torch.Generator().manual_seed(seed)
    made, losses = [], []
    for _ in range(batches):
        ids = torch.randint(0, 50, (4, 18), generator=generator)
        real = torch.ones(4, 18, dtype=torch.int64)
        real[1, 15:] = 0
        maskable = (torch.arange(18) >= 6).expand(4, 18) & real.bool()
        t = torch.tensor([0.3, 0.5, 0.7, 0.9])
        mask = (torch.rand(4, 18, generator=generator) < t[:, None]) & maskable
        made.append({"input_ids": ids.masked_fill(mask, MASK), "attention_mask": real})
        losses.append((ids, maskable, t, mask, real))

    def backward(network: Any) -> None:
        for loss in losses:
            masked_diffusion_loss(network, *loss).backward()

    return StartRows(made, backward)


def small_causal_model(**changes: Any) -> Any:
    """transformers' own Llama of these sizes, with its causal mask, drawn from torch's global generator."""
    sizes: dict[str, Any] = {
        "hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2, "num_hidden_layers": LAYERS,
        "intermediate_size": 128, "vocab_size": WORDS, "max_position_embeddings": 128, "initializer_range": 0.15,
        "eos_token_id": EOS, "pad_token_id": EOS, "bos_token_id": EOS,
    } | changes  # fmt: skip
    return LlamaForCausalLM(LlamaConfig(**sizes)).eval()


def write_base(folder: Path, kind: str = "llada") -> Path:
    small_model(kind=kind).save_pretrained(folder)
    return folder


def random_rows(count: int, seed: int, longest: int = 24) -> list[tuple[list[int], int]]:
    """(input_ids, prompt_length): the answer repeats the prompt, so there is something to learn."""
    random = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        prompt = random.integers(1, 50, size=random.integers(3, longest // 2)).tolist()
        rows.append((prompt + prompt[: max(1, len(prompt) - 1)] + [EOT], len(prompt)))
    return rows


def write_split(path: Path, rows: list[tuple[list[int], int]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table(
        {
            "id": pa.array([f"row-{i}" for i in range(len(rows))]),
            "input_ids": pa.array([ids for ids, _ in rows], pa.list_(pa.int32())),
            "prompt_length": pa.array([prompt for _, prompt in rows], pa.int32()),
        }
    )
    pq.write_table(table, path)


def write_formatted(folder: Path, rows: int = 40, validation: int = 12) -> Path:
    write_split(folder / "train.parquet", random_rows(rows, seed=1))
    write_split(folder / "validation.parquet", random_rows(validation, seed=2))
    return folder


def small_plan(
    folder: Path,
    method: str = "lora",
    *,
    rows: int = 40,
    train: dict[str, Any] | None = None,
    config: dict[str, Any] | None = None,
    model: dict[str, Any] | None = None,
    run: str = "a",
    kind: str = "llada",
) -> TrainingPlan:
    """A training of seconds. Base and rows lie in `folder` and are made once; `run` names the output. A method of the
    autoregressive twin has a Llama of its own.
    """
    kind = "llama" if is_twin(method) else kind
    base, formatted = folder / ("twin" if is_twin(method) else "base"), folder / f"formatted-{rows}"
    if not base.exists():
        write_base(base, kind)
    if not formatted.exists():
        write_formatted(formatted, rows)
    settings: dict[str, Any] = {
        "global_batch_size": 8, "micro_batch_size": 4, "epochs": 2.0, "learning_rate": 1e-2, "eos_tail": "first:2",
        "validate_every": 5, "validation_draws": 2, "checkpoint_every": 3, "log_every": 1,
    } | (train or {})  # fmt: skip
    return TrainingPlan(
        method_name=method,
        model=ModelConfig(**(model or {})),
        train=TrainConfig(**settings),
        config=MethodConfig(**({"rank": 4} | (config or {}))),
        base=base,
        base_sha256="base",
        formatted=formatted,
        output=folder / run / "adapter",
        scratch=folder / run / "scratch",
        seed=7,
        provenance={},
    )
