"""LLaDA's chat format: messages to token ids, token ids to an answer.

The format is Llama-3's with LLaDA's own token strings; one begin-of-text token opens a conversation:

    <|startoftext|><|start_header_id|>user<|end_header_id|>\\n\\n{content}<|eot_id|>
    <|start_header_id|>assistant<|end_header_id|>\\n\\n                          (no line break between the two)

Token ids are built piece by piece instead of from one rendered string, for two reasons. A content that spells a
special token (a row of data that mentions `<|mdm_mask|>`) stays text and cannot forge one. And the answer is tokenised
apart from the prompt: a byte-level tokenizer may split the header's "\\n\\n" differently when text follows, and the
adapter would then learn on a prompt that generation never shows it. Needs a transformers tokenizer, but not torch.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llada.errors import CheckpointError

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
    """Load the tokenizer of a checkpoint folder, offline, with mask, begin, end and pad token set.

    The published tokenizer configs do not name the mask token; it is found by its string.

    Raises:
        CheckpointError: tokenizer.json is missing or damaged, or the vocabulary lacks special tokens (all are named).
    """
    folder = Path(folder)
    if not (folder / "tokenizer.json").is_file():
        raise CheckpointError(f"{folder}: no tokenizer.json; give the folder of a LLaDA checkpoint")
    from transformers import PreTrainedTokenizerFast

    try:
        tokenizer = PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # the tokenizers library raises bare Exception for a damaged file
        raise CheckpointError(f"{folder / 'tokenizer.json'}: not a tokenizer ({error})") from error
    missing = [token for token in SPECIAL_TOKENS if special_token_id(tokenizer, token) is None]
    if missing:
        raise CheckpointError(
            f"{folder}: the tokenizer lacks {', '.join(missing)}; use a tokenizer with LLaDA's special tokens, "
            "such as that of LLaDA-8B-Instruct"
        )
    tokenizer.bos_token = BOS_TOKEN
    tokenizer.eos_token = EOS_TOKEN
    tokenizer.mask_token = MASK_TOKEN
    if tokenizer.pad_token is None:
        tokenizer.pad_token = EOS_TOKEN
    return tokenizer


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
    ids = [_required(tokenizer, BOS_TOKEN)]
    for message in messages:
        role, content = message.get("role"), message.get("content")
        if role not in ROLES or not isinstance(content, str):
            raise ValueError(f"message {dict(message)!r}: role must be one of {', '.join(ROLES)} and content a text")
        ids += _header(tokenizer, role, content.strip())
        ids.append(_required(tokenizer, EOT_TOKEN))
    return ids + _header(tokenizer, "assistant", "")


def encode_example(
    tokenizer: PreTrainedTokenizerFast, prompt: str, answer: str, system: str | None = None
) -> tuple[list[int], int]:
    """One training example: the prompt's ids, then the answer's with its `<|eot_id|>`; no header follows.

    Returns:
        (input_ids, prompt_length); `input_ids[:prompt_length]` is what `encode_prompt` gives for the prompt alone.
    """
    messages = [{"role": "system", "content": system}] if system else []
    prompt_ids = encode_prompt(tokenizer, [*messages, {"role": "user", "content": prompt}])
    return [*prompt_ids, *_text(tokenizer, answer.strip()), _required(tokenizer, EOT_TOKEN)], len(prompt_ids)


def decode_answer(tokenizer: PreTrainedTokenizerFast, ids: Sequence[int], stop_token_ids: Collection[int]) -> str:
    """The text of an answer's ids up to its first stop token, without special tokens, trimmed."""
    length = next((position for position, token in enumerate(ids) if int(token) in stop_token_ids), len(ids))
    text = tokenizer.decode([int(token) for token in ids[:length]], skip_special_tokens=True)
    assert isinstance(text, str)  # one sequence gives one text
    return text.strip()


def _header(tokenizer: PreTrainedTokenizerFast, role: str, content: str) -> list[int]:
    return [
        _required(tokenizer, START_HEADER_TOKEN),
        *_text(tokenizer, role),
        _required(tokenizer, END_HEADER_TOKEN),
        *_text(tokenizer, "\n\n" + content),
    ]


def _text(tokenizer: PreTrainedTokenizerFast, text: str) -> list[int]:
    return tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)


def _required(tokenizer: PreTrainedTokenizerFast, token: str) -> int:
    identifier = special_token_id(tokenizer, token)
    if identifier is None:
        raise CheckpointError(f"the tokenizer lacks {token}; load it with load_tokenizer")
    return identifier
