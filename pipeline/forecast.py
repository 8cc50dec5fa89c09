"""What `plan` says before anything is run: will it fit, how long will it take, what does it leave on disk.

Memory comes from `training.memory`. Rows come from the formatted split where there is one; before that they are
assumed, all of them at `data.max_length`, which is the worst case. The network's shape comes from the resolved base;
before `inputs` has run, from the profile (embedded) or from what is published (LLaDA, iLLaDA). Nothing is downloaded.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import PositiveFloat

from adapters.config import ModelConfig
from adapters.methods import METHODS
from adapters.naming import AdapterName
from common.errors import InputError
from common.records import Record, read_record
from common.systems import is_twin
from pipeline.paths import Paths, command_for
from pipeline.profile import Profile
from training.batching import read_rows, steps_per_epoch
from training.memory.dry_run import print_memory
from training.memory.estimate import GIB, Estimate, Machine, Memory, Workload, estimate, remedies

if TYPE_CHECKING:
    from llada.network.modeling import LLaDAConfig

UTILISATION = 0.4  # of the peak that --tflops names; an H200 (989) reached 0.51 in bfloat16, 0.36 on NF4 (docs/gpu.md)
KEPT_BY_A_CARD = 1.5 * GIB  # of the size on its box: an A10 and an L4 of 24 GB have 22.5 GiB, a T4 of 16 has 14.6
CENDOL, CENDOL_TOKENS = "indonlp/cendol_collection_v2", 93  # tokens of its rows on average, in chat form
ANSWER_SHARE_MASKED = 0.5  # t is uniform, so half of the answer on average


class _Place(Record):
    path: str


class _Rows(Record):
    files: list[_Place] = []  # noqa: RUF012  (a pydantic default, copied for each record)


class _Inputs(Record):
    """What a forecast wants of inputs.json."""

    base: _Place
    encoder: _Place | None = None
    dataset: _Rows = _Rows()


class _Mean(Record):
    mean: PositiveFloat


class _Lengths(Record):
    tokens: _Mean
    answer_tokens: _Mean


class _Formatted(Record):
    """Of format.json."""

    splits: dict[str, _Lengths]


class _Measured(Record):
    """Of an adapter's run.json."""

    settings: dict[str, Any] = {}  # noqa: RUF012
    tokens_per_second: PositiveFloat | None = None
    processes: int = 1
    device: str = "an unnamed device"


@dataclass(frozen=True)
class Variant:
    """One way to store and train the base."""

    label: str
    model: ModelConfig
    memory: Memory


@dataclass(frozen=True)
class Time:
    """One epoch's training steps, validation not counted; None where nobody measured and nothing was given."""

    tokens_per_epoch: int
    tokens_per_row: float  # counted, or assumed where nothing is formatted
    steps_per_epoch: int
    gflop_per_token: float
    tokens_per_second: float | None
    source: str

    @property
    def seconds_per_epoch(self) -> float | None:
        return None if self.tokens_per_second is None else self.tokens_per_epoch / self.tokens_per_second


@dataclass(frozen=True)
class Forecast:
    """Everything that the command says about training one adapter."""

    profile: str
    method: str
    machine: Machine
    rows: int
    longest: int
    rows_source: str
    shape_source: str
    variants: list[Variant]  # the profile's own first
    host_bytes: float  # the process's own, while base and adapter are loaded
    time: Time
    disk: dict[str, float]  # bytes
    disk_free: float
    changes: list[tuple[str, float]]  # settings and the bytes then needed, where the profile's own do not fit

    @property
    def fits(self) -> bool:
        return self.variants[0].memory.total <= self.machine.available


def diffusing(profile: Profile) -> list[str]:
    """The methods of the diffusion model."""
    return [name for name in profile.methods if not is_twin(name)]


