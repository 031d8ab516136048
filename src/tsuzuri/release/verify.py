"""The proof that a release is whole and that others read it as we do: checksums, logits, ids, greedy text.

Both sides compute in float32 from the same weights, so that their logits may differ by rounding alone.
Measured on random models of 4 to 24 layers, as fractions of the largest logit: Llama and Qwen3 0, GPT-2 9e-7.

Greedy text is written by each side's own loop with its own cache and compared token by token. Where two
tokens are as likely as rounding can tell, either may be taken, and the texts part for good: what follows such
a place is not compared, and how many tokens were is said.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from tsuzuri.core.errors import IntegrityError, MissingExtraError
from tsuzuri.core.manifest import read_manifest, verify_files
from tsuzuri.generation.config import SamplingConfig
from tsuzuri.generation.generate import Continuation
from tsuzuri.generation.rules import TokenRules
from tsuzuri.model.gpt import GPT
from tsuzuri.model.hf import load_model
from tsuzuri.release.sums import HINT, check_sums
from tsuzuri.tokenizer.codec import Tokenizer

LOGIT_TOLERANCE = 2e-5
"""Largest allowed difference of logits, as a fraction of the largest logit."""
PROBE_ROWS, PROBE_TOKENS = 2, 64
GREEDY_TOKENS = 48
TEXTS = (
    "吾輩は猫である。名前はまだ無い。",
    "むかし、むかし、あるところに、おじいさんとおばあさんが住んでいました。",
    "　全角の空白、 半角の空白、\tタブ、\n\n改行。ｶﾀｶﾅとカタカナ。",
    "二〇二六年11月22日、午前9時30分。1,234円（税込）。",
    "<|endoftext|>は文字として読む。<0x0A>も。▁も。",
    "👨‍👩‍👧と𠮷野家、が、神\ufa19。",
    "English words, code: `for i in range(10): print(i)`",
    "",
)
PROMPTS = (TEXTS[1], "吾輩は", "二〇二六年、東京の")
"""What is gone on from greedily."""


@dataclass(frozen=True)
class Check:
    """One thing that was compared and found equal."""

    name: str
    found: str


@dataclass(frozen=True)
class Verification:
    """A release that passed every check; as a string, their table."""

    release: Path
    checks: tuple[Check, ...]

    def __str__(self) -> str:
        table = Table("check", "found")
        for check in self.checks:
            table.add_row(check.name, check.found)
        out = io.StringIO()
        Console(file=out, width=100).print(table)
        return f"{self.release}: verified\n{out.getvalue().rstrip()}"


def verify(release: Path) -> Verification:
    """The checks that the release passed; IntegrityError names the first that it does not."""
    release = Path(release)
    files = check_sums(release)
    verify_files(release)
    manifest = read_manifest(release, "release")
    ours, tokenizer = load_model(release), Tokenizer.load(release)
    theirs, their_tokenizer = _load_in_transformers(release)
    with torch.inference_mode():
        checks = (
            Check("files", f"{files} match SHA256SUMS and manifest.json"),
            Check("parameters", f"{_same_parameters(ours, theirs, manifest.counts['parameters']):,}"),
            Check("logits", f"largest difference {same_logits(ours, theirs):.1e} of the largest logit"),
            Check("token ids", f"{_same_ids(tokenizer, their_tokenizer)} texts: the same ids, and back"),
            Check("greedy text", f"{same_greedy(ours, theirs, tokenizer)} tokens, the same"),
        )
    return Verification(release, checks)


def _load_in_transformers(release: Path) -> tuple[Any, Any]:
    """Transformers' model in float32 and its tokenizer, from the files of the folder alone."""
    try:
        from transformers import AutoModelForCausalLM, AutoTokenizer, logging
    except ImportError as error:
        raise MissingExtraError("transformers", "train") from error
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        tokenizer = AutoTokenizer.from_pretrained(release, local_files_only=True)
        model = AutoModelForCausalLM.from_pretrained(release, dtype=torch.float32, local_files_only=True)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise IntegrityError(f"Transformers cannot load {release}: {error}", hint=HINT) from error
    return model, tokenizer


