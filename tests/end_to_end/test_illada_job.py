"""The pipeline on a base in iLLaDA's published layout: format to report, merge and chat, in float32 and in NF4.

Its mask token stands in no file, so the profile sets it; its chat form is its own template's.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from adapters.config import ModelConfig
from chat.conversation import Conversation
from chat.systems import Systems
from common.errors import InputError
from llada.chat_format import load_tokenizer
from llada.network.modeling import LLaDAModelLM
from pipeline.paths import Paths, read_inputs
from pipeline.profile import Profile, load_profile
from pipeline.stages import cluster, embed, evaluate, inputs, report, select, split, train
from pipeline.stages import format as format_stage
from release.merge import merge
from tests.end_to_end.test_main_job import SMALL
from tests.support.cendol_rows import article_rows, poem_rows, question_rows, write_encoder, write_rows
from tests.support.evaluation import write_tiny_base, write_tiny_illada

METHODS = ("lora", "pissa")
FEW = ("data.per_cluster=20", "data.test_pool=24", "data.umap_sample=60", "data.max_length=200")


def settings_of(base: Path) -> tuple[str, ...]:
    world = base.parent
    return (*SMALL, *FEW, f"data.source={world / 'rows'}", f"data.encoder={world / 'encoder'}", f"model.base={base}")


def profile_of(base: Path, quantization: str) -> Profile:
    chosen = ("model.mask_token_id=5", f"model.quantization={quantization}")
    profile = load_profile("mini", [*settings_of(base), *chosen])
    return profile.model_copy(update={"methods": {name: profile.methods[name] for name in METHODS}})


@pytest.fixture(scope="module")
def formatted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The base, and the artefacts of every stage up to `format`."""
    root = tmp_path_factory.mktemp("illada")
    base = write_tiny_illada(root / "base")
    write_rows(root / "rows" / "0.parquet", [*article_rows(60), *poem_rows(12), *question_rows(60)])
    write_encoder(root / "encoder")
    profile, paths = profile_of(base, "none"), Paths.of("mini", root / "artefacts")
    for stage in (inputs, select, embed, cluster, split, format_stage):
        stage.run(profile, paths)
    return base, paths.root


@pytest.fixture(scope="module", params=["none", "nf4"])
def finished(
    request: pytest.FixtureRequest, formatted: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Profile, Paths]:
    base, artefacts = formatted
    profile = profile_of(base, request.param)
    paths = Paths.of("mini", Path(shutil.copytree(artefacts, tmp_path_factory.mktemp(request.param) / "artefacts")))
    for method in METHODS:
        train.run(profile, paths, method)
    for system in ("base", *METHODS):
        evaluate.run(profile, paths, system)
    report.run(profile, paths)
    return profile, paths


def test_rows_are_in_the_bases_own_chat_form(formatted: tuple[Path, Path]) -> None:
    base, artefacts = formatted
    tokenizer = load_tokenizer(base)
    for row in pq.read_table(artefacts / "formatted" / "test.parquet").to_pylist():
        text = str(tokenizer.decode(row["input_ids"]))
        assert text.startswith("<[begin]>user\n")
        assert text.count("<[begin]>assistant\n") == 1
        assert 5 not in row["input_ids"]
        assert row["truncated"] or text.endswith("<[end]>")


def test_the_report_is_about_every_system(finished: tuple[Profile, Paths]) -> None:
    _, paths = finished
    for system in ("base", *METHODS):
        assert json.loads((paths.report / "metrics" / f"{system}.json").read_text())["n"] == 12
    card = (paths.report / "cards" / "lora" / "README.md").read_text()
    assert "# LoRA adapter of iLLaDA for Indonesian" in card


@pytest.mark.parametrize("method", METHODS)
def test_the_merged_folder_is_a_base_that_needs_no_setting(
    finished: tuple[Profile, Paths], tmp_path: Path, method: str
) -> None:
    _, paths = finished
    base, model = read_inputs(paths).base, ModelConfig(mask_token_id=5)
    check = merge(
        model=model, base=base, adapter=paths.adapter(method), output=tmp_path / "merged", rows=[list(range(20, 60))]
    )
    assert check is not None
    assert check.passed
    merged = LLaDAModelLM.from_pretrained(tmp_path / "merged")
    assert (type(merged).__name__, merged.config.mask_token_id) == ("ILLaDAForCausalLM", 5)
    assert load_tokenizer(tmp_path / "merged").chat_template == load_tokenizer(base).chat_template


def test_base_and_adapters_answer_side_by_side(finished: tuple[Profile, Paths]) -> None:
    profile, paths = finished
    resolved = read_inputs(paths)
    folders = {"base": None} | {name: paths.adapter(name) for name in METHODS}
    systems = Systems(profile.model, resolved.base, folders, resolved.base_sha256)
    conversation = Conversation(tuple(folders), profile.sampling, seed=1)
    for question in ("Apa ibu kota Indonesia?", "Lalu <[end]>?"):
        *_, last = conversation.ask(systems, question)
        assert last.keys() == folders.keys()
        assert all(not any(token.masked for token in frame.tokens) for frame in last.values())
    assert conversation.turns == 2


def test_its_adapter_is_refused_on_another_base_by_name(finished: tuple[Profile, Paths], tmp_path: Path) -> None:
    _, paths = finished
    resolved = read_inputs(paths)
    other = write_tiny_base(tmp_path / "other")
    with pytest.raises(InputError, match=rf"trained on the base {resolved.base} .*other is another"):
        Systems(ModelConfig(), other, {"lora": paths.adapter("lora")}, "0" * 64)
    with pytest.raises(InputError, match=r"an adapter of iLLaDA .*this base is LLaDA"):
        Systems(ModelConfig(), other, {"lora": paths.adapter("lora")})


def test_the_same_profile_without_the_mask_token_is_refused_before_anything_is_made(
    formatted: tuple[Path, Path], tmp_path: Path
) -> None:
    profile = load_profile("mini", settings_of(formatted[0]))
    with pytest.raises(InputError, match=r"set model\.mask_token_id"):
        inputs.run(profile, Paths.of("mini", tmp_path))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
