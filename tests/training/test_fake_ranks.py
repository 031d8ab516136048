"""One rank of 64 to 1,024, as it would be: torch's fake process group, tensors that have a shape alone.

What is divided is so on the device "meta", where no memory is; a step needs FakeTensorMode, under which no
mesh can be made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed.tensor import DTensor
from torch.testing._internal.distributed.fake_pg import FakeStore

import runs
from tsuzuri.core.errors import RecipeError
from tsuzuri.lab.devices import DEVICES
from tsuzuri.lab.memory import predict
from tsuzuri.lab.step import Step
from tsuzuri.model.config import ModelConfig
from tsuzuri.model.ladder import model_config
from tsuzuri.training.config import TrainConfig
from tsuzuri.training.layout import Layout, layout
from tsuzuri.training.memory import memory_recipe
from tsuzuri.training.objective import Objective
from tsuzuri.training.parallelize import new_model, parallelize
from tsuzuri.training.update import Update

VOCABULARY = 50_304


@dataclass(frozen=True)
class Case:
    """A row of the ladder on so many ranks."""

    size: str
    world: int
    shard: int
    tensor: int = 1
    optimizer: str = "adamw"

    def model(self, **overrides: int) -> ModelConfig:
        """The architecture."""
        return model_config(self.size, vocab_size=VOCABULARY, overrides=overrides)

    def config(self, length: int = 64) -> TrainConfig:
        """A recipe of one row a data rank."""
        return runs.train_config(
            f"batch_rows={self.world // self.tensor}",
            "micro_batch_rows=1",
            f"sequence_length={length}",
            f"optimizer.kind={self.optimizer}",
            f"parallel.shard={self.shard}",
            f"parallel.tensor={self.tensor}",
        )


CASES = [
    Case("gpt3-1.3b", 64, 64, optimizer="muon"),
    Case("gpt3-6.7b", 64, 8, 8),
    Case("gpt3-13b", 256, 256),
    Case("gpt3-13b", 256, 64, 4, optimizer="muon"),
    Case("gpt3-175b", 1024, 128, 8),
    pytest.param(Case("gpt3-175b", 1024, 1024), marks=pytest.mark.slow),
]


@contextmanager
def one_of(case: Case, model: ModelConfig, rank: int = 0) -> Iterator[Layout]:
    """A rank, in a world where every collective succeeds and nothing is computed.

    Of rows that cannot be divided equally the first rank holds most.
    """
    dist.init_process_group("fake", store=FakeStore(), rank=rank, world_size=case.world)
    try:
        yield layout(case.config(), model, "cpu", rank=rank, world=case.world)
    finally:
        dist.destroy_process_group()


def divided(case: Case, model: ModelConfig, place: Layout) -> Objective:
    """What a rank holds of a model, on the device "meta"."""
    objective = Objective(new_model(model, place, "cpu", 1), torch.bfloat16)
    parallelize(objective, place, case.config().parallel, compiled=False)
    return objective


def held_bytes(state: Mapping[str, Tensor]) -> dict[str, int]:
    """Bytes of weights and of states that this rank holds."""
    found = {"weights": 0, "optimizer states": 0}
    for name, tensor in state.items():
        local = tensor.to_local() if isinstance(tensor, DTensor) else tensor
        kind = "weights" if name.startswith("model.") else "optimizer states"
        found[kind] += local.numel() * local.element_size()
    return found


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_rank_holds_what_the_plan_predicts(case: Case) -> None:
    model = case.model()
    with one_of(case, model) as place:
        weights = divided(case, model, place).model
        held = held_bytes(Update(weights, case.config(), torch.bfloat16).state())
    device = DEVICES["h100"]
    step = Step(
        model,
        memory_recipe(case.optimizer),
        device,
        "bfloat16",
        batch_tokens=case.world * 64,
        length=64,
        servers=case.world // device.count,
        sharded=True,
        tensor=case.tensor,
    )
    predicted = predict(step).parts
    for kind, found in held.items():
        assert found == pytest.approx(predicted[kind], rel=0.02), kind


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_step_is_computed_in_parts(case: Case) -> None:
    model = case.model(num_hidden_layers=2)
    with one_of(case, model) as place:
        objective = divided(case, model, place)
        parameters = dict(objective.model.named_parameters())
        assert sum(parameter.numel() for parameter in parameters.values()) == model.num_parameters
        with FakeTensorMode(allow_non_fake_inputs=True):
            objective.to_empty(device="cpu")
            tokens = torch.zeros(1, 64, dtype=torch.int64)
            loss = objective(tokens, tokens, None, None)
            loss.backward()
        assert loss.shape == ()
        for name, parameter in objective.model.named_parameters():
            assert isinstance(parameter.grad, DTensor), name
            assert parameter.grad.shape == parameters[name].shape, name
            assert parameter.grad.placements == parameters[name].placements, name


def test_the_last_of_a_thousand_ranks_knows_its_place() -> None:
    case = Case("gpt3-175b", 1024, 16, 8)
    with one_of(case, case.model(), rank=1023) as place:
        assert (place.replicate, place.shard, place.tensor) == (8, 16, 8)
        assert (place.data_rank, place.data_ranks) == (127, 128)
        assert place.submesh("tensor").get_local_rank() == 7


@pytest.mark.parametrize(
    ("case", "said"),
    [
        (Case("gpt3-13b", 64, 48), "replicate any × shard 48 × tensor 1 does not make 64 processes"),
        (Case("gpt3-1.3b", 64, 1, 64), "num_attention_heads of 16 cannot be shared equally by .*tensor=64"),
        (Case("gpt3-13b", 96, 32, 3), "num_attention_heads of 40 cannot be shared equally"),
    ],
    ids=str,
)
def test_a_mesh_that_does_not_divide_is_refused(case: Case, said: str) -> None:
    with pytest.raises(RecipeError, match=said), one_of(case, case.model()):
        pass
