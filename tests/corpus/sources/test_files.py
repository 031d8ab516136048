"""Documents out of files of every kind that users have."""

from __future__ import annotations

import datetime
import gzip
import json
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tsuzuri.corpus.document import Document
from tsuzuri.corpus.sources import base
from tsuzuri.corpus.sources.base import Unreadable
from tsuzuri.corpus.sources.config import FilesSource, HuggingFaceSource, RecordFields
from tsuzuri.corpus.sources.files import FilesOnDisk
from tsuzuri.corpus.sources.hugging_face import HuggingFaceDataset

TEXT = "吾輩は猫である。名前はまだ無い。"


def read(path: Path, **settings: Any) -> list[Document | Unreadable]:
    source = FilesOnDisk(FilesSource(path=path, name="試", **settings), Path("."))
    return [item for batch in source.batches() for item in base.read(source, batch)]


def document(items: list[Document | Unreadable]) -> Document:
    (item,) = items
    assert isinstance(item, Document)
    return item


def reasons(items: list[Document | Unreadable]) -> list[str]:
    return [item.reason if isinstance(item, Unreadable) else "" for item in items]


@pytest.mark.parametrize("encoding", ["utf-8", "cp932", "euc-jp", "iso-2022-jp"])
def test_text_in_any_encoding(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "猫.txt").write_bytes(TEXT.encode(encoding))
    found = document(read(tmp_path, license="CC0-1.0"))
    assert (found.id, found.text, found.charset, found.license) == ("試/猫.txt", TEXT, encoding, "CC0-1.0")
    assert found.group == found.id


def test_html_is_read_as_its_meta_says(tmp_path: Path) -> None:
    head = '<head><meta charset="euc-jp"><title>題</title></head>'
    page = f"<html>{head}<body><nav>x</nav><p>{TEXT}</p></body></html>"
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "page.html").write_bytes(page.encode("euc-jp"))
    found = document(read(tmp_path, group_by="folder"))
    assert (found.text, found.title, found.group) == (TEXT, "題", "試/a/b")


def test_a_page_says_how_much_of_its_text_stands_in_links(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text('<body><p>猫の本は<a href="x">本屋</a>にある。</p></body>')
    assert document(read(tmp_path)).meta == '{"link_share": 0.2}'


RECORD = {
    "id": 7,
    "title": "題",
    "who": {"name": "漱石"},
    "turns": [["A", "一"], ["B", "二"]],
    "license": "CC-BY-4.0",
    "text": TEXT,
}


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".parquet"])
def test_records_keep_their_fields(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"r{suffix}"
    line = json.dumps(RECORD, ensure_ascii=False).encode() + b"\n"
    if suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist([RECORD]), path)
    else:
        path.write_bytes(gzip.compress(line) if suffix.endswith(".gz") else line)
    fields = RecordFields(text="turns.*.1", author="who.name", group="turns.*.0")
    found = document(read(path, fields=fields))
    assert (found.id, found.text, found.author, found.title) == (f"試/r{suffix}#7", "一\n二", "漱石", "題")
    assert (found.license, found.group) == ("CC-BY-4.0", "試/A+B")


LINES = [{"text": f"{TEXT}{number}", "id": number} for number in range(3)]
NESTED = {
    "version": 1,
    "data": [{"title": "題", "paragraphs": [{"context": line["text"]}]} for line in LINES],
}


