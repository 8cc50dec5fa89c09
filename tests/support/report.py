"""A made-up artefact folder for the tests of the report: planted answers, no model behind them. No results."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from common.files import write_json, write_json_lines, write_text
from eval.config import EvaluationConfig
from eval.metrics import scoring
from eval.metrics.accuracy import AnswerKey
from eval.metrics.item_statistics import text_statistics
from eval.metrics.scoring import Answer, Bound, Item
from eval.metrics.statistics import Comparison
from eval.report.load import read_systems
from eval.report.verdict import Verdict, compare_all, verdict
from eval.report.write import write_report
from tests.support.nasty_texts import NASTY

EVALUATION = EvaluationConfig(bootstrap_resamples=300, permutations=500, trace_items=2)
CITIES = ["Jakarta", "Bandung", "Surabaya", "Medan", "Semarang", "Makassar", "Palembang", "Denpasar", "Padang", "Ambon"]
SUBSETS = ["wikipedia_id", "dolly", "wikihow", "indo_puisi", "safety_prompt", "identity_prompt"]
THINGS = [
    "pasar ikan",
    "museum sejarah",
    "stasiun kereta",
    "taman kota",
    "masjid raya",
    "pelabuhan lama",
    "kampus negeri",
]
QUESTIONS = [
    "Ceritakan tentang {thing} di kota {city}.",
    "Mengapa {thing} di {city} terkenal?",
    "Tulis panduan singkat mengunjungi {thing} di {city}.",
    "Buatlah puisi pendek tentang {thing} {city}.",
    "Apakah {thing} di {city} aman dikunjungi malam hari?",
]
ANSWERS = [
    "Pada tahun {year}, {thing} di {city} dibangun kembali oleh warga setempat. Sejak itu tempat ini selalu ramai.",
    "Karena bangunannya tua dan pemandangannya indah, ribuan wisatawan datang ke {city} setiap musim kemarau.",
    "Berangkatlah pagi-pagi, bawa air minum, lalu naik angkutan nomor {year}. Harga karcisnya murah sekali.",
    "Angin sore menyapa {city}, langkah kecil menyusuri batu, {thing} menyimpan rindu yang tak pernah layu.",
    "Umumnya aman, tetapi simpan barang berharga, jangan sendirian, dan mintalah nasihat penjaga bila ragu.",
]
HALF = "SETENGAH"
SOUP = "yang dan di dari untuk dengan pada ini adalah "

PROVENANCE: dict[str, Any] = {
    "profile": "planted",
    "seed": 42,
    "git_commit": "0123456789abcdef0123456789abcdef01234567",
    "versions": {"python": "3.11.9", "torch": "2.13.0"},
    "machine": "Linux x86_64",
    "settings": {"seed": 42},
    "command": "dvc exp run -S profile=planted",
    "inputs": {"dataset": {"source": "planted", "files": [{"path": "a.parquet", "bytes": 1}]}},
}

Writer = Callable[[Item, np.random.Generator], str]


def items(count: int) -> list[Item]:
    made = []
    for index in range(count):
        city, thing = CITIES[index % len(CITIES)], THINGS[index % len(THINGS)]
        words = {"city": city, "thing": thing, "year": 1950 + index}
        prompt, reference = (texts[index % 5].format(**words) for texts in (QUESTIONS, ANSWERS))
        made.append(
            Item(
                f"item-{index:03d}",
                SUBSETS[index % 6],
                f"template_{index % 9}",
                index % 10,
                prompt,
                reference,
                24 + index % 30,
            )
        )
    return made


def keys_of(rows: Sequence[Item]) -> list[AnswerKey | None]:
    """By the question: a year, a city, nothing that is right, and every eleventh item without a key."""
    kinds = ("year", "city", "year", "city", "advice")
    made: list[AnswerKey | None] = []
    for item in rows:
        index = int(item.id[-3:])
        kind = kinds[index % 5]
        phrases = {"year": (str(1950 + index),), "city": (CITIES[index % len(CITIES)].upper(),), "advice": ()}
        made.append(AnswerKey(kind, phrases[kind]) if index % 11 else None)
    return made


def faithful(share: float) -> Writer:
    """Keeps each word of the reference with this probability and drops or replaces the others."""

    def write(item: Item, rng: np.random.Generator) -> str:
        spare = ["warga", "tempat", "lama", "baru", "besar", "kota", "banyak", "sebuah"]
        return " ".join(word if rng.random() < share else str(rng.choice(spare)) for word in item.reference.split())

    return write


def soup(item: Item, rng: np.random.Generator) -> str:
    return (SOUP * 3).strip()


def english(item: Item, rng: np.random.Generator) -> str:
    place = rng.choice(["harbour", "market", "station", "museum", "park", "mosque"])
    return f"In the year {item.id[-3:]} the old {place} was rebuilt by the people, and has been busy ever since."


@dataclass(frozen=True)
class Planted:
    """One made-up system: who writes its answers, and its bound in nats per token."""

    name: str
    write: Writer
    bound: float
    stopped: float = 1.0
    extra: dict[str, Any] = field(default_factory=dict)
    spent: dict[str, Any] = field(default_factory=dict)


STANDARD = (
    Planted("base", soup, 5.6, stopped=0.1),
    Planted("lora", faithful(0.55), 3.1),
    Planted("loraplus", faithful(0.56), 3.08),
    Planted("pissa", faithful(0.75), 2.6),
)


def write_evaluation(folder: Path, planted: Planted, rows: Sequence[Item], seed: int = 7, keyed: bool = False) -> None:
    rng = np.random.default_rng((seed, len(planted.name), ord(planted.name[-1])))
    shared = np.random.default_rng(seed).normal(size=len(rows))  # what makes an item hard is the same for all
    answers = [Answer(planted.write(item, rng), 30, bool(rng.random() < planted.stopped)) for item in rows]
    bounds = [
        Bound(item.answer_tokens * (planted.bound + 0.4 * shared[index] + 0.1 * rng.normal()), 0.2)
        for index, item in enumerate(rows)
    ]
    with mock.patch.object(scoring, "text_statistics", _remembered_statistics):
        scored = scoring.score_system(
            planted.name,
            rows,
            [answers],
            bounds,
            [item.reference for item in rows],
            evaluation=EVALUATION,
            seed=seed,
            settings={"seed": seed, "sampling": {"gen_length": 64, "steps": 32}},
            keys=keys_of(rows) if keyed else (),
            extra=measured_extras(planted, rng) | planted.extra,
        )
    write_json(folder / "metrics.json", scored.metrics)
    write_json_lines(folder / "items.jsonl", scored.items)
    write_json(
        folder / "trace.json", {"items": [trace(rows[i], answers[i].text, rng) for i in range(min(2, len(rows)))]}
    )
    write_json(
        folder / "accounting.json",
        {"generation_seconds": 4.2, "forward_passes": 128, "tokens_per_second": 812.5, "peak_memory_bytes": 2**30}
        | planted.spent,
    )


def _remembered_statistics(*texts: Sequence[Any] | None, **settings: Any) -> dict[str, Any]:
    """`text_statistics`, once for the same texts: systems share their floors, and tests their systems."""
    return dict(_statistics(*(None if text is None else tuple(text) for text in texts), **settings))


@cache
def _statistics(*texts: Any, **settings: Any) -> dict[str, Any]:
    return text_statistics(*texts, **settings)


def measured_extras(planted: Planted, rng: np.random.Generator) -> dict[str, Any]:
    """Noise levels, English sample and one task, in the form that evaluate writes them."""
    tokens = rng.integers(8, 20, size=16).astype(float)
    english = np.stack([tokens * (6.0 - 0.1 * planted.bound + 0.3 * rng.normal(size=16)), tokens], axis=1)
    bound = {"value": english[:, 0].sum() / tokens.sum(), "low": 5.1, "high": 6.2, "n": 16}
    share = {"value": 0.56, "low": 0.46, "high": 0.65, "n": 100}
    return {
        "noise_levels": [
            {
                "mask_share": share,
                "nats": planted.bound * (0.4 + share),
                "accuracy": 1 / (1 + planted.bound * share),
                "tokens": 900,
            }
            for share in (0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
        ],
        "english": {
            "bound_per_token": bound,
            "bits_per_byte": bound,
            "statistics": {"bound_per_token": english.tolist()},
        },
        "eos_overflow": [
            {
                "budget": budget,
                "answer_tokens": {"value": length, "low": length - 4, "high": length + 4, "n": 16},
                "stopped": share,
                "empty": {"value": 0.0, "low": 0.0, "high": 0.19, "n": 16},
            }
            for budget, length in ((64, 30 + planted.bound), (128, 33 + planted.bound), (256, 31 + planted.bound))
        ],
        "tasks": {"XCOPA": suite_result(planted, rng)},
    }


def suite_result(planted: Planted, rng: np.random.Generator, groups: bool = False) -> dict[str, Any]:
    """A suite of 60 questions in the form that evaluate writes it; the planted bound decides how many are right."""
    from eval.suites.questions import Question
    from eval.suites.results import summarise

    questions = [
        Question(
            str(n),
            f"Soal {n}",
            ("ya", "bukan"),
            n % 2,
            str(n // 6) if groups else None,
            {"level": "SD" if n < 30 else "SMP"},
        )
        for n in range(60)
    ]
    chance = 1 / (1 + math.exp(planted.bound - 4))
    right = rng.random((3, 60)) < chance
    scores = [
        {
            scoring: [0.0 if (place == one.answer) == bool(right[row, number]) else -9.0 for place in range(2)]
            for row, scoring in enumerate(("likelihood", "letter", "revealing"))
        }
        for number, one in enumerate(questions)
    ]
    facts = {"damaged": 0, "shots": 0, "with_fewer_shots": 0, "cut": 0, "sha256": "0"}
    return summarise("indommlu", questions, scores, facts)


def trace(item: Item, text: str, rng: np.random.Generator) -> dict[str, Any]:
    """A replay in which the words of the answer appear in random order, two per step; one is taken back on the way."""
    pieces = [f"{' ' if index else ''}{word}" for index, word in enumerate(text.split())] + ["<|eot_id|>"]
    order = rng.permutation(len(pieces)).tolist()
    steps: list[dict[str, Any]] = [
        {
            "commit": [[p, pieces[p], round(float(rng.uniform(0.3, 1)), 4)] for p in order[start : start + 2]],
            "take_back": [],
        }
        for start in range(0, len(order), 2)
    ]
    if len(steps) > 2:
        steps[1]["take_back"] = [order[0]]
        steps[2]["commit"].append([order[0], pieces[order[0]], 0.9])
    return {
        "id": item.id,
        "prompt": item.prompt,
        "reference": item.reference,
        "length": len(pieces) + 6,
        "forward_passes": len(steps),
        "steps": steps,
    }


def judged(root: Path, *systems: Planted, count: int = 60, keyed: bool = False) -> tuple[Verdict, list[Comparison]]:
    """Evaluations under `root`, compared and judged."""
    rows = items(count)
    for planted in systems:
        write_evaluation(root / planted.name, planted, rows, keyed=keyed)
    read = read_systems({planted.name: root / planted.name for planted in systems}, {})
    comparisons = compare_all(read, EVALUATION, 7)
    return verdict(read, comparisons), comparisons


def write_adapter(folder: Path, planted: Planted) -> None:
    folder.mkdir(parents=True)
    (folder / "adapter_model.safetensors").write_bytes(planted.name.encode())
    lines = ["step,epoch,tokens,train_loss,learning_rate,gradient_norm,validation_loss,validation_low,validation_high"]
    for step in range(10, 301, 10):
        loss = planted.bound + 2.5 * math.exp(-step / 60)
        validation = f"{loss:.4f},{loss - 0.1:.4f},{loss + 0.1:.4f}" if step % 50 == 0 else ",,"
        rate = 2e-3 * (1 - step / 320)
        lines.append(
            f"{step},{step / 300:.3f},{step * 900},{loss + 0.2 * math.sin(step):.4f},{rate:.6f},1.0,{validation}"
        )
    write_text(folder / "curve.csv", "\n".join(lines) + "\n")
    run = {
        "method": planted.name,
        "title": planted.name,
        "settings": {"rank": 16, "alpha": 32.0, "learning_rate": 2e-3, "targets": ["q_proj", "v_proj"]},
        "seed": 42,
        "steps": 300,
        "training_seconds": 24.6,
        "trainable_parameters": 331_776,
        "provenance": PROVENANCE,
    }
    write_json(folder / "run.json", run)


def write_data(root: Path, points: int, texts: Sequence[str] | None = None) -> None:
    from matplotlib import pyplot

    rng = np.random.default_rng(0)
    centres = rng.normal(scale=6, size=(10, 2))
    cluster = rng.integers(0, 10, size=points)
    xy = centres[cluster] + rng.normal(size=(points, 2))
    texts = texts or [
        f"{THINGS[index % 7].capitalize()} di {CITIES[index % 10]}: bagaimana sejarahnya?" for index in range(points)
    ]
    columns = {
        "id": [f"c{index}" for index in range(points)],
        "x": xy[:, 0].astype(np.float32),
        "y": xy[:, 1].astype(np.float32),
        "cluster": cluster.astype(np.int32),
        "subset_name": [SUBSETS[index % 6] for index in range(points)],
        "text": texts,
    }
    pq.write_table(pa.table(columns), root / "umap.parquet")
    figure, axes = pyplot.subplots(figsize=(6, 4))
    axes.scatter(xy[:, 0], xy[:, 1], c=cluster, s=4, cmap="tab10")
    figure.savefig(root / "umap.png", dpi=100)
    pyplot.close(figure)
    steps = ["rows", "in_subsets", "not_null", "not_empty", "readable", "unique", "sampled"]
    total = dict(zip(steps, [9900, 8800, 8700, 8650, 8650, 7900, 7100], strict=True))
    write_json(
        root / "select.json",
        {
            "steps": steps,
            "total": total,
            "subsets": {name: {step: total[step] // 6 for step in steps} for name in SUBSETS},
            "groups": {"count": 6100, "largest": 20},
        },
    )
    write_json(root / "cluster.json", {"clusters": 10, "inertia": 1234.5, "sizes": list(range(700, 710))})
    write_json(
        root / "leakage.json",
        {
            "before": {"row_disjoint_test": {"exact_pair": 31, "near_duplicate": 40, "any": 53, "rows": 100}},
            "after": {side: {"exact_pair": 0, "near_duplicate": 0, "any": 0} for side in ("test", "validation")},
        },
    )
    write_json(root / "format.json", {"truncated": {"train": 3, "test": 0}, "longest": 512})
    (root / "splits").mkdir()
    for name, count in (("train", 4050), ("validation", 450), ("test", 100)):
        pq.write_table(pa.table({"id": [str(index) for index in range(count)]}), root / "splits" / f"{name}.parquet")


def sweep_facts(seeds: Sequence[int] = (1, 2)) -> dict[str, Any]:
    """A made-up sweep of three methods at four rates, as `experiments.sweep` writes it; LoRA+ never reaches LoRA."""
    from experiments.sweep_summary import SweepRecord, summary

    floors = {"lora": 2.3, "loraplus": 2.35, "pissa": 2.1}
    runs = []
    for method, floor in floors.items():
        for rate in (3e-4, 1e-3, 3e-3, 1e-2):
            for seed in seeds:
                final = floor + 0.3 * math.log10(rate / 3e-3) ** 2 + 0.01 * seed
                curve = [[step, final + 2 * math.exp(-step / 80)] for step in range(50, 301, 50)]
                last = {"loss": curve[-1][1], "low": final - 0.1, "high": final + 0.1}
                runs.append(SweepRecord(method, rate, seed, steps=300, best=last, last=last, curve=curve))
    return summary(runs, "lora")


def write_nasty_report(root: Path) -> Path:
    """A report whose every text is one of `tests.support.nasty_texts`; returns its folder."""
    texts = list(NASTY.values())
    strange = [text.replace("\ud800", HALF).replace("\udfff", HALF) for text in texts]  # no file holds them as they are
    rows = [
        Item(f"item-{index:03d}", strange[-index % len(texts)][:60], text, 3, text, strange[index - 1], 30)
        for index, text in enumerate(strange)
    ]

    def write(item: Item, rng: np.random.Generator) -> str:
        return item.prompt

    mine = Planted("lora", write, 3.0)
    for planted in (STANDARD[0], mine):
        write_evaluation(root / "evaluation" / planted.name, planted, rows)
        for path in (root / "evaluation" / planted.name).glob("*.json*"):
            path.write_text(path.read_text(encoding="utf-8").replace(HALF, "\\ud800"), encoding="utf-8")
    write_adapter(root / "adapters" / "lora", mine)
    run = json.loads((root / "adapters" / "lora" / "run.json").read_text(encoding="utf-8"))
    run |= {"title": "LoRA " + NASTY["table cell"], "settings": dict(NASTY), "provenance": {"command": NASTY["fences"]}}
    (root / "adapters" / "lora" / "run.json").write_text(json.dumps(run), encoding="utf-8")
    write_data(root, len(texts), strange)
    write_json(root / "sweep" / "sweep.json", sweep_facts())
    return report_of(root, (STANDARD[0], mine), PROVENANCE | {"command": NASTY["fences"], "machine": NASTY["colour"]})


def scaling_facts() -> dict[str, Any]:
    """A made-up scaling study of two systems, as `experiments.scaling` writes it."""
    from experiments.scaling_laws import Record, summary

    def bound(rows: int, rank: int, seed: int) -> float:
        return 0.4 + (rows / 500) ** -0.5 / rank**0.2 + 0.01 * seed

    runs = [
        Record(system, rows, rank, 1.0, seed, 9, 100 * rank, 1e9 * rows * rank, 1.0, bound(rows, rank, seed), 1.0)
        for system in ("lora", "ar-lora")
        for rows in (500, 1000, 2000, 4000)
        for rank in (2, 8)
        for seed in (1, 2)
    ]
    return summary(runs)


def reversal_facts() -> dict[str, Any]:
    """A made-up reversal study, as `experiments.reversal` writes it: the twin knows one direction alone."""
    from experiments.reversal.outcome import answered, content
    from experiments.reversal.pairs import make_pairs

    found = {
        system: [
            answered(pair, way, pair.answer(way) if knows_both or pair.both or way == "forward" else "tidak tahu")
            for pair in make_pairs(20, 7)
            for way in ("forward", "backward")
        ]
        for system, knows_both in (("lora", True), ("ar-lora", False))
    }
    return content(found, 7)


def write_planted_report(
    root: Path, systems: Sequence[Planted] = STANDARD, count: int = 60, points: int = 800, keyed: bool = True
) -> Path:
    """The whole artefact folder under `root` and the report made from it; returns the report's folder."""
    rows = items(count)
    for planted in systems:
        write_evaluation(root / "evaluation" / planted.name, planted, rows, keyed=keyed)
        if planted.name != "base":
            write_adapter(root / "adapters" / planted.name, planted)
    write_data(root, points)
    write_json(root / "sweep" / "sweep.json", sweep_facts())
    write_json(root / "scale" / "scale.json", scaling_facts())
    write_json(root / "reversal" / "reversal.json", reversal_facts())
    return report_of(root, systems)


