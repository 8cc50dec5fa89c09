"""An adapter as GGUF, read back by gguf itself: what llama.cpp would add is what peft merges."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from adapters import load_adapter
from adapters.base import load_base
from adapters.config import ModelConfig
from adapters.update import read_adapter
from common.errors import InputError
from llada.network.configuration import ILLaDAConfig
from release.gguf_adapter import _order, write_gguf
from tests.support.small_world import small_config
from tests.unit.adapters.test_storage import trained

NAMES = {
    "q_proj": "attn_q", "k_proj": "attn_k", "v_proj": "attn_v", "attn_out": "attn_output", "ff_proj": "ffn_gate",
    "up_proj": "ffn_up", "ff_out": "ffn_down",
}  # fmt: skip
"""As llama.cpp calls them in its architecture llada."""
HEADS, HEAD = 4, 16  # of the small network


def written(tmp_path: Path, name: str, **settings: Any) -> tuple[Any, Path]:
    """The GGUF's reader, and the adapter's folder."""
    gguf = pytest.importorskip("gguf", reason="gguf is not installed (extra gguf)")
    _, adapter = trained(tmp_path, name, **settings)
    output = tmp_path / "a.gguf"
    count = write_gguf(adapter=adapter, base=tmp_path / "base", base_sha256="0", output=output)
    reader = gguf.GGUFReader(output)
    assert len(reader.tensors) == 2 * count
    return reader, adapter


def order_there(rows: int) -> list[int]:
    """Where llama.cpp's rows of a rotated weight come from: its pair (2i, 2i + 1) is our (i, i + half)."""
    half = HEAD // 2
    return [head * HEAD + i + part * half for head in range(rows // HEAD) for i in range(half) for part in (0, 1)]


@pytest.mark.parametrize("name", ["lora", "loraplus", "pissa", "rslora"])
def test_what_the_file_adds_to_each_weight_is_pefts_own_merge(tmp_path: Path, name: str) -> None:
    reader, adapter = written(tmp_path, name, alpha=6)
    before = load_base(ModelConfig(), tmp_path / "base").state_dict()
    merged = load_adapter(load_base(ModelConfig(), tmp_path / "base"), adapter).merge_and_unload().state_dict()
    stored = {tensor.name: tensor.data for tensor in reader.tensors}
    alpha = reader.get_field("adapter.lora.alpha").contents()
    changed = 0
    for key, weight in before.items():
        *_, layer, kind, _ = key.split(".") if ".blocks." in key else ("", "", "", "")
        there = f"blk.{layer}.{NAMES.get(kind)}.weight"
        delta = merged[key] - weight
        if f"{there}.lora_a" not in stored:
            assert not delta.any(), key
            continue
        A, B = (torch.tensor(np.array(stored.pop(f"{there}.lora_{part}"))) for part in "ab")
        expected = delta[order_there(len(delta))] if kind in ("q_proj", "k_proj") else delta
        assert torch.allclose(alpha / B.shape[1] * B @ A, expected, atol=2e-6, rtol=1e-4), key
        changed += bool(delta.abs().max() > 1e-3)
    assert not stored
    assert changed == len(read_adapter(adapter))


def test_the_header_is_that_of_a_lora_adapter_of_this_architecture(tmp_path: Path) -> None:
    reader, _ = written(tmp_path, "lora", alpha=8)
    told = {key: reader.get_field(key).contents() for key in reader.fields if not key.startswith("GGUF.")}
    assert told == {
        "general.architecture": "llada", "general.type": "adapter", "adapter.type": "lora", "adapter.lora.alpha": 8.0,
        "general.name": "LoRA adapter",
    }  # fmt: skip


def rotated(values: torch.Tensor, neighbours: bool) -> torch.Tensor:
    """(L, HEAD) turned by position x frequency, in pairs of neighbours as llama.cpp does or of halves as here."""
    angle = torch.arange(len(values))[:, None] / 100.0 ** (torch.arange(HEAD // 2) / (HEAD // 2))
    first, second = (values[:, ::2], values[:, 1::2]) if neighbours else values.chunk(2, dim=1)
    turned = first * angle.cos() - second * angle.sin(), first * angle.sin() + second * angle.cos()
    return torch.stack(turned, dim=2).flatten(1) if neighbours else torch.cat(turned, dim=1)


def test_attention_is_the_same_in_llama_cpps_order_of_rows() -> None:
    config = small_config(n_kv_heads=2)
    texts = torch.randn(5, 64, generator=torch.Generator().manual_seed(0))
    weights = torch.randn(2, HEAD, 64, generator=torch.Generator().manual_seed(1))
    q, k = (rotated(texts @ weight.T, neighbours=False) for weight in weights)
    order = _order("model.transformer.blocks.0.k_proj.weight", config)
    assert len(order) == 2 * HEAD
    there = [rotated(texts @ weight[order[:HEAD]].T, neighbours=True) for weight in weights]
    assert torch.allclose(q @ k.T, there[0] @ there[1].T, atol=1e-4)
    assert not torch.allclose(q @ k.T, rotated(texts @ weights[0].T, True) @ there[1].T, atol=1e-1)


def test_two_runs_write_the_same_bytes(tmp_path: Path) -> None:
    _, adapter = written(tmp_path, "lora")
    again = tmp_path / "b.gguf"
    write_gguf(adapter=adapter, base=tmp_path / "base", base_sha256="0", output=again)
    assert again.read_bytes() == (tmp_path / "a.gguf").read_bytes()


def test_what_has_no_such_form_is_refused_and_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gguf", reason="gguf is not installed (extra gguf)")
    _, adapter = trained(tmp_path, "dora")
    base, output = tmp_path / "base", tmp_path / "a.gguf"
    with pytest.raises(InputError, match="DoRA has no GGUF form; merge it"):
        write_gguf(adapter=adapter, base=base, base_sha256="0", output=output)
    with pytest.raises(InputError, match=r"--output .*adapter: exists already"):
        write_gguf(adapter=adapter, base=base, base_sha256="0", output=adapter)
    with pytest.raises(InputError, match=r"no name of a \.gguf file"):
        write_gguf(adapter=adapter, base=base, base_sha256="0", output=tmp_path / "a.bin")
    shutil.rmtree(adapter)
    _, adapter = trained(tmp_path, "hira")
    with pytest.raises(InputError, match="HiRA has no GGUF form; merge it"):
        write_gguf(adapter=adapter, base=base, base_sha256="0", output=output)
    shutil.rmtree(adapter)
    _, adapter = trained(tmp_path, "lora")
    small_config(mlp_hidden_size=80).save_pretrained(base)
    with pytest.raises(InputError, match="which this base does not have"):
        write_gguf(adapter=adapter, base=base, base_sha256="0", output=output)
    ILLaDAConfig().save_pretrained(base)
    with pytest.raises(InputError, match=r"a base of the kind illada; llama\.cpp has only llada"):
        write_gguf(adapter=adapter, base=base, base_sha256="0", output=output)
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(InputError, match="gguf is not installed; run `pip install"):
        write_gguf(adapter=adapter, base=base, base_sha256="0", output=output)
    assert not list(tmp_path.glob("*.gguf"))
