from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.corpus.duplicates.documents import prose, write_parts

from tsuzuri.core.errors import InputError
from tsuzuri.corpus.config import DecontaminateConfig
from tsuzuri.corpus.decontaminate import (
    CONTAMINATED,
    Contamination,
    TestItems,
    contaminated,
    report,
    texts_of,
)
from tsuzuri.corpus.duplicates.exact import fold
from tsuzuri.corpus.sources.config import FilesSource
from tsuzuri.corpus.sources.files import FilesOnDisk

QUESTION = "次の文章のうち、京都の祇園祭について正しく述べているものはどれか。"
OTHER = "日本で一番高い山の名前と、その高さをメートルで答えなさい。"
PROSE = "春は曙。やうやう白くなりゆく山際、少し明かりて、紫だちたる雲の細くたなびきたる。"


def items(**benchmarks: list[str]) -> TestItems:
    return TestItems(benchmarks, DecontaminateConfig())


def test_a_document_that_holds_an_item_is_found_wherever_it_stands() -> None:
    index = items(quiz=[OTHER, QUESTION])
    assert index.found_in(PROSE) == []
    assert index.found_in(PROSE + QUESTION + PROSE) == [Contamination("quiz", 1, 1.0)]
    assert [one.item for one in index.found_in(f"{QUESTION}\n{OTHER}")] == [0, 1]


def test_width_case_and_line_breaks_hide_nothing() -> None:
    question = "ABC株式会社の2024年の売上高は、前の年と比べて何%増えましたか。"
    hidden = "ＡｂＣ株式会社の２０２４年の\n売上高は、 前の年と比べて\n何％増えましたか。"
    assert [one.share for one in items(quiz=[question]).found_in(hidden)] == [1.0]


def test_an_item_in_katakana_is_found_in_hiragana() -> None:
    question = "ニホンデイチバンタカイヤマハ、ナントイイマスカ。"
    hidden = "にほんで一番たかい、といえば。にほんでいちばんたかいやまは、なんといいますか。"
    assert [one.share for one in items(quiz=[question]).found_in(hidden)] == [1.0]
    assert [one.share for one in items(quiz=[hidden[15:]]).found_in(question)] == [1.0]


def test_the_share_is_of_the_item() -> None:
    config = DecontaminateConfig(ngram_characters=4, min_share=0.5)
    index = TestItems({"quiz": ["あいうえおかきくけこ"]}, config)  # 7 n-grams
    assert [one.share for one in index.found_in("いろはあいうえおかきにほへ")] == [pytest.approx(4 / 7)]
    assert index.found_in("いろはあいうえおかにほへ") == []  # 3 of 7


def test_what_is_too_short_to_look_for_is_counted() -> None:
    index = items(quiz=["短い問い", QUESTION], pairs=[OTHER])
    assert index.counts == {"quiz": {"items": 2, "too_short": 1}, "pairs": {"items": 1, "too_short": 0}}
    assert index.found_in("短い問い" * 10) == []
    with pytest.raises(InputError, match="no test item has 13 characters"):
        items(quiz=["短い問い"])


def test_the_report_counts_items_and_documents_once() -> None:
    index = items(quiz=[QUESTION, OTHER], pairs=[QUESTION])
    found = [index.found_in(text) for text in (QUESTION, PROSE, QUESTION + PROSE, PROSE + PROSE)]
    assert report(index, found) == {
        "quiz": {"items": 2, "too_short": 0, "found": 1, "documents": 2},
        "pairs": {"items": 1, "too_short": 0, "found": 1, "documents": 2},
    }


@given(
    texts=st.lists(st.text(alphabet="あいう", max_size=12), min_size=1, max_size=6),
    document=st.text(alphabet="あいうA ", max_size=40),
    length=st.integers(4, 6),
    share=st.floats(0.1, 1),
)
def test_it_finds_what_sets_of_strings_find(
    texts: list[str], document: str, length: int, share: float
) -> None:
    def ngrams(text: str) -> set[str]:
        return {fold(text)[at : at + length] for at in range(len(fold(text)) - length + 1)}

    long_enough = {place: ngrams(text) for place, text in enumerate(texts) if ngrams(text)}
    if not long_enough:
        return
    config = DecontaminateConfig(ngram_characters=length, min_share=share)
    expected = {
        place: len(own & ngrams(document)) / len(own)
        for place, own in long_enough.items()
        if len(own & ngrams(document)) / len(own) >= share
    }
    found = TestItems({"quiz": texts}, config).found_in(document)
    assert {one.item: one.share for one in found} == expected


