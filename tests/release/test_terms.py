from __future__ import annotations

import pytest

from tsuzuri.core.errors import InputError
from tsuzuri.release.terms import check_terms, chosen_license, conflicts


def of(*licenses: str) -> dict[str, dict[str, dict[str, int]]]:
    """Sources, one for each license."""
    return {f"s{place}": {"licenses": {name: 3}} for place, name in enumerate(licenses)}


@pytest.mark.parametrize(
    ("licenses", "expected"),
    [
        ((), "Apache-2.0"),
        (("LicenseRef-PD-JP", "MIT", "CC-BY-2.1-JP"), "Apache-2.0"),
        (("LicenseRef-PD-JP", "CC-BY-SA-3.0"), "CC-BY-SA-4.0"),
        (("CC-BY-NC-4.0", "CC0-1.0"), "CC-BY-NC-4.0"),
        (("CC-BY-NC-4.0", "CC-BY-SA-3.0"), "CC-BY-NC-SA-4.0"),
        (("CC-BY-NC-4.0 OR CC-BY-4.0",), "Apache-2.0"),
        (("GPL-3.0-only", "CC-BY-ND-4.0"), "Apache-2.0"),
    ],
)
def test_the_license_is_chosen_from_those_of_the_documents(licenses: tuple[str, ...], expected: str) -> None:
    assert chosen_license(of(*licenses)) == expected


def test_restricted_sources_are_refused_by_name_with_what_they_say() -> None:
    sources = {
        "aozora": {"licenses": {"LicenseRef-PD-JP": 3}},
        "livedoor": {"licenses": {"CC-BY-ND-2.1-JP": 7}},
        "photos": {"licenses": {"MIT": 1, "CC-BY-NC-4.0": 2}},
        "manuals": {"licenses": {"GFDL-1.3-only": 4, "GPL-2.0-or-later": 1200}},
    }
    assert conflicts(sources, None) == {
        "livedoor": ["CC-BY-ND-2.1-JP (7 documents) forbids edited copies"],
        "photos": ["CC-BY-NC-4.0 (2 documents) forbids commercial use"],
        "manuals": [
            "GPL-2.0-or-later (1,200 documents) asks that what is made from it carry the same license and "
            "come with its source",
            "GFDL-1.3-only (4 documents) asks that what is made from it carry the same license with its "
            "notices and invariant sections",
        ],
    }
    with pytest.raises(InputError, match=r"livedoor: CC-BY-ND.*; photos: CC-BY-NC.*; manuals: GPL") as caught:
        check_terms(sources, ())
    assert "allow_restricted=[livedoor, photos, manuals]" in caught.value.hint
    with pytest.raises(InputError, match=r"release: photos: CC-BY-NC-4\.0") as caught:
        check_terms(sources, ("livedoor", "manuals"))
    assert "livedoor" not in caught.value.message
    check_terms(sources, ("livedoor", "photos", "manuals"))


@pytest.mark.parametrize(
    "license_", ["cc-by-nc-4.0", "CC BY-ND 4.0", "https://creativecommons.org/licenses/by-nc/4.0/"]
)
def test_a_restricted_source_is_refused_however_its_license_is_written(license_: str) -> None:
    with pytest.raises(InputError, match="photos"):
        check_terms({"photos": {"licenses": {license_: 2}}}, ())


@pytest.mark.parametrize(
    ("documents", "release", "stands"),
    [
        ("CC-BY-NC-4.0", "CC-BY-NC-SA-4.0", False),
        ("CC-BY-NC-ND-4.0", "CC-BY-NC-SA-4.0", True),
        ("GPL-2.0-or-later", "GPL-3.0-or-later", False),
        ("LGPL-2.1-only", "GPL-3.0-or-later", False),
        ("GFDL-1.3-only", "GPL-3.0-or-later", True),
        ("MPL-2.0", "Apache-2.0", True),
        ("GPL-2.0-only OR MIT", "Apache-2.0", False),
        ("CC-BY-SA-3.0", "Apache-2.0", False),
        ("LicenseRef-unknown", "Apache-2.0", False),
    ],
)
def test_a_license_that_gives_what_is_asked_is_no_conflict(
    documents: str, release: str, stands: bool
) -> None:
    assert bool(conflicts(of(documents), release)) == stands
