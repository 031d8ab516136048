"""`tsuzuri keys`, `waitlist`, `plans` and `usage` through the real command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from servers import write_release
from tsuzuri.cli import main
from tsuzuri.serving.accounts.config import DatabaseConfig
from tsuzuri.serving.accounts.database import Database
from tsuzuri.serving.accounts.waitlist import Application, apply


class Terminal:
    """The command line on one database."""

    def __init__(self, url: str, captured: pytest.CaptureFixture[str]) -> None:
        self.url = url
        self._captured = captured

    def run(self, line: str, *more: str, fails: bool = False) -> str:
        status = main([*line.split(), *more, "--database", self.url])
        out = self._captured.readouterr()
        assert status == (2 if fails else 0), out
        return out.err if fails else out.out

    def json(self, line: str, *more: str) -> Any:
        return json.loads(self.run(line, *more, "--json"))


@pytest.fixture
def terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Terminal:
    url = f"sqlite:///{tmp_path / 'keys.db'}"
    database = Database(DatabaseConfig(url=url))
    database.migrate()
    database.close()
    return Terminal(url, capsys)


def test_keys(terminal: Terminal) -> None:
    text, note = terminal.run("keys create", "山田 花子", "--model", "kana").splitlines()
    assert text.startswith("tsz_")
    assert "once" in note
    (row,) = terminal.json("keys list")
    assert (row["account"], row["models"], row["plan"]) == ("山田 花子", ["kana"], "standard")
    assert text not in terminal.run("keys list")
    new = terminal.json("keys rotate", row["prefix"], "--overlap-hours", "1")
    assert new["account"] == "山田 花子"
    assert terminal.run("keys revoke", row["id"]) == "revoked: 1\n"
    assert terminal.run("keys revoke --account", "山田 花子") == "revoked: 1\n"
    assert [row["status"] for row in terminal.json("keys list --account", "山田 花子")] == ["revoked"] * 2
    actions = [line["action"] for line in terminal.json("usage audit")]
    assert actions[:3] == ["key.revoke", "key.revoke", "key.rotate"]
    assert terminal.json("usage audit --limit 1")[0]["actor"].startswith("cli:")


def test_what_is_not_there_is_said_and_not_made(terminal: Terminal) -> None:
    file = Path(terminal.url.removeprefix("sqlite:///"))
    file.unlink()
    for line in ("keys list", "usage report", "waitlist list", "keys revoke tsz_abcdefghij", "plans list"):
        assert "there is no database" in terminal.run(line, fails=True)
    assert not file.exists()
    terminal.run("keys create 佐藤")
    assert "no account '佐籐'" in terminal.run("keys revoke --account 佐籐", fails=True)
    assert "empty" in terminal.run("keys create 佐藤 --model", "", fails=True)
    terminal.run("plans set gold")
    assert "plans assign 佐藤 gold" in terminal.run("keys create 佐藤 --plan gold", fails=True)
    assert [row["plan"] for row in terminal.json("keys list")] == ["standard"]


def test_plans_and_usage(terminal: Terminal) -> None:
    terms = "--requests-per-minute none --jpy-per-1k-completion 0.25"
    assert terminal.run(f"plans set gold {terms}") == "the plan gold is set\n"
    terminal.run("keys create me --plan gold")
    terminal.run("keys create you")
    terminal.run("plans assign you gold")
    assert {row["plan"] for row in terminal.json("keys list")} == {"gold"}
    gold, standard = terminal.json("plans list")
    assert gold["requests_per_minute"] is None
    assert gold["jpy_per_1k_completion"] == 0.25
    assert standard["requests_per_minute"] == 60
    assert "gold" in terminal.run("plans list")
    assert terminal.json("usage report --by model --since 2026-01-01 --until 2026-12-31 --account me") == []
    assert terminal.run("usage report") == "(none)\n"


def test_terms_that_are_not_given_stay(terminal: Terminal) -> None:
    terminal.run(
        "plans set gold --jpy-per-1k-prompt 0.5 --budget-jpy-per-month 300 --requests-per-minute none"
    )
    terminal.run("plans set gold --tokens-per-day 7")
    (gold,) = terminal.json("plans list")
    assert (gold["tokens_per_day"], gold["jpy_per_1k_prompt"], gold["budget_jpy_per_month"]) == (7, 0.5, 300)
    assert gold["requests_per_minute"] is None
    assert terminal.json("usage audit")[0]["detail"] == {"tokens_per_day": 7}


def test_support_grants_a_plan_while_it_lasts(terminal: Terminal, tmp_path: Path) -> None:
    for plan in ("patron", "own"):
        terminal.run(f"plans set {plan}")
    for account in ("花子", "太郎", "nobody"):
        terminal.run("keys create --plan own", account)
    supporters = tmp_path / "supporters.yaml"
    supporters.write_text(
        """
tiers:
  - { name: Supporter, usd: 10 }
  - { name: Patron, usd: 50, plan: patron }
supporters:
  - { name: A, consent: true, amount: 60, currency: USD, from: 2026-01-01, to: 2026-06-30, account: 花子 }
  - { name: B, consent: false, amount: 20, currency: USD, from: 2026-01-01, account: 太郎 }
  - { name: C, consent: true, amount: 90, currency: USD, from: 2026-01-01, account: unknown }
