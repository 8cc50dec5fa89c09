"""What a bundled base has learnt: its loss on documents that it has not read, and how many notes it fills in right.

    python benchmarks/training/bundled_base.py --json benchmarks/results/bundled_base.json

Losses are per masked token with the user's turn visible, by the share of tokens masked, on --documents documents of
each mix. A note is filled in from its text and heading, its length given, the surest token first; right is the very
note. --base takes another folder.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch

from data_prep.bundled.language import headed, plain_text
from data_prep.bundled.models.base import SHIPPED
from data_prep.bundled.models.pretraining import Recipe, Row, held_out_batches, losses_by_share
from llada import LLaDAModelLM
from llada.chat_format import encode_example, load_tokenizer

BATCH = 40


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=Path, default=SHIPPED)
    parser.add_argument("--documents", type=int, default=600)
    parser.add_argument("--notes", type=int, default=80, help="of each kind")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    tokenizer = load_tokenizer(options.base)
    model = LLaDAModelLM.from_pretrained(options.base, dtype=torch.float32).eval()
    mixes = {"KINDS": plain_text.KINDS, "MOSTLY_NOTES": plain_text.MOSTLY_NOTES}
    found = {
        "settings": {"base": options.base.name, "documents": options.documents, "notes": options.notes},
        "held_out": {
            name: losses_by_share(model, held_out_batches(Recipe(), tokenizer, options.documents, kinds, every=1))
            for name, kinds in mixes.items()
        },
        "notes": notes_right(model, tokenizer, options.notes),
    }
    text = json.dumps(found, indent=2)
    print(text)
    if options.json:
        options.json.write_text(text + "\n")


def notes_right(model: LLaDAModelLM, tokenizer: Any, count: int) -> dict[str, list[int]]:
    """Of each kind of note how many are filled in right, and how many there are."""
    rows: list[tuple[str, Row]] = []
    for _, maker in headed.KINDS:
        chance = random.Random(maker.__name__)
        for _ in range(count):
            text, notes = maker(chance)
            heading, told = chance.choice(notes)
            begin = "\n\n".join(part for part in chance.sample((heading, text), 2) if part)
            rows.append((maker.__name__.removeprefix("on_"), encode_example(tokenizer, begin, told)))
    rows.sort(key=lambda row: len(row[1][0]))
    right: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for start in range(0, len(rows), BATCH):
        part = rows[start : start + BATCH]
        for (kind, _), same in zip(part, filled_in(model, [row for _, row in part]), strict=True):
            right[kind][0] += same
            right[kind][1] += 1
    right["all"] = [sum(counts) for counts in zip(*right.values(), strict=True)]
    return dict(right)


@torch.no_grad()
def filled_in(model: LLaDAModelLM, rows: list[Row]) -> list[bool]:
    """Whether each row comes back whole when what follows the user's turn is masked and revealed token by token."""
    config: Any = model.config
    longest = max(len(ids) for ids, _ in rows) + 1  # an end-of-text token follows every document
    whole = torch.tensor([[*ids, *[config.eos_token_id] * (longest - len(ids))] for ids, _ in rows])
    ids = whole.clone()
    for row, (tokens, given) in zip(ids, rows, strict=True):
        row[given : len(tokens)] = config.mask_token_id
    while (masked := ids == config.mask_token_id).any():
        logits = model(ids).logits
        logits[..., config.mask_token_id] = -torch.inf
        probability, token = logits.softmax(-1).masked_fill(~masked[..., None], -1.0).max(-1)
        surest = probability.argmax(1, keepdim=True)
        ids.scatter_(1, surest, torch.where(masked, token, ids).gather(1, surest))
    return (ids == whole).all(1).tolist()


if __name__ == "__main__":
    main()
