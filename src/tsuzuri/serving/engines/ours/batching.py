"""Continuous batching: one step after another, in which everything that runs takes part.

A step reads the last token of each request that writes, and of prompts as many tokens as `chunk_tokens`
allows, in the order in which they came; whoever has read everything draws a token. Tasks join and leave
between steps. What ends one from outside (a cancellation, a deadline) is looked at before every step.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from tsuzuri.core.errors import IntegrityError
from tsuzuri.generation.rules import TokenRules
from tsuzuri.model.config import ModelConfig
from tsuzuri.serving.engines.base import Token
from tsuzuri.serving.engines.ours.drawing import Drawing, adjust
from tsuzuri.serving.engines.ours.kernels import Integers
from tsuzuri.serving.engines.ours.slots import Slot, Slots
from tsuzuri.serving.engines.ours.tasks import Reading, ReadingStates, Task, Writing

SMOOTHING = 0.1
"""Weight of the newest step or task in the running means."""


class Decoder(Protocol):
    """What computes: `cpu.CpuDecoder` or `accelerator.AcceleratorDecoder`."""

    config: ModelConfig

    def states(self, ids: Integers, slots: Integers, positions: Integers) -> Tensor:
        """Hidden states (N, D) of tokens (N,) read at positions (N,) of slots (N,); a slot's follow each
        other. Good until the next call."""

    def logits(self, states: Tensor) -> Tensor:
        """(R, D) → (R, V), float32 on the CPU."""

    def copy(self, source: int, target: int, length: int) -> None:
        """Copy a slot's first positions to another."""


@dataclass(frozen=True, slots=True)
class Part:
    """Tokens of a task that a step reads: rows `first` … `end` of its states, from `position` on."""

    task: Task
    slot: Slot
    first: int
    end: int
    position: int


