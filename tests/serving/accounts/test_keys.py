"""Keys: shown once, kept as digests, scoped, rotated, revoked."""

from __future__ import annotations

import re

import pytest
from sqlalchemy import Connection, select, text

from serving.accounts.people import someone
from tsuzuri.serving.accounts.audit import read_audit
from tsuzuri.serving.accounts.config import PlanTerms
from tsuzuri.serving.accounts.database import Database
from tsuzuri.serving.accounts.errors import Conflict, Forbidden, Invalid, NotFound, Unauthorized
from tsuzuri.serving.accounts.keys import (
    KEY,
    KeyTerms,
    NewKey,
    check_caller,
    create_key,
    find_caller,
    list_keys,
    revoke_account,
    revoke_key,
    rotate_key,
)
from tsuzuri.serving.accounts.plans import ensure_plan, set_plan
from tsuzuri.serving.accounts.tables import keys, metadata


def made(database: Database, terms: KeyTerms | None = None, *, account: str = "山田") -> NewKey:
    """A new key."""

    def create(connection: Connection) -> NewKey:
        ensure_plan(connection, "standard")
        return create_key(connection, account, terms or KeyTerms(), plan="standard", actor="test")

    return database.write(create)


def check(database: Database, key: str, model: str = "") -> None:
    check_caller(database.read(lambda connection: find_caller(connection, key)), model)


def test_a_key_is_long_random_and_nowhere_in_the_database(database: Database) -> None:
    key = made(database)
    assert KEY.fullmatch(key.text)
    secret = key.text.rpartition("_")[2]
    with database.begin() as connection:
        for table in metadata.sorted_tables:
            assert secret not in str(connection.execute(select(table)).all())
        digest = connection.scalar(select(keys.c.digest))
    assert re.fullmatch(r"[0-9a-f]{64}", str(digest))
    listed = database.read(list_keys)
    assert secret not in str(listed)
    assert [row["prefix"] for row in listed] == [f"tsz_{key.id}"]
    assert made(database).text != key.text


def test_a_key_is_found_by_all_of_it_and_nothing_else(database: Database) -> None:
    key = made(database).text
    other = made(database).text
    check(database, key)
    mixed = f"{key[:15]}{other[15:]}"
    assert KEY.fullmatch(mixed)
    for wrong in (key[:-1], key + "a", key.upper(), mixed, "", "sk-123", "tsz_", "\x00", f" {key}", "é" * 67):
        with pytest.raises(Unauthorized) as refusal:
            check(database, wrong)
        assert refusal.value.code == "invalid_api_key"
        assert wrong not in refusal.value.message or not wrong


def test_a_key_ends_by_its_date_and_by_revoking(sqlite: Database) -> None:
    key = made(sqlite, KeyTerms(expires_days=1))
    with sqlite.begin() as connection:
        connection.execute(keys.update().values(expires_ms=1))
    with pytest.raises(Unauthorized) as refusal:
        check(sqlite, key.text)
    assert refusal.value.code == "expired_api_key"
    assert [row["status"] for row in sqlite.read(list_keys)] == ["expired"]
    sqlite.write(lambda connection: revoke_key(connection, f"tsz_{key.id}", actor="test"))
    with pytest.raises(Unauthorized) as refusal:
        check(sqlite, key.text)
    assert refusal.value.code == "revoked_api_key"
    with pytest.raises(Conflict, match="revoked already"):
        sqlite.write(lambda connection: revoke_key(connection, key.id, actor="test"))


def test_a_key_may_use_its_models_alone(sqlite: Database) -> None:
    key = made(sqlite, KeyTerms(models=("kana", "kanji")))
    check(sqlite, key.text, "kanji")
    with pytest.raises(Forbidden, match="'romaji'") as refusal:
        check(sqlite, key.text, "romaji")
    assert refusal.value.status == 403
    check(sqlite, made(sqlite).text, "romaji")


