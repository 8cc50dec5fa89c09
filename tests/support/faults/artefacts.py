"""A whole run's artefacts at toy size, and every way to damage or exchange one of them between two stages.

world = World.at(folder)
for damage in world.damages():
    with damage.done():                # one file altered, and put back afterwards
        world.read(damage.artefact)    # the stage that reads it
"""

from __future__ import annotations

import copy
import io
import json
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from common import seals
from common.files import read_json, sha256_of_model_folder, write_json
from data_prep.inputs.sources import model_files
from pipeline.paths import Paths
from pipeline.profile import Profile, load_profile
from tests.support import report as planted
from tests.support.cendol_rows import article_rows, question_rows
from tests.support.evaluation import write_tiny_base

SETTINGS = (
    "data.subsets=[wikipedia_id,dolly]", "data.sample_fraction=1.0", "data.clusters=2", "data.per_cluster=12",
    "data.test_pool=8", "data.test_size=4", "data.validation_fraction=0.2", "data.max_length=256",
)  # fmt: skip
CONTENTS = ("", "null", "[]", "3", '"text"', "{}", "{", "[" * 100_000, "NaN", '[{"a": []}]', "\x00\xff", "a,b\n1,2\n")
VALUES: tuple[Any, ...] = (None, [], {}, 3, -1, "text", True, 1e300, [[[]]])
SYSTEMS = planted.STANDARD[:2]
PLACES = 24  # of a JSON file whose values are exchanged


@dataclass(frozen=True)
class Damage:
    """One alteration of one artefact. noticed: whoever reads it must refuse it."""

    name: str
    artefact: str
    path: Path
    alter: Callable[[Path], None]
    noticed: bool = True

    @contextmanager
    def done(self) -> Iterator[None]:
        content = self.path.read_bytes()
        try:
            self.alter(self.path)
            yield
        finally:
            if self.path.is_dir() and not self.path.is_symlink():
                shutil.rmtree(self.path)
            self.path.unlink(missing_ok=True)
            self.path.write_bytes(content)


