"""A slow second implementation of the network and the sampler, for tests: one row, plain loops, no padding.

Written from the papers' formulas, apart from the package's code: it shares no function with it. A cache is a table of
keys and values per layer and position, so "which entries are stale" is spelled out.
"""

from __future__ import annotations

from collections.abc import Iterator

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


def reference_answer(model: LLaDAModelLM, prompt: list[int], config: SamplerConfig) -> tuple[list[int], int]:
    """The answer to one prompt at temperature 0 with score low_confidence, and how often the model ran."""
    P, K = len(prompt), config.block_length
    sequence = prompt + [MASK] * config.gen_length
    networks = [Network(model, len(sequence)) for _ in range(2 if config.guidance_scale else 1)]
    passes = 0
    for block in range(config.gen_length // K):
        places = range(P + block * K, P + (block + 1) * K)
        masks, steps = K, config.steps // (config.gen_length // K)
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
            choice: dict[int, tuple[float, int]] = {}
            for place in masked:
                choice[place] = _choose(guided[place - span.start].clone(), config)
            best = sorted(masked, key=lambda place: -choice[place][0])
            if config.rule == "quota":  # as published: torch.topk over the sequence, which decides between equal scores
                scores = torch.tensor([choice[p][0] if p in choice else -torch.inf for p in range(len(sequence))])
                take = scores.topk(masks // steps + (1 if step < masks % steps else 0)).indices.tolist()
            elif config.rule == "threshold":
                take = best[:1] + [place for place in best[1:] if choice[place][0] > config.threshold]
            else:
                raise NotImplementedError(config.rule)
            for place in take:
                sequence[place] = choice[place][1]
    return sequence[P:], passes


def _choose(logits: Tensor, config: SamplerConfig) -> tuple[float, int]:
    if config.eos_policy == "suppress":
        logits[[EOS, EOT]] = -torch.inf
    allowed = [token for token in range(43) if token != MASK]
    token = max(allowed, key=lambda candidate: logits[candidate].item())
    if config.eos_policy == "last":
        logits[[EOS, EOT]] = -torch.inf
    return logits.softmax(dim=0)[token].item(), token
