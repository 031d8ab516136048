from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError
from safetensors import safe_open

import builds
import releases
import tsuzuri
from tsuzuri.core.errors import InputError, IntegrityError, ResumeError
from tsuzuri.core.files import append_json_line
from tsuzuri.core.lineage import describe
from tsuzuri.core.manifest import box_sha256, read_manifest, verify_files
from tsuzuri.generation.config import SamplingConfig

FILES = {
    "DATASHEET.md",
    "LICENSE",
    "README.md",
    "SHA256SUMS",
    "config.json",
    "eval.json",
    "generation_config.json",
    "model.safetensors",
    "special_thanks.txt",
    "tokenizer.json",
    "tokenizer_config.json",
}
RESTRICTED = {
    "news": {"documents": 1, "characters": 9, "heldout_documents": 0, "licenses": {"CC-BY-ND-2.1-JP": 1}}
}


@pytest.fixture(scope="module")
def release(build: Path) -> Path:
    return releases.release(build)


def read(release: Path, name: str) -> str:
    return (release / name).read_text(encoding="utf-8")


def copied(build: Path, to: Path, **documents: object) -> Path:
    """A build of its own that a test may change."""
    if documents:
        builds.make_documents(to, **documents)
        builds.make_tokenizer(to, releases.write_tokenizer)
        builds.make_tokens(to)
        builds.make_run(to, releases.write_model)
        builds.make_evaluation(to)
    else:
        for stage in ("documents", "tokenizer", "tokens", "run", "evaluation"):
            shutil.copytree(build / stage, to / stage)
    return to


def test_a_release_has_every_file(release: Path) -> None:
    assert set(read_manifest(release, "release").files) == FILES
    verify_files(release)
    assert read(release, "special_thanks.txt").endswith("山田 花子\nA. Smith\n")
    assert "Apache License" in read(release, "LICENSE")
    assert json.loads(read(release, "eval.json")) == builds.scores()


def test_the_project_is_under_the_license_that_releases_ship() -> None:
    root = Path(__file__).parents[2]
    shipped = root / "src" / "tsuzuri" / "release" / "apache-2.0.txt"
    if not (root / "LICENSE").exists():
        pytest.skip("the source tree is absent")
    assert (root / "LICENSE").read_bytes() == shipped.read_bytes()


def test_the_same_build_gives_the_same_bytes(build: Path, release: Path) -> None:
    again = releases.release(build, "again")
    assert box_sha256(again) == box_sha256(release)


def test_a_complete_release_is_left_as_it_is(build: Path, release: Path) -> None:
    before = (release / "model.safetensors").stat().st_mtime_ns
    releases.release(build)
    assert (release / "model.safetensors").stat().st_mtime_ns == before
    with pytest.raises(ResumeError, match=r"version: '1\.0\.0' → '2'"):
        releases.release(build, version="2")


def test_clock_readings_stand_beside_the_checksums(release: Path) -> None:
    readings = [json.loads(line) for line in read(release, "timings.jsonl").splitlines()]
    training = next(line for line in readings if line["stage"] == "training")
    assert training["elapsed_s"] == pytest.approx(600 * 16_384 / 1684)
    assert "5837" not in read(release, "README.md")
    assert "timings.jsonl" not in read(release, "SHA256SUMS")


def test_lineage_leads_from_a_release_to_its_sources(release: Path) -> None:
    text = describe(release)
    assert "source aozora" in text
    assert "**" not in text


def test_weights_are_stored_as_asked(build: Path) -> None:
    small = releases.release(build, "small", dtype="bfloat16")
    with safe_open(small / "model.safetensors", "pt") as file:
        assert {str(file.get_tensor(name).dtype) for name in file.keys()} == {"torch.bfloat16"}  # noqa: SIM118
    assert json.loads(read(small, "config.json"))["dtype"] == "bfloat16"
    assert "before they were rounded to bfloat16" in read(small, "README.md")


def test_all_that_is_asked_of_the_sampling_is_what_readers_do(build: Path) -> None:
    sampling = {"max_new_tokens": 9, "min_new_tokens": 3, "stop": ["。"], "temperature": 0.7}
    folder = releases.release(build, "sampling", sampling=sampling)
    values = json.loads(read(folder, "generation_config.json"))
    assert (values["min_new_tokens"], values["stop_strings"], values["eos_token_id"]) == (3, ["。"], 0)
    model = tsuzuri.load(folder, device="cpu")
    assert model.sampling({}) == SamplingConfig(**sampling)
    for field in ({"seed": 1}, {"samples": 2}):
        with pytest.raises(ValidationError, match="belongs to a request"):
            releases.release(build, "refused", sampling=field)


