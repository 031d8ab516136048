"""What templates of the Japanese Wikipedia say in plain text: a rule for each kind that carries words or
numbers inside sentences; every other template (boxes, notes, references) says nothing.

The rules are by name, written as the wiki's editors write them: first letter in either case, `_` as space.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tsuzuri.corpus.sources.config import Ruby


@dataclass(frozen=True, slots=True)
class Call:
    """One use of a template, its arguments already plain text."""

    name: str
    args: Sequence[str]
    """The unnamed arguments, trimmed."""
    named: dict[str, str] = field(default_factory=dict)
    ruby: Ruby = "base"

    def arg(self, number: int) -> str:
        """The unnamed argument of a number from 1, or the one that bears the number as its name."""
        named = self.named.get(str(number))
        if named is not None:
            return named
        return self.args[number - 1] if number <= len(self.args) else ""


Rule = Callable[[Call], str]


def expand(call: Call) -> str | None:
    """What a template says, or None for one that has no rule."""
    name = call.name.replace("_", " ").strip()
    key = name[:1].lower() + name[1:]
    if rule := RULES.get(key) or RULES.get(name):
        return rule(call)
    if name.endswith("範囲"):  # 要出典範囲, いつ範囲, …: a doubt about the words that they hold
        return call.arg(1)
    if key.endswith("フォント"):  # CP932フォント, JIS2004フォント, …
        return call.arg(1)
    if key.startswith("lang-"):
        language = LANGUAGES.get(key.removeprefix("lang-"), "")
        return f"{language}: {call.arg(1)}" if language else call.arg(1)
    if key.startswith(("iPA-", "link-")):
        return call.arg(1)
    if name in COUNTRIES:
        return COUNTRIES[name]
    return None


def era_year(year: int) -> str:
    """A year of the common era in Japanese eras since 1868 (`令和2年`), or an empty string."""
    for first, era in ((2019, "令和"), (1989, "平成"), (1926, "昭和"), (1912, "大正"), (1868, "明治")):
        if year >= first:
            return f"{era}{'元' if year == first else year - first + 1}年"
    return ""


def _nth(number: int) -> Rule:
    return lambda call: call.arg(number)


def _says(text: str) -> Rule:
    return lambda call: text


def _ruby(call: Call) -> str:
    base, reading = call.arg(1), call.arg(2)
    return f"{base}（{reading}）" if call.ruby == "both" and reading else base


def _reading(call: Call) -> str:
    """The wiki's own 見出し（よみ）, which stands in the text itself and not above it."""
    return f"{call.arg(1)}（{call.arg(2)}）" if call.arg(2) else call.arg(1)


def _convert(call: Call) -> str:
    value, second, third = call.arg(1), call.arg(2), call.arg(3)
    if second in ("-", "–", "to", "and", "by", "x"):
        mark = {"-": "–", "–": "–", "to": "–", "and": "と", "by": "×", "x": "×"}[second]
        return f"{value}{mark}{third} {_unit(call.arg(4))}"
    return f"{value} {_unit(second)}".strip()


def _unit(name: str) -> str:
    return re.sub(r"(?<=[a-z])([23])$", lambda power: {"2": "²", "3": "³"}[power.group()], name)


def _value(call: Call) -> str:
    text = call.arg(1) + (f"±{call.arg(2)}" if call.arg(2) else "")
    if exponent := call.named.get("e"):
        text += f"×10^{exponent}"
    unit = call.named.get("u") or call.named.get("ul") or ""
    return f"{text} {_unit(unit)}".strip()


def _date(first: int = 1) -> Rule:
    def rule(call: Call) -> str:
        parts = [call.arg(number) for number in range(first, first + 3)]
        return "".join(part + unit for part, unit in zip(parts, "年月日", strict=True) if part.isdecimal())

    return rule


def _era(call: Call) -> str:
    year = call.arg(1)
    return era_year(int(year)) if year.isdecimal() and len(year) == 4 else ""


def _fraction(call: Call) -> str:
    if call.arg(3):
        return f"{call.arg(1)} {call.arg(2)}/{call.arg(3)}"
    return f"{call.arg(1)}/{call.arg(2)}" if call.arg(2) else f"1/{call.arg(1)}"


def _link(call: Call) -> str:
    return call.named.get("label") or call.arg(1)


