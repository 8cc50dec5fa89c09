"""The sampler's settings: rule x score x cache x stop. Imports no torch, so that a profile is read at once.

The sources of the rules are named in `llada.sampling.rules`; what the settings mean together is in `docs/sampling.md`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

RuleName = Literal["quota", "threshold", "factor", "entropy_bound", "revoke"]
Score = Literal["low_confidence", "margin", "entropy", "random"]
Cache = Literal["none", "prefix", "dual"]
EosPolicy = Literal["none", "suppress", "last"]


@dataclass(frozen=True)
class SamplerConfig:
    """How an answer of `gen_length` tokens is denoised, block by block.

    Raises:
        ValueError: a value is out of range, or the lengths do not divide; every fault is named with what is allowed.
    """

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    gen_length: int = 128
    """answer tokens; a multiple of block_length"""
    block_length: int = 32
    """tokens per block; blocks are denoised from left to right"""
    steps: int = 128
    """over all blocks, steps // blocks in each; quota spends exactly these, revoke at the most, the others ignore it"""
    rule: RuleName = "quota"
    """which of a block's masked positions a step commits"""
    temperature: float = 0.0
    """0: the most probable token; above: Gumbel noise in float64, a sample of softmax(logits / temperature)"""
    top_p: float = 1.0
    """with a temperature: sample from the smallest set of tokens whose probability reaches this"""
    remasking: Score = "low_confidence"
    """the score of a position: p(token), p(first) - p(second), exp(-entropy), or uniform noise; all lie in [0, 1]"""
    guidance_scale: float = 0.0
    """s in un + (s + 1)(c - un), where `un` sees the prompt masked; 0 switches guidance off"""
    threshold: float = 0.9
    """rule threshold: commit every score above it, and always the best"""
    factor: float = 1.0
    """rule factor: commit the largest n whose n-th best score is at least 1 - factor / (n + 1)"""
    entropy_bound: float = 0.1
    """rule entropy_bound, in nats: commit the largest low-entropy set with sum(H) - max(H) at most this"""
    draft_threshold: float = 0.6
    """rule revoke: commit every score above it, and always the best"""
    keep_threshold: float = 0.9
    """rule revoke: mask a committed token again when the model, not seeing it, gives it less than this"""
    cache: Cache = "none"
    """none: exact; prefix: keys and values before the block are kept; dual: those after it too"""
    cache_refresh: int = 0
    """refill the cache every so many steps of a block (1: at every step, which is exact); 0: when a block opens"""
    stop_at_eos: bool = False
    """finish a row at its first stop token once nothing before it is masked, and fill the rest with the pad token"""
    eos_policy: EosPolicy = "none"
    """suppress: never choose a stop token; last: give stop tokens the score 0, so that a block commits them last"""
    stop_token_ids: tuple[int, ...] | None = None
    """None: the model config's eos_token_id, and eot_token_id where it has one"""
    known_tokens: int | None = None
    """ids from this one on are never chosen. None: the config's vocab_size, or 126349 for LLaDA-8B's table of 126464"""
    max_gen_length: int | None = None
    """let a row that has not stopped grow block by block to this many tokens (needs stop_at_eos); None: never grow"""
    tail_confidence: float = 0.5
    """growing rows start longer until the last block's mean probability of a stop token reaches this; 0: do not look"""

    def __post_init__(self) -> None:
        if isinstance(self.stop_token_ids, list):  # JSON and YAML know no tuples
            object.__setattr__(self, "stop_token_ids", tuple(self.stop_token_ids))
        faults = [*self._choice_faults(), *self._range_faults(), *self._length_faults()]
        if faults:
            raise ValueError("; ".join(faults))

    @property
    def blocks(self) -> int:
        return self.gen_length // self.block_length

    @property
    def steps_per_block(self) -> int:
        return max(1, self.steps // self.blocks)

    @property
    def longest(self) -> int:
        """The number of answer tokens a row can have at the most."""
        return self.max_gen_length or self.gen_length

    def _choice_faults(self) -> list[str]:
        literals = {"rule": RuleName, "remasking": Score, "cache": Cache, "eos_policy": EosPolicy}
        return [
            f"{name} is {getattr(self, name)!r}, allowed: {', '.join(get_args(allowed))}"
            for name, allowed in literals.items()
            if getattr(self, name) not in get_args(allowed)
        ]

    def _range_faults(self) -> list[str]:
        ranges: dict[str, tuple[float, float, str]] = {
            "gen_length": (1, float("inf"), "at least 1"),
            "block_length": (1, float("inf"), "at least 1"),
            "steps": (1, float("inf"), "at least 1"),
            "temperature": (0, float("inf"), "at least 0"),
            "guidance_scale": (0, float("inf"), "at least 0"),
            "threshold": (0, 1, "between 0 and 1"),
            "factor": (0, float("inf"), "at least 0"),
            "entropy_bound": (0, float("inf"), "at least 0"),
            "draft_threshold": (0, 1, "between 0 and 1"),
            "keep_threshold": (0, 1, "between 0 and 1"),
            "tail_confidence": (0, 1, "between 0 and 1"),
            "cache_refresh": (0, float("inf"), "at least 0"),
        }
        faults = [
            f"{name} is {getattr(self, name)}, allowed: {words}"
            for name, (low, high, words) in ranges.items()
            if not low <= getattr(self, name) <= high
        ]
        if not 0 < self.top_p <= 1:
            faults.append(f"top_p is {self.top_p}, allowed: above 0, at most 1")
        if self.known_tokens is not None and self.known_tokens < 1:
            faults.append(f"known_tokens is {self.known_tokens}, allowed: at least 1, or none")
        if any(token < 0 for token in self.stop_token_ids or ()):
            faults.append(f"stop_token_ids is {list(self.stop_token_ids or ())}, allowed: token ids, at least 0")
        return faults

    def _length_faults(self) -> list[str]:
        if min(self.gen_length, self.block_length, self.steps) < 1:
            return []
        if self.gen_length % self.block_length:
            return [f"gen_length is {self.gen_length}, allowed: a multiple of block_length ({self.block_length})"]
        faults = []
        if self.rule == "quota" and self.steps % self.blocks:
            faults.append(
                f"steps is {self.steps}, allowed with the rule quota: a multiple of the number of blocks, "
                f"gen_length // block_length = {self.blocks}"
            )
        if self.max_gen_length is not None:
            if self.max_gen_length < self.gen_length or self.max_gen_length % self.block_length:
                faults.append(
                    f"max_gen_length is {self.max_gen_length}, allowed: a multiple of block_length "
                    f"({self.block_length}), at least gen_length ({self.gen_length})"
                )
            if not self.stop_at_eos:
                faults.append("max_gen_length is set, allowed only with stop_at_eos: a row grows until it stops")
        return faults
