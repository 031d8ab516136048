from __future__ import annotations

import json
from pathlib import Path

import pytest

import builds
from tsuzuri.build import remove_outdated
from tsuzuri.core.errors import ResumeError
from tsuzuri.report.boxes import boxes_of


def test_what_was_made_of_an_amended_run_is_made_again(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    builds.make_all(tmp_path)
    boxes = boxes_of(tmp_path)
    path = boxes["run"] / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**manifest, "code_version": "another"}), encoding="utf-8")
    remove_outdated(boxes)
    with pytest.raises(ResumeError, match="input model has changed"):  # another run, not one that went on
        builds.make_evaluation(tmp_path)
    manifest["counts"]["amendments"] = [{"step": 600, "set": ["train.steps=700"]}]
    path.write_text(json.dumps(manifest), encoding="utf-8")
    remove_outdated(boxes)
    assert "evaluation was made of the run before it went on: removed" in capfd.readouterr().err
    assert not boxes["evaluation"].exists()
    builds.make_evaluation(tmp_path)
    remove_outdated(boxes)
    assert boxes["evaluation"].exists()