def forecast(profile: Profile, paths: Paths, method: str, gpu: float | None, tflops: float | None) -> Forecast:
    """Plan the training of one adapter.

    Args:
        gpu: plan for a CUDA GPU that is sold with so many GB; None: this machine.
        tflops: dense peak of the GPU in the base's type, for a computed time where none was measured.

    Raises:
        InputError: the base's shape is not known yet, or a damaged artefact.
    """
    import training.trainer  # noqa: F401  # the memory of a CPU process is measured with all of it imported

    if is_twin(method):
        raise InputError(
            f"--method: {method!r}: plan knows the diffusion model; `train_adapter.py --dry-run` counts a twin"
        )
    config, adaptation = profile.method(method), METHODS[AdapterName.parse(method).method]
    shape, shape_source = network_shape(profile, paths)
    lengths, rows_source = row_lengths(profile, paths)
    machine = None if gpu is None else sold_with(gpu)
    train, seed = profile.train, profile.seed
    own = estimate(adaptation, config, profile.model, train, shape, lengths, seed, machine=machine)
    return Forecast(
        profile=profile.name,
        method=method,
        machine=own.machine,
        rows=len(lengths),
        longest=int(lengths.max()),
        rows_source=rows_source,
        shape_source=shape_source,
        variants=[Variant("profile", own.model, own.memory), *variants(own)],
        host_bytes=host_bytes(own),
        time=time_of(profile, paths, method, own.workload, tflops),
        disk=disk(profile, paths, own.workload),
        disk_free=float(shutil.disk_usage(existing_parent(paths.root)).free),
        changes=[] if own.fits else [(change, memory.total) for change, memory in remedies(own)],
    )


def sold_with(gigabytes: float) -> Machine:
    """A GPU by the size on its box; error correction and the driver keep some of it."""
    free = gigabytes * GIB - KEPT_BY_A_CARD
    return Machine(True, free, f"a GPU sold with {gigabytes:g} GB")


def host_bytes(own: Estimate) -> float:
    """Private memory of the process while base and adapter are loaded, see `adapters.base.load_unquantised`: what goes
    to a GPU or is quantised passes through one tensor after the other; on a CPU the base stays, as it is stored.
    """
    shape, method = own.workload.shape, own.workload.method
    projection = float(shape.d_model * shape.mlp_hidden_size)
    passing = max(2.0 * shape.embedding_size * shape.d_model, projection * (12 if method.leaves_residual else 2))
    factors = 3 * 4.0 * own.workload.counts.trainable if method.leaves_residual else 0.0
    stays = 0.0 if own.machine.cuda else own.memory.base
    return stays + passing + factors


def network_shape(profile: Profile, paths: Paths) -> tuple[LLaDAConfig, str]:
    """The network's sizes and where they were found."""
    from llada.network.checkpoint import read_config
    from llada.network.configuration import CONFIGS, LLaDAConfig
    from llada.network.published import PUBLISHED

    if paths.inputs_facts.is_file():
        folder = paths.root / _inputs(paths).base.path
        if (folder / "config.json").is_file():
            return read_config(folder), "the resolved base"
    name, sizes = profile.model.base, profile.data.embedded
    if name == "embedded" and sizes.base == "shipped":
        from data_prep.bundled.models.base import SHIPPED

        return LLaDAConfig.from_pretrained(SHIPPED), "the shipped base"
    if name == "embedded":
        width, heads = sizes.base_width, sizes.base_heads
        words = sizes.vocabulary
        return LLaDAConfig(
            d_model=width, n_heads=heads, n_layers=sizes.base_layers, mlp_hidden_size=sizes.base_mlp_width,
            vocab_size=words, mask_token_id=2, eos_token_id=1, pad_token_id=1,
        ), "data.embedded, before `inputs` has run"  # fmt: skip
    if (Path(name) / "config.json").is_file():
        return read_config(Path(name)), f"{name}/config.json"
    for published in PUBLISHED:
        if name in published.repositories:
            return CONFIGS[published.model_type](), f"the published configuration of {published.title}-8B"
    raise InputError(
        f"model.base: {name}: its shape is not known before it is resolved; "
        f"run `python -m pipeline inputs --profile {profile.name}` first"
    )


def row_lengths(profile: Profile, paths: Paths) -> tuple[np.ndarray, str]:
    """Tokens of every training row, and whether they were counted or assumed."""
    path = paths.formatted / "train.parquet"
    if path.is_file():
        return read_rows(path).lengths, "counted in the formatted split"
    data = profile.data
    rows = max(1, round(data.clusters * data.per_cluster * (1 - data.validation_fraction)))
    assumed = f"assumed: {rows:,} rows, all of data.max_length = {data.max_length} tokens, the worst case"
    return np.full(rows, data.max_length, dtype=np.int64), f"{assumed}; not formatted yet"


def variants(own: Estimate) -> Iterator[Variant]:
    """bfloat16, int8 and NF4, each with and without activation checkpointing, everything else as in the profile."""
    for label, kind in (("bfloat16", "none"), ("int8", "int8"), ("NF4", "nf4")):
        for recompute in (False, True):
            changes = {"dtype": "bfloat16", "quantization": kind, "activation_checkpointing": recompute}
            changed = own.model.model_copy(update=changes)
            name = f"{label}, ckpt" if recompute else label
            yield Variant(name, changed, own.workload.memory(changed, own.train, own.machine))


