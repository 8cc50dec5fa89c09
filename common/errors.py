"""The one exception that means "the user's input or configuration is wrong".

The command line turns it into exit status 2 and one line per fault on stderr, without a traceback; any other
exception is a fault of ours. A fault names the file, the key, the value and the cure.
"""

from __future__ import annotations

from collections.abc import Sequence

LONGEST = 300
_LONG_WORD = 60


class InputError(ValueError):
    """Input or configuration is wrong. `faults` holds one line of text per fault, all that were found at once; each has
    at most LONGEST characters, however long the user's value is.
    """

    def __init__(self, faults: str | Sequence[str]) -> None:
        self.faults: tuple[str, ...] = tuple(map(one_line, (faults,) if isinstance(faults, str) else faults))
        super().__init__("\n".join(self.faults))


def one_line(text: str, longest: int = LONGEST) -> str:
    """The text on one line: line breaks become spaces, other characters that cannot be shown their escapes, and what is
    too long loses the middle of its longest words, which are values, and then its own.
    """
    text = " ".join(line.strip() for line in _without_middle(text, 100 * longest).split("\n"))
    text = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
    words = text.split(" ")
    while (excess := len(" ".join(words)) - longest) > 0:
        place = max(range(len(words)), key=lambda number: len(words[number]))
        if len(words[place]) <= _LONG_WORD:
            break
        words[place] = _without_middle(words[place], max(_LONG_WORD, len(words[place]) - excess))
    return _without_middle(" ".join(words), longest)


def _without_middle(text: str, longest: int) -> str:
    if len(text) <= longest:
        return text
    tail = (longest - 1) // 2
    return f"{text[: longest - 1 - tail]}…{text[-tail:]}"
