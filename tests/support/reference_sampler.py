"""A slow second implementation of the network and the sampler, for tests: one row, plain loops, no padding.

Written from the papers' formulas, apart from the package's code: it shares no function with it. A cache is a table of
keys and values per layer and position, so "which entries are stale" is spelled out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from llada import LLaDAConfig, LLaDAModelLM, SamplerConfig

MASK, EOS, EOT = 40, 41, 42


def single_thread() -> Iterator[None]:
    """A fixture's body: tensors this small are slower on several threads, above all on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def random_model(seed: int, kv_heads: int = 2, favourites: float = 1.0) -> LLaDAModelLM:
    """A tiny float64 model; `favourites` scales the head's rows of mask, EOS and EOT: predicted more often."""
    torch.manual_seed(seed)
    config = LLaDAConfig(
        d_model=16,
        n_layers=2,
        n_heads=2,
        n_kv_heads=kv_heads,
        mlp_hidden_size=24,
        vocab_size=43,
        embedding_size=48,
        max_sequence_length=128,
        mask_token_id=MASK,
        eos_token_id=EOS,
        pad_token_id=EOS,
        eot_token_id=EOT,
        bos_token_id=39,
    )
    model = LLaDAModelLM(config).double().eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.copy_(torch.randn_like(weight) * (1.0 if "wte" in name else 0.35))
            if "norm" in name or "ln_f" in name:
                weight.copy_(1 + 0.1 * torch.randn_like(weight))
        head = model.get_output_embeddings().weight
        head[[MASK, EOS, EOT]] *= favourites
    return model


class Network:
    """The forward pass over a slice of one sequence; keys and values of all positions are kept in `store`."""

    def __init__(self, model: LLaDAModelLM, length: int) -> None:
        self.config = model.config
        self.weights = {name.removeprefix("model.transformer."): w.detach() for name, w in model.state_dict().items()}
        self.store: list[dict[int, tuple[Tensor, Tensor]]] = [{} for _ in range(self.config.n_layers)]
        self.length = length

    def logits(self, ids: list[int], places: range) -> Tensor:
        """(len(places), V) for the tokens `ids` at `places`; attends to fresh entries there, stored ones elsewhere."""
        w, c = self.weights, self.config
        x = w["wte.weight"][torch.tensor(ids)]
        for layer in range(c.n_layers):
            b = f"blocks.{layer}."
            h = self._norm(x, w[b + "attn_norm.weight"])
            query, key, value = (h @ w[b + f"{name}_proj.weight"].T for name in "qkv")
            turned_keys = self._turn(key.unflatten(1, (c.n_kv_heads, -1)), places)
            turned = self._turn(query.unflatten(1, (c.n_heads, -1)), places)
            for row, place in enumerate(places):
                self.store[layer][place] = (turned_keys[row], value[row].view(c.n_kv_heads, -1))
            keys = torch.stack([self.store[layer][place][0] for place in range(self.length)])  # (L, H_kv, D_head)
            values = torch.stack([self.store[layer][place][1] for place in range(self.length)])
            heads = []
            for head in range(c.n_heads):
                kv = head * c.n_kv_heads // c.n_heads
                weights = (turned[:, head] @ keys[:, kv].T / turned.shape[2] ** 0.5).softmax(dim=1)
                heads.append(weights @ values[:, kv])
            x = x + torch.cat(heads, dim=1) @ w[b + "attn_out.weight"].T
            h = self._norm(x, w[b + "ff_norm.weight"])
            gate = h @ w[b + "ff_proj.weight"].T
            x = x + (gate * gate.sigmoid() * (h @ w[b + "up_proj.weight"].T)) @ w[b + "ff_out.weight"].T
        return self._norm(x, w["ln_f.weight"]) @ w["ff_out.weight"].T

    def _norm(self, x: Tensor, weight: Tensor) -> Tensor:
        return weight * x / (x.pow(2).mean(dim=-1, keepdim=True) + self.config.rms_norm_eps).sqrt()

    def _turn(self, x: Tensor, places: range) -> Tensor:
        """RoPE of x (n, H, D_head): pairs (i, i + half) turn by place * theta ** (-2 i / D_head)."""
        half = x.shape[-1] // 2
        frequency = self.config.rope_theta ** -(torch.arange(half, dtype=torch.float32) * 2 / x.shape[-1])
        angle = (torch.tensor(list(places))[:, None] * frequency)[:, None]
        cos, sin = angle.cos(), angle.sin()
        a, b = x[..., :half], x[..., half:]
        return torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1)


@dataclass
class Said:
    """What the model said of one position: the token it would write, how surely, and what early exits look at."""

    token: int
    score: float
    entropy: float
    gap: float
    probabilities: Tensor


