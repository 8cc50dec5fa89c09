"""`python -m pipeline push`: an adapter and its card, uploaded."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.options import AdapterOption, ArtifactsOption, ProfileOption, SetOption, running


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
