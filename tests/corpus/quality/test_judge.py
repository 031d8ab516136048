"""A judge asks in order: host, language, the profile's rules, lists of words."""

from __future__ import annotations

import gzip
import json
from itertools import islice
from pathlib import Path

import pytest

from tsuzuri.core.errors import InputError
from tsuzuri.corpus.document import Document
from tsuzuri.corpus.normalize import normalize
from tsuzuri.corpus.quality.config import LanguageConfig, NgWordsConfig, QualityConfig
from tsuzuri.corpus.quality.judge import Judge
from tsuzuri.corpus.quality.language import identify_text
from tsuzuri.corpus.sources.aozora import AozoraWorks
from tsuzuri.corpus.sources.base import read
from tsuzuri.corpus.sources.config import AozoraSource

TEXT = (
    "吾輩は猫である。名前はまだ無い。どこで生れたか頓と見当がつかぬ。"
    "何でも薄暗いじめじめした所で泣いていた事だけは記憶している。"
)

BOY = (
    "親譲りの無鉄砲で小供の時から損ばかりしている。小学校に居る時分学校の二階から飛び降りて"
    "一週間ほど腰を抜かした事がある。"
)


def reason(config: QualityConfig, text: str, url: str = "", root: Path = Path()) -> str:
    rejection = Judge(config, root).reject(text, url)
    return "" if rejection is None else rejection.reason


@pytest.mark.parametrize(
    ("profile", "url", "expected"),
    [
        ("llm-jp-v1", "https://example.jp/a", ""),
        ("llm-jp-v1", "https://example.jp./a", ""),
        ("llm-jp-v1", "https://example.de/a", "host"),
        ("llm-jp-v1", "https://ja.wikipedia.org/wiki/猫", "host"),
        ("llm-jp-v1", "", ""),
        ("llm-jp-v1", "no url", ""),
        ("llm-jp-v1", "http://[broken", ""),
        ("literature", "https://example.de/a", ""),
    ],
)
def test_hosts(profile: str, url: str, expected: str) -> None:
    assert reason(QualityConfig(profile=profile, thresholds=_loose(profile)), TEXT, url) == expected


def _loose(profile: str) -> dict[str, float]:
    return {"max_zlib_ratio": 2.0} if profile.startswith("llm-jp") else {}


def test_languages() -> None:
    config = QualityConfig(profile="literature", language=LanguageConfig())
    assert reason(config, TEXT) == ""
    assert reason(config, "I am a cat, and as yet I have no name at all. " * 3) == "language"


@pytest.mark.parametrize("fold_width", [False, True])
@pytest.mark.parametrize("errors", ["replace", "ignore"])
@pytest.mark.parametrize("profile", ["general", "literature", "technical", "swallow-v1"])
@pytest.mark.parametrize(("written", "read"), [("utf-8", "cp932"), ("euc-jp", "cp932"), ("utf-8", "cp1252")])
def test_what_was_read_in_the_wrong_encoding_falls_out(
    profile: str, written: str, read: str, errors: str, fold_width: bool
) -> None:
    config = QualityConfig(profile=profile)
    garbled = (BOY * 8).encode(written).decode(read, errors=errors)
    assert reason(config, normalize(garbled, fold_width=fold_width)) == "mojibake"
    assert reason(config, BOY) != "mojibake"


def test_no_good_text_is_taken_for_mojibake(shared_data: Path) -> None:
    with gzip.open(shared_data / "kyoto-wikipedia.jsonl.gz", "rt", encoding="utf-8") as file:
        articles = [json.loads(line)["text"] for line in islice(file, 500)]
    works = AozoraWorks(AozoraSource(path=shared_data / "aozora"), Path())
    spread = [member for batch in works.batches() for member in batch][::6][:500]
    texts = [item.text for item in read(works, tuple(spread)) if isinstance(item, Document)]
    assert min(len(articles), len(texts)) >= 490
    assert "mojibake" not in {
        identify_text(normalize(text, fold_width=True)).language for text in [*articles, *texts]
    }


def test_words(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("泣い\n薄暗い\n", encoding="utf-8")
    words = NgWordsConfig(file=Path("words.txt"), category="sad", max_rate=0.05)
    config = QualityConfig(profile="literature", ng_words=(words,))
    assert reason(config, TEXT, root=tmp_path) == "ng_words_sad"
    assert reason(config, TEXT + BOY, root=tmp_path) == ""
    assert Judge(config, tmp_path).reasons[-1] == "ng_words_sad"
    with pytest.raises(InputError, match=r"words\.txt"):
        Judge(config, tmp_path / "elsewhere")


def test_reasons_are_told_before_a_document_is_read() -> None:
    judge = Judge(QualityConfig(profile="llm-jp-v1", language=LanguageConfig()))
    assert judge.reasons[:4] == ("host", "mojibake", "language", "kana_near_start")
