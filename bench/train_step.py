"""Training tokens a second: our loop against Transformers' Trainer and against a plain nanoGPT-style loop.

    python bench/train_step.py [--sizes 30m 110m] [--rounds 7] [--device cpu|cuda]

Same shape, vocabulary, rows and causal masks on every side, each in the precision that is fastest here, AdamW
on all of them. The sides take turns within one process: in every round each makes a few steps. A ratio is the
lower end of the 95 % interval of the mean ratio over the rounds. The last lines also set 6 · parameters ·
tokens/s against the rate of a matrix product measured in the same rounds, and on a GPU against its peak
(MFU)."""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from _plain_gpt import PlainLoop
from _report import Comparison, emit, is_installed, machine
from tsuzuri.model.config import ModelConfig
from tsuzuri.model.gpt import GPT
from tsuzuri.training.config import OptimizerConfig, ScheduleConfig, TrainConfig
from tsuzuri.training.devices import DEVICES, can_compile, probe_precision
from tsuzuri.training.step import Trainer

T_95 = {6: 2.447, 5: 2.571, 4: 2.776, 3: 3.182, 2: 4.303, 1: 12.71}  # two-sided 95 % of Student's t
GPU_PEAK = {
    "H100": 989e12,
    "H200": 989e12,
    "A100": 312e12,
}  # dense bfloat16 operations a second, the makers' sheets

SHAPES = {
    "30m": {"hidden_size": 512, "num_hidden_layers": 6, "num_attention_heads": 8, "intermediate_size": 1408},
    "110m": {
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 2048,
    },
    "350m": {
        "hidden_size": 1024,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "intermediate_size": 2752,
    },
    "760m": {
        "hidden_size": 1536,
        "num_hidden_layers": 24,
        "num_attention_heads": 24,
        "intermediate_size": 4096,
    },
    "1.3b": {
        "hidden_size": 2048,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "head_dim": 128,
        "intermediate_size": 5504,
    },
}


@dataclass
class Side:
    """One contestant: its rates, round by round, in tokens a second."""

    name: str
    step: Callable[[torch.Tensor], object]
    rates: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """The median rate."""
        return statistics.median(self.rates)


def shape(size: str, vocab_size: int, length: int) -> ModelConfig:
    """The qwen3 shape of a size."""
    values = SHAPES[size]
    return ModelConfig(
        **{"head_dim": 64, **values},
        model_type="qwen3",
        vocab_size=vocab_size,
        num_key_value_heads=values["num_attention_heads"],
        max_position_embeddings=length,
    )


def ours(
    config: ModelConfig, options: argparse.Namespace, dtype: torch.dtype, optimizer: str, masked: bool
) -> Side:
    """Our Trainer."""
    train = TrainConfig(
        steps=10_000,
        batch_rows=options.rows * options.accumulate,
        micro_batch_rows=options.rows,
        sequence_length=options.length,
        document_mask=masked,
        optimizer=OptimizerConfig(kind=optimizer, learning_rate=1e-4),
        schedule=ScheduleConfig(warmup_steps=1),
    )
    device = DEVICES[options.device]
    model = GPT(config, torch.Generator().manual_seed(1)).to(options.device)
    trainer = Trainer(model, train, device, dtype=dtype, compiled=can_compile(device))
    name = f"ours, {optimizer}" + (", document masks" if masked else "")
    return Side(name, lambda rows: trainer.step(100, rows, eos_id=0)["loss"].item())


def plain(config: ModelConfig, options: argparse.Namespace, dtype: torch.dtype) -> Side:
    """The plain loop."""
    compiled = can_compile(DEVICES[options.device])
    loop = PlainLoop(config, device=options.device, dtype=dtype, compiled=compiled, lr=1e-4)
    return Side("plain loop", lambda rows: loop.step(rows, options.rows))


def product_rate(device: str, dtype: torch.dtype) -> float:
    """Floating-point operations a second of a large matrix product (median of seven)."""
    size = 2048 if device == "cpu" else 8192
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    times = []
    for _ in range(7):
        DEVICES[device].synchronize()
        started = time.perf_counter()
        a @ b
        DEVICES[device].synchronize()
        times.append(time.perf_counter() - started)
    return 2 * size**3 / statistics.median(times)


def run_round(sides: list[Side], rows: torch.Tensor, options: argparse.Namespace) -> None:
    """Every side makes its steps once."""
    tokens = rows.shape[0] * (rows.shape[1] - 1)
    for side in sides:
        DEVICES[options.device].synchronize()
        started = time.perf_counter()
        for _ in range(options.steps):
            side.step(rows)
        DEVICES[options.device].synchronize()
        side.rates.append(options.steps * tokens / (time.perf_counter() - started))


def lower_end(ours: list[float], peer: list[float]) -> float:
    """The lower end of the 95 % interval of the mean ratio over rounds."""
    ratios = [a / b for a, b in zip(ours, peer, strict=True)]
    if len(ratios) < 2:
        return ratios[0]
    return (
        statistics.mean(ratios)
        - T_95[min(6, len(ratios) - 1)] * statistics.stdev(ratios) / len(ratios) ** 0.5
    )


