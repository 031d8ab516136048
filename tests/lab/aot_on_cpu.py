"""The step that is compiled for TPUs, on four pretended cores of a CPU, and the loop's own: both as JSON.

Run by `test_aot` in a process of its own: jax takes the number of cores from the environment, once.
"""

from __future__ import annotations

import json
import re
import sys

import jax
import jax.numpy as jnp
import numpy as np
import torch
from jax.sharding import Mesh

from tsuzuri.lab.aot.step import CORES, LAYERS, Program
from tsuzuri.lab.config import AotConfig
from tsuzuri.model.gpt import GPT
from tsuzuri.model.loss import IGNORE
from tsuzuri.training.config import TrainConfig
from tsuzuri.training.devices import choose_device
from tsuzuri.training.step import Trainer


def main(config: AotConfig) -> None:
    """Two steps of both on the same rows, of which some are padded and hold several documents."""
    cores = jax.devices()
    batch_rows = config.micro_batches * config.rows * len(cores)
    generator = torch.Generator().manual_seed(0)
    model = GPT(config.model, generator)
    weights = {name: parameter.detach().numpy().copy() for name, parameter in model.named_parameters()}
    rows = torch.randint(config.model.vocab_size, (batch_rows, config.length + 1), generator=generator)
    rows[:, -5:], rows[::3, 20] = IGNORE, 0
    train = TrainConfig.model_validate(
        {
            "batch_rows": batch_rows,
            "micro_batch_rows": config.rows,
            "sequence_length": config.length,
            "optimizer": {"kind": config.optimizer},
        }
    )
    trainer = Trainer(model, train, choose_device("cpu"), dtype=torch.float32, compiled=False)
    program = Program(config, Mesh(np.array(cores), (CORES,)))
    (shapes, states), tokens = program.arguments()
    state = (
        {name: placed(stacked(weights, name), shape) for name, shape in shapes.items()},
        jax.tree.map(lambda shape: placed(np.zeros(shape.shape, shape.dtype), shape), states),
    )
    step, found = program.jitted(), []
    for _ in range(2):
        own = trainer.step(train.schedule.warmup_steps, rows, eos_id=0)
        state, loss, norm = step(state, jnp.asarray(rows.numpy().astype(np.int32)).reshape(tokens.shape))
        found.append([[float(loss), float(norm)], [own["loss"].item(), own["grad_norm"].item()]])
    print(json.dumps(found))


def stacked(weights: dict[str, np.ndarray], name: str) -> np.ndarray:
    """A weight by its name in a model of one block: those of all blocks, one upon another."""
    if not name.startswith(LAYERS):
        return weights[name]
    own = name.removeprefix(LAYERS)
    return np.stack([value for key, value in weights.items() if re.fullmatch(rf"layers\.\d+\.{own}", key)])


def placed(value: np.ndarray, shape: jax.ShapeDtypeStruct) -> jax.Array:
    """An array with as many rows as the shape has, zeros for those that are missing, divided as it is."""
    whole = np.zeros(shape.shape, shape.dtype)
    whole[tuple(slice(length) for length in value.shape)] = value
    return jax.device_put(whole, shape.sharding)


if __name__ == "__main__":
    main(AotConfig.model_validate_json(sys.argv[1]))
