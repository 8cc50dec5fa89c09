"""`python -m pipeline COMMAND`: every command, declared in `pipeline.commands`, runnable by hand outside DVC."""

from __future__ import annotations

import typer

from pipeline.commands import chat, demo, plan, preview, release, seeds, serve, stage, status, sweep
from pipeline.commands.measuring import judge, reversal, safety, scale, search, tasks

app = typer.Typer(
    name="python -m pipeline",
    help="From Indonesian instruction rows to three adapters of LLaDA and a report that compares them. "
    "`dvc repro` runs all stages in order; each command here runs one.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for name, summary in stage.SUMMARIES.items():
    app.command(name, help=summary)(stage.command_of(name))
for command in (stage.evaluate, tasks.tasks, safety.safety, preview.preview, search.search):
    app.command()(command)
for command in (sweep.sweep, seeds.seeds, scale.scale, judge.judge):
    app.command()(command)
for command in (reversal.reversal, plan.plan, status.status):
    app.command()(command)
for talking in (chat.chat, demo.demo, serve.serve):
    app.command(context_settings=chat.TAKES_SAMPLER_FLAGS, epilog=chat.sampler_flags_help())(talking)
for sharing in (release.merge, release.gguf, release.push):
    app.command()(sharing)
app.command("opinion", hidden=True)(judge.judge)  # the name of `judge` up to version 0.1
