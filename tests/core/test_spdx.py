from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tsuzuri.core.licenses import Terms, terms_of
from tsuzuri.core.spdx import creative_commons_of, spdx_of

CC = "creativecommons.org"


@pytest.mark.parametrize(
    ("name", "spdx"),
    [
        ("cc-by-nc-4.0", "CC-BY-NC-4.0"),
        ("CC BY-NC-SA 4.0", "CC-BY-NC-SA-4.0"),
        ("cc_by_nd 4", "CC-BY-ND-4.0"),
        ("ＣＣ　ＢＹ－ＮＣ　４．０", "CC-BY-NC-4.0"),
        (f"https://{CC}/licenses/by-nc/4.0/", "CC-BY-NC-4.0"),
        (f"<http://www.{CC}/licenses/by/2.1/jp/>", "LicenseRef-CC-BY-2.1-JP"),
        (f"//{CC}/publicdomain/zero/1.0/deed.ja", "CC0-1.0"),
        ("Creative Commons Attribution-NonCommercial", "LicenseRef-CC-BY-NC"),
        ("Creative Commons Attribution Share-Alike 4.0", "CC-BY-SA-4.0"),
        ("Attribution-NoDerivatives 4.0 International (CC BY-ND 4.0)", "CC-BY-ND-4.0"),
        ("クリエイティブ・コモンズ 表示 - 非営利 - 継承 4.0 国際", "CC-BY-NC-SA-4.0"),
        ("クリエイティブ・コモンズ・ライセンス 表示-改変禁止 2.1 日本", "LicenseRef-CC-BY-ND-2.1-JP"),
        ("CC-BY-SA-2.1-JP", "LicenseRef-CC-BY-SA-2.1-JP"),
        ("CC BY 3.0 IGO", "LicenseRef-CC-BY-3.0-IGO"),
        ("by-nc-sa", "LicenseRef-CC-BY-NC-SA"),
        ("CC0 1.0 Universal (CC0 1.0) Public Domain Dedication", "CC0-1.0"),
        ("Public Domain", "LicenseRef-public-domain"),
        ("The MIT License", "MIT"),
        ("Apache License, Version 2.0", "Apache-2.0"),
        ("gpl-3.0-or-later", "GPL-3.0-or-later"),
        ("odc-by", "ODC-By-1.0"),
        ("other", "LicenseRef-unknown"),
        ("(cc-by-nc-4.0 OR mit) AND CC BY 4.0", "(CC-BY-NC-4.0 OR MIT) AND CC-BY-4.0"),
        ("GPL-2.0-only WITH Classpath-exception-2.0", "GPL-2.0-only WITH Classpath-exception-2.0"),
        ("mit\ncc-by-4.0\nMIT", "MIT AND CC-BY-4.0"),
        ("MIT OR cc0-1.0\ncc by 4.0", "(MIT OR CC0-1.0) AND CC-BY-4.0"),
    ],
)
def test_every_way_to_write_a_license_is_one_name(name: str, spdx: str) -> None:
    assert spdx_of(name) == spdx


@pytest.mark.parametrize(
    "name",
    [
        "",
        "gemma",
        "cc",
        "sa",
        "CC BY 3.0 4.0",
        "CC BY-NC 4.0 or later",
        "not under Creative Commons Attribution",
        "MIT ではない",
        "CC BY 4.0 제외",
        "LicenseRef-manpages-ja",
        "free to use\nfor everybody",
    ],
)
def test_what_cannot_be_read_stays_as_it_is_written(name: str) -> None:
    assert spdx_of(name) == name
    assert terms_of(name).unclear


@pytest.mark.parametrize(
    ("name", "terms"),
    [
        ("CC BY-NC 4.0 or later", Terms(noncommercial=True, unclear=True)),
        ("For Non-Commercial use only, see the page", Terms(noncommercial=True, unclear=True)),
        ("独自の規約（非営利・改変禁止）", Terms(noncommercial=True, no_derivatives=True, unclear=True)),
        ("cc-by-nc-4.0", Terms(attribution=True, noncommercial=True)),
        ("cc-by-nc-4.0\ngemma", Terms(attribution=True, noncommercial=True, unclear=True)),
    ],
)
def test_what_a_name_forbids_is_seen_however_it_is_written(name: str, terms: Terms) -> None:
    assert terms_of(name) == terms


@given(
    st.text(alphabet="AND OR()ccbyncsa-4.0\n MIT表示非営利", max_size=40)
    | st.lists(st.sampled_from(["CC", "by", "NC", "4.0", "jp", "OR", "AND", "mit", "\n", "("])).map(" ".join)
)
@example("CC AND CC OR \n CC OR CC")
def test_a_name_that_was_read_is_read_as_itself(name: str) -> None:
    assert spdx_of(spdx_of(name)) == spdx_of(name)


@pytest.mark.parametrize(
    "url", ["", "/terms", f"https://{CC}/", f"https://example.jp/?{CC}/licenses/by/4.0/"]
)
def test_other_addresses_are_no_license(url: str) -> None:
    assert creative_commons_of(url) == ""
