"""What every kind of source promises, asked of each of them on files that hold one damaged thing."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tests.corpus import dumps, warcs
from tests.corpus.packages import COPYRIGHT, manual, page, write_package

from tsuzuri.core.errors import InputError
from tsuzuri.corpus.build import open_source
from tsuzuri.corpus.document import COLUMNS, Document, as_row
from tsuzuri.corpus.sources import base
from tsuzuri.corpus.sources.base import FAILED, Item, Source, Unreadable, described, read_item
from tsuzuri.corpus.sources.config import (
    AnySource,
    AozoraSource,
    CommonCrawlSource,
    DebianDocsSource,
    FilesSource,
    HuggingFaceSource,
    WikipediaSource,
)
from tsuzuri.corpus.sources.debian_docs import DebianDocs

TEXT = "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。"
ALL = {"url", "license", "title", "date", "charset", "group"}


def files(folder: Path) -> AnySource:
    (folder / "a.txt").write_text(TEXT)
    (folder / "b.txt.gz").write_bytes(gzip.compress(TEXT.encode() * 99)[:40])
    (folder / "c.jsonl").write_text(
        json.dumps({"text": TEXT, "url": "https://example.jp", "date": "2020"}) + '\n{"te'
    )
    return FilesSource(path=folder)


def aozora(folder: Path) -> AnySource:
    for number in (1, 2):
        work = f"題{number}\n甲野乙\n\n{TEXT}\n\n底本：「全集」\n2001年5月3日公開\n"
        path = folder / "000100" / f"{number}_ruby_1.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(work.encode("cp932"))
    (folder / "000100" / "3_ruby_1.txt").write_bytes(bytes(range(256)))
    return AozoraSource(path=folder)


def debian_docs(folder: Path) -> AnySource:
    contents = {
        "usr/share/doc/made/copyright": COPYRIGHT.encode(),
        "usr/share/man/ja/man1/a.1.gz": manual("a"),
        "usr/share/man/ja/man1/b.1.gz": manual("b")[:50],
        "usr/share/doc/made/html/p.html": page("p"),
    }
    write_package(folder, "made", contents)
    return DebianDocsSource(packages=("made",))


def common_crawl(folder: Path) -> AnySource:
    pytest.importorskip("fastwarc")
    records = [warcs.record(number, warcs.web_page(f"題{number}").encode()) for number in range(3)]
    (folder / "a.warc.gz").write_bytes(warcs.archive(records)[:-30])
    return CommonCrawlSource(path=folder)


def wikipedia(folder: Path) -> AnySource:
    pages = [dumps.page(number, f"題{number}", f"{TEXT}{number}") for number in range(1, 9)]
    (folder / "jawiki-pages-articles.xml.bz2").write_bytes(dumps.multistream(pages, 2)[:-60])
    return WikipediaSource(path=folder)


def hugging_face(folder: Path) -> AnySource:
    table = pa.Table.from_pylist(
        [{"text": f"{TEXT}{number}", "url": "u", "date": "d", "title": "t"} for number in range(9)]
    )
    path = folder / "data-00000-of-00001.arrow"
    with pa.ipc.new_stream(str(path), table.schema) as writer:
        writer.write_table(table, max_chunksize=3)
    path.write_bytes(path.read_bytes()[:-200])
    (folder / "README.md").write_text("---\nlicense: cc0-1.0\n---\n")
    return HuggingFaceSource(path=folder)


KINDS: dict[Callable[[Path], AnySource], set[str]] = {
    files: {"license", "charset", "group"},
    aozora: ALL,
    debian_docs: {"url", "license", "charset", "group"},
    common_crawl: ALL,
    wikipedia: ALL,
    hugging_face: ALL,
}


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def kind(request: pytest.FixtureRequest) -> Callable[[Path], AnySource]:
    chosen: Callable[[Path], AnySource] = request.param
    return chosen


def opened(config: AnySource, folder: Path) -> Source[Any]:
    # Debian packages come from a cache here, so that no archive is asked
    return (
        DebianDocs(config, folder) if isinstance(config, DebianDocsSource) else open_source(config, Path("."))
    )


def read(source: Source[Any]) -> Iterator[Document | Unreadable]:
    for batch in source.batches():
        yield from base.read(source, batch)


def test_a_source_keeps_its_promises(tmp_path: Path, kind: Callable[[Path], AnySource]) -> None:
    source = opened(kind(tmp_path), tmp_path)
    batches = list(source.batches())
    assert batches == list(opened(source.config, tmp_path).batches())
    for batch in reversed(batches):  # alone, twice and in any order
        assert list(base.read(source, batch)) == list(base.read(source, batch))
    found = list(read(source))
    documents = [item for item in found if isinstance(item, Document)]
    damage = [item for item in found if isinstance(item, Unreadable)]
    assert len(documents) >= 2
    assert len({item.id for item in found}) == len(found)
    assert damage, "what was damaged is counted"
    assert all(item.reason.replace("_", "").isalpha() and item.id for item in damage)
    for document in documents:
        assert document.source == source.name
        assert document.id.startswith(f"{source.name}/")
        assert TEXT in document.text or "。" in document.text
        assert {name for name in KINDS[kind] if getattr(document, name)} == KINDS[kind]
        assert set(as_row(document)) == set(COLUMNS)
        assert isinstance(json.loads(document.meta), dict)


def test_a_fingerprint_is_of_the_content_alone(tmp_path: Path, kind: Callable[[Path], AnySource]) -> None:
    prints = set()
    for folder in (tmp_path / "here", tmp_path / "there"):
        folder.mkdir()
        prints.add(opened(kind(folder), folder).fingerprint())
    assert len(prints) == 1
    changed = next(path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".md")
    changed.write_bytes(changed.read_bytes() + b"\n")
    assert opened(kind_config := _again(kind, folder), folder).fingerprint() not in prints, kind_config


def _again(kind: Callable[[Path], AnySource], folder: Path) -> AnySource:
    """The configuration for what lies in a folder, which is not made again."""
    made = kind(_spare(folder))
    return made if isinstance(made, DebianDocsSource) else made.model_copy(update={"path": folder})


def _spare(folder: Path) -> Path:
    path = folder.parent / "spare"
    path.mkdir()
    return path


@pytest.mark.parametrize("name", ["empty", "absent"])
def test_a_source_without_anything_to_read_is_an_error(
    tmp_path: Path, kind: Callable[[Path], AnySource], name: str
) -> None:
    if kind is debian_docs:
        pytest.skip("its packages are asked of the archive")
    (tmp_path / "full").mkdir()
    (tmp_path / "empty").mkdir()
    config = kind(tmp_path / "full").model_copy(update={"path": tmp_path / name})
    with pytest.raises(InputError) as caught:
        list(open_source(config, Path(".")).batches())
    assert caught.value.hint


@pytest.mark.parametrize(
    ("error", "is_raised"),
    [
        (InputError("wrong", hint="mend it"), True),
        (FileNotFoundError(2, "No such file"), True),
        (gzip.BadGzipFile("Not a gzipped file"), False),
        (pa.ArrowInvalid("no footer"), False),
        (MemoryError(), False),
    ],
)
def test_only_errors_for_the_user_leave_the_reading_of_an_item(error: Exception, is_raised: bool) -> None:
    def fail() -> None:
        raise error

    item = Item("x/1", fail)
    if is_raised:
        with pytest.raises(type(error)):
            read_item(item)
    else:
        found = read_item(item)
        assert isinstance(found, Unreadable)
        assert (found.id, found.reason, found.detail) == ("x/1", FAILED, described(error))
