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
from tsuzuri.release.cost import Rate
from tsuzuri.release.sums import check_sums

FILES = {
    "DATASHEET.md",
    "LICENSE",
    "config.json",
    "eval.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
}
UNHASHED = {"README.md", "SHA256SUMS", "special_thanks.txt", "timings.jsonl", "manifest.json", ".lock"}


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
    assert {path.name for path in release.iterdir()} == FILES | UNHASHED
    verify_files(release)
    assert read(release, "special_thanks.txt").endswith("山田 花子\nA. Smith\n")
    assert "SPDX-License-Identifier: CC-BY-SA-4.0" in read(release, "LICENSE")
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


def test_what_the_clock_read_is_told_and_changes_no_hash(build: Path, release: Path, tmp_path: Path) -> None:
    readings = [json.loads(line) for line in read(release, "timings.jsonl").splitlines()]
    training = next(line for line in readings if line["stage"] == "training")
    assert training["elapsed_s"] == pytest.approx(600 * 16_384 / 1684)
    assert "timings.jsonl" not in read(release, "SHA256SUMS")
    assert "| 歩みにかかった時間 Time in training steps | 1.62 h |" in read(release, "README.md")
    other = copied(build, tmp_path)
    append_json_line(
        other / "run" / "timings.jsonl",
        {"stage": "train", "step": 1, "elapsed_s": 3600.0, "tokens_per_s": 9.0},
    )
    slower = releases.release(other)
    assert "2.62 h" in read(slower, "README.md")
    assert box_sha256(slower) == box_sha256(release)


def test_energy_and_cost_are_told_where_they_are_known(build: Path, release: Path) -> None:
    assert read(release, "README.md").count("不明 not known") == 2
    known = Rate("epyc", power_w=200.0, usd_per_hour=0.5, source="a catalogue, 2026-10")
    card = read(
        releases.release(build, "rated", rates=lambda name: known if "7B13" in name else None), "README.md"
    )
    assert "| 電力量 Energy | 0.32 kWh (the boards of epyc) |" in card
    assert "| 費用 Cost | $0.81 (a catalogue, 2026-10) |" in card
    own = {"power_w": 1000.0, "usd_per_hour": 2.0, "jpy_per_kwh": 31.0}
    card = read(releases.release(build, "measured", rates=lambda _: known, **own), "README.md")
    assert "1.62 kWh (the publisher)" in card
    assert "$3.24 (the publisher) + 電気代 electricity ¥50 (¥31/kWh)" in card


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
    assert values["license"] == "cc-by-sa-4.0"
    assert values["library_name"] == "transformers"
    assert values["datasets"] == ["aozora", "kyoto-wikipedia"]
    assert card.startswith("\n# 試作 30M 1.0.0\n")
    parts = ("53,870,114", "CC-BY-SA-3.0", "9,830,400", "muon", "AMD EPYC 7B13", "float32", "4.672", "0.914")
    parts += (r"4.672 \[4.601, 4.752\]", "looped endings 0.000 [0.000, 0.390] of 6 samples")
    parts += ("It was chosen from the licenses", "Test sets were not looked for", "wsd, warmup\\_steps 20")
    for part in (
        *parts,
        builds.STORIES[600][0].split("\n")[0],
        "**Personal data was not looked for in aozora, kyoto-wikipedia**",
    ):
        assert part in card
    assert builds.STORIES[450][0] not in card  # one sample a prompt
    assert box_sha256(release.parent / "documents") in card


def test_the_card_says_which_engines_do_not_compute_the_activation(release: Path, tmp_path: Path) -> None:
    write_model = partial(releases.write_model, hidden_act="relu2")
    builds.make_all(tmp_path, write_tokenizer=releases.write_tokenizer, write_model=write_model)
    assert "`qwen3` with `relu2`, only Transformers" in read(releases.release(tmp_path), "README.md")
    assert "only Transformers" not in read(release, "README.md")


def test_the_hub_can_read_the_card(release: Path) -> None:
    hub = pytest.importorskip("huggingface_hub")
    data = hub.ModelCard.load(release / "README.md").data
    assert (data.license, data.pipeline_tag) == ("cc-by-sa-4.0", "text-generation")


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
    folder = releases.release(build, "apache", license="Apache-2.0")
    assert "Apache License" in read(folder, "LICENSE")
    assert "It is the publisher's choice" in read(folder, "README.md")
    folder = releases.release(build, "rare", license="EUPL-1.2")
    front = yaml.safe_load(read(folder, "README.md").split("---\n")[1])
    assert (front["license"], front["license_name"]) == ("other", "EUPL-1.2")
    assert read(folder, "LICENSE").startswith("SPDX-License-Identifier: EUPL-1.2\n")


@pytest.mark.parametrize(
    ("license_", "said", "chosen"),
    [
        ("CC-BY-ND-2.1-JP", "forbids edited copies", "Apache-2.0"),
        ("CC-BY-NC-4.0", "forbids commercial use", "CC-BY-NC-4.0"),
        ("GPL-2.0-or-later", "carry the same license and come with its source", "Apache-2.0"),
        ("GFDL-1.3-only", "the same license with its notices and invariant sections", "Apache-2.0"),
    ],
)
def test_a_source_that_stands_against_the_release_stops_it_and_an_override_is_recorded(
    build: Path, tmp_path: Path, license_: str, said: str, chosen: str
) -> None:
    source = {"documents": 7, "characters": 9, "heldout_documents": 0, "licenses": {license_: 7}}
    out = copied(build, tmp_path, sources={"manuals": source})
    with pytest.raises(InputError, match=rf"manuals: {license_} \(7 documents\) .*{said}") as caught:
        releases.release(out)
    assert "release.allow_restricted=[manuals]" in caught.value.hint
    assert not (out / "release").exists()
    folder = releases.release(out, allow_restricted=["manuals"])
    assert f"- manuals: {license_} (7 documents) " in read(folder, "README.md")
    assert said in read(folder, "README.md")
    assert read_manifest(folder).counts["restricted_sources"] == ["manuals"]
    assert read_manifest(folder).counts["license"] == chosen


def test_names_stand_in_one_file_alone_and_change_no_hash(build: Path, release: Path) -> None:
    named = {path.name for path in release.iterdir() if "山田".encode() in path.read_bytes()}
    assert named == {"special_thanks.txt"}
    other = releases.release(build, "others", supporters=["鈴木"])
    assert box_sha256(other) == box_sha256(release)
    assert releases.release(build, "others", supporters=["佐藤"]) == other  # the same release, other thanks
    assert read(other, "special_thanks.txt").endswith("\n佐藤\n")
    assert check_sums(other) == len(FILES) + 2
    releases.release(build, "others", supporters=[])
    assert read(other, "special_thanks.txt").endswith("\n佐藤\n")


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
