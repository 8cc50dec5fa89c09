"""200 altered folders of adapters, tokenizers and bases: each is refused in a sentence or gives what the honest one
does, in bounded memory and time.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from adapters import load_adapter
from adapters.attach import attach
from adapters.base import load_base
from adapters.config import MethodConfig, ModelConfig
from adapters.methods import METHODS
from adapters.storage import save_adapter, trainable_tensors
from common.errors import InputError, one_line
from common.memory import peak_resident_bytes, resident_bytes
from llada.chat_format import encode_prompt, load_tokenizer
from llada.errors import CheckpointError
from tests.support.evaluation import write_tiny_base
from tests.support.imports import LONG

Change = Callable[[Path], None]
WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
SLOW_PATTERN = "(a+)+$"
TEXTS = ("Di pulau mana kota Medan berada?", "a" * 200, "<|eot_id|> é 👩 \u202e", " \n\t ")


def fields(file: str, **changes: Any) -> Change:
    def change(folder: Path) -> None:
        content = json.loads((folder / file).read_text(encoding="utf-8"))
        (folder / file).write_text(json.dumps(content | changes), encoding="utf-8")

    return change


def text(file: str, content: str | bytes) -> Change:
    return lambda folder: void((folder / file).write_bytes(content.encode() if isinstance(content, str) else content))


def link(file: str, target: str) -> Change:
    def change(folder: Path) -> None:
        (folder / file).unlink(missing_ok=True)
        (folder / file).symlink_to(target)

    return change


def header(file: str, alter: Callable[[dict[str, Any]], Any], length: int | None = None) -> Change:
    """Another header before the same data."""

    def change(folder: Path) -> None:
        content = (folder / file).read_bytes()
        size = int.from_bytes(content[:8], "little")
        altered = json.dumps(alter(json.loads(content[8 : 8 + size]))).encode()
        number = len(altered) if length is None else length
        (folder / file).write_bytes(number.to_bytes(8, "little") + altered + content[8 + size :])

    return change


def tensors(alter: Callable[[dict[str, torch.Tensor]], Any]) -> Change:
    def change(folder: Path) -> None:
        held = {name: value.clone() for name, value in load_file(folder / WEIGHTS).items()}
        alter(held)
        save_file(held, folder / WEIGHTS, {"format": "pt"})

    return change


def tree(file: str, alter: Callable[[Any], Any]) -> Change:
    def change(folder: Path) -> None:
        content = json.loads((folder / file).read_text(encoding="utf-8"))
        alter(content)
        (folder / file).write_text(json.dumps(content), encoding="utf-8")

    return change


def void(_: Any) -> None:
    return None


def cut(file: str, share: float) -> Change:
    def change(folder: Path) -> None:
        content = (folder / file).read_bytes()
        (folder / file).write_bytes(content[: int(len(content) * share)])

    return change


def flipped(file: str, seed: int, before: int | None = None) -> Change:
    """A byte of the file's structure changed."""

    def change(folder: Path) -> None:
        content = bytearray((folder / file).read_bytes())
        content[random.Random(seed).randrange(before or len(content))] ^= 0x5A
        (folder / file).write_bytes(content)

    return change


def _first(header: dict[str, Any]) -> dict[str, Any]:
    return next(value for key, value in header.items() if key != "__metadata__")


