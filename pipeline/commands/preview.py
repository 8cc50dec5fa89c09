"""`python -m pipeline preview`: formatted rows as the model sees them: prompt, answer, what one draw masks, and the EOS
tail, each in its colour.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from common.errors import InputError
from common.escaping import visible
from pipeline.options import ArtifactsOption, ProfileOption, SetOption, running

if TYPE_CHECKING:
    import numpy as np
    from rich.text import Text
    from transformers import PreTrainedTokenizerFast

PROMPT, ANSWER, MASKED, TAIL = "cyan", "green", "reverse magenta", "dim yellow"
SHOWN_TAIL = 8


def preview(
    split: Annotated[str, typer.Option("--split", metavar="NAME", help="train, validation or test.")] = "train",
    rows: Annotated[int, typer.Option("--rows", metavar="N", min=1, help="How many rows to show.")] = 3,
    profile: ProfileOption = None,
    overrides: SetOption = None,
    artifacts: ArtifactsOption = None,
) -> None:
    """Show formatted rows with prompt, answer and masks in colour."""
    with running("preview", profile, overrides, artifacts) as (settings, paths):
        from pipeline.paths import read_inputs, require

        require(paths.formatted / f"{split}.parquet", "format", paths)
        tokenizer = read_inputs(paths).base
        show_rows(formatted=paths.formatted, tokenizer=tokenizer, split=split, rows=rows, seed=settings.seed)


def show_rows(
    *, formatted: Path, tokenizer: Path, split: str = "train", rows: int = 3, seed: int = 42, eos_tail: int = 4
) -> None:
    """Print `rows` random rows of a formatted split.

    Args:
        eos_tail: end-of-text tokens shown behind the answer, as training appends them.

    Raises:
        InputError: the split is not there, or the tokenizer is not LLaDA's.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq
    from rich.panel import Panel
    from rich.text import Text

    from common.progress import plain_console
    from llada.chat_format import load_tokenizer
    from llada.errors import CheckpointError

    path = formatted / f"{split}.parquet"
    if not path.is_file():
        raise InputError(f"{path}: not there; run `python -m pipeline format` first")
    try:
        loaded = load_tokenizer(tokenizer)
    except CheckpointError as error:
        raise InputError(f"model.base: {error}") from error
    table = pq.read_table(path)
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.choice(table.num_rows, min(rows, table.num_rows), replace=False))
    console = plain_console()
    parts = (("prompt", PROMPT), ("answer", ANSWER), ("masked", MASKED), ("end", TAIL))
    console.print(Text("  ").join(Text(name, style) for name, style in parts))
    for row in table.take(pa.array(chosen)).to_pylist():
        mask_probability = float(rng.uniform(0.15, 0.85))
        masked = rng.random(len(row["input_ids"]) - row["prompt_length"]) < mask_probability
        tail = min(eos_tail, SHOWN_TAIL) if row.get("ended", True) else 0
        body = render(loaded, row["input_ids"], row["prompt_length"], masked, tail)
        title = Text(f"{row['subset_name']} / {row['template_name']} / cluster {row['cluster']}")
        note = f"t = {mask_probability:.2f}, {int(masked.sum())} of {len(masked)} answer tokens masked"
        console.print(Panel(body, title=title, subtitle=note + (", truncated" if row["truncated"] else "")))


def render(
    tokenizer: PreTrainedTokenizerFast, input_ids: list[int], prompt_length: int, masked: np.ndarray, eos_tail: int
) -> Text:
    """One row as coloured text. `masked` (answer length,) bool: those tokens are shown in the mask's colour."""
    from rich.text import Text

    text = Text(visible(str(tokenizer.decode(input_ids[:prompt_length]))), style=PROMPT)
    answer = input_ids[prompt_length:]
    start = 0
    for end in range(1, len(answer) + 1):  # runs of equal state are decoded together: a character may span tokens
        if end == len(answer) or masked[end] != masked[start]:
            text.append(visible(str(tokenizer.decode(answer[start:end]))), style=MASKED if masked[start] else ANSWER)
            start = end
    text.append(str(tokenizer.eos_token) * eos_tail, style=TAIL)
    return text