def test_workers_do_not_matter(tmp_path: Path) -> None:
    (tmp_path / "quiz.jsonl").write_text(
        f'{{"text": "{QUESTION}"}}\n{{"text": "{OTHER}"}}\n', encoding="utf-8"
    )
    config = DecontaminateConfig.model_validate({"benchmarks": [{"path": "quiz.jsonl"}]})
    documents = [(str(number), prose(number, 90) + QUESTION * (number % 2)) for number in range(6)]
    paths = write_parts(tmp_path / "documents", documents, [2, 4])
    for workers in (1, 2):
        counts = contaminated(paths, tmp_path / str(workers), config, tmp_path, workers=workers)
        assert counts["quiz"] == {"items": 2, "too_short": 0, "found": 1, "documents": 3}
    one, two = ((tmp_path / workers / CONTAMINATED).read_bytes() for workers in ("1", "2"))
    assert one == two


def test_a_benchmark_that_holds_nothing_is_an_error_though_others_hold_something() -> None:
    with pytest.raises(InputError, match="the benchmark 'pairs' holds no item") as caught:
        items(quiz=[QUESTION], pairs=[])
    assert "fields" in caught.value.hint


BENCHMARKS = {
    "jcommonsenseqa": ("jglue/datasets/jcommonsenseqa-v1.3/valid-v1.3.json", {"text": "question"}, 1_119),
    "jnli": ("jglue/datasets/jnli-v1.3/valid-v1.3.json", {"text": "sentence1"}, 2_434),
    "jcola": ("jcola/data/jcola-v1.0/in_domain_valid-v1.0.json", {"text": "sentence"}, 865),
    "jaquad": ("jaquad/data/dev", {"records": "data.*.paragraphs", "text": "context"}, 0),
    "jaquad-questions": (
        "jaquad/data/dev",
        {"records": "data.*.paragraphs.*.qas", "text": "question"},
        3_939,
    ),
}
"""name → where it lies as published, what is looked for in it, how many items it is known to hold."""


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_published_benchmark_is_read_as_it_is_and_found(
    shared_data: Path, tmp_path: Path, name: str
) -> None:
    path, fields, known = BENCHMARKS[name]
    benchmark = FilesSource.model_validate({"path": path, "fields": fields, "name": name})
    texts = [text for text in texts_of(FilesOnDisk(benchmark, shared_data)) if len(fold(text)) >= 13]
    chosen = texts[:: len(texts) // 7]
    documents = [(str(number), f"{PROSE}{text}{PROSE}") for number, text in enumerate(chosen)]
    paths = write_parts(tmp_path / "documents", [*documents, ("other", PROSE * 9)], [len(chosen) + 1])
    config = DecontaminateConfig(benchmarks=(benchmark,))
    counts = contaminated(paths, tmp_path / "found", config, shared_data)[name]
    assert counts["items"] == known or not known
    assert counts["items"] - counts["too_short"] == len(texts)
    assert counts["documents"] == len(chosen) <= counts["found"]


def test_real_passages_are_found_in_the_encyclopaedia_they_come_from(shared_data: Path) -> None:
    """Passages of an encyclopaedia are found in it, and in no book."""
    with gzip.open(shared_data / "kyoto-wikipedia.jsonl.gz", "rt", encoding="utf-8") as file:
        articles = [json.loads(line)["text"] for _, line in zip(range(60), file, strict=False)]
    passages = [article[100:400] for article in articles[:40] if len(article) > 400]
    index = items(passages=passages)
    found = [index.found_in(article) for article in articles]
    assert report(index, found)["passages"]["found"] == len(passages)
    novel = shared_data / "aozora"
    for path in sorted(novel.rglob("*.txt"))[:20]:
        assert index.found_in(path.read_bytes().decode("cp932", errors="replace")) == []
