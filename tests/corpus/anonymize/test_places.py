"""Postal codes and addresses, against the post office's register."""

from __future__ import annotations

import pytest
from tests.corpus.anonymize.found import found

from tsuzuri.corpus.anonymize.gazetteer import gazetteer


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("東京都千代田区丸の内1-1-1です", "丸の内1-1-1"),
        ("京都市左京区吉田本町３６番地１にある", "吉田本町３６番地１"),
        ("京都市中京区寺町通御池上る上本能寺前町488番地", "寺町通御池上る上本能寺前町488番地"),
        ("札幌市中央区北１条西６丁目1-2", "北１条西６丁目1-2"),
        ("横浜市中区山下町二丁目三番地四号の", "山下町二丁目三番地四号"),
        ("西多摩郡瑞穂町箱根ケ崎2335番地", "箱根ケ崎2335番地"),
        ("瑞穂町箱根ヶ崎2335番地", "箱根ヶ崎2335番地"),
        ("港区六本木3-2-1 ひかりマンション101号室に", "六本木3-2-1 ひかりマンション101号室"),
        ("渋谷区神宮前1-2-3、", "神宮前1-2-3"),
        ("千代田区三崎町3-6-13", "三崎町3-6-13"),  # 神田三崎町 since 2018
        ("渋谷区代官山12-18", "代官山12-18"),
        ("千代田区丸の内1-4日本工業倶楽部", "丸の内1-4"),
        ("神戸市生田区下山手通五丁目", "生田区下山手通五丁目"),  # abolished in 1980: passes by 丁目 alone
    ],
)
def test_an_address_is_found_from_after_its_city(text: str, value: str) -> None:
    assert found(text) == [("postal_address", value)]


@pytest.mark.parametrize(
    "text",
    [
        "大阪市立高校が3-2で勝つ",
        "横浜市で2-1と敗れる",
        "渋谷区では3番目",
        "東京の3丁目",
        "札幌市中央区の1番です",
    ],
)
def test_a_city_before_other_numbers_is_no_address(text: str) -> None:
    assert found(text) == []


def test_a_telephone_number_after_an_address_is_no_part_of_it() -> None:
    kinds = [kind for kind, _ in found("東京都渋谷区神宮前4-9-9　03-6440-0222")]
    assert kinds == ["postal_address", "landline"]


@pytest.mark.parametrize(
    ("text", "sure", "possible"),
    [
        ("〒100-0005 東京都千代田区", True, True),
        ("〒１０００００５　千代田区", True, True),
        ("100-0005\n東京都千代田区丸の内", True, True),
        ("〒999-9999", False, True),
        ("番地は100-0005", False, True),
        ("120-4567メートル", False, False),
        ("000-1234", False, False),
        ("型番AB-100-0005", False, False),
    ],
)
def test_a_postal_code_is_sure_before_a_place(text: str, sure: bool, possible: bool) -> None:
    kinds = [kind for kind, _ in found(text, 0.9)], [kind for kind, _ in found(text, 0.5)]
    assert kinds == (["postal_code"] * sure, ["postal_code"] * possible)


def test_the_register_is_the_whole_country() -> None:
    register = gazetteer()
    assert len(register.prefectures) == 47
    assert {"横浜市", "横浜市中区", "西多摩郡瑞穂町", "瑞穂町"} <= register.towns.keys()
    assert len(register.codes) > 120_000