class Batcher:
    """What waits and what runs. For one thread."""

    def __init__(self, decoder: Decoder, rules: TokenRules, *, slots: int, chunk_tokens: int) -> None:
        self.waiting: list[Task] = []
        self.running: list[Task] = []
        self.slots = Slots(slots, decoder.copy)
        self.finished: Counter[str] = Counter()
        self.prompt_tokens = self.cached_tokens = self.generated_tokens = self.steps = 0
        self.tokens_per_s, self.task_s = 0.0, 1.0
        """Running means: tokens written a second, seconds that a task takes."""
        self._decoder, self._ends, self._chunk_tokens = decoder, frozenset(rules.ends), chunk_tokens
        self._drawing = Drawing(slots, decoder.config.vocab_size, rules.unwritable, rules.ends)

    def step(self) -> None:
        """Everything that runs goes on by a token or a part of its prompt."""
        started_at, before = time.monotonic(), self.generated_tokens
        self._drop_ended()
        self._admit()
        parts = self._parts()
        if not parts:
            return
        lengths = [part.end - part.first for part in parts]
        ids = [token for part in parts for token in part.task.to_read[: part.end - part.first]]
        positions = [
            position
            for part, n in zip(parts, lengths, strict=True)
            for position in range(part.position, part.position + n)
        ]
        slots = np.repeat(np.array([part.slot.number for part in parts], np.int32), lengths)
        states = self._decoder.states(np.array(ids, np.int32), slots, np.array(positions, np.int32))
        for part in parts:
            self._advance(part, states)
        self._deliver([part for part in parts if not part.task.to_read], states)
        self.steps += 1
        rate = (self.generated_tokens - before) / (time.monotonic() - started_at)
        self.tokens_per_s += SMOOTHING * (rate - self.tokens_per_s)

    def fail_running(self, error: BaseException) -> None:
        """End all that runs, and trust nothing in the cache."""
        for task in list(self.running):
            self._fail(task, error)
        self.slots.forget()

    def fail_all(self, error: BaseException) -> None:
        """End all that waits too."""
        self.fail_running(error)
        for task in self.waiting:
            task.fail(error)
        self.finished["error"] += len(self.waiting)
        self.waiting.clear()

    def _drop_ended(self) -> None:
        for task in list(self.running):
            if (finish := task.ended()) is not None:
                task.end(finish)
                self._leave(task, finish)
        for task in list(self.waiting):
            if (finish := task.ended()) is not None:
                task.end(finish)
                self.waiting.remove(task)
                self.finished[finish] += 1

    def _admit(self) -> None:
        """Give slots to those that wait, the first first."""
        for task in list(self.waiting):
            if not self.slots.has_room():
                return
            slot = self.slots.take(list(task.to_read), reuse=task.reuses)
            if slot is None:
                continue
            self.waiting.remove(task)
            self.running.append(task)
            task.begin(slot)
            if isinstance(task, Writing):
                sampling = task.request.sampling
                self._drawing.begin(slot.number, sampling, task.text, written=task.written)
                self.prompt_tokens += len(task.request.prompt)
                self.cached_tokens += task.cached_tokens

    def _parts(self) -> list[Part]:
        parts, row, room = [], 0, self._chunk_tokens
        for task in self.running:
            length = len(task.to_read)
            if length > 1:
                length = min(length, room)
                room -= length
            if length:
                parts.append(Part(task, task.slot, row, row + length, len(task.slot.tokens)))
                row += length
        return parts

    def _advance(self, part: Part, states: Tensor) -> None:
        """The part's tokens are in the cache."""
        task, length = part.task, part.end - part.first
        part.slot.tokens += task.to_read[:length]
        del task.to_read[:length]
        if not task.to_read:
            part.slot.planned = ()
        if isinstance(task, ReadingStates):
            task.add(states[part.first : part.end], part.position)
        elif isinstance(task, Writing) and task.request.prompt_logprobs and task.is_first:
            self._tell_prompt(task, part, states)

    def _tell_prompt(self, task: Writing, part: Part, states: Tensor) -> None:
        """Log-probabilities of the prompt's tokens that stand after those of the part."""
        tokens = part.slot.tokens + task.to_read
        if part.position == 0:  # what has nothing before it, or was cut off
            unknown = len(task.request.prompt) - (len(tokens) - 1)
            task.prompt += [Token(token) for token in task.request.prompt[:unknown]]
        following = tokens[part.position + 1 : part.position + 1 + part.end - part.first]
        if following:
            logits = self._decoder.logits(states[part.first : part.first + len(following)])
            task.prompt += judged(logits, following, task.request.top_logprobs)

    def _deliver(self, parts: Sequence[Part], states: Tensor) -> None:
        """What those want that have read everything."""
        last = states[[part.end - 1 for part in parts]]
        is_finite = last.isfinite().all(1).tolist()
        writing: list[Writing] = []
        rows: list[int] = []
        for row, task in enumerate(part.task for part in parts):
            if not is_finite[row]:
                hint = "its weights are damaged"
                self._fail(
                    task, IntegrityError("the model answers with numbers that are not finite", hint=hint)
                )
            elif isinstance(task, ReadingStates):
                task.deliver(task.sum)
                self._leave(task, "stop")
            elif isinstance(task, Reading):
                task.deliver(self._decoder.logits(last[row : row + 1])[0])
                self._leave(task, "stop")
            elif isinstance(task, Writing):
                writing.append(task)
                rows.append(row)
        if writing:
            self._write(writing, self._decoder.logits(last if len(rows) == len(parts) else last[rows]))

    def _write(self, tasks: Sequence[Writing], logits: Tensor) -> None:
        """One more token (R) for each task (R), from its logits (R, V)."""
        values = logits
        if any(task.request.logit_bias or task.request.sampling.no_repeat_ngram for task in tasks):
            values = logits.clone()
            for row, task in enumerate(tasks):
                adjust(
                    values[row].numpy(),
                    task.request.logit_bias,
                    task.text,
                    task.request.sampling.no_repeat_ngram,
                )
        numbers = np.array([task.slot.number for task in tasks], np.int32)
        self._drawing.rules.uniform[numbers] = [task.uniform() for task in tasks]
        chosen = self._drawing.draw(values.numpy(), numbers).tolist()
        for row, (task, token) in enumerate(zip(tasks, chosen, strict=True)):
            told = Token(token)
            if task.tells:
                (told,) = judged(logits[row : row + 1], [token], task.request.top_logprobs)
            is_end = token in self._ends
            finish = task.write(told, is_end=is_end)
            if not is_end:
                self.generated_tokens += 1
                self._drawing.wrote(task.slot.number, token)
            if finish is not None:
                self._leave(task, finish)

    def _fail(self, task: Task, error: BaseException) -> None:
        task.fail(error)
        self._leave(task, "error")

    def _leave(self, task: Task, how: str) -> None:
        """The task is over: its slot is free."""
        self.slots.give_back(task.slot)
        self.running.remove(task)
        self.finished[how] += 1
        self.task_s += SMOOTHING * (time.monotonic() - task.asked_at - self.task_s)


def judged(logits: Tensor, tokens: Sequence[int], top: int) -> list[Token]:
    """Each token (R,) with its log-probability by its logits (R, V), and the `top` likeliest with theirs."""
    values = logits.log_softmax(-1)
    chosen = values.gather(1, torch.tensor(tokens)[:, None])[:, 0].tolist()
    best, ids = (found.tolist() for found in values.topk(top, dim=-1))
    likeliest = [tuple(zip(*row, strict=True)) for row in zip(ids, best, strict=True)]
    return [Token(*each) for each in zip(tokens, chosen, likeliest, strict=True)]
