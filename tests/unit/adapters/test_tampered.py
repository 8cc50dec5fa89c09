"""An adapter folder that was edited or damaged gives one sentence, whichever way it is loaded."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from adapters import load_adapter
from adapters.update import add_adapter
from common.errors import InputError
from tests.support.small_world import small_model
from tests.unit.adapters.test_storage import trained


@pytest.fixture(scope="module")
def adapter(tmp_path_factory):
    _, folder = trained(tmp_path_factory.mktemp("adapter"), "lora")
    return folder


def refused(folder) -> None:
    for load in (load_adapter, add_adapter):
        with pytest.raises(InputError) as caught:
            load(small_model(), folder)
        assert len(caught.value.faults) == 1
        assert str(folder) in caught.value.faults[0]


@pytest.mark.parametrize(
    "change",
    [
        {"r": 8}, {"r": 0}, {"r": "four"}, {"r": None}, {"r": [4]}, {"lora_alpha": "x"}, {"lora_alpha": None},
        {"lora_alpha": 0}, {"lora_alpha": float("inf")}, {"lora_alpha": {}}, {"target_modules": "nothing"},
        {"target_modules": "("}, {"target_modules": 3}, {"target_modules": None}, {"target_modules": ["q_proj"]},
        {"target_modules": []}, {"peft_type": "IA3"}, {"peft_type": 3}, {"peft_type": None}, {"use_dora": True},
        {"use_dora": "maybe"}, {"rank_pattern": {"q_proj": 2}}, {"rank_pattern": 3}, {"alpha_pattern": [1]},
    ],
    ids=str,
)  # fmt: skip
def test_a_configuration_that_says_something_else_is_refused(adapter, tmp_path, change):
    folder = shutil.copytree(adapter, tmp_path / "adapter")
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    refused(folder)


@pytest.mark.parametrize("text", ["null", "[]", "3", '"lora"', "{}", "", "{", "[" * 100_000])
def test_a_configuration_of_another_shape_is_refused(adapter, tmp_path, text):
    folder = shutil.copytree(adapter, tmp_path / "adapter")
    (folder / "adapter_config.json").write_text(text)
    refused(folder)


@pytest.mark.parametrize("damage", ["empty", "cut", "header", "length", "text"])
def test_damaged_weights_are_refused(adapter, tmp_path, damage):
    folder = shutil.copytree(adapter, tmp_path / "adapter")
    path = folder / "adapter_model.safetensors"
    content = path.read_bytes()
    path.write_bytes(
        {
            "empty": b"",
            "cut": content[:-100],
            "header": content[:8] + b"x" * 20 + content[28:],
            "length": b"\xff" * 8 + content[8:],
            "text": b"no weights here",
        }[damage]
    )
    refused(folder)


@pytest.mark.parametrize("change", ["missing", "more", "shape", "nan", "integers"])
def test_weights_that_do_not_belong_to_the_configuration_are_refused(adapter, tmp_path, change):
    folder = shutil.copytree(adapter, tmp_path / "adapter")
    path = folder / "adapter_model.safetensors"
    tensors = load_file(path)
    first = next(iter(tensors))
    if change == "missing":
        del tensors[first]
    elif change == "more":
        tensors["base_model.model.model.transformer.ff_out.lora_A.weight"] = torch.zeros(4, 64)
    else:
        tensors[first] = {
            "shape": tensors[first][:, :-1].contiguous(),
            "nan": torch.full_like(tensors[first], torch.nan),
            "integers": tensors[first].to(torch.int32),
        }[change]
    save_file(tensors, path, {"format": "pt"})
    refused(folder)