def report_of(
    root: Path,
    systems: Sequence[Planted] = STANDARD,
    provenance: dict[str, Any] = PROVENANCE,
    twins: Sequence[Planted] = (),
) -> Path:
    """The report made from what lies under `root`; returns its folder."""
    scaling, reversal = root / "scale" / "scale.json", root / "reversal" / "reversal.json"
    write_report(
        EVALUATION,
        profile_name="planted",
        evaluations={planted.name: root / "evaluation" / planted.name for planted in systems},
        adapters={planted.name: root / "adapters" / planted.name for planted in systems if planted.name != "base"},
        cluster_facts=root / "cluster.json",
        umap_points=root / "umap.parquet",
        umap_picture=root / "umap.png",
        select_facts=root / "select.json",
        leakage_facts=root / "leakage.json",
        format_facts=root / "format.json",
        splits=root / "splits",
        provenance=provenance,
        output=root / "report",
        sweep=root / "sweep" / "sweep.json",
        scaling=scaling if scaling.is_file() else None,
        reversal=reversal if reversal.is_file() else None,
        tasks={planted.name: root / "tasks" / planted.name for planted in systems},
        safety={planted.name: root / "safety" / planted.name for planted in systems},
        twins={planted.name: root / "evaluation" / planted.name for planted in twins},
    )
    return root / "report"
