"""Licenses as SPDX expressions, never freer than the text says."""

from __future__ import annotations

import pytest
from tests.corpus.packages import COPYRIGHT

from tsuzuri.corpus.sources.debian_copyright import license_of, license_of_manual, parse_copyright, to_spdx


def test_a_copyright_file() -> None:
    files = parse_copyright(COPYRIGHT, "kun-ja")
    assert license_of("usr/share/doc/kun/html/Documentation/a/b.html", files, "kun-ja") == "GFDL-1.3-or-later"
    assert license_of("usr/share/kun/index.html", files, "kun-ja") == "GPL-2.0-or-later"


def test_a_notice_in_prose_gives_the_packages_own_name() -> None:
    files = parse_copyright(
        "This package was debianized by somebody.\n\nCopyright: see each page.\n", "man-ja"
    )
    assert license_of("usr/share/man/ja/man1/ls.1.gz", files, "man-ja") == "LicenseRef-man-ja"


@pytest.mark.parametrize(
    ("name", "body", "spdx"),
    [
        ("GPL-2", "", "GPL-2.0-only"),
        ("GPL-2", "either version 2, or any\nlater version", "GPL-2.0-or-later"),
        ("GPL-3+", "", "GPL-3.0-or-later"),
        ("LGPL-2.1+", "", "LGPL-2.1-or-later"),
        ("GFDL-NIV-1.3+", "", "GFDL-1.3-or-later"),
        ("Expat", "", "MIT"),
        ("MPL-2.0", "", "MPL-2.0"),
        ("GPL-2+ or Artistic-2.0", "", "GPL-2.0-or-later OR Artistic-2.0"),
        ("Something", "", "LicenseRef-p"),
    ],
)
def test_names(name: str, body: str, spdx: str) -> None:
    assert to_spdx(name, body, "p") == spdx


@pytest.mark.parametrize(
    ("comment", "spdx"),
    [
        ("%%%LICENSE_START(VERBATIM)", "Linux-man-pages-copyleft"),
        ("%%%LICENSE_START(VERBATIM_ONE_PARA)", "Linux-man-pages-1-para"),
        ("%%%LICENSE_START(GPLv2+_DOC_FULL)", "GPL-2.0-or-later"),
        ("%%%LICENSE_START(GPLv2_MISC)", "GPL-2.0-only"),
        ("%%%LICENSE_START(NEVER_SEEN)", "LicenseRef-p"),
        ("GNU General Public License version 2 or any later version", "GPL-2.0-or-later"),
        ("Redistribution and use in source and binary forms", "BSD-2-Clause"),
        ("nothing about it", "LicenseRef-p"),
    ],
)
def test_manual_pages(comment: str, spdx: str) -> None:
    assert license_of_manual(f'.\\" {comment}\n.TH X 1\n', "p") == spdx
