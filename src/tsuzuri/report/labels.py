"""Japanese and English names of what the manifests count; what is not listed keeps its own name."""

from __future__ import annotations

STAGES = {
    "documents": ("文書", "Documents"),
    "tokenizer": ("語彙", "Tokenizer"),
    "tokens": ("符号", "Tokens"),
    "run": ("学習", "Training"),
    "evaluation": ("評価", "Evaluation"),
    "release": ("公開", "Release"),
}

LOSSES = {
    "found": ("見つけた文書", "found"),
    "unreadable": ("読めない", "unreadable"),
    "undecodable": ("文字として読めない", "not decodable"),
    "quality": ("品質", "quality"),
    "min_characters": ("短すぎる", "too short"),
    "max_characters": ("長すぎる", "too long"),
    "min_japanese_ratio": ("日本語でない", "not Japanese"),
    "min_kana_ratio": ("かなが少ない", "few kana"),
    "max_repeated_line_ratio": ("同じ行の繰り返し", "repeated lines"),
    "max_repeated_ngram_ratio": ("同じ句の繰り返し", "repeated n-grams"),
    "language": ("言語", "language"),
    "host": ("サイト", "host"),
    "personal_data": ("個人情報", "personal data"),
    "license": ("ライセンス", "license"),
    "withdrawn": ("使用を断られた", "withdrawn"),
    "duplicate": ("重複", "duplicates"),
    "contaminated": ("試験問題を含む", "holds test items"),
    "near_duplicate": ("ほぼ同じ文書", "near-duplicates"),
    "little_left": ("除いた残りが少ない", "little left"),
    "taken_out": ("後から取り下げ", "withdrawn later"),
    "cut": ("除いた行や句", "lines and passages cut"),
}

SCRIPTS = {
    "hiragana": ("ひらがな", "Hiragana"),
    "katakana": ("カタカナ", "Katakana"),
    "kanji": ("漢字", "Kanji"),
    "latin": ("英字", "Latin"),
    "digit": ("数字", "Digits"),
    "other": ("その他", "Other"),
}


def name_of(table: dict[str, tuple[str, str]], key: str) -> tuple[str, str]:
    """The Japanese and English names of `key`; its own words where the table has none."""
    return table.get(key, (key.replace("_", " "), ""))
