"""Let `accelerate launch train_adapter.py` and `accelerate launch -m pipeline ...` end with their own exit status, and
`.venv/bin/dvc repro` start the stages with its own Python, whichever environment is active.

accelerate's launcher answers every non-zero status of a child with a CalledProcessError (one process) or
ChildFailedError (several): a traceback and status 1, whatever the child said. Our child has said in one line what is
wrong (2) or that it saved and stopped (130, 143), so for exactly these statuses of exactly these two the launcher's
traceback is dropped and the status passed on. Nor does it tell which of its own options were left at their defaults:
that is what is meant. Everything else stays as it was.

DVC runs a stage's command by the shell, which finds `python` and `accelerate` by PATH: nowhere, or in another
environment, unless this one is active. So in a process that is DVC, this environment's programs come first.

A one-line `.pth` file beside this module imports it when Python starts; in any process but these two it does nothing.
"""

import os
import sys

LAUNCHERS_ERRORS = ("CalledProcessError", "ChildFailedError", "SignalException")


def _install() -> None:
    arguments = sys.orig_argv
    ours = "train_adapter.py" in " ".join(arguments) or "pipeline" in arguments
    if not ours or "launch" not in arguments or "accelerate" not in " ".join(arguments[:3]):
        return
    import logging

    logging.getLogger("accelerate.commands.launch").addFilter(
        lambda record: "had defaults used instead" not in record.getMessage()
    )
    previous = sys.excepthook

    def end_as_the_child_did(kind: type[BaseException], error: BaseException, trace: object) -> None:
        status: int | None = getattr(error, "returncode", None)
        if kind.__name__ == "ChildFailedError":
            status = error.get_first_failure()[1].exitcode  # type: ignore[attr-defined]
        if kind.__name__ == "SignalException":  # the launcher of several processes was told to stop, and told them
            status = 128 + error.sigval  # type: ignore[attr-defined]
        if status in (-2, -15):
            status = 128 - status  # ended by the signal itself, before it could catch it
        if kind.__name__ in LAUNCHERS_ERRORS and status in (2, 130, 143):
            sys.stderr.flush()
            os._exit(status)  # an excepthook cannot change the status otherwise; the launcher has nothing left to save
        previous(kind, error, trace)  # type: ignore[arg-type]

    sys.excepthook = end_as_the_child_did


def _find_own_programs() -> None:
    first, second = (*sys.orig_argv[1:3], "", "")[:2]
    if first.rpartition(os.sep)[2] != "dvc" and (first, second) not in (("-m", "dvc"), ("-m", "pipeline.repro")):
        return
    own = sys.executable.rpartition(os.sep)[0]  # the link's folder in the environment, not that of what it leads to
    path = os.environ.get("PATH", os.defpath)
    if path.split(os.pathsep)[0] != own:
        os.environ["PATH"] = own + os.pathsep + path


_install()
_find_own_programs()
