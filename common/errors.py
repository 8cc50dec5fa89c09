"""Errors in the words that a user can act upon: what, where, and the cure.

InputError is the one exception that means "the user's input or configuration is wrong". The command line turns it into
exit status 2 and one line per fault on stderr, without a traceback; so it does with the operating system's errors (a
full disk, a folder that may not be written), in the words of `in_words`. Any other exception is a fault of ours.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

LONGEST = 300
_LONG_WORD = 60
_SECRET = re.compile(r"(?<=://)[^/\s@]+(?=@)|\bhf_\w{16,}|\bsk-[\w-]{16,}|(?<=\bbearer )\S+", re.IGNORECASE)
_FULL = re.compile(r"no space left on device|disk quota exceeded|\b(os error|errno) 28\b", re.IGNORECASE)
_CURES = {
    errno.EACCES: "not allowed; check its owner and mode, or choose another folder",
    errno.EPERM: "not allowed; check its owner and mode, or choose another folder",
    errno.EROFS: "on a file system that cannot be written; choose another folder",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
    errno.ENOTDIR: "a file stands where a folder should be; move it away, or choose another folder",
    errno.EEXIST: "a file stands where a folder should be; move it away, or choose another folder",
    errno.EISDIR: "a folder stands where a file should be; move it away",
    errno.ELOOP: "links lead in a circle; remove them",
    errno.ENOENT: "no such file or folder; if it was removed meanwhile, run the stage that makes it again",
    errno.EMFILE: "too many open files; raise the limit (`ulimit -n`)",
    errno.ENFILE: "too many open files on this machine; close other programs",
    errno.EIO: "the disk failed to read or write; check it",
    errno.ESTALE: "the file server has lost it; mount its folder again, then run the same command",
    errno.EBUSY: "another program holds it; close that, then run the same command",
    errno.ETIMEDOUT: "the file server does not answer; check the connection",
    errno.ENOMEM: "not enough memory; close other programs, or lower the counts in the profile",
}


class InputError(ValueError):
    """Input or configuration is wrong. `faults` holds one line of text per fault, all that were found at once; each has
    at most LONGEST characters, however long the user's value is.
    """

    def __init__(self, faults: str | Sequence[str]) -> None:
        self.faults: tuple[str, ...] = tuple(map(one_line, (faults,) if isinstance(faults, str) else faults))
        super().__init__("\n".join(self.faults))


def one_line(text: str, longest: int = LONGEST) -> str:
    """The text on one line: line breaks become spaces, other characters that cannot be shown their escapes, and what is
    too long loses the middle of its longest words, which are values, and then its own. Passwords in addresses and what
    has the form of a token are left out.
    """
    text = _SECRET.sub("…", text)
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


def in_words(error: BaseException) -> str | None:
    """One sentence for an error of the machine, also where a library wrapped it; None for any other error."""
    if (cause := disk_is_full(error)) is not None:
        return _full(cause)
    if isinstance(error, MemoryError):
        return f"not enough memory ({error or 'MemoryError'}); close other programs, or lower the counts in the profile"
    if not isinstance(error, OSError) or error.errno is None:
        return None
    cure = _CURES.get(error.errno)
    if error.filename is None:  # a library's own words name the file, where any do
        return None if cure is None else f"{error.strerror}: {cure}"
    return f"{_path(error.filename)}: {cure or error.strerror}"


def raise_if_unreadable(path: Path, error: BaseException) -> None:
    """Raise the system's own error where it is the system that does not let `path` be read: rights, too many open
    files, a disk that fails. For handlers that are about to blame the file's content, because libraries call many of
    these "no such file" or "not a parquet file", and the cure they would name (make it again) does not help.
    """
    if isinstance(error, OSError) and error.errno in _CURES and error.errno != errno.ENOENT:
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from error
    with path.open("rb") as stream:
        stream.read(1)


def disk_is_full(error: BaseException) -> BaseException | None:
    """The error among its causes that says so: no space, a quota, a limit on a file's size; None where none does."""
    cause: BaseException | None = error
    while cause is not None:
        number = getattr(cause, "errno", None) if isinstance(cause, OSError) else None
        if number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) or _FULL.search(str(cause)):
            return cause
        cause = cause.__cause__ or cause.__context__
    return None


def _full(error: BaseException) -> str:
    place = Path(_path(getattr(error, "filename", None) or os.curdir)).absolute()
    folder = next(path for path in (place, *place.parents) if path.is_dir())
    free = shutil.disk_usage(folder).free
    return f"no space left on {folder} ({free / 1e6:,.0f} MB are free); make room, then run the same command again"


def _path(name: object) -> str:
    return os.fsdecode(name) if isinstance(name, str | bytes | os.PathLike) else str(name)
