"""The exception of this package: a checkpoint that cannot be used."""

from __future__ import annotations

from typing import Any


class CheckpointError(ValueError):
    """A checkpoint is damaged, incomplete or not for this network. The text names the file, the fault and the cure."""


def not_finite(dtype: Any) -> CheckpointError:
    """What to raise where a model's logits are nan or infinite: every answer after it would be void."""
    return CheckpointError(
        f"the model's logits are not finite in {dtype}; load it in float32 or bfloat16, or check its weights"
    )
