"""The profile's `model` and `methods` sections."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import Field

from common.section import Section

MethodName = Literal[
    "lora", "loraplus", "pissa", "rslora", "dora", "loraplus_pissa", "olora", "eva", "corda", "lora_ga", "miss",
    "gralora", "hira",
]  # fmt: skip
METHOD_NAMES: tuple[str, ...] = get_args(MethodName)
TwinName = Literal["ar-lora", "ar-loraplus", "ar-pissa"]
"""The same methods on the autoregressive twin."""
SystemMethod = Literal[MethodName, TwinName]
SYSTEM_METHODS: tuple[str, ...] = get_args(SystemMethod)
LARGEST_ID = 2**31 - 1
"""Of a token; tokenizers and torch hold them in 32 bits at least."""
Projection = Literal["q_proj", "k_proj", "v_proj", "attn_out", "ff_proj", "up_proj", "ff_out"]


class ModelConfig(Section):
    """The frozen base."""

    base: str = Field(
        "embedded",
        min_length=1,
        max_length=4096,
        description="embedded | hub model id | folder in the published layout",
    )
    revision: str | None = Field(None, min_length=1, description="hub revision of the base")
    mask_token_id: int | None = Field(
        None,
        ge=0,
        le=LARGEST_ID,
        description="the base's mask token; null: as its files or the table of published bases say",
    )
    eos_token_id: int | None = Field(
        None, ge=0, le=LARGEST_ID, description="the base's end-of-text token; null: likewise"
    )
    pad_token_id: int | None = Field(None, ge=0, le=LARGEST_ID, description="the base's padding token; null: likewise")
    bos_token_id: int | None = Field(
        None, ge=0, le=LARGEST_ID, description="the base's begin-of-text token; null: likewise"
    )
    quantization: Literal["none", "nf4", "int8"] = Field("none", description="bitsandbytes quantisation of the base")
    dtype: Literal["float32", "bfloat16", "float16"] = Field(
        "float32", description="compute and storage type of the base"
    )
    activation_checkpointing: bool = Field(False, description="recompute block activations in the backward pass")
    compile: bool = Field(False, description="torch.compile per block (CUDA)")

    @property
    def token_ids(self) -> dict[str, int]:
        """Those that the profile sets, by key."""
        return {key: value for key, value in self if key.endswith("_token_id") and value is not None}


class MethodConfig(Section):
    """One adapter. `learning_rate: null` takes `train.learning_rate`; the other keys default to what the method
    needs.
    """

    rank: int = Field(16, ge=1, le=4096, description="R, the rank of A and B")
    alpha: float | None = Field(
        None,
        gt=0,
        le=10_000,
        description="the update is scaled by alpha / rank; null: alpha = rank (MiSS and HiRA have none)",
    )
    dropout: float = Field(
        0.0, ge=0, lt=1, description="dropout before A (0 where A and B start as a part of the weight)"
    )
    learning_rate: float | None = Field(
        None, gt=0, le=10, description="peak rate of A (and of B unless `ratio` is set)"
    )
    ratio: float = Field(16.0, ge=1, le=10_000, description="LoRA+: learning rate of B over that of A")
    svd_iterations: int | None = Field(
        8, ge=1, le=1000, description="PiSSA: power iterations of the randomised SVD; null: exact SVD"
    )
    start_rows: int = Field(
        32, ge=1, le=65_536, description="EVA, CorDA, LoRA-GA: training rows from which the start is taken"
    )
    blocks: int = Field(2, ge=1, le=64, description="GraLoRA: parts of a weight's rows, and of its columns")
    targets: tuple[Projection, ...] = Field(
        ("q_proj", "k_proj", "v_proj", "attn_out", "ff_proj", "up_proj", "ff_out"),
        min_length=1,
        description="linear layers inside the blocks that get an adapter; never the LM head",
    )