def _same_parameters(ours: GPT, theirs: Any, counted: int) -> int:
    counts = {
        "here": sum(parameter.numel() for parameter in ours.parameters()),
        "in Transformers": sum(parameter.numel() for parameter in theirs.parameters()),
        "in the manifest": counted,
    }
    if len(set(counts.values())) > 1:
        raise IntegrityError(f"the numbers of parameters differ: {counts}", hint=HINT)
    return counted


def same_logits(ours: GPT, theirs: Any) -> float:
    """The largest difference on fixed tokens, as a fraction of the largest logit, if rounding explains it."""
    length = min(PROBE_TOKENS, ours.config.max_position_embeddings)
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(ours.config.vocab_size, (PROBE_ROWS, length), generator=generator)
    expected = theirs(tokens).logits
    difference = float((ours.logits(ours(tokens)) - expected).abs().max() / expected.abs().max())
    if not difference <= LOGIT_TOLERANCE:  # NaN fails too
        raise IntegrityError(
            f"the logits differ from Transformers' by {difference:.1e} of the largest one, "
            f"where rounding explains {LOGIT_TOLERANCE:.0e}",
            hint=HINT,
        )
    return difference


def _same_ids(ours: Tokenizer, theirs: Any) -> int:
    for text in TEXTS:
        ids, their_ids = ours.encode(text), theirs.encode(text)
        if ids != their_ids:
            raise IntegrityError(f"{text!r} is {ids} here and {their_ids} in AutoTokenizer", hint=HINT)
        if theirs.decode(ids) != text or ours.decode(ids) != text:
            raise IntegrityError(f"{text!r} does not come back from its token ids", hint=HINT)
    return len(TEXTS)


def same_greedy(ours: GPT, theirs: Any, tokenizer: Tokenizer) -> int:
    """How many tokens both sides wrote greedily, each on its own, and wrote alike."""
    from transformers import GenerationConfig

    context = ours.config.max_position_embeddings
    config = GenerationConfig(  # type: ignore[no-untyped-call]
        do_sample=False, eos_token_id=tokenizer.eos_id, pad_token_id=tokenizer.eos_id
    )
    theirs.generation_config = config
    compared = 0
    for text in PROMPTS:
        prompt = [tokenizer.eos_id, *tokenizer.encode(text)][: context // 2]
        room = min(GREEDY_TOKENS, context - len(prompt))
        tokens: Tensor = theirs.generate(torch.tensor([prompt]), max_new_tokens=room)
        written = [int(token) for token in tokens[0, len(prompt) :]]
        own = _greedy(ours, prompt[1:], room, tokenizer)
        places = min(len(own), len(written))
        at = next((place for place in range(places) if own[place] != written[place]), None)
        if at is None and len(own) == len(written):
            compared += places
            continue
        at = places if at is None else at
        logits = ours.logits(ours(torch.tensor([[*prompt, *written[:at]]])))[0, -1]
        rivals = [side[at] if at < len(side) else tokenizer.eos_id for side in (own, written)]
        apart = float((logits[rivals].max() - logits[rivals].min()).abs())
        behind = float(logits.max() - logits[rivals].max())
        if max(apart, behind) > LOGIT_TOLERANCE * float(logits.abs().max()):
            seen = tokenizer.decode(written[: at + 1])
            raise IntegrityError(f"greedy text differs from Transformers' at the end of {seen!r}", hint=HINT)
        compared += at
    return compared


def _greedy(model: GPT, prompt: list[int], count: int, tokenizer: Tokenizer) -> list[int]:
    """What our own loop writes, its end included."""
    end = tokenizer.eos_id
    sampling = SamplingConfig(max_new_tokens=count, temperature=0.0, repetition_penalty=1.0)
    rules = TokenRules(start=end, opening=(end,), ends=(end,), unwritable=())
    going = Continuation(model, prompt, sampling, rules, dtype=torch.float32)
    written: list[int] = []
    while len(written) < count and end not in written:
        written += going.step()
    return written