def test_the_card_is_filled_from_the_manifests(release: Path) -> None:
    _, front, card = read(release, "README.md").split("---\n", 2)
    values = yaml.safe_load(front)
    assert values["language"] == ["ja"]
    assert values["license"] == "apache-2.0"
    assert values["library_name"] == "transformers"
    assert values["datasets"] == ["aozora", "kyoto-wikipedia"]
    assert card.startswith("\n# 試作 30M 1.0.0\n")
    parts = ("53,870,114", "CC-BY-SA-3.0", "9,830,400", "muon", "AMD EPYC 7B13", "float32", "4.672", "0.914")
    for part in (*parts, builds.STORIES[600][0].split("\n")[0], "Personal data was **not** removed"):
        assert part in card
    assert builds.STORIES[450][0] not in card  # one sample a prompt
    assert box_sha256(release.parent / "documents") in card


def test_the_card_holds_nothing_of_files_outside_the_checksums(
    build: Path, release: Path, tmp_path: Path
) -> None:
    other = copied(build, tmp_path)
    append_json_line(other / "run" / "timings.jsonl", {"stage": "machine", "device": "another machine"})
    assert read(releases.release(other), "README.md") == read(release, "README.md")


def test_the_card_says_which_engines_do_not_compute_the_activation(release: Path, tmp_path: Path) -> None:
    write_model = partial(releases.write_model, hidden_act="relu2")
    builds.make_all(tmp_path, write_tokenizer=releases.write_tokenizer, write_model=write_model)
    assert "`qwen3` with `relu2`, only Transformers" in read(releases.release(tmp_path), "README.md")
    assert "only Transformers" not in read(release, "README.md")


def test_the_hub_can_read_the_card(release: Path) -> None:
    hub = pytest.importorskip("huggingface_hub")
    data = hub.ModelCard.load(release / "README.md").data
    assert (data.license, data.pipeline_tag) == ("apache-2.0", "text-generation")


def test_links_of_the_card_lead_to_files(release: Path) -> None:
    links = re.findall(r"\]\(([^)]+)\)", read(release, "README.md") + read(release, "DATASHEET.md"))
    local = {link for link in links if not link.startswith("https://")}
    assert local == {"DATASHEET.md", "LICENSE", "eval.json", "special_thanks.txt", "timings.jsonl"}
    assert all((release / link).exists() for link in local)


@pytest.mark.slow
def test_the_programs_of_the_card_run_as_they_stand(release: Path) -> None:
    programs = re.findall(r"```python\n(.*?)\n```", read(release, "README.md"), re.DOTALL)
    assert len(programs) == 2
    for program in programs:
        ran = subprocess.run(
            [sys.executable, "-c", program], cwd=release, capture_output=True, text=True, check=True
        )
        assert len(ran.stdout) > 10


def test_the_datasheet_holds_the_waterfall_and_what_was_not_done(release: Path) -> None:
    sheet = read(release, "DATASHEET.md")
    assert "| duplicate | 14,620 | -502 | 69,412,830 | -1,609,211 |" in sheet
    assert "| min\\_japanese\\_ratio | 341 |" in sheet
    assert "Personal data was not looked for" in sheet


def test_another_license_is_named_with_its_place(build: Path) -> None:
    folder = releases.release(build, "shared", license="CC-BY-SA-4.0")
    assert read(folder, "LICENSE").startswith("SPDX-License-Identifier: CC-BY-SA-4.0\n")
    assert "license: cc-by-sa-4.0" in read(folder, "README.md")
    folder = releases.release(build, "rare", license="EUPL-1.2")
    front = yaml.safe_load(read(folder, "README.md").split("---\n")[1])
    assert (front["license"], front["license_name"]) == ("other", "EUPL-1.2")


def test_a_forbidden_source_stops_the_release_and_an_override_is_recorded(
    build: Path, tmp_path: Path
) -> None:
    out = copied(build, tmp_path, sources=RESTRICTED)
    with pytest.raises(InputError, match=r"news \(CC-BY-ND-2.1-JP\)"):
        releases.release(out)
    assert not (out / "release").exists()
    folder = releases.release(out, allow_restricted=["news"])
    assert "**Note**: news holds documents that forbid" in read(folder, "README.md")
    assert read_manifest(folder).counts["restricted_sources"] == ["news"]


def test_an_unfinished_box_is_named(build: Path, tmp_path: Path) -> None:
    out = copied(build, tmp_path)
    (out / "evaluation" / "manifest.json").unlink()
    with pytest.raises(InputError, match="evaluation is not a folder of evaluation"):
        releases.release(out)


def test_weights_that_changed_after_training_are_named(build: Path, tmp_path: Path) -> None:
    out = copied(build, tmp_path)
    weights = out / "run" / "model" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(IntegrityError, match=r"model\.safetensors"):
        releases.release(out)


def test_another_tokenizer_is_refused(build: Path, tmp_path: Path) -> None:
    out = copied(build, tmp_path)
    file = out / "tokenizer" / "tokenizer.json"
    file.write_text(file.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    with pytest.raises(IntegrityError, match="not the tokenizer that the tokens were packed with"):
        releases.release(out)