@pytest.mark.parametrize("suffix", [".json", ".json.gz"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp932"])
@pytest.mark.parametrize(
    "written",
    [
        "\n".join(json.dumps(line, ensure_ascii=False) for line in LINES),
        json.dumps(LINES, ensure_ascii=False),
        json.dumps(LINES, ensure_ascii=False, indent=2),
    ],
    ids=["a record a line", "a list in a line", "a list"],
)
def test_json_in_every_form(tmp_path: Path, suffix: str, encoding: str, written: str) -> None:
    data = written.encode(encoding)
    (tmp_path / f"r{suffix}").write_bytes(gzip.compress(data) if suffix.endswith(".gz") else data)
    found = read(tmp_path)
    assert [(item.id, item.text) for item in found if isinstance(item, Document)] == [
        (f"試/r{suffix}#{line['id']}", line["text"]) for line in LINES
    ]
    assert reasons(found) == [""] * len(LINES)


@pytest.mark.parametrize("indent", [None, 2])
def test_records_within_records(tmp_path: Path, indent: int | None) -> None:
    (tmp_path / "squad.json").write_text(json.dumps(NESTED, ensure_ascii=False, indent=indent))
    fields = RecordFields(records="data.*.paragraphs", text="context")
    found = read(tmp_path, fields=fields)
    assert [(item.id, item.text) for item in found if isinstance(item, Document)] == [
        (f"試/squad.json#0.{number}", line["text"]) for number, line in enumerate(LINES)
    ]
    assert reasons(read(tmp_path, fields=RecordFields(records="data.*.pages", text="context"))) == [
        "no_records"
    ]


def test_records_within_the_rows_of_a_table(tmp_path: Path) -> None:
    rows = [
        {"source": "甲", "turns": [{"text": f"{TEXT}{turn}"} for turn in range(2)]},
        {"source": "乙", "turns": []},
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "r.parquet")
    found = read(tmp_path, fields=RecordFields(records="turns"))
    assert reasons(found) == ["", "", "no_records"]
    assert reasons(read(tmp_path, fields=RecordFields(records="others"))) == ["no_text_column"]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ('[{"text": "%s"}, 5]', ["", "damaged_line"]),
        ('{"text": "torn\n{"text": "%s"}\n', ["damaged_line", ""]),
        ("[" * 100_000, ["damaged_line"]),
        ('[{"text": "%s"}]\n' + " " * 5_000, ["too_large"]),
        ("5", ["damaged_line"]),
    ],
)
def test_json_that_is_damaged_loses_only_that(tmp_path: Path, written: str, expected: list[str]) -> None:
    (tmp_path / "r.json").write_text(written.replace("%s", TEXT))
    assert reasons(read(tmp_path, max_file_bytes=2_000 if "too_large" in expected else 10**6)) == expected


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".txt"])
@pytest.mark.parametrize("encoding", ["cp932", "euc-jp", "iso-2022-jp"])
@pytest.mark.parametrize("is_told", [True, False])
def test_characters_that_only_windows_has_in_records_too(
    tmp_path: Path, suffix: str, encoding: str, is_told: bool
) -> None:
    text = f"{TEXT}①㈱"
    data = {".jsonl": f'{{"text": "{text}"}}\n', ".csv": f"text\n{text}\n", ".txt": text}[suffix]
    (tmp_path / f"r{suffix}").write_bytes(written_in(data, encoding))
    name = {"cp932": "Shift_JIS", "euc-jp": "EUC-JP", "iso-2022-jp": "ISO-2022-JP"}[encoding]
    found = document(read(tmp_path, encoding=name if is_told else None))
    assert (found.text, found.charset) == (text, encoding)


def written_in(text: str, encoding: str) -> bytes:
    """The text as Windows programs write it, which have ① and ㈱ in every Japanese encoding."""
    rows = {"①": b"\xad\xa1", "㈱": b"\xad\xea"}
    if encoding == "cp932":
        return text.encode(encoding)
    if encoding == "euc-jp":
        return b"".join(rows.get(mark) or mark.encode(encoding) for mark in text)
    escaped = (b"\x1b$B" + bytes(byte & 0x7F for byte in rows[mark]) + b"\x1b(B" for mark in rows)
    jis = dict(zip(rows, escaped, strict=True))
    return b"".join(jis.get(mark) or mark.encode(encoding) for mark in text)


def test_a_suffix_counts_at_the_end_of_a_name_however_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "old.jsonl").mkdir()
    (tmp_path / "A.JSONL.GZ").write_bytes(gzip.compress(json.dumps({"text": TEXT}).encode()))
    (tmp_path / "B.JSONL").write_text(json.dumps({"text": TEXT}))
    pq.write_table(pa.Table.from_pylist([{"text": TEXT}]), tmp_path / "C.Parquet")
    (tmp_path / "old.jsonl" / "d.TSV").write_text(f"text\ttitle\n{TEXT}\t題\n")
    assert [item.text for item in read(tmp_path) if isinstance(item, Document)] == [TEXT] * 4


@pytest.mark.parametrize(("name", "separator"), [("t.tsv", "\t"), ("t.csv", ",")])
def test_tables_and_words_that_were_set_apart(tmp_path: Path, name: str, separator: str) -> None:
    rows = [
        ["id", "body", "title"],
        ["1", "首都 は Tokyo Metropolis ( UTC + 9 ) で 、 1 . 4 % 増 。", "首都"],
    ]
    (tmp_path / name).write_text("\n".join(separator.join(row) for row in rows) + "\n")
    found = document(read(tmp_path, fields=RecordFields(text="body"), drop_word_spaces=True))
    assert found.text == "首都はTokyo Metropolis (UTC + 9)で、1.4%増。"


