"""Keys and values of a slice against the cached rest of the sequence."""

import pytest
import torch

from llada.network.cache import KeyValueCache
from tests.support.llama_twin import KINDS, tiny_model, tokens

LENGTH = 12
MASK = torch.tensor([[1] * 12, [0] * 5 + [1] * 7, [0] * 2 + [1] * 10])  # rows of different prompt lengths
SLICES = [(0, 12), (6, 12), (6, 9), (11, 12)]  # the whole, prefix cache, dual cache, one token


def hidden(model, ids, mask, **options):
    with torch.no_grad():
        return model.hidden(ids, mask, **options)


def filled(model, ids, mask):
    cache = KeyValueCache(LENGTH)
    hidden(model, ids, mask, cache=cache)
    return cache


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kv_heads", [1, 2, 4])
@pytest.mark.parametrize("mask", [None, MASK], ids=["even", "padded"])
@pytest.mark.parametrize(("start", "end"), SLICES)
def test_slice_of_an_unchanged_sequence_equals_the_full_forward(kind, kv_heads, mask, start, end):
    model = tiny_model(kind=kind, n_kv_heads=kv_heads)
    ids = tokens(3, LENGTH)
    cache = filled(model, ids, mask)
    again = hidden(model, ids[:, start:end], mask, cache=cache, cache_start=start)
    torch.testing.assert_close(again, hidden(model, ids, mask)[:, start:end], rtol=0, atol=1e-5)


def test_logits_through_the_forward_equal_those_without_cache():
    model = tiny_model()
    ids = tokens(3, LENGTH)
    cache = filled(model, ids, MASK)
    with torch.no_grad():
        again = model(ids[:, 4:8], MASK, cache=cache, cache_start=4).logits
        whole = model(ids, MASK).logits
    torch.testing.assert_close(again, whole[:, 4:8], rtol=0, atol=1e-5)


def test_slice_rewrites_its_own_entries_and_no_others():
    model = tiny_model()
    ids = tokens(3, LENGTH)
    cache = filled(model, ids, None)
    before = cache.keys[0].clone()
    hidden(model, (ids[:, 6:9] + 1) % 90, None, cache=cache, cache_start=6)
    changed = (cache.keys[0] != before).any(dim=3).any(dim=1)  # (B, L)
    assert changed[:, 6:9].all()
    assert not changed[:, :6].any()
    assert not changed[:, 9:].any()


def test_one_layer_sees_the_new_slice_among_the_old_rest_exactly():
    """In one block keys depend on tokens alone, so a rewritten slice equals a full forward of the new sequence."""
    model = tiny_model(n_layers=1)
    ids = tokens(3, LENGTH)
    cache = filled(model, ids, MASK)
    changed = ids.clone()
    changed[:, 8:10] = (changed[:, 8:10] + 7) % 90
    again = hidden(model, changed[:, 8:10], MASK, cache=cache, cache_start=8)
    torch.testing.assert_close(again, hidden(model, changed, MASK)[:, 8:10], rtol=0, atol=1e-5)


def test_selected_rows_go_on_as_if_alone():
    model = tiny_model()
    ids, rows = tokens(3, LENGTH), torch.tensor([2, 0])
    cache = filled(model, ids, MASK)
    cache.select_rows(rows)
    again = hidden(model, ids[rows, 6:9], MASK[rows], cache=cache, cache_start=6)
    torch.testing.assert_close(again, hidden(model, ids, MASK)[rows, 6:9], rtol=0, atol=1e-5)


def test_what_is_stored_has_no_graph():
    model = tiny_model()
    cache = KeyValueCache(LENGTH)
    model.hidden(tokens(1, LENGTH), cache=cache)
    assert not cache.keys[0].requires_grad


def test_empty_cache_must_be_filled_whole_first():
    with pytest.raises(ValueError, match="the first pass must cover"):
        hidden(tiny_model(), tokens(1, 4), None, cache=KeyValueCache(LENGTH), cache_start=2)


@pytest.mark.parametrize("start", [-1, 10])
def test_slice_outside_the_sequence_is_refused(start):
    model = tiny_model()
    cache = filled(model, tokens(1, LENGTH), None)
    positions = torch.arange(4)[None]
    with pytest.raises(ValueError, match="leaves the cached sequence"):
        hidden(model, tokens(1, 4), None, cache=cache, cache_start=start, position_ids=positions)


def test_mask_spans_the_cached_sequence():
    model = tiny_model()
    cache = filled(model, tokens(3, LENGTH), MASK)
    with pytest.raises(ValueError, match="attention_mask: shape"):
        hidden(model, tokens(3, 4), MASK[:, :4], cache=cache, cache_start=0)


def test_length_is_at_least_one():
    with pytest.raises(ValueError, match="length: 0"):
        KeyValueCache(0)