def race(
    sides: list[Side], config: ModelConfig, options: argparse.Namespace, dtype: torch.dtype
) -> list[float]:
    """Warm up, run the rounds (Transformers' Trainer drives them, where it takes part); product rates."""
    rows = torch.randint(1, config.vocab_size, (options.rows * options.accumulate, options.length + 1))
    rows[:, :: options.length // 3] = 0
    for side in sides:
        for _ in range(2):
            side.step(rows)
    products: list[float] = []

    def one_round() -> None:
        products.append(product_rate(options.device, dtype))
        run_round(sides, rows, options)

    if options.trainer and is_installed("accelerate"):
        sides.append(trainer_side(config, options, dtype, rows, one_round))
    else:
        for _ in range(options.rounds):
            one_round()
    return products


def trainer_side(
    config: ModelConfig,
    options: argparse.Namespace,
    dtype: torch.dtype,
    rows: torch.Tensor,
    one_round: Callable[[], None],
) -> Side:
    """A Transformers model under Trainer; between its rounds a callback lets the others make theirs."""
    from transformers import AutoModelForCausalLM, Qwen3Config, Trainer, TrainerCallback, TrainingArguments

    from tsuzuri.model.hf_config import hf_config

    side = Side("Transformers Trainer", lambda rows: None)
    model = AutoModelForCausalLM.from_config(
        Qwen3Config(**hf_config(config, eos_id=0)), attn_implementation="sdpa"
    )
    tokens = rows.shape[0] * options.length

    class TakeTurns(TrainerCallback):
        def on_step_end(self, args: object, state: object, control: object, **kwargs: object) -> None:
            step = state.global_step - 2  # two steps of warming up
            if step >= 0 and step % options.steps == 0:
                if step:
                    side.rates.append(options.steps * tokens / (time.perf_counter() - self.started))
                if step < options.rounds * options.steps:
                    one_round()
                self.started = time.perf_counter()

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder,
            max_steps=2 + options.rounds * options.steps,
            per_device_train_batch_size=options.rows,
            gradient_accumulation_steps=options.accumulate,
            learning_rate=1e-4,
            weight_decay=0.1,
            optim="adamw_torch_fused",
            use_cpu=options.device == "cpu",
            bf16=dtype == torch.bfloat16,
            report_to=[],
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            dataloader_pin_memory=False,
        )
        items = [{"input_ids": row[:-1], "labels": row[:-1]} for row in rows] * arguments.max_steps
        Trainer(model, arguments, train_dataset=items, callbacks=[TakeTurns()]).train()
    return side


def bench(size: str, options: argparse.Namespace) -> list[Comparison]:
    """The comparisons at one size."""
    config = shape(size, options.vocab_size, options.length)
    dtype = getattr(torch, probe_precision(DEVICES[options.device]))
    sides = [ours(config, options, dtype, "adamw", masked=False), plain(config, options, dtype)]
    if options.more:
        sides += [
            ours(config, options, dtype, "muon", masked=False),
            ours(config, options, dtype, "adamw", masked=True),
        ]
    products = race(sides, config, options, dtype)
    print(
        f"\n{size}: {config.num_parameters:,} parameters, "
        f"{options.length} × {options.rows} × {options.accumulate}, {dtype}"
    )
    for side in sides:
        operations = 6 * config.num_parameters * side.rate
        print(
            f"  {side.name:32} {side.rate:12,.0f} tokens/s   {operations / 1e9:10,.1f} GFLOP/s (6·N·tokens/s)"
        )
    print(f"  {'matrix product':32} {'':12}            {statistics.median(products) / 1e9:10,.1f} GFLOP/s")
    first = sides[0]
    results = [
        Comparison(
            f"train_step {size} against {side.name}",
            lower_end(first.rates, side.rates),
            first.rate,
            side.rate,
            "tokens/s",
        )
        for side in sides[1:]
        if not side.name.startswith("ours")
    ]
    used = 6 * config.num_parameters * first.rate
    product = statistics.median(products)
    results.append(
        Comparison(
            f"train_step {size} against the matrix product",
            used / product,
            used / 1e9,
            product / 1e9,
            "GFLOP/s",
        )
    )
    if options.device == "cuda":
        attention = (
            6 * config.num_hidden_layers * config.hidden_size * options.length
        )  # causal, forward and backward
        known = [rate for name, rate in GPU_PEAK.items() if name in torch.cuda.get_device_name()]
        peak = known[0] if known else product  # of an unknown card, what it was seen to reach
        mfu = (6 * config.num_matrix_parameters + attention) * first.rate / peak
        results.append(Comparison(f"train_step {size} MFU", mfu, mfu * peak / 1e12, peak / 1e12, "TFLOP/s"))
        torch.cuda.empty_cache()
    return results


def main() -> None:
    """Run the bench."""
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--sizes", nargs="+", default=["30m", "110m"], choices=list(SHAPES))
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--steps", type=int, default=2, help="optimizer steps a side and round")
    options.add_argument("--device", default="cpu", choices=list(DEVICES))
    options.add_argument("--vocab-size", type=int, default=32_000)
    options.add_argument("--length", type=int, default=512)
    options.add_argument("--rows", type=int, default=4, help="rows of a micro-batch")
    options.add_argument("--accumulate", type=int, default=1, help="micro-batches a step")
    options.add_argument(
        "--no-trainer", dest="trainer", action="store_false", help="leave Transformers' Trainer out"
    )
    options.add_argument(
        "--more", action="store_true", help="also Muon and document masks, in the table alone"
    )
    chosen = options.parse_args()
    print(machine(("torch", "transformers", "accelerate", "tsuzuri")))
    if chosen.device == "cuda":
        print(torch.cuda.get_device_name())
    emit([comparison for size in chosen.sizes for comparison in bench(size, chosen)])


if __name__ == "__main__":
    main()