def _quotation(call: Call) -> str:
    return call.arg(1) or call.named.get("text", "") or call.named.get("quote", "")


def _separated(mark: str) -> Rule:
    return lambda call: mark.join(arg for arg in call.args if arg)


def _each(names: str, rule: Rule) -> dict[str, Rule]:
    return dict.fromkeys(names.split(), rule)


LANGUAGES = {
    "ar": "アラビア語", "cs": "チェコ語", "de": "ドイツ語", "el": "ギリシア語", "en": "英語",
    "en-short": "英", "es": "スペイン語", "fi": "フィンランド語", "fr": "フランス語", "fr-short": "仏",
    "de-short": "独", "he": "ヘブライ語", "hi": "ヒンディー語", "hu": "ハンガリー語", "it": "イタリア語",
    "ko": "朝鮮語", "la": "ラテン語", "mn": "モンゴル語", "nl": "オランダ語", "pl": "ポーランド語",
    "pt": "ポルトガル語", "ru": "ロシア語", "sa": "サンスクリット語", "sv": "スウェーデン語",
    "th": "タイ語", "tr": "トルコ語", "uk": "ウクライナ語", "vi": "ベトナム語", "zh": "中国語",
}  # fmt: skip
COUNTRIES = {
    "ARG": "アルゼンチン", "AUS": "オーストラリア", "AUT": "オーストリア", "BEL": "ベルギー",
    "BRA": "ブラジル", "CAN": "カナダ", "CHE": "スイス", "CHN": "中国", "DEU": "ドイツ",
    "DNK": "デンマーク", "EGY": "エジプト", "ESP": "スペイン", "FIN": "フィンランド", "FRA": "フランス",
    "GBR": "イギリス", "GRC": "ギリシャ", "IDN": "インドネシア", "IND": "インド", "IRL": "アイルランド",
    "ITA": "イタリア", "JPN": "日本", "KOR": "韓国", "MEX": "メキシコ", "NLD": "オランダ",
    "NOR": "ノルウェー", "NZL": "ニュージーランド", "PHL": "フィリピン", "POL": "ポーランド",
    "PRK": "北朝鮮", "PRT": "ポルトガル", "RUS": "ロシア", "SWE": "スウェーデン", "THA": "タイ",
    "TUR": "トルコ", "TWN": "台湾", "UKR": "ウクライナ", "USA": "アメリカ合衆国", "VNM": "ベトナム",
    "ZAF": "南アフリカ共和国",
}  # fmt: skip
RULES: dict[str, Rule] = {
    **_each("lang color colors fontcolor fontsize font-size transl", _nth(2)),
    **_each(
        "en fr de nowrap small smaller big large larger bold italic strong em kbd code mono var "
        "math mvar sup sub unicode IPA 拡張漢字 補助漢字 linktext flag flagcountry URL url 縦書き "
        "smallcaps center nobold 下線 uline underline 取消線 abbr tooltip 略称 "
        "日本語版にない記事リンク ill ill2 太字 delink 圏点 傍点",
        _nth(1),
    ),
    **_each("仮リンク 仮リンク2", _link),
    **_each("ruby ルビ Ruby-ja r-ruby ふりがな 振り仮名", _ruby),
    **_each("読み仮名 nihongo", _reading),
    "読み仮名 ruby不使用": _reading,
    "visible anchor": _nth(1),
    **_each("convert cvt", _convert),
    **_each("val", _value),
    **_each("date 生年月日と年齢 生年月日", _date()),
    **{name: _date() for name in ("start date", "end date", "birth date", "birth date and age")},
    **{name: _date(4) for name in ("死亡年月日と没年齢", "死亡年月日と年齢")},
    "death date and age": _date(),
    **_each("和暦", _era),
    **_each("frac sfrac 分数 fraction", _fraction),
    **_each("quotation quote cquote blockquote 引用 squote", _quotation),
    **_each("hlist flatlist", _separated("・")),
    **_each("plainlist ubl", _separated("、")),
    "unbulleted list": _separated("、"),
    "!": _says("|"), "=": _says("="), "(": _says("{"), ")": _says("}"), "・": _says("・"),
    "·": _says("・"), "nbsp": _says(" "), "spaces": _says(" "), "ndash": _says("–"),
    "mdash": _says("—"), "snd": _says(" – "), ",": _says("、"),
}  # fmt: skip
