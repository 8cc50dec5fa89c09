"""The chat format of a base: messages to token ids, token ids to an answer.

A tokenizer with LLaDA's special tokens has LLaDA's format; any other takes its own chat template (`TemplateForm`).
LLaDA's is Llama-3's with LLaDA's own token strings; one begin-of-text token opens a conversation:

    <|startoftext|><|start_header_id|>user<|end_header_id|>\\n\\n{content}<|eot_id|>
    <|start_header_id|>assistant<|end_header_id|>\\n\\n                          (no line break between the two)

Token ids are built piece by piece instead of from one rendered string, for two reasons. A content that spells a
special token (a row of data that mentions `<|mdm_mask|>`) stays text and cannot forge one. And the answer is tokenised
apart from the prompt: a byte-level tokenizer may split the header's "\\n\\n" differently when text follows, and the
adapter would then learn on a prompt that generation never shows it. Needs a transformers tokenizer, but not torch.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llada.errors import CheckpointError
from llada.template_limits import bounded, check_template
from llada.tokenizer_files import check_tokenizer_files

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

BOS_TOKEN = "<|startoftext|>"
EOS_TOKEN = "<|endoftext|>"
MASK_TOKEN = "<|mdm_mask|>"
START_HEADER_TOKEN = "<|start_header_id|>"
END_HEADER_TOKEN = "<|end_header_id|>"
EOT_TOKEN = "<|eot_id|>"
SPECIAL_TOKENS = (BOS_TOKEN, EOS_TOKEN, MASK_TOKEN, START_HEADER_TOKEN, END_HEADER_TOKEN, EOT_TOKEN)

ROLES = ("system", "user", "assistant")

CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{%- if loop.first -%}{{- bos_token -}}{%- endif -%}"
    "{{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' -}}"
    "{{- message['content'] | trim + '<|eot_id|>' -}}"
    "{%- endfor -%}"
    "{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' -}}"
)
"""For tokenizers we write. Like the published one it appends the assistant header even to a finished conversation."""


def load_tokenizer(folder: str | Path) -> PreTrainedTokenizerFast:
    """Load the tokenizer of a checkpoint folder, offline, with begin, end and pad token and its chat format set.

    LLaDA's published tokenizer configs do not name the mask token; it is found by its string.

    Raises:
        CheckpointError: tokenizer.json is missing or damaged; the vocabulary lacks LLaDA's special tokens (all are
            named) and there is no chat template either, or one that cannot be trained with (`TemplateForm`).
    """
    folder = Path(folder)
    if not (folder / "tokenizer.json").is_file():
        raise CheckpointError(f"{folder}: no tokenizer.json; give the folder of a LLaDA checkpoint")
    check_tokenizer_files(folder)
    from transformers import PreTrainedTokenizerFast

    try:
        tokenizer = PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # the tokenizers library raises bare Exception for a damaged file
        raise CheckpointError(f"{folder / 'tokenizer.json'}: not a tokenizer ({error})") from error
    missing = [token for token in SPECIAL_TOKENS if special_token_id(tokenizer, token) is None]
    if missing and tokenizer.chat_template is not None:
        _name_ends(tokenizer, folder)
        try:
            check_template(str(tokenizer.chat_template))
            tokenizer.template_form = form = TemplateForm(tokenizer)
        except CheckpointError as error:
            raise CheckpointError(f"{folder}: chat_template: {error}") from None
        if tokenizer.eos_token is None:
            tokenizer.eos_token = tokenizer.convert_ids_to_tokens(form.end)
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        return tokenizer
    if missing:
        raise CheckpointError(
            f"{folder}: the tokenizer lacks {', '.join(missing)}; use a tokenizer with LLaDA's special tokens, "
            "such as that of LLaDA-8B-Instruct, or with a chat template (chat_template.jinja)"
        )
    tokenizer.bos_token = BOS_TOKEN
    tokenizer.eos_token = EOS_TOKEN
    tokenizer.mask_token = MASK_TOKEN
    if tokenizer.pad_token is None:
        tokenizer.pad_token = EOS_TOKEN
    return tokenizer


def _name_ends(tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Set begin, end and pad token from config.json where the tokenizer does not name them."""
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return
    except ValueError as error:
        raise CheckpointError(f"{path}: not valid JSON ({error})") from None
    for name in ("bos", "eos", "pad") if isinstance(config, dict) else ():
        number = config.get(f"{name}_token_id")
        if getattr(tokenizer, f"{name}_token") is None and type(number) is int and 0 <= number < len(tokenizer):
            setattr(tokenizer, f"{name}_token", tokenizer.convert_ids_to_tokens(number))


