"""Addresses of the network beside Japanese text."""

from __future__ import annotations

import pytest
from tests.corpus.anonymize.found import found


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("連絡先はfoo@docomo.ne.jpまで", "email", "foo@docomo.ne.jp"),
        ("ｆｏｏ＠ｄｏｃｏｍｏ．ｎｅ．ｊｐへ", "email", "ｆｏｏ＠ｄｏｃｏｍｏ．ｎｅ．ｊｐ"),
        ("taro［アット］yahoo.co.jp", "email", "taro［アット］yahoo.co.jp"),
        ("taro (at) mail (dot) co.jp", "email", "taro (at) mail (dot) co.jp"),
        ("taroアットマークgmail.com", "email", "taroアットマークgmail.com"),
        ("接続元は8.8.8.8です", "ip_address", "8.8.8.8"),
        ("サーバーは2001:4860:4860::8888で", "ip_address", "2001:4860:4860::8888"),
        ("IPv6：2001:4860:4860::8888、", "ip_address", "2001:4860:4860::8888"),
        ("IPv6:2001:4860:4860::8888", "ip_address", "2001:4860:4860::8888"),
        ("機器は00:1A:2B:3C:4D:5Eです", "mac_address", "00:1A:2B:3C:4D:5E"),
        ("MACアドレス：00-1A-2B-3C-4D-5E。", "mac_address", "00-1A-2B-3C-4D-5E"),
        ("MAC:00:1A:2B:3C:4D:5E", "mac_address", "00:1A:2B:3C:4D:5E"),
        ("機器は00-1a-2b-3c-4d-5eです", "mac_address", "00-1a-2b-3c-4d-5e"),
        ("ftp://taro:himitsu@ftp.kaisha.co.jp/", "url_credentials", "taro:himitsu"),
        ("ツイッターは@taro_yamadaです", "handle", "@taro_yamada"),
    ],
)
def test_each_kind_is_found_where_it_stands(text: str, kind: str, value: str) -> None:
    assert found(text) == [(kind, value)]


@pytest.mark.parametrize(
    "text",
    [
        "user@example.comやuser@example.jp",
        "集合@渋谷駅",
        "foo@bar.nosuchdomain9",
        "192.168.0.1と127.0.0.1",
        "ver 1.2.3.4",
        "バージョン10.0.19041.1",
        "1.2.3.4.5",
        "999.1.1.1",
        "2.7.9.114 外国語",
        "比は170:180::と4::180:36",
        "12:34:56",
        "00:00:00:00:00:00",
        "00:1A:2B:3C:4D:5E:6F",
        "識別子は00:1A:2B:3C:4D:5E:6F:70です",
        "型番XY-12-34-56-78-90-12",
        "fe80::2001:4860:4860:8888",
        "::2001:4860:4860:8888",
        "12:2001:4860:4860:8888",
        "https://example.com/@",
        "@media と @import",
        "第1.2.3.4節",
    ],
)
def test_what_only_looks_like_one_is_left(text: str) -> None:
    assert found(text) == []
