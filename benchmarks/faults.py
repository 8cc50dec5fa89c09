"""Bad input at scale: every case ends with one short line, never with a traceback, a hang or in silence.

    python benchmarks/faults.py                     # all but interruptions (hours); writes results/faults.json
    python benchmarks/faults.py --sample 200        # some of each kind, as tests/contract/test_faults.py has it
    python benchmarks/faults.py --kind interruptions --sample 40        # at file operations: full, killed, refused
    python benchmarks/faults.py --kind interruptions --stage train      # of one stage alone

A kind is one function in KINDS that yields its cases; the seed decides the sample and nothing else.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import sys
import tempfile
import time
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from common.errors import LONGEST
from common.files import write_json
from common.section import Section
from data_prep.inputs.finding import search
from data_prep.inputs.row_files import check_rows
from llada.sampling.settings import SamplerConfig
from pipeline.options import faults_of, natural, values
from pipeline.profile import CONFIGS, Profile, load_profile
from tests.support.faults.artefacts import Damage, World
from tests.support.faults.operations import Operations
from tests.support.faults.rows import Writer, damaged_folders, nasty_folders
from tests.support.faults.whole import STAGES

SEED = 14
LIMIT_S = 10
RESULTS = Path(__file__).parent / "results" / "faults.json"


@dataclass(frozen=True)
class Case:
    """One input. nonsense: it cannot be meant, so taking it in silence is a fault."""

    name: str
    run: Callable[[], Any]
    nonsense: bool = False
    limit_s: int = LIMIT_S


@dataclass
class Count:
    """What became of the cases of one kind; the lists name those that went wrong."""

    tried: int = 0
    refused: int = 0
    taken: int = 0
    tracebacks: list[str] = field(default_factory=list)
    hangs: list[str] = field(default_factory=list)
    untidy: list[str] = field(default_factory=list)  # a message of several lines, or too long a one
    taken_nonsense: list[str] = field(default_factory=list)


LONG = "9" * 5_000
DEEP = "[" * 5_000
BOMB = "{a: &a [1,1,1,1,1,1,1,1,1], " + ", ".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
ROWS_THAT_ARE_READ = {
    "byte order mark", "utf-16", "utf-16 without mark", "separators of lines in a text", "lone surrogates",
    "null everywhere", "an integer id", "braces for keys", "messages without an answer", "a list", "lines named json",
    "a wrapped list", "an indented list", "csv", "csv with ;", "csv in utf-16", "csv with a mark", "csv with nul",
    "tsv", "gzip", "csv gzipped", "capitals", "null columns first", "null columns last", "string views", "a view first",
    "large strings first", "dictionaries", "integer ids", "an unread column twice", "no rows",
    "a system column of truth values", "a system column in one file", "hidden files", "a loop of links",
    "folders named as files",
}  # fmt: skip
NONSENSE_FOR_ANY = (
    LONG, f"-{LONG}", f"0.{LONG}", DEEP, DEEP + "]" * 5_000, "{a: " * 2_000, BOMB + "}",
    "!!int abc", "!!float abc", "!!bool abc", "!!timestamp abc", "!!binary x", "!!python/name:os.system",
    "*nothing", "&a [*a]", "{a: 1, a: 2}", "[unclosed", "{unclosed", "'unclosed", '"\\ud800"', '"a\\0b"', "\x00",
    "\x1b[31m", "\ud800", "%", "@", "`", "? [a]\n: b", "{[1]: 2}", "{null: 1}", "{1: 2}", "<<: 1", "- - a\n - b",
    "a: b: c", "\t- x",
)  # fmt: skip
NONSENSE_FOR_NUMBERS = (
    ".inf", "-.inf", ".nan", "1e400", "1e300", "-1e300", "1" + "0" * 30, "-1", "-" + "1" * 25, "true", "yes", "on",
    "abc", "22:22", "0x1F", "2024-01-01", "2024-13-45", "2024-02-30 25:61", "''", "[]", "{}", "1 2", "1,5", "½", "٣x",
)  # fmt: skip


def settings() -> Iterator[Case]:
    """`--set KEY=V` for every key of the profile."""
    for key, kinds in keys_of(Profile):
        number = bool({int, float} & set(kinds)) and not {str, tuple} & set(kinds)
        for value in (*NONSENSE_FOR_ANY, *NONSENSE_FOR_NUMBERS):
            nonsense = value in NONSENSE_FOR_ANY or (number and bool not in kinds)
            override = f"{key}={value}"
            yield Case(f"--set {override}", lambda override=override: load_profile("mini", [override]), nonsense)


def profiles() -> Iterator[Case]:
    """Profile files: damaged, hostile, of another shape."""
    mini = (CONFIGS / "mini.yaml").read_text(encoding="utf-8")
    merged = "".join(
        f"{new}: &{new}\n  <<: [{','.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
    )
    contents: dict[str, str | bytes] = {
        "empty": "", "text": "text", "list": "- 1\n- 2", "number": "1", "null": "null",
        "two documents": f"{mini}\n---\n{mini}",
        "merge bomb": f"a: &a {{k: 1}}\n{merged}", "alias bomb": BOMB + "}", "a key twice": f"{mini}\nseed: 1\n",
        "not UTF-8": b"name: \xff\xfe", "UTF-16": mini.encode("utf-16"), "zeros": b"\0" * 1000,
        "large": "# x\n" * 1_000_000,
        "many keys": "\n".join(f"key{number}: {number}" for number in range(15_000)), "a tab": "\tname: mini",
        "no name": mini.replace("name: mini", ""), "an anchor in itself": "name: &n [*n]",
        "one long line": "a" * 200_000, "surrogate": 'name: "\\ud800"',
        "a tagged document": f"!!map\n{mini}", "only a comment": "# nothing",
    }  # fmt: skip
    for value in (*NONSENSE_FOR_ANY, *NONSENSE_FOR_NUMBERS):
        encoded = value.encode("utf-8", "surrogatepass")
        contents[f"name: {value}"] = (
            mini.replace("name: mini", "name: ").encode().replace(b"name: ", b"name: " + encoded, 1)
        )
        contents[f"seed: {value}"] = mini.encode().replace(b"seed: 42", b"seed: " + encoded)
        contents[f"data: {value}"] = b"name: x\ndata: " + encoded
        contents[f"sampling: {value}"] = b"name: x\nmethods: {lora: {}}\nsampling: " + encoded
    may_pass = {f"name: {value}" for value in ("abc", "0x1F", "2024-01-01", "2024-13-45", "1e400", "1e300")}
    may_pass |= {f"{key}: {value}" for key in ("sampling", "data") for value in ("{}",)}
    for name, content in contents.items():
        yield Case(f"profile, {name}", lambda content=content: _load_content(content), name not in may_pass)


def command_lines() -> Iterator[Case]:
    """Values of options as they are read before a command's body, and profiles' and adapters' names."""
    profile = load_profile("mini")
    texts = [
        "", " ", "/", ".", "..", "-", "--", "x" * 300, "x" * 5_000, "x/" * 3_000, "\x00", "\ud800", "[/]", "{}", "*",
        "~", LONG, "-1", "1e400", "nan", "../mini", "mini.yaml", "/dev/null", "/dev/zero.yaml", "/etc", "mini\n", "é",
        "日本",
        "lora-seed", "lora-seed-1", "lora-seed01", f"lora-seed{LONG}", "lora-seed4294967296", "lora-seed٣", "-seed1",
        "base", "LORA",
    ]  # fmt: skip
    for text in texts:
        named = text.strip() not in ("lora",)
        yield Case(f"--profile {text}", lambda text=text: load_profile(text), named)
        yield Case(f"--method {text}", lambda text=text: profile.method(text), named)
        yield Case(f"--set {text}", lambda text=text: load_profile("mini", [text]), True)
        yield Case(f"--seeds {text}", lambda text=text: values("--seeds", text, natural), text not in ("٣",))


