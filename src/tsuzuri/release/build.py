"""The release of a run: a Hugging Face folder that is complete, checked and says where it came from."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from tsuzuri.core.boxes import SCORES, SETTINGS_FILE, TOKENIZER_FILE
from tsuzuri.core.errors import IntegrityError
from tsuzuri.core.files import atomic_file, sha256_file, write_json, write_text
from tsuzuri.core.manifest import Manifest, box_sha256, make_box, read_manifest, record_timing, verify_files
from tsuzuri.corpus.datasheet import datasheet
from tsuzuri.generation.defaults import generation_values
from tsuzuri.model.hf import load_model, save_model
from tsuzuri.release.card import model_card
from tsuzuri.release.config import ReleaseConfig
from tsuzuri.release.cost import Rates, cost, no_rates
from tsuzuri.release.facts import Facts
from tsuzuri.release.license import license_text
from tsuzuri.release.sums import write_sums
from tsuzuri.release.terms import check_terms
from tsuzuri.release.thanks import THANKS, special_thanks, thanked, write_thanks
from tsuzuri.report.boxes import Build, read_build


def build_release(
    *,
    run: Path,
    tokenizer: Path,
    tokens: Path,
    documents: Path,
    evaluation: Path,
    config: ReleaseConfig,
    box: Path,
    rates: Rates = no_rates,
) -> Manifest:
    """The manifest of the release of `run` in the folder `box`; a complete one is left as it is, but for the
    supporters that `config` names. `rates` tells what devices cost.

    Raises InputError when a source's license forbids it or a box is not finished, IntegrityError when a box
    has changed or the tokenizer is not the one that the run was trained with.
    """
    inputs = {
        "run": run,
        "tokenizer": tokenizer,
        "tokens": tokens,
        "documents": documents,
        "evaluation": evaluation,
    }
    names = special_thanks(thanked(config.supporters))
    for stage, folder in inputs.items():
        read_manifest(folder, stage)  # raises where a box is not finished, which a report may leave out
    build = read_build(inputs)
    check_terms(build.counts("documents").get("sources", {}), config.allow_restricted, config.license)
    _check_tokenizer(build, tokenizer)
    manifest = make_box(
        box,
        kind="release",
        config={key: value for key, value in config.as_mapping().items() if key != "supporters"},
        inputs=inputs,
        work=lambda: _write(inputs, build, config, Path(box), names, rates),
    )
    if config.supporters:
        write_thanks(Path(box), names)
    return manifest


def _write(
    inputs: Mapping[str, Path], build: Build, config: ReleaseConfig, box: Path, names: str, rates: Rates
) -> dict[str, Any]:
    for stage in ("tokenizer", "evaluation"):
        verify_files(inputs[stage])
    verify_files(inputs["run"], [name for name in build.manifests["run"].files if name.startswith("model/")])
    model = load_model(inputs["run"] / "model")
    eos_id = json.loads((inputs["run"] / "model" / "config.json").read_text(encoding="utf-8"))["eos_token_id"]
    save_model(model, box, eos_id=eos_id, dtype=getattr(torch, config.dtype))
    for name in (TOKENIZER_FILE, SETTINGS_FILE):
        _copy(inputs["tokenizer"] / name, box / name)
    _copy(inputs["evaluation"] / SCORES, box / SCORES)
    ids = {"bos_token_id": eos_id, "eos_token_id": eos_id, "pad_token_id": eos_id}
    write_json(box / "generation_config.json", ids | generation_values(config.sampling))
    hashes = {stage: box_sha256(path) for stage, path in inputs.items()}
    facts = Facts(config, model.config, build, hashes, cost(build, config, rates))
    texts = {
        "README.md": model_card(facts),
        "DATASHEET.md": datasheet(config.name, build.config("documents"), build.counts("documents")),
        THANKS: names,
        "LICENSE": license_text(facts.license),
    }
    for name, text in texts.items():
        write_text(box / name, text)
    write_sums(box)
    if build.speed_lines:
        record_timing(box, "training", elapsed_s=build.elapsed_s, tokens_per_s=build.tokens_per_s)
    counts = {"parameters": model.config.num_parameters, "license": facts.license}
    milestone = {"milestone": build.counts("run")["steps"]} if facts.milestone_of else {}
    return {**counts, "restricted_sources": list(facts.overridden), **milestone}


def _check_tokenizer(build: Build, tokenizer: Path) -> None:
    packed_with = build.counts("tokens").get("tokenizer_sha256")
    if packed_with != sha256_file(tokenizer / TOKENIZER_FILE):
        raise IntegrityError(
            f"{tokenizer} is not the tokenizer that the tokens were packed with: its SHA-256 differs",
            hint="give the tokenizer of the same build",
        )


def _copy(source: Path, target: Path) -> None:
    with open(source, "rb") as reading, atomic_file(target) as writing:
        shutil.copyfileobj(reading, writing)
