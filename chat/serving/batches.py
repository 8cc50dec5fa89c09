"""Requests of many clients in common batches: one thread steps the engine, and every row goes its own way.

Requests with the same system and sampler settings that wait together become rows of one batch; a few batches take
turns, step by step, so that a short answer does not wait for a long one. A row's answer does not depend on the others:
its noise comes from its own seed (`llada.sampling.noise`), padding is invisible. A row that is finished, given up or
out of time leaves the batch, and costs nothing from then on.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from llada.chat_format import decode_answer
from llada.errors import CheckpointError
from llada.sampling.batches import left_pad
from llada.sampling.engine import Engine, Step
from llada.sampling.settings import SamplerConfig

if TYPE_CHECKING:
    from chat.systems import Systems

LOG = logging.getLogger(__name__)


class QueueFullError(Exception):
    """As many requests wait as may wait."""


@dataclass(frozen=True)
class Limits:
    """What the server gives at the most."""

    waiting: int = 64  # requests beside those that are computed
    positions: int = 32_768  # of all batches together: rows times prompt and answer; a single row may exceed it
    batches: int = 4  # that take turns
    seconds: float = 300.0  # from a request's arrival to the end of its answer
    answer_tokens: int = 1024


@dataclass
class Job:
    """One request on its way.

    Args:
        prompt: token ids. seed: of the noise, where the settings want any. most_tokens: where the answer is cut.
        tell: called in the batches' thread after every finished block, and once at the end.
        stops: texts at which the answer ends; they are not part of it. trim: white space around the answer.
    """

    system: str
    prompt: Sequence[int]
    sampling: SamplerConfig
    seed: int
    most_tokens: int
    deadline: float  # of time.monotonic()
    tell: Callable[[Job], None]
    stops: tuple[str, ...] = ()
    trim: bool = True
    text: str = ""  # of the finished blocks, up to a stop
    tokens: int = 0  # of them
    ended: str | None = None  # stop, length; time, fault: without an answer
    given_up: threading.Event = field(default_factory=threading.Event)

    def end(self, how: str) -> None:
        self.ended = how
        self.tell(self)


class Batches:
    """Computes jobs in a thread of its own until `close`."""

    def __init__(self, systems: Systems, limits: Limits) -> None:
        self.systems, self.limits = systems, limits
        self._waiting: deque[Job] = deque()
        self._running: list[_Batch] = []
        self._change = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="batches", daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> None:
        """Let a job wait for its turn.

        Raises:
            QueueFullError: too many wait already.
        """
        with self._change:
            if len(self._waiting) >= self.limits.waiting:
                raise QueueFullError
            self._waiting.append(job)
            self._change.notify()

    def give_up(self, job: Job) -> None:
        """The client has left: the job's place is free from the next step on."""
        with self._change:
            job.given_up.set()
            self._change.notify()

    @property
    def load(self) -> tuple[int, int]:
        """Jobs that wait, and rows that are computed."""
        with self._change:
            return len(self._waiting), sum(len(batch.jobs) for batch in self._running)

    def close(self) -> None:
        with self._change:
            self._closed = True
            self._change.notify()
        self._thread.join(timeout=10)

    def _work(self) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: self._closed or self._waiting or self._running)
                if self._closed:
                    return
                self._leave_out()
                chosen = self._choose()
            if chosen:
                self._start(chosen)
            for batch in list(self._running):
                self._advance(batch)

    def _leave_out(self) -> None:
        """Take jobs out of the queue that nobody waits for, or that have waited too long."""
        now = time.monotonic()
        gone = [job for job in self._waiting if job.given_up.is_set() or now > job.deadline]
        for job in gone:
            self._waiting.remove(job)
            if not job.given_up.is_set():
                job.end("time")

    def _choose(self) -> list[Job]:
        """The longest waiting job and those that fit beside it, in order of arrival."""
        if not self._waiting or len(self._running) >= self.limits.batches:
            return []
        free = self.limits.positions - sum(batch.positions for batch in self._running)
        first = self._waiting[0]
        chosen: list[Job] = []
        for job in self._waiting:
            if (job.system, job.sampling) != (first.system, first.sampling):
                continue
            width = max(len(one.prompt) for one in [*chosen, job]) + job.sampling.longest
            if (len(chosen) + 1) * width > free and (chosen or self._running):
                break
            chosen.append(job)
        for job in chosen:
            self._waiting.remove(job)
        return chosen

    def _start(self, jobs: list[Job]) -> None:
        try:
            self._running.append(_Batch(self.systems, jobs))
        except Exception:  # whatever it is, these clients get an answer and the others theirs
            LOG.exception("a batch could not be started")
            for job in jobs:
                job.end("fault")

    def _advance(self, batch: _Batch) -> None:
        try:
            going_on = batch.advance()
        except Exception as error:  # as above
            LOG.error("a batch failed: %s", error, exc_info=None if isinstance(error, CheckpointError) else error)
            going_on = False
            for job in batch.jobs.values():
                job.end("fault")
        if not going_on:
            with self._change:
                self._running.remove(batch)


