"""One name for each license: SPDX expressions out of what people write.

`cc-by-nc-4.0`, `CC BY-NC 4.0`, `https://creativecommons.org/licenses/by-nc/4.0/`, 「表示 - 非営利 4.0」 and
`Attribution-NonCommercial 4.0 International` are one license and get one name. A name is read only where
every word of it is understood; what is not stays as it is written, so that `core.licenses` finds it unclear.
A license that SPDX has no name for (a version that is not told, a jurisdiction's port) is a `LicenseRef-`.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

UNKNOWN = "LicenseRef-unknown"

_FAMILIES = {"AGPL": "1.0 3.0", "GPL": "1.0 2.0 3.0", "LGPL": "2.0 2.1 3.0", "GFDL": "1.1 1.2 1.3"}
_NAMES = (
    *("MIT", "ISC", "Zlib", "WTFPL", "Unlicense", "Apache-1.1", "Apache-2.0", "Artistic-1.0", "Artistic-2.0"),
    *("BSD-2-Clause", "BSD-3-Clause", "BSD-4-Clause", "MPL-1.1", "MPL-2.0", "EPL-1.0", "EPL-2.0", "OFL-1.1"),
    *("EUPL-1.1", "EUPL-1.2", "OSL-3.0", "ODC-By-1.0", "ODbL-1.0", "PDDL-1.0", "C-UDA-1.0", "etalab-2.0"),
)
_FILLERS = re.compile(r"\b(?:the|license|licence|version)\b|[\s._,-]")


def _loose(name: str) -> str:
    return _FILLERS.sub("", name.lower())


_KNOWN = {
    **{_loose(name): name for name in _NAMES},
    **{
        _loose(name): name
        for family, versions in _FAMILIES.items()
        for version in versions.split()
        for name in (f"{family}-{version}{end}" for end in ("", "-only", "-or-later"))
    },
    # as the Hugging Face Hub writes them
    "odcby": "ODC-By-1.0",
    "odbl": "ODbL-1.0",
    "pddl": "PDDL-1.0",
    "gfdl": "GFDL-1.3-only",
    "other": UNKNOWN,
    "unknown": UNKNOWN,
    "publicdomain": "LicenseRef-public-domain",
    "パブリックドメイン": "LicenseRef-public-domain",
}
_OPERATOR = re.compile(r"\s+(AND|OR|WITH)\s+")
_MISPLACED = re.compile(r"[^\s(]\s*\(|\)\s*[^\s)]|(?:^|[\s()])(?:AND|OR|WITH)(?:$|[\s()])|^[\s()]*$")
"""Between operators: a parenthesis behind a name or before one, another operator, nothing."""
_CC_URL = re.compile(
    r"<?(?:https?:)?//(?:www\.)?creativecommons\.org/(licenses|publicdomain)/([a-z-]+)"
    r"/(\d\.\d)(?:/([a-z]{2}|igo)(?=[/]|$))?",
    re.IGNORECASE,
)
_ELEMENTS = {
    "by": re.compile(r"attribution|表示"),
    "nc": re.compile(r"non[- ]?commercial|非営利"),
    "nd": re.compile(r"no[- ]?deriv(?:ative)?(?:s| works)?|改変禁止"),
    "sa": re.compile(r"share[- ]?alike|継承"),
}
_CC_MARKS = {"cc", "creative", "commons", "クリエイティブ", "コモンズ"}
_CC_FILLERS = {
    *("license", "licence", "licensed", "under", "the", "a", "version", "v", "ver"),
    *("international", "unported", "generic", "universal", "ライセンス", "国際", "非移植", "全世界"),
}
_CC0 = {"cc0", "zero", "public", "domain", "dedication", "1.0", "パブリック", "ドメイン"}
_WORD = re.compile(r"\d\.\d|cc0|[a-z]+|\d+|[^\W\d_a-z]+")


@lru_cache(maxsize=4096)
def spdx_of(name: str) -> str:
    """The SPDX expression of a license's name or URL, of an expression of them, or of several lines, which
    all hold; a name that is not known as it is written."""
    lines = filter(None, map(str.strip, name.splitlines()))
    found = list(dict.fromkeys(map(_expression, lines)))
    if len(found) < 2:
        return "".join(found)
    if any(re.search(r"\s", one) and not _OPERATOR.search(one) for one in found):
        return name.strip()  # prose
    return " AND ".join(f"({one})" if " OR " in one else one for one in found)


def creative_commons_of(url: str) -> str:
    """The SPDX expression of a Creative Commons license's URL, or an empty string."""
    match = _CC_URL.match(url.strip())
    if not match:
        return ""
    family, terms, version, jurisdiction = match.groups()
    if family.lower() == "publicdomain":
        return {"zero": "CC0-1.0", "mark": "CC-PDM-1.0"}.get(terms.lower(), "")
    return _creative_commons(terms.upper(), version, jurisdiction or "")


def words_of(name: str) -> list[str]:
    """The words of a license's name in small letters, elements of Creative Commons as their letters."""
    key = unicodedata.normalize("NFKC", name).lower()
    for element, spelled in _ELEMENTS.items():
        key = spelled.sub(f" {element} ", key)
    return [f"{word}.0" if re.fullmatch("[1-4]", word) else word for word in _WORD.findall(key)]


def _expression(line: str) -> str:
    pieces = _OPERATOR.split(line)
    if len(pieces) == 1:
        return _one(line)
    if any(map(_MISPLACED.search, pieces[::2])):
        return line  # no expression: nobody knows what it says
    pieces[::2] = [
        "".join(_one(part) if part not in "()" else part for part in re.split(r"([()])", piece))
        for piece in pieces[::2]
    ]
    return " ".join(pieces)


def _one(name: str) -> str:
    """The SPDX name of one license."""
    if not name.strip() or name.startswith("LicenseRef-"):
        return name
    key = unicodedata.normalize("NFKC", name).strip().lower()
    return creative_commons_of(key) or _KNOWN.get(_loose(key), "") or _spelled_out(key) or name.strip()


def _spelled_out(key: str) -> str:
    """The name of a Creative Commons license that is written in words or letters, or an empty string."""
    words = [word for word in words_of(key) if word not in _CC_FILLERS]
    rest = [word for word in words if word not in _CC_MARKS]
    if rest and set(rest) <= _CC0 and ("cc0" in rest or (len(rest) < len(words) and "zero" in rest)):
        return "CC0-1.0"
    jurisdiction = ""
    if len(rest) > 2 and re.fullmatch(r"\d\.\d", rest[-2]) and re.fullmatch(r"[a-z]{2}|igo|日本", rest[-1]):
        jurisdiction = rest.pop().replace("日本", "jp")
    elements = [element for element in _ELEMENTS if element in rest]
    version = "".join({word for word in rest if word not in _ELEMENTS})
    is_marked = len(rest) < len(words) or "by" in elements
    if not elements or not is_marked or not re.fullmatch(r"(\d\.\d)?", version):
        return ""
    return _creative_commons("-".join(elements).upper(), version, jurisdiction)


def _creative_commons(elements: str, version: str, jurisdiction: str) -> str:
    name = "-".join(filter(None, ("CC", elements, version, jurisdiction.upper())))
    return name if version and not jurisdiction else f"LicenseRef-{name}"
