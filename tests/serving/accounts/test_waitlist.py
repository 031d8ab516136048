"""The waiting list: apply, be decided upon, fetch the key once."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Connection, select

from tsuzuri.serving.accounts.database import Database
from tsuzuri.serving.accounts.errors import AccountError, Conflict, Invalid, LimitReached, NotFound
from tsuzuri.serving.accounts.keys import NewKey, check_caller, ensure_account, find_caller
from tsuzuri.serving.accounts.plans import ensure_plan
from tsuzuri.serving.accounts.tables import applications, metadata
from tsuzuri.serving.accounts.waitlist import (
    Application,
    apply,
    approve,
    fetch_key,
    list_applications,
    refuse,
    standing,
)


def application(number: int = 0, **changes: Any) -> Application:
    values = {
        "name": "山田 花子",
        "email": f"hanako{number}@例え.jp",
        "purpose": "短歌を作る",
        "consent": True,
    }
    return Application(**{**values, **changes})


def applied(database: Database, asked: Application, *, waiting_at_most: int = 100) -> dict[str, Any]:
    def enter(connection: Connection) -> dict[str, Any]:
        ensure_plan(connection, "standard")
        return apply(connection, asked, waiting_at_most=waiting_at_most)

    return database.write(enter)


def stands(database: Database, token: str, *, claim_days: int = 30) -> dict[str, Any]:
    return database.read(lambda connection: standing(connection, token, claim_days=claim_days))


def decide(database: Database, number: int, **how: Any) -> dict[str, Any]:
    """Approve, or refuse with a reason, the application of that number."""
    row = database.read(list_applications)[number]
    if "refused" in how:
        return database.write(lambda c: refuse(c, row["id"], reason=how["refused"], actor="key:root"))
    return database.write(lambda c: approve(c, row["id"][:8], plan="standard", actor="key:root", **how))


def fetch(database: Database, token: str) -> NewKey:
    return database.write(lambda connection: fetch_key(connection, token, claim_days=30))


def test_from_application_to_key(database: Database) -> None:
    tokens = [applied(database, application(number))["token"] for number in range(3)]
    assert [stands(database, token)["position"] for token in tokens] == [1, 2, 3]
    with pytest.raises(Conflict) as early:
        fetch(database, tokens[1])
    assert early.value.code == "application_waiting"
    decide(database, 0, refused="用途が分かりません")
    decide(database, 1, models=["kana"], reason="どうぞ")
    first, second, third = (stands(database, token) for token in tokens)
    assert (first["status"], first["reason"]) == ("refused", "用途が分かりません")
    assert (second["status"], second["reason"], second["plan"]) == ("approved", "どうぞ", "standard")
    assert (third["status"], third["position"], third["waiting"]) == ("waiting", 1, 1)
    key = fetch(database, tokens[1])
    caller = database.read(lambda connection: find_caller(connection, key.text))
    check_caller(caller, "kana")
    assert caller is not None
    assert caller.models == ("kana",)
    with pytest.raises(Conflict) as again:
        fetch(database, tokens[1])
    assert again.value.code == "already_claimed"
    with pytest.raises(Conflict) as refused:
        fetch(database, tokens[0])
    assert refused.value.code == "application_refused"
    assert [row["status"] for row in database.read(list_applications)] == ["refused", "claimed", "waiting"]
    assert [row["position"] for row in database.read(list_applications)] == [None, None, 1]


def test_the_claim_is_nowhere_in_the_database(sqlite: Database) -> None:
    token = applied(sqlite, application())["token"]
    with sqlite.begin() as connection:
        for table in metadata.sorted_tables:
            assert token not in str(connection.execute(select(table)).all())
    assert "token" not in stands(sqlite, token)
    for wrong in ("", "x" * 52, token[:-1], token.upper()):
        with pytest.raises(NotFound):
            stands(sqlite, wrong)


def test_an_address_applies_once_and_a_form_may_be_sent_twice(database: Database) -> None:
    claim = "c" * 40
    first = applied(database, application(claim=claim))
    assert first["token"] == claim
    assert applied(database, application(claim=claim)) == first
    for other in (application(), application(claim="d" * 40), application(email=" HANAKO0@例え.JP ")):
        with pytest.raises(Conflict) as twice:
            applied(database, other)
        assert twice.value.code == "already_applied"
    with pytest.raises(Conflict, match="another application"):
        applied(database, application(1, claim=claim))
    assert len(database.read(list_applications)) == 1


def test_who_was_refused_may_apply_again_and_who_was_approved_may_not(sqlite: Database) -> None:
    applied(sqlite, application())
    decide(sqlite, 0, refused="later")
    applied(sqlite, application())
    decide(sqlite, 1)
    with pytest.raises(Conflict):
        applied(sqlite, application())


def test_the_list_has_an_end(sqlite: Database) -> None:
    applied(sqlite, application(0), waiting_at_most=1)
    with pytest.raises(LimitReached, match="full"):
        applied(sqlite, application(1), waiting_at_most=1)


def test_a_key_that_nobody_fetched_lapses_until_it_is_approved_again(sqlite: Database) -> None:
    token = applied(sqlite, application())["token"]
    decide(sqlite, 0)
    with sqlite.begin() as connection:
        connection.execute(applications.update().values(decided_ms=1))
    assert stands(sqlite, token)["status"] == "lapsed"
    with pytest.raises(Conflict) as late:
        fetch(sqlite, token)
    assert late.value.code == "claim_lapsed"
    decide(sqlite, 0)
    fetch(sqlite, token)


def test_an_application_leads_into_no_account_that_is_there(sqlite: Database) -> None:
    long = "x" * 200
    names = []
    for number, name in enumerate((long, long, "山田 花子")):
        token = applied(sqlite, application(number, name=name))["token"]
        decide(sqlite, number)
        names.append(f"山田 花子 <hanako{number}@例え.jp>")
        if number == 2:
            sqlite.write(lambda c: ensure_account(c, names[2], "standard"))
        names[number] = fetch(sqlite, token).account
    assert len(set(names)) == 3
    assert all(name.endswith(f"<hanako{number}@例え.jp>") for number, name in enumerate(names[:2]))
    assert names[2] == "山田 花子 <hanako2@例え.jp> (2)"


def test_decisions_are_made_once_with_a_reason(sqlite: Database) -> None:
    token = applied(sqlite, application())["token"]
    with pytest.raises(Invalid, match="reason"):
        decide(sqlite, 0, refused="  ")
    decide(sqlite, 0)
    fetch(sqlite, token)
    for how in ({}, {"refused": "too late"}):
        with pytest.raises(Conflict, match="claimed already"):
            decide(sqlite, 0, **how)
    with pytest.raises(NotFound):
        sqlite.write(lambda c: approve(c, "", plan="standard", actor="test"))


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"name": "  "}, "name"),
        ({"name": "a\x00b"}, "name"),
        ({"email": "hanako"}, "email"),
        ({"email": "a@b"}, "email"),
        ({"email": "a b@example.jp"}, "email"),
        ({"email": "a@example.jp\nBcc: b@example.jp"}, "email"),
        ({"email": "<a@example.jp>"}, "email"),
        ({"email": "a@" + "b" * 63 + ".jp" * 100}, "email"),
        ({"purpose": ""}, "purpose"),
        ({"purpose": "x" * 4001}, "purpose"),
        ({"purpose": "a\x00b"}, "purpose"),
        ({"consent": False}, "consent"),
        ({"language": "fr"}, "language"),
        ({"claim": "short"}, "claim"),
        ({"claim": "é" * 40}, "claim"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_kept(
    sqlite: Database, changes: dict[str, Any], param: str
) -> None:
    with pytest.raises(AccountError) as refusal:
        applied(sqlite, application(**changes))
    assert (refusal.value.status, refusal.value.param) == (400, param)
    assert sqlite.read(list_applications) == []
