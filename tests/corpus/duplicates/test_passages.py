"""Repeated passages: every one of them, nothing else, and the same for any number of workers and parts."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.corpus.duplicates.documents import edited, prose, write_parts

from tsuzuri.corpus.duplicates.config import RepeatedPassageConfig
from tsuzuri.corpus.duplicates.parts import open_parts
from tsuzuri.corpus.duplicates.passages import PASSAGES, Texts, anchors, repeated_passages
from tsuzuri.corpus.duplicates.shingles import code_points
from tsuzuri.corpus.duplicates.spans import Cut, cut, read_spans

SHORT = RepeatedPassageConfig(min_characters=12, min_kept_characters=1, memory_bytes=2**20)


def plain(texts: list[str], length: int) -> set[tuple[int, int]]:
    """(row, place) of every character in a window that an earlier text has."""
    found: set[tuple[int, int]] = set()
    seen: set[str] = set()
    for row, text in enumerate(texts):
        starts = range(len(text) - length + 1)
        for start in starts:
            if text[start : start + length] in seen:
                found |= {(row, place) for place in range(start, start + length)}
        seen |= {text[start : start + length] for start in starts}
    return found


def covered(
    paths: list[Path], folder: Path, config: RepeatedPassageConfig, workers: int = 1
) -> set[tuple[int, int]]:
    repeated_passages(paths, folder, config, workers=workers)
    table = pq.read_table(folder / PASSAGES).to_pylist()
    return {(span["row"], place) for span in table for place in range(span["start"], span["end"])}


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_passages_are_those_of_a_plain_reference(data: st.DataObject) -> None:
    generator = random.Random(data.draw(st.integers(0, 10**6)))
    pool = [prose(seed, 40) for seed in range(4)]
    texts = []
    for number in range(data.draw(st.integers(2, 7))):
        text = prose(100 + number, generator.randint(0, 30))
        for _ in range(generator.randint(0, 3)):
            start, length = generator.randint(0, 30), generator.randint(5, 30)
            text += generator.choice(pool)[start : start + length] + generator.choice(["", "、", "……" * 12])
        texts.append(text)
    documents = [(str(number), text) for number, text in enumerate(texts)]
    with tempfile.TemporaryDirectory() as name:
        paths = write_parts(Path(name) / "parts", documents, [len(texts) // 2])
        assert covered(paths, Path(name) / "found", SHORT) == plain(texts, SHORT.min_characters)


def test_workers_and_ranges_do_not_matter(tmp_path: Path) -> None:
    texts = [edited(prose(number % 5, 4000), number, 20) for number in range(30)]
    paths = write_parts(tmp_path / "parts", [(str(number), text) for number, text in enumerate(texts)], [10])
    config = RepeatedPassageConfig(min_characters=40, memory_bytes=2**20)
    assert covered(paths, tmp_path / "one", config) == plain(texts, 40)
    roomy = config.model_copy(update={"memory_bytes": 2**30})
    repeated_passages(paths, tmp_path / "two", roomy, workers=2)
    assert (tmp_path / "one" / PASSAGES).read_bytes() == (tmp_path / "two" / PASSAGES).read_bytes()


def test_windows_that_do_not_fit_go_to_several_runs(tmp_path: Path) -> None:
    paths = write_parts(tmp_path / "parts", [(str(row), prose(1, 20_000)) for row in range(3)], [])
    config = RepeatedPassageConfig(memory_bytes=2**20)
    texts = Texts(open_parts(paths, ["text"]), 0, config, tmp_path)
    texts.write_anchors()
    shared = np.unique(np.memmap(texts.anchors, np.dtype([("key", "<u8"), ("row", "<i8")]))["row"])
    shared.astype(np.uint64).tofile(tmp_path / "shared.run")
    texts.write_windows([tmp_path / "shared.run"])
    assert len(list(texts.windows.iterdir())) > 1


def test_a_refrain_of_one_document_stays(tmp_path: Path) -> None:
    refrain = prose(1, 30)
    texts = [prose(2, 20) + refrain + prose(3, 20) + refrain, prose(4, 20), prose(5, 10) + refrain]
    paths = write_parts(tmp_path / "parts", [(str(number), text) for number, text in enumerate(texts)], [])
    repeated_passages(paths, tmp_path / "found", SHORT)
    spans = read_spans(tmp_path / "found" / PASSAGES, 0, 3)
    assert set(spans) == {2}
    assert cut(texts[2], [Cut(*span, 1) for span in spans[2]]) == prose(5, 10)


def test_a_passage_holds_the_same_anchor_wherever_it_stands() -> None:
    for seed in range(20):
        passage = prose(seed, 100)
        found = []
        for side in (1, 2):
            before, after = prose(100 * side + seed, 37 * side), prose(500 * side + seed, 53)
            codes, _ = code_points([before + passage + after])
            keys, places = anchors(codes, 50, 100)
            inside = (places >= len(before)) & (places + 50 <= len(before) + 100)
            found.append(set(keys[inside].tolist()))
        assert found[0] & found[1]


def test_anchors_are_evenly_spread_over_the_keys() -> None:
    """The smallest of many numbers are small: as keys they would all lie in the first range."""
    keys, _ = anchors(code_points([prose(1, 20_000)])[0], 50, 100)
    assert 0.4 < np.mean(keys < 2**63) < 0.6
