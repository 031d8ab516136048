"""Languages are told apart by their scripts, and what was decoded wrongly is no language."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from tsuzuri.corpus.quality.language import LANGUAGES, identify_text

JAPANESE = "吾輩は猫である。名前はまだ無い。どこで生れたか頓と見当がつかぬ。"


@pytest.mark.parametrize(
    ("text", "language"),
    [
        (JAPANESE, "ja"),
        ("オプション -l を付けると long format で一覧を表示します。", "ja"),
        ("朕ハ帝国議会ノ協賛ヲ経タル治安維持法ヲ裁可シ茲ニ之ヲ公布セシム", "ja"),
        ("这是一个关于自然语言处理的网页，我们在这里说明了它的用法。", "zh"),
        ("這是一個關於自然語言處理的網頁，我們在這裡說明了它的用法。", "zh"),
        ("子曰、學而時習之、不亦説乎。有朋自遠方來、不亦樂乎。", "kanbun"),
        ("나는 고양이로소이다. 이름은 아직 없다.", "ko"),
        ("I am a cat. As yet I have no name.", "latin"),
        ("Ein Kater bin ich, und einen Namen habe ich noch nicht; schön wäre es.", "latin"),
        ("東京都議会議員選挙開票結果速報", "other"),
        ("Я кошка.", "other"),
        ("12345 --- 67890", "other"),
        ("", "other"),
    ],
)
def test_languages(text: str, language: str) -> None:
    found = identify_text(text)
    assert found.language == language
    assert found.language in LANGUAGES


@pytest.mark.parametrize("written", ["utf-8", "cp932", "euc_jp"])
@pytest.mark.parametrize("read", ["utf-8", "cp932", "euc_jp", "cp1252", "latin-1"])
def test_what_was_read_in_another_encoding_is_mojibake(written: str, read: str) -> None:
    found = identify_text(JAPANESE.encode(written).decode(read, "replace"))
    assert found.language == ("ja" if written == read else "mojibake")


def test_real_japanese_is_japanese(shared_data: Path) -> None:
    with gzip.open(shared_data / "kyoto-wikipedia.jsonl.gz", "rt", encoding="utf-8") as file:
        texts = [json.loads(line)["text"] for number, line in enumerate(file) if number % 60 == 0]
    works = sorted((shared_data / "aozora").rglob("*.txt"))[::40]
    texts += [path.read_bytes().decode("cp932", "replace")[:5_000] for path in works]
    assert {identify_text(text).language for text in texts} == {"ja"}
