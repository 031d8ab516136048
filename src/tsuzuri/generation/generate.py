"""Several samples of one prompt, continued together token by token, with keys and values kept.

The prompt is read once for all samples. Beyond the model's context, the opening piece and the last half of
a context are read anew and writing goes on, as the first Japanese GPT-2 did with its last 256 characters;
the opening piece stays because attention leans on a text's first position (Xiao et al. 2023, StreamingLLM).
Samples that are done leave the batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tsuzuri.core.errors import IntegrityError
from tsuzuri.generation.config import SamplingConfig
from tsuzuri.generation.rules import TokenRules
from tsuzuri.generation.sampling import next_tokens, uniform_streams
from tsuzuri.model.cache import KeyValueCache
from tsuzuri.model.config import ModelConfig
from tsuzuri.model.gpt import GPT

BATCH_BYTES = 1 << 30
"""What the samples of a batch may take together."""
MOST_ROWS = 256
"""More are hardly faster, and the first of them are long in coming."""


def rows_at_once(config: ModelConfig, tokens: int, dtype: torch.dtype) -> int:
    """How many samples of so many tokens, the prompt included, are written together."""
    positions = min(config.max_position_embeddings, tokens + 1)
    keys_and_values = 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim
    history = 16  # a token's id and its uniform number
    draw = 32 * config.vocab_size  # logits, probabilities and their sums
    row_bytes = positions * keys_and_values * dtype.itemsize + history * tokens + draw
    return max(1, min(MOST_ROWS, BATCH_BYTES // row_bytes))


class Continuation:
    """The samples of one prompt that are still being written."""

    @torch.inference_mode()
    def __init__(
        self,
        model: GPT,
        prompt: Sequence[int],
        config: SamplingConfig,
        rules: TokenRules,
        *,
        dtype: torch.dtype,
    ) -> None:
        self.rows = list(range(config.samples))
        """The number of the sample in each row of the batch."""
        self._model, self._config, self._dtype = model, config, dtype
        self._context = model.config.max_position_embeddings
        device = model.head.device
        opening = rules.opening if prompt else (rules.start,)
        self._opening = torch.tensor(opening, dtype=torch.long, device=device)
        text = torch.tensor(prompt, dtype=torch.long, device=device)
        self._history = text.new_empty(config.samples, len(text) + config.max_new_tokens)  # (B, L)
        self._history[:, : len(text)] = text
        self._prompt_length = self._length = len(text)
        self._unread = 0
        """Where in the history the tokens begin that the cache does not hold."""
        self._uniforms = uniform_streams(config.seed, config.samples, config.max_new_tokens).to(device)
        self._banned = torch.tensor(rules.unwritable, dtype=torch.long, device=device)
        self._banned_early = torch.tensor((*rules.unwritable, *rules.ends), dtype=torch.long, device=device)
        capacity = min(self._context, len(self._opening) + self._history.shape[1])
        self._cache = KeyValueCache(model.config, rows=1, capacity=capacity, device=device, dtype=dtype)

    @property
    def new_tokens(self) -> int:
        """Tokens written so far in each row."""
        return self._length - self._prompt_length

    @torch.inference_mode()
    def step(self) -> list[int]:
        """One more token for each of `rows`."""
        logits = self._model.logits(self._read())  # (B, V)
        early = self.new_tokens < self._config.min_new_tokens
        tokens = next_tokens(
            logits,
            self._history[:, : self._length],
            self._banned_early if early else self._banned,
            self._uniforms[:, self.new_tokens],
            self._config,
        )
        self._history[:, self._length] = tokens
        self._length += 1
        return tokens.tolist()

    @torch.inference_mode()
    def keep(self, places: Sequence[int]) -> None:
        """Go on with these rows of the batch alone."""
        if len(places) == len(self.rows):
            return
        self.rows = [self.rows[place] for place in places]
        index = torch.tensor(places, dtype=torch.long, device=self._history.device)
        self._history, self._uniforms = self._history[index], self._uniforms[index]
        self._cache.select_rows(index)

    def _read(self) -> Tensor:
        """The hidden state (B, D) after the last token, once everything unread has been read."""
        if self._cache.length == 0:
            return self._read_prompt()
        if self._cache.length + self._length - self._unread > self._cache.capacity:
            self._cache.truncate(0)
            recent = self._history[:, self._length - self._context // 2 : self._length]
            return self._forward(torch.cat([self._opening.expand(len(recent), -1), recent], dim=1))
        return self._forward(self._history[:, self._unread : self._length])

    def _read_prompt(self) -> Tensor:
        """The same for the prompt, read in one row and then handed to all."""
        prompt = self._history[0, : self._length]
        if len(self._opening) + len(prompt) > self._context:
            prompt = prompt[-(self._context // 2) :]
        hidden = self._forward(torch.cat([self._opening, prompt])[None])
        if not bool(hidden.isfinite().all()):
            raise IntegrityError(
                "the model answers with numbers that are not finite", hint="its weights are damaged"
            )
        rows = torch.zeros(len(self.rows), dtype=torch.long, device=hidden.device)
        self._cache.select_rows(rows)
        return hidden[rows]

    def _forward(self, tokens: Tensor) -> Tensor:
        self._unread = self._length
        return self._model(tokens, cache=self._cache, dtype=self._dtype)[:, -1]  # type: ignore[no-any-return]