@dataclass(frozen=True)
class World:
    """The artefacts, and the profile that they were made with."""

    paths: Paths
    report: Path
    profile: Profile

    @classmethod
    def at(cls, folder: Path) -> World:
        world = cls(Paths.of("mini", folder / "run"), folder / "planted", load_profile("mini", SETTINGS))
        world._write_inputs()
        for stage in ("select", "clusters", "split", "format"):
            world._make_clusters() if stage == "clusters" else world.run(stage)
        planted.write_planted_report(world.report, SYSTEMS, count=6, points=12)
        for system in SYSTEMS:
            accounting = world.report / "evaluation" / system.name / "accounting.json"
            facts = read_json(accounting)
            write_json(accounting, facts | seals.files(accounting, read=(), wrote=[accounting.parent]))
        return world

    def run(self, stage: str) -> None:
        """Run a data stage."""
        from importlib import import_module

        import_module(f"pipeline.stages.{stage}").run(self.profile, self.paths)

    def read(self, artefact: str) -> None:
        """Run what reads an artefact; raises what that raises."""
        reader = READERS[artefact]
        if reader == "report":
            planted.report_of(self.report, SYSTEMS)
        elif reader == "train":
            from pipeline.stages.train import training_plan

            _ = training_plan(self.profile, self.paths, "lora").rows
        else:
            self.run(reader)

    def path_of(self, artefact: str) -> Path:
        return (self.report if READERS[artefact] == "report" else self.paths.root) / artefact

    def damages(self, seed: int = 14) -> Iterator[Damage]:
        """Every alteration of every artefact, in a fixed order."""
        for artefact in READERS:
            path = self.path_of(artefact)
            content = path.read_bytes()
            edits = {**_bytes_edits(content, random.Random(seed)), **_edits_of(path, content)}
            sealed = READERS[artefact] != "report" or artefact.endswith(("metrics.json", "items.jsonl", "trace.json"))
            for name, alter in edits.items():
                same = path.suffix == ".json" and name == "without its last byte"  # a line's end
                noticed = not same and (sealed or name in MUST_BE_NOTICED)
                yield Damage(f"{artefact}: {name}", artefact, path, alter, noticed)

    def _write_inputs(self, encoder: Path | None = None) -> None:
        """What the stage `inputs` leaves, with rows, a base with its tokenizer and an encoder, without which the base
        stands in for one that nobody opens.
        """
        base, rows = self.paths.inputs / "base", self.paths.inputs / "dataset" / "rows.parquet"
        write_tiny_base(base)
        rows.parent.mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist([*article_rows(30), *question_rows(30)]), rows)
        model = {"source": "embedded", "kind": "embedded", "revision": None, "path": "inputs/base"}
        model["sha256"] = "0" if encoder is None else sha256_of_model_folder(base)
        other = model if encoder is None else model | {"path": "inputs/encoder"}
        files = [{"path": "inputs/dataset/rows.parquet", "bytes": rows.stat().st_size}]
        content = {"dataset": {"source": "embedded", "files": files, "columns": {}}, "encoder": other, "base": model}
        facts = self.paths.inputs_facts
        write_json(facts, seals.sealed(facts, content, read=[rows, *model_files(base)], wrote=()))

    def _make_clusters(self) -> None:
        """What `embed` and `cluster` leave: vectors from the seed, two halves."""
        paths = self.paths
        ids = pq.read_table(paths.candidates)["id"]
        vectors = np.random.default_rng(0).normal(size=(len(ids), 8)).astype(np.float32)
        np.save(paths.embeddings, vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
        pq.write_table(pa.table({"id": ids}), paths.embedding_ids)
        wrote = [paths.embeddings, paths.embedding_ids]
        facts = {"text": "input", "rows": len(ids), "dimension": 8}
        write_json(paths.embed_facts, seals.sealed(paths.embed_facts, facts, read=[paths.candidates], wrote=wrote))
        labels = np.arange(len(ids), dtype=np.int32) % 2
        distances = np.zeros(len(ids), np.float32)
        pq.write_table(pa.table({"id": ids, "cluster": labels, "distance": distances}), paths.clusters)
        described = {"clusters": [{"rows": int((labels == each).sum())} for each in range(2)]}
        read = [paths.candidates, *wrote, paths.embed_facts]
        sealed = seals.sealed(paths.cluster_facts, described, read=read, wrote=[paths.clusters])
        write_json(paths.cluster_facts, sealed)


READERS = {
    "inputs.json": "format",
    "inputs/dataset/rows.parquet": "format",
    "inputs/base/config.json": "format",
    "inputs/base/tokenizer.json": "format",
    "inputs/base/model.safetensors": "format",
    "candidates.parquet": "split",
    "select.json": "split",
    "embeddings.npy": "split",
    "embedding_ids.parquet": "split",
    "embed.json": "split",
    "clusters.parquet": "split",
    "cluster.json": "split",
    "splits/train.parquet": "format",
    "splits/validation.parquet": "format",
    "splits/test.parquet": "format",
    "leakage.json": "format",
    "formatted/train.parquet": "train",
    "formatted/validation.parquet": "train",
    "format.json": "train",
    "evaluation/lora/metrics.json": "report",
    "evaluation/lora/items.jsonl": "report",
    "evaluation/lora/trace.json": "report",
    "evaluation/base/metrics.json": "report",
    "evaluation/lora/accounting.json": "report",
    "adapters/lora/run.json": "report",
    "adapters/lora/curve.csv": "report",
}
"""Artefact -> the stage that is asked to read it."""
MUST_BE_NOTICED = {"empty", "zeros", "a folder", "a link to itself", *(f"holds {text[:12]!r}" for text in CONTENTS[:9])}
"""Also of what carries no seal: a file of the right shape with other values cannot be told from a true one there."""


def _bytes_edits(content: bytes, draw: random.Random) -> dict[str, Callable[[Path], None]]:
    def holding(new: bytes) -> Callable[[Path], None]:
        return lambda path: _replace(path, new)

    edits = {
        "empty": holding(b""),
        "zeros": holding(b"\0" * len(content)),
        "half": holding(content[: len(content) // 2]),
        "without its last byte": holding(content[:-1]),
        "a folder": lambda path: (path.unlink(), path.mkdir())[0],
        "a link to itself": lambda path: (path.unlink(), path.symlink_to(path.name))[0],
    }
    for _ in range(12):
        place = draw.randrange(len(content))
        other = content[:place] + bytes([content[place] ^ 1 << draw.randrange(8)]) + content[place + 1 :]
        edits[f"a bit of byte {place}"] = holding(other)
    return edits


def _edits_of(path: Path, content: bytes) -> dict[str, Callable[[Path], None]]:
    if path.suffix == ".parquet":
        return _table_edits(pq.read_table(path))
    if path.suffix == ".npy":
        return _array_edits(np.load(path))
    edits = {f"holds {text[:12]!r}": _writer(text.encode()) for text in CONTENTS}
    if path.suffix == ".json":
        edits |= _value_edits(json.loads(content))
    return edits


def _value_edits(content: Any) -> dict[str, Callable[[Path], None]]:
    """Every value of a JSON file exchanged for others, and left out."""
    edits = {}
    for place in list(_places(content))[:PLACES]:
        where = ".".join(map(str, place))
        for value in VALUES:
            changed = copy.deepcopy(content)
            holder = _holder(changed, place)
            if holder[place[-1]] != value:
                holder[place[-1]] = value
                edits[f"{where} = {value!r}"] = _writer(json.dumps(changed).encode())
        changed = copy.deepcopy(content)
        del _holder(changed, place)[place[-1]]
        edits[f"without {where}"] = _writer(json.dumps(changed).encode())
    return edits


def _places(content: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if len(place) > 3 or not isinstance(content, dict | list):
        return
    items = content.items() if isinstance(content, dict) else enumerate(content[:2])
    for key, value in items:
        if (*place, key)[0] != "files":
            yield (*place, key)
            yield from _places(value, (*place, key))


def _holder(content: Any, place: tuple[Any, ...]) -> Any:
    for key in place[:-1]:
        content = content[key]
    return content


def _table_edits(table: pa.Table) -> dict[str, Callable[[Path], None]]:
    """Other tables, each a valid file."""
    rows = table.num_rows
    others = {
        "rows reversed": table.take(list(reversed(range(rows)))),
        "one row less": table.slice(1),
        "one row twice": pa.concat_tables([table, table.slice(0, 1)]),
        "no rows": table.slice(0, 0),
        "no columns": pa.table({}),
        "another column": table.append_column("more", pa.nulls(rows)),
    }
    for name in table.column_names:
        place = table.column_names.index(name)
        others[f"without {name}"] = table.drop_columns([name])
        others[f"{name} null"] = table.set_column(place, name, pa.nulls(rows, table.schema.field(name).type))
        others[f"{name} of another type"] = table.set_column(place, name, pa.array([[None]] * rows))
        others[f"{name} shifted"] = table.set_column(place, name, table[name].take([*range(1, rows), 0]))
    return {name: _writer(_parquet(other)) for name, other in others.items() if not other.equals(table)}


def _array_edits(array: np.ndarray) -> dict[str, Callable[[Path], None]]:
    others = {
        "float64": array.astype(np.float64),
        "transposed": array.T.copy(),
        "rows reversed": array[::-1].copy(),
        "one row less": array[1:],
        "no rows": array[:0],
        "one dimension": array[:, 0].copy(),
        "not numbers": np.full_like(array, np.nan),
        "integers": array.astype(np.int64),
        "texts": array.astype(str),
    }
    return {name: _writer(_npy(other)) for name, other in others.items()}


def _writer(content: bytes) -> Callable[[Path], None]:
    return lambda path: _replace(path, content)


def _replace(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def _npy(array: np.ndarray) -> bytes:
    sink = io.BytesIO()
    np.save(sink, array, allow_pickle=False)
    return sink.getvalue()
