"""Stage `select`: from all rows to the candidates, on daft, in process or on a Ray cluster.

    rows -> in the subsets -> not null -> not empty -> no NUL characters -> unique (normalised pair) -> sampled
         -> what `data.quality` switches on (`data_prep.select.quality`)

Only keys (64-bit hashes) are grouped, joined and ranked; the texts are read a second time, for the chosen rows
alone. A row is its hash, never its place: neither files, their order, partitions, threads nor the runner change the
result, and the sample is drawn by the hash of (seed, pair) as the random number.

Normal form for comparison: canonically equivalent Unicode and white space collapsed (`rows.text.normal_form`; daft
decomposes instead of composing, which makes the same rows equal).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from common import seals
from common.errors import InputError
from common.files import atomic_path, write_json
from common.progress import console, progress_bar
from common.text.forms import tidied
from data_prep.config import DataConfig
from data_prep.rows.conversation import optional_column
from data_prep.rows.documents import FORM
from data_prep.rows.grouping import content_groups
from data_prep.rows.quotas import fill, largest_remainder
from data_prep.rows.tables import (
    CONSTANT,
    columns_of,
    print_table,
    read_source,
    refuse_unreadable,
    use_runner,
)
from data_prep.rows.text import INVISIBLE, PLACEHOLDERS, row_id
from data_prep.select.quality import RULES, Judged, active_rules, judge

if TYPE_CHECKING:
    from daft import DataFrame

STEPS = ("rows", "in_subsets", "not_null", "not_empty", "readable", "unique", "sampled")
"""The funnel. `readable`: no NUL character. The steps of the quality gate follow where a rule is switched on."""


def select(data: DataConfig, *, files: list[Path], seed: int, candidates: Path, facts: Path) -> None:
    """Write the candidates (`id`, COLUMNS, the optional columns in use, `group`; sorted by id) and the funnel.

    With de-duplication input and output are written as `tidied`, and the id is that of the row as written.

    Raises:
        InputError: a file cannot be read; no row is left after a step.
    """
    from daft.exceptions import DaftCoreException

    use_runner(data.runner)
    try:
        counts, table = _select(data, files, seed)
    except DaftCoreException as error:
        refuse_unreadable(files, error)
        raise
    judged = judge(table, data.quality)
    table = _with_groups(judged.table)
    with atomic_path(candidates) as temporary:
        pq.write_table(table, temporary, compression="zstd")
    funnel = _funnel(counts, table, judged, data)
    write_json(facts, seals.sealed(facts, funnel, read=files, wrote=[candidates]))
    print_funnel(funnel)


def with_columns(data: DataConfig, columns: dict[str, str]) -> DataConfig:
    """The section with the columns that `inputs` resolved; rows without subsets of their own are all kept."""
    changes: dict[str, object] = {"columns": columns}
    constant = columns.get("subset_name", "")
    if constant.startswith(CONSTANT) and "subset_name" not in data.columns:
        changes["subsets"] = (constant[len(CONSTANT) :],)
    return data.model_copy(update=changes)


def _select(data: DataConfig, files: list[Path], seed: int) -> tuple[list[Stratum], pa.Table]:
    with progress_bar() as progress:
        task = progress.add_task("select", total=4, note="counting rows")
        source = read_source(files, data.columns)
        strata = _strata(source)
        progress.update(task, advance=1, note="normalising and hashing")
        keys = _keys(source, data).collect()
        _count_usable(keys, strata)
        _refuse_lost_rows(files, data, strata)
        _refuse_nothing(data, strata, files)
        progress.update(task, advance=1, note="de-duplicating and sampling")
        chosen = _sample(_unique(keys, data.deduplicate), data, strata, seed)
        progress.update(task, advance=1, note="fetching the chosen rows")
        table = _fetch(source, data, chosen)
        progress.update(task, advance=1, note="done")
    return list(strata.values()), table


@dataclass
class Stratum:
    """One (subset, template) and its rows after each step."""

    subset: str
    template: str
    rows: int
    in_subsets: int = 0
    not_null: int = 0
    not_empty: int = 0
    readable: int = 0
    unique: int = 0
    sampled: int = 0


def _strata(source: DataFrame) -> dict[int, Stratum]:
    """Every (subset, template) of the source, by its hash."""
    from daft import col

    counted = (
        source.select("subset_name", "template_name")
        .with_column("stratum", _hash("subset_name", "template_name"))
        .groupby("stratum", "subset_name", "template_name")
        .agg(col("stratum").count().alias("rows"))
    )
    return {
        row["stratum"]: Stratum(row["subset_name"] or "", row["template_name"] or "", row["rows"])
        for row in counted.to_pylist()
    }


def _hash(*columns: str, seed: int = 1) -> Any:
    import daft.functions as F  # noqa: N812
    from daft import col

    return F.hash(*(col(name) for name in columns), seed=seed, hash_function="xxhash3_64")


def _keys(source: DataFrame, data: DataConfig) -> DataFrame:
    """(stratum, row, pair, fault) of every row in the subsets. fault: 0 none, 1 null, 2 empty, 3 a NUL character."""
    import daft.functions as F  # noqa: N812
    from daft import DataType, col, lit

    asks_nothing = F.regexp(col("normal_input"), INVISIBLE)
    if FORM in columns_of(data.columns):  # raw text has no prompt
        asks_nothing = asks_nothing & col(FORM).is_null()
    fault = (
        F.when(col("input").is_null() | col("output").is_null(), lit(1))
        .when(asks_nothing | F.regexp(col("normal_output"), INVISIBLE), lit(2))
        .when(F.contains(col("input"), "\0") | F.contains(col("output"), "\0"), lit(3))
        .otherwise(lit(0))
    )
    rows = _in_subsets(source, data).with_columns(
        {f"normal_{name}": F.normalize(col(name), nfd_unicode=True, white_space=True) for name in ("input", "output")}
    )
    return rows.select(
        _hash("subset_name", "template_name").alias("stratum"),
        _hash(*columns_of(data.columns)).alias("row"),
        _hash("normal_input", "normal_output", *_seen_before(data)).alias("pair"),
        fault.cast(DataType.uint8()).alias("fault"),
    )


def _seen_before(data: DataConfig) -> list[str]:
    """What the model sees before the input: two rows are copies only where that agrees too."""
    return [name for name in columns_of(data.columns) if name in ("system", "history")]


def _in_subsets(source: DataFrame, data: DataConfig) -> DataFrame:
    from daft import col

    return source.where(col("subset_name").is_in(list(data.subsets)))


def _count_usable(keys: DataFrame, strata: dict[int, Stratum]) -> None:
    from daft import col

    counted = keys.groupby("stratum", "fault").agg(col("row").count().alias("rows")).to_pylist()
    rows = {(entry["stratum"], entry["fault"]): entry["rows"] for entry in counted}
    for key, stratum in strata.items():
        without, null, empty, nul = (rows.get((key, fault), 0) for fault in range(4))
        stratum.readable = without
        stratum.not_empty = without + nul
        stratum.not_null = without + nul + empty
        stratum.in_subsets = without + nul + empty + null


def _refuse_lost_rows(files: list[Path], data: DataConfig, strata: dict[int, Stratum]) -> None:
    """Check the counts against the files' footers and each other: daft 0.7 was seen to lose a damaged file's rows
    without an error (a single file, text that is not UTF-8, a filter).

    Raises:
        InputError: rows are missing, and a file cannot be read to its end.
        RuntimeError: rows are missing, and every file can.
    """
    inside = [stratum for stratum in strata.values() if stratum.subset in data.subsets]
    stored = sum(pq.ParquetFile(path).metadata.num_rows for path in files)
    seen = sum(stratum.rows for stratum in strata.values())
    if stored != seen or any(stratum.rows != stratum.in_subsets for stratum in inside):
        fault = RuntimeError(f"the files hold {stored:,} rows, daft read {seen:,} and then others")
        refuse_unreadable(files, fault)
        raise fault


def _refuse_nothing(data: DataConfig, strata: dict[int, Stratum], files: list[Path]) -> None:
    if not any(stratum.in_subsets for stratum in strata.values()):
        present = ", ".join(sorted({stratum.subset for stratum in strata.values()})[:8]) or "no row at all"
        raise InputError(
            f"data.subsets: no row of {files[0].parent} has a subset_name of {', '.join(data.subsets)}; "
            f"there: {present}"
        )
    if not any(stratum.readable for stratum in strata.values()):
        raise InputError(f"{files[0].parent}: input or output is null, empty or unreadable in every row of the subsets")


def _unique(keys: DataFrame, deduplicate: bool) -> DataFrame:
    """(row, stratum, pair, copy): of each pair the row of smallest hash; or every row, exact copies numbered."""
    import daft.functions as F  # noqa: N812
    from daft import col, lit

    usable = keys.where(col("fault").is_in([0])).select("row", "stratum", "pair")
    if deduplicate:
        first = usable.groupby("pair").agg(col("row").min().alias("row"))
        kept = usable.join(first, on=["pair", "row"], how="semi").distinct("row")
        return kept.with_column("copy", lit(0)).collect()
    copies = usable.groupby("row", "stratum", "pair").agg(col("stratum").count().alias("copies"))
    return (
        copies.with_column("copy", F.seq(col("copies")))
        .explode("copy")
        .select("row", "stratum", "pair", "copy")
        .collect()
    )


def _sample(unique: DataFrame, data: DataConfig, strata: dict[int, Stratum], seed: int) -> Counter[int]:
    """The chosen rows' hashes and how many copies of each; counts `unique` and `sampled` on the way.

    The total is round(sample_fraction x unique rows). Without de-duplication it is that share of all rows in the
    subsets, unusable ones included, as in the original study (3% of 6,542,630 is 196,279).
    """
    import daft.functions as F  # noqa: N812
    from daft import Window, col, from_arrow

    for entry in unique.groupby("stratum").agg(col("row").count().alias("rows")).to_pylist():
        strata[entry["stratum"]].unique = entry["rows"]
    by_name = {f"{stratum.subset}\0{stratum.template}": stratum for stratum in strata.values() if stratum.unique}
    sizes = {name: stratum.unique for name, stratum in by_name.items()}
    available = sum(sizes.values())
    whole = available if data.deduplicate else sum(stratum.in_subsets for stratum in strata.values())
    total = min(max(1, int(data.sample_fraction * whole + 0.5)), available)
    for name, quota in fill(largest_remainder(sizes, total), sizes).items():
        by_name[name].sampled = quota
    limits = from_arrow(
        pa.table(
            {"stratum": pa.array(list(strata), pa.uint64()), "limit": [stratum.sampled for stratum in strata.values()]}
        )
    )
    window = Window().partition_by("stratum").order_by("draw", "row", "copy")
    ranked = (
        unique.with_column("draw", _hash("pair", "copy", seed=seed))
        .with_column("rank", F.row_number().over(window))
        .join(limits, on="stratum")
        .where(col("rank") <= col("limit"))
    )
    return Counter(ranked.select("row").to_pydict()["row"])


def _fetch(source: DataFrame, data: DataConfig, chosen: Counter[int]) -> pa.Table:
    """The chosen rows with their ids, sorted by id. The second and later copies of a row have ids `...-1`, `...-2`."""
    from daft import from_arrow

    wanted = from_arrow(pa.table({"row": pa.array(list(chosen), pa.uint64())}))
    names = columns_of(data.columns)
    rows = _in_subsets(source, data).with_column("row", _hash(*names)).join(wanted, on="row", how="semi").to_arrow()
    first = np.unique(rows["row"].to_numpy(), return_index=True)[1]  # one of each row's exact copies
    if len(first) != len(chosen):
        raise RuntimeError(f"{len(chosen):,} rows were chosen, but {len(first):,} came back from the files")
    rows = rows.take(pa.array(first))
    if data.deduplicate:  # of copies that differ in white space one was kept, whichever; write it without the dirt
        for name in ("input", "output"):
            tidy = pa.array([tidied(value) for value in rows[name].to_pylist()], pa.string())
            rows = rows.set_column(rows.column_names.index(name), name, tidy)
    ids, places = [], []
    for place, row in enumerate(zip(*(rows[name].to_pylist() for name in (*names, "row")), strict=True)):
        base = row_id(row[:-1])
        copies = chosen[row[-1]]
        ids += [base if copy == 0 else f"{base}-{copy}" for copy in range(copies)]
        places += [place] * copies
    order = np.argsort(np.array(ids))
    table = rows.select(list(names)).take(pa.array(np.array(places)[order]))
    text = pa.schema([(name, pa.string()) for name in names])
    return table.cast(text).add_column(0, "id", pa.array([ids[place] for place in order], pa.string())).combine_chunks()


def _with_groups(table: pa.Table) -> pa.Table:
    names = ("id", "subset_name", "template_name", "input", "output")
    columns = (table[name].fill_null("").to_pylist() for name in names)
    spoken = (optional_column(table, name) for name in ("history", "conversation"))
    return table.append_column("group", pa.array(content_groups(*columns, *spoken), pa.string()))


def _funnel(strata: list[Stratum], table: pa.Table, judged: Judged, data: DataConfig) -> dict[str, Any]:
    sizes = Counter(table["group"].to_pylist())
    subsets = sorted({stratum.subset for stratum in strata})
    rules = active_rules(data.quality)

    def counts(of: list[Stratum]) -> dict[str, int]:
        rows = {step: sum(getattr(stratum, step) for stratum in of) for step in STEPS}
        left = rows["sampled"]
        for rule in rules:
            left -= sum(judged.removed[rule][stratum.subset, stratum.template] for stratum in of)
            rows[RULES[rule]] = left
        return rows

    return {
        "steps": [*STEPS, *(RULES[rule] for rule in rules)],
        "total": counts(strata),
        "subsets": {subset: counts([stratum for stratum in strata if stratum.subset == subset]) for subset in subsets},
        "templates": {
            f"{stratum.subset}/{stratum.template}": {"unique": stratum.unique, "sampled": stratum.sampled}
            for stratum in sorted(strata, key=lambda stratum: (stratum.subset, stratum.template))
            if stratum.in_subsets
        },
        "groups": {"count": len(sizes), "largest": max(sizes.values())},
        "quality": judged.facts(data.quality),
        **_placeholders(table),
    }


def _placeholders(table: pa.Table) -> dict[str, Any]:
    """Answers that are a word for "no answer", counted by the word; nothing where there are none."""
    answers = (answer.strip() for answer in table["output"].to_pylist() if len(answer) < 40)
    counts = Counter(answer for answer in answers if answer.lower() in PLACEHOLDERS)
    return {"placeholder_answers": dict(sorted(counts.items()))} if counts else {}


def print_funnel(funnel: dict[str, Any]) -> None:
    from rich.table import Table

    gate = "" if any(funnel["quality"]["rules"].values()) else " (quality gate off)"
    shown = Table(title=f"rows after each step{gate}")
    shown.add_column("subset", no_wrap=True)
    for step in funnel["steps"]:
        shown.add_column(step.replace("_", "\n"), justify="right", no_wrap=True)
    kept = {subset: counts for subset, counts in funnel["subsets"].items() if counts["in_subsets"]}
    for subset, counts in kept.items():
        shown.add_row(subset, *(f"{counts[step]:,}" for step in funnel["steps"]))
    others = sum(counts["rows"] for subset, counts in funnel["subsets"].items() if subset not in kept)
    shown.add_row(f"({len(funnel['subsets']) - len(kept)} others)", f"{others:,}", *["0"] * (len(funnel["steps"]) - 1))
    shown.add_section()
    shown.add_row("all", *(f"{funnel['total'][step]:,}" for step in funnel["steps"]))
    print_table(shown)
    if "placeholder_answers" in funnel:
        counted = ", ".join(f"{answer!r} {count:,}" for answer, count in funnel["placeholder_answers"].items())
        console.print(f"answers that may stand for no answer, kept: {counted}", style="yellow", soft_wrap=True)
