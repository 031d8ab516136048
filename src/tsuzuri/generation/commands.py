"""`tsuzuri generate`, `score` and `embed`: text in, lines or a file of vectors out."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from tsuzuri.core.config import parse_config
from tsuzuri.core.errors import InputError, RecipeError
from tsuzuri.core.files import atomic_file
from tsuzuri.generation.config import MOST_NEW_TOKENS, SamplingConfig
from tsuzuri.generation.embed import Pool
from tsuzuri.generation.language_model import LanguageModel
from tsuzuri.generation.score import Score

SEPARATOR = "========"
"""Stands between samples, as in the first Japanese GPT-2's output."""

LINES_AT_ONCE = 256
"""Texts scored before their lines are printed."""


def generate(
    path: Path,
    *,
    prompt: str | None = None,
    prompts_file: str | None = None,
    device: str = "auto",
    **sampling: Any,
) -> None:
    """`generate_text` to standard output, its sampling given field by field."""
    widest = {"max_new_tokens": MOST_NEW_TOKENS, **sampling}  # what is wrong is said before a model is read
    parse_config(SamplingConfig, widest, where="generate", hint="tsuzuri generate --help")
    generate_text(path, sampling, prompt=prompt, prompts_file=prompts_file, device=device)


def generate_text(
    path: Path,
    options: Mapping[str, Any],
    *,
    prompt: str | None = None,
    prompts_file: str | None = None,
    device: str = "auto",
    out: TextIO | None = None,
) -> None:
    """Write the samples of a prompt, or of each line of a file (`-`: standard input), to `out`.

    `options` are those of `LanguageModel.sampling`. The first sample of each prompt appears as it is
    written, in whole characters; the others follow, batch by batch.
    """
    if prompt is not None and prompts_file is not None:
        raise RecipeError(
            "both a prompt and a file of prompts were given", hint="give --prompt or --prompts-file"
        )
    prompts = _lines(prompts_file) if prompts_file is not None else [prompt or ""]
    model = LanguageModel.load(path, device=device)
    config = model.sampling(options)
    out = out or sys.stdout
    is_first = True
    for text in prompts:
        if not is_first:
            out.write(SEPARATOR + "\n")
        is_first = False
        _write_samples(model, text, config, out)


def score_lines(
    path: Path, source: str, *, tokens: bool = False, include_end: bool = False, device: str = "auto"
) -> Iterator[str]:
    """For each line of a file (`-`: standard input) but blank ones: it, a tab, its log-probability (nats).

    With `tokens`, a line for each of its tokens in the same form follows, then an empty one.
    """
    lines = _lines(source)
    model = LanguageModel.load(path, device=device)
    for start in range(0, len(lines), LINES_AT_ONCE):
        for score in model.score(lines[start : start + LINES_AT_ONCE], include_end=include_end):
            yield from _score_lines(score, tokens)


def embed_lines(
    path: Path, source: str, out: Path, *, layer: int = -1, pool: Pool = "last", device: str = "auto"
) -> str:
    """Write a NumPy file (lines, D) of float32, a vector for each line but blank ones; says what it wrote."""
    if out.is_dir():
        raise InputError(f"{out} is a folder", hint="give the file to write, for example vectors.npy")
    lines = _lines(source)
    vectors = LanguageModel.load(path, device=device).embed(lines, layer=layer, pool=pool)
    with atomic_file(out) as file:
        np.save(file, vectors)
    return f"{out}: {vectors.shape[0]:,} vectors of {vectors.shape[1]:,} numbers"


def _write_samples(model: LanguageModel, prompt: str, config: SamplingConfig, out: TextIO) -> None:
    is_streamed = True  # the first sample of all
    for batch in model.batches(prompt, config):
        texts = [""] * batch.samples
        for sample, text in model.parts(prompt, batch):
            texts[sample] += text
            if is_streamed and sample == 0:
                out.write(text)
                out.flush()
        if is_streamed:
            out.write("\n")
        for text in texts[is_streamed:]:
            out.write(f"{SEPARATOR}\n{text}\n")
        out.flush()
        is_streamed = False


def _score_lines(score: Score, tokens: bool) -> Iterator[str]:
    yield f"{_one_field(score.text)}\t{score.log_probability:.5g}"
    if tokens:
        for token in score.tokens:
            yield f"{_one_field(token.text)}\t{token.log_probability:.5g}"
        yield ""


def _one_field(text: str) -> str:
    return text.replace("\t", "\\t").replace("\r", "\\r").replace("\n", "\\n")


def _lines(source: str) -> list[str]:
    """The lines of a UTF-8 file, or of standard input for `-`, without the blank ones."""
    try:
        data = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise InputError(
            f"no readable file at {source}", hint="give a text file, or - for standard input"
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"{source} is not UTF-8: byte {error.start}", hint=f"iconv -f CP932 -t UTF-8 {source}"
        ) from error
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    lines = [line for line in lines if line.strip()]
    if not lines:
        raise InputError(f"{'standard input' if source == '-' else source} holds no text")
    return lines
