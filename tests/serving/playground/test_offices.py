"""The pages about keys, in a real Chromium over the real server.

Apply, be approved, fetch the key, write, see what it used; and what an administrator does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from chromium import Tab
from servers import ask, running, write_release
from tsuzuri.serving.accounts.config import AccountsConfig, DatabaseConfig
from tsuzuri.serving.accounts.database import Database
from tsuzuri.serving.accounts.keys import KeyTerms, create_key
from tsuzuri.serving.config import ModelConfig, ServeConfig

pytestmark = pytest.mark.slow

Open = Callable[..., Tab]


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """(address, administrator's key) of a server with accounts and a mock engine."""
    folder = tmp_path_factory.mktemp("office")
    release = write_release(folder_of(folder / "kana"))
    write_release(folder_of(folder / "hina"))
    where = DatabaseConfig(url=f"sqlite:///{folder / 'keys.db'}")
    config = ServeConfig(
        port=0,
        models=(ModelConfig(path=release, name="kana", engine={"kind": "mock", "tokens": 20}),),
        accounts=AccountsConfig(database=where, key_cache_s=0.0, address_requests_per_minute=100_000),
        releases_root=folder,
    )
    with running(config) as (address, _):
        database = Database(where)
        terms = KeyTerms(is_admin=True)
        key = database.write(
            lambda connection: create_key(connection, "編集部", terms, plan="standard", actor="test")
        )
        database.close()
        yield address, key.text


def folder_of(path: Path) -> Path:
    path.mkdir()
    return path


def apply(tab: Tab, name: str, email: str) -> None:
    """Fill the form in and send it."""
    tab.page.get_by_label("お名前", exact=True).fill(name)
    tab.page.get_by_label("メールアドレス", exact=True).fill(email)
    tab.page.get_by_label("何に使いますか").fill("季節の便りに載せる短い文章を書きます。")
    tab.page.get_by_label("同意します").check()
    tab.button("申し込む").click()


def decision(tab: Tab, name: str) -> Any:
    """The application of that name, as the administrator sees it."""
    return tab.page.get_by_role("article", name=name)


def test_from_the_application_to_the_first_text(open_tab: Open, office: tuple[str, str]) -> None:
    address, admin_key = office
    visitor = open_tab("/#/apply", address=address, key="")
    assert visitor.faults() == []
    apply(visitor, "青木 しづ", "shizu@example.jp")
    visitor.page.get_by_role("heading", name="順番を待っています").wait_for()
    assert visitor.faults() == []
    receipt = visitor.page.url
    assert len(receipt.rpartition("/")[2]) == 64
    assert "1 番目 / 1" in visitor.page.locator(".position").inner_text()

    other = open_tab("/#/apply", address=address, key="")
    apply(other, "別の人", "shizu@example.jp")
    other.page.get_by_text("このメールアドレスの申し込みはもうあります。").wait_for()

    admin = open_tab("/#/admin", address=address, key=admin_key)
    one = decision(admin, "青木 しづ")
    assert "季節の便り" in one.inner_text()
    assert admin.faults() == []
    admin.button("承認する", one).click()
    one.get_by_text("承認", exact=True).wait_for()

    visitor.button("もう一度見る").click()
    visitor.button("キーを受け取る").click()
    secret = visitor.page.locator(".secret")
    secret.wait_for()
    key = secret.inner_text().strip()
    assert key.startswith("tsz_")
    visitor.button("ここで使う").click()
    visitor.page.locator("#text").fill("雪")
    visitor.write()
    visitor.drafts(1)
    visitor.page.get_by_role("link", name="使った量").click()
    visitor.page.get_by_text("青木 しづ <shizu@example.jp>").wait_for()
    _, _, told = ask(address, "/account/usage", key=key)
    assert told["today"]["completion_tokens"] == 16  # as the release prefers
    assert f"{told['today']['total_tokens']} / 200,000" in visitor.page.locator(".amount").first.inner_text()
    assert key not in visitor.page.locator("main").inner_text()
    assert visitor.faults() == []
    visitor.page.goto(receipt)
    visitor.page.get_by_role("heading", name="キーは受け取り済みです").wait_for()
    assert visitor.page.get_by_role("button", name="キーを受け取る").count() == 0


def test_a_refusal_needs_a_reason_which_the_applicant_reads(open_tab: Open, office: tuple[str, str]) -> None:
    address, admin_key = office
    visitor = open_tab("/#/apply", address=address, key="", locale="ja-JP")
    apply(visitor, "早川", "hayakawa@example.jp")
    visitor.page.get_by_role("heading", name="順番を待っています").wait_for()
    admin = open_tab("/#/admin/waitlist", address=address, key=admin_key)
    admin.button("断る…", decision(admin, "早川")).click()
    dialog = admin.page.get_by_role("dialog")
    admin.button("断る", dialog).click()  # the field is required
    assert dialog.is_visible()
    dialog.get_by_role("textbox").fill("今月は満席です。")
    admin.button("断る", dialog).click()
    decision(admin, "早川").get_by_text("今月は満席です。").wait_for()
    visitor.page.reload()
    visitor.page.get_by_role("heading", name="お断りしました").wait_for()
    assert "今月は満席です。" in visitor.page.locator("blockquote").inner_text()


def test_keys_and_plans_are_made_changed_and_ended(open_tab: Open, office: tuple[str, str]) -> None:
    address, admin_key = office
    admin = open_tab("/#/admin/plans", address=address, key=admin_key, locale="en-US")
    admin.page.get_by_text("Make or change a plan").click()
    admin.page.get_by_label("Name", exact=True).fill("small")
    admin.page.get_by_label("Tokens/day").fill("1000")
    admin.page.get_by_label("JPY/1k written").fill("0.5")
    admin.button("Set").click()
    row = admin.page.get_by_role("row", name="small")
    row.wait_for()
    assert row.get_by_role("cell").all_inner_texts()[:7] == [
        "small",
        "none",
        "1,000",
        "none",
        "none",
        "0",
        "0.5",
    ]
    assert admin.faults() == []

    admin.page.get_by_role("tab", name="Keys").click()
    admin.page.get_by_text("Make a key").click()
    admin.page.get_by_label("Account").fill("library")
    admin.page.get_by_label("Plan").fill("small")
    admin.page.get_by_label("Models (with").fill("kana")
    admin.page.get_by_label("Days until").fill("30")
    admin.button("Make").click()
    key = admin.page.locator(".secret").inner_text().strip()
    told = ask(address, "/account/usage", key=key)[2]
    assert (told["plan"]["name"], told["key"]["models"]) == ("small", ["kana"])
    assert admin.faults() == []
    row = admin.page.get_by_role("row", name="library")
    admin.button("Revoke…", row).click()
    admin.button("Revoke").click()
    row.get_by_text("revoked").wait_for()
    assert ask(address, "/account/usage", key=key)[0] == 401

    admin.page.get_by_role("tab", name="Audit log").click()
    admin.page.get_by_role("cell", name="key.revoke").wait_for()
    assert key not in admin.page.content()
    assert admin.faults() == []


def test_models_are_loaded_and_unloaded(open_tab: Open, office: tuple[str, str]) -> None:
    address, admin_key = office
    ask(address, "/v1/completions", {"model": "kana", "prompt": "雪"}, key=admin_key)
    admin = open_tab("/#/admin/models", address=address, key=admin_key, width=390)
    admin.page.get_by_text("モデルを載せる、入れ替える").click()
    assert admin.faults() == []
    admin.page.get_by_label("公開物の置き場所").fill("nowhere")
    admin.button("載せる").click()
    admin.page.locator(".admin > .alarm").get_by_text("releases_root").wait_for()
    admin.page.get_by_role("tab", name="使用量").click()
    admin.page.get_by_label("まとめかた").select_option("model")
    admin.page.get_by_role("columnheader", name="モデルごと").wait_for()
    assert admin.faults() == []
    admin.page.get_by_role("tab", name="モデル").click()
    admin.button("入れ替える").click()
    assert admin.page.get_by_label("名", exact=True).input_value() == "kana"
    admin.page.get_by_label("公開物の置き場所").fill("hina")
    admin.button("載せる").click()
    admin.page.get_by_role("status").get_by_text("載せました。").wait_for()
    admin.button("下ろす…", admin.page.get_by_role("row", name="kana")).click()
    admin.button("やめる").click()
    assert len(ask(address, "/v1/models", key=admin_key)[2]["data"]) == 1
    admin.button("下ろす…").click()
    admin.button("下ろす").click()
    admin.page.get_by_text("モデルがありません。").wait_for()
    assert ask(address, "/v1/models", key=admin_key)[2]["data"] == []


def test_without_an_administrators_key_nothing_is_shown(open_tab: Open, office: tuple[str, str]) -> None:
    address, _ = office
    tab = open_tab("/#/admin/keys", address=address, key="")
    tab.page.get_by_text("管理者のキーが要ります。").wait_for()
    tab.page.goto(f"{address}/#/usage")
    tab.page.get_by_text("キーを入れると、使った量と残りが見えます。").wait_for()
    assert tab.faults() == []


def test_a_server_without_accounts_offers_no_pages_about_keys(
    open_tab: Open, tmp_path_factory: pytest.TempPathFactory
) -> None:
    release = write_release(tmp_path_factory.mktemp("open"))
    config = ServeConfig(
        port=0, models=(ModelConfig(path=release, name="kana", engine={"kind": "mock", "tokens": 20}),)
    )
    with running(config) as (address, _):
        tab = open_tab("/", address=address, key="")
        tab.page.locator("#text").fill("雪")
        tab.write()
        tab.drafts(1)
        assert tab.page.get_by_role("navigation").get_by_role("link").all_inner_texts() == ["続きを書く"]
        assert tab.page.locator("#key").count() == 0
        assert tab.faults() == []
        tab.page.get_by_role("link", name="API の説明").click()
        tab.page.get_by_role("heading", name="Tsuzuri").wait_for()
        tab.page.goto("about:blank")
