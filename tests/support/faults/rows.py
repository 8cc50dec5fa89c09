"""Damaged and odd row files, for tests that want every one of them read or refused in one line.

for name, write in nasty_folders():
    write(folder)          # a folder of row files, to be given as `data.source`
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from data_prep.rows.text import COLUMNS

Writer = Callable[[Path], None]
GOOD: dict[str, str | None] = dict(zip(COLUMNS, ("set", "dolly", "p", "t", "train", "Apa itu?", "Kopi."), strict=True))
LINE = json.dumps(GOOD, ensure_ascii=False).encode()
DEEP = 100_000


def nasty_folders() -> Iterator[tuple[str, Writer]]:
    """(name, writer) of every case."""
    yield from _texts().items()
    yield from _tables().items()
    yield from _places().items()


def _file(name: str, content: bytes) -> Writer:
    def write(folder: Path) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    return write


def _json(**changes: Any) -> bytes:
    return LINE + b"\n" + json.dumps({**GOOD, **changes}).encode() + b"\n"


def _texts() -> dict[str, Writer]:
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerows([COLUMNS, GOOD.values()])
    plain = table.getvalue()
    whole = json.dumps([GOOD, GOOD])
    packed = gzip.compress(LINE + b"\n")
    lines = {
        "nan": _json(output=float("nan")),
        "infinity": _json(output=float("-inf")),
        "a number beyond doubles": LINE + b"\n" + LINE.replace(b'"Kopi."', b"1e999"),
        "5,000 digits": LINE.replace(b'"Kopi."', b"9" * 5000),
        "deep lists": b"[" * DEEP,
        "deep objects": b'{"input": ' * DEEP,
        "deep value": LINE[:-1] + b', "extra": ' + b"[" * DEEP + b"]" * DEEP + b"}",
        "a list as a text": _json(input=["a"]),
        "a line that is no object": LINE + b'\n"text"\n',
        "half a line": LINE + b"\n" + LINE[:30],
        "not utf-8": LINE + b"\n\xff\xfe\xfa\n",
        "latin-1": LINE.replace(b"Kopi", "Kopi é".encode("latin-1")),
        "byte order mark": b"\xef\xbb\xbf" + LINE,
        "utf-16": (LINE.decode() + "\n").encode("utf-16"),
        "utf-16 without mark": (LINE.decode() + "\n").encode("utf-16-le"),
        "half of utf-16": (LINE.decode() + "\n").encode("utf-16")[:-3],
        "nul bytes": b"\0" * 400,
        "nothing": b"",
        "white space": b" \n\n\t\n",
        "separators of lines in a text": json.dumps({**GOOD, "output": "a\u2028b\u0085c"}, ensure_ascii=False).encode(),
        "lone surrogates": _json(output="\ud800"),
        "null everywhere": _json(input=None, output=None),
        "an integer id": _json(prompt_id=7),
        "braces for keys": _json(**{"{input}": "x", "": "y", "[/b]": "z"}),
        "messages that are none": b'{"messages": 5}\n',
        "messages of nobody": b'{"messages": [{"content": "a"}]}\n',
        "messages of a tool": b'{"messages": [{"role": "tool", "content": "a"}]}\n',
        "messages as text": b'{"messages": "[{"}\n',
        "messages without an answer": LINE + b'\n{"conversations": [{"from": "human", "value": "a"}]}\n',
        "a picture in a message": b'{"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}\n',
        "alpaca with a list": b'{"instruction": "a", "input": [], "output": "b"}\n',
    }
    others = {
        "rows.json": {
            "a list": whole.encode(),
            "lines named json": LINE + b"\n" + LINE,
            "half a list": whole[:-9].encode(),
            "a list of numbers": b"[1, 2]",
            "an object": b'{"a": 1}',
            "a wrapped list": b'{"data": ' + whole.encode() + b"}",
            "an indented list": json.dumps([GOOD], indent=2).encode(),
            "deep json": b"[" * DEEP,
        },
        "rows.csv": {
            "csv": plain.encode(),
            "csv with ;": plain.replace(",", ";").encode(),
            "csv in utf-16": plain.encode("utf-16"),
            "csv with a mark": plain.encode("utf-8-sig"),
            "csv in latin-1": plain.replace("Kopi", "é").encode("latin-1"),
            "csv with a field too many": (plain + "1,2,3\r\n").encode(),
            "csv with an open quote": (plain + '"a').encode(),
            "csv with a column twice": plain.replace("dataset_key", "input").encode(),
            "csv of one column": b"a\nb\n",
            "csv with nul": plain.replace("Kopi", "Ko\0pi").encode(),
            "empty csv": b"",
        },
        "rows.tsv": {"tsv": plain.replace(",", "\t").encode()},
        "rows.jsonl.gz": {
            "gzip": packed,
            "half of gzip": packed[:-9],
            "no gzip": LINE,
            "damaged gzip": packed[:20] + b"\0" + packed[21:],
        },
        "rows.csv.gz": {"csv gzipped": gzip.compress(plain.encode())},
        "rows.parquet": {
            "no parquet": b"PAR1 and then nothing of use",
            "parquet of four bytes": b"PAR1",
            "empty parquet": b"",
            "json named parquet": LINE,
        },
        "A.JSONL": {"capitals": LINE},
    }
    cases = {name: _file("rows.jsonl", content) for name, content in lines.items()}
    return cases | {name: _file(file, content) for file, of in others.items() for name, content in of.items()}


def _tables() -> dict[str, Writer]:
    def table(folder: Path, file: str = "a.parquet", drop: tuple[str, ...] = (), **columns: Any) -> None:
        values = {name: pa.array([value], pa.string()) for name, value in GOOD.items() if name not in drop} | columns
        pq.write_table(pa.table(list(values.values()), list(values)), folder / file)

    def case(**columns: Any) -> Writer:
        return lambda folder: table(folder, **columns)

    def beside(*others: dict[str, Any]) -> Writer:
        def write(folder: Path) -> None:
            for number, columns in enumerate(others):
                table(folder, f"{number}.parquet", **columns)

        return write

    def twice(folder: Path) -> None:
        names = [*COLUMNS, "input"]
        pq.write_table(pa.table([pa.array(["x"])] * len(names), names), folder / "a.parquet")

    def twice_unread(folder: Path) -> None:
        names = [*COLUMNS, "extra", "extra"]
        pq.write_table(pa.table([pa.array(["x"])] * len(names), names), folder / "a.parquet")

    def truncated(folder: Path) -> None:
        table(folder)
        content = (folder / "a.parquet").read_bytes()
        (folder / "a.parquet").write_bytes(content[: len(content) // 2])

    null, view, large = (
        pa.array([None], pa.null()),
        pa.array(["v"], pa.string_view()),
        pa.array(["v"], pa.large_string()),
    )
    bad = pa.array([b"lone \xed\xa0\x80"], pa.binary()).view(pa.string())
    return {
        "null columns first": beside({"template_name": null, "output": null}, {}),
        "null columns last": beside({}, {"template_name": null}),
        "string views": case(input=view, output=view),
        "a view first": beside({"template_name": view}, {}),
        "large strings first": beside({"input": large}, {}),
        "dictionaries": case(template_name=pa.array(["t"]).dictionary_encode(), input=large.dictionary_encode()),
        "integer ids": beside({"prompt_id": pa.array([3])}, {}),
        "integers as input": case(input=pa.array([3])),
        "floats": case(template_name=pa.array([float("nan")])),
        "bytes": case(output=pa.array([b"x"])),
        "lists": case(output=pa.array([["x"]])),
        "not utf-8 in parquet": case(input=bad),
        "not utf-8 behind an integer": case(input=bad, prompt_id=pa.array([1])),
        "a column twice": twice,
        "an unread column twice": twice_unread,
        "no rows": lambda folder: pq.write_table(
            pa.table({name: pa.array([], pa.string()) for name in COLUMNS}), folder / "a.parquet"
        ),
        "no columns": lambda folder: pq.write_table(pa.table({}), folder / "a.parquet"),
        "a missing column": case(drop=("output",)),
        "a system column of truth values": case(system=pa.array([True])),
        "a system column in one file": beside({"system": pa.array(["s"])}, {}),
        "messages of numbers": case(drop=("input", "output"), messages=pa.array([[1, 2]])),
        "half a file": truncated,
    }


def _places() -> dict[str, Writer]:
    good = LINE + b"\n"

    def odd(name: str) -> Writer:
        def write(folder: Path) -> None:
            inner = folder / name
            inner.mkdir(parents=True)
            pq.write_table(pa.Table.from_pylist([GOOD]), inner / f"{name}.parquet")
            (inner / f"{name}.jsonl").write_bytes(good)

        return write

    def hidden(folder: Path) -> None:
        for place in ("a.jsonl", "._a.jsonl", ".ipynb_checkpoints/a.jsonl", "__MACOSX/a.jsonl", "_SUCCESS.json"):
            _file(place, good if place == "a.jsonl" else b"\0\5\x16\7")(folder)

    def loop(folder: Path) -> None:
        _file("inner/a.jsonl", good)(folder)
        (folder / "inner" / "again").symlink_to(folder)
        (folder / "dangling.jsonl").symlink_to("nowhere")

    def named(folder: Path) -> None:
        (folder / "a.parquet").mkdir()
        _file("a.parquet/part-0.parquet/a.jsonl", good)(folder)

    names = (
        "[v2]",
        "{a,b}",
        "a*b",
        "what?",
        "[red]",
        ":cat:",
        "back\\slash",
        "a=1",
        "sp ace",
        "ünï",
        "%20",
        "'q\"",
        "s:m",
    )
    cases = {f"a path with {name}": odd(name) for name in names}
    return {**cases, "hidden files": hidden, "a loop of links": loop, "folders named as files": named}


def damaged_folders(seed: int = 14) -> Iterator[tuple[str, Writer]]:
    """(name, writer): whole files of every kind, cut at twenty places, and with single bytes changed at sixty."""
    draw = random.Random(seed)
    for file, content in _whole_files().items():
        for part in range(20):
            yield f"{file} cut at {part}/20", _file(file, content[: len(content) * part // 20])
        for _ in range(60):
            place, byte = draw.randrange(len(content)), draw.randrange(256)
            changed = content[:place] + bytes([byte]) + content[place + 1 :]
            yield f"{file} with {byte} at {place}", _file(file, changed)


def _whole_files() -> dict[str, bytes]:
    """The same rows in every form."""
    rows = [{**GOOD, "input": f"Apa itu {number}?"} for number in range(20)]
    lines = b"".join(json.dumps(each, ensure_ascii=False).encode() + b"\n" for each in rows)
    table = io.StringIO()
    writer = csv.DictWriter(table, COLUMNS)
    writer.writeheader()
    writer.writerows(rows)
    packed = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), packed, compression="zstd")
    return {
        "rows.jsonl": lines,
        "rows.json": json.dumps(rows).encode(),
        "rows.csv": table.getvalue().encode(),
        "rows.jsonl.gz": gzip.compress(lines, mtime=0),
        "rows.parquet": packed.getvalue(),
    }
