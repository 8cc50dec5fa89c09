"""Merged weights: the base with an adapter added in, as a folder in the published checkpoint layout.

The base goes tensor by tensor from its files through `adapters.update` into new shards, so that the memory it takes
is one shard and one weight in float64, not the model: an 8 B base merges within a few gigabytes
(`benchmarks/memory/merge.py`). `release.merge_check` compares the result with base plus adapter.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from adapters.config import ModelConfig
from adapters.lineage import check_base, read_run
from adapters.stored import WEIGHTS, missing_files
from adapters.update import LowRank, read_adapter
from common.errors import InputError
from common.files import atomic_folder, sha256_of_file, sha256_of_model_folder, write_json, write_text
from common.progress import track
from common.records import read_record
from llada.chat_format import widely_readable
from llada.network.checkpoint import read_config
from llada.network.published import is_folder_name, title_of
from llada.network.token_ids import settled_config
from release.merge_check import Check, compare
from release.tensor_files import INDEX, Stored, stored_tensors

SHARD_BYTES = 2**30
OUTSIDE = ("auto_map", "_name_or_path", "name_or_path", "tokenizer_file", "special_tokens_map_file")
"""Fields of the companions that point outside the folder: to remote code that is not copied, to where a file was once
read from.
"""
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
        InputError: no adapter, one that was trained on another base or does not fit this one, an output that is not
            empty, a quantised profile, or a merged model that computes something else.
    """
    refuse(model, adapter, output)
    sha256 = sha256_of_model_folder(base, "base")
    check_base(adapter, base, sha256)
    updates = read_adapter(adapter)
    with atomic_folder(output) as folder:
        write_weights(base, updates, folder, shard_bytes)
        copy_companions(base, folder, model.token_ids, sorted(read_run(adapter).tail_tokens.values()))
        check = compare(base, adapter, folder, rows) if rows else None
        if check is not None and not check.passed:
            raise InputError(
                f"{output}: not written; logits of merged {check.dtype} weights and of base plus adapter differ by "
                f"{check.difference:.2g}, more than {check.tolerance:.2g}; keep base and adapter apart, or write the "
                "folder all the same with --no-check"
            )
        title = title_of(read_config(base).model_type)
        write_text(folder / "README.md", card(model, sha256, adapter, check, title))
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


def copy_companions(base: Path, folder: Path, token_ids: Mapping[str, int], tail_token_ids: Sequence[int] = ()) -> None:
    """Config, tokenizer and chat template, as the base has them but for what points outside the folder, and for names
    that transformers 4 does not know. The config then names the mask token, and what else the profile sets of
    `token_ids` and the adapter's tail, for whoever reads the folder without this project's table.
    """
    named: dict[str, Any] = {"mask_token_id": settled_config(base, token_ids).mask_token_id} | dict(token_ids)
    if tail_token_ids:
        named["tail_token_ids"] = list(tail_token_ids)
    for name in TOKENIZER_FILES:
        if (base / name).is_file():
            shutil.copyfile(base / name, folder / name)
    for name in ("config.json", "tokenizer_config.json"):
        if name == "config.json" or (base / name).is_file():
            fields = read_record(base / name, dict[str, Any])
            fields |= named if name == "config.json" else {}
            write_json(folder / name, widely_readable({key: fields[key] for key in fields if key not in OUTSIDE}))


# --- the card ---


def card(model: ModelConfig, base_sha256: str, adapter: Path, check: Check | None, title: str = "LLaDA") -> str:
    """The merged folder's README: what was merged into what, and how far the logits moved by it."""
    run = read_run(adapter)
    name = None if model.base == "embedded" else Path(model.base).name if is_folder_name(model.base) else model.base
    revision = run.base.revision if run.base.sha256 else model.revision
    front = f"base_model: {name}\nbase_model_relation: merge\n" if name == model.base else ""
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

# {title} with the {run.title} adapter merged in

{"`" + name + "`" if name else "The base"}{f" (revision {revision})" if revision else ""} plus one adapter, added \
into the weights in float64 and rounded once to the base's type. {sentence}

| | sha256 |
|---|---|
| files of the base | {base_sha256} |
| adapter weights | {sha256_of_file(adapter / WEIGHTS)} |

```python
from llada.network.modeling import LLaDAModelLM
from llada.chat_format import load_tokenizer
model, tokenizer = LLaDAModelLM.from_pretrained(folder), load_tokenizer(folder)
```

`config.json` names no remote code. After `import llada`, transformers' `AutoModelForCausalLM` loads the folder too.
"""
