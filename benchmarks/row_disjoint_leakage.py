"""How leaky would a row-disjoint split be? The original study's split, drawn again and again, and audited.

    python benchmarks/row_disjoint_leakage.py ROWS_FOLDER [--draws 200] [--as-original] [--output JSON]

Each draw follows the original recipe without its clusters: 3% of the rows (copies included) stratified by template,
10,000 of them for training, 394 others as the pool, 100 of the pool as the test set. Counted are the test rows
whose pair (after NFC and white-space normalisation) or whose long answer also stands in training. `--as-original`
repeats the rows of the two small prompt subsets 500-fold and gives every subset its real share, as in the full
collection; otherwise the rows are taken as they are.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import xxhash

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from common.files import write_json
from common.progress import track
from data_prep.config import INDONESIAN_SUBSETS
from data_prep.rows.text import folded_words, normal_form

REAL_ROWS = {"wikipedia_id": 6_069_267, "indo_puisi": 144_460, "wikihow": 97_848, "safety_prompt": 93_500,
             "dolly": 75_055, "identity_prompt": 62_500}  # fmt: skip
REAL_UNIQUE = {"safety_prompt": 187, "identity_prompt": 125}
SAMPLE, TRAIN, POOL, TEST = 196_279, 10_000, 394, 100


def fingerprints(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Per usable row: subset number, hash of the pair, hash of the answer (0 if shorter than 8 words)."""
    columns = ["subset_name", "input", "output"]
    table = pa.concat_tables([pq.read_table(path, columns=columns) for path in sorted(folder.glob("*.parquet"))])
    table = table.filter(pc.is_in(table["subset_name"], pa.array(INDONESIAN_SUBSETS))).drop_null()
    names = {name: number for number, name in enumerate(INDONESIAN_SUBSETS)}
    subsets = np.array([names[name] for name in table["subset_name"].to_pylist()])
    pairs = np.zeros(len(subsets), dtype=np.uint64)
    answers = np.zeros(len(subsets), dtype=np.uint64)
    texts = zip(table["input"].to_pylist(), table["output"].to_pylist(), strict=True)
    for row, (given, answer) in enumerate(track(texts, "hashing", total=len(subsets))):
        pairs[row] = xxhash.xxh3_64_intdigest(f"{normal_form(given)}\0{normal_form(answer)}".encode())
        found = folded_words(answer)
        answers[row] = xxhash.xxh3_64_intdigest(" ".join(found).encode()) if len(found) >= 8 else 0
    return subsets, pairs, answers


def in_real_proportions(subsets: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Row numbers of one 3% sample as the full collection would give it.

    The two prompt subsets are drawn from their distinct rows with replacement (500 copies each); the others from their
    rows without replacement where there are enough, so that no copies arise that the collection does not have.
    """
    chosen = []
    for number, name in enumerate(INDONESIAN_SUBSETS):
        members = np.flatnonzero(subsets == number)
        wanted = round(SAMPLE * REAL_ROWS[name] / sum(REAL_ROWS.values()))
        repeated = name in REAL_UNIQUE
        chosen.append(rng.choice(members, wanted if repeated else min(wanted, len(members)), replace=repeated))
    return np.concatenate(chosen)


def leaky_rows(sample: np.ndarray, pairs: np.ndarray, answers: np.ndarray, rng: np.random.Generator) -> tuple[int, int]:
    """Of one draw: test rows whose pair stands in training, and those whose pair or long answer does."""
    drawn = rng.permutation(sample)[: TRAIN + POOL]
    train, test = drawn[:TRAIN], rng.permutation(drawn[TRAIN:])[:TEST]
    pair = np.isin(pairs[test], pairs[train])
    answer = np.isin(answers[test], answers[train]) & (answers[test] != 0)
    return int(pair.sum()), int((pair | answer).sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--as-original", action="store_true")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    subsets, pairs, answers = fingerprints(arguments.folder)
    rng = np.random.default_rng(arguments.seed)
    counts = []
    for _ in track(range(arguments.draws), "drawing"):
        sample = in_real_proportions(subsets, rng) if arguments.as_original else np.arange(len(subsets))
        counts.append(leaky_rows(sample, pairs, answers, rng))
    exact, any_kind = np.array(counts).T
    leaked = {name: summary(found) for name, found in (("pair", exact), ("pair or long answer", any_kind))}
    for name, found in leaked.items():
        print(
            f"{name}: {found['tests_with_a_leak']:.0%} of {arguments.draws} tests of {TEST} rows have a leaked row, "
            f"{found['leaked_rows_mean']:.2f} rows on average, {found['leaked_rows_max']} at most"
        )
    if arguments.output:
        settings = {"draws": arguments.draws, "seed": arguments.seed, "as_original": arguments.as_original}
        sizes = {"usable_rows": len(subsets), "training_rows": TRAIN, "pool_rows": POOL, "test_rows": TEST}
        write_json(arguments.output, {"settings": settings | sizes, "leaked": leaked})


def summary(found: np.ndarray) -> dict[str, float]:
    """Of the leaked rows per test, (draws,): the share of tests with any, and mean and maximum."""
    return {
        "tests_with_a_leak": round(float(np.mean(found > 0)), 4),
        "leaked_rows_mean": round(float(found.mean()), 3),
        "leaked_rows_max": int(found.max()),
    }


if __name__ == "__main__":
    main()