def rows() -> Iterator[Case]:
    """Folders of row files: odd ones, cut ones, and ones with a changed byte, which is no nonsense where it may be."""
    for name, write in nasty_folders():
        read = name in ROWS_THAT_ARE_READ or name.startswith("a path with")
        yield Case(f"rows, {name}", lambda write=write: _check_folder(write), not read)
    for name, write in damaged_folders():
        yield Case(f"rows, {name}", lambda write=write: _check_folder(write))


def artefacts() -> Iterator[Case]:
    """Artefacts that were damaged, edited or exchanged between the stage that makes them and the next one."""
    world = World.at(Path(_scratch().name))
    for damage in world.damages():
        yield Case(damage.name, lambda damage=damage: _read_damaged(world, damage), damage.noticed)


def interruptions(stages: Sequence[str] = STAGES) -> Iterator[Case]:
    """Stages whose disk is full, that are killed, or that the system tells something else, at every one of their file
    operations, and the run after.
    """
    operations = Operations(Path(_scratch().name) / "operations", stages)
    for one in operations.interruptions():
        yield Case(one.name, lambda one=one: operations.suffer(one), limit_s=300)


KINDS: dict[str, Callable[[], Iterator[Case]]] = {
    "settings": settings,
    "profiles": profiles,
    "command lines": command_lines,
    "rows": rows,
    "artefacts": artefacts,
}
BY_HAND = {"interruptions": interruptions}
"""Each case forks, which a process with threads of other tests should not."""


