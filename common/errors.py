"""The one exception that means "the user's input or configuration is wrong".

The command line turns it into exit status 2 and one line per fault on stderr, without a traceback; any other
exception is a fault of ours. A fault names the file, the key, the value and the cure.
"""

from __future__ import annotations

from collections.abc import Sequence


class InputError(ValueError):
    """Input or configuration is wrong. `faults` holds one line of text per fault, all that were found at once."""

    def __init__(self, faults: str | Sequence[str]) -> None:
        self.faults: tuple[str, ...] = (faults,) if isinstance(faults, str) else tuple(faults)
        super().__init__("\n".join(self.faults))
