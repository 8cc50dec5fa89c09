"""`python -m pipeline merge`, `gguf` and `push`: an adapter added into its base, as a GGUF file, or on the hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.options import AdapterOption, ArtifactsOption, ProfileOption, SetOption, running, taking_turns

CHECKED_ROWS, CHECKED_TOKENS = 8, 64  # test rows on which logits are compared, and their first tokens


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
    """Add an adapter into its base's weights, shard by shard."""
    with running("merge", profile, overrides, artifacts) as (settings, paths), taking_turns("merge", paths):
        from pipeline.paths import read_inputs, require

        settings.method(method)
        adapter = require(paths.adapter(method) / "adapter_config.json", f"train --method {method}", paths).parent
        from release.merge import merge as merge_adapter
        from release.merge import refuse
        from training.batching import read_rows

        refuse(settings.model, adapter, output)
        test = require(paths.formatted / "test.parquet", "format", paths) if check else None
        tokens = [] if test is None else read_rows(test).tokens[:CHECKED_ROWS]
        rows = [row[:CHECKED_TOKENS].tolist() for row in tokens]
        base = read_inputs(paths, settings.model.base).base
        compared = merge_adapter(model=settings.model, base=base, adapter=adapter, output=output, rows=rows)
        words = f"; logits differ by at most {compared.difference:.3g}" if compared else ", not compared"
        print(f"{output}: merged{words}")


def gguf(
    method: AdapterOption,
    output: Annotated[Path, typer.Option("--output", metavar="FILE", help="A new file that ends in .gguf.")],
    profile: ProfileOption = None,
    overrides: SetOption = None,
    artifacts: ArtifactsOption = None,
) -> None:
    """Write an adapter as GGUF, for llama.cpp's --lora; no merge."""
    with running("gguf", profile, overrides, artifacts) as (settings, paths), taking_turns("gguf", paths):
        from pipeline.paths import read_inputs, require

        settings.method(method)
        adapter = require(paths.adapter(method) / "adapter_config.json", f"train --method {method}", paths).parent
        from release.gguf_adapter import write_gguf

        inputs = read_inputs(paths)
        count = write_gguf(adapter=adapter, base=inputs.base, base_sha256=inputs.base_sha256, output=output)
        print(f"{output}: low-rank updates of {count} weights, float32")


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
    with running("push", profile, overrides, artifacts) as (settings, paths):
        from pipeline.paths import require

        settings.method(method)
        adapter = require(paths.adapter(method) / "adapter_config.json", f"train --method {method}", paths).parent
        from release import push as sharing

        files = sharing.uploads(adapter, paths.report / "cards" / method / "README.md")
        if dry_run:
            sharing.show(files, repository)
        else:
            print(sharing.push(files, repository, private))
