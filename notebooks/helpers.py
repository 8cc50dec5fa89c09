"""What the cells of `llada_indonesia.ipynb` call: the hardware, and the project's commands on one profile's work.

A command runs as a process of its own, so that the notebook's own process holds no GPU memory, and a newer package that
was just installed need not be loaded over an older one. Work is done on the local disk and mirrored to a storage that
outlasts the session, because locks and renames mean little on a mounted Drive. Messages are Indonesian, then English.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from notebooks.looking import TRAINING, Live

GIB = 2**30
STAGES = {  # what each leaves, under the artefacts
    "select": "select.json",
    "embed": "embed.json",
    "cluster": "cluster.json",
    "split": "leakage.json",
    "format": "format.json",
}
MIRRORED = ("*.json", "*.parquet", "*.npy", "*.png", "splits", "formatted", "adapters", "evaluation", TRAINING)


class Stopped(Exception):  # noqa: N818  (a reader sees its name)
    """Why the notebook goes no further; shown as it is, without a traceback."""

    def _render_traceback_(self) -> list[str]:
        """IPython's protocol for what stands below a cell."""
        return [str(self)]


@dataclass(frozen=True)
class Hardware:
    """What this machine has; sizes in GiB."""

    gpu: str | None
    capability: tuple[int, int]
    memory: float
    driver: str
    host: float
    disk: float
    why_not: str = ""  # there is a driver, and yet torch sees no GPU

    def refusals(self) -> list[str]:
        """Why the 8 B recipe cannot run here: nothing, or sentences."""
        if self.gpu is None and self.why_not:
            return [f"Driver {self.driver} terlalu lama. | Driver {self.driver} is too old: {self.why_not}."]
        if self.gpu is None:
            return ["Tidak ada GPU; pilih T4 di Runtime > Change runtime type. | No GPU: choose a T4 there."]
        found = []
        if self.capability < (7, 5):
            found.append(f"{self.gpu} terlalu tua; pilih T4. | {self.gpu} is older than PyTorch supports: take a T4.")
        if self.memory < 14:
            found.append(f"Memori GPU {self.memory:.1f} GiB, perlu 14. | The GPU has {self.memory:.1f} GiB, not 14.")
        if self.host < 8:
            found.append(f"Memori mesin {self.host:.1f} GiB, perlu 8. | The host has {self.host:.1f} GiB, not 8.")
        if self.disk < 30:
            found.append(f"Ruang disk {self.disk:.0f} GiB, perlu 30. | {self.disk:.0f} GiB of disk are free, not 30.")
        return found

    def __str__(self) -> str:
        arithmetic = "bfloat16" if self.capability >= (8, 0) else "float16"
        card = f"{self.gpu}, {self.memory:.1f} GiB, {arithmetic}, driver {self.driver}" if self.gpu else "CPU"
        return f"{card}; RAM {self.host:.1f} GiB; disk {self.disk:.0f} GiB"


def hardware() -> Hardware:
    """Ask torch in a process of its own, and the system."""
    ask = (
        "import json, torch; c = torch.cuda; ok = c.is_available(); p = c.get_device_properties(0) if ok else None; "
        "print(json.dumps([p and p.name, c.get_device_capability(0) if ok else [0, 0], p.total_memory if p else 0, "
        "'torch is built for CUDA ' + str(torch.version.cuda)]))"
    )
    answer = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True).stdout
    gpu, capability, memory, built = json.loads(answer.splitlines()[-1])
    driver = driver_version()
    host = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    disk = shutil.disk_usage(Path.home()).free / GIB  # where the hub's files go
    why_not = built if driver and gpu is None else ""
    return Hardware(gpu, (capability[0], capability[1]), memory / GIB, driver, host, disk, why_not)


def driver_version() -> str:
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        found = subprocess.run(query, capture_output=True, text=True, check=True, timeout=20).stdout.split()
    except (OSError, subprocess.SubprocessError):
        return ""
    return found[0] if found else ""


def require(machine: Hardware, profile: str) -> None:
    """Raises Stopped where the profile needs a GPU that is not there."""
    if profile != "mini" and (refusals := machine.refusals()):
        raise Stopped("\n".join(refusals))


# --- places ---


def install(root: Path) -> None:
    """The project and its packages at the pinned versions; nothing where they are installed.

    torch and numpy stay as this machine has them: torch fits its driver, numpy is in use here.
    """
    if importlib.util.find_spec("dvc") and importlib.util.find_spec("peft") and importlib.util.find_spec("daft"):
        return
    lines = (root / "constraints.txt").read_text(encoding="utf-8").splitlines(keepends=True)
    pins = Path(tempfile.mkdtemp()) / "constraints.txt"
    pins.write_text("".join(line for line in lines if not line.startswith(("torch==", "numpy=="))), encoding="utf-8")
    run("python", "-m", "pip", "install", "--quiet", "--constraint", str(pins), "--editable", str(root))


