"""`import llada` is enough for transformers' Auto classes to know LLaDA and iLLaDA, and costs nothing.

Importing transformers takes seconds, and whoever reads a profile's sampler settings imports this package. So the
classes are registered when transformers' own modules for them are imported: now where they are, otherwise after they
have been. No module of the network knows of this, so that an edit here makes nothing stale that the network computed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any


def register_when_imported() -> None:
    """Register now what can be, and the rest after transformers' modules are imported."""
    for name, register in _REGISTER.items():
        if name in sys.modules:
            register(sys.modules[name])
    if not any(isinstance(finder, _AfterImport) for finder in sys.meta_path):
        sys.meta_path.insert(0, _AfterImport())


def _register_config(auto: Any) -> None:
    from llada.network.configuration import CONFIGS

    for name, config in CONFIGS.items():
        auto.AutoConfig.register(name, config, exist_ok=True)


def _register_models(_: Any) -> None:
    from llada.network import modeling

    auto: Any = sys.modules.get(_AUTO_MODELS)
    if auto is None or not hasattr(modeling, "ILLaDAForCausalLM"):
        return  # one of them is being imported by the other; this is called again after it
    for network in (modeling.LLaDAModelLM, modeling.ILLaDAForCausalLM):
        for each in (auto.AutoModel, auto.AutoModelForCausalLM, auto.AutoModelForMaskedLM):
            each.register(network.config_class, network, exist_ok=True)


_AUTO_MODELS = "transformers.models.auto.modeling_auto"
_REGISTER: dict[str, Callable[[Any], None]] = {
    "transformers.models.auto.configuration_auto": _register_config,
    _AUTO_MODELS: _register_models,
    "llada.network.modeling": _register_models,
}


class _AfterImport(MetaPathFinder):
    """Finds the modules of _REGISTER as they would be found anyway, and registers after each has run."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        register = _REGISTER.get(fullname)
        spec = None if register is None else PathFinder.find_spec(fullname, path, target)
        if register is None or spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def execute_and_register(module: ModuleType) -> None:
            execute(module)
            register(module)

        spec.loader.exec_module = execute_and_register  # type: ignore[method-assign]
        return spec
