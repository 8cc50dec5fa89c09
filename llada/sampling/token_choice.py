"""From logits at masked positions to a token and a score for each: what the sampler would write there, and how surely.

The probabilities are those of the whole softmax, as published; the mask token, unused ids and what a constraint forbids
are excluded from the choice alone. Stop tokens under `eos_policy` leave the softmax too, which is what the published
sampler's two options for them do. Shapes: n positions, V vocabulary.
"""

from __future__ import annotations

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


@dataclass(frozen=True)
class TokenChooser:
    """The choice of tokens under one configuration.

    Args:
        config: temperature, top_p, remasking, eos_policy and rule are read.
        forbidden: (F,) int64, ids that are never chosen: the mask token and the ids that no tokenizer knows.
        stops: (S,) int64, the stop tokens.
    """

    config: SamplerConfig
    forbidden: Tensor
    stops: Tensor

    def choose(self, logits: Tensor, keys: Tensor | None = None, allowed: Tensor | None = None) -> TokenChoices:
        """Tokens and scores for logits (n, V) float32, which are overwritten.

        Args:
            keys: (n,) int64 noise keys; needed with a temperature and for the score `random`.
            allowed: (n, V) bool, the ids a constraint leaves to each position; None: all.
        """
        config = self.config
        if config.eos_policy == "suppress":
            logits[:, self.stops] = -torch.inf
        tokens = self._tokens(logits, keys, allowed)
        if config.eos_policy == "last":
            logits[:, self.stops] = -torch.inf
        wants_entropy = RULES[config.rule].wants_entropy
        if config.remasking == "random":
            assert keys is not None
            scores = uniform(fold(keys, -2), 1)[:, 0].float()  # the counter -2 keeps clear of the tokens' own 0, 1, ...
            probabilities = logits.softmax(dim=-1) if wants_entropy else None
        else:
            probabilities = logits.softmax(dim=-1)  # (n, V)
            scores = self._scores(probabilities, tokens)
        entropies = None
        if wants_entropy:
            assert probabilities is not None
            entropies = torch.special.entr(probabilities).sum(dim=-1)
        if config.eos_policy == "last":
            stopping = torch.isin(tokens, self.stops)
            scores = scores.masked_fill(stopping, 0.0)
            entropies = None if entropies is None else entropies.masked_fill(stopping, NEVER)
        return TokenChoices(tokens, scores, entropies)

    def probability(self, logits: Tensor, tokens: Tensor) -> Tensor:
        """(n,) float32: the probability of given tokens (n,) under logits (n, V) float32, which are overwritten."""
        if self.config.eos_policy == "suppress":
            logits[:, self.stops] = -torch.inf
        return (logits.gather(1, tokens[:, None])[:, 0] - logits.logsumexp(dim=-1)).exp()

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

    def _scores(self, probabilities: Tensor, tokens: Tensor) -> Tensor:
        if self.config.remasking == "margin":
            excluded = probabilities[:, self.forbidden]
            probabilities[:, self.forbidden] = 0.0
            best = probabilities.topk(2, dim=-1).values
            probabilities[:, self.forbidden] = excluded
            return best[:, 0] - best[:, 1]
        if self.config.remasking == "entropy":
            return torch.special.entr(probabilities).sum(dim=-1).neg().exp()
        return probabilities.gather(1, tokens[:, None])[:, 0]


def nucleus(logits: Tensor, top_p: float) -> Tensor:
    """Logits (n, V) with -inf outside the smallest set of most probable ids whose probability reaches top_p.

    Source: Holtzman et al. 2020, arXiv 1904.09751.
    """
    ordered, order = logits.sort(dim=-1, descending=True)
    probabilities = ordered.softmax(dim=-1)
    outside = probabilities.cumsum(dim=-1) - probabilities >= top_p  # the mass before an id already suffices
    return logits.masked_fill(torch.zeros_like(outside).scatter(1, order, outside), -torch.inf)
