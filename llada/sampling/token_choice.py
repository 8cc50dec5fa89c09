"""From logits at masked positions to a token and a score for each: what the sampler would write there, and how surely.

The probabilities are those of the whole softmax, as published (with `confidence="tempered"` at the temperature); the
mask token, unused ids and what a constraint forbids are excluded from the choice alone. Stop tokens under `eos_policy`
leave the softmax too, which is what the published sampler's two options for them do. Shapes: n positions, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from llada.sampling.noise import fold, gumbel, uniform
from llada.sampling.rules import NEVER, RULES
from llada.sampling.settings import SamplerConfig


@dataclass(frozen=True)
class TokenChoices:
    """What each of n positions would commit."""

    tokens: Tensor  # (n,) int64
    scores: Tensor  # (n,) float32 in [0, 1]
    entropies: Tensor | None  # (n,) float32 in nats, for the rules that want them
    measures: Tensor | None = None  # (n,) float32: the gap of the two best logits or the entropy, for early exits
    logarithms: Tensor | None = None  # (n, V) float32, of the probabilities, for the rules that want to compare them
    chances: Tensor | None = None  # (n,) float32, the probability of `tokens` whatever the score, for insertions

    @classmethod
    def joined(cls, parts: Sequence[TokenChoices]) -> TokenChoices:
        """The choices of several chunks, in their order; `logarithms` are left out."""
        entropies = [part.entropies for part in parts if part.entropies is not None]
        measures = [part.measures for part in parts if part.measures is not None]
        chances = [part.chances for part in parts if part.chances is not None]
        return cls(
            torch.cat([part.tokens for part in parts]),
            torch.cat([part.scores for part in parts]),
            torch.cat(entropies) if entropies else None,
            torch.cat(measures) if measures else None,
            chances=torch.cat(chances) if chances else None,
        )


@dataclass(frozen=True)
class TokenChooser:
    """The choice of tokens under one configuration.

    Args:
        config: temperature, confidence, top_p, remasking, eos_policy and rule are read.
        forbidden: (F,) int64, ids that are never chosen: the mask token and the ids that no tokenizer knows.
        stops: (S,) int64, the stop tokens.
        frequencies: (V,) float32, each token's share of a corpus, for the score `positional`; None: all equal.
    """

    config: SamplerConfig
    forbidden: Tensor
    stops: Tensor
    frequencies: Tensor | None = None

    def choose(
        self,
        logits: Tensor,
        keys: Tensor | None = None,
        allowed: Tensor | None = None,
        places: Tensor | None = None,
    ) -> TokenChoices:
        """Tokens and scores for logits (n, V) float32, which are overwritten.

        Args:
            keys: (n,) int64 noise keys; needed with a temperature and for the score `random`.
            allowed: (n, V) bool, the ids a constraint leaves to each position; None: all.
            places: (n,) int64, positions in their blocks; needed for the score `positional`.
        """
        config = self.config
        if config.eos_policy == "suppress":
            logits[:, self.stops] = -torch.inf
        tokens = self._tokens(logits, keys, allowed)
        chances = self.probability(logits, tokens) if config.insert_masks else None
        if config.eos_policy == "last":
            logits[:, self.stops] = -torch.inf
        tempered = self._tempered(logits)
        probabilities = tempered.softmax(dim=-1)  # (n, V)
        entropies = None
        if RULES[config.rule].wants_entropy or config.early_exit == "stable":
            entropies = torch.special.entr(probabilities).sum(dim=-1)
        measures = self._gaps(logits) if config.early_exit.startswith("sched") else entropies
        scores = self._scores(probabilities, tokens, keys, places)
        if config.eos_policy == "last":
            stopping = torch.isin(tokens, self.stops)
            scores = scores.masked_fill(stopping, 0.0)
            entropies = None if entropies is None else entropies.masked_fill(stopping, NEVER)
        logarithms = tempered.log_softmax(dim=-1) if RULES[config.rule].wants_calm else None
        return TokenChoices(tokens, scores, entropies, measures, logarithms, chances)

    def best(self, logits: Tensor, allowed: Tensor | None) -> Tensor:
        """(n,) int64: the most probable token that may be chosen, under logits (n, V), which lose suppressed tokens."""
        if self.config.eos_policy == "suppress":
            logits[:, self.stops] = -torch.inf
        choosable = logits.index_fill(1, self.forbidden, -torch.inf)
        return (choosable if allowed is None else choosable.masked_fill(~allowed, -torch.inf)).argmax(dim=-1)

    def probability(self, logits: Tensor, tokens: Tensor) -> Tensor:
        """(n,) float32: the probability of given tokens (n,) under logits (n, V) float32, which are overwritten."""
        if self.config.eos_policy == "suppress":
            logits[:, self.stops] = -torch.inf
        logits = self._tempered(logits)
        return (logits.gather(1, tokens[:, None])[:, 0] - logits.logsumexp(dim=-1)).exp()

    def _tempered(self, logits: Tensor) -> Tensor:
        """The logits whose softmax the scores are taken from."""
        config = self.config
        return logits / config.temperature if config.confidence == "tempered" and config.temperature > 0 else logits

    def _tokens(self, logits: Tensor, keys: Tensor | None, allowed: Tensor | None) -> Tensor:
        excluded = logits[:, self.forbidden]
        logits[:, self.forbidden] = -torch.inf
        choosable = logits if allowed is None else logits.masked_fill(~allowed, -torch.inf)
        if self.config.temperature > 0:
            assert keys is not None
            # the published argmax of exp(logits) / (-log u) ** T, in logarithms, where it cannot overflow
            wide = choosable.double() / self.config.temperature
            if self.config.top_p < 1:
                wide = nucleus(wide, self.config.top_p)
            choosable = wide + gumbel(keys, wide.shape[1])
        tokens = choosable.argmax(dim=-1)
        logits[:, self.forbidden] = excluded
        return tokens

    def _gaps(self, logits: Tensor) -> Tensor:
        """(n,) float32: the gap between the two best logits of ids that may be chosen."""
        best = logits.index_fill(1, self.forbidden, -torch.inf).topk(2, dim=-1).values
        return best[:, 0] - best[:, 1]

    def _scores(self, probabilities: Tensor, tokens: Tensor, keys: Tensor | None, places: Tensor | None) -> Tensor:
        if self.config.remasking == "random":
            assert keys is not None
            return uniform(fold(keys, -2), 1)[:, 0].float()  # the counter -2 keeps clear of the tokens' own 0, 1, ...
        if self.config.remasking == "margin":
            best = probabilities.index_fill(1, self.forbidden, 0.0).topk(2, dim=-1).values
            return best[:, 0] - best[:, 1]
        if self.config.remasking == "entropy":
            return torch.special.entr(probabilities).sum(dim=-1).neg().exp()
        chosen = probabilities.gather(1, tokens[:, None])[:, 0]
        if self.config.remasking == "positional":
            assert places is not None
            return self._positional(chosen, tokens, places, probabilities.shape[1])
        return chosen

    def _positional(self, chosen: Tensor, tokens: Tensor, places: Tensor, size: int) -> Tensor:
        """exp(-prior_decay * place) * min(-p log f, prior_clip) / prior_clip, f the token's frequency.

        Source: Huang et al. 2025, arXiv 2508.13021 (PC-Sampler), where it is not divided.
        """
        config = self.config
        if self.frequencies is None:
            information = torch.full_like(chosen, math.log(size))
        else:
            information = -self.frequencies.clamp(min=1e-9).log()[tokens]
        clipped = (chosen * information).clamp(max=config.prior_clip) / config.prior_clip
        return torch.exp(-config.prior_decay * places) * clipped


def penalised(logits: Tensor, repeated: Tensor, penalty: float) -> Tensor:
    """Logits (n, V) in which the `repeated` ids, (n, V) bool, are less likely: divided by the penalty, or multiplied
    where they are negative.

    Source: Keskar et al. 2019, arXiv 1909.05858 (CTRL), section 4.1.
    """
    return torch.where(repeated, torch.where(logits > 0, logits / penalty, logits * penalty), logits)


def nucleus(logits: Tensor, top_p: float) -> Tensor:
    """Logits (n, V) with -inf outside the smallest set of most probable ids whose probability reaches top_p.

    Source: Holtzman et al. 2020, arXiv 1904.09751.
    """
    ordered, order = logits.sort(dim=-1, descending=True)
    probabilities = ordered.softmax(dim=-1)
    outside = probabilities.cumsum(dim=-1) - probabilities >= top_p  # the mass before an id already suffices
    return logits.masked_fill(torch.zeros_like(outside).scatter(1, order, outside), -torch.inf)


def token_frequencies(texts: Iterable[Sequence[int]], size: int) -> Tensor:
    """(size,) float32: each token's share of the texts, token ids all; what never occurs counts as one occurrence."""
    counts = torch.zeros(size, dtype=torch.int64)
    for text in texts:
        counts += torch.bincount(torch.as_tensor(text, dtype=torch.int64), minlength=size)
    return (counts.clamp(min=1) / counts.sum().clamp(min=1)).float()


def checked_frequencies(frequencies: Tensor | None, size: int) -> Tensor | None:
    """Raises ValueError where they are not (V,) shares."""
    if frequencies is None:
        return None
    if frequencies.shape != (size,) or not bool(((frequencies >= 0) & (frequencies <= 1)).all()):
        raise ValueError(f"frequencies is {tuple(frequencies.shape)}; needed: ({size},) shares from 0 to 1")
    return frequencies.float()