def keys_of(section: Any, prefix: str = "") -> Iterator[tuple[str, Sequence[Any]]]:
    """Every dotted key below a section, with the types that its value may have."""
    for name, annotation in typing.get_type_hints(section).items():
        if name in ("model_config", "RANGES") or name.startswith("__"):
            continue
        kinds = typing.get_args(annotation) or (annotation,)
        yield f"{prefix}{name}", [*kinds, typing.get_origin(annotation)]
        if typing.get_origin(annotation) is dict and issubclass(kinds[-1], Section):
            yield from keys_of(kinds[-1], f"{prefix}{name}.lora.")
        elif isinstance(annotation, type) and (issubclass(annotation, Section) or annotation is SamplerConfig):
            yield from keys_of(annotation, f"{prefix}{name}.")


def sweep(
    sample: int | None = None, seed: int = SEED, kinds: Mapping[str, Callable[[], Iterator[Case]]] = KINDS
) -> dict[str, Count]:
    """Run every case, or `sample` of them, as many of each kind."""
    draw = random.Random(seed)
    counts = {kind: Count() for kind in kinds}
    for number, (kind, make) in enumerate(kinds.items()):
        cases = list(make())
        if sample is not None:
            share = sample * (number + 1) // len(kinds) - sample * number // len(kinds)
            cases = draw.sample(cases, min(share, len(cases)))
        for case in cases:
            _try(case, counts[kind])
    return counts


def table(counts: dict[str, Count]) -> str:
    """The counts as a table in Markdown."""
    lines = [
        "| what | tried | refused | taken | tracebacks | hangs | untidy messages | nonsense taken |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for kind, count in counts.items():
        cells = [len(value) if isinstance(value, list) else value for value in asdict(count).values()]
        lines.append(f"| {kind} | {' | '.join(f'{cell:,}' for cell in cells)} |")
    return "\n".join(lines)


class _HangError(BaseException):
    """A case took longer than LIMIT_S; no `except Exception` stops it."""


def _try(case: Case, count: Count) -> None:
    name = ascii(case.name if len(case.name) < 120 else f"{case.name[:100]}... ({len(case.name)} characters)")
    count.tried += 1
    begin = time.monotonic()
    signal.signal(signal.SIGALRM, _ring)
    signal.alarm(case.limit_s)
    try:
        case.run()
        count.taken += 1
        if case.nonsense:
            count.taken_nonsense.append(name)
    except _HangError:
        count.hangs.append(name)
    except Exception as error:  # noqa: BLE001  (which is what is counted)
        faults = faults_of(error)
        if faults is None:
            count.tracebacks.append(f"{name}: {type(error).__name__}: {ascii(str(error))[:100]}")
        else:
            count.refused += 1
            if any(len(fault) > LONGEST or not fault.isprintable() for fault in faults):
                count.untidy.append(name)
    finally:
        signal.alarm(0)
    if time.monotonic() - begin > case.limit_s and name not in count.hangs:
        count.hangs.append(name)


def _ring(*_: object) -> None:
    raise _HangError


def _load_content(content: str | bytes) -> Profile:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "profile.yaml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
        return load_profile(str(path))


def _check_folder(write: Writer) -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "rows"
        place.mkdir()
        write(place)
        check_rows(search(str(place)).files, {}, Path(folder) / "ready")


@cache
def _scratch() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory()


def _read_damaged(world: World, damage: Damage) -> None:
    with damage.done():
        world.read(damage.artefact)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--sample", type=int, metavar="N", help="so many cases; nothing is written")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--kind", choices=[*BY_HAND, *KINDS], help="this one alone; nothing is written")
    parser.add_argument("--stage", choices=STAGES, help="of interruptions: this stage's alone")
    options = parser.parse_args()
    if options.stage and options.kind != "interruptions":
        parser.error("--stage: of --kind interruptions alone")
    if options.stage:
        chosen = {"interruptions": lambda: interruptions([options.stage])}
    else:
        chosen = {options.kind: (BY_HAND | KINDS)[options.kind]} if options.kind else KINDS
    counts = sweep(options.sample, options.seed, chosen)
    print(table(counts))
    if options.sample is None and options.kind is None:
        write_json(RESULTS, {"seed": options.seed, "kinds": {kind: asdict(count) for kind, count in counts.items()}})
    else:
        print(json.dumps({kind: asdict(count) for kind, count in counts.items()}, indent=2))


if __name__ == "__main__":
    main()
