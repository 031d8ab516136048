"""What `tsuzuri generate`, `score` and `embed` print and write."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tsuzuri
from tsuzuri.core.errors import InputError, RecipeError
from tsuzuri.generation.commands import SEPARATOR, embed_lines, generate_text, score_lines


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    path = tmp_path / "lines.txt"
    path.write_text("\ufeffむかし、むかし、\r\n\n  \n川へ\t洗濯に\u2028行く\n", encoding="utf-8")
    return path


def test_generate_prints_every_sample_of_every_prompt(release: Path, lines: Path) -> None:
    out = io.StringIO()
    options = {"max_new_tokens": 20, "samples": 2, "seed": 3}
    generate_text(release, options, prompts_file=str(lines), device="cpu", out=out)
    model = tsuzuri.load(release, device="cpu")
    samples = [
        text
        for prompt in ("むかし、むかし、", "川へ\t洗濯に\u2028行く")
        for text in model.generate(prompt, max_new_tokens=20, samples=2, seed=3)
    ]
    assert out.getvalue() == f"\n{SEPARATOR}\n".join(samples) + "\n"


def test_generate_writes_each_part_as_it_comes(release: Path) -> None:
    class Recorder(io.StringIO):
        """A terminal that remembers what it showed after every flush."""

        def __init__(self) -> None:
            super().__init__()
            self.shown: list[str] = []

        def flush(self) -> None:
            self.shown.append(self.getvalue())

    out = Recorder()
    generate_text(release, {"max_new_tokens": 20}, prompt="川へ", device="cpu", out=out)
    assert len(set(out.shown)) > 5
    assert out.getvalue().endswith("\n")


def test_the_first_of_very_many_samples_come_at_once(release: Path) -> None:
    class Enough(Exception):  # noqa: N818 (it reports no fault)
        """So much was wanted."""

    class Reader(io.StringIO):
        """A reader who leaves after three hundred samples."""

        def write(self, text: str) -> int:
            written = super().write(text)
            if self.getvalue().count(SEPARATOR) == 300:
                raise Enough
            return written

    out = Reader()
    with pytest.raises(Enough):
        generate_text(
            release, {"max_new_tokens": 1, "samples": 2_000_000}, prompt="川へ", device="cpu", out=out
        )
    samples = out.getvalue().removesuffix("\n").split(f"\n{SEPARATOR}\n")
    model = tsuzuri.load(release, device="cpu")
    assert samples == [model.generate("川へ", max_new_tokens=1, seed=seed) for seed in range(301)]


def test_score_prints_the_text_and_its_log_probability(release: Path, lines: Path) -> None:
    printed = list(score_lines(release, str(lines), device="cpu"))
    scores = tsuzuri.load(release, device="cpu").score(["むかし、むかし、", "川へ\t洗濯に\u2028行く"])
    assert printed == [
        f"むかし、むかし、\t{scores[0].log_probability:.5g}",
        f"川へ\\t洗濯に\u2028行く\t{scores[1].log_probability:.5g}",
    ]


def test_score_prints_tokens_below_their_text(release: Path, lines: Path) -> None:
    printed = list(score_lines(release, str(lines), tokens=True, include_end=True, device="cpu"))
    first = printed[: printed.index("")]
    names, values = zip(*(line.split("\t") for line in first), strict=True)
    assert "".join(names[1:]) == names[0] + "<0>"
    assert float(values[0]) == pytest.approx(sum(map(float, values[1:])), rel=1e-3)
    assert printed[-1] == ""


def test_embed_writes_no_file_over_a_folder(lines: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"{tmp_path} is a folder"):
        embed_lines(tmp_path / "no model", str(lines), tmp_path)


def test_embed_writes_one_vector_a_line(release: Path, lines: Path, tmp_path: Path) -> None:
    said = embed_lines(release, str(lines), tmp_path / "vectors.npy", layer=1, pool="mean", device="cpu")
    vectors = np.load(tmp_path / "vectors.npy")
    expected = tsuzuri.load(release, device="cpu").embed(
        ["むかし、むかし、", "川へ\t洗濯に\u2028行く"], layer=1, pool="mean"
    )
    np.testing.assert_array_equal(vectors, expected)
    assert said.endswith("2 vectors of 32 numbers")


def test_what_cannot_be_read_is_an_error(release: Path, tmp_path: Path) -> None:
    sjis, blank = tmp_path / "sjis.txt", tmp_path / "blank.txt"
    sjis.write_bytes("むかし".encode("cp932"))
    blank.write_text("\n \n", encoding="utf-8")
    for path, message in (
        (sjis, "not UTF-8"),
        (blank, "holds no text"),
        (tmp_path / "absent", "no readable file"),
    ):
        with pytest.raises(InputError, match=message):
            list(score_lines(release, str(path)))
    with pytest.raises(RecipeError, match="both a prompt and a file"):
        generate_text(release, {}, prompt="川へ", prompts_file=str(blank))


def test_nothing_on_standard_input_is_named(release: Path) -> None:
    command = [sys.executable, "-m", "tsuzuri", "score", str(release), "-"]
    done = subprocess.run(command, input="", capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "error: standard input holds no text\n")


def test_importing_the_package_and_its_configurations_is_light() -> None:
    modules = "tsuzuri, tsuzuri.generation.config, tsuzuri.evaluate.config"
    code = f"import sys, {modules}; print('torch' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"