def test_a_rotated_key_goes_on_for_a_while_and_the_new_one_is_like_it(sqlite: Database) -> None:
    old = made(sqlite, KeyTerms(models=("kana",), expires_days=9, requests_per_minute=5))
    new = sqlite.write(lambda connection: rotate_key(connection, old.id, overlap_h=1, actor="test"))
    for key in (old, new):
        check(sqlite, key.text, "kana")
    rows = {row["id"]: row for row in sqlite.read(list_keys)}
    assert rows[old.id]["rotated_to"] == new.id
    for name in ("account", "models", "requests_per_minute", "is_admin"):
        assert rows[old.id][name] == rows[new.id][name]
    assert rows[new.id]["expires_at"] == old.expires_ms // 1000  # type: ignore[operator]
    assert rows[old.id]["expires_at"] < rows[new.id]["expires_at"]
    sqlite.write(lambda connection: rotate_key(connection, new.id, overlap_h=0, actor="test"))
    with pytest.raises(Unauthorized):
        check(sqlite, new.text)
    with pytest.raises(Conflict, match="expired already"):
        sqlite.write(lambda connection: rotate_key(connection, new.id, overlap_h=0, actor="test"))


def test_every_key_of_an_account_can_be_ended_at_once(sqlite: Database) -> None:
    mine = [made(sqlite) for _ in range(3)]
    made(sqlite, account="佐藤")
    assert sqlite.write(lambda connection: revoke_account(connection, "山田", actor="test")) == 3
    for key in mine:
        with pytest.raises(Unauthorized):
            check(sqlite, key.text)
    assert [row["status"] for row in sqlite.read(lambda c: list_keys(c, account="佐藤"))] == ["valid"]


@pytest.mark.parametrize(
    ("account", "terms"),
    [
        ("", KeyTerms()),
        ("two\nlines", KeyTerms()),
        ("x" * 201, KeyTerms()),
        ("me", KeyTerms(expires_days=0)),
        ("me", KeyTerms(expires_days=float("nan"))),
        ("me", KeyTerms(expires_days=1e9)),
        ("me", KeyTerms(requests_per_minute=0)),
    ],
)
def test_terms_that_cannot_be_are_refused(sqlite: Database, account: str, terms: KeyTerms) -> None:
    with pytest.raises(Invalid):
        made(sqlite, terms, account=account)
    assert sqlite.read(list_keys) == []


def test_unknown_keys_and_plans_are_named(sqlite: Database) -> None:
    with pytest.raises(NotFound, match="no key 'nobody'"):
        sqlite.write(lambda connection: revoke_key(connection, "nobody", actor="test"))
    with pytest.raises(NotFound, match="no plan 'gold'"):
        sqlite.write(lambda c: create_key(c, "me", KeyTerms(), plan="gold", actor="test"))


def test_a_plan_that_an_account_is_not_under_is_not_passed_over(sqlite: Database) -> None:
    def make(connection: Connection, account: str, plan: str | None) -> None:
        create_key(connection, account, KeyTerms(), plan=plan, usual_plan="gold", actor="test")

    sqlite.write(lambda connection: set_plan(connection, "gold", PlanTerms(), actor="test"))
    made(sqlite, account="me")
    for plan in ("gold", "nothing"):
        with pytest.raises(Conflict, match="me is under the plan standard"):
            sqlite.write(lambda connection, plan=plan: make(connection, "me", plan))
    for account, plan in (("me", None), ("me", "standard"), ("you", None)):
        sqlite.write(lambda connection, account=account, plan=plan: make(connection, account, plan))
    rows = [(row["account"], row["plan"]) for row in sqlite.read(list_keys)]
    assert rows == [("me", "standard")] * 3 + [("you", "gold")]


def test_what_is_done_is_in_the_audit_log_which_nothing_changes(database: Database) -> None:
    key = made(database)
    database.write(lambda connection: revoke_key(connection, key.id, actor="key:root"))
    lines = database.read(read_audit)
    assert [(line["actor"], line["action"], line["subject"]) for line in lines[:2]] == [
        ("key:root", "key.revoke", key.id),
        ("test", "key.create", key.id),
    ]
    assert key.text not in str(lines)
    assert database.read(lambda c: read_audit(c, limit=1, before=lines[0]["id"])) == [lines[1]]
    for change in ("UPDATE audit SET actor = 'nobody'", "DELETE FROM audit"):
        with pytest.raises(Exception, match="append-only"), database.begin() as connection:
            connection.execute(text(change))
    assert database.read(read_audit) == lines


def test_keys_of_one_account_share_its_plan(sqlite: Database) -> None:
    first, second = someone(sqlite), someone(sqlite)
    assert first.account_id == second.account_id
    assert first.key_id != second.key_id
