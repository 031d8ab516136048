from __future__ import annotations

import pytest

from tsuzuri.core.errors import InputError
from tsuzuri.release.terms import check_terms


def test_a_restricted_source_is_refused_by_name() -> None:
    sources = {
        "aozora": {"licenses": {"LicenseRef-PD-JP": 3}},
        "livedoor": {"licenses": {"CC-BY-ND-2.1-JP": 7}},
        "photos": {"licenses": {"MIT": 1, "CC-BY-NC-4.0": 2}},
    }
    with pytest.raises(InputError, match=r"livedoor \(CC-BY-ND-2.1-JP\); photos \(CC-BY-NC-4.0\)") as caught:
        check_terms(sources, ())
    assert "allow_restricted" in caught.value.hint
    with pytest.raises(InputError, match="copies: photos"):
        check_terms(sources, ("livedoor",))
    check_terms(sources, ("livedoor", "photos"))


@pytest.mark.parametrize(
    "license_", ["cc-by-nc-4.0", "CC BY-ND 4.0", "https://creativecommons.org/licenses/by-nc/4.0/"]
)
def test_a_restricted_source_is_refused_however_its_license_is_written(license_: str) -> None:
    with pytest.raises(InputError, match="photos"):
        check_terms({"photos": {"licenses": {license_: 2}}}, ())
