"""The figures by which a revision is admitted, and the texts that they are taken on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tsuzuri.core.errors import InputError
from tsuzuri.specialists.control.admission import check_fits, compare, held_out
from tsuzuri.specialists.messages import Descriptor

RANDOM = np.random.default_rng(7)


def test_bits_a_byte_and_their_interval() -> None:
    sizes = RANDOM.integers(100, 600, 50).astype(np.float64)
    other = sizes * np.log(2) * 2.0
    own = sizes * np.log(2) * RANDOM.normal(1.8, 0.1, 50)
    figures = compare(own, other, sizes, resamples=4000)
    assert figures.other == pytest.approx(2.0)
    assert figures.own == pytest.approx(1.8, abs=0.05)
    assert figures.gain == pytest.approx(0.1, abs=0.025)
    spread = 0.1 / np.sqrt(50)  # of a mean, about; texts of several lengths widen it
    assert figures.gain_high - figures.gain_low == pytest.approx(2 * 1.96 * spread, rel=0.4)
    assert figures.gain_low < 0.2 < figures.gain_high


def test_the_interval_is_one_of_pairs() -> None:
    """Texts that are hard for both models say nothing about the difference."""
    sizes = np.full(40, 300.0)
    hardness = RANDOM.normal(2.0, 0.8, 40)
    figures = compare(
        sizes * np.log(2) * (hardness - 0.1), sizes * np.log(2) * hardness, sizes, resamples=1000
    )
    assert figures.gain_low == pytest.approx(0.1, abs=1e-6)
    assert figures.gain_high == pytest.approx(0.1, abs=1e-6)


def test_the_same_texts_give_the_same_interval() -> None:
    nats, sizes = RANDOM.normal(500, 50, (2, 30)), np.full(30, 300.0)
    first, second = (compare(nats[0], nats[1], sizes, resamples=500) for _ in range(2))
    assert first == second


def test_a_model_that_texts_cost_nothing_is_no_error() -> None:
    figures = compare(np.ones(20), np.zeros(20), np.full(20, 300.0), resamples=100)
    assert figures.gain == 0
    assert "where it has 0.0000" in str(figures)


def test_texts_are_spread_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text("".join(f'{{"text": "{number}"}}\n' for number in range(100)))
    assert held_out(path, 4) == ["0", "25", "50", "75"]
    assert len(held_out(path, 500)) == 100


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "no readable texts"),
        (b"\xff\xfe", "no readable texts"),
        (b"{}\n", "line 1, is no text"),
        (b'{"text": "a"}\n{"text": 3}\n', "line 2, is no text"),
        (b'{"text": "a"}\n', "holds 1 texts"),
        (b'{"text": " "}\n{"text": "\\n"}\n', "holds 0 texts"),
        (b'{"text": "\\ud800"}\n', "line 1, is no text"),
    ],
)
def test_what_is_no_file_of_texts_is_told(tmp_path: Path, content: bytes | None, says: str) -> None:
    path = tmp_path / "t.jsonl"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=says):
        held_out(path, 10)


@pytest.mark.parametrize("field", ["model_sha256", "tokenizer_sha256", "context"])
def test_another_release_under_the_name_of_a_revision_is_told(field: str) -> None:
    known = {"model_sha256": "a" * 64, "tokenizer_sha256": "b" * 64, "context": 1024}
    own = {**known, field: 512 if field == "context" else "c" * 64}
    described = [
        Descriptor(specialist="literature", revision="1", state="checking", **values)  # type: ignore[arg-type]
        for values in (known, own)
    ]
    with pytest.raises(InputError, match="literature/1 is known with another"):
        check_fits(*described)
    check_fits(described[0], described[0])
