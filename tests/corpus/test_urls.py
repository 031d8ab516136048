from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsuzuri.corpus.urls import host_of, one_form


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://WWW.Example.JP:8080/a?b", "www.example.jp"),
        ("<http://blog.example.jp/>", "blog.example.jp"),
        ("http://example.jp./", "example.jp"),
        ("https://日本語.jp/", "xn--wgv71a119e.jp"),
        ("https://%E6%97%A5%E6%9C%AC%E8%AA%9E.JP/", "xn--wgv71a119e.jp"),
        ("https://user@[::1]:80/", "::1"),
        (f"https://{'長' * 80}.jp/", f"{'長' * 80}.jp"),
        ("http://[broken", ""),
        ("example.jp", ""),
        ("", ""),
    ],
)
def test_hosts(url: str, host: str) -> None:
    assert host_of(url) == host


@pytest.mark.parametrize(
    "url",
    [
        "https://example.jp/%E7%8C%AB/a-b?q=1",
        "http://example.jp/猫/a-b?q=1",
        "HTTPS://Example.JP:443/%e7%8c%ab/a%2Db/?q=1#top",
        "<http://example.jp:80/猫/a-b?q=1>",
        " https://example.jp./猫/a-b?q=1/ ",
    ],
)
def test_every_spelling_of_an_address_has_one_form(url: str) -> None:
    assert one_form(url) == "https://example.jp/%E7%8C%AB/a-b?q=1"


@pytest.mark.parametrize(
    "url",
    [
        "http://example.jp:8080/猫",
        "http://example.jp/",
        "http://example.jp/%E7%8C%AB?q=2",
        "ftp://example.jp/猫",
    ],
)
def test_another_address_has_another_form(url: str) -> None:
    assert one_form(url) != one_form("https://example.jp/猫")


@given(st.text(max_size=40).map(lambda text: f"http://example.jp/{text}") | st.text(max_size=40))
def test_any_text_has_a_form_that_is_its_own(text: str) -> None:
    assert one_form(one_form(text)) == one_form(text)
