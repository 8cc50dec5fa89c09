"""What a run must say of itself so that somebody else can repeat it: commit, versions, seed, command."""

from __future__ import annotations

import platform
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.profile import Profile

PACKAGES = ("torch", "transformers", "peft", "accelerate", "bitsandbytes", "daft", "scikit-learn", "sacrebleu", "dvc")
REPOSITORY = Path(__file__).resolve().parent.parent


def git_commit() -> str | None:
    """The commit of the working tree, with `-dirty` where tracked files differ from it; None outside a git checkout."""
    if shutil.which("git") is None or not (REPOSITORY / ".git").exists():
        return None
    command = ["git", "-C", str(REPOSITORY), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    return result.stdout.strip() if result.returncode == 0 else None


def provenance(profile: Profile) -> dict[str, Any]:
    """Facts about code, machine and settings; nothing that changes from run to run on one machine and commit."""
    return {
        "profile": profile.name,
        "seed": profile.seed,
        "git_commit": git_commit(),
        "versions": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
        "machine": f"{platform.system()} {platform.machine()}",
        "settings": profile.model_dump(mode="json"),
        "command": f"dvc exp run -S profile={profile.name}",
    }