# --- time ---


def time_of(profile: Profile, paths: Paths, method: str, workload: Workload, tflops: float | None) -> Time:
    """Measured throughput of a finished adapter where there is one, else computed from `tflops`, else none."""
    workload = replace(workload, lengths=typical_lengths(profile, paths, workload.lengths))
    tokens = workload.tokens_per_epoch(profile.train)
    steps = steps_per_epoch(len(workload.lengths), profile.train.distinct_rows)
    gflop = flop_per_token(workload, profile.model.activation_checkpointing, answer_share(paths)) / 1e9
    speed, source = measured_speed(profile, paths, method)
    if speed is None and tflops is not None:
        speed = UTILISATION * tflops * 1e3 / gflop
        source = f"computed, not measured: {UTILISATION:.0%} of {tflops:g} TFLOP/s at {gflop:.1f} GFLOP per token"
    return Time(tokens, tokens / len(workload.lengths), steps, gflop, speed, source)


def typical_lengths(profile: Profile, paths: Paths, worst: np.ndarray) -> np.ndarray:
    """Lengths for the time: those of the formatted split, before there is one the average of what is published."""
    if profile.data.source != CENDOL or (paths.formatted / "train.parquet").is_file():
        return worst
    return np.minimum(worst, CENDOL_TOKENS)


def measured_speed(profile: Profile, paths: Paths, method: str) -> tuple[float | None, str]:
    """Tokens per second in the run.json of this method's adapter, or of another one of the profile."""
    for name in dict.fromkeys((method, *diffusing(profile))):
        path = paths.adapter(name) / "run.json"
        if not path.is_file():
            continue
        run = read_record(path, _Measured, command_for(f"train --method {name}", paths))
        same = run.settings.get("model") == profile.model.model_dump(mode="json")
        if same and run.tokens_per_second:
            where = f"{run.processes} process on {run.device}"
            return run.tokens_per_second, f"measured: the finished adapter {name}, {where}"
    return None, "not measured: no adapter with this base is finished; --tflops gives a computed time"


def answer_share(paths: Paths) -> float:
    """Answer tokens over all tokens of the training split; 1 where it is not formatted, the worst case."""
    if not paths.format_facts.is_file():
        return 1.0
    command = command_for("format", paths)
    train = read_record(paths.format_facts, _Formatted, command).splits.get("train")
    if train is None:
        raise InputError(f"{paths.format_facts}: splits: tells of no train; run `{command}`")
    return train.answer_tokens.mean / train.tokens.mean


def flop_per_token(workload: Workload, recompute: bool, answer: float) -> float:
    """Floating point operations of one training step per token.

    Two per weight and pass: forward, backward towards the input, and once more where blocks are recomputed; frozen
    weights have no gradient of their own. Adapters have one. The head runs on masked tokens alone (`answer` is the
    answer's share of all tokens), forward and backward. Attention: 4 L D per layer and pass.
    """
    shape, counts = workload.shape, workload.counts
    passes = 3 if recompute else 2
    attention = 4 * float(workload.lengths.mean()) * shape.d_model * shape.n_layers
    head = 2 * 2 * shape.embedding_size * shape.d_model * answer * ANSWER_SHARE_MASKED
    return 2 * passes * counts.blocks + 2 * (passes + 1) * counts.trainable + (passes + 1) * attention + head


# --- disk ---


def disk(profile: Profile, paths: Paths, workload: Workload) -> dict[str, float]:
    """Bytes that a run leaves: the base in its published type, what else `inputs` fetched and `embed` wrote where they
    have run, all adapters, what one training needs to resume, computed starts.
    """
    published = 2  # bytes per weight
    one = 4.0 * workload.counts.trainable
    moments = 8.0 if profile.train.optimizer == "adamw" else 2.04
    resumable = profile.train.keep_checkpoints * workload.counts.trainable * (4 + 4 + moments)
    decomposed = [name for name in diffusing(profile) if METHODS[name].start != "random"]
    ranks = {
        name: METHODS[name].saved_rank(profile.method(name)) / profile.method(name).rank for name in diffusing(profile)
    }
    adapters = sum(2 * one * times for times in ranks.values())  # the best and the last
    return {
        "base": float(workload.counts.base * published),
        **fetched(paths),
        f"adapters ({len(diffusing(profile))} methods, best and last)": adapters,
        "resumable state while one trains": resumable,
        **({"initial factors": one} if decomposed else {}),
    }


