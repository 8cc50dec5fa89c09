"""The loss against the plain formula, its normalisers, its memory, and the estimator it is."""

import math
from itertools import product

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.parallel import DistributedDataParallel
from torch.utils._python_dispatch import TorchDispatchMode

from llada.diffusion.cross_entropy import chunked_cross_entropy
from llada.diffusion.loss import NORMALIZERS, masked_diffusion_loss
from llada.diffusion.noise import noise_levels, noise_mask
from tests.support.llama_twin import MASK, tiny_model, tokens

ROWS, LENGTH = 4, 14
IDS = tokens(ROWS, LENGTH, seed=5)
ANSWERS = [(4, 14), (2, 9), (6, 14), (3, 7)]  # where each answer begins and ends
MASKABLE = torch.stack([(torch.arange(LENGTH) >= begin) & (torch.arange(LENGTH) < end) for begin, end in ANSWERS])
REAL = torch.stack([torch.arange(LENGTH) < end for _, end in ANSWERS])
T = torch.tensor([0.3, 0.9, 0.55, 0.7], dtype=torch.float64)
NOISE = noise_mask(0, 0, range(ROWS), MASKABLE, T)


def plain_loss(model, normalizer="answer_length", mask=NOISE, t=T, attention_mask=REAL):
    """All logits, then the formula word by word."""
    logits = model(torch.where(mask, MASK, IDS), attention_mask).logits
    total, rows = torch.zeros((), dtype=logits.dtype), []
    for row in range(ROWS):
        row_sum = torch.zeros((), dtype=logits.dtype)
        for column in range(LENGTH):
            if mask[row, column]:
                log_p = torch.log_softmax(logits[row, column], dim=0)[IDS[row, column]]
                row_sum = row_sum - log_p / t[row].to(logits.dtype)
        rows.append(row_sum / MASKABLE[row].sum())
        total = total + row_sum
    divisor = {"batch_tokens": MASKABLE.sum(), "masked_count": mask.sum()}
    return torch.stack(rows).mean() if normalizer == "answer_length" else total / divisor[normalizer]


def gradients(model):
    return {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}


@pytest.mark.parametrize("normalizer", NORMALIZERS)
@pytest.mark.parametrize("frozen_head", [True, False])
@pytest.mark.parametrize("chunk_bytes", [None, 1, 500])
def test_loss_and_gradients_equal_the_plain_formula_in_float64(normalizer, frozen_head, chunk_bytes):
    ours, plain = tiny_model(dtype=torch.float64), tiny_model(dtype=torch.float64)
    for model in (ours, plain):
        model.get_output_embeddings().weight.requires_grad_(not frozen_head)
    loss = masked_diffusion_loss(ours, IDS, MASKABLE, T, NOISE, REAL, normalizer, chunk_bytes=chunk_bytes)
    expected = plain_loss(plain, normalizer)
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=0)
    loss.backward()
    expected.backward()
    theirs = gradients(plain)
    assert gradients(ours).keys() == theirs.keys()
    for name, gradient in gradients(ours).items():
        assert (gradient - theirs[name]).norm() <= 1e-6 * theirs[name].norm()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_loss_in_half_precision_is_close_and_returned_in_float32(dtype):
    model = tiny_model(dtype=dtype)
    model.get_output_embeddings().weight.requires_grad_(False)
    loss = masked_diffusion_loss(model, IDS, MASKABLE, T, NOISE, REAL)
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(plain_loss(tiny_model()).item(), rel=0.02)
    assert all(gradient.isfinite().all() for gradient in gradients(model).values())


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, torch.float32])
def test_masks_may_have_any_dtype(dtype):
    model = tiny_model()
    expected = masked_diffusion_loss(model, IDS, MASKABLE, T, NOISE, REAL)
    assert torch.equal(
        masked_diffusion_loss(model, IDS, MASKABLE.to(dtype), T, NOISE.to(dtype), REAL.to(dtype)), expected
    )


def test_prompt_is_never_masked_and_never_in_the_loss():
    model = tiny_model()
    everywhere = torch.ones_like(NOISE)
    expected = masked_diffusion_loss(model, IDS, MASKABLE, T, MASKABLE, REAL)
    assert torch.equal(masked_diffusion_loss(model, IDS, MASKABLE, T, everywhere, REAL), expected)


