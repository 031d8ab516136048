"""Rows with rules of their own draw what `generation.sampling` draws for one of them alone."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tsuzuri.generation.config import SamplingConfig
from tsuzuri.generation.sampling import next_tokens
from tsuzuri.serving.engines.ours.drawing import Drawing, adjust

VOCABULARY = 400
UNWRITABLE, END = (0, 7), 3

SAMPLINGS = st.builds(
    SamplingConfig,
    temperature=st.sampled_from([0.0, 0.7, 1.0, 1.3]),
    top_k=st.sampled_from([0, 1, 5, 50, 399]),
    top_p=st.sampled_from([1.0, 0.95, 0.5, 0.1]),
    min_p=st.sampled_from([0.0, 0.02, 0.3]),
    repetition_penalty=st.sampled_from([1.0, 1.15, 0.9]),
    no_repeat_ngram=st.integers(0, 3),
    min_new_tokens=st.sampled_from([0, 5]),
)


@settings(max_examples=60, deadline=None)
@given(samplings=st.lists(SAMPLINGS, min_size=1, max_size=6), seed=st.integers(0, 2**31))
def test_every_row_draws_by_its_own_rules(samplings: list[SamplingConfig], seed: int) -> None:
    random = np.random.default_rng(seed)
    logits = random.normal(0, 3, (len(samplings), VOCABULARY)).astype(np.float32)
    slots = random.permutation(len(samplings)).astype(np.int32)
    drawing = Drawing(len(samplings), VOCABULARY, UNWRITABLE, (END,))
    expected = []
    for row, (slot, sampling) in enumerate(zip(slots, samplings, strict=True)):
        history, uniform = random.integers(0, 40, 60).tolist(), random.random()
        banned = torch.tensor([*UNWRITABLE, END] if sampling.min_new_tokens else UNWRITABLE)
        alone = torch.tensor(logits[row : row + 1])
        expected.append(
            int(next_tokens(alone, torch.tensor([history]), banned, torch.tensor([uniform]), sampling))
        )
        drawing.begin(int(slot), sampling, history)
        drawing.rules.uniform[slot] = uniform
        adjust(logits[row], {}, history, sampling.no_repeat_ngram)
    assert drawing.draw(logits, slots).tolist() == expected
