"""The sampler's engine, rule x score x cache x stop: one loop for every published decoding method.

An answer is denoised block by block, from left to right, and a block step by step: `Engine.denoise_block` is that loop,
its steps numbered in the order in which they run, and the methods below it stand in the same order. Which token stands
at a position, and how surely, is in `token_choice`; which positions a step commits in `rules`.

Rows never influence one another: the noise is the row's own (`noise`), padding is invisible, all rows open a block
together. Source of the process: Nie et al. 2025, arXiv 2502.09992, algorithm 5; of growing: Li et al. 2025,
arXiv 2508.00819 (DAEDAL), at the end in whole blocks, in the middle by `growth`. Caches and exact speculation:
`passes`.

Shapes: B rows, R rows that make a step, N positions at hand, P prompt, G answer, T = P + G, K block, D width,
V vocabulary; S is 1, or 2 with guidance, whose second side sees no prompt.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from llada.errors import not_finite
from llada.sampling.growth import Insertions, tail
from llada.sampling.history import Block, Calm, Credits, Outlook, Said
from llada.sampling.noise import fold, row_keys
from llada.sampling.passes import Passes, States
from llada.sampling.rules import RULES, BlockState, take_back
from llada.sampling.sequences import Allowed, SequenceBatch, Vocabulary, constraint_table
from llada.sampling.settings import SamplerConfig
from llada.sampling.token_choice import TokenChoices, TokenChooser, checked_frequencies, penalised

_HEAD_BYTES = {"cpu": 2**26, "cuda": 2**28}  # of float32 logits at once


@dataclass(frozen=True)
class Step:
    """One step of the reverse process, as `denoise` yields it. Its tensors are copies: they may be kept and changed."""

    block: int
    forward_passes: int  # so far
    tokens: Tensor  # (B, T) int64, after the step; the mask token where nothing is committed yet
    revealed: Tensor  # (B, T) bool, committed by this step
    confidence: Tensor  # (B, T) float32, the score of what was revealed, 0 elsewhere
    taken_back: Tensor  # (B, T) bool, masked again by this step (rule revoke)
    inserted: (
        Tensor  # (B, 2) int64, of a mask that became several after all this: its answer position, and how many more
    )


class Engine:
    """One run of the sampler; arguments and errors as of `llada.sampling.generate.denoise`."""

    def __init__(
        self,
        model: Any,
        input_ids: Tensor,
        attention_mask: Tensor | None,
        config: SamplerConfig | None,
        generator: torch.Generator | None,
        answer: Tensor | None,
        allowed: Allowed | Sequence[Allowed | None] | None,
        row_ids: Sequence[int] | None,
        frequencies: Tensor | None = None,
    ) -> None:
        self.config = config = config or SamplerConfig()
        self.rule = RULES[config.rule]
        self.model = model.get_base_model() if hasattr(model, "get_base_model") else model
        vocabulary = Vocabulary.of(self.model.config, config)
        self.sequences = sequences = SequenceBatch(input_ids, attention_mask, answer, config, vocabulary)
        device = input_ids.device
        forbidden = torch.tensor(vocabulary.forbidden(), device=device)
        self.chooser = TokenChooser(
            config, forbidden, sequences.stops, checked_frequencies(frequencies, vocabulary.size)
        )
        self.constraints = constraint_table(allowed, len(input_ids), config, vocabulary, device)
        if row_ids is not None and len(row_ids) != len(input_ids):
            raise ValueError(f"row_ids has {len(row_ids)} entries for {len(input_ids)} rows")
        self.keys: Tensor | None = None  # (B,) int64
        if config.temperature > 0 or config.remasking == "random":
            self.keys = row_keys(sequences.prompts(), generator, row_ids).to(device)
        self.head_rows = max(1, _HEAD_BYTES.get(device.type, 2**26) // (4 * vocabulary.size))
        self.prompt_lengths = sequences.prompt_lengths()  # (B,)
        self.passes = Passes(self.model, sequences, config, self.rule.verifies)
        self.outlook = Outlook(sequences.answers, config) if config.early_exit != "none" else None
        self.insertions = Insertions(sequences, config) if config.insert_masks else None
        self.dropped = torch.zeros_like(sequences.stopped)  # (B,)
        self.asks_finite = True

    @property
    def forward_passes(self) -> int:
        """How often the model ran."""
        return self.passes.count

    @torch.no_grad()
    def run(self) -> Iterator[Step]:
        """Denoise block after block, yielding every step."""
        training = self.model.training
        self.model.eval()
        try:
            self._lengthen()
            for number in range(self.config.longest // self.config.block_length):
                yield from self.denoise_block(number)
                if self._grow_within(number):
                    yield from self.denoise_block(number)
                self._grow_after(number)
        finally:
            self.model.train(training)
        if bool(self.sequences.masked.any()):
            raise RuntimeError("the sampler left a mask token behind; please report this with the settings")

    def drop(self, row: int) -> None:
        """Give up a row between two steps: what is masked becomes padding, and no further pass computes it."""
        answer = self.sequences.answers[row]
        answer[answer == self.sequences.vocabulary.mask] = self.sequences.vocabulary.pad
        self.dropped[row] = self.sequences.stopped[row] = True

    def denoise_block(self, number: int) -> Iterator[Step]:
        """Commit tokens step by step until the block holds no mask in any row that has not stopped."""
        # 1. Open the block in the rows that have masks in it.
        block = self._open(number)
        while len(block.rows):
            # 2. Run the model: over the whole sequence, or over what a cache or a draft leaves to do.
            states = self._states(block)
            masked = self.sequences.masked[states.rows, block.place]  # (R, K)
            # 3. Choose a token for each masked position, with a score that says how sure it is.
            choices = self._choose(states, masked, block)
            # 4. Let the rule say which of them are committed, at least one in each row; where the whole answer is sure
            #    enough (early exit), all that is masked.
            state = self._state(choices, masked, states.rows, block)
            leaving = self._leaving(states, choices, masked, block)  # (R,)
            commit = self.rule.commit(state) | (masked & leaving[:, None])  # (R, K)
            # 5. Find earlier tokens of the block that the model, seeing the rest, now doubts (rule revoke).
            back = self._doubted(states, state, block) & ~leaving[:, None]  # (R, K)
            # 6. Write both into the sequences.
            revealed = self._write(choices.tokens, state, commit, back, leaving, states.rows, block)  # (R, G)
            # 7. Go on with the rows that have masks left, but for those that have just stopped.
            left = self._unfinished((masked & ~commit) | back, states.rows)  # (R,)
            step = self._step(block, revealed, state, back, states.rows)
            # 8. In an answer that may grow make the mask that the model is least sure of several, while it sees no end.
            yield self._inserted(step, states, choices, masked, left, block)
            self._keep(left, states.rows, block)

    # --- 1: open the block ---
    def _open(self, number: int) -> Block:
        K, config = self.config.block_length, self.config
        place = slice(number * K, (number + 1) * K)
        self.passes.open(place)
        self.asks_finite = True  # once in each block
        masked = self.sequences.masked[:, place]
        opened, B, device = masked.sum(dim=1), len(masked), masked.device
        nothing = torch.full((B, K), -torch.inf, device=device)
        return Block(
            number,
            place,
            rows=opened.nonzero()[:, 0],
            opened=opened,
            step=torch.zeros_like(opened),
            drafted=torch.zeros_like(opened),
            said=Said(torch.zeros(B, K, dtype=torch.int64, device=device), nothing, nothing.clone()),
            credits=Credits(B, config, device) if self.rule.gives_credit else None,
            calm=Calm(B, config, device) if self.rule.wants_calm else None,
        )

    # --- 2: run the model ---
    def _states(self, block: Block) -> States:
        """The hidden states of the rows that make a step now: all, but with drafts those whose states are known."""
        states = self.passes.next_states(block.rows, block.step[block.rows], lambda rows: self._drafts(rows, block))
        if block.credits is not None:
            block.credits.decay(states.rows)
        return states

    def _drafts(self, rows: Tensor, block: Block) -> Tensor:
        """(R, d, K) int64: the block after the next steps of `rows`, should the model say again what it said last."""
        tokens = self.sequences.answers[rows, block.place]
        drafts = [tokens]
        said = bool((block.step[rows] > 0).all())  # all rows of a block make their first step together
        for ahead in range(self.config.draft_steps if said else 0):
            masked = tokens == self.sequences.vocabulary.mask
            scores, entropies = block.said.scores[rows], block.said.entropies[rows]
            commit = self.rule.commit(self._block_state(scores, entropies, masked, rows, block, ahead))
            tokens = torch.where(commit, block.said.tokens[rows], tokens)
            drafts.append(tokens)
        return torch.stack(drafts, dim=1)[:, 1:]

    # --- 3: choose tokens and scores ---
    def _choose(self, states: States, masked: Tensor, block: Block) -> TokenChoices:
        """Choices for the masked positions (R, K) of the block, in row-major order."""
        hidden = states.block[:, :, : self.config.block_length]
        choices = self._choices(hidden, masked, states.rows, block.place.start, block, remembering=True)
        if self.config.draft_steps:
            said, rows = block.said, states.rows
            said.tokens[rows] = _spread(masked, choices.tokens, 0)
            said.scores[rows] = _spread(masked, choices.scores, -torch.inf)
            if choices.entropies is not None:
                said.entropies[rows] = _spread(masked, choices.entropies, torch.inf)
        return choices

    def _choices(
        self, hidden: Tensor, wanted: Tensor, rows: Tensor, first: int, block: Block, remembering: bool
    ) -> TokenChoices:
        """Choices for the `wanted` positions (R, n), the first of which is the answer's `first`.

        Args:
            hidden: (S, R, n, D). remembering: the positions are the block's, whose credits and last predictions count.
        """
        at, place = wanted.nonzero(as_tuple=True)  # (N,) each
        answer_place, row = place + first, rows[at]
        keys = None
        if self.keys is not None:
            keys = fold(fold(self.keys[row], answer_place), block.step[row])
        repeated = self._standing(rows) if self.config.repetition_penalty != 1 else None  # (R, V)
        parts = []
        for chunk, logits in self._logits(hidden, at, place):
            if repeated is not None:
                logits = penalised(logits, repeated[at[chunk]], self.config.repetition_penalty)
            allowed = None
            if self.constraints is not None:
                index, table = self.constraints
                allowed = table[index[row[chunk], answer_place[chunk]]]
            if remembering and block.credits is not None:
                best = self.chooser.best(logits, allowed)
                logits = block.credits.raised(logits, best, row[chunk], place[chunk])
            in_block = answer_place[chunk] % self.config.block_length
            part = self.chooser.choose(logits, None if keys is None else keys[chunk], allowed, in_block)
            if remembering and block.calm is not None and part.logarithms is not None:
                block.calm.look(part.logarithms, row[chunk], place[chunk])
            parts.append(replace(part, logarithms=None))
        return TokenChoices.joined(parts)

    def _standing(self, rows: Tensor) -> Tensor:
        """(R, V) bool: the ids that stand in each row's answer already; a stop token may stand there more than once."""
        vocabulary, answers = self.sequences.vocabulary, self.sequences.answers[rows]  # (R, G)
        standing = torch.zeros(len(answers), vocabulary.size, dtype=torch.bool, device=answers.device)
        standing.scatter_(1, answers, True)
        standing[:, [vocabulary.mask, vocabulary.pad, *vocabulary.stops]] = False
        return standing

    def _logits(self, hidden: Tensor, at: Tensor, place: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Logits (n, V) in float32, guided, at N positions of hidden (S, R, n, D); in chunks, with their indices."""
        for chunk in torch.arange(len(at), device=at.device).split(self.head_rows):
            logits = self.model.head(hidden[0, at[chunk], place[chunk]]).float()
            if self.asks_finite and not bool(logits.isfinite().all()):  # which waits for the device
                raise not_finite(hidden.dtype)
            if self.config.guidance_scale:
                blind = self.model.head(hidden[1, at[chunk], place[chunk]]).float()
                logits = blind + (self.config.guidance_scale + 1) * (logits - blind)
            yield chunk, logits
        self.asks_finite = False

    # --- 4: let the rule commit ---
    def _state(self, choices: TokenChoices, masked: Tensor, rows: Tensor, block: Block) -> BlockState:
        entropy = None if choices.entropies is None else _spread(masked, choices.entropies, torch.inf)
        return self._block_state(_spread(masked, choices.scores, -torch.inf), entropy, masked, rows, block)

    def _block_state(
        self,
        score: Tensor,
        entropy: Tensor | None,
        masked: Tensor,
        rows: Tensor,
        block: Block,
        ahead: int | None = None,
    ) -> BlockState:
        """What the rule is told of `rows`; with `ahead`, so many steps later, all else being equal."""
        calm = None if block.calm is None else block.calm.steps[rows] + (0 if ahead is None else ahead + 1)
        return BlockState(
            score=score.masked_fill(~masked, -torch.inf),
            masked=masked,
            entropy=entropy,
            config=self.config,
            step=block.step[rows] + (ahead or 0),
            opened=block.opened[rows],
            before=self.prompt_lengths[rows] + block.place.start,
            after=max(0, self.config.gen_length - block.place.stop),
            calm=calm,
        )

    def _leaving(self, states: States, choices: TokenChoices, masked: Tensor, block: Block) -> Tensor:
        """(R,) bool: the rows whose whole answer is sure enough to be finished now."""
        rows, outlook, sequences = states.rows, self.outlook, self.sequences
        if outlook is None or states.answer is None:
            return torch.zeros_like(rows, dtype=torch.bool)
        used = sequences.places < sequences.lengths[rows, None]  # (R, G)
        begin = block.place.start - states.first
        others = used[:, states.first : states.first + states.answer.shape[2]].clone()
        others[:, begin : begin + self.config.block_length] &= ~masked
        elsewhere = self._choices(states.answer, others, rows, states.first, block, remembering=False)
        for where, first, said in ((masked, block.place.start, choices), (others, states.first, elsewhere)):
            at, place = where.nonzero(as_tuple=True)
            outlook.note(rows[at], place + first, said)
        return outlook.leaving(rows, sequences.answers[rows], sequences.masked[rows], used)

    # --- 5: take back ---
    def _doubted(self, states: States, state: BlockState, block: Block) -> Tensor:
        """(R, K) bool: what was committed in this block before, and is now doubted. Nothing, but for rule revoke."""
        rows, nothing = states.rows, torch.zeros_like(state.masked)
        if not self.rule.verifies:
            return nothing
        verifying = (block.step[rows] > 0) & ~state.last_step
        used = self.sequences.places[block.place] < self.sequences.lengths[rows, None]
        standing = self.sequences.free[rows, block.place] & used & ~state.masked & verifying[:, None]
        at, place = standing.nonzero(as_tuple=True)
        if len(at) == 0:
            return nothing
        tokens = self.sequences.answers[rows, block.place][at, place]
        shadow = place + self.config.block_length
        logits_of = self._logits(states.block, at, shadow)
        parts = [self.chooser.probability(logits, tokens[chunk]) for chunk, logits in logits_of]
        kept = _spread(standing, torch.cat(parts), torch.inf)
        return take_back(kept, standing, block.drafted[rows], self.config.keep_threshold)

    # --- 6: write ---
    def _write(
        self,
        chosen: Tensor,
        state: BlockState,
        commit: Tensor,
        back: Tensor,
        leaving: Tensor,
        rows: Tensor,
        block: Block,
    ) -> Tensor:
        """Write the block, and the rest of the rows that leave. Returns what was masked before, (R, G) bool."""
        answers = self.sequences.answers[rows]
        revealed = (answers == self.sequences.vocabulary.mask) & leaving[:, None]
        if self.outlook is not None:
            answers = torch.where(revealed, self.outlook.tokens[rows], answers)
        revealed[:, block.place] = commit
        written = torch.where(commit, _spread(state.masked, chosen, 0), answers[:, block.place])
        answers[:, block.place] = written.masked_fill(back, self.sequences.vocabulary.mask)
        self.sequences.answers[rows] = answers
        block.drafted[rows] = commit.sum(dim=1)
        return revealed

    # --- 7: go on ---
    def _unfinished(self, masks: Tensor, rows: Tensor) -> Tensor:
        """(R,) bool: rows with work left in this block. Ends the rows that have met a stop token, with stop_at_eos."""
        left = masks.any(dim=1)
        if self.config.stop_at_eos:
            # a token that may still be taken back does not end a row, nor does what stands behind it
            may_stop = ~left if self.rule.verifies else torch.ones_like(left)
            which = may_stop.nonzero()[:, 0]
            left[which] &= ~self.sequences.stop_rows(rows[which])
        return left

    def _step(self, block: Block, revealed: Tensor, state: BlockState, back: Tensor, rows: Tensor) -> Step:
        tokens, start = self.sequences.tokens, self.sequences.start
        scores = torch.zeros(revealed.shape, device=tokens.device)  # (R, G)
        if self.outlook is not None:
            scores = self.outlook.scores[rows]
        scores[:, block.place] = state.score
        shown = torch.zeros_like(tokens, dtype=torch.bool)
        shown[rows, start:] = revealed
        confidence = torch.zeros_like(tokens, dtype=torch.float32)
        confidence[rows, start:] = scores.masked_fill(~revealed, 0.0)
        taken_back = torch.zeros_like(shown)
        taken_back[rows, start + block.place.start : start + block.place.stop] = back
        nothing = torch.zeros(len(tokens), 2, dtype=torch.int64, device=tokens.device)
        return Step(block.number, self.forward_passes, tokens.clone(), shown, confidence, taken_back, nothing)

    # --- 8: insert ---
    def _inserted(
        self, step: Step, states: States, choices: TokenChoices, masked: Tensor, left: Tensor, block: Block
    ) -> Step:
        """The step and the insertions that follow it. `masked` (R, K) were so before it, `left` (R,) goes on."""
        rows, sequences = states.rows, self.sequences
        if self.insertions is None or states.answer is None or choices.chances is None:
            return step
        last = self.insertions.looks_at(rows, states.first, states.answer.shape[2])  # (R, n)
        self.insertions.note(rows, states.first, last, self._stop_probabilities(states.answer, last))
        waiting = masked & sequences.masked[rows, block.place] & left[:, None]
        if self.constraints is not None:  # what may stand there is said of one token, not of several
            waiting &= self.constraints[0][rows, block.place] == 0
        move = self.insertions.choose(rows, _spread(masked, choices.chances, torch.inf), waiting, block.place)
        if move is None:
            return step
        if self.constraints is not None:
            move.apply(self.constraints[0])
        for part in (sequences, self.passes, self.insertions, self.outlook, block):
            if part is not None:
                part.move(move)
        for shown in (step.revealed, step.confidence, step.taken_back):
            move.apply(shown[:, sequences.start :])
        step.inserted[move.rows] = torch.stack((move.place, move.more), dim=1)
        return replace(step, tokens=sequences.tokens.clone())

    def _keep(self, left: Tensor, rows: Tensor, block: Block) -> None:
        """Count the step, and drop the rows that have nothing left to do in this block; left: (R,) bool."""
        block.step[rows] += 1
        working = torch.zeros_like(block.step, dtype=torch.bool)
        working[block.rows] = True
        working[rows] = left
        working &= ~self.dropped
        block.rows = working.nonzero()[:, 0]

    # --- before the first block, and between blocks: rows that may grow ---
    def _lengthen(self) -> None:
        """Before the first step: rows that may grow do so until the model expects the answer to end within them."""
        config, sequences = self.config, self.sequences
        rows = (sequences.lengths < config.longest).nonzero()[:, 0]
        while len(rows) and config.tail_confidence > 0:
            hidden = self.passes.whole(rows)  # (S, R, T, D)
            last = tail(sequences.lengths[rows], config)
            ending = self._stop_probabilities(hidden[:, :, sequences.start :], last)
            expected = ending.view(len(rows), config.block_length).mean(dim=1)
            rows = rows[expected < config.tail_confidence]
            sequences.grow(rows)
            rows = rows[sequences.lengths[rows] < config.longest]

    def _stop_probabilities(self, hidden: Tensor, wanted: Tensor) -> Tensor:
        """(N,) float32: of any stop token, at the `wanted` (R, n) bool positions of hidden (S, R, n, D)."""
        at, place = wanted.nonzero(as_tuple=True)
        stops = self.sequences.stops
        parts = [logits.softmax(dim=-1)[:, stops].sum(dim=-1) for _, logits in self._logits(hidden, at, place)]
        return torch.cat(parts) if parts else hidden.new_zeros(0, dtype=torch.float32)

    def _grow_within(self, number: int) -> bool:
        """Insertions may leave an answer that ends within the block: if it has not stopped there, it goes on."""
        sequences, done = self.sequences, (number + 1) * self.config.block_length
        rows = ((sequences.lengths < done) & ~sequences.stopped).nonzero()[:, 0]
        sequences.grow(rows)
        return len(rows) > 0

    def _grow_after(self, number: int) -> None:
        """Give another block to the rows whose last one is full although they have not stopped."""
        sequences, done = self.sequences, (number + 1) * self.config.block_length
        if done < self.config.longest:
            sequences.grow(((sequences.lengths == done) & ~sequences.stopped).nonzero()[:, 0])


def _spread(masked: Tensor, values: Tensor, elsewhere: float) -> Tensor:
    """(N,) values of the masked positions, in row-major order -> (R, K) with `elsewhere` at the others."""
    return torch.full(masked.shape, elsewhere, dtype=values.dtype, device=values.device).masked_scatter(masked, values)
