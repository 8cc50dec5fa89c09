"""The profile's `evaluation` section."""

from __future__ import annotations

from pydantic import Field

from common.section import Section


class EvaluationConfig(Section):
    """How base and adapters are measured; the same for all."""

    batch_size: int = Field(16, ge=1, description="rows per batch in generation and likelihood")
    likelihood_samples: int = Field(32, ge=1, description="stratified mask counts per item for the likelihood bound")
    bootstrap_resamples: int = Field(2000, ge=100, description="resamples for each 95% interval")
    permutations: int = Field(5000, ge=100, description="sign flips for each paired comparison")
    trace_items: int = Field(4, ge=0, description="test items whose denoising is kept step by step for the report")
