"""Licenses as SPDX expressions: out of `debian/copyright` (DEP-5) and out of the comments of manual pages.

What has no SPDX name is `LicenseRef-<package>`; a license is never guessed to be freer than its text says.
"""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass

_VERSIONED = re.compile(r"^(AGPL|LGPL|GPL|GFDL)-?(?:NIV-)?v?(\d+(?:\.\d+)?)(\+|-or-later)?$", re.IGNORECASE)
_SAME_NAME = {
    name.lower(): name
    for name in [
        "MPL-1.1",
        "MPL-2.0",
        "Apache-2.0",
        "MIT",
        "ISC",
        "Zlib",
        "OFL-1.1",
        "CC0-1.0",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "BSD-4-Clause",
        "Artistic-2.0",
        "CC-BY-3.0",
        "CC-BY-4.0",
        "CC-BY-SA-3.0",
        "CC-BY-SA-4.0",
    ]
} | {"expat": "MIT", "public-domain": "LicenseRef-public-domain"}
_LATER = re.compile(r"any\s+later\s+version")
_MARKED = re.compile(r"%%%LICENSE_START\(([A-Za-z0-9_+]+)\)")
# The names are those of the Linux man-pages project; the SPDX list has its licenses since version 3.18.
_MARKS = (
    ("VERBATIM_ONE_PARA", "Linux-man-pages-1-para"),
    ("VERBATIM_TWO_PARA", "Linux-man-pages-copyleft-2-para"),
    ("VERBATIM_PROF", "Linux-man-pages-copyleft-var"),
    ("VERBATIM", "Linux-man-pages-copyleft"),
    ("GPLv2+", "GPL-2.0-or-later"),
    ("GPLv2", "GPL-2.0-only"),
    ("GPL_NOVERSION", "GPL-1.0-or-later"),
    ("BSD_4_CLAUSE_UCB", "BSD-4-Clause-UC"),
    ("BSD_3_CLAUSE_UCB", "BSD-3-Clause"),
    ("MIT", "MIT"),
    ("PUBLIC_DOMAIN", "LicenseRef-public-domain"),
)
_WORDINGS = (
    (r"Permission is hereby granted, free of charge", "MIT"),
    (r"Redistribution and use in source(?s:.)*All advertising materials", "BSD-4-Clause"),
    (r"Redistribution and use in source(?s:.)*Neither the name", "BSD-3-Clause"),
    (r"Redistribution and use in source", "BSD-2-Clause"),
    (r"Free Documentation License", "GFDL-1.1-or-later"),
    (
        r"verbatim\s+copies\s+of\s+this\s+manual(?s:.)*entire\s+resulting\s+derived\s+work",
        "Linux-man-pages-copyleft",
    ),
    (r"GPLv3\+", "GPL-3.0-or-later"),
    (r"General\s+Public\s+License(?s:.)*version\s+3(?s:.)*any\s+later\s+version", "GPL-3.0-or-later"),
    (r"General\s+Public\s+License(?s:.)*version\s+2(?s:.)*any\s+later\s+version", "GPL-2.0-or-later"),
    (r"General\s+Public\s+License(?s:.)*any\s+later\s+version", "GPL-1.0-or-later"),
)


@dataclass(frozen=True, slots=True)
class FilesLicense:
    """One Files paragraph of a copyright file."""

    patterns: tuple[str, ...]
    license: str


def parse_copyright(text: str, package: str) -> list[FilesLicense]:
    """The Files paragraphs of a DEP-5 file in their order; none where the file is in no such form."""
    paragraphs = [_fields(paragraph) for paragraph in re.split(r"\n[ \t]*\n", text)]
    bodies = {
        name: body
        for fields in paragraphs
        if "files" not in fields
        for name, body in [_license_field(fields)]
        if name
    }
    found = []
    for fields in paragraphs:
        name, body = _license_field(fields)
        if "files" in fields and name:
            patterns = tuple(fields["files"].split())
            found.append(FilesLicense(patterns, to_spdx(name, body or bodies.get(name, ""), package)))
    return found


def license_of(path: str, files: list[FilesLicense], package: str) -> str:
    """The license of an installed file: the last paragraph whose pattern fits the path or an end of it."""
    parts = path.split("/")
    ends = ["/".join(parts[at:]) for at in range(len(parts))]
    for item in reversed(files):
        for pattern in item.patterns:
            if pattern == "*" or ("/" in pattern and any(fnmatch.fnmatchcase(end, pattern) for end in ends)):
                return item.license
    return f"LicenseRef-{package}"


def to_spdx(name: str, body: str, package: str) -> str:
    """The SPDX expression of a DEP-5 license name; `body` tells whether later versions are allowed."""
    if " or " in name or " and " in name:
        words = re.split(r"[ ,]+(or|and)[ ]+", name)
        return " ".join(
            word.upper() if word in ("or", "and") else to_spdx(word, body, package) for word in words
        )
    if match := _VERSIONED.match(name.strip()):
        version = match.group(2) if "." in match.group(2) else match.group(2) + ".0"
        later = match.group(3) or _LATER.search(body)
        return f"{match.group(1).upper()}-{version}-{'or-later' if later else 'only'}"
    return _SAME_NAME.get(name.strip().lower(), f"LicenseRef-{package}")


def license_of_manual(source: str, package: str) -> str:
    """The license that a manual page's comments (or its copyright section) state."""
    lines = [
        line.lstrip(".'\\\" ") for line in source.split("\n") if line.startswith(('.\\"', "'\\\"", '\\"'))
    ]
    comments = "\n".join(lines)
    if match := _MARKED.search(comments):
        return next(
            (spdx for mark, spdx in _MARKS if match.group(1).startswith(mark)), f"LicenseRef-{package}"
        )
    for text in (comments, source):
        for wording, spdx in _WORDINGS:
            if re.search(wording, text):
                return spdx
    return f"LicenseRef-{package}"


def _fields(paragraph: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    name = ""
    for line in paragraph.split("\n"):
        if line.startswith((" ", "\t")) and name:
            fields[name] += "\n" + line.strip()
        elif ":" in line and not line.startswith("#"):
            name, _, value = line.partition(":")
            name = name.lower()
            fields[name] = value.strip()
    return fields


def _license_field(fields: dict[str, str]) -> tuple[str, str]:
    name, _, body = fields.get("license", "").partition("\n")
    return name.strip(), body
