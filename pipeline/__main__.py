"""`python -m pipeline STAGE`: one command per stage, each runnable by hand outside DVC."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.commands import (
    ArtifactsOption,
    ProfileOption,
    SetOption,
    exit_status,
    load,
    natural,
    positive,
    refuse_distributed,
    values,
)
from pipeline.conversation_flags import SystemOption, with_conversation_flags

app = typer.Typer(
    name="python -m pipeline",
    help="From Indonesian instruction rows to three adapters of LLaDA and a report that compares them. "
    "`dvc repro` runs all stages in order; each command here runs one.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
DISTRIBUTED = ("embed",)  # the stages that share their work among processes
AdapterOption = Annotated[str, typer.Option("--method", metavar="M", help="The adapter's method.")]


def _run(
    stage: str, profile: str | None, overrides: list[str] | None, artifacts: ArtifactsOption, **arguments: Any
) -> None:
    with exit_status():
        if stage not in DISTRIBUTED:
            refuse_distributed(stage.rstrip("_"))
        settings, paths = load(profile, overrides, artifacts)
        from pipeline import stages

        getattr(stages, stage)(settings, paths, **arguments)


@app.command()
def inputs(profile: ProfileOption = None, overrides: SetOption = None, artifacts: ArtifactsOption = None) -> None:
    """Resolve rows, encoder and base from hub, folder or the embedded generator."""
    _run("inputs", profile, overrides, artifacts)


@app.command()
def select(profile: ProfileOption = None, overrides: SetOption = None, artifacts: ArtifactsOption = None) -> None:
    """Filter by subset, remove nulls and duplicates, sample by template."""
    _run("select", profile, overrides, artifacts)


@app.command()
def embed(profile: ProfileOption = None, overrides: SetOption = None, artifacts: ArtifactsOption = None) -> None:
    """Embed the candidates with the encoder."""
    _run("embed", profile, overrides, artifacts)


@app.command()
def cluster(profile: ProfileOption = None, overrides: SetOption = None, artifacts: ArtifactsOption = None) -> None:
    """Cluster the embeddings with K-Means and draw them with UMAP."""
    _run("cluster", profile, overrides, artifacts)


@app.command()
def split(profile: ProfileOption = None, overrides: SetOption = None, artifacts: ArtifactsOption = None) -> None:
    """Draw training, validation and test rows without leakage."""
    _run("split", profile, overrides, artifacts)


@app.command(name="format")
def format_(profile: ProfileOption = None, overrides: SetOption = None, artifacts: ArtifactsOption = None) -> None:
    """Tokenise the splits in chat form."""
    _run("format_", profile, overrides, artifacts)


@app.command()
def preview(
    split: Annotated[str, typer.Option("--split", help="train, validation or test.")] = "train",
    rows: Annotated[int, typer.Option("--rows", min=1, help="How many rows to show.")] = 3,
    profile: ProfileOption = None,
    overrides: SetOption = None,
    artifacts: ArtifactsOption = None,
) -> None:
    """Show formatted rows: prompt, answer, mask and EOS tail in colour."""
    _run("preview", profile, overrides, artifacts, split=split, rows=rows)


@app.command()
def evaluate(
    methods: Annotated[
        str,
        typer.Option("--method", metavar="M[,M2]", help="base, or an adapter (lora, lora-seed2); several with commas."),
    ],
    profile: ProfileOption = None,
    overrides: SetOption = None,
    artifacts: ArtifactsOption = None,
) -> None:
    """Measure the base or adapters on the test set."""
    with exit_status():
        systems = values("--method", methods, str)
        settings, _ = load(profile, overrides, artifacts)
        for system in systems:
            if system != "base":
                settings.method(system)  # a misspelt one is told before the others have run
    for system in systems:
        _run("evaluate", profile, overrides, artifacts, system=system)


@app.command()
def report(profile: ProfileOption = None, overrides: SetOption = None, artifacts: ArtifactsOption = None) -> None:
    """Compare everything that was evaluated, on one self-contained page."""
    _run("report", profile, overrides, artifacts)


@app.command()
def sweep(
    methods: Annotated[str, typer.Option("--methods", help="Methods, with commas.")] = "lora,loraplus,pissa",
    learning_rates: Annotated[
        str, typer.Option("--learning-rates", help="Peak learning rates, with commas; of A for LoRA+.")
    ] = "1e-4,2e-4,4e-4,8e-4",
    seeds: Annotated[str, typer.Option("--seeds", help="Seeds, with commas.")] = "1,2,3",
    profile: ProfileOption = None,
    overrides: SetOption = None,
    artifacts: ArtifactsOption = None,
) -> None:
    """Train each method at each learning rate and seed; compare each at its own best rate. Resumable."""
    with exit_status():
        lists = {
            "methods": values("--methods", methods, str),
            "learning_rates": values("--learning-rates", learning_rates, positive),
            "seeds": values("--seeds", seeds, int),
        }
    _run("sweep", profile, overrides, artifacts, **lists)


@app.command()
def seeds(
    seeds: Annotated[str, typer.Option("--seeds", help="Training seeds, with commas.")],
    methods: Annotated[str, typer.Option("--methods", help="Methods, with commas.")] = "lora,loraplus,pissa",
    profile: ProfileOption = None,
    overrides: SetOption = None,
    artifacts: ArtifactsOption = None,
) -> None:
    """Train and evaluate methods with more training seeds, for the report to pool. Resumable."""
    with exit_status():
        lists = {"methods": values("--methods", methods, str), "seeds": values("--seeds", seeds, natural)}
    _run("seeds", profile, overrides, artifacts, **lists)


@app.command()
def opinion(
    method: SystemOption,
    against: Annotated[str, typer.Option("--against", metavar="N", help="The other system; base is one.")],
    by: Annotated[str, typer.Option("--by", help="judge, or bertscore (needs the extra `bertscore`).")],
    model: Annotated[str, typer.Option("--model", help="The judge's name on its server, or BERTScore's encoder.")],
    layer: Annotated[int, typer.Option("--layer", min=1, help="Of BERTScore's encoder.")] = 9,
    url: Annotated[
        str, typer.Option("--url", help="An OpenAI-compatible server; its key in JUDGE_API_KEY.")
    ] = "http://127.0.0.1:8000/v1",
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="The first so many items.")] = None,
    profile: ProfileOption = None,
    overrides: SetOption = None,
    artifacts: ArtifactsOption = None,
) -> None:
    """Compare two evaluated systems by a language model that judges, or by BERTScore."""
    chosen = {"by": by, "model": model, "layer": layer, "url": url, "limit": limit}
    _run("opinion", profile, overrides, artifacts, first=method, second=against, **chosen)


@app.command()
@with_conversation_flags
def chat(
    prompt: Annotated[
        str | None, typer.Option("--prompt", metavar="TEXT", help="Answer this one question and leave.")
    ] = None,
    pace: Annotated[float, typer.Option("--pace", min=0, help="Seconds that a step lasts at the least.")] = 0.04,
    profile: ProfileOption = None,
    overrides: SetOption = None,
    artifacts: ArtifactsOption = None,
    *,
    conversation: dict[str, Any],
) -> None:
    """Talk to an adapter and watch its answers denoise; several systems side by side."""
    _run("chat", profile, overrides, artifacts, **conversation, prompt=prompt, pace=pace)


@app.command()
@with_conversation_flags
def demo(
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on. 0.0.0.0 lets everyone on the network in.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes any free one.")] = 7860,
    profile: ProfileOption = None,
    overrides: SetOption = None,
    artifacts: ArtifactsOption = None,
    *,
    conversation: dict[str, Any],
) -> None:
    """The chat as a local web page, with a slider over the denoising steps (needs the extra `demo`)."""
    _run("demo", profile, overrides, artifacts, **conversation, host=host, port=port)


@app.command()
def plan(
    method: Annotated[str | None, typer.Option("--method", metavar="M", help="Default: the profile's first.")] = None,
    gpu: Annotated[
        float | None,
        typer.Option("--gpu", metavar="GIB", min=1, help="For a GPU of so many GiB instead of this machine."),
    ] = None,
    tflops: Annotated[
        float | None,
        typer.Option("--tflops", min=0.001, help="The GPU's dense peak in TFLOP/s, to compute a time nobody measured."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of tables; sizes in bytes.")] = False,
    profile: ProfileOption = None,
    overrides: SetOption = None,
    artifacts: ArtifactsOption = None,
) -> None:
    """Estimate memory, time and disk of training before running it."""
    _run("plan", profile, overrides, artifacts, method=method, gpu=gpu, tflops=tflops, as_json=as_json)


@app.command()
def status(profile: ProfileOption = None, overrides: SetOption = None, artifacts: ArtifactsOption = None) -> None:
    """Show which stages are done, stale or missing, their facts, and the next command."""
    _run("status", profile, overrides, artifacts)


@app.command()
def merge(
    method: AdapterOption,
    output: Annotated[Path, typer.Option("--output", metavar="DIR", help="A new folder for the merged model.")],
    check: Annotated[
        bool,
        typer.Option("--check/--no-check", help="Compare logits on eight test rows, one block in memory at a time."),
    ] = True,
    profile: ProfileOption = None,
    overrides: SetOption = None,
    artifacts: ArtifactsOption = None,
) -> None:
    """Add an adapter into its base's weights, shard by shard, in the published layout."""
    _run("merge", profile, overrides, artifacts, method=method, output=output, check=check)


@app.command()
def push(
    method: AdapterOption,
    repository: Annotated[str, typer.Option("--repo", metavar="NAME", help="USER/NAME on the hub.")],
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List what would go; upload nothing.")] = False,
    profile: ProfileOption = None,
    overrides: SetOption = None,
    artifacts: ArtifactsOption = None,
) -> None:
    """Upload an adapter and its card to the hub; never data."""
    _run("push", profile, overrides, artifacts, method=method, repository=repository, private=private, dry_run=dry_run)


if __name__ == "__main__":
    app()