class _Batch:
    """Jobs of one system and one setting, denoised together."""

    def __init__(self, systems: Systems, jobs: Sequence[Job]) -> None:
        self.systems, self.system, self.sampling = systems, jobs[0].system, jobs[0].sampling
        self.jobs = dict(enumerate(jobs))  # row -> job, while it is wanted
        self.finished = dict.fromkeys(self.jobs, 0)  # tokens of each row that have been told
        self.stops = systems.stops(self.sampling)
        with systems.holding(self.system) as network:
            pad = network.config.pad_token_id or 0
            rows, mask = left_pad([job.prompt for job in jobs], pad, network.device)
            noise = torch.Generator().manual_seed(0)  # one state for all: what tells rows apart is their own seed
            self.engine = Engine(network, rows, mask, self.sampling, noise, None, None, [job.seed for job in jobs])
        self.positions = len(jobs) * (rows.shape[1] + self.sampling.longest)
        self.steps: Iterator[Step] = self.engine.run()

    def advance(self) -> bool:
        """One step of every row. Returns whether there is more to do."""
        now = time.monotonic()
        for row, job in list(self.jobs.items()):
            if job.given_up.is_set():
                self._drop(row)
            elif now > job.deadline:
                self._drop(row)
                job.end("time")
        if not self.jobs:
            return False
        with self.systems.holding(self.system):
            step = next(self.steps, None)
            for row, job in list(self.jobs.items()):
                self._look(row, job, last=step is None)
        return bool(self.jobs)

    def _drop(self, row: int) -> None:
        del self.jobs[row]
        self.engine.drop(row)

    def _look(self, row: int, job: Job, last: bool) -> None:
        """Tell the client of blocks that are finished since the step before."""
        K, mask = self.sampling.block_length, self.engine.sequences.vocabulary.mask
        used = int(self.engine.sequences.lengths[row])
        ids = self.engine.sequences.answers[row, :used].tolist()
        done = ids.index(mask) // K * K if mask in ids else used  # the last block may be a short one
        if done == self.finished[row] and not last:
            return
        self.finished[row] = done
        ids = ids[: min(done, job.most_tokens)]
        stop = next((place for place, token in enumerate(ids) if token in self.stops), None)
        job.tokens = len(ids) if stop is None else stop
        job.text = decode_answer(self.systems.tokenizer, ids, self.stops, job.trim)
        cut = min((place for text in job.stops if (place := job.text.find(text)) >= 0), default=None)
        if cut is not None:
            job.text = job.text[:cut]
        if stop is not None or cut is not None:
            self._end(row, "stop")
        elif last or len(ids) == job.most_tokens:
            self._end(row, "length")
        else:
            job.tell(job)

    def _end(self, row: int, how: str) -> None:
        job = self.jobs[row]
        self._drop(row)
        job.end(how)
