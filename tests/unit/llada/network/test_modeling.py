"""The network against transformers' Llama without its causal mask, and its promises about padding."""

import pytest
import torch

from llada.network.positions import rotary_table
from tests.support.llama_twin import EOS, KINDS, llama_twin, tiny_model, tokens, twin_output

LEFT = torch.tensor([[1] * 12, [0] * 4 + [1] * 8, [0] * 11 + [1]])
RIGHT = LEFT.flip(1)
HOLES = torch.tensor([[1, 0] * 6, [0, 1, 1] * 4, [1] * 5 + [0] * 7])


def logits(model, *args, **kwargs):
    with torch.no_grad():
        return model(*args, **kwargs).logits


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kv_heads", [1, 2, 4])
@pytest.mark.parametrize("mask", [None, LEFT, RIGHT, HOLES], ids=["none", "left", "right", "holes"])
def test_logits_and_hidden_states_equal_llamas_without_causal_mask(kind, kv_heads, mask):
    model = tiny_model(kind=kind, n_kv_heads=kv_heads)
    ids = tokens(3, 12)
    theirs = twin_output(llama_twin(model), ids, mask)
    with torch.no_grad():
        ours = model(ids, mask, output_hidden_states=True)
    torch.testing.assert_close(ours.logits, theirs.logits, rtol=0, atol=2e-5)
    assert len(ours.hidden_states) == len(theirs.hidden_states) == model.config.n_layers + 1
    for mine, other in zip(ours.hidden_states, theirs.hidden_states, strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=2e-5)


def test_hidden_and_head_are_the_two_halves_of_the_forward_pass():
    model = tiny_model()
    ids = tokens(2, 9)
    with torch.no_grad():
        output = model(ids, LEFT[:2, :9], output_hidden_states=True)
        hidden = model.hidden(ids, LEFT[:2, :9])
    assert torch.equal(hidden, output.hidden_states[-1])
    assert torch.equal(model.head(hidden), output.logits)


@pytest.mark.parametrize("keep", [slice(3, 7), slice(8, 12), slice(0, 12)], ids=str)
@pytest.mark.parametrize("mask", [None, LEFT, RIGHT], ids=["none", "left", "right"])
def test_kept_positions_are_those_of_the_whole_forward_pass(keep, mask):
    model = tiny_model(n_kv_heads=2)
    ids = tokens(3, 12)
    with torch.no_grad():
        torch.testing.assert_close(model.hidden(ids, mask, keep=keep), model.hidden(ids, mask)[:, keep])


@pytest.mark.parametrize("kind", KINDS)
def test_kept_positions_have_the_gradients_of_the_whole_forward_pass(kind):
    model = tiny_model(kind=kind)
    ids = tokens(2, 9)
    gradients = []
    for checkpointing in (False, True):
        model.gradient_checkpointing_enable() if checkpointing else model.gradient_checkpointing_disable()
        model.train()
        for hidden in (model.hidden(ids, keep=slice(4, 9)), model.hidden(ids)[:, 4:9]):
            model.zero_grad()
            hidden.square().sum().backward()
            gradients.append(model.model.blocks[0].part("k_proj").weight.grad.clone())
    for other in gradients[1:]:
        torch.testing.assert_close(other, gradients[0])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("mask", [None, LEFT, RIGHT], ids=["none", "left", "right"])
def test_single_positions_have_the_states_and_gradients_of_the_whole_forward_pass(kind, checkpointing, mask):
    """One row has no such position; without any, every weight still takes part."""
    model = tiny_model(kind=kind, n_kv_heads=2, dtype=torch.float64)
    if checkpointing:
        model.gradient_checkpointing_enable()
    model.train()
    ids, row, column = tokens(3, 12), torch.tensor([0, 0, 2, 2, 2]), torch.tensor([4, 11, 0, 6, 11])
    found = []
    for hidden in (model.hidden_at(ids, mask, row, column), model.hidden(ids, mask)[row, column]):
        model.zero_grad()
        hidden.pow(3).sum().backward()
        found.append([hidden.detach(), *(one.grad for one in model.model.blocks.parameters())])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
    nothing = model.hidden_at(ids, mask, row[:0], column[:0])
    assert nothing.shape == (0, model.config.d_model)
    model.zero_grad()
    nothing.sum().backward()
    assert all(one.grad is not None and not one.grad.any() for one in model.model.blocks.parameters())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_all_ones_mask_is_identical_to_no_mask(dtype):
    model = tiny_model(dtype=dtype)
    ids = tokens(2, 10)
    assert torch.equal(logits(model, ids, torch.ones_like(ids)), logits(model, ids))


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int32, torch.int64, torch.float16, torch.float32])
def test_mask_may_have_any_dtype(dtype):
    model = tiny_model()
    ids = tokens(3, 12)
    assert torch.equal(logits(model, ids, LEFT.to(dtype)), logits(model, ids, LEFT))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mask", [LEFT, RIGHT], ids=["left", "right"])
def test_padded_row_equals_the_row_alone(kind, mask):
    model = tiny_model(kind=kind)
    ids = tokens(3, 12)
    together = logits(model, ids, mask)
    for row in range(3):
        real = mask[row].bool()
        alone = logits(model, ids[row, real][None])
        torch.testing.assert_close(together[row, real], alone[0], rtol=0, atol=1e-5)


def test_content_of_padding_changes_nothing_at_real_positions():
    model = tiny_model()
    ids = tokens(3, 12)
    other = torch.where(LEFT == 0, torch.full_like(ids, EOS), ids)
    real = LEFT.bool()
    assert torch.equal(logits(model, ids, LEFT)[real], logits(model, other, LEFT)[real])


