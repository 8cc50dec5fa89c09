"""Merged weights: the base with an adapter added in, as a folder in the published checkpoint layout.

The base goes tensor by tensor from its files through `adapters.update` into new shards, so that the memory it takes
is one shard and one weight in float64, not the model: an 8 B base merges within a few gigabytes
(`benchmarks/merge_memory.py`). `release.merge_check` compares the result with base plus adapter.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from adapters.config import ModelConfig
from adapters.storage import WEIGHTS, missing_files
from adapters.update import LowRank, read_adapter
from common.errors import InputError
from common.files import atomic_folder, read_json, sha256_of_file, write_json, write_text
from common.progress import track
from release.merge_check import Check, compare
from release.tensor_files import INDEX, Stored, stored_tensors

SHARD_BYTES = 2**30
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "generation_config.json",
)


def merge(
    *,
    model: ModelConfig,
    base: Path,
    adapter: Path,
    output: Path,
    rows: Sequence[Sequence[int]] = (),
    shard_bytes: int = SHARD_BYTES,
) -> Check | None:
    """Write the merged model to `output`, a folder that is made whole or not at all.

    Args:
        model: the profile's section; its quantisation must be "none".
        base: the unquantised base in the published layout, one file or shards.
        adapter: an adapter folder as the trainer writes it.
        rows: token ids of rows on which to compare logits before the folder is put in place; empty: do not compare.
        shard_bytes: a shard holds no more, unless a single tensor does.

    Returns:
        The comparison, or None without rows.

    Raises:
        InputError: no adapter, a base or adapter that does not fit the other, an output that is not empty, a quantised
            profile, or a merged model that computes something else.
    """
    refuse(model, adapter, output)
    updates = read_adapter(adapter)
    with atomic_folder(output) as folder:
        write_weights(base, updates, folder, shard_bytes)
        copy_companions(base, folder)
        check = compare(base, adapter, folder, rows) if rows else None
        if check is not None and not check.passed:
            raise InputError(
                f"{output}: not written; logits of merged {check.dtype} weights and of base plus adapter differ by "
                f"{check.difference:.2g}, more than {check.tolerance:.2g}; keep base and adapter apart, or write the "
                "folder all the same with --no-check"
            )
        write_text(folder / "README.md", card(base, adapter, check))
    return check


def refuse(model: ModelConfig, adapter: Path, output: Path) -> None:
    """Raises InputError for what cannot be merged, all faults at once."""
    faults = missing_files(adapter)
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        faults.append(f"--output {output}: exists and is not empty; name a new folder")
    if model.quantization != "none":
        faults.append(
            f"model.quantization: {model.quantization}; rounding W + s B A to so few bits again would lose the update "
            "(9% error in NF4), so merge into the unquantised base: --set model.quantization=none"
        )
    if faults:
        raise InputError(faults)


# --- weights, shard by shard ---


def write_weights(base: Path, updates: dict[str, LowRank], folder: Path, shard_bytes: int) -> None:
    """Write the merged shards and their index; one shard's tensors are in memory at a time."""
    stored = stored_tensors(base)
    astray = updates.keys() - {tensor.name for tensor in stored}
    if astray:
        raise InputError(f"{base}: has no {sorted(astray)[0]}, which the adapter changes; it belongs to another base")
    shards = plan_shards(stored, shard_bytes)
    placed: dict[str, str] = {}
    for number, shard in enumerate(track(shards, "merging"), start=1):
        name = f"model-{number:05}-of-{len(shards):05}.safetensors"
        tensors = {tensor.name: merged_tensor(tensor, updates) for tensor in shard}
        save_file(tensors, folder / name, metadata={"format": "pt"})
        placed |= dict.fromkeys(tensors, name)
    total = sum(tensor.bytes for tensor in stored)
    write_json(folder / INDEX, {"metadata": {"total_size": total}, "weight_map": dict(sorted(placed.items()))})


def merged_tensor(tensor: Stored, updates: dict[str, LowRank]) -> Tensor:
    """Read one tensor of the base and add its update, if it has one."""
    weight = tensor.read()
    update = updates.get(tensor.name)
    if update is None:
        return weight.clone()
    if weight.shape != update.shape:
        raise InputError(
            f"{tensor.file}: {tensor.name} has shape {list(weight.shape)}, the adapter is for {list(update.shape)}; it "
            "belongs to another base"
        )
    return update.merged(weight)


def plan_shards(tensors: Sequence[Stored], shard_bytes: int) -> list[list[Stored]]:
    """Fill shards in order; a tensor larger than a shard gets one for itself."""
    shards: list[list[Stored]] = [[]]
    for tensor in tensors:
        if shards[-1] and sum(each.bytes for each in shards[-1]) + tensor.bytes > shard_bytes:
            shards.append([])
        shards[-1].append(tensor)
    return shards


def copy_companions(base: Path, folder: Path) -> None:
    """Config, tokenizer and chat template, as the base has them but for names that transformers 4 does not know."""
    shutil.copyfile(base / "config.json", folder / "config.json")
    for name in TOKENIZER_FILES:
        if (base / name).is_file():
            shutil.copyfile(base / name, folder / name)
    settings = folder / "tokenizer_config.json"
    if settings.is_file():
        write_json(settings, widely_readable(read_json(settings)))


def widely_readable(tokenizer_config: dict[str, Any]) -> dict[str, Any]:
    """The same tokenizer under the names of transformers 4, which version 5 reads too.

    Other tools pin version 4, llama.cpp's converter among them, and it fails on what version 5 writes.
    """
    fields = dict(tokenizer_config)
    if fields.get("tokenizer_class") == "TokenizersBackend":
        fields["tokenizer_class"] = "PreTrainedTokenizerFast"
    if isinstance(fields.get("extra_special_tokens"), list):
        fields["additional_special_tokens"] = fields.pop("extra_special_tokens")
    return fields


# --- the card ---


def card(base: Path, adapter: Path, check: Check | None) -> str:
    """The merged folder's README: what was merged into what, and how far the logits moved by it."""
    run = read_json(adapter / "run.json") if (adapter / "run.json").is_file() else {}
    source = run.get("base", {})
    name = source.get("name")
    front = f"base_model: {name}\nbase_model_relation: merge\n" if name else ""
    sentence = (
        f"On {check.rows} test rows the largest difference between its logits and those of base plus adapter is "
        f"{check.difference:.2g}, the root mean square {check.rms:.1g} ({check.dtype} weights, float64 arithmetic); "
        f"the largest logit is {check.largest:.3g}."
        if check is not None
        else "Its logits were not compared with those of base plus adapter."
    )
    return f"""---
library_name: transformers
language: id
{front}tags: [llada, masked-diffusion, merged]
---

# LLaDA with the {run.get("title", "LoRA")} adapter merged in

{"`" + name + "`" if name else "The base"}{_words(" (revision {})", source.get("revision"))} plus one adapter, added \
into the weights in float64 and rounded once to the base's type. {sentence}

| | sha256 |
|---|---|
| base weights | {source.get("sha256", "not recorded")} |
| adapter weights | {sha256_of_file(adapter / WEIGHTS)} |

```python
from llada.network.modeling import LLaDAModelLM
from llada.chat_format import load_tokenizer
model, tokenizer = LLaDAModelLM.from_pretrained(folder), load_tokenizer(folder)
```
"""


def _words(text: str, value: object) -> str:
    return text.format(value) if value else ""
