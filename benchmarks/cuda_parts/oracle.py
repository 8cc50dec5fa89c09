"""Does the device compute what the published model computed? Recorded logits, loss, gradients and greedy outputs
(`tests/oracle/data`), in float32 and bfloat16; and quantised layers against their own dequantised weights.

float32 must agree as the tests on the CPU do: logits within 1e-4, loss within 1e-6, gradients within 1e-5 of their
norm, outputs token for token. bfloat16 has eight bits and the recorded network is badly conditioned (on a CPU the plain
recipe's gradients differ from float32's by 76% of their norm, those of the head by 5%): relative errors are reported,
and more than 0.1, of logits, loss or the head's gradient, is a fault.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file
from torch import Tensor

from adapters.base import quantised_linear
from adapters.config import ModelConfig
from benchmarks.cuda_parts.setting import Setting, lacks_bitsandbytes, record, setting
from llada import LLaDAModelLM, SamplerConfig, generate
from llada.diffusion.loss import masked_diffusion_loss

DATA = Path(__file__).resolve().parents[2] / "tests" / "oracle" / "data"
LIMITS = {
    torch.float32: {"logits": 1e-4, "loss": 1e-6, "gradients": 1e-5},
    torch.bfloat16: {"logits": 0.1, "loss": 0.1, "head gradient": 0.1},
}
LAYER = (1024, 512)  # (out, in) of the quantised layer


def main() -> None:
    given = setting(__doc__)
    torch.backends.cuda.matmul.allow_tf32 = False
    transformers.utils.logging.disable_progress_bar()
    faults = []
    for dtype in (torch.float32, torch.bfloat16):
        faults += forward(given, dtype) + loss(given, dtype) + sampler(given, dtype)
    if not lacks_bitsandbytes("quantised layers"):
        faults += quantised(given)
    if faults:
        raise SystemExit("; ".join(faults))


def network(given: Setting, dtype: torch.dtype) -> Any:
    return LLaDAModelLM.from_pretrained(DATA, dtype=dtype).to(given.device)


def forward(given: Setting, dtype: torch.dtype) -> list[str]:
    """Logits of three recorded batches. float32: the largest difference; bfloat16: relative to the logits' norm."""
    recorded, model, errors = load_file(DATA / "forward.safetensors"), network(given, dtype), []
    for case in ("a_random", "b_masked", "c_right_pad"):
        mask = recorded.get(f"{case}.attention_mask")
        with torch.no_grad():
            mask = None if mask is None else mask.to(given.device)
            logits = model(recorded[f"{case}.ids"].to(given.device), mask).logits.float().cpu()
        real = slice(None) if mask is None else mask.cpu().bool()
        got, expected = logits[real], recorded[f"{case}.logits"][real]
        errors.append(float((got - expected).abs().max()) if dtype == torch.float32 else relative(got, expected))
    return judged("logits", dtype, max(errors))


def loss(given: Setting, dtype: torch.dtype) -> list[str]:
    """The recorded loss and its gradients, relative: in float32 all of them, in bfloat16 the head's."""
    recorded, model = load_file(DATA / "loss_and_gradients.safetensors"), network(given, dtype)
    ids, t, mask = recorded["ids"].to(given.device), recorded["t"], recorded["mask"]
    value = masked_diffusion_loss(model, ids, torch.ones_like(ids), t, mask)
    value.backward()
    whole = dtype == torch.float32
    names = [name for name, _ in model.named_parameters() if whole or name == "model.transformer.ff_out.weight"]
    got, expected = ([torch.flatten(tensor) for tensor in tensors] for tensors in (
        [model.get_parameter(name).grad.float().cpu() for name in names], [recorded[f"grad.{name}"] for name in names]
    ))  # fmt: skip
    error = abs(float(value.detach()) / float(recorded["loss"][0]) - 1)
    gradients = relative(torch.cat(got), torch.cat(expected))
    return judged("loss", dtype, error) + judged("gradients" if whole else "head gradient", dtype, gradients)


def sampler(given: Setting, dtype: torch.dtype) -> list[str]:
    """The published sampler's greedy outputs. A near tie falls otherwise in bfloat16, hence a share there."""
    model, equal, total, passes = network(given, dtype), 0, 0, True
    for case in json.loads((DATA / "generate.json").read_text()):
        prompt = torch.tensor(case["prompt"], device=given.device)
        result = generate(model, prompt, config=SamplerConfig(**case["kwargs"]))
        expected = torch.tensor(case["output"])
        equal += int((result.tokens.cpu() == expected).sum())
        total += expected.numel()
        passes &= result.forward_passes == case["nfe"]
    record(f"sampler, {name_of(dtype)}", equal_tokens=equal / total, forward_passes_equal=passes)
    wrong = (dtype == torch.float32 and equal != total) or not passes
    return [f"sampler in {name_of(dtype)}: {equal} of {total} tokens as published"] if wrong else []


def quantised(given: Setting) -> list[str]:
    """A layer's output and input gradient against its own dequantised matrix. int8 rounds its input as well."""
    faults = []
    for kind, dtype, limit in (
        ("nf4", torch.float32, 1e-5),
        ("nf4", torch.bfloat16, 0.01),
        ("nf4", torch.float16, 0.002),
        ("int8", torch.float16, 0.02),
    ):
        error = max(layer_errors(given, kind, dtype))
        record(f"{kind} layer, {name_of(dtype)}", relative_error=error, limit=limit)
        faults += [f"{kind} layer in {name_of(dtype)}: relative error {error:.2g}"] if not error <= limit else []
    return faults


def layer_errors(given: Setting, kind: str, dtype: torch.dtype) -> tuple[float, float]:
    """Relative errors of output and input gradient."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(LAYER, generator=generator).to(given.device, dtype)
    settings = ModelConfig.model_validate({"quantization": kind, "dtype": name_of(dtype)})
    layer: Any = quantised_linear(weight, settings, given.device)
    dense = dequantised(layer, kind).double()
    inputs = torch.randn(64, LAYER[1], generator=generator).to(given.device, dtype).requires_grad_()
    slope = torch.randn(64, LAYER[0], generator=generator).to(given.device, dtype)
    output = layer(inputs)
    output.backward(slope)
    assert inputs.grad is not None
    outward = relative(output.detach(), inputs.detach().double() @ dense.T)
    return outward, relative(inputs.grad, slope.double() @ dense)


def dequantised(layer: Any, kind: str) -> Tensor:
    """The layer's matrix (out, in), unpacked by bitsandbytes' own function."""
    from bitsandbytes.functional import dequantize_4bit

    weight = layer.weight
    if kind == "nf4":
        return dequantize_4bit(weight.data, weight.quant_state)
    return weight.data.float() * (weight.SCB.float()[:, None] / 127)


def judged(what: str, dtype: torch.dtype, error: float) -> list[str]:
    limit = LIMITS[dtype][what]
    record(f"{what}, {name_of(dtype)}", error=error, limit=limit)
    return [] if error <= limit else [f"{what} in {name_of(dtype)}: error {error:.3g}, at most {limit:g}"]


def relative(got: Tensor, expected: Tensor) -> float:
    return float((got.double() - expected.double()).norm() / expected.double().norm())


def name_of(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


if __name__ == "__main__":
    main()