def test_own_and_absolute_positions_agree():
    model = tiny_model()
    ids = tokens(3, 12)
    absolute = logits(model, ids, LEFT, position_ids=torch.arange(12)[None])
    torch.testing.assert_close(logits(model, ids, LEFT), absolute, rtol=0, atol=2e-5)


def test_attention_is_bidirectional():
    model = tiny_model()
    ids = tokens(1, 8)
    changed = ids.clone()
    changed[0, -1] = (changed[0, -1] + 1) % 90
    assert not torch.allclose(logits(model, ids)[0, 0], logits(model, changed)[0, 0])


def test_row_without_a_real_token_is_finite():
    mask = torch.tensor([[1, 1, 1], [0, 0, 0]])
    assert logits(tiny_model(), tokens(2, 3), mask).isfinite().all()


@pytest.mark.parametrize("mask", [torch.ones(3, 11), torch.ones(1, 12), torch.ones(3, 1, 12)])
def test_mask_of_another_shape_is_refused(mask):
    with pytest.raises(ValueError, match="attention_mask: shape"):
        tiny_model()(tokens(3, 12), mask)


def test_embeddings_can_stand_for_tokens_but_not_both():
    model = tiny_model()
    ids = tokens(2, 5)
    embedded = model.get_input_embeddings()(ids)
    assert torch.equal(logits(model, inputs_embeds=embedded), logits(model, ids))
    with pytest.raises(ValueError, match="one of them"):
        model(ids, inputs_embeds=embedded)


def test_tuple_output_for_those_who_ask():
    model = tiny_model()
    ids = tokens(1, 4)
    assert torch.equal(model(ids, return_dict=False)[0], model(ids).logits)


def test_illadas_bfloat16_logits_are_those_of_llama():
    """Bit for bit: Llama casts cos and sin to the activations' type, and counts positions from the left edge."""
    half = tiny_model(kind="illada", d_model=64, n_layers=4, dtype=torch.bfloat16)
    ids = tokens(3, 12)
    assert torch.equal(logits(half, ids), twin_output(llama_twin(half), ids).logits)
    real = LEFT.bool()
    padded = twin_output(llama_twin(half), ids, LEFT).logits
    assert torch.equal(logits(half, ids, LEFT)[real], padded[real])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_16_bit_logits_are_no_farther_from_float32_than_llamas(kind, dtype):
    model = tiny_model(kind=kind, d_model=64, n_layers=4)
    ids = tokens(8, 32)
    exact = logits(model, ids)
    half = tiny_model(kind=kind, d_model=64, n_layers=4, dtype=dtype)
    theirs = twin_output(llama_twin(half), ids).logits
    ours = logits(half, ids)
    assert ours.dtype == dtype
    assert (ours - exact).abs().mean() <= 1.02 * (theirs - exact).abs().mean()


def test_rope_angles_are_those_of_float64_at_the_end_of_the_context():
    config = tiny_model(rope_theta=500000.0).config
    positions = torch.tensor([[0, 1, 4095]])
    cos, sin = rotary_table(positions, config)
    steps = torch.arange(0, config.head_dim, 2, dtype=torch.float64) / config.head_dim
    angles = positions[0, :, None].double() * config.rope_theta**-steps
    assert cos.dtype == sin.dtype == torch.float32
    torch.testing.assert_close(cos[0, 0].double(), angles.cos().repeat(1, 2), rtol=0, atol=5e-4)
    torch.testing.assert_close(sin[0, 0].double(), angles.sin().repeat(1, 2), rtol=0, atol=5e-4)


@pytest.mark.parametrize("padded", [False, True])
def test_forward_never_waits_for_a_device(padded):
    """A tensor on the meta device has no values: whatever would copy one to the host raises."""
    model = tiny_model().to("meta")
    ids = torch.zeros(2, 8, dtype=torch.int64, device="meta")
    mask = torch.ones(2, 8, dtype=torch.int64, device="meta") if padded else None
    assert logits(model, ids, mask).shape == (2, 8, 96)


@pytest.mark.parametrize("kind", KINDS)
def test_compiled_blocks_give_the_same_logits_with_few_graphs(kind):
    from torch._dynamo.testing import CompileCounter

    model, counter = tiny_model(kind=kind, n_layers=3), CompileCounter()
    plain = tiny_model(kind=kind, n_layers=3)
    model.compile_blocks(backend=counter)
    for rows, length in [(2, 64), (2, 128), (3, 192), (1, 256), (4, 64)]:
        ids = tokens(rows, length)
        torch.testing.assert_close(logits(model, ids), logits(plain, ids), rtol=0, atol=1e-5)
    assert counter.frame_count <= 3


def test_weight_tying_shares_one_matrix():
    model = tiny_model(weight_tying=True)
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    ids = tokens(1, 5)
    with torch.no_grad():
        expected = model.hidden(ids) @ model.get_input_embeddings().weight.T
    torch.testing.assert_close(logits(model, ids), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("adapted", [False, True])
def test_activation_checkpointing_changes_no_gradient(kind, adapted):
    from peft import LoraConfig, get_peft_model

    gradients = []
    for checkpointing in (False, True):
        model = tiny_model(kind=kind)
        if checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": True})  # even then: not the reentrant form
        if adapted:
            torch.manual_seed(0)
            config = LoraConfig(r=4, target_modules=r".*\.\d+\..*(q_proj|ff_out|down_proj)", init_lora_weights=False)
            model = get_peft_model(model, config)
        model.train()
        (model(input_ids=tokens(2, 12), attention_mask=LEFT[:2]).logits ** 2).mean().backward()
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.requires_grad})
    assert all(gradient is not None for gradient in gradients[1].values())
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-5, atol=1e-7)