def storage(drive: bool) -> Path:
    """A folder that outlasts the session where there is one: Drive on Colab, the output folder on Kaggle."""
    if given := os.environ.get("NOTEBOOK_STORAGE"):
        return Path(given)
    if drive and Path("/content").is_dir() and importlib.util.find_spec("google.colab"):
        mount = importlib.import_module("google.colab.drive").mount
        mount("/content/drive")
        return Path("/content/drive/MyDrive/llada-indonesia")
    kaggle = Path("/kaggle/working")
    return kaggle / "llada-indonesia" if kaggle.is_dir() else Path("artifacts") / "notebook-kept"


def place(profile: str) -> Path:
    """Where a profile's work is done, on the local disk; on Kaggle not in the output folder, which holds 20 GB."""
    default = tempfile.gettempdir() if Path("/kaggle").is_dir() else "artifacts"
    return Path(os.environ.get("NOTEBOOK_WORK", f"{default}/notebook")) / profile


# --- commands ---


def run(*words: str, meanwhile: Callable[[], None] = lambda: None) -> None:
    """Run a command of the project and show what it says; `meanwhile` is called every few seconds.

    Raises:
        Stopped: it failed.
    """
    print("$", *words, flush=True)
    command = [sys.executable, *words[1:]] if words[0] == "python" else list(words)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment()) as process:
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        try:
            while process.poll() is None:
                show(process.stdout.read())
                meanwhile()
                time.sleep(0.5)
        except BaseException:
            process.send_signal(signal.SIGINT)  # a training saves and stops
            raise
        show(process.stdout.read())
    meanwhile()
    if process.returncode:
        raise Stopped(f"Gagal, status {process.returncode}. | The command failed with status {process.returncode}.")


def show(output: bytes | None) -> None:
    if output:
        print(output.decode(errors="replace"), end="", flush=True)


def environment() -> dict[str, str]:
    """Without the notebook's drawing backend, which is no use to a command."""
    return {key: value for key, value in os.environ.items() if key != "MPLBACKEND"} | {"PYTHONUNBUFFERED": "1"}


@dataclass(frozen=True)
class Work:
    """One profile's work: its settings, where it is done, and where it is kept."""

    profile: str
    settings: Sequence[str]
    folder: Path
    storage: Path | None = None

    def options(self) -> list[str]:
        changes = [word for setting in self.settings for word in ("--set", setting)]
        return ["--profile", self.profile, "--artifacts", str(self.folder), *changes]

    def command(self, name: str, *words: str) -> None:
        run("python", "-m", "pipeline", name, *words, *self.options())

    def prepare(self) -> None:
        """Rows to formatted splits; what is there already is not made again."""
        mirror(self.storage, self.folder)
        if not self.has_inputs():
            self.command("inputs")
        for stage, leaves in STAGES.items():
            if not (self.folder / leaves).is_file():
                self.command(stage)
                mirror(self.folder, self.storage)

    def has_inputs(self) -> bool:
        """Whether all that inputs.json names is there: a new session has lost the downloads."""
        facts = self.folder / "inputs.json"
        if not facts.is_file():
            return False
        found = json.loads(facts.read_text(encoding="utf-8"))
        named = [*found["dataset"]["files"], found["encoder"], found["base"]]
        return all((self.folder / one["path"]).exists() for one in named)  # an absolute path stays what it is

    def train(self, method: str) -> None:
        """Train with a plot that grows; an interrupted training goes on from its newest checkpoint."""
        picture = Live(self.folder)
        words = ["python", "train_adapter.py", "--method", method, *self.options()]

        def look() -> None:
            if picture.draw():
                mirror(self.folder, self.storage)

        if not (self.folder / "adapters" / method / "curve.csv").is_file():
            run(*words, meanwhile=look)
        picture.draw(self.folder / "adapters" / method / "curve.csv")
        mirror(self.folder, self.storage)

    def evaluate(self, *systems: str) -> None:
        """Measure what was not measured yet."""
        missing = [name for name in systems if not (self.folder / "evaluation" / name / "metrics.json").is_file()]
        if missing:
            self.command("evaluate", "--method", ",".join(missing))
        mirror(self.folder, self.storage)


def mirror(source: Path | None, target: Path | None) -> None:
    """Make one folder hold what is needed to go on from the other; checkpoints that are gone there go here too.

    A checkpoint that the end of a session cut in two is found by the training, which takes the one before.
    """
    if source is None or target is None or not source.is_dir():
        return
    for pattern in MIRRORED:
        for found in source.glob(pattern):
            for path in [found] if found.is_file() else [file for file in found.rglob("*") if file.is_file()]:
                copy_newer(path, target / path.relative_to(source))
    for checkpoint in target.glob(f"{TRAINING}/**/step-*"):
        if not (source / checkpoint.relative_to(target)).is_dir():
            shutil.rmtree(checkpoint)


def copy_newer(path: Path, copy: Path) -> None:
    """Copy a file where it is missing, of another size or newer; a file that vanishes meanwhile is left out."""
    with suppress(FileNotFoundError):
        facts = path.stat()
        if copy.is_file() and copy.stat().st_size == facts.st_size and copy.stat().st_mtime >= facts.st_mtime:
            return
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
        with suppress(OSError):  # not every mounted storage keeps times
            os.utime(copy, (facts.st_atime, facts.st_mtime))
