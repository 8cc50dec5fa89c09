"""LLaDA, a masked-diffusion language model: the network, the diffusion process, the sampler.

Needs torch, transformers and safetensors alone. Names are loaded when they are first used, so `import llada` is
free. It also makes transformers' Auto classes know `model_type: llada`:

    import llada
    model = AutoModelForCausalLM.from_pretrained(folder)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from llada.auto_classes import register_when_imported

if TYPE_CHECKING:
    from llada.network.configuration import LLaDAConfig
    from llada.network.modeling import LLaDAModelLM
    from llada.sampling.generate import denoise, generate
    from llada.sampling.settings import SamplerConfig

__all__ = ["LLaDAConfig", "LLaDAModelLM", "SamplerConfig", "denoise", "generate"]

_HOME = {
    "LLaDAConfig": "llada.network.configuration",
    "LLaDAModelLM": "llada.network.modeling",
    "SamplerConfig": "llada.sampling.settings",
    "denoise": "llada.sampling.generate",
    "generate": "llada.sampling.generate",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'llada' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)


register_when_imported()
