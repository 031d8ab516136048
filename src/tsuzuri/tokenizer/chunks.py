"""From texts to the chunks that merges are counted in, each with the number of times it is seen.

Merges never pass the end of a line, so lines are the coarsest chunks. What a finer cut forbids for good
(scripts) is also in `merges.Rules`: here it only makes many equal chunks of few different ones. The edges of
Unigram's pieces and of Qwen2's split stand here alone: they keep pieces from being learnt, and do not bind a
piece that was learnt elsewhere (`config.Boundary`).
"""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

import sentencepiece
from tokenizers import Regex, pre_tokenizers

from tsuzuri.tokenizer.config import Boundary, Form, TokenizerConfig
from tsuzuri.tokenizer.hf_format import QWEN2_PATTERN
from tsuzuri.tokenizer.scripts import RUNS

UNIGRAM_CHARACTERS = 2_000_000
"""What the Unigram model is trained on: its pieces settle early, and one thread is slow at it."""
UNIGRAM_PIECES_PER_PIECE = 2
"""Cut further at scripts, Unigram's pieces fall together: as many as the vocabulary's would not fill it."""
LONGEST_UNIGRAM_LINE_BYTES = 1_000_000


def chunks_of(texts: Iterable[str], config: TokenizerConfig) -> Counter[str]:
    """The chunks of the texts under a configuration's form and boundary."""
    chunks: Counter[str] = Counter()
    for text in texts:
        chunks.update(text.split("\n"))
    del chunks[""]
    if config.boundary is Boundary.SCRIPT_AND_PIECES:
        chunks = _cut(chunks, _unigram_cutter(chunks, config))
    if config.boundary is not Boundary.NONE:
        chunks = _cut(chunks, RUNS.findall)
    if config.form is Form.BYTE:
        split = pre_tokenizers.Split(Regex(QWEN2_PATTERN), "isolated")
        chunks = _cut(chunks, lambda chunk: (part for part, _ in split.pre_tokenize_str(chunk)))
    return chunks


def _cut(chunks: Counter[str], cut: Callable[[str], Iterable[str]]) -> Counter[str]:
    finer: Counter[str] = Counter()
    for chunk, count in chunks.items():
        for part in cut(chunk):
            finer[part] += count
    return finer


def _unigram_cutter(lines: Counter[str], config: TokenizerConfig) -> Callable[[str], Iterator[str]]:
    """A function that cuts a line at the edges of a Unigram model's pieces (Kudo 2018, arXiv 1804.10959).

    Trained on one thread: sums of floats in another order would give other pieces.
    """
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=_some_lines(lines),
        model_writer=model,
        model_type="unigram",
        vocab_size=UNIGRAM_PIECES_PER_PIECE * config.vocab_size,
        hard_vocab_limit=False,
        max_sentencepiece_length=config.longest_piece,
        max_sentence_length=LONGEST_UNIGRAM_LINE_BYTES,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        add_dummy_prefix=False,
        split_digits=True,
        num_threads=1,
        minloglevel=2,
    )
    unigram = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())

    def cut(line: str) -> Iterator[str]:
        place = 0
        for piece in unigram.encode(line, out_type=str):
            yield line[place : place + len(piece)]
            place += len(piece)

    return cut


def _some_lines(lines: Iterable[str]) -> Iterator[str]:
    """Lines in the order of their hashes, up to the bound."""
    left = UNIGRAM_CHARACTERS
    for line in sorted(lines, key=lambda text: hashlib.sha256(text.encode()).digest()):
        left -= len(line)
        if left < 0:
            return
        yield line
