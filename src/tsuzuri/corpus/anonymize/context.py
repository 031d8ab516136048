"""What stands around a run of digits: the words that name it, and those that say that it is something else.

No `\\b` anywhere: next to a Japanese character it sees no boundary. A number stands alone when no letter,
digit or joined group touches it.
"""

from __future__ import annotations

import re

ALONE_BEFORE = r"(?<![0-9A-Za-z])(?<![0-9][-.,/:_#=])(?<![A-Za-z][-/_#=])"
ALONE_AFTER = r"(?![0-9A-Za-z])(?![-.,/:_][0-9A-Za-z])"

_LABEL_REACH = 12
_UNIT_REACH = 6
# Numbers of things: what they count or name is written right before or right after them.
_OF_A_THING = re.compile(
    r"(?:(?:注文|受付|受注|発注|伝票|追跡|配送|送り状|問合せ|問い合わせ|管理|整理|製造|商品|製品|部品|図書|資料"
    r"|文書|文献|論文|特許|公報|出願|公開|会員|顧客|予約|取引|請求|案件|通し|シリアル|レシート|チケット)"
    r"(?:番号|コード|ナンバー|No)|型番|品番|製番|型式|部品|特開|特願|伝票|特許第"
    r"|(?:JAN|ISBN|ISSN|NDL|NCID|ASIN|DOI|UUID|ID)(?:番号|コード|ナンバー)?|No|NO|no|#|№)"
    r"[.:・、 は=」)\]]{0,4}[A-Z]{0,4}-?$"
)
_UNIT = re.compile(
    r" ?(?:[円個件名本枚台点歳年頁冊票株部倍位万億兆%$人]|メートル|キロ|センチ|ミリ|グラム|トン|リットル|ドル"
    r"|ユーロ|バイト|ビット|ページ|平方|立方|ポイント|km|cm|mm|kg|m(?![A-Za-z])|g(?![A-Za-z])|KB|MB|GB)"
)


def is_named(
    pattern: re.Pattern[str], text: str, start: int, end: int, *, before: int, after: int = 0
) -> bool:
    """Whether a word of `pattern` stands within so many characters before `start` or after `end`."""
    if pattern.search(text, max(0, start - before), start):
        return True
    return after > 0 and pattern.search(text, end, end + after) is not None


def is_of_a_thing(text: str, start: int, end: int) -> bool:
    """Whether a label or a unit says that the number counts or names a thing, not a person."""
    if _OF_A_THING.search(text[max(0, start - _LABEL_REACH) : start]):
        return True
    return _UNIT.match(text[end : end + _UNIT_REACH]) is not None