""",
        encoding="utf-8",
    )

    def plan_of(account: str) -> str:
        return str(terminal.json("keys list --account", account)[0]["plan"])

    grant = ("plans grant", str(supporters), "--on")
    assert terminal.run(*grant, "2026-03-01") == "花子 is under the plan patron\n"
    assert [plan_of(account) for account in ("花子", "太郎", "nobody")] == ["patron", "own", "own"]
    assert terminal.run(*grant, "2026-03-02") == "(nothing changes)\n"
    assert terminal.run(*grant, "2026-07-01") == "花子 is under the plan own\n"
    assert "'tomorrow' is no day" in terminal.run(*grant, "tomorrow", fails=True)
    supporters.write_text(supporters.read_text().replace("plan: patron", "plan: gold"), encoding="utf-8")
    assert "there is no plan 'gold'" in terminal.run(*grant, "2026-03-01", fails=True)


def test_the_waiting_list(terminal: Terminal) -> None:
    assert terminal.run("waitlist list") == "(none)\n"
    database = Database(DatabaseConfig(url=terminal.url))
    for name in ("a", "b"):
        asked = Application(name, f"{name}@example.jp", "二行の\n目的", consent=True)
        database.write(lambda connection, asked=asked: apply(connection, asked, waiting_at_most=9))
    database.close()
    first, second = terminal.json("waitlist list --status waiting")
    told = terminal.run("waitlist approve", first["id"][:8], "--model", "kana", "--reason", "どうぞ")
    assert told == "a <a@example.jp> may fetch a key under the plan standard\n"
    assert (
        terminal.run("waitlist refuse", second["id"], "--reason", "いいえ") == "b <b@example.jp> is refused\n"
    )
    assert [row["status"] for row in terminal.json("waitlist list")] == ["approved", "refused"]
    assert "二行の 目的" in terminal.run("waitlist list")
    assert "is approved" in terminal.run("waitlist forget", first["id"], second["id"], fails=True)
    assert terminal.run("waitlist forget --decided-before 2026-01-01") == "forgotten: 0\n"
    assert terminal.run("waitlist forget --decided-before 2999-01-01") == "forgotten: 1\n"  # the refused one
    assert [row["id"] for row in terminal.json("waitlist list")] == [first["id"]]
    line = terminal.json("usage audit --limit 1")[0]
    assert (line["action"], line["subject"], line["detail"]) == ("waitlist.forget", second["id"], {})


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("keys revoke", "nothing to revoke"),
        ("keys revoke abc", "there is no key 'abc'"),
        ("keys rotate abc", "there is no key 'abc'"),
        ("keys create me --plan nope", "there is no plan 'nope'"),
        ("keys create me --expires-days -1", "a key is valid for more than 0"),
        ("keys create me --requests-per-minute 0", "1 request a minute or more"),
        ("plans set p --tokens-per-day -1", "tokens_per_day"),
        ("plans set p --jpy-per-1k-prompt x", "jpy_per_1k_prompt"),
        ("plans assign nobody standard", "there is no"),
        ("waitlist approve abcdef", "there is no application 'abcdef'"),
        ("waitlist refuse abcdef --reason no", "there is no application 'abcdef'"),
        ("waitlist forget", "nothing to forget"),
        ("waitlist forget --decided-before soon", "'soon' is no day"),
        ("usage report --since 2026-13-01", "'2026-13-01' is no day"),
    ],
)
def test_a_mistake_is_one_clear_line_and_a_hint(terminal: Terminal, line: str, problem: str) -> None:
    told = terminal.run(line, fails=True)
    assert problem in told
    assert "Traceback" not in told


@pytest.mark.parametrize("url", ["mysql://me:secret@host/db", "keys.db", ""])
def test_a_database_that_is_none_of_ours(
    url: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    status = main(["keys", "create", "me", "--database", url])
    told = capsys.readouterr()
    assert status == (2 if url else 0)
    assert "secret" not in told.err
    assert (tmp_path / "tsuzuri.db").exists() == (not url)


def test_what_is_no_database_is_a_clear_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], postgresql: str
) -> None:
    (tmp_path / "text").write_text("these are words, more than a page of a database has " * 10)
    other = postgresql.replace("tsuzuri@", "nobody:secret@")
    for url, problem in (
        (f"sqlite:///{tmp_path / 'text'}", "file is not a database"),
        (f"sqlite:///{tmp_path / 'text' / 'keys.db'}", "cannot be opened as a database"),
        (f"{postgresql}/nowhere", 'database "nowhere" does not exist'),
        (f"{other}/postgres", 'role "nobody" does not exist'),
    ):
        assert main(["keys", "create", "me", "--database", url]) == 2
        told = capsys.readouterr().err
        assert problem in told
        assert "secret" not in told


def test_a_server_does_not_start_without_its_accounts(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("these are words, more than a page of a database has " * 10)
    settings = {"models": [{"path": str(write_release(tmp_path / "release")), "engine": {"kind": "mock"}}]}
    (tmp_path / "serve.yaml").write_text(json.dumps(settings))
    line = [sys.executable, "-m", "tsuzuri", "serve", "--config", str(tmp_path / "serve.yaml"), "--port", "0"]
    url = f"sqlite:///{tmp_path / 'text'}"
    done = subprocess.run([*line, "--database", url], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "file is not a database" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout


def test_the_database_may_come_from_the_environment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TSUZURI_DATABASE", f"sqlite:///{tmp_path / 'other.db'}")
    assert main(["plans", "set", "gold"]) == 0
    assert (tmp_path / "other.db").exists()
    assert main(["plans", "list"]) == 0
    assert "gold" in capsys.readouterr().out.splitlines()[-1]
