"""Debian packages made on the spot, for tests that must not need an archive."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa

COPYRIGHT = """Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Source: https://example.org/

Files: *
Copyright: 2020 甲
License: GPL-2

Files: Documentation/*
License: GFDL-1.3+

License: GPL-2
 This is free software; either version 2, or (at your option)
 any later version.
"""
SENTENCES = (
    "このコマンドは、指定したディレクトリにあるファイルの一覧を標準出力に表示します。",
    "オプションを付けない場合は、現在のディレクトリが対象になります。",
    "設定を変更した後は、必ずサービスを再起動して、動作を確認してください。",
    "詳しい説明は、後に続く章にあります。",
    "バグを見つけたときは、版と再現の手順を添えて報告してください。",
)


def prose(name: str) -> str:
    """A few hundred characters of Japanese that differ from page to page."""
    return "\n".join(f"{name}の{number}番目の話。{sentence}" for number, sentence in enumerate(SENTENCES))


def manual(name: str) -> bytes:
    """The gzipped source of a man page."""
    lines = f".TH {name} 1\n.SH 名前\n{name} \\- {name}の説明\n.SH 説明\n" + "\n.PP\n".join(
        prose(name).split("\n")
    )
    return gzip.compress(lines.encode(), mtime=0)


def page(name: str) -> bytes:
    """An HTML page with its furniture."""
    body = "".join(f"<p>{line}</p>" for line in prose(name).split("\n"))
    return f"<html><title>{name}</title><body><nav>目次</nav>{body}</body></html>".encode()


def write_package(folder: Path, name: str, files: Mapping[str, bytes], compression: str = "xz") -> Path:
    """The path of a .deb that holds `files`; `compression` is gz, xz or zst."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w" if compression == "zst" else f"w:{compression}") as archive:  # type: ignore[call-overload]
        for place, data in files.items():
            info = tarfile.TarInfo(f"./{place}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        link = tarfile.TarInfo("./usr/share/man/ja/man1/alias.1.gz")
        link.type, link.linkname = tarfile.SYMTYPE, "ls.1.gz"
        archive.addfile(link)
    data = buffer.getvalue()
    if compression == "zst":
        data = pa.Codec("zstd").compress(data, asbytes=True)
    path = folder / f"{name}_1.0-1_all.deb"
    path.parent.mkdir(parents=True, exist_ok=True)
    parts = {"debian-binary": b"2.0\n", "control.tar.xz": b"odd", f"data.tar.{compression}": data}
    with open(path, "wb") as file:
        file.write(b"!<arch>\n")
        for part, content in parts.items():
            file.write(f"{part:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode())
            file.write(content + b"\n" * (len(content) % 2))
    return path


def documentation(folder: Path) -> tuple[str, ...]:
    """Two packages of manuals and pages in `folder`; their names."""
    names = ["ls", "cp", "mv", "rm", "cat", "head", "tail", "sort"]
    manuals = {f"usr/share/man/ja/man1/{name}.1.gz": manual(name) for name in names}
    notice = {"usr/share/doc/kun-ja/copyright": COPYRIGHT.encode()}
    pages = {
        f"usr/share/doc/kun/html/Documentation/{name}00.ja.html": page(name) for name in ["aa", "bb", "cc"]
    }
    write_package(folder, "man-ja", manuals)
    write_package(folder, "kun-ja", {**notice, **pages, "usr/share/kun/index.html": page("index")}, "zst")
    return ("man-ja", "kun-ja")
