"""Which token is the mask: read from the base's files or the table of published bases, never guessed.

A wrong mask token gives no error anywhere: training "works", on a word. So an id comes from config.json (or what
overrides it), generation_config.json, the tokenizer, or the table (`published`), in this order; where none has it, or
they disagree, or the tokenizer spells an ordinary word with it, the base is refused and the key to set is named.
The files are read as JSON; nothing of the tokenizer is run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llada.errors import CheckpointError
from llada.network.checkpoint import read_config
from llada.network.configuration import LLaDAConfig
from llada.network.published import PUBLISHED, TOKEN_ID_KEYS, known_token_ids

MASK_STRINGS = ("<|mdm_mask|>",)
"""What a published tokenizer calls its mask token without naming it as such."""
_RESERVED = re.compile(r"<[^<>]*\w[^<>]*>|\[[A-Z][A-Z0-9_ ]*\]")
"""How vocabularies write a token that no text gives: <|mask|>, <unused7>, [MASK]."""
_NOWHERE = "not in config.json, generation_config.json or the tokenizer"
_LARGE = 1000
"""A published base's id of this size in a base of another kind is no coincidence, whatever the vocabulary."""


@dataclass(frozen=True)
class StoredTokenizer:
    """What a folder's tokenizer files say of token ids."""

    named: dict[str, int]  # mask_token_id, ... where the tokenizer names such a token
    added: dict[int, str]
    words: dict[int, str]

    def is_ordinary(self, token: int) -> bool:
        """Does text become this token? So does a word of the vocabulary, neither added nor spelt as reserved."""
        return token not in self.added and _RESERVED.fullmatch(self.words.get(token, "<unused>")) is None

    def spelling(self, token: int) -> str:
        return self.added.get(token, self.words.get(token, ""))


def settled_config(folder: Path, overrides: Mapping[str, int]) -> LLaDAConfig:
    """The configuration of a base's folder with all its token ids; `overrides` by key.

    Raises:
        CheckpointError: as `read_config` and `settle_token_ids`; or there is no end token, which training needs.
    """
    config = read_config(folder)
    for key, token in overrides.items():
        setattr(config, key, token)
    settle_token_ids(config, folder)
    if config.eos_token_id is None:
        raise CheckpointError(f"{folder}: eos_token_id: {_NOWHERE}; set model.eos_token_id")
    return config


def settle_token_ids(config: LLaDAConfig, folder: Path | None) -> None:
    """Give the configuration the token ids that it lacks, in place, and check them all.

    Args:
        config: as loaded, with whatever overrides its file. folder: of the base; None: it is on the hub, and only
            configuration and table are looked at.

    Raises:
        CheckpointError: no mask token is known, or an id cannot be right; a line per fault, each naming its key.
    """
    where = "the base" if folder is None else str(folder)
    tokenizer = None if folder is None else read_tokenizer(folder)
    generation = {} if folder is None else _ids_of(_read_json(folder / "generation_config.json"))
    stated = [generation, {} if tokenizer is None else tokenizer.named]
    for key in TOKEN_ID_KEYS:
        if getattr(config, key) is None:
            setattr(config, key, next((ids[key] for ids in stated if key in ids), None))
    own = {} if folder is None else _ids_of(_read_json(folder / "config.json"))
    if faults := list(_faults(config, own, generation, tokenizer)):
        raise CheckpointError("\n".join(f"{where}: {fault}" for fault in faults))


def read_tokenizer(folder: Path) -> StoredTokenizer | None:
    """The tokenizer files of a folder; None where there is no tokenizer.json.

    Raises:
        CheckpointError: a file that is no JSON, or not of a tokenizer.
    """
    path = folder / "tokenizer.json"
    content = _read_json(path)
    if not content:
        return None
    try:
        added, words = _vocabulary(content)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: not a tokenizer ({type(error).__name__}: {error})") from None
    ids = {text: number for number, text in (words | added).items()}
    named = {}
    for file in ("special_tokens_map.json", "tokenizer_config.json"):
        fields = _read_json(folder / file)
        for key in TOKEN_ID_KEYS:
            token = fields.get(key.removesuffix("_id"))
            text = token.get("content") if isinstance(token, dict) else token
            if isinstance(text, str) and text in ids:
                named[key] = ids[text]
    for text in MASK_STRINGS:
        if text in ids:
            named.setdefault("mask_token_id", ids[text])
    return StoredTokenizer(named, added, words)


def _vocabulary(content: dict[str, Any]) -> tuple[dict[int, str], dict[int, str]]:
    """Added tokens and words by id, from the content of a tokenizer.json."""
    added = {int(entry["id"]): str(entry["content"]) for entry in content.get("added_tokens") or ()}
    vocabulary = (content.get("model") or {}).get("vocab") or {}
    if isinstance(vocabulary, list):  # unigram: [text, score] by id
        vocabulary = {str(entry[0]): number for number, entry in enumerate(vocabulary)}
    return added, {int(number): str(text) for text, number in vocabulary.items()}


