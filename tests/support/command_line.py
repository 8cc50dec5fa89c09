"""A command line run to its end inside the tests' process, where torch is imported already: same words, same status."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from unittest import mock

from pipeline import application
from pipeline.commands import train
from pipeline.options import main
from tests.support.imports import REPOSITORY

PLAIN = {"NO_COLOR": "1", "COLUMNS": "200"}


def run_here(*arguments: str) -> subprocess.CompletedProcess[str]:
    """What `python -m pipeline COMMAND ...` or `python train_adapter.py ...` says and ends with.

    An error that is ours is raised, as it would end a process with its traceback.
    """
    app = train.app if arguments[0] == "train_adapter.py" else application.app
    rest = arguments[1:] if arguments[0] == "train_adapter.py" else arguments[2:]
    out, err = io.StringIO(), io.StringIO()
    with (
        chdir(REPOSITORY),
        mock.patch.dict(os.environ, PLAIN),
        mock.patch.object(sys, "argv", [arguments[0], *rest]),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        try:
            main(app)
            status = 0
        except SystemExit as ended:
            status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return subprocess.CompletedProcess(arguments, status, out.getvalue(), err.getvalue())
