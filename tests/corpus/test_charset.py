"""The ladder of encodings, on made and on real text."""

from __future__ import annotations

import codecs
import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsuzuri.corpus.charset import declared_in_html, decode

SENTENCE = "吾輩は猫である。名前はまだ無い。どこで生れたか頓（とん）と見当がつかぬ。"
ENCODINGS = ["utf-8", "cp932", "euc-jp", "iso-2022-jp"]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_japanese_is_found_in_every_encoding(encoding: str) -> None:
    found = decode(SENTENCE.encode(encoding))
    assert found is not None
    assert (found.text, found.charset) == (SENTENCE, encoding)
    assert found.charset_source == ("escape" if encoding == "iso-2022-jp" else "strict")


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_titles_of_thirty_characters_are_found(encoding: str, shared_data: Path) -> None:
    with gzip.open(
        shared_data / "wikinews" / "full-articles" / "origin.tsv.gz", "rt", encoding="utf-8"
    ) as file:
        titles = [line.split("\t")[2].replace(" ", "").strip()[:30] for line in file]
    encoded = []
    for title in titles:
        try:
            encoded.append((title, title.encode(encoding)))
        except UnicodeEncodeError:
            continue  # a character that this encoding does not have
    assert len(encoded) > 3_000
    right = sum((found := decode(data)) is not None and found.text == title for title, data in encoded)
    assert right / len(encoded) >= 0.995


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_titles_with_the_start_of_their_articles_are_found(encoding: str, shared_data: Path) -> None:
    with gzip.open(shared_data / "kyoto-wikipedia.jsonl.gz", "rt", encoding="utf-8") as file:
        records = [json.loads(line) for line, _ in zip(file, range(2_000), strict=False)]
    texts = [" ".join(f"{record['title']} {record['text']}".split())[:30] for record in records]
    encoded = [(text, data) for text in texts if (data := text.encode(encoding, errors="ignore"))]
    whole = [(text, data) for text, data in encoded if data.decode(encoding) == text]
    assert len(whole) > 1_800
    right = sum((found := decode(data)) is not None and found.text == text for text, data in whole)
    assert right / len(whole) >= 0.995


@pytest.mark.parametrize(
    ("mark", "encoding"),
    [(codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")],
)
def test_a_byte_order_mark_decides_and_goes(mark: bytes, encoding: str) -> None:
    found = decode(mark + SENTENCE.encode(encoding))
    assert found is not None
    assert (found.text, found.charset_source) == (SENTENCE, "bom")


@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8])
def test_one_damaged_character_loses_only_itself_behind_a_byte_order_mark_too(mark: bytes) -> None:
    whole = (SENTENCE * 100).encode()
    found = decode(mark + whole + b"\xff" + whole)
    assert found is not None
    assert (found.text.count("\ufffd"), found.charset) == (1, "utf-8")
    assert found.text[0] == SENTENCE[0]
    assert decode(codecs.BOM_UTF8 + bytes(range(256))) is None


def test_a_declared_encoding_is_believed_only_if_it_holds() -> None:
    half_width = "ｱｲｳｴ".encode("cp932")  # also valid EUC-JP: only the declaration can tell
    believed = decode(half_width, declared="Shift_JIS")
    assert believed is not None
    assert (believed.text, believed.charset, believed.charset_source) == ("ｱｲｳｴ", "cp932", "declared")
    western = decode(SENTENCE.encode("cp932"), declared="ISO-8859-1")
    assert western is not None
    assert (western.text, western.charset_source) == (SENTENCE, "strict")
    lied_to = decode(SENTENCE.encode("utf-8"), declared="euc-jp")
    assert lied_to is not None
    assert (lied_to.text, lied_to.charset) == (SENTENCE, "utf-8")


@pytest.mark.parametrize("encoding", ["euc-jp", "iso-2022-jp"])
def test_vendor_rows_are_read_as_browsers_do(encoding: str) -> None:
    """① and ㈱ stand in NEC's row 13, which Python's own codecs refuse."""
    pairs = [bytes([0xAD, 0xA1]), bytes([0xAD, 0xEA])]
    if encoding == "euc-jp":
        data = "資料".encode("euc-jp") + b"".join(pairs)
    else:
        data = b"\x1b$B" + bytes(b & 0x7F for b in "資料".encode("euc-jp") + b"".join(pairs)) + b"\x1b(B"
    found = decode(data)
    assert found is not None
    assert (found.text, found.charset) == ("資料①㈱", encoding)


def test_jis_kana_and_jis_x_0212_are_read() -> None:
    found = decode(
        b"\x1b(I12\x1b(B \x1b$(D" + bytes(b & 0x7F for b in "丂".encode("euc_jp")[1:]) + b"\x1b(B\n"
    )
    assert found is not None
    assert found.text == "ｱｲ 丂\n"


def test_a_torn_file_is_read_with_its_few_damaged_characters() -> None:
    data = (SENTENCE * 100).encode("utf-8")[:-1]
    found = decode(data)
    assert found is not None
    assert found.charset_source == "detected"
    assert found.text.startswith(SENTENCE)
    assert found.text.endswith("\ufffd")


@pytest.mark.parametrize(
    "data", [b"\x00\x01\x02\x03", bytes(range(1, 256)) * 4, "naïve café".encode("latin-1")]
)
def test_what_is_no_japanese_encoding_is_refused(data: bytes) -> None:
    assert decode(data) is None


def test_a_given_encoding_overrides_and_can_fail() -> None:
    found = decode(SENTENCE.encode("euc-jp"), given="euc-jp")
    assert found is not None
    assert found.charset_source == "given"
    assert decode(b"\xff\xff", given="utf-8") is None
    assert decode(b"text", given="no-such-encoding") is None


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\x00\x1b\ufeff")))
def test_utf_8_is_never_changed(text: str) -> None:
    found = decode(text.encode("utf-8"))
    assert found is not None
    assert found.text == text


@given(st.binary(max_size=200))
def test_no_bytes_raise(data: bytes) -> None:
    found = decode(data)
    assert found is None or isinstance(found.text, str)


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b'<meta charset="Shift_JIS">', "Shift_JIS"),
        (b'<meta http-equiv="Content-Type" content="text/html; charset=euc-jp">', "euc-jp"),
        (b'<?xml version="1.0" encoding="UTF-8"?><html>', "UTF-8"),
        (b"<html><body>charset=utf-8", None),
    ],
)
def test_html_names_its_encoding(head: bytes, name: str | None) -> None:
    assert declared_in_html(head) == name
