"""The training step that docs/method.md opens with is the one that trains."""

import re

import torch
from torch.nn.functional import cross_entropy

from llada.diffusion.loss import masked_diffusion_loss
from tests.support.imports import REPOSITORY
from tests.support.llama_twin import MASK, tiny_model, tokens

B, L = 4, 14


def test_the_step_of_the_page_has_the_loss_and_the_gradient_of_the_code():
    page = (REPOSITORY / "docs" / "method.md").read_text(encoding="utf-8")
    step = re.search(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    assert step is not None
    torch.manual_seed(0)
    model, expected = tiny_model(dtype=torch.float64), tiny_model(dtype=torch.float64)
    values = {
        "torch": torch, "cross_entropy": cross_entropy, "B": B, "L": L, "mask_token_id": MASK, "model": model,
        "input_ids": tokens(B, L, seed=5), "prompt_lengths": torch.tensor([4, 2, 6, 3]),
        "optimizer": torch.optim.SGD(model.parameters(), lr=0.1),
    }  # fmt: skip
    exec(step[1], values)  # noqa: S102
    loss = masked_diffusion_loss(expected, values["input_ids"], values["answer"], values["t"], values["mask"])
    torch.testing.assert_close(values["loss"], loss, rtol=1e-6, atol=0)  # t is float32 on the page
    loss.backward()
    torch.optim.SGD(expected.parameters(), lr=0.1).step()
    for ours, theirs in zip(model.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-9)