def adapter_changes() -> Iterator[tuple[str, Change]]:
    huge: list[Any] = [10**9, 2**31, 10**30, 2**63, 1e300]
    for value in [0, -1, 1.5, "4", None, [], True, 3, 5, *huge]:
        yield f"r {value}", fields(CONFIG, r=value)
    for value in [0, -1, None, "x", [], float("nan"), float("inf")]:
        yield f"alpha {value}", fields(CONFIG, lora_alpha=value)
    for value in [SLOW_PATTERN, ".*.*.*.*.*.*.*.*x", "(", "[" * 3000, "a" * 10_000, "(?:" * 500, ".*", 5, None, [],
                  ["(a+)+$"], {"a": 1},
                  ["nothing"], "nothing", "all-linear"]:  # fmt: skip
        yield f"targets {str(value)[:20]}", fields(CONFIG, target_modules=value)
    strange: dict[str, list[Any]] = {
        "rank_pattern": [{"q_proj": 10**9}, {SLOW_PATTERN: 4}, {"q_proj": "x"}, 5, {".*": 2**40}],
        "alpha_pattern": [{SLOW_PATTERN: 4}, [1], "x"],
        "modules_to_save": [["ff_out"], ["wte"], "all"],
        "layer_replication": [[[0, 2], [0, 2]], [[0, 10**6]]],
        "megatron_config": [{"a": 1}], "megatron_core": ["os"],
        "init_lora_weights": ["pissa", "eva", "olora", "orthogonal"],
        "bias": ["all", "lora_only", 5],
        "peft_type": ["IA3", "PROMPT_TUNING", None, 3, "x" * 1000], "use_dora": [True, "x"],
        "layers_to_transform": [[0], 10**9], "exclude_modules": [SLOW_PATTERN], "target_parameters": [["a"]],
        "trainable_token_indices": [[0, 1], {"wte": [0]}], "loftq_config": [{"loftq_bits": 4}], "lora_bias": [True],
        "task_type": ["SEQ_CLS", 5], "unknown_field": [1, {"a": [1]}],
        "auto_mapping": [{"parent_library": "os", "base_model_class": "x"}],
        "base_model_name_or_path": ["/etc/passwd", "https://evil.example/", 5],
    }  # fmt: skip
    for key, values in strange.items():
        for value in values:
            yield f"{key} {str(value)[:30]}", fields(CONFIG, **{key: value})
    for content in ["", "{", "null", "[]", "3", "[" * 100_000, '{"r":' * 50_000, b"\xff\xfe\0", "{}", " " * (2 << 20)]:
        yield f"config {str(content)[:12]!r} {len(content)}", text(CONFIG, content)
    for length in (0, 1, 2**20, 2**32, 2**63, 2**64 - 1):
        yield f"header of {length} bytes", header(WEIGHTS, lambda held: held, length)
    yield "shape beyond the data", header(WEIGHTS, lambda held: held | {"x": {**_first(held), "shape": [2**40, 2**20]}})
    yield "negative shape", header(WEIGHTS, lambda held: void(_first(held).update(shape=[-4, 32])) or held)
    yield "offsets beyond", header(WEIGHTS, lambda held: void(_first(held).update(data_offsets=[0, 2**50])) or held)
    yield "offsets backwards", header(WEIGHTS, lambda held: void(_first(held).update(data_offsets=[400, 8])) or held)
    yield "type", header(WEIGHTS, lambda held: void(_first(held).update(dtype="PICKLE")) or held)
    yield "a list", header(WEIGHTS, lambda held: [held])
    yield "deep", text(WEIGHTS, (100_000).to_bytes(8, "little") + b"[" * 100_000)
    yield "a key outside", tensors(lambda held: held.update({"../../x": torch.zeros(2)}))
    yield (
        "a key of the head",
        tensors(
            lambda held: held.update({"base_model.model.model.transformer.ff_out.lora_A.weight": torch.zeros(4, 32)})
        ),
    )
    yield (
        "another rank",
        tensors(
            lambda held: held.update({key: value[:2].contiguous() for key, value in held.items() if "lora_A" in key})
        ),
    )
    yield "NaN", tensors(lambda held: next(iter(held.values())).fill_(torch.nan))
    yield "one tensor less", tensors(lambda held: held.pop(next(iter(held))))
    yield "pickle", text(WEIGHTS, b"\x80\x04\x95cos\nsystem\n(S'touch owned'\ntR.")
    yield "pickle beside", text("adapter_model.bin", b"\x80\x04cos\nsystem\n(S'touch owned'\ntR.")
    for share in (0.1, 0.5, 0.99):
        yield f"weights cut to {share}", cut(WEIGHTS, share)
    for target in ("/etc/passwd", "/dev/zero", "../../../../../../etc/hostname", "/proc/self/environ", "nowhere"):
        yield f"weights link to {target}", link(WEIGHTS, target)
        yield f"config link to {target}", link(CONFIG, target)


