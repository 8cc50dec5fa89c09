"""English questions and answers, to see what adaptation to Indonesian costs elsewhere: a small fixed sample, written
for this project, and the rows of a public file (Dolly's, Alpaca's or any columns of prompt and answer).
"""

from __future__ import annotations

from pathlib import Path

from common.errors import InputError
from eval.suites.rows import column, read_rows

ASKED, GIVEN, ANSWERED = ("instruction", "prompt", "question"), ("context", "input"), ("response", "output", "answer")


def read_english(path: Path, limit: int) -> list[tuple[str, str]]:
    """The first `limit` pairs of prompt and answer of a file; what is given with an instruction follows it.

    Raises:
        InputError: no such file, no such columns, or no row with both.
    """
    where = "evaluation.english_file"
    try:
        rows = read_rows(path, {column(name) for name in (*ASKED, *GIVEN, *ANSWERED)})
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    pairs = []
    for row in rows:
        asked, given, answered = (_first(row, names) for names in (ASKED, GIVEN, ANSWERED))
        if asked and answered:
            pairs.append((f"{asked}\n{given}" if given else asked, answered))
    if not pairs:
        names = ", ".join(sorted({name for row in rows for name in row if name}))
        raise InputError(
            f"{where}: {path}: no row with {' or '.join(ASKED)} and {' or '.join(ANSWERED)} (columns: {names})"
        )
    return pairs[:limit]


def _first(row: dict[str, object], names: tuple[str, ...]) -> str:
    texts = (row.get(name) for name in names)
    return next((text.strip() for text in texts if isinstance(text, str) and text.strip()), "")


ENGLISH_SAMPLE: tuple[tuple[str, str], ...] = (
    ("What is the capital of France?", "The capital of France is Paris, a city on the river Seine."),
    ("How many days are there in a week?", "There are seven days in a week, from Monday to Sunday."),
    (
        "Why do we see lightning before we hear thunder?",
        "Because light travels through the air much faster than sound.",
    ),
    ("Name three primary colours.", "Red, yellow and blue are often called the three primary colours."),
    (
        "How do I make a cup of tea?",
        "Boil some water, pour it over the tea leaves, wait four minutes and then strain it.",
    ),
    ("What do bees make?", "Bees collect nectar from flowers and turn it into honey."),
    ("Write a sentence about the sea.", "The sea was calm that morning, and small boats lay still in the harbour."),
    ("What is the opposite of cold?", "The opposite of cold is hot."),
    ("Who teaches children at school?", "Teachers help children at school to read, to write and to count."),
    ("Why should I sleep enough?", "Sleep gives the body time to recover and helps the mind to remember."),
    ("What is two plus three?", "Two plus three is five."),
    ("Tell me about the moon.", "The moon goes around the earth once a month and shines with the light of the sun."),
    ("How can I save water at home?", "Take short showers, repair leaking taps and collect rain for the garden."),
    ("What is a dictionary for?", "A dictionary explains what words mean and shows how they are spelt."),
    ("Describe a market.", "People walk between the stalls, ask for prices and carry home fruit, fish and bread."),
    ("When do leaves fall?", "In many countries the leaves of the trees fall in autumn, when the days grow short."),
)
