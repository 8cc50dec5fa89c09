"""A narrowed base keeps the units that write most, and computes with them what it computed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn.functional import silu

from data_prep.bundled.models.narrowing import heaviest_units, narrowed
from llada import LLaDAModelLM
from llada.network.configuration import LLaDAConfig

WIDE, LIVE, BLOCKS = 48, 32, 2


def network(width: int) -> LLaDAModelLM:
    config = LLaDAConfig(
        d_model=16, n_layers=BLOCKS, n_heads=2, mlp_hidden_size=width, vocab_size=40, max_sequence_length=64,
        mask_token_id=2, eos_token_id=1, pad_token_id=1,
    )  # fmt: skip
    return LLaDAModelLM(config).eval()


@pytest.fixture
def wide() -> LLaDAModelLM:
    torch.manual_seed(3)
    model = network(WIDE)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn(weight.shape) * 0.2)
    return model


def texts() -> list[torch.Tensor]:
    chance = torch.Generator().manual_seed(4)
    return [torch.randint(3, 40, (3, length), generator=chance) for length in (9, 20)]


def test_units_that_write_nothing_go_and_the_logits_stay(wide: LLaDAModelLM, tmp_path: Path) -> None:
    kept = []
    with torch.no_grad():
        for block in wide.model.blocks:
            order = torch.randperm(WIDE)
            kept.append(order[:LIVE].sort().values)
            block.ff_out.weight[:, order[LIVE:]] = 0
    wide.save_pretrained(tmp_path)
    model = network(LIVE)
    narrowed(tmp_path, model, texts())
    found = heaviest_units(wide, LIVE, texts())
    assert [units.tolist() for units in found.values()] == [units.tolist() for units in kept]
    with torch.no_grad():
        for ids in texts():
            torch.testing.assert_close(model(ids).logits, wide(ids).logits, rtol=1e-5, atol=1e-5)


def test_a_base_of_the_same_width_is_taken_as_it_is(wide: LLaDAModelLM, tmp_path: Path) -> None:
    wide.save_pretrained(tmp_path)
    model = network(WIDE)
    narrowed(tmp_path, model, texts())
    assert all(torch.equal(one, other) for one, other in zip(model.parameters(), wide.parameters(), strict=True))


def test_a_units_weight_is_the_mean_square_that_it_adds(wide: LLaDAModelLM) -> None:
    """Written down once more for the first block, whose input is the embeddings after attention, token by token."""
    ids = torch.cat([text.flatten() for text in texts()])
    seen: list[torch.Tensor] = []
    block = wide.model.blocks[0]
    handle = block.ff_norm.register_forward_hook(lambda _, given, output: seen.append(output.flatten(0, -2)))
    with torch.no_grad():
        for text in texts():
            wide(text)
    handle.remove()
    normed = torch.cat(seen)  # (N, D)
    assert len(normed) == len(ids)
    added = torch.zeros(WIDE)
    for unit in range(WIDE):
        for token in normed:
            gate = silu(block.ff_proj.weight[unit] @ token) * (block.up_proj.weight[unit] @ token)
            added[unit] += (gate * block.ff_out.weight[:, unit]).square().sum().detach()
    expected = added.topk(20).indices.sort().values
    assert next(iter(heaviest_units(wide, 20, texts()).values())).tolist() == expected.tolist()
