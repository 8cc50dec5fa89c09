"""One base in memory and its adapters under their names, switched from step to step, so that several answer at once.

An adapter that was trained on a quantised residual needs that in the base's place, and HiRA is of a kind that peft does
not keep beside LoRA (`adapters.storage`): these get a base of their own; all others share one.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch

from adapters.base import load_base
from adapters.config import ModelConfig
from adapters.lineage import check_base
from adapters.storage import load_adapter, needs_own_base
from chat.frames import Frame, frames
from common.errors import InputError
from llada.chat_format import begin_of_text, encode_prompt, encode_raw, load_tokenizer, stop_at_end_of_turn
from llada.network.token_ids import end_token_ids
from llada.sampling.generate import denoise
from llada.sampling.settings import SamplerConfig

BASE = "base"
Message = Mapping[str, str]


class Systems:
    """What can be talked to: `base` and adapters by name.

    Args:
        model: storage type and quantisation of the base. base: its folder, tokenizer included.
        adapters: name -> folder, in the order in which they are shown; None for the base itself.
        base_sha256: of the base's files as in inputs.json, to tell adapters of another base; None: not looked at.

    Raises:
        InputError: an adapter's folder is not one, or it was trained on another base.
        llada.errors.CheckpointError: the base's folder is not one.
    """

    def __init__(
        self, model: ModelConfig, base: Path, adapters: Mapping[str, Path | None], base_sha256: str | None = None
    ) -> None:
        for folder in adapters.values():
            if folder is not None and base_sha256 is not None:
                check_base(folder, base, base_sha256)
        self.names = tuple(adapters)
        self.tokenizer = load_tokenizer(base)
        self._lock = threading.Lock()
        shared = load_base(model, base)
        self.config = shared.config
        stop_at_end_of_turn(self.config, self.tokenizer)
        self._networks: dict[str, Any] = {}
        self._alone: set[str] = set()  # systems with a base of their own, where nothing is switched
        for name, folder in adapters.items():
            if folder is None:
                continue
            if needs_own_base(shared, folder):
                self._networks[name] = load_adapter(load_base(model, base), folder)
                self._alone.add(name)
            else:
                self._networks[name] = shared = load_adapter(shared, folder, name)
        for name in self.names:  # the shared base is a peft model by now, if any adapter is on it
            self._networks.setdefault(name, shared)

    def prompt(self, messages: Sequence[Message], sampling: SamplerConfig) -> tuple[list[int], int]:
        """Token ids of a conversation, and how many of its oldest messages had to be left out for the answer to fit.

        Raises:
            InputError: the last message alone is too long.
        """
        room = self.config.max_sequence_length - sampling.longest
        head = [message for message in messages[:1] if message["role"] == "system"]
        turns = list(messages[len(head) :])

        def without(exchanges: int) -> list[int]:
            with self._lock:  # a tokenizer is used by one thread at a time
                return encode_prompt(self.tokenizer, [*head, *turns[2 * exchanges :]])

        most = (len(turns) - 1) // 2  # exchanges of a question and its answer before the last message
        left_out = bisect_left(range(most), True, key=lambda exchanges: len(without(exchanges)) <= room)
        ids = without(left_out)
        if len(ids) > room:
            raise self._too_long("the message makes", len(ids), sampling)
        return ids, 2 * left_out

    def beginning(self, text: str, sampling: SamplerConfig) -> list[int]:
        """Token ids of a text that is to be continued, without the chat form.

        Raises:
            InputError: it is too long.
        """
        with self._lock:
            ids = [*begin_of_text(self.tokenizer), *encode_raw(self.tokenizer, text)]
        if len(ids) > self.config.max_sequence_length - sampling.longest:
            raise self._too_long("the text makes", len(ids), sampling)
        return ids

    def _too_long(self, what: str, tokens: int, sampling: SamplerConfig) -> InputError:
        room = self.config.max_sequence_length - sampling.longest
        return InputError(
            f"{what} {tokens} tokens, and an answer of {sampling.longest} leaves room for {room}; "
            "shorten it, or lower gen_length"
        )

    def answer(
        self, prompts: Mapping[str, Sequence[int]], sampling: SamplerConfig, seed: int, trim: bool = True
    ) -> Iterator[dict[str, Frame]]:
        """Answer with several systems at once, step by step in turn.

        Args:
            prompts: system -> token ids from `prompt`. seed: of the noise, where the settings want any.
            trim: white space around the answers.

        Yields:
            The latest frame of each system that has one, after every round of steps.

        Raises:
            ValueError: the settings do not fit the model.
        """
        stops = self.stops(sampling)
        streams = {name: self._stream(name, ids, sampling, seed, stops, trim) for name, ids in prompts.items()}
        latest: dict[str, Frame] = {}
        try:
            while streams:
                for name in list(streams):
                    frame = self._advance(name, streams[name])
                    if frame is None:
                        del streams[name]
                    else:
                        latest[name] = frame
                if streams:
                    yield dict(latest)
        finally:
            for stream in streams.values():
                stream.close()

    def _stream(
        self, name: str, ids: Sequence[int], sampling: SamplerConfig, seed: int, stops: set[int], trim: bool
    ) -> Generator[Frame, None, None]:
        network = self._networks[name]
        rows = torch.tensor([list(ids)], device=network.device)
        steps = denoise(network, rows, config=sampling, generator=torch.Generator().manual_seed(seed))
        return frames(steps, len(ids), self.tokenizer, self.config.mask_token_id, stops, trim)

    def _advance(self, name: str, stream: Iterator[Frame]) -> Frame | None:
        with self.holding(name):
            return next(stream, None)

    @contextmanager
    def holding(self, name: str) -> Iterator[Any]:
        """The network as this system, for one step: the adapter is a state of it, so only one thread may compute."""
        with self._lock, self._switched_to(name):
            yield self._networks[name]

    def _switched_to(self, name: str) -> AbstractContextManager[Any]:
        network = self._networks[name]
        if name == BASE:
            return network.disable_adapter() if hasattr(network, "disable_adapter") else nullcontext()
        if name not in self._alone:
            network.set_adapter(name)
        return nullcontext()

    def stops(self, sampling: SamplerConfig) -> set[int]:
        """The tokens that end an answer."""
        configured = sampling.stop_token_ids
        return set(end_token_ids(self.config) if configured is None else configured)
