"""One engine in a process of its own, for `bench/engine.py`: it generates when a line on its input says so.

    python bench/_engines.py ENGINE FOLDER WORK

FOLDER holds a Llama with random weights; what an engine has to make of it goes into WORK. Each line of input
is JSON {batch, prompt, new}; each answer JSON {elapsed_s, peak_bytes}. All generate greedily, and always as
many tokens as they are asked for.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Generate = Callable[[list[list[int]], int], int]
"""Prompts and the number of new tokens each → tokens written in all."""


def ours(folder: Path, work: Path, precision: str) -> Generate:
    """Our engine, through its interface."""
    import torch

    from tsuzuri.generation.config import SamplingConfig
    from tsuzuri.generation.rules import TokenRules
    from tsuzuri.model.hf import load_model, read_config
    from tsuzuri.serving.engines.base import TokenRequest
    from tsuzuri.serving.engines.ours.config import EngineConfig
    from tsuzuri.serving.engines.ours.opening import engine_of

    rules = TokenRules(start=0, opening=(), ends=(0,), unwritable=())
    config = EngineConfig.model_validate({"device": "cpu", "precision": precision})
    cpu = torch.device("cpu")
    engine = engine_of(
        lambda: load_model(folder, device=cpu, dtype=torch.float32), read_config(folder), rules, config
    )

    def generate(prompts: list[list[int]], new: int) -> int:
        sampling = SamplingConfig(max_new_tokens=new, min_new_tokens=new, temperature=0, repetition_penalty=1)
        running = [engine.submit(TokenRequest(tuple(prompt), sampling)) for prompt in prompts]
        written = 0
        for generation in running:  # looked at a hundred times a second; others tell only at the end
            for event in generation:
                written += len(event.tokens)
                time.sleep(0.0 if event.finish else 0.01)
        return written

    return generate


def transformers(folder: Path, work: Path, precision: str) -> Generate:
    """Transformers' generate; `static` is float32 with its static cache."""
    import torch
    from transformers import AutoModelForCausalLM

    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
    more: dict[str, Any] = {"cache_implementation": "static"} if precision == "static" else {}

    @torch.inference_mode()
    def generate(prompts: list[list[int]], new: int) -> int:
        ids = torch.tensor(prompts)
        out = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=new,
            min_new_tokens=new,
            pad_token_id=0,
            disable_compile=True,
            **more,
        )
        return int(out.numel() - ids.numel())

    return generate


def ctranslate2(folder: Path, work: Path, precision: str) -> Generate:
    """CTranslate2's Generator."""
    import ctranslate2
    from ctranslate2.converters import TransformersConverter

    converted = work / "ctranslate2"
    if not converted.exists():
        TransformersConverter(str(folder)).convert(str(converted))
    model = ctranslate2.Generator(str(converted), compute_type=precision, intra_threads=2, inter_threads=1)

    def generate(prompts: list[list[int]], new: int) -> int:
        texts = [[f"t{token}" for token in prompt] for prompt in prompts]
        found = model.generate_batch(
            texts, max_length=new, min_length=new, include_prompt_in_result=False, max_batch_size=len(texts)
        )
        return sum(len(each.sequences_ids[0]) for each in found)

    return generate


def onnxruntime(folder: Path, work: Path, precision: str) -> Generate:
    """ONNX Runtime GenAI."""
    import numpy as np
    import onnxruntime_genai
    from onnxruntime_genai.models.builder import create_model

    built = work / f"onnxruntime-{precision}"
    if not built.exists():
        options = {"int4_accuracy_level": "4"} if precision == "int4" else {}
        create_model("", str(folder), str(built), precision, "cpu", str(work / "cache"), **options)
    model = onnxruntime_genai.Model(str(built))

    def generate(prompts: list[list[int]], new: int) -> int:
        parameters = onnxruntime_genai.GeneratorParams(model)
        length = len(prompts[0]) + new
        parameters.set_search_options(
            batch_size=len(prompts), max_length=length, min_length=length, do_sample=False
        )
        generator = onnxruntime_genai.Generator(model, parameters)
        generator.append_tokens(np.array(prompts, np.int32))
        for _ in range(new):
            generator.generate_next_token()
        return len(prompts) * new

    return generate


def openvino(folder: Path, work: Path, precision: str) -> Generate:
    """OpenVINO GenAI, by its continuous batching; what optimum-intel makes of the model."""
    import numpy as np
    import openvino as runtime
    import openvino_genai

    built = work / f"openvino-{precision}"
    if not built.exists():
        from optimum.intel import OVModelForCausalLM

        model = OVModelForCausalLM.from_pretrained(
            str(folder), export=True, compile=False, load_in_8bit=precision == "int8"
        )
        model.save_pretrained(str(built))
    scheduler = openvino_genai.SchedulerConfig()
    scheduler.cache_size = 2
    exact = {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32"}
    pipeline = openvino_genai.ContinuousBatchingPipeline(
        str(built), scheduler, "CPU", exact if precision == "float32" else {}
    )

    def generate(prompts: list[list[int]], new: int) -> int:
        config = openvino_genai.GenerationConfig(
            max_new_tokens=new, min_new_tokens=new, ignore_eos=True, do_sample=False
        )
        given = [runtime.Tensor(np.array([prompt], np.int64)) for prompt in prompts]
        found = pipeline.generate(given, [config] * len(given))
        return sum(len(each.m_generation_ids[0]) for each in found)

    return generate


ENGINES = {
    "ours": ours,
    "transformers": transformers,
    "ctranslate2": ctranslate2,
    "onnxruntime": onnxruntime,
    "openvino": openvino,
}


def prompts_of(batch: int, length: int) -> list[list[int]]:
    """Prompts that begin differently, so that none is found in a cache."""
    return [
        [1 + (7919 * row + 31 * place * (row + 1)) % 31_000 for place in range(length)]
        for row in range(batch)
    ]


def main() -> None:
    """Answer every line."""
    name, folder, work = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    engine, _, precision = name.partition(" ")
    generate = ENGINES[engine](folder, work, precision)
    print("ready", flush=True)
    for rounds, line in enumerate(sys.stdin):
        asked = json.loads(line)
        prompts = [
            [(token + rounds) % 31_000 + 1 for token in row]
            for row in prompts_of(asked["batch"], asked["prompt"])
        ]
        started = time.perf_counter()
        written = generate(prompts, asked["new"])
        elapsed_s = time.perf_counter() - started
        assert written == asked["batch"] * asked["new"], written
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print("\n" + json.dumps({"elapsed_s": elapsed_s, "peak_bytes": peak}), flush=True)


if __name__ == "__main__":
    main()
