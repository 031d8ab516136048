from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.attention.flex_attention import create_mask
from torch.testing import assert_close

from tsuzuri.model.config import ModelConfig
from tsuzuri.model.gpt import GPT
from tsuzuri.model.packing import document_block_mask, document_ids, document_mask, document_positions

EOS = 0

rows_of_tokens = st.lists(st.sampled_from([EOS, 1, 2, 3, 4, 5]), min_size=1, max_size=24)


def documents(row: list[int]) -> list[list[int]]:
    """The row cut before every end-of-text token."""
    parts: list[list[int]] = []
    for token in row:
        if token == EOS or not parts:
            parts.append([])
        parts[-1].append(token)
    return parts


def test_a_document_starts_at_its_end_of_text_token() -> None:
    row = torch.tensor([[5, 6, EOS, 7, 8, EOS, EOS, 9]])
    assert document_ids(row, EOS).tolist() == [[0, 0, 1, 1, 1, 2, 3, 3]]
    assert document_positions(row, EOS).tolist() == [[0, 1, 0, 1, 2, 0, 0, 1]]


@given(rows_of_tokens)
def test_masks_and_positions_follow_the_documents(row: list[int]) -> None:
    owner = [number for number, part in enumerate(documents(row)) for _ in part]
    positions = [position for part in documents(row) for position in range(len(part))]
    seen = [[k <= q and owner[k] == owner[q] for k in range(len(row))] for q in range(len(row))]
    tokens = torch.tensor([row])
    assert document_positions(tokens, EOS).tolist() == [positions]
    assert document_mask(tokens, EOS).tolist() == [[seen]]


def test_rows_of_a_batch_are_masked_apart() -> None:
    rows = torch.randint(0, 4, (5, 30), generator=torch.Generator().manual_seed(0))
    mask = document_mask(rows, EOS)
    assert mask.shape == (5, 1, 30, 30)
    for index, row in enumerate(rows):
        assert torch.equal(mask[index], document_mask(row[None], EOS)[0])


@pytest.mark.parametrize("start", [EOS, 3])
def test_a_packed_document_is_read_as_if_it_were_alone(
    config: ModelConfig, random_model: Callable[[ModelConfig], GPT], tokens: Tensor, start: int
) -> None:
    """A row that opens in the middle of a document (start 3) included."""
    rows = tokens.clamp(min=1)
    rows[:, 0] = start
    rows[0, [9, 10, 31]] = EOS
    rows[1, 20] = EOS
    model = random_model(config)
    mask, positions = document_mask(rows, EOS), document_positions(rows, EOS)
    packed = model(rows, mask=mask, positions=positions)
    for index, row in enumerate(rows.tolist()):
        alone = [model(torch.tensor([part]))[0] for part in documents(row)]
        assert_close(packed[index], torch.cat(alone))
    if not config.is_classic:  # rotation knows only distances
        assert_close(model(rows, mask=mask), packed)


def test_the_block_mask_allows_what_the_bool_mask_allows() -> None:
    rows = torch.randint(1, 90, (2, 300), generator=torch.Generator().manual_seed(0))
    rows[0, [0, 128, 200]] = EOS
    block_mask, dense = document_block_mask(rows, EOS), document_mask(rows, EOS)
    assert torch.equal(create_mask(block_mask.mask_mod, 2, 1, 300, 300, device="cpu"), dense)
    skipped = block_mask.to_dense()[0, 0] == 0  # (3, 3) blocks of 128 positions
    assert skipped.tolist() == [[False, True, True], [True, False, True], [True, False, False]]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.filterwarnings("default")  # compilation on CUDA warns about TF32 and its own internals
@pytest.mark.parametrize("kv_heads", [8, 2])
def test_sparse_blocks_and_the_bool_mask_compute_the_same_on_cuda(kv_heads: int) -> None:
    config = ModelConfig(
        vocab_size=97,
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=2,
        num_attention_heads=8,
        num_key_value_heads=kv_heads,
        head_dim=64,
        max_position_embeddings=512,
        initializer_range=0.1,
    )
    generator = torch.Generator().manual_seed(0)
    model = GPT(config, generator).cuda()
    rows = torch.randint(1, 97, (3, 512), generator=generator)
    rows[0, [0, 128, 200, 511]] = EOS
    rows[1, 300] = EOS
    direction = torch.randn(3, 512, 256, generator=generator).cuda()
    rows = rows.cuda()

    def outputs(hidden: Tensor) -> tuple[Tensor, ...]:
        gradients = torch.autograd.grad((hidden * direction).sum(), list(model.parameters()))
        return hidden, *gradients

    expected = outputs(model(rows, mask=document_mask(rows, EOS)))
    found = outputs(torch.compile(model)(rows, mask=document_block_mask(rows, EOS)))
    for ours, theirs in zip(found, expected, strict=True):
        scale = theirs.abs().max().item()
        assert_close(ours, theirs, rtol=0, atol=1e-4 * scale)  # two orders of summation in float32
