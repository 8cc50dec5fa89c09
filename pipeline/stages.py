"""One function per stage: take the profile and the paths, call one component. Imports are inside, so that a stage
loads and depends on its own component alone (tests/contract checks dvc.yaml's deps against exactly these imports).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.errors import InputError
from common.files import read_json
from pipeline.config import Profile
from pipeline.paths import Paths

SPLITS = ("train", "validation", "test")
CHECKED_ROWS, CHECKED_TOKENS = 8, 64  # test rows on which a merged model is compared, and their first tokens


@dataclass(frozen=True)
class Inputs:
    """What `inputs` resolved: where rows, encoder and base (with its tokenizer) lie on this machine."""

    rows: list[Path]
    columns: dict[str, str]
    encoder: Path
    base: Path
    base_sha256: str


def read_inputs(paths: Paths) -> Inputs:
    """Read `inputs.json`; its paths are relative to the artefacts where they lie inside them."""
    facts = read_json(paths.inputs_facts, made_by=_command("inputs", paths))
    return Inputs(
        rows=[_present(paths, Path(file["path"])) for file in facts["dataset"]["files"]],
        columns=facts["dataset"].get("columns", {}),
        encoder=_present(paths, Path(facts["encoder"]["path"])),
        base=_present(paths, Path(facts["base"]["path"])),
        base_sha256=facts["base"]["sha256"],
    )


def require(path: Path, stage: str, paths: Paths) -> Path:
    """The path, or an error that names the stage which makes it."""
    if not path.exists():
        raise InputError(f"{path}: not there yet; run `{_command(stage, paths)}` first")
    return path


def inputs(profile: Profile, paths: Paths) -> None:
    """Resolve or make rows, encoder and base."""
    from data_prep.sources import prepare_inputs

    prepare_inputs(
        profile.data,
        base=profile.model.base,
        base_revision=profile.model.revision,
        seed=profile.seed,
        folder=paths.inputs,
        facts=paths.inputs_facts,
    )


def select(profile: Profile, paths: Paths) -> None:
    """Filter, de-duplicate and sample the rows."""
    from data_prep.selection import select as select_rows
    from data_prep.selection import with_columns

    resolved = read_inputs(paths)
    select_rows(
        with_columns(profile.data, resolved.columns),
        files=resolved.rows,
        seed=profile.seed,
        candidates=paths.candidates,
        facts=paths.select_facts,
    )


def embed(profile: Profile, paths: Paths) -> None:
    """Embed the candidates."""
    from data_prep.embedding import embed as embed_rows

    embed_rows(
        profile.data,
        candidates=require(paths.candidates, "select", paths),
        encoder=read_inputs(paths).encoder,
        embeddings=paths.embeddings,
        ids=paths.embedding_ids,
        facts=paths.embed_facts,
        scratch=paths.scratch,
    )


def cluster(profile: Profile, paths: Paths) -> None:
    """Cluster the embeddings and draw them."""
    from data_prep.clustering import cluster as cluster_rows

    cluster_rows(
        profile.data,
        candidates=require(paths.candidates, "select", paths),
        embeddings=require(paths.embeddings, "embed", paths),
        ids=require(paths.embedding_ids, "embed", paths),
        seed=profile.seed,
        clusters=paths.clusters,
        centroids=paths.centroids,
        umap_picture=paths.umap_picture,
        umap_points=paths.umap_points,
        facts=paths.cluster_facts,
    )


def split(profile: Profile, paths: Paths) -> None:
    """Draw training, validation and test rows, disjoint by content, and audit them."""
    from data_prep.splitting import split as split_rows

    split_rows(
        profile.data,
        candidates=require(paths.candidates, "select", paths),
        clusters=require(paths.clusters, "cluster", paths),
        embeddings=require(paths.embeddings, "embed", paths),
        ids=require(paths.embedding_ids, "embed", paths),
        seed=profile.seed,
        splits=paths.splits,
        facts=paths.leakage_facts,
    )


def format_(profile: Profile, paths: Paths) -> None:
    """Tokenise the splits in chat form."""
    from data_prep.formatting import format_splits

    format_splits(
        profile.data,
        splits=require(paths.splits, "split", paths),
        tokenizer=read_inputs(paths).base,
        formatted=paths.formatted,
        facts=paths.format_facts,
    )


def preview(profile: Profile, paths: Paths, split: str, rows: int) -> None:
    """Show some formatted rows as the trainer sees them."""
    from data_prep.preview import preview as preview_rows

    require(paths.formatted / f"{split}.parquet", "format", paths)
    tokenizer = read_inputs(paths).base
    preview_rows(formatted=paths.formatted, tokenizer=tokenizer, split=split, rows=rows, seed=profile.seed)


def evaluate(profile: Profile, paths: Paths, system: str) -> None:
    """Measure the base (`system="base"`) or one adapter on the test set."""
    from eval.evaluate import evaluate as evaluate_system

    if system != "base":
        profile.method(system)
        require(paths.adapter(system) / "adapter_config.json", f"train --method {system}", paths)
    resolved = read_inputs(paths)
    evaluate_system(
        profile.evaluation,
        profile.sampling,
        profile.model,
        system=system,
        base=resolved.base,
        adapter=None if system == "base" else paths.adapter(system),
        test=require(paths.formatted / "test.parquet", "format", paths),
        output=paths.evaluation(system),
        seed=profile.seed,
        encoder=resolved.encoder,
    )


def report(profile: Profile, paths: Paths) -> None:
    """Compare everything that was evaluated, on one page."""
    from eval.report import write_report
    from pipeline.provenance import provenance

    names = ["base", *profile.methods, *_other_seeds(profile, paths)]
    systems = [name for name in names if (paths.evaluation(name) / "metrics.json").exists()]
    require(paths.evaluation("base") / "metrics.json", "evaluate --method base", paths)
    sweep = paths.sweep / "sweep.json"  # run by hand, hence no output of a stage
    headline = write_report(
        profile.evaluation,
        profile_name=profile.name,
        evaluations={system: paths.evaluation(system) for system in systems},
        adapters={system: paths.adapter(system) for system in systems if system != "base"},
        cluster_facts=require(paths.cluster_facts, "cluster", paths),
        umap_points=require(paths.umap_points, "cluster", paths),
        umap_picture=require(paths.umap_picture, "cluster", paths),
        select_facts=require(paths.select_facts, "select", paths),
        leakage_facts=require(paths.leakage_facts, "split", paths),
        format_facts=require(paths.format_facts, "format", paths),
        splits=require(paths.splits, "split", paths),
        provenance=provenance(profile) | {"inputs": read_json(paths.inputs_facts)},
        output=paths.report,
        sweep=sweep if sweep.exists() else None,
    )
    print(f"{headline}\n{paths.report / 'index.html'}")


def train_arguments(profile: Profile, paths: Paths, adapter: str) -> dict[str, Any]:
    """The keyword arguments of `adapters.trainer.train` and `dry_run` for one adapter (`lora`, `lora-seed2`)."""
    from adapters.naming import AdapterName
    from pipeline.provenance import provenance

    seed = AdapterName.parse(adapter).seed
    resolved = read_inputs(paths)
    for name in SPLITS[:2]:
        require(paths.formatted / f"{name}.parquet", "format", paths)
    return {
        "model": profile.model,
        "train": profile.train,
        "config": profile.method(adapter),
        "base": resolved.base,
        "base_sha256": resolved.base_sha256,
        "formatted": paths.formatted,
        "output": paths.adapter(adapter),
        "scratch": paths.scratch,
        "seed": profile.seed if seed is None else seed,
        "provenance": provenance(profile),
    }


def sweep(profile: Profile, paths: Paths, methods: list[str], learning_rates: list[float], seeds: list[int]) -> None:
    """Train every method at every rate and seed, and tell what came out."""
    configs = {method: profile.method(method) for method in methods}
    arguments = train_arguments(profile, paths, methods[0])
    for varied in ("config", "output", "seed"):
        del arguments[varied]
    from adapters.sweep import show
    from adapters.sweep import sweep as sweep_methods
    from adapters.trainer import train

    sweep_methods(methods, learning_rates, seeds, configs=configs, arguments=arguments, output=paths.sweep, run=train)
    show(paths.sweep)


def seeds(profile: Profile, paths: Paths, methods: list[str], seeds: list[int]) -> None:
    """Train and evaluate every method with every training seed, where that is not done yet."""
    from adapters.fingerprint import is_finished
    from adapters.naming import AdapterName
    from adapters.trainer import train
    from common.progress import console
    from eval.evaluate import is_measured

    chosen = [AdapterName(method, None if seed == profile.seed else seed) for seed in seeds for method in methods]
    for adapter in chosen:
        profile.method(str(adapter))  # a misspelt one is told before the others have run
    test = require(paths.formatted / "test.parquet", "format", paths)
    for adapter in chosen:
        name = str(adapter)
        arguments = train_arguments(profile, paths, name)
        folder = arguments["output"]
        if is_finished(folder, adapter.method, **arguments):
            console.print(f"{name}: trained with these settings before")
        else:
            train(adapter.method, **arguments)
        settings = (profile.evaluation, profile.sampling, profile.model)
        if is_measured(paths.evaluation(name), *settings, adapter=folder, test=test, seed=profile.seed):
            console.print(f"{name}: evaluated with these settings before")
        else:
            evaluate(profile, paths, name)
    console.print(f"{len(chosen)} adapters are ready; next: {_command('report', paths)}", soft_wrap=True)


def _other_seeds(profile: Profile, paths: Paths) -> list[str]:
    """Names of the evaluated adapters of other training seeds, by method and seed."""
    from adapters.naming import AdapterName

    folders = paths.evaluation("base").parent
    found = [AdapterName.parse(folder.name) for folder in folders.iterdir()] if folders.is_dir() else []
    return [
        f"{AdapterName(method, seed)}"
        for method in profile.methods
        for seed in sorted(one.seed for one in found if one.method == method and one.seed is not None)
        if seed != profile.seed
    ]


def opinion(
    profile: Profile,
    paths: Paths,
    first: str,
    second: str,
    by: str,
    model: str,
    layer: int,
    url: str,
    limit: int | None,
) -> None:
    """Compare two evaluated systems by BERTScore or a judge, and print what came out."""
    import os

    from eval.opinion import BertScore, Judge, ask_opinion, read_pairs

    if by not in ("judge", "bertscore"):
        raise InputError(f"--by: {by!r} is neither judge nor bertscore")
    for system in (first, second):
        require(paths.evaluation(system) / "items.jsonl", f"evaluate --method {system}", paths)
    pairs = read_pairs(paths.evaluation(first), paths.evaluation(second), limit)
    kept = paths.scratch / "judge" / "verdicts.jsonl"
    asked = BertScore(model, layer) if by == "bertscore" else Judge(url, model, os.environ.get("JUDGE_API_KEY"), kept)
    output = paths.root / "opinions" / f"{by}-{first}-{second}.json"
    found = ask_opinion(
        asked,
        (first, second),
        pairs,
        output,
        resamples=profile.evaluation.bootstrap_resamples,
        permutations=profile.evaluation.permutations,
        seed=profile.seed,
    )
    print(
        f"{by}: {first} minus {second} = {found.difference:+.3f} [{found.low:+.3f}, {found.high:+.3f}], "
        f"p = {found.p:.3f}, n = {found.n}; {output}"
    )


def chat(
    profile: Profile,
    paths: Paths,
    systems: list[str],
    seed: int | None,
    sampling: dict[str, Any],
    prompt: str | None,
    pace: float,
) -> None:
    """Talk in the terminal; answer one question where `prompt` or the standard input holds one."""
    import sys

    if prompt is None and not sys.stdin.isatty():
        prompt = sys.stdin.read()
    conversation = _conversation(profile, paths, systems, seed, sampling)  # refuses before anything slow is imported
    from chat.terminal import talk

    talk(**conversation, prompt=prompt, pace=pace)


def demo(
    profile: Profile, paths: Paths, systems: list[str], seed: int | None, sampling: dict[str, Any], host: str, port: int
) -> None:
    """Talk on a local web page."""
    from chat.page import require_gradio, serve

    require_gradio()
    serve(**_conversation(profile, paths, systems, seed, sampling), host=host, port=port)


def _conversation(
    profile: Profile, paths: Paths, systems: list[str], seed: int | None, sampling: dict[str, Any]
) -> dict[str, Any]:
    """The loaded systems and a fresh conversation with them."""
    from chat.conversation import Conversation, changed

    settings = changed(profile.sampling, sampling)
    adapters = [name for name in systems if name != "base"]
    for name in adapters:
        profile.method(name)
    for name in adapters:
        require(paths.adapter(name) / "adapter_config.json", f"train --method {name}", paths)
    resolved = read_inputs(paths)
    from chat.systems import Systems

    folders = {name: None if name == "base" else paths.adapter(name) for name in systems}
    return {
        "systems": Systems(profile.model, resolved.base, folders),
        "conversation": Conversation(
            tuple(systems), settings, profile.seed if seed is None else seed, profile.data.system_prompt
        ),
    }


def plan(
    profile: Profile, paths: Paths, method: str | None, gpu: float | None, tflops: float | None, as_json: bool
) -> None:
    """Say beforehand what training needs: memory, time, disk."""
    import json

    from pipeline import plan as planning

    found = planning.make_plan(profile, paths, method or next(iter(profile.methods)), gpu, tflops)
    if as_json:
        print(json.dumps(planning.as_json(found), indent=2, allow_nan=False))
    else:
        planning.show(found)


def status(profile: Profile, paths: Paths) -> None:
    """Say of every stage whether it is done, and what to run next."""
    from pipeline import status as progress

    progress.show(progress.status(profile, paths), by_dvc=progress.is_dvc_run(paths, profile.name))


def merge(profile: Profile, paths: Paths, method: str, output: Path, check: bool) -> None:
    """Add an adapter into the weights of its base."""
    profile.method(method)
    adapter = require(paths.adapter(method) / "adapter_config.json", f"train --method {method}", paths).parent
    from adapters.batching import read_rows
    from adapters.merge import merge as merge_adapter
    from adapters.merge import refuse

    refuse(profile.model, adapter, output)
    test = require(paths.formatted / "test.parquet", "format", paths) if check else None
    tokens = [] if test is None else read_rows(test).tokens[:CHECKED_ROWS]
    rows = [row[:CHECKED_TOKENS].tolist() for row in tokens]
    found = merge_adapter(model=profile.model, base=read_inputs(paths).base, adapter=adapter, output=output, rows=rows)
    print(f"{output}: merged" + (f"; logits differ by at most {found.difference:.3g}" if found else ", not compared"))


def push(profile: Profile, paths: Paths, method: str, repository: str, private: bool, dry_run: bool) -> None:
    """Upload an adapter and its card."""
    profile.method(method)
    adapter = require(paths.adapter(method) / "adapter_config.json", f"train --method {method}", paths).parent
    from adapters import push as sharing

    files = sharing.uploads(adapter, paths.report / "cards" / method / "README.md")
    if dry_run:
        sharing.show(files, repository)
    else:
        print(sharing.push(files, repository, private))


def _command(stage: str, paths: Paths) -> str:
    """The command that makes a missing artefact, as the user would type it."""
    moved = paths.report == paths.root / "report"
    where = f"--artifacts {paths.root}" if moved else f"--profile {paths.root.name}"
    if stage.startswith("train"):
        return f"accelerate launch train_adapter.py {stage.removeprefix('train').strip()} {where}"
    return f"python -m pipeline {stage} {where}"


def _present(paths: Paths, path: Path) -> Path:
    absolute = path if path.is_absolute() else paths.root / path
    if not absolute.exists():
        raise InputError(
            f"{absolute}: named in {paths.inputs_facts} but not there; run `{_command('inputs', paths)}` again"
        )
    return absolute