def test_a_torn_line_loses_only_itself(tmp_path: Path) -> None:
    lines = [
        json.dumps({"text": TEXT}),
        '{"text": "torn',
        "[1]",
        json.dumps({"body": TEXT}),
        json.dumps({"text": TEXT}),
    ]
    (tmp_path / "r.jsonl").write_text("\n".join(lines))
    assert reasons(read(tmp_path)) == ["", "damaged_line", "damaged_line", "no_text", ""]


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".tsv", ".csv", ".csv.gz"])
def test_a_line_that_is_too_long_loses_only_itself(tmp_path: Path, suffix: str) -> None:
    def line(number: int, text: str) -> str:
        return json.dumps({"text": text, "id": number}) if "json" in suffix else f"{number}{comma}{text}"

    comma = "\t" if suffix == ".tsv" else ","
    head = [] if "json" in suffix else [f"id{comma}text"]
    texts = [TEXT] * 10 + ["長" * 5_000_000] + [TEXT] * 10
    data = "\n".join([*head, *(line(number, text) for number, text in enumerate(texts))]).encode()
    (tmp_path / f"r{suffix}").write_bytes(gzip.compress(data, 1) if suffix.endswith("gz") else data)
    found = read(tmp_path, max_file_bytes=10_000_000)
    assert reasons(found) == [""] * 10 + ["too_large"] + [""] * 10
    assert [item.id.split("#")[1] for item in found[11:]] == [str(number) for number in range(11, 21)]


def test_a_long_line_within_quotes_takes_its_row_along(tmp_path: Path) -> None:
    rows = ["id,text", f"0,{TEXT}", '1,"前', "長" * 5_000, '後"', f"2,{TEXT}"]
    (tmp_path / "t.csv").write_text("\n".join(rows))
    assert reasons(read(tmp_path, max_file_bytes=5_000)) == ["", "too_large", ""]


def parquet_with_wrong_utf8(path: Path, rows: int, wrong: int) -> None:
    texts = [f"{TEXT}{row}".encode() for row in range(rows)]
    texts[wrong] = b"\xff\xfe" + texts[wrong]
    column = pa.array(texts, pa.binary()).view(pa.string())
    pq.write_table(pa.table({"text": column}), path)


def test_a_row_of_wrong_utf8_loses_only_itself(tmp_path: Path) -> None:
    parquet_with_wrong_utf8(tmp_path / "a.parquet", 600, 300)
    found = read(tmp_path)
    assert reasons(found) == [""] * 300 + ["damaged_row"] + [""] * 299
    assert found[-1].id == "試/a.parquet#599"


def test_a_damaged_footer_is_counted_and_stops_nothing(tmp_path: Path) -> None:
    for name in ("a", "b"):
        pq.write_table(pa.Table.from_pylist([{"text": TEXT}]), tmp_path / f"{name}.parquet")
    data = bytearray((tmp_path / "a.parquet").read_bytes())
    footer = int.from_bytes(data[-8:-4], "little")
    data[-8 - footer : -8] = b"\xff" * footer
    (tmp_path / "a.parquet").write_bytes(bytes(data))
    with pytest.raises(OSError, match="thrift"):
        pq.ParquetFile(tmp_path / "a.parquet")
    assert reasons(read(tmp_path)) == ["damaged", ""]
    dataset = HuggingFaceDataset(HuggingFaceSource(path=tmp_path), Path("."))
    assert reasons([item for batch in dataset.batches() for item in base.read(dataset, batch)]) == [
        "damaged",
        "",
    ]


@pytest.mark.parametrize("value", ["猫".encode(), 5, 1.5, True])
def test_a_column_that_is_no_text_is_not_made_one(tmp_path: Path, value: Any) -> None:
    pq.write_table(pa.table({"text": [value]}), tmp_path / "a.parquet")
    assert reasons(read(tmp_path)) == ["not_text"]


@pytest.mark.parametrize("value", [5, 1.5, True, ["猫", 5]])
def test_a_json_value_that_is_no_text_is_not_made_one(tmp_path: Path, value: Any) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": value}))
    assert reasons(read(tmp_path)) == ["not_text"]


def test_bytes_are_no_title_and_a_number_is_an_id(tmp_path: Path) -> None:
    row = {"text": TEXT, "title": "題".encode(), "id": 7, "date": datetime.date(2020, 1, 2)}
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "a.parquet")
    found = document(read(tmp_path))
    assert (found.id, found.title, found.date) == ("試/a.parquet#7", "", "2020-01-02")