def tokenizer_changes() -> Iterator[tuple[str, Change]]:
    file = "tokenizer.json"
    split = {"type": "Split", "pattern": {"Regex": SLOW_PATTERN}, "behavior": "Isolated", "invert": False}
    yield "slow pre-tokenizer", fields(file, pre_tokenizer=split)
    yield (
        "slow normalizer",
        fields(file, normalizer={"type": "Replace", "pattern": {"Regex": "(.*a){20}"}, "content": ""}),
    )
    yield "slow in a sequence", fields(file, pre_tokenizer={"type": "Sequence", "pretokenizers": [split]})
    yield "a long pattern", fields(file, pre_tokenizer={**split, "pattern": {"Regex": "a|" * 5000}})
    for key in ("model", "added_tokens", "pre_tokenizer", "decoder", "version", "truncation", "padding"):
        for value in (None, [], 5, {"type": "Nothing"}):
            if (key, value) not in (
                ("pre_tokenizer", None),
                ("decoder", None),
                ("truncation", None),
                ("padding", None),
                ("padding", []),
            ):
                yield f"{key} {value}", fields(file, **{key: value})
    yield "no vocabulary", tree(file, lambda held: held["model"].update(vocab={}))
    yield "ids beyond", tree(file, lambda held: held["model"]["vocab"].update({"zzz": 2**40}))
    yield "merges of nothing", tree(file, lambda held: held["model"]["merges"].append(["no", "thing"]))
    yield "negative id", tree(file, lambda held: held["added_tokens"][0].update(id=-1))
    for content in ("", "{", "null", "[]", "[" * 100_000, b"\xff\xfe", '{"a":' * 50_000):
        yield f"tokenizer {str(content)[:12]!r} {len(content)}", text(file, content)
    for share in (0.2, 0.6, 0.99):
        yield f"tokenizer cut to {share}", cut(file, share)
    config = "tokenizer_config.json"
    for name, value in {
        "tokenizer_class": "Evil", "auto_map": {"AutoTokenizer": ["evil.Evil", None]}, "tokenizer_file": "/etc/passwd",
        "name_or_path": "/etc/passwd", "chat_template": "{{ cycler.__init__.__globals__.os.system('touch owned') }}",
        "padding_side": "left", "model_max_length": -1, "extra_special_tokens": {"x": "y"}, "added_tokens_decoder": 5,
        "bos_token": {"__type": "AddedToken", "content": 5},
        "clean_up_tokenization_spaces": "x", "trust_remote_code": True,
    }.items():  # fmt: skip
        yield f"tokenizer_config {name}", fields(config, **{name: value})
    for content in ("", "{", "null", "[]", "[" * 100_000):
        yield f"tokenizer_config {content[:12]!r} {len(content)}", text(config, content)
    yield "a tokenizer_config too large", text(config, " " * (17 << 20))
    yield "a template too large", text("chat_template.jinja", "x" * (1 << 20))
    yield "code beside it", text("tokenization_evil.py", "open('owned', 'w')")


