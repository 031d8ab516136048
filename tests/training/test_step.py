from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import runs
from tsuzuri.model.config import CHUNK_LOGITS, ModelConfig
from tsuzuri.model.gpt import GPT
from tsuzuri.model.loss import IGNORE
from tsuzuri.training.devices import DEVICES
from tsuzuri.training.step import Trainer

CLASSIC = ModelConfig.model_validate(
    {**runs.MODEL.as_mapping(), "model_type": "gpt2", "num_key_value_heads": 2}
)
EOS = 0


def trainer(*overrides: str, model: ModelConfig = runs.MODEL) -> Trainer:
    """A trainer of a tiny model, always with the same first weights."""
    config = runs.train_config(*overrides)
    weights = GPT(model, torch.Generator().manual_seed(3))
    return Trainer(weights, config, DEVICES["cpu"], dtype=torch.float32, compiled=False)


def rows(count: int, length: int = 17, seed: int = 5) -> Tensor:
    """(count, length) tokens."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, runs.VOCABULARY, (count, length), generator=generator)


def steps(batch: Tensor, micro_batch_rows: int) -> tuple[list[float], GPT]:
    """The losses of five steps on a batch, and the model after them."""
    made = trainer(f"batch_rows={len(batch)}", f"micro_batch_rows={micro_batch_rows}")
    return [made.step(step, batch, EOS)["loss"].item() for step in range(5)], made.model


@pytest.mark.parametrize("micro_batch_rows", [4, 1])
def test_accumulation_changes_nothing(micro_batch_rows: int) -> None:
    batch = rows(8)
    batch[2, 9:] = batch[5, 3:] = IGNORE  # micro-batches of unequal numbers of targets
    losses, model = steps(batch, 8)
    found, other = steps(batch, micro_batch_rows)
    assert found == pytest.approx(losses, rel=1e-6)
    for name, parameter in model.named_parameters():
        assert torch.allclose(parameter, other.get_parameter(name), atol=2e-6), name


def test_padding_counts_for_nothing() -> None:
    batch = rows(4)
    batch[:, 11:] = IGNORE
    assert steps(batch, 4)[0] == pytest.approx(steps(batch[:, :11], 4)[0], rel=1e-6)


def test_the_loss_is_that_of_torch_on_full_logits() -> None:
    made, batch = trainer("document_mask=false"), rows(4)
    logits = made.model(batch[:, :-1]) @ made.model.head.T
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())
    expected.backward()
    norm = torch.stack([p.grad.norm() for p in made.model.parameters() if p.grad is not None]).norm()
    made.model.zero_grad()
    metrics = made.step(0, batch, EOS)
    assert metrics["loss"].item() == pytest.approx(expected.item(), rel=1e-6)
    assert metrics["grad_norm"].item() == pytest.approx(norm.item(), rel=1e-5)


def test_the_gradient_is_clipped() -> None:
    batch = rows(4)
    clipped, free = (trainer(f"gradient_clip={clip}", "optimizer.kind=adamw") for clip in (1e-9, 1e9))
    before = free.model.head.detach().clone()
    for made in (clipped, free):
        made.step(5, batch, EOS)
    moved = [(made.model.head.detach() - before).abs().max().item() for made in (clipped, free)]
    assert moved[0] < 0.2 * moved[1]  # smaller than AdamW's epsilon, so that its size is seen in the step


@pytest.mark.parametrize("shape", [runs.MODEL, CLASSIC])
def test_packed_documents_are_read_as_if_alone(shape: ModelConfig) -> None:
    made = trainer(model=shape)
    documents = [[EOS, 7, 8, 9, EOS], [EOS, 5, EOS], [EOS, 9, 8, 7, 6, 5, 4, EOS]]
    alone = [torch.tensor(document)[None] for document in documents]
    apart = sum(made.loss(row[:, :-1], row[:, 1:], EOS).item() for row in alone)
    packed = torch.tensor([EOS, *(token for document in documents for token in document[1:])])[None]
    assert made.loss(packed[:, :-1], packed[:, 1:], EOS).item() == pytest.approx(apart, rel=1e-6)
    unmasked = trainer("document_mask=false", model=shape)
    assert unmasked.loss(packed[:, :-1], packed[:, 1:], EOS).item() != pytest.approx(apart, rel=1e-4)


class LargestTensor(TorchDispatchMode):
    """The number of elements of the largest tensor that any operation returns."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), keywords: Any = None) -> Any:
        result = function(*arguments, **(keywords or {}))
        sizes = (leaf.numel() for leaf in tree_leaves(result) if isinstance(leaf, Tensor))
        self.elements = max(self.elements, *sizes, 0)
        return result


def test_no_tensor_holds_the_logits_of_all_positions() -> None:
    vocabulary, batch = 70_000, rows(16, 33)
    positions = 16 * 32
    assert positions * vocabulary > 2 * CHUNK_LOGITS["cpu"]
    shape = runs.MODEL.model_copy(update={"vocab_size": vocabulary})
    made = trainer("batch_rows=16", "micro_batch_rows=16", "sequence_length=32", model=shape)
    with LargestTensor() as largest:
        made.step(0, batch, EOS)
    assert vocabulary * runs.MODEL.hidden_size <= largest.elements <= CHUNK_LOGITS["cpu"]