def test_cells_have_a_limit_and_few_are_in_memory_at_once(tmp_path: Path) -> None:
    cells = ["長" * 300_000] * 99 + ["長" * 400_000]
    pq.write_table(pa.table({"text": cells}), tmp_path / "bomb.parquet", compression="zstd")
    del cells
    assert (tmp_path / "bomb.parquet").stat().st_size < 10_000
    source = FilesOnDisk(FilesSource(path=tmp_path, max_file_bytes=1_000_000), Path("."))
    found = []
    before = pa.total_allocated_bytes()
    for item in base.read(source, source.batches()[0]):
        found.append(item.reason if isinstance(item, Unreadable) else "")
        assert pa.total_allocated_bytes() - before < 40 * 2**20
    assert found == [""] * 99 + ["too_large"]


@pytest.mark.parametrize("encoding", ["utf-8", "cp932", "euc-jp"])
def test_a_line_of_wrong_bytes_does_not_hide_the_encoding_of_the_others(
    tmp_path: Path, encoding: str
) -> None:
    line = json.dumps({"text": TEXT}, ensure_ascii=False).encode(encoding)
    (tmp_path / "r.jsonl").write_bytes(b"\n".join([line, b'{"text": "\xff\xff\x81"}', line, line]))
    found = read(tmp_path)
    assert reasons(found) == ["", "damaged_line", "", ""]
    assert {item.charset for item in found if isinstance(item, Document)} == {encoding}
    (tmp_path / "r.jsonl").write_bytes(bytes(range(256)) * 9)
    assert reasons(read(tmp_path)) == ["undecodable"]


def test_half_a_surrogate_pair_in_json_is_mended(tmp_path: Path) -> None:
    (tmp_path / "r.jsonl").write_text('{"text": "猫\\ud83d犬", "id": "\\udc00"}\n')
    found = document(read(tmp_path))
    assert found.text == "猫\ufffd犬"
    found.id.encode("utf-8")


def test_a_table_row_of_the_wrong_width_or_encoding_is_counted(tmp_path: Path) -> None:
    data = f"text\ttitle\n{TEXT}\t題\nno title\n".encode() + b"\xff\xfe\t\xff\n"
    (tmp_path / "t.tsv").write_bytes(data)
    assert reasons(read(tmp_path, encoding="utf-8")) == ["", "damaged_line", "undecodable"]


def damaged_files(folder: Path) -> None:
    (folder / "binary.txt").write_bytes(bytes(range(256)))
    (folder / "torn.txt.gz").write_bytes(gzip.compress(TEXT.encode() * 100)[:40])
    (folder / "torn.jsonl.gz").write_bytes(
        gzip.compress((json.dumps({"text": TEXT}) + "\n").encode() * 500)[:60]
    )
    (folder / "deep.html").write_text("<div>" * 100_000)
    (folder / "large.txt").write_text("長" * 1_000)
    (folder / "wrong.parquet").write_bytes(b"PAR1 no parquet PAR1")
    pq.write_table(pa.table({"other": ["x"]}), folder / "columns.parquet")
    with zipfile.ZipFile(folder / "z.zip", "w") as archive:
        archive.writestr("in.txt", TEXT)
    data = bytearray((folder / "z.zip").read_bytes())
    data[data.index("猫".encode())] ^= 0xFF
    (folder / "z.zip").write_bytes(bytes(data))


def test_what_cannot_be_read_is_counted_and_stops_nothing(tmp_path: Path) -> None:
    damaged_files(tmp_path)
    (tmp_path / "zz.txt").write_text(TEXT)
    items = read(tmp_path, max_file_bytes=2_000)
    found = {
        item.id.split("/")[1].split("#")[0]: item.reason for item in items if isinstance(item, Unreadable)
    }
    assert found == {
        "binary.txt": "undecodable",
        "columns.parquet": "no_text_column",
        "deep.html": "too_large",
        "large.txt": "too_large",
        "torn.jsonl.gz": "damaged",
        "torn.txt.gz": "damaged",
        "wrong.parquet": "damaged",
        "z.zip": "damaged",
    }
    assert [item.text for item in items if isinstance(item, Document)] == [TEXT]


def test_html_that_nests_too_deep_is_counted(tmp_path: Path) -> None:
    (tmp_path / "deep.html").write_text("<div>" * 100_000)
    assert reasons(read(tmp_path)) == ["nested_too_deep"]


def test_real_dialogues_and_news(shared_data: Path) -> None:
    fields = RecordFields(text="turns.*.1", group="interlocutors.*")
    source = FilesOnDisk(FilesSource(path=Path("real-persona-chat.jsonl.gz"), fields=fields), shared_data)
    first = next(base.read(source, source.batches()[0]))
    assert isinstance(first, Document)
    assert first.text.startswith("よろしくお願いいたします。\nよろしくお願いします！\n")
    assert first.group == "real-persona-chat/AA+AB"
