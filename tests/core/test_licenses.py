from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsuzuri.core.licenses import Terms, terms_of
from tsuzuri.corpus.sources import debian_copyright

FREE = Terms()
BY = Terms(attribution=True)
BY_SA = Terms(attribution=True, share_alike=True)
COPYLEFT = Terms(attribution=True, share_alike=True, copyleft=True)
UNCLEAR = Terms(unclear=True)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("MIT", BY),
        ("BSD-3-Clause", BY),
        ("Linux-man-pages-1-para", BY),
        ("Linux-man-pages-copyleft-var", COPYLEFT),
        ("MPL-2.0", COPYLEFT),
        ("CC0-1.0", FREE),
        ("LicenseRef-PD-JP", FREE),
        ("CC-BY-4.0", BY),
        ("LicenseRef-CC-BY-2.1-JP", BY),
        ("CC-BY-SA-3.0", BY_SA),
        ("GPL-2.0-or-later", COPYLEFT),
        ("GFDL-1.3-no-invariants-or-later", COPYLEFT),
        ("CC-BY-ND-2.1-JP", Terms(attribution=True, no_derivatives=True)),
        ("LicenseRef-CC-BY-NC-ND-2.1-JP", Terms(attribution=True, noncommercial=True, no_derivatives=True)),
        ("GPL-2.0-only WITH Classpath-exception-2.0", COPYLEFT),
        ("MIT AND CC-BY-4.0", BY),
        ("CC-BY-NC-4.0 OR CC-BY-4.0", BY),
        ("GFDL-1.3-only OR CC-BY-SA-3.0", BY_SA),
        ("CC-BY-NC-4.0 OR GPL-3.0-only AND MIT", COPYLEFT),
        ("(CC-BY-NC-4.0 OR MIT) AND CC-BY-4.0", BY),
        ("LicenseRef-unknown OR MIT", BY),
        ("MIT OR CC0-1.0", FREE),
        ("LicenseRef-manpages-ja", UNCLEAR),
        ("MIT AND LicenseRef-manpages-ja", Terms(attribution=True, unclear=True)),
        ("LicenseRef-CC-2.1-JP", UNCLEAR),
        ("Not-In-The-Tables-1.0", UNCLEAR),
        ("NOASSERTION", UNCLEAR),
        ("", UNCLEAR),
        ("MIT AND", UNCLEAR),
        ("(MIT", UNCLEAR),
        ("MIT CC-BY-4.0", UNCLEAR),
        ("OR", UNCLEAR),
    ],
)
def test_terms(expression: str, expected: Terms) -> None:
    assert terms_of(expression) == expected


@pytest.mark.parametrize(
    "license_",
    sorted(
        {
            *debian_copyright._SAME_NAME.values(),
            *dict(debian_copyright._MARKS).values(),
            *dict(debian_copyright._WORDINGS).values(),
        }
    ),
)
def test_every_license_that_packages_are_found_to_have_is_known(license_: str) -> None:
    assert not terms_of(license_).unclear


@given(st.text(alphabet="AND OR()WITHCC-BY-NC4.0 MIT", max_size=60))
def test_any_text_has_terms(expression: str) -> None:
    assert isinstance(terms_of(expression), Terms)


def test_terms_are_said_in_both_languages() -> None:
    assert (
        terms_of("CC-BY-NC-SA-4.0").in_words()
        == "商用禁止 no commercial use、表示 attribution、継承 share-alike"
    )
    assert COPYLEFT.in_words() == "表示 attribution、継承 share-alike、コピーレフト copyleft"
    assert FREE.in_words() == "–"