def _faults(
    config: LLaDAConfig, own: dict[str, int], generation: dict[str, int], tokenizer: StoredTokenizer | None
) -> Iterator[str]:
    known = known_token_ids(config.model_type, config.embedding_size)
    if config.mask_token_id is None:
        yield (
            f"mask_token_id: {_NOWHERE}, and no published base is of the type {config.model_type} with "
            f"{config.embedding_size} tokens; set model.mask_token_id (mask_token_id=ID where loaded by hand)"
        )
    stated = {key: getattr(config, key) for key in TOKEN_ID_KEYS if getattr(config, key) is not None}
    impossible = list(_impossible(config, stated, known, tokenizer))
    yield from impossible
    if "mask_token_id" not in stated or impossible:
        return
    mask = stated["mask_token_id"]
    if mask in [token for key, token in stated.items() if key != "mask_token_id"]:
        yield f"mask_token_id: {mask} ends, begins or pads texts too; set model.mask_token_id"
    sources = {"config.json": own, "the table of published bases": known, "generation_config.json": generation}
    sources |= {} if tokenizer is None else {"the tokenizer": tokenizer.named}
    yield from _disagreements(mask, sources)


def _impossible(
    config: LLaDAConfig, stated: dict[str, Any], known: dict[str, int], tokenizer: StoredTokenizer | None
) -> Iterator[str]:
    """Ids that the base does not have, that are another's, or that are words; those of one kind in one line."""
    kind, size = config.model_type, config.embedding_size
    outside, foreign, words = {}, {}, {}
    for key, token in stated.items():
        if not isinstance(token, int) or isinstance(token, bool) or not 0 <= token < size:
            outside[key] = f"{key}: {repr(token)[:20]}"
        elif (owner := _other_owner(kind, key, token, known, tokenizer)) is not None:
            foreign[key] = owner
        elif key in ("mask_token_id", "eos_token_id") and tokenizer is not None and tokenizer.is_ordinary(token):
            words[key] = f"{key}: {token} ({tokenizer.spelling(token)[:40]!r})"
    if outside:
        yield f"{_are('no token', outside.values())} of this base, which has {size}; {_set(outside)}"
    if foreign:
        owners = " and ".join(sorted(set(foreign.values())))
        own = f"in this base ({kind}) {', '.join(str(known[key]) for key in foreign)}" if known else f"this is {kind}"
        yield f"{_are('an id', [f'{key}: {stated[key]}' for key in foreign])} of {owners}, {own}; {_set(foreign)}"
    if words:
        yield f"{_are('an ordinary word', words.values())} of the tokenizer; {_set(words)}"


def _are(what: str, items: Collection[str]) -> str:
    return f"{', '.join(items)} " + (f"is {what}" if len(items) == 1 else f"are {what.removeprefix('an ')}s")


def _set(keys: Iterable[str]) -> str:
    return "set " + ", ".join(f"model.{key}" for key in keys)


def _disagreements(mask: int, sources: dict[str, dict[str, int]]) -> Iterator[str]:
    """Sources that name another mask token than the first that names one; none where that was overridden by hand."""
    stated = {name: ids["mask_token_id"] for name, ids in sources.items() if "mask_token_id" in ids}
    if not stated or mask != next(iter(stated.values())):
        return
    first = next(iter(stated))
    for name, other in stated.items():
        if other != mask and name != "the table of published bases":  # the files of a base come before the table
            yield f"mask_token_id: {mask} in {first}, {other} in {name}; set model.mask_token_id"


def _other_owner(
    kind: str, key: str, token: int, known: dict[str, int], tokenizer: StoredTokenizer | None
) -> str | None:
    """The published base whose id this is, where this base is a published one with another id, or of another kind and
    nothing but the number speaks for it.
    """
    if known and known[key] == token:
        return None
    if not known and (tokenizer is not None or token < _LARGE):
        return None
    others = [base for base in PUBLISHED if known or base.model_type != kind]
    return next((base.title for base in others if base.token_ids[key] == token), None)


def _ids_of(fields: dict[str, Any]) -> dict[str, int]:
    """The token ids among the fields of a JSON file; a list of several says nothing."""
    ids = {}
    for key in TOKEN_ID_KEYS:
        value = fields.get(key)
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        if isinstance(value, int) and not isinstance(value, bool):
            ids[key] = value
    return ids


def _read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; nothing where there is no such file, or it holds something else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: not valid JSON ({error})") from None
    return content if isinstance(content, dict) else {}


def end_token_ids(config: Any) -> tuple[int, ...]:
    """The tokens that end an answer: end of text, end of turn, and what an adapter was taught to write behind them
    (`tail_token_ids`, see `llada.network.tail_tokens`).
    """
    tail = getattr(config, "tail_token_ids", None) or ()
    ends = (config.eos_token_id, getattr(config, "eot_token_id", None), *tail)
    return tuple(token for token in ends if token is not None)
