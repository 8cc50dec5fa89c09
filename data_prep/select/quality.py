"""The quality gate: is a sampled row Indonesian, is its text undamaged, and is its answer more than boiler-plate?

Off unless `data.quality` switches a rule on; the original study had none. It judges the sampled rows, not the millions
before them, so the sample stays the exact share that `data.sample_fraction` names and what the gate takes from it is
counted, per rule and subset, with examples, in `select.json`. The rules in their order; a row counts under the first
that refuses it:

    encoding_damage  a replacement character (U+FFFD), a C1 control character, or mojibake: a sequence that ftfy both
                     finds implausible and can repair ("Ã©" for "é")
    boilerplate      at least 30% of the answer's lines are furniture of a web page ("Pranala luar", "Baca juga: ...",
                     "Hak cipta ..."), or at least 30% of its four or more lines repeat an earlier one (the share is
                     that of the Gopher rules: Rae et al., "Scaling Language Models", 2021, table A1)
    language         the likeliest language is not among those to keep

The language is judged on the answer, or on input and answer together where the answer has fewer than eight words
("Jepang" is no language); what is still under three words is kept and counted as `short`.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from common.errors import InputError
from common.progress import track
from common.text.language import language_of
from data_prep.config import QualityConfig
from data_prep.rows.text import folded_words

RULES = {"encoding_damage": "undamaged", "boilerplate": "no_boilerplate", "language": "in_language"}
"""Each rule, in order, and the funnel's step behind it."""
LONG_ANSWER = 8
JUDGED_CHARACTERS = 1000
"""A language shows in so much text; a cell of a megabyte would take seconds."""
LINE_SHARE = 0.3
REPETITION_LINES = 4
EXAMPLES = 5
EXAMPLE_CHARACTERS = 160

_DAMAGE = re.compile("[\ufffd\x80-\x9f]")
_WORD = re.compile(r"\w")
_FURNITURE = re.compile(
    r"(baca|lihat|simak) (juga|pula)\b"
    r"|pranala luar$|daftar pustaka$|referensi$|catatan kaki$|sumber:"
    r"|artikel (bertopik .*)?ini adalah (sebuah )?(artikel )?rintisan|anda dapat membantu wikipedia"
    r"|(klik|tekan) (di ?sini|tautan|link)|(hak cipta|copyright|©)\b.*|all rights reserved|hak cipta dilindungi"
    r"|berlangganan\b|bagikan (ke|di|artikel)|kebijakan privasi|syarat (dan|&) ketentuan"
    r"|(situs|website) ini menggunakan|iklan$|advertisement$|ikuti kami"
    r"|halaman (sebelumnya|berikutnya)|kembali ke (atas|beranda)",
    re.IGNORECASE,
)


def is_damaged(text: str) -> bool:
    """Characters were lost (U+FFFD), or decoded as another encoding."""
    if text.isascii():
        return False
    from ftfy import fix_encoding
    from ftfy.badness import is_bad

    return bool(_DAMAGE.search(text)) or (is_bad(text) and fix_encoding(text) != text)


def is_boilerplate(answer: str) -> bool:
    """LINE_SHARE of the answer's lines are furniture of a page, or repeat an earlier line."""
    lines = [line.strip() for line in answer.splitlines() if _WORD.search(line)]  # rulers and brackets may repeat
    if not lines:
        return False
    furniture = sum(bool(_FURNITURE.match(line)) for line in lines)
    repeated = len(lines) - len(set(lines)) if len(lines) >= REPETITION_LINES else 0
    return max(furniture, repeated) >= LINE_SHARE * len(lines)


@dataclass
class Judged:
    """The gate's verdict. removed: rows per rule and (subset, template); languages: rows per subset and language."""

    table: pa.Table
    removed: dict[str, Counter[tuple[str, str]]]
    languages: dict[str, Counter[str]] = field(default_factory=dict)
    examples: dict[str, list[dict[str, str]]] = field(default_factory=dict)

    def facts(self, config: QualityConfig) -> dict[str, Any]:
        """What `select.json` says of the gate."""
        by_subset = {rule: _by_subset(counts) for rule, counts in self.removed.items()}
        languages = {subset: dict(sorted(counts.items())) for subset, counts in sorted(self.languages.items())}
        return {
            "rules": config.model_dump(mode="json"),
            "removed": by_subset,
            "languages": languages,
            "examples": self.examples,
        }


def active_rules(config: QualityConfig) -> list[str]:
    """The rules that are switched on, in order."""
    return [rule for rule in RULES if getattr(config, rule)]


def judge(table: pa.Table, config: QualityConfig) -> Judged:
    """Take out the rows that a rule refuses.

    Raises:
        InputError: none is left.
    """
    rules = active_rules(config)
    judged = Judged(table, {rule: Counter() for rule in rules}, examples={rule: [] for rule in rules})
    if not rules:
        return judged
    languages: defaultdict[str, Counter[str]] = defaultdict(Counter)
    refuse = _refusals(config, languages)
    keep: list[bool] = []
    for row in track(_rows(table), "judging quality", total=table.num_rows, enabled=table.num_rows > 5000):
        rule = next((rule for rule in rules if refuse[rule](row)), None)
        keep.append(rule is None)
        if rule:
            judged.removed[rule][row["subset_name"], row["template_name"]] += 1
            if len(judged.examples[rule]) < EXAMPLES:
                texts = {name: row[name][:EXAMPLE_CHARACTERS] for name in ("input", "output")}
                judged.examples[rule].append({"id": row["id"], "subset_name": row["subset_name"], **texts})
    judged.table = table.filter(pa.array(keep))
    judged.languages = dict(languages)
    if judged.table.num_rows == 0:
        raise InputError(f"data.quality: {' and '.join(rules)} refuse all {table.num_rows:,} sampled rows; loosen them")
    return judged


def _refusals(
    config: QualityConfig, languages: defaultdict[str, Counter[str]]
) -> dict[str, Callable[[dict[str, str]], bool]]:
    """A test for each rule, True where it refuses the row; the language's also counts what it sees."""

    def foreign(row: dict[str, str]) -> bool:
        answer = row["output"][:JUDGED_CHARACTERS]
        long = len(folded_words(answer)) >= LONG_ANSWER
        language = language_of(answer if long else f"{row['input'][:JUDGED_CHARACTERS]}\n{answer}")
        languages[row["subset_name"]][language] += 1
        return language != "short" and language not in (config.language or ())

    return {
        "encoding_damage": lambda row: is_damaged(row["input"]) or is_damaged(row["output"]),
        "boilerplate": lambda row: is_boilerplate(row["output"]),
        "language": foreign,
    }


def _rows(table: pa.Table) -> Iterator[dict[str, str]]:
    names = ("id", "subset_name", "template_name", "input", "output")
    for batch in table.select(names).to_batches(max_chunksize=4096):
        for row in batch.to_pylist():
            yield {name: value or "" for name, value in row.items()}


def _by_subset(counts: Counter[tuple[str, str]]) -> dict[str, int]:
    by_subset: Counter[str] = Counter()
    for (subset, _), rows in counts.items():
        by_subset[subset] += rows
    return dict(sorted(by_subset.items()))