class TemplateForm:
    """A base's own chat template as pieces around the messages' contents, which are put in as text.

    The template is rendered once per sequence of roles, with marks for the contents. Its special tokens become ids;
    what lies between two of them, contents included, is tokenised as one text in which no special token is read. So the
    ids are those of the whole rendered conversation, unless a content spells a special token, which then stays text.

    Raises:
        CheckpointError: the template renders no conversation, a prompt is not the beginning of prompt plus answer,
            turns are not parted by special tokens (a row could forge one), or the ids differ from the rendered text's.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self.tokenizer = tokenizer
        added = tokenizer.added_tokens_decoder.items()
        self._ids = {str(token): number for number, token in added}
        longest_first = sorted(self._ids, key=len, reverse=True)
        self._special = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")
        # The tokenizers library reads an added token that is not special even where it is told to read no special one.
        self._read_always = [str(token) for _, token in added if not token.special]
        self._pieces: dict[tuple[str, ...], list[str]] = {}
        self.end = self._end_of_turn()
        self._check()

    def prompt(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """Token ids of a conversation that awaits the assistant; contents are trimmed."""
        contents = [message["content"].strip() for message in messages]
        pieces = self._around(tuple(message["role"] for message in messages))
        ids: list[int] = []
        text = ""
        for place, piece in enumerate(pieces):
            text += contents[place - 1] if place else ""
            for plain, special in self._parts(piece):
                text += plain
                if special:
                    ids += [*self.text(text), self._ids[special]]
                    text = ""
        return ids + self.text(text)

    def text(self, text: str) -> list[int]:
        """Token ids of a text in which no added token is read."""
        for token in self._read_always:
            if (place := text.find(token)) >= 0 and len(token) > 1:
                return self.text(text[: place + 1]) + self.text(text[place + 1 :])
        return _text(self.tokenizer, text) if text else []

    def _parts(self, piece: str) -> Iterator[tuple[str, str]]:
        """(text, the special token after it), the last without one."""
        start = 0
        for match in self._special.finditer(piece):
            yield piece[start : match.start()], match.group()
            start = match.end()
        yield piece[start:], ""

    def _around(self, roles: tuple[str, ...]) -> list[str]:
        """What the template writes before, between and after the contents of these roles, ready for an answer."""
        if roles not in self._pieces:
            pieces = _split_at_marks(self._render(roles, prompt=True), len(roles))
            if any(self._special.search(piece) is None for piece in pieces):
                raise CheckpointError("parts turns by plain text, which a row of data could forge; take another base")
            self._pieces[roles] = pieces
        return self._pieces[roles]

    def _render(self, roles: Sequence[str], prompt: bool, contents: Sequence[str] = ()) -> str:
        texts = contents or [_mark(place) for place in range(len(roles))]
        messages = [{"role": role, "content": text} for role, text in zip(roles, texts, strict=True)]
        from jinja2 import TemplateError  # torch needs it too

        try:
            with bounded():
                return str(self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=prompt))
        except (
            TemplateError,
            ArithmeticError,
            AttributeError,
            LookupError,
            TypeError,
            ValueError,
            MemoryError,
        ) as error:
            reason = " ".join(str(error).split())[:80]
            cure = "; unset data.system_prompt" if "system" in roles else ""
            raise CheckpointError(f"does not render {', '.join(roles)} ({reason}){cure}") from None

    def _end_of_turn(self) -> int:
        """The special token that ends an answer."""
        prompt, whole = self._render(("user",), True), self._render(("user", "assistant"), False)
        answer = prompt + _mark(1)
        if not whole.startswith(answer):
            raise CheckpointError("a prompt is not the beginning of prompt plus answer; take another base")
        ending = self._special.match(whole, len(answer))
        if ending is None:
            raise CheckpointError("ends an answer without a special token; take another base")
        return self._ids[ending.group()]

    def _check(self) -> None:
        """Compare the ids of a conversation with those of its rendered text."""
        roles, contents = ("user", "assistant", "user"), ("Apa ibu kota Indonesia?", "Jakarta.", "Baik,\nlalu?")
        rendered = self.tokenizer.encode(self._render(roles, True, contents), add_special_tokens=False)
        messages = [{"role": role, "content": text} for role, text in zip(roles, contents, strict=True)]
        if self.prompt(messages) != rendered:
            raise CheckpointError("changes contents, or its pieces are other tokens alone; take another base")


def _mark(place: int) -> str:
    """Stands for a content while a template is rendered: characters of private use, which no template writes."""
    return f"\ue000{place}\ue001"


def _split_at_marks(text: str, count: int) -> list[str]:
    pieces = re.split("\ue000([0-9]+)\ue001", text)
    if pieces[1::2] != [str(place) for place in range(count)]:
        raise CheckpointError("does not write each message once and in order; take another base")
    return pieces[::2]


def save_tokenizer(tokenizer: Any, folder: str | Path) -> None:
    """Write a tokenizer's files so that transformers 4 reads them too (`widely_readable`)."""
    tokenizer.save_pretrained(folder)
    path = Path(folder) / "tokenizer_config.json"
    fields = widely_readable(json.loads(path.read_text(encoding="utf-8")))
    path.write_text(json.dumps(fields, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def widely_readable(tokenizer_config: dict[str, Any]) -> dict[str, Any]:
    """The same tokenizer under the names of transformers 4, which version 5 reads too.

    Other tools pin version 4, llama.cpp's converter among them, and it fails on what version 5 writes.
    """
    fields = dict(tokenizer_config)
    if fields.get("tokenizer_class") == "TokenizersBackend":
        fields["tokenizer_class"] = "PreTrainedTokenizerFast"
    if isinstance(fields.get("extra_special_tokens"), list):
        fields["additional_special_tokens"] = fields.pop("extra_special_tokens")
    return fields


def special_token_id(tokenizer: PreTrainedTokenizerFast, token: str) -> int | None:
    """The id of a special token's string, None where the vocabulary lacks it (where transformers answers `unk`)."""
    identifier = tokenizer.convert_tokens_to_ids(token)
    if not isinstance(identifier, int) or tokenizer.convert_ids_to_tokens(identifier) != token:
        return None
    return identifier


def encode_prompt(tokenizer: PreTrainedTokenizerFast, messages: Sequence[Mapping[str, str]]) -> list[int]:
    """Token ids of a conversation that awaits the assistant: one begin-of-text, ... , the assistant's header.

    Args:
        messages: {"role": "system" | "user" | "assistant", "content": text}, at least one; contents are trimmed.

    Raises:
        ValueError: no message, or a message without a known role or a text.
    """
    if not messages:
        raise ValueError("a conversation needs at least one message")
    for message in messages:
        if message.get("role") not in ROLES or not isinstance(message.get("content"), str):
            raise ValueError(f"message {dict(message)!r}: role must be one of {', '.join(ROLES)} and content a text")
    if (form := _template_form(tokenizer)) is not None:
        return form.prompt(messages)
    ids = [_required(tokenizer, BOS_TOKEN)]
    for message in messages:
        ids += _header(tokenizer, message["role"], message["content"].strip())
        ids.append(_required(tokenizer, EOT_TOKEN))
    return ids + _header(tokenizer, "assistant", "")


def encode_example(
    tokenizer: PreTrainedTokenizerFast, prompt: str, answer: str, system: str | None = None
) -> tuple[list[int], int]:
    """One training example: the prompt's ids, then the answer's with its end of turn; no header follows.

    Returns:
        (input_ids, prompt_length); `input_ids[:prompt_length]` is what `encode_prompt` gives for the prompt alone.
    """
    messages = [{"role": "system", "content": system}] if system else []
    prompt_ids = encode_prompt(tokenizer, [*messages, {"role": "user", "content": prompt}])
    return [*prompt_ids, *encode_text(tokenizer, answer), end_of_turn_id(tokenizer)], len(prompt_ids)


def encode_text(tokenizer: PreTrainedTokenizerFast, text: str) -> list[int]:
    """Token ids of an answer's text, trimmed, in which no special token is read."""
    form = _template_form(tokenizer)
    return _text(tokenizer, text.strip()) if form is None else form.text(text.strip())


def encode_raw(tokenizer: PreTrainedTokenizerFast, text: str) -> list[int]:
    """Token ids of a text as it is: no chat form, nothing trimmed, no special token read."""
    form = _template_form(tokenizer)
    return _text(tokenizer, text) if form is None else form.text(text)


def begin_of_text(tokenizer: PreTrainedTokenizerFast) -> list[int]:
    """What stands before a text without the chat form: the begin-of-text token, or nothing where there is none."""
    first = tokenizer.bos_token_id
    return [] if first is None else [int(first)]  # pyright: ignore[reportArgumentType]


def end_of_text_id(tokenizer: PreTrainedTokenizerFast) -> int:
    """The token that ends a text without the chat form; `load_tokenizer` sees to it that there is one."""
    return int(tokenizer.eos_token_id)  # pyright: ignore[reportArgumentType]


def end_of_turn_id(tokenizer: PreTrainedTokenizerFast) -> int:
    """The token that ends an answer: LLaDA's `<|eot_id|>`, or what the base's chat template writes there."""
    form = _template_form(tokenizer)
    return _required(tokenizer, EOT_TOKEN) if form is None else form.end


def stop_at_end_of_turn(config: Any, tokenizer: PreTrainedTokenizerFast) -> None:
    """Tell a network's configuration, in place, the token that ends a turn, where it names none."""
    if config.eot_token_id is None:
        config.eot_token_id = end_of_turn_id(tokenizer)


def decode_answer(
    tokenizer: PreTrainedTokenizerFast, ids: Sequence[int], stop_token_ids: Collection[int], trim: bool = True
) -> str:
    """The text of an answer's ids up to its first stop token, without special tokens; trimmed unless told otherwise."""
    length = next((position for position, token in enumerate(ids) if int(token) in stop_token_ids), len(ids))
    text = tokenizer.decode([int(token) for token in ids[:length]], skip_special_tokens=True)
    assert isinstance(text, str)  # one sequence gives one text
    return text.strip() if trim else text


def _template_form(tokenizer: PreTrainedTokenizerFast) -> TemplateForm | None:
    return getattr(tokenizer, "template_form", None)


def _header(tokenizer: PreTrainedTokenizerFast, role: str, content: str) -> list[int]:
    if not content:
        return [*_kept(tokenizer, role, _opening), *_kept(tokenizer, "\n\n", _text)]
    return [*_kept(tokenizer, role, _opening), *_text(tokenizer, "\n\n" + content)]


def _opening(tokenizer: PreTrainedTokenizerFast, role: str) -> list[int]:
    """The header's ids up to its line breaks."""
    start, end = (_required(tokenizer, token) for token in (START_HEADER_TOKEN, END_HEADER_TOKEN))
    return [start, *_text(tokenizer, role), end]


def _kept(
    tokenizer: PreTrainedTokenizerFast, text: str, encode: Callable[[PreTrainedTokenizerFast, str], list[int]]
) -> list[int]:
    """What `encode` gives for a text of every conversation; kept in the tokenizer until tokens are added."""
    kept: dict[tuple[str, str, int], list[int]] = tokenizer.__dict__.setdefault("kept_ids", {})
    key = (encode.__name__, text, len(tokenizer))
    if key not in kept:
        kept[key] = encode(tokenizer, text)
    return kept[key]


def whole_characters(text: str) -> str:
    """Text with halves of surrogate pairs joined, and lone ones (bytes that were no UTF-8) as U+FFFD, which tokenizers
    take.
    """
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _text(tokenizer: PreTrainedTokenizerFast, text: str) -> list[int]:
    return tokenizer.encode(whole_characters(text), add_special_tokens=False, split_special_tokens=True)


def _required(tokenizer: PreTrainedTokenizerFast, token: str) -> int:
    identifier = special_token_id(tokenizer, token)
    if identifier is None:
        raise CheckpointError(f"the tokenizer lacks {token}; load it with load_tokenizer")
    return identifier