def reference_answer(
    model: LLaDAModelLM, prompt: list[int], config: SamplerConfig, frequencies: list[float] | None = None
) -> tuple[list[int], int]:
    """The answer to one prompt at temperature 0, scores low_confidence or positional, and how often the model ran."""
    P, K = len(prompt), config.block_length
    sequence = prompt + [MASK] * config.gen_length
    networks = [Network(model, len(sequence)) for _ in range(2 if config.guidance_scale else 1)]
    passes, whole, canvas = 0, {}, None  # whole: what was last said of every answer position
    for block in range(config.gen_length // K):
        places = range(P + block * K, P + (block + 1) * K)
        masks, memory = K, Memory(config)
        for step in range(10**6):
            masked = [place for place in places if sequence[place] == MASK]
            if not masked:
                break
            span = range(len(sequence))
            if config.cache != "none" and step > 0:
                span = range(places.start, len(sequence)) if config.cache == "prefix" else places
            passes += 1
            seen = [sequence, [MASK] * P + sequence[P:]]
            logits = [n.logits([s[p] for p in span], span) for n, s in zip(networks, seen, strict=False)]
            guided = logits[0]
            if config.guidance_scale:
                guided = logits[1] + (config.guidance_scale + 1) * (logits[0] - logits[1])
            memory.begin()
            said = {}
            for place in span:
                row = guided[place - span.start].clone()
                if config.rule == "credit" and place in masked:
                    row = memory.raised(place, row)
                said[place] = _say(row, config, (place - P) % K, frequencies)
            memory.look({place: said[place].probabilities for place in masked})
            take = COMMITS[config.rule]({place: said[place].score for place in masked}, masks, step, config, memory)
            whole.update({place: view for place, view in said.items() if place >= P})
            before, canvas = canvas, [whole[p].token if sequence[p] == MASK else sequence[p] for p in sorted(whole)]
            if config.early_exit != "none" and _leaves(whole, canvas == before, passes / config.steps, config):
                return canvas, passes
            for place in take:
                sequence[place] = said[place].token
    return sequence[P:], passes


@dataclass(eq=False)
class Cell:
    """A place of an answer that grows: what is known of it stays with it wherever it moves."""

    token: int = MASK
    given: bool = False
    allowed: list[int] | None = None
    said: Said | None = None
    ending: float = 0.0


def growing_answer(
    model: LLaDAModelLM,
    prompt: list[int],
    config: SamplerConfig,
    template: list[int] | None = None,
    allowed: dict[int, list[int]] | None = None,
) -> tuple[list[int], int]:
    """As `reference_answer`, for an answer that grows at its end and, by insertions, in its middle (DAEDAL): a list of
    cells, into which others are put. Pads it to `max_gen_length`; stops at stop tokens."""
    cells = [Cell(token, token != MASK) for token in template or [MASK] * config.gen_length]
    for place, tokens in (allowed or {}).items():
        cells[place].allowed = tokens
    run = _Growing(model, prompt, config, cells)
    K, block = config.block_length, 0
    while config.tail_confidence > 0 and len(cells) < config.longest:
        run.forward(range(len(prompt) + len(cells)), whole=True)
        if run.ending() >= config.tail_confidence:
            break
        cells += [Cell() for _ in range(K)]
    while block * K < config.longest and run.end is None:
        run.denoise(block)
        if len(cells) < (block + 1) * K and run.end is None:
            cells += [Cell() for _ in range((block + 1) * K - len(cells))]
            run.denoise(block)
        block += 1
        if len(cells) == block * K < config.longest and run.end is None:
            cells += [Cell() for _ in range(K)]
    answer = [cell.token for cell in cells]
    answer = answer if run.end is None else answer[: run.end]
    return answer + [EOS] * (config.longest - len(answer)), run.passes


class _Growing:
    """One growing answer at work."""

    def __init__(self, model: LLaDAModelLM, prompt: list[int], config: SamplerConfig, cells: list[Cell]) -> None:
        self.model, self.prompt, self.config, self.cells = model, prompt, config, cells
        self.networks: list[Network] = []
        self.passes, self.steps = 0, 0
        self.end: int | None = None
        self.canvas: list[int] | None = None

    def forward(self, span: range, whole: bool) -> dict[int, Tensor]:
        """Guided logits by answer place; notes at each cell how likely a stop token is there."""
        sequence, P = self.prompt + [cell.token for cell in self.cells], len(self.prompt)
        if whole:
            self.networks = [Network(self.model, len(sequence)) for _ in range(2 if self.config.guidance_scale else 1)]
        self.passes += 1
        seen = [sequence, [MASK] * P + sequence[P:]]
        logits = [n.logits([s[p] for p in span], span) for n, s in zip(self.networks, seen, strict=False)]
        guided = logits[0]
        if self.config.guidance_scale:
            guided = logits[1] + (self.config.guidance_scale + 1) * (logits[0] - logits[1])
        found = {place - P: guided[place - span.start].clone() for place in span if place >= P}
        for place, row in found.items():
            self.cells[place].ending = row.softmax(dim=0)[[EOS, EOT]].sum().item()
        return found

    def ending(self) -> float:
        K = self.config.block_length
        return sum(cell.ending for cell in self.cells[-K:]) / K

    def denoise(self, number: int) -> None:
        config, cells, P, K = self.config, self.cells, len(self.prompt), self.config.block_length
        memory, moved, step = Memory(config), True, 0
        masks = sum(cell.token == MASK for cell in cells[number * K : (number + 1) * K])
        while True:
            places = range(number * K, min((number + 1) * K, len(cells)))
            masked = [place for place in places if cells[place].token == MASK]
            if not masked or self.end is not None:
                return
            due = config.cache_refresh > 0 and step % config.cache_refresh == 0
            whole = config.cache == "none" or moved or due
            end = places.stop if config.cache == "dual" and not whole else len(cells)
            logits = self.forward(range(0 if whole else P + places.start, P + end), whole)
            chances, moved = self.say(logits, masked, memory), False
            scores = {P + place: cells[place].said.score for place in masked}
            calm = {P + place: memory.calm.get(cells[place], 0) for place in masked}
            take = COMMITS[config.rule](scores, masks, step, config, SimpleNamespace(calm=calm))
            self.steps, step = self.steps + 1, step + 1
            leaving = self.leaves()
            for place in range(len(cells)):
                if cells[place].token == MASK and (leaving or P + place in take):
                    cells[place].token = cells[place].said.token
            tokens = [cell.token for cell in cells]
            stops = [place for place, token in enumerate(tokens) if token in (EOS, EOT)]
            given = max((place for place, cell in enumerate(cells) if cell.given), default=-1)
            ends = [place + 1 for place in stops if place >= given and MASK not in tokens[:place]]
            self.end = min(ends, default=None)
            if self.end is None:
                moved = self.insert([place for place in masked if cells[place].token == MASK], chances)

    def say(self, logits: dict[int, Tensor], masked: list[int], memory: Memory) -> dict[int, float]:
        """What the model says of every computed cell; returns the probability of what each masked one would become."""
        config, chances = self.config, {}
        memory.begin()
        for place, row in logits.items():
            cell = self.cells[place]
            if config.rule == "credit" and place in masked:
                row = memory.raised(cell, row, cell.allowed)
            whole = row.clone()
            if config.eos_policy == "suppress":
                whole[[EOS, EOT]] = -torch.inf
            cell.said = _say(row, config, place % config.block_length, None, cell.allowed)
            if place in masked:
                chances[place] = whole.softmax(dim=0)[cell.said.token].item()
        memory.look({self.cells[place]: self.cells[place].said.probabilities for place in masked})
        return chances

    def leaves(self) -> bool:
        before = self.canvas
        self.canvas = [cell.said.token if cell.token == MASK else cell.token for cell in self.cells]
        if self.config.early_exit == "none":
            return False
        views = {place: cell.said for place, cell in enumerate(self.cells)}
        return _leaves(views, self.canvas == before, self.steps / self.config.steps, self.config)

    def insert(self, masked: list[int], chances: dict[int, float]) -> bool:
        config, cells = self.config, self.cells
        free = [place for place in masked if cells[place].allowed is None]
        if not free or len(cells) == config.longest or self.ending() >= config.insert_tail_confidence:
            return False
        least = min(free, key=lambda place: chances[place])
        if chances[least] >= config.insert_below:
            return False
        cells[least : least + 1] = [Cell() for _ in range(min(config.insert_masks, config.longest - len(cells) + 1))]
        return True


def _leaves(whole: dict[int, Said], unchanged: bool, progress: float, config: SamplerConfig) -> bool:
    if config.early_exit == "stable":
        return unchanged and sum(view.entropy for view in whole.values()) / len(whole) < config.exit_entropy
    p = min(1.0, progress)
    share = 1 - p if config.early_exit == "sched_linear" else (1 + math.cos(math.pi * p)) / 2
    bound = config.exit_gap_last + (config.exit_gap_first - config.exit_gap_last) * share
    return sum(view.gap for view in whole.values()) / len(whole) >= bound


def _say(
    logits: Tensor, config: SamplerConfig, place: int, frequencies: list[float] | None, limit: list[int] | None = None
) -> Said:
    if config.eos_policy == "suppress":
        logits[[EOS, EOT]] = -torch.inf
    allowed = [token for token in range(43) if token != MASK and (limit is None or token in limit)]
    token = max(allowed, key=lambda candidate: logits[candidate].item())
    if config.eos_policy == "last":
        logits[[EOS, EOT]] = -torch.inf
    p = logits.softmax(dim=0)
    first, second = sorted((logits[t].item() for t in range(43) if t != MASK), reverse=True)[:2]
    score = p[token].item()
    if config.remasking == "positional":
        frequency = 1 / len(logits) if frequencies is None else frequencies[token]
        information = min(-score * math.log(frequency), config.prior_clip)
        score = math.exp(-config.prior_decay * place) * information / config.prior_clip
        score = 0.0 if config.eos_policy == "last" and token in (EOS, EOT) else score
    entropy = -sum(x * math.log(x) for x in p.tolist() if x > 0)
    return Said(token, score, entropy, first - second, p)


class Memory:
    """What rules remember of a block: credits, predictions, and for how long these have been calm."""

    def __init__(self, config: SamplerConfig) -> None:
        self.config = config
        self.credit: dict[tuple[Hashable, int], float] = {}
        self.before: dict[Hashable, Tensor] = {}
        self.calm: dict[Hashable, int] = {}

    def begin(self) -> None:
        self.credit = {key: value * self.config.credit_decay for key, value in self.credit.items()}

    def raised(self, place: Hashable, logits: Tensor, limit: list[int] | None = None) -> Tensor:
        if self.config.eos_policy == "suppress":
            logits[[EOS, EOT]] = -torch.inf
        p = logits.softmax(dim=0)
        allowed = [token for token in range(43) if token != MASK and (limit is None or token in limit)]
        best = max(allowed, key=lambda token: p[token].item())
        self.credit[place, best] = self.credit.get((place, best), 0.0) + p[best].item() ** self.config.credit_power
        for token in range(len(logits)):
            logits[token] += self.config.credit_weight * math.log(1 + self.credit.get((place, token), 0.0))
        return logits

    def look(self, now: Mapping[Any, Tensor]) -> None:
        for place, p in now.items():
            divergence = math.inf
            if place in self.before:
                pairs = zip(p.tolist(), self.before[place].tolist(), strict=True)
                divergence = sum(x * math.log(x / y) for x, y in pairs if x > 0)
            self.calm[place] = self.calm.get(place, 0) + 1 if divergence < self.config.kl_threshold else 0
            self.before[place] = p


Commit = Callable[[dict[int, float], int, int, SamplerConfig, Any], list[int]]
"""From the scores by place, the block's masks at its opening, the step, the settings and the memory to the places."""


def _best_first(scores: dict[int, float]) -> list[int]:
    return sorted(scores, key=lambda place: (-scores[place], place))


def _quota(masks: int, step: int, config: SamplerConfig) -> int:
    steps = max(1, config.steps // config.blocks)
    return max(1, masks // steps + (1 if step < masks % steps else 0))


def _by_quota(scores: dict[int, float], masks: int, step: int, config: SamplerConfig, _: Memory) -> list[int]:
    # as published: torch.topk over the sequence, which decides between equal scores
    row = torch.tensor([scores.get(place, -torch.inf) for place in range(max(scores) + 1)])
    return row.topk(_quota(masks, step, config)).indices.tolist()


def _by_threshold(scores: dict[int, float], masks: int, step: int, config: SamplerConfig, _: Memory) -> list[int]:
    return list({_best_first(scores)[0], *(place for place in scores if scores[place] > config.threshold)})


def _by_leap(scores: dict[int, float], masks: int, step: int, config: SamplerConfig, _: Memory) -> list[int]:
    anchors = {place for place, score in scores.items() if score >= config.threshold}
    near = {
        place
        for place, score in scores.items()
        for anchor in anchors
        if abs(place - anchor) <= config.leap_distance and score >= config.leap_threshold
    }
    return list(anchors | near) or _best_first(scores)[:1]


def _by_stability(scores: dict[int, float], masks: int, step: int, config: SamplerConfig, memory: Memory) -> list[int]:
    ready = [p for p, score in scores.items() if score > config.threshold and memory.calm[p] >= config.kl_steps]
    return ready or _best_first(scores)[: max(1, _quota(masks, step, config))]


def _by_run(scores: dict[int, float], masks: int, step: int, config: SamplerConfig, memory: Memory) -> list[int]:
    taken, run = set(_by_threshold(scores, masks, step, config, memory)), []
    for place in [*sorted(scores), math.inf]:
        if run and place != run[-1] + 1:
            best = max(run, key=lambda place: scores[place])
            taken |= {best} if scores[best] > config.run_threshold else set()
            run = []
        run.append(place)
    return list(taken)


COMMITS: dict[str, Commit] = {
    "quota": _by_quota,
    "threshold": _by_threshold,
    "local_leap": _by_leap,
    "credit": _by_threshold,
    "klass": _by_stability,
    "hierarchy": _by_run,
}
