"""A small byte-level BPE tokenizer with LLaDA's special tokens and chat template, in the published folder layout.

Bytes are its alphabet, so every text survives encoding and decoding. Digits are tokens of their own: numbers are
then spelled the same way wherever they stand.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from llada.chat_format import BOS_TOKEN, CHAT_TEMPLATE, EOS_TOKEN, MASK_TOKEN, SPECIAL_TOKENS

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

MAX_LENGTH = 4096


def build_tokenizer(texts: list[str], vocabulary: int, folder: Path) -> PreTrainedTokenizerFast:
    """Train on `texts`; save tokenizer.json, its config and the chat template to `folder`.

    The special tokens come first (ids 0 to 5, in the order of `SPECIAL_TOKENS`); pad is end-of-text, as published.
    The vocabulary comes out smaller where `texts` do not hold enough different pairs.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(  # type: ignore[assignment]
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS_TOKEN,
        eos_token=EOS_TOKEN,
        pad_token=EOS_TOKEN,
        mask_token=MASK_TOKEN,
        additional_special_tokens=[
            token for token in SPECIAL_TOKENS if token not in (BOS_TOKEN, EOS_TOKEN, MASK_TOKEN)
        ],
        model_max_length=MAX_LENGTH,
        clean_up_tokenization_spaces=False,
        chat_template=CHAT_TEMPLATE,
    )
    fast.save_pretrained(folder)
    return fast
