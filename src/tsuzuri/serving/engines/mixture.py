"""Several models that write as one: the next token is drawn from the mixture of what each of them expects.

ELMforest (Li et al. 2022, Branch-Train-Merge, arXiv 2208.03306; its weights are DEMix's): how probable it
is that a text is of a model's domain follows from how likely the model has found it so far,

    w(model) = softmax((log share + Σ log p(token | before)) / temperature)
    p(token) = Σ w(model) p(token | before)

It is a decoder, so that everything is as with one model: continuous batching, what was read is not read
again, all rules come after mixing, log-probabilities are the mixture's, of prompts too. Rules that look at
logits, as repetition's penalty does, see log p raised by the weighted mean of the models' normalisers: of a
mixture of one its own logits.

What deviates: shares are not measured on the text at hand, but given; where a text outgrows the context,
its recent half is read anew, and the weights follow from that half.

Shapes: N tokens of a step, K models, V vocabulary, D a model's width.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tsuzuri.core.errors import InputError
from tsuzuri.generation.rules import TokenRules
from tsuzuri.model.config import ModelConfig
from tsuzuri.model.hf import read_config
from tsuzuri.serving.engines.ours.batching import Decoder
from tsuzuri.serving.engines.ours.config import MixtureConfig
from tsuzuri.serving.engines.ours.engine import OurEngine
from tsuzuri.serving.engines.ours.kernels import Integers
from tsuzuri.serving.engines.ours.opening import held_slots, model_decoder

FLOAT_BYTES = 4
AT_ONCE = 64
"""Tokens of prompts whose logits are held together."""


class MixtureEngine(OurEngine):
    """`OurEngine` over a `MixtureDecoder`."""

    capabilities = frozenset({"logprobs", "prompt_logprobs", "logits"})


class MixtureDecoder:
    """`batching.Decoder` of several decoders with one vocabulary.

    A state is the models' states side by side, then log w (K) of the text up to it, then its slot and its
    position, by which what was computed to draw a token serves to weigh it.
    """

    def __init__(
        self,
        members: Sequence[Decoder],
        shares: Sequence[float],
        *,
        slots: int,
        temperature: float = 1.0,
        top: int = 0,
    ) -> None:
        configs = [member.config for member in members]
        self._members, self._temperature = members, temperature
        self._top = top if 0 < top < len(members) else len(members)
        self._widths = [config.hidden_size for config in configs]
        context = min(config.max_position_embeddings for config in configs)
        self.config: ModelConfig = configs[0].model_copy(
            update={
                "hidden_size": sum(self._widths) + len(members) + 2,
                "max_position_embeddings": context,
            }
        )
        self._prior = torch.tensor(shares).log().log_softmax(0)
        self._weights = torch.empty(slots, context, len(members))
        """log w once the token of a position is read."""
        self._held = [torch.empty(slots, context, width) for width in self._widths]
        """The models' states at every position."""
        self._told = torch.empty(slots, len(members), self.config.vocab_size)
        """What each model expects after one position of each slot, in logs."""
        self._told_at = np.full(slots, -1)
        self._dtype, self._device = torch.float32, torch.device("cpu")

    @torch.inference_mode()
    def states(self, ids: Integers, slots: Integers, positions: Integers) -> Tensor:
        """See `Decoder`."""
        parts = [member.states(ids, slots, positions) for member in self._members]
        self._dtype, self._device = parts[0].dtype, parts[0].device
        rows, places = torch.from_numpy(slots).long(), torch.from_numpy(positions).long()
        for held, part in zip(self._held, parts, strict=True):
            held[rows, places] = part.float().cpu()
        gains = self._found(ids, slots, positions)
        borders = [0, *(np.flatnonzero(np.diff(slots)) + 1).tolist(), len(slots)]
        for first, end in pairwise(borders):
            slot, position = int(slots[first]), int(positions[first])
            before = self._weights[slot, position - 1] if position else self._prior
            after = (before + gains[first:end].cumsum(0)).log_softmax(1)
            self._weights[slot, position : position + end - first] = after
            if position <= self._told_at[slot]:
                self._told_at[slot] = -1
        marks = torch.stack([rows, places], 1).float()
        own = torch.cat([self._weights[rows, places], marks], 1).to(self._device)
        return torch.cat([*(part.float() for part in parts), own], 1)

    @torch.inference_mode()
    def logits(self, states: Tensor) -> Tensor:
        """See `Decoder`: log p, raised as above."""
        count = len(self._members)
        *parts, weights, marks = torch.split(states, [*self._widths, count, 2], 1)
        weights = weights.cpu() / self._temperature
        if self._top < count:
            least = weights.topk(self._top, 1).values[:, -1:]
            weights = weights.masked_fill(weights < least, -torch.inf)
        weights = weights.log_softmax(1)
        mixed: Tensor | None = None
        raised = torch.zeros(len(states), 1)
        last = {int(slot): row for row, slot in enumerate(marks[:, 0].tolist())}
        slots, rows = torch.tensor(list(last)), torch.tensor(list(last.values()))
        for place, (member, part) in enumerate(zip(self._members, parts, strict=True)):
            values = member.logits(part.to(self._dtype))
            normalisers = values.logsumexp(1, keepdim=True)
            values -= normalisers
            self._told[slots, place] = values if len(rows) == len(values) else values[rows]
            weight = weights[:, place : place + 1]
            raised += weight.exp() * normalisers
            values += weight
            mixed = values if mixed is None else torch.logaddexp(mixed, values)
        self._told_at[slots.numpy()] = marks[rows, 1].cpu().numpy().astype(int)
        assert mixed is not None
        return mixed + raised

    @torch.inference_mode()
    def copy(self, source: int, target: int, length: int) -> None:
        """See `Decoder`."""
        for member in self._members:
            member.copy(source, target, length)
        for table in (self._weights, *self._held):
            table[target, :length] = table[source, :length]
        self._told_at[target] = -1

    def _found(self, ids: Integers, slots: Integers, positions: Integers) -> Tensor:
        """(N, K): log p of each token by each model; 0 of one with nothing before it."""
        found = torch.zeros(len(ids), len(self._members))
        is_told = (positions > 0) & (self._told_at[slots] == positions - 1)
        told = np.flatnonzero(is_told)
        found[told] = self._told[slots[told], :, ids[told]]
        others = np.flatnonzero((positions > 0) & ~is_told)
        for first in range(0, len(others), AT_ONCE):
            rows = others[first : first + AT_ONCE]
            tokens = torch.from_numpy(ids[rows]).long()[:, None]
            for place, (member, held) in enumerate(zip(self._members, self._held, strict=True)):
                before = held[slots[rows], positions[rows] - 1].to(self._device, self._dtype)
                values = member.logits(before)
                found[rows, place] = values.gather(1, tokens)[:, 0] - values.logsumexp(1)
        return found