def fetched(paths: Paths) -> dict[str, float]:
    """Bytes of the data set, the encoder and the embeddings, as far as they are there."""
    sizes = {}
    if paths.inputs_facts.is_file():
        facts = _inputs(paths)
        files = [paths.root / file.path for file in facts.dataset.files]
        sizes["data set"] = sum(path.stat().st_size for path in files if path.is_file())
        encoder = None if facts.encoder is None else paths.root / facts.encoder.path
        sizes["encoder"] = sum(path.stat().st_size for path in encoder.rglob("*") if path.is_file()) if encoder else 0
    if paths.embeddings.is_file():
        sizes["embeddings"] = paths.embeddings.stat().st_size
    return {label: float(size) for label, size in sizes.items() if size}


def _inputs(paths: Paths) -> _Inputs:
    return read_record(paths.inputs_facts, _Inputs, command_for("inputs", paths))


def existing_parent(path: Path) -> Path:
    """The path itself or the nearest folder above it that is there."""
    return next(parent for parent in (path.absolute(), *path.absolute().parents) if parent.exists())


# --- what is shown ---


def as_json(result: Forecast) -> dict[str, Any]:
    """The forecast with sizes in bytes; an available amount that nobody knows is null."""
    available = result.machine.available if result.machine.available != float("inf") else None
    return {
        "profile": result.profile,
        "method": result.method,
        "machine": {"name": result.machine.name, "cuda": result.machine.cuda, "available_bytes": available},
        "shape": result.shape_source,
        "rows": {"count": result.rows, "longest": result.longest, "source": result.rows_source},
        "memory": [
            {
                "label": variant.label,
                "quantization": variant.model.quantization,
                "dtype": variant.model.dtype,
                "activation_checkpointing": variant.model.activation_checkpointing,
                "bytes": asdict(variant.memory),
                "total_bytes": variant.memory.total,
                "fits": variant.memory.total <= result.machine.available,
            }
            for variant in result.variants
        ],
        "host_bytes_while_loading": result.host_bytes,
        "fits": result.fits,
        "changes": [{"settings": change.split(), "total_bytes": total} for change, total in result.changes],
        "time": asdict(result.time) | {"seconds_per_epoch": result.time.seconds_per_epoch},
        "disk": {"bytes": result.disk, "free_bytes": result.disk_free},
    }


def show(result: Forecast) -> None:
    """Print it as tables."""
    from common.progress import plain_console

    console = plain_console()
    console.print(f"{result.profile}, {result.method} on {result.machine.name}", style="bold")
    console.print(f"network: {result.shape_source}; rows: {result.rows:,}, the longest {result.longest} tokens")
    console.print(f"lengths: {result.rows_source}")
    print_memory(console, {variant.label: variant.memory for variant in result.variants}, result.machine)
    console.print(f"the profile: {_described(result.variants[0].model)}")
    console.print(f"host, while the base loads: {result.host_bytes / GIB:.2f} GiB of its own; mapped files come and go")
    for line in (*_advice(result), *_time(result), *_disk(result)):
        console.print(line)


def _described(model: ModelConfig) -> str:
    kind = model.dtype if model.quantization == "none" else f"{model.quantization} in {model.dtype}"
    return f"{kind}, activation checkpointing" if model.activation_checkpointing else kind


def _advice(result: Forecast) -> Iterator[str]:
    if result.fits:
        return
    yield "It does not fit. What would change that, the cheapest first:"
    for change, total in result.changes:
        verdict = "fits" if total <= result.machine.available else "too much still"
        yield f"  {' '.join('--set ' + part for part in change.split())}: {total / GIB:.2f} GiB, {verdict}"


def _time(result: Forecast) -> Iterator[str]:
    time = result.time
    each = f", {time.tokens_per_row:.0f} per row on average"
    yield f"one epoch: {time.tokens_per_epoch:,} tokens{each}, {time.steps_per_epoch:,} optimizer steps"
    if time.seconds_per_epoch is None:
        yield f"time: {time.source} ({time.gflop_per_token:.3g} GFLOP per token)"
    else:
        yield f"time: {_duration(time.seconds_per_epoch)} at {time.tokens_per_second:,.0f} tokens/s; {time.source}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _disk(result: Forecast) -> Iterator[str]:
    parts = ", ".join(f"{label} {_size(size)}" for label, size in result.disk.items())
    unknown = "" if "data set" in result.disk else "; data set, encoder and embeddings: known after `inputs`"
    yield f"disk: {parts}{unknown}; {_size(result.disk_free)} free"


def _size(size: float) -> str:
    return f"{size / GIB:.1f} GiB" if size >= GIB else f"{size / 2**20:.1f} MiB"
