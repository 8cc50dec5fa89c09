"""The sampler's settings: rule x score x cache x stop. Imports no torch, so that a profile is read at once.

The sources of the rules are named in `llada.sampling.rules`; what the settings mean together is in `docs/sampling.md`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

# fmt: off
RuleName = Literal[
    "quota", "threshold", "factor", "entropy_bound",
    "revoke", "local_leap", "credit", "klass", "hierarchy",
]
# fmt: on
Score = Literal["low_confidence", "margin", "entropy", "random", "positional"]
Cache = Literal["none", "prefix", "dual"]
Confidence = Literal["plain", "tempered"]
EosPolicy = Literal["none", "suppress", "last"]
EarlyExit = Literal["none", "sched_linear", "sched_cosine", "stable"]
LONGEST = 65_536
LARGEST_TOKEN = 2**31 - 1


@dataclass(frozen=True)
class SamplerConfig:
    """How an answer of `gen_length` tokens is denoised, block by block.

    Raises:
        ValueError: a value is out of range, or the lengths do not divide; every fault is named with what is allowed.
    """

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid", "allow_inf_nan": False}
    RANGES: ClassVar[dict[str, tuple[float, float, str]]] = {
        "gen_length": (1, LONGEST, f"from 1 to {LONGEST}"),
        "block_length": (1, LONGEST, f"from 1 to {LONGEST}"),
        "steps": (1, LONGEST, f"from 1 to {LONGEST}"),
        "temperature": (0, 100, "from 0 to 100"),
        "repetition_penalty": (1, 100, "from 1 to 100"),
        "guidance_scale": (0, 100, "from 0 to 100"),
        "threshold": (0, 1, "between 0 and 1"),
        "factor": (0, 1000, "from 0 to 1000"),
        "entropy_bound": (0, 1000, "from 0 to 1000"),
        "draft_threshold": (0, 1, "between 0 and 1"),
        "keep_threshold": (0, 1, "between 0 and 1"),
        "leap_threshold": (0, 1, "between 0 and 1"),
        "leap_distance": (0, LONGEST, f"from 0 to {LONGEST}"),
        "credit_decay": (0, 1, "between 0 and 1"),
        "credit_power": (0, 10, "from 0 to 10"),
        "credit_weight": (0, 100, "from 0 to 100"),
        "kl_threshold": (0, 1000, "from 0 to 1000"),
        "kl_steps": (1, LONGEST, f"from 1 to {LONGEST}"),
        "run_threshold": (0, 1, "between 0 and 1"),
        "prior_decay": (0, 100, "from 0 to 100"),
        "prior_clip": (1e-3, 1000, "from 0.001 to 1000"),
        "exit_gap_first": (0, 1000, "from 0 to 1000"),
        "exit_gap_last": (0, 1000, "from 0 to 1000"),
        "exit_entropy": (0, 1000, "from 0 to 1000"),
        "cache_refresh": (0, LONGEST, f"from 0 to {LONGEST}"),
        "draft_steps": (0, 64, "from 0 to 64"),
        "known_tokens": (1, LARGEST_TOKEN, f"from 1 to {LARGEST_TOKEN}, or none"),
        "max_gen_length": (1, LONGEST, f"from 1 to {LONGEST}, or none"),
        "tail_confidence": (0, 1, "between 0 and 1"),
        "insert_masks": (0, LONGEST, f"from 0 to {LONGEST}"),
        "insert_below": (0, 1, "between 0 and 1"),
        "insert_tail_confidence": (0, 1, "between 0 and 1"),
    }

    gen_length: int = 128
    """answer tokens; a multiple of block_length"""
    block_length: int = 32
    """tokens per block; blocks are denoised from left to right"""
    steps: int = 128
    """over all blocks, steps // blocks in each: those of quota, the most of revoke, SchED's measure of progress"""
    rule: RuleName = "quota"
    """which of a block's masked positions a step commits"""
    temperature: float = 0.0
    """0: the most probable token; above: Gumbel noise in float64, a sample of softmax(logits / temperature)"""
    confidence: Confidence = "plain"
    """scores from softmax(logits), as published; `tempered`: with a temperature from softmax(logits / temperature)"""
    repetition_penalty: float = 1.0
    """of tokens that stand in the row's answer already: positive logits are divided by it, negative ones multiplied"""
    top_p: float = 1.0
    """with a temperature: sample from the smallest set of tokens whose probability reaches this"""
    remasking: Score = "low_confidence"
    """the score of a position, in [0, 1]: p(token), p(first) - p(second), exp(-entropy), noise, or PC-Sampler's"""
    guidance_scale: float = 0.0
    """s in un + (s + 1)(c - un), where `un` sees the prompt masked; 0 switches guidance off"""
    threshold: float = 0.9
    """rules threshold, credit, klass and hierarchy: commit every score above it; local_leap: at least it"""
    factor: float = 1.0
    """rule factor: commit the largest n whose n-th best score is at least 1 - factor / (n + 1)"""
    entropy_bound: float = 0.1
    """rule entropy_bound, in nats: commit the largest low-entropy set with sum(H) - max(H) at most this"""
    draft_threshold: float = 0.6
    """rule revoke: commit every score above it, and always the best"""
    keep_threshold: float = 0.9
    """rule revoke: mask a committed token again when the model, not seeing it, gives it less than this"""
    leap_threshold: float = 0.75
    """rule local_leap: within leap_distance of a committed position a score of this is enough"""
    leap_distance: int = 4
    """rule local_leap: positions to either side, within the block"""
    credit_decay: float = 0.8
    """rule credit: what is left of a token's credit from step to step"""
    credit_power: float = 0.2
    """rule credit: each step the most probable token of a masked position earns its probability to this power"""
    credit_weight: float = 0.7
    """rule credit: logits rise by this times log(1 + credit)"""
    kl_threshold: float = 0.01
    """rule klass, in nats: a position is stable while KL(now || step before) is below this"""
    kl_steps: int = 2
    """rule klass: for so many steps in a row"""
    run_threshold: float = 0.4
    """rule hierarchy: the best of each run of masked positions is committed too if its score is above this"""
    prior_decay: float = 0.25
    """score positional: exp(-prior_decay * position in the block) times the clipped information"""
    prior_clip: float = 10.0
    """score positional: -p log(corpus frequency), in nats, is cut off here, and divided by it"""
    early_exit: EarlyExit = "none"
    """commit all that is left of a row: by SchED's falling bound on the logits' gap, or when it is stable and sure"""
    exit_gap_first: float = 7.5
    """SchED: the bound on the mean gap between the two best logits as the answer begins"""
    exit_gap_last: float = 2.5
    """SchED: the bound after `steps` steps"""
    exit_entropy: float = 0.005
    """early_exit stable, in nats: the mean entropy must be below this, and no token have changed for a step"""
    cache: Cache = "none"
    """none: exact; prefix: keys and values before the block are kept; dual: those after it too"""
    cache_refresh: int = 0
    """refill the cache every so many steps of a block (1: at every step, which is exact); 0: when a block opens"""
    draft_steps: int = 0
    """exact speculation: so many further steps are drafted and computed in the same pass, and used if they come true"""
    stop_at_eos: bool = False
    """finish a row at its first stop token once nothing before it is masked, and fill the rest with the pad token"""
    eos_policy: EosPolicy = "none"
    """suppress: never choose a stop token; last: give stop tokens the score 0, so that a block commits them last"""
    stop_token_ids: tuple[int, ...] | None = None
    """None: the model config's eos_token_id, eot_token_id and tail_token_ids, where it has them"""
    known_tokens: int | None = None
    """ids from this one on are never chosen. None: the config's vocab_size, or 126349 for LLaDA-8B's table of 126464"""
    max_gen_length: int | None = None
    """let a row that has not stopped grow block by block to this many tokens (needs stop_at_eos); None: never grow"""
    tail_confidence: float = 0.5
    """growing rows start longer until the last block's mean probability of a stop token reaches this; 0: do not look"""
    insert_masks: int = 0
    """growing rows: a step makes so many masks of the block's least sure one, in the middle of the answer; 0: never"""
    insert_below: float = 0.1
    """insertion: only a mask whose token has a probability below this becomes several"""
    insert_tail_confidence: float = 0.9
    """insertion: only while the mean probability of a stop token over the answer's last block_length is below this"""

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
        literals = {
            "rule": RuleName,
            "remasking": Score,
            "cache": Cache,
            "eos_policy": EosPolicy,
            "confidence": Confidence,
            "early_exit": EarlyExit,
        }
        return [
            f"{name} is {getattr(self, name)!r}, allowed: {', '.join(get_args(allowed))}"
            for name, allowed in literals.items()
            if getattr(self, name) not in get_args(allowed)
        ]

    def _range_faults(self) -> list[str]:
        faults = [
            f"{name} is {value}, allowed: {words}"
            for name, (low, high, words) in self.RANGES.items()
            if (value := getattr(self, name)) is not None and not low <= value <= high
        ]
        if not 0 < self.top_p <= 1:
            faults.append(f"top_p is {self.top_p}, allowed: above 0, at most 1")
        if any(not 0 <= token <= LARGEST_TOKEN for token in self.stop_token_ids or ()):
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
        elif self.insert_masks:
            faults.append(f"insert_masks is {self.insert_masks}, allowed only with max_gen_length: a row that grows")
        return faults