def base_changes() -> Iterator[tuple[str, Change]]:
    file = "config.json"
    for key in ("d_model", "n_layers", "n_heads", "n_kv_heads", "mlp_hidden_size", "vocab_size", "embedding_size"):
        for value in (0, -1, "x", None if key in ("d_model", "n_layers", "n_heads") else 7.5, 10**9, 10**30):
            yield f"{key} {value}", fields(file, **{key: value})
    for name, value in {
        "model_type": "evil", "auto_map": {"AutoModel": "evil.Evil"}, "architectures": ["Evil"], "unknown": 1,
        "mask_token_id": -5,
        "quantization_config": {"quant_method": "evil"}, "torch_dtype": "float64", "activation_type": "x",
    }.items():  # fmt: skip
        yield f"config {name}", fields(file, **{name: value})
    for content in ("", "{", "null", "[" * 100_000):
        yield f"config {content[:12]!r} {len(content)}", text(file, content)
    model = "model.safetensors"
    for length in (0, 2**25, 2**63):
        yield f"base header of {length} bytes", header(model, lambda held: held, length)
    yield "base shape", header(model, lambda held: void(_first(held).update(shape=[2**40])) or held)
    yield "base cut", cut(model, 0.5)
    for shard in ("../../../etc/passwd", "/etc/passwd", 5, "nothing.safetensors"):
        index = json.dumps({"weight_map": {"model.transformer.wte.weight": shard}})
        yield f"shard {shard}", lambda folder, index=index: void([
            (folder / "model.safetensors").unlink(), (folder / "model.safetensors.index.json").write_text(index)
        ])  # fmt: skip
    yield "code beside it", text("modeling_evil.py", "open('owned', 'w')")


CASES = [
    *(("adapter", name, change) for name, change in adapter_changes()),
    *(("tokenizer", name, change) for name, change in tokenizer_changes()),
    *(("base", name, change) for name, change in base_changes()),
]


def test_there_are_enough_of_them() -> None:
    assert len(CASES) >= 200


class Honest:
    """The folders as they were written, and what they give."""

    def __init__(self, folder: Path) -> None:
        self.base = write_tiny_base(folder / "base")
        model, config = ModelConfig(), MethodConfig(rank=4)
        made = attach(load_base(model, self.base, "cpu"), METHODS["lora"], config, model, folder / "cache", seed=1)
        with torch.no_grad():
            for tensor in trainable_tensors(made.model).values():
                tensor.add_(0.2 * torch.randn(tensor.shape, generator=torch.Generator().manual_seed(0)))
        self.adapter = folder / "adapter"
        self.adapter.mkdir()
        save_adapter(self.adapter, made.model, trainable_tensors(made.model), METHODS["lora"], config, None, None)
        self.results = {kind: self.result(kind, self.adapter if kind == "adapter" else self.base) for kind in KINDS}
        self.peak = peak_resident_bytes()

    def result(self, kind: str, folder: Path) -> Any:
        if kind == "tokenizer":
            tokenizer = load_tokenizer(folder)
            return [encode_prompt(tokenizer, [{"role": "user", "content": text}]) for text in TEXTS]
        network = load_base(ModelConfig(), self.base if kind == "adapter" else folder, "cpu")
        if kind == "adapter":
            network = load_adapter(network, folder)
        with torch.no_grad():
            return network(torch.arange(40)[None]).logits.tolist()


KINDS = ("adapter", "tokenizer", "base")


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Honest:
    return Honest(tmp_path_factory.mktemp("honest"))


@pytest.mark.parametrize(
    ("kind", "name", "change"), CASES if LONG else CASES[::4], ids=lambda value: value if isinstance(value, str) else ""
)
def test_an_altered_folder_is_refused_or_gives_the_same(
    honest: Honest, kind: str, name: str, change: Change, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(honest.adapter if kind == "adapter" else honest.base, tmp_path / "altered")
    change(folder)
    monkeypatch.chdir(tmp_path)
    before, begun = resident_bytes() or 0, time.process_time()
    _forget_peak()
    try:
        result = honest.result(kind, folder)
    except (InputError, CheckpointError) as error:
        refusal = str(error)
    else:
        refusal = None
        assert result == honest.results[kind]
    assert refusal is None or (0 < len(one_line(refusal)) <= 300 and "root:" not in refusal)
    assert time.process_time() - begun < 10
    assert peak_resident_bytes() < 1.1 * max(honest.peak, before)
    assert not list(tmp_path.rglob("owned"))


def _forget_peak() -> None:
    """Linux then counts the peak from now on."""
    if os.access("/proc/self/clear_refs", os.W_OK):
        Path("/proc/self/clear_refs").write_text("5")
