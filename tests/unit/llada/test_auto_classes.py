"""`import llada` registers the network with transformers' Auto classes, in whatever order things are imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.imports import LONG, REPOSITORY
from tests.support.llama_twin import tiny_model

WITHIN = """
import sys, llada
from importlib.abc import MetaPathFinder
class Within(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "llada.network.cache":
            import transformers.models.auto.modeling_auto
sys.meta_path.insert(0, Within())
import llada.network.modeling
from transformers import AutoConfig, AutoModelForCausalLM
"""
ORDERS = {
    "llada first": "import llada; from transformers import AutoModelForCausalLM, AutoConfig",
    "transformers first": "from transformers import AutoModelForCausalLM, AutoConfig; import llada",
    "config first": "import llada; from transformers import AutoConfig, AutoModelForCausalLM",
    "model first": "import llada.network.modeling; from transformers import AutoConfig, AutoModelForCausalLM",
    "trainer first": "import llada; from transformers import Trainer, AutoConfig, AutoModelForCausalLM",
    "the Auto classes while the network is imported": WITHIN,
}


@pytest.mark.parametrize("order", list(ORDERS) if LONG else list(ORDERS)[::3])
def test_the_auto_classes_load_a_folder_after_import_llada(order: str, tmp_path: Path) -> None:
    program = ORDERS[order]
    for kind, network in (("llada", "LLaDAModelLM"), ("illada", "ILLaDAForCausalLM")):
        folder = str(tmp_path / kind)
        tiny_model(kind=kind).save_pretrained(folder)
        program += f"""
assert type(AutoConfig.from_pretrained({folder!r})).__module__ == "llada.network.configuration"
assert type(AutoModelForCausalLM.from_pretrained({folder!r})).__name__ == {network!r}
"""
    subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, check=True)


def test_importing_llada_imports_neither_torch_nor_transformers() -> None:
    program = "import sys, llada; sys.exit(bool({'torch', 'transformers'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, check=False).returncode == 0