def open_mixture(
    folders: Sequence[Path], rules: TokenRules, config: MixtureConfig, *, name: str = "mixture"
) -> MixtureEngine:
    """The engine of releases that have one tokenizer and as many rows; InputError as `load_model`."""
    shapes = [read_config(folder) for folder in folders]
    if len({shape.vocab_size for shape in shapes}) > 1:
        rows = ", ".join(
            f"{folder.name}: {s.vocab_size:,}" for folder, s in zip(folders, shapes, strict=True)
        )
        raise InputError(f"models with as many rows each can be mixed, not {rows}")
    context = min(shape.max_position_embeddings for shape in shapes)
    own = sum(shape.hidden_size for shape in shapes) * context + len(shapes) * shapes[0].vocab_size
    slots = held_slots(shapes, config, also_bytes=own * FLOAT_BYTES)
    shares = np.array([member.share for member in config.members])
    shares = np.maximum(shares / shares.sum(), config.least_share)

    def open_decoder() -> MixtureDecoder:
        members = [model_decoder(folder, config, slots=slots) for folder in folders]
        return MixtureDecoder(
            members, shares.tolist(), slots=slots, temperature=config.temperature, top=config.top
        )

    return MixtureEngine(
        open_decoder,
        rules,
        name=name,
        slots=slots,
        queue=config.queue,
        chunk_tokens=config.chunk_tokens,
        threads=config.threads,
    )