@pytest.mark.parametrize("normalizer", NORMALIZERS)
@pytest.mark.parametrize("parts", [[slice(0, 1), slice(1, 4)], [slice(0, 2), slice(2, 3), slice(3, 4)]])
def test_micro_batches_add_up_to_the_global_batch(normalizer, parts):
    total = {"answer_length": ROWS, "batch_tokens": MASKABLE.sum(), "masked_count": NOISE.sum()}[normalizer]
    whole, split = tiny_model(dtype=torch.float64), tiny_model(dtype=torch.float64)
    masked_diffusion_loss(whole, IDS, MASKABLE, T, NOISE, REAL, normalizer).backward()
    for part in parts:
        inputs = (IDS[part], MASKABLE[part], T[part], NOISE[part], REAL[part])
        masked_diffusion_loss(split, *inputs, normalizer, total=total).backward()
    for name, gradient in gradients(split).items():
        torch.testing.assert_close(gradient, gradients(whole)[name], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("frozen_head", [True, False])
@pytest.mark.parametrize("normalizer", NORMALIZERS)
def test_batch_that_masks_nothing_keeps_a_graph(frozen_head, normalizer):
    model = tiny_model()
    model.get_output_embeddings().weight.requires_grad_(not frozen_head)
    loss = masked_diffusion_loss(model, IDS, MASKABLE, T, torch.zeros_like(NOISE), REAL, normalizer)
    loss.backward()
    assert loss.item() == 0
    assert gradients(model)["model.transformer.blocks.0.q_proj.weight"].abs().sum() == 0


def test_row_without_an_answer_adds_nothing():
    model, maskable = tiny_model(), MASKABLE.clone()
    maskable[1] = False
    others = [0, 2, 3]
    inputs = (IDS[others], MASKABLE[others], T[others], NOISE[others], REAL[others])
    expected = masked_diffusion_loss(model, *inputs, total=float(ROWS))
    torch.testing.assert_close(masked_diffusion_loss(model, IDS, maskable, T, NOISE, REAL), expected)


def test_estimator_is_unbiased_over_masks():
    """Given t, the loss averaged over all 2^A masks with their probabilities is the mean of simulated draws."""
    model = tiny_model()
    ids, maskable = IDS[1:2], MASKABLE[1:2]
    columns = maskable[0].nonzero().squeeze(1)
    chosen = torch.tensor(list(product((False, True), repeat=len(columns))))
    masks = torch.zeros(len(chosen), LENGTH, dtype=torch.bool)
    masks[:, columns] = chosen
    t = torch.tensor([0.6])
    with torch.no_grad():
        losses = torch.stack(
            [masked_diffusion_loss(model, ids, maskable, t, mask[None], REAL[1:2]) for mask in masks]
        ).double()
    count = chosen.sum(dim=1)
    exact = (losses * 0.6**count * 0.4 ** (len(columns) - count)).sum()
    rows = range(3000)
    drawn = noise_mask(9, 0, rows, maskable.expand(3000, -1), torch.full((3000,), 0.6))
    index = (drawn[:, columns].long() * 2 ** torch.arange(len(columns) - 1, -1, -1)).sum(dim=1)
    sample = losses[index]
    assert abs(sample.mean() - exact) < 3 * sample.std() / math.sqrt(3000)


def test_stratified_levels_lower_the_variance_of_the_loss_by_the_expected_factor():
    """With a cross-entropy of 1 + 5t nats: Var = (between / B^2 + within) / B in place of (between + within) / B.

    between = Var(1 + 5t) = 25/12 comes from the level, within = E (1 + 5t)^2 (1 - t) / (A t) from the masks.
    """
    B, A, steps = 4, 256, 2500
    maskable = torch.ones(B, A)
    variances = {}
    for stratified in (True, False):
        losses = torch.empty(steps, dtype=torch.float64)
        for step in range(steps):
            t = noise_levels(0, step, range(B), global_batch_size=B, stratified=stratified)
            masked = noise_mask(0, step, range(B), maskable, t).sum(dim=1)
            losses[step] = ((1 + 5 * t) * masked / t / A).mean()
        variances[stratified] = losses.var().item()
        assert abs(losses.mean().item() - 3.5) < 0.01 + 3 * (variances[stratified] / steps) ** 0.5
    t = 1e-3 + (1 - 1e-3) * (torch.arange(10**6, dtype=torch.float64) + 0.5) / 10**6
    between, within = 25 / 12, ((1 + 5 * t) ** 2 * (1 - t) / (A * t)).mean().item()
    expected = (between + within) / (between / B**2 + within)
    assert variances[False] / variances[True] == pytest.approx(expected, rel=0.15)
    assert expected > 8


class LargestTensor(TorchDispatchMode):
    """Remembers the largest number of elements that any operation returned."""

    def __init__(self):
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else (result,):
            if isinstance(tensor, torch.Tensor) and "view" not in str(func) and "split" not in str(func):
                self.elements = max(self.elements, tensor.numel())
        return result


@pytest.mark.parametrize("t", [0.01, 0.5, 1.0])
def test_logits_of_the_batch_never_exist_whatever_t_is(t):
    words = 50_000
    model = tiny_model(vocab_size=words, n_layers=1, d_model=16, n_heads=2, n_kv_heads=2, mlp_hidden_size=16)
    model.model.transformer.wte.weight.requires_grad_(False)
    model.get_output_embeddings().weight.requires_grad_(False)
    ids, level = tokens(4, 64), torch.full((4,), t)
    mask = noise_mask(0, 0, range(4), torch.ones_like(ids), level)
    with LargestTensor() as largest:
        masked_diffusion_loss(model, ids, torch.ones_like(ids), level, mask, chunk_bytes=2**18).backward()
    assert largest.elements <= 2**16  # 2^18 bytes of float32, where all logits would be 12.8 million
    assert model.get_output_embeddings().weight.grad is None


class Bias(nn.Module):
    """A head that is no plain linear layer."""

    def __init__(self, inner):
        super().__init__()
        self.inner, self.bias = inner, nn.Parameter(torch.linspace(-1, 1, inner.weight.shape[0]))

    def forward(self, hidden):
        return self.inner(hidden) + self.bias


@pytest.mark.parametrize("chunk_bytes", [None, 2000])
def test_any_other_head_is_called_as_it_is(chunk_bytes):
    head = Bias(nn.Linear(8, 96, bias=False))
    hidden = torch.randn(7, 8, generator=torch.Generator().manual_seed(0), requires_grad=True)
    targets = torch.arange(7)
    losses = chunked_cross_entropy(head, hidden, targets, chunk_bytes)
    losses.sum().backward()
    ours, hidden.grad, head.bias.grad = (hidden.grad, head.bias.grad), None, None
    expected = F.cross_entropy(head(hidden), targets, reduction="none")
    torch.testing.assert_close(losses, expected)
    expected.sum().backward()
    torch.testing.assert_close(ours, (hidden.grad, head.bias.grad))


@pytest.mark.parametrize("scale", [1e-3, 1.0, 40.0])
def test_running_softmax_survives_any_range_of_logits(scale):
    head = nn.Linear(6, 1000, bias=False).double().requires_grad_(False)
    hidden = (
        scale * torch.randn(9, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    ).requires_grad_()
    targets = torch.arange(9) * 111
    weights = torch.linspace(-1, 2, 9, dtype=torch.float64)
    (chunked_cross_entropy(head, hidden, targets, chunk_bytes=4 * 9 * 7) * weights).sum().backward()
    ours, hidden.grad = hidden.grad, None
    (F.cross_entropy(head(hidden), targets, reduction="none") * weights).sum().backward()
    torch.testing.assert_close(ours, hidden.grad, rtol=1e-9, atol=1e-12)


def test_loss_through_a_peft_model_trains_the_adapter_alone():
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(r=4, target_modules=r".*blocks\.\d+\.(q_proj|ff_out)", init_lora_weights=False)
    model = get_peft_model(tiny_model(), config)
    loss = masked_diffusion_loss(model, IDS, MASKABLE, T, NOISE, REAL)
    torch.testing.assert_close(loss, plain_loss(model).to(loss.dtype), rtol=1e-5, atol=0)
    loss.backward()
    assert gradients(model)
    assert all("lora_" in name for name in gradients(model))


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"normalizer": "mean"}, "normalizer: 'mean'"),
        ({"maskable": MASKABLE[:, :-1]}, "maskable: shape"),
        ({"mask": NOISE[:1]}, "mask: shape"),
        ({"t": T[:, None]}, "t: shape"),
    ],
)
def test_wrong_arguments_are_named(changes, fault):
    arguments = {"input_ids": IDS, "maskable": MASKABLE, "t": T, "mask": NOISE} | changes
    with pytest.raises(ValueError, match=fault):
        masked_diffusion_loss(tiny_model(), **arguments)


def test_mask_id_outside_the_vocabulary_is_named():
    with pytest.raises(ValueError, match="mask_token_id: 126336"):
        masked_diffusion_loss(tiny_model(mask_token_id=126336), IDS, MASKABLE, T, NOISE)


def test_other_models_are_refused():
    with pytest.raises(ValueError, match="expected LLaDAModelLM"):
        masked_diffusion_loss(nn.Linear(2, 2), IDS, MASKABLE, T, NOISE)


def test_distributed_wrapper_is_refused_from_outside(tmp_path):
    store = torch.distributed.FileStore(str(tmp_path / "store"), 1)
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        with pytest.raises(ValueError, match="inside the forward"):
            masked_diffusion_loss(DistributedDataParallel(tiny_model()), IDS, MASKABLE, T, NOISE)
    finally:
        torch.distributed.destroy_process_group()
