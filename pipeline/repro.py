"""`dvc repro` less a notice of DVC's, one for each artefact, that a run before was killed: what it had locked is free,
and the stages go on where it was. `make repro` runs this: python -m pipeline.repro [what `dvc repro` takes].
"""

from __future__ import annotations

import logging
import sys


def main(arguments: list[str]) -> int:
    """The exit status of `dvc repro` with these arguments."""
    from dvc.cli import main as dvc

    logging.getLogger("dvc.rwlock").setLevel(logging.ERROR)
    return dvc(["repro", *arguments])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
