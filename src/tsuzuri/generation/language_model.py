"""A model and its tokenizer as one thing that writes, scores and embeds text: what `tsuzuri.load` returns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from tsuzuri.core.config import parse_config
from tsuzuri.core.errors import InputError, RecipeError, ResourceError
from tsuzuri.generation.config import SamplingConfig
from tsuzuri.generation.defaults import sampling_of
from tsuzuri.generation.embed import Pool, text_vectors
from tsuzuri.generation.generate import Continuation, rows_at_once
from tsuzuri.generation.rules import TextTokenizer, TokenRules, read_values, token_rules
from tsuzuri.generation.score import Score, TokenScore, token_log_probabilities
from tsuzuri.generation.stopping import StopFinder
from tsuzuri.generation.streaming import CharacterStream
from tsuzuri.model.gpt import GPT
from tsuzuri.model.hf import load_model
from tsuzuri.tokenizer.codec import Tokenizer


class LanguageModel:
    """Text in, text, scores or vectors out. Activations are of `dtype`, by default that of the weights."""

    def __init__(
        self,
        model: GPT,
        tokenizer: TextTokenizer,
        *,
        rules: TokenRules | None = None,
        defaults: Mapping[str, Any] | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.rules = rules or token_rules(tokenizer, model.config.vocab_size)
        self.defaults = dict(defaults or {})
        """Fields of SamplingConfig that differ from its own defaults, as the model's folder asks."""
        self.dtype = dtype or model.head.dtype
        self._pieces = tokenizer.pieces

    @classmethod
    def load(cls, path: Path | str, *, device: str = "auto") -> LanguageModel:
        """The model of a release, of a build, or of any GPT-2, Llama or Qwen3 folder with a tokenizer.json.

        `device` is cpu, cuda or auto; weights are float32 on a CPU and bfloat16 on a GPU. Raises InputError
        where there is no such model, IntegrityError where its files are damaged.
        """
        folder = model_folder(Path(path))
        where = _device(device)
        dtype = torch.float32 if where.type == "cpu" else torch.bfloat16
        tokenizer = Tokenizer.load(folder)
        model = load_model(folder, device=where, dtype=dtype)
        rules = token_rules(tokenizer, model.config.vocab_size, folder)
        defaults = sampling_of(read_values(folder, "generation_config.json"))
        return cls(model, tokenizer, rules=rules, defaults=defaults)

    def sampling(self, options: Mapping[str, Any], *, where: str = "generate") -> SamplingConfig:
        """What is given of SamplingConfig's fields; what the model's folder asks for where they leave off."""
        hint = "tsuzuri generate --help says what each means"
        if self.defaults:
            hint += "; generation_config.json gives those that are left out"
        return parse_config(SamplingConfig, {**self.defaults, **options}, where=where, hint=hint)

    def generate(self, prompt: str = "", **options: Any) -> str | list[str]:
        """What follows the prompt (without it): a text, or a list of texts where `samples` is more than 1.

        The options are those of `sampling`, for example max_new_tokens=200, seed=1.
        """
        config = self.sampling(options)
        texts = self.samples(prompt, config)
        return texts[0] if config.samples == 1 else texts

    def stream(self, prompt: str = "", **options: Any) -> Iterator[str]:
        """What follows the prompt, in parts of whole characters, each as soon as it is certain."""
        config = self.sampling(options, where="stream")
        if config.samples != 1:
            raise RecipeError(
                f"a stream is one sample, not {config.samples}", hint="use generate for several"
            )
        return (text for _, text in self.parts(prompt, config))

    def samples(self, prompt: str, config: SamplingConfig) -> list[str]:
        """All samples of one prompt, each without the prompt."""
        texts: list[str] = []
        for batch in self.batches(prompt, config):
            first = len(texts)
            texts += [""] * batch.samples
            for sample, text in self.parts(prompt, batch):
                texts[first + sample] += text
        return texts

    def batches(self, prompt: str, config: SamplingConfig) -> Iterator[SamplingConfig]:
        """The same request in parts of as many samples as are written together."""
        tokens = len(self._encode([prompt])[0]) + config.max_new_tokens
        rows = rows_at_once(self.model.config, tokens, self.dtype)
        for first in range(0, config.samples, rows):
            part = {"seed": config.seed + first, "samples": min(rows, config.samples - first)}
            yield config.model_copy(update=part)

    def parts(self, prompt: str, config: SamplingConfig) -> Iterator[tuple[int, str]]:
        """(number of the sample, its next text), as it is written; no part is empty or cuts a character.

        All samples are written together: of many, `batches` makes requests that fit in memory.
        """
        continuation = Continuation(
            self.model, self._encode([prompt])[0], config, self.rules, dtype=self.dtype
        )
        characters = [CharacterStream() for _ in range(config.samples)]
        finders = [StopFinder(config.stop) for _ in range(config.samples)]
        while continuation.rows:
            going = []
            tokens = continuation.step()
            is_last = continuation.new_tokens == config.max_new_tokens
            for place, (sample, token) in enumerate(zip(continuation.rows, tokens, strict=True)):
                finder = finders[sample]
                is_end = token in self.rules.ends
                text = "" if is_end else finder.push(characters[sample].push(self._pieces[token]))
                if is_end or is_last or finder.stopped:
                    text += finder.flush()
                else:
                    going.append(place)
                if text:
                    yield sample, text
            continuation.keep(going)

    def score(self, texts: Sequence[str] | str, *, include_end: bool = False) -> list[Score]:
        """The log-probability (nats) of each text and of each of its tokens, read from the opening piece on.

        `include_end` counts the closing piece too: the probability that the text is all there is.
        """
        texts = [texts] if isinstance(texts, str) else list(texts)
        closing = self.rules.ends[:1] if include_end else ()
        ids = [[self.rules.start, *tokens, *closing] for tokens in self._encode(texts)]
        scores = []
        for text, tokens, values in zip(
            texts, ids, token_log_probabilities(self.model, ids, dtype=self.dtype), strict=True
        ):
            each = tuple(
                TokenScore(token, self._name(token), value)
                for token, value in zip(tokens[1:], values, strict=True)
            )
            scores.append(Score(text, sum(values), each))
        return scores

    def embed(
        self, texts: Sequence[str] | str, *, layer: int = -1, pool: Pool = "last"
    ) -> npt.NDArray[np.float32]:
        """A vector for each text, (texts, D): of its last token or the mean over its tokens, after any layer.

        Layers are counted as Transformers counts hidden states: 0 the embeddings, −1 the last layer,
        normalised.
        """
        texts = [texts] if isinstance(texts, str) else list(texts)
        ids = [[self.rules.start, *tokens] for tokens in self._encode(texts)]
        return text_vectors(self.model, ids, opening=1, layer=layer, pool=pool, dtype=self.dtype)

    def _encode(self, texts: Sequence[str]) -> list[list[int]]:
        return self.tokenizer.encode_batch(list(texts))

    def _name(self, token: int) -> str:
        piece = self._pieces[token]
        try:
            return piece.decode("utf-8") if piece else f"<{token}>"
        except UnicodeDecodeError:
            return "".join(f"<0x{byte:02X}>" for byte in piece)


def model_folder(path: Path) -> Path:
    """The folder of the model that a release, a run, a build or such a folder itself holds."""
    for folder in (path, path / "model", path / "release"):
        if (folder / "config.json").exists():
            return folder
    raise InputError(
        f"{path} holds no model: it has no config.json",
        hint="give a release, a run, a build, or a Hugging Face folder of a GPT-2, Llama or Qwen3 model",
    )


def _device(wanted: str) -> torch.device:
    has_cuda = torch.cuda.is_available()
    if wanted not in ("auto", "cpu", "cuda"):
        raise RecipeError(f"no device {wanted!r}", hint="device: auto, cpu or cuda")
    if wanted == "cuda" and not has_cuda:
        raise ResourceError("this machine's torch finds no cuda device", hint="use the device auto or cpu")
    return torch.device("cuda" if has_cuda and wanted != "cpu" else "cpu")
