"""The accounts over HTTP, on the real server: who may what, and what each answers."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from servers import ask, running, write_release
from tsuzuri.serving.accounts.commands import keys_create, plans_set
from tsuzuri.serving.accounts.config import AccountsConfig, DatabaseConfig
from tsuzuri.serving.config import ModelConfig, ServeConfig

APPLICATION = {
    "name": "山田 花子",
    "email": "hanako@example.jp",
    "purpose": "短歌を作る",
    "consent": True,
    "language": "ja",
}
ADMIN_ROUTES = (
    ("GET", "/admin/waitlist", None),
    ("POST", "/admin/waitlist/abcdef/approve", {}),
    ("POST", "/admin/waitlist/abcdef/refuse", {"reason": "no"}),
    ("GET", "/admin/keys", None),
    ("POST", "/admin/keys", {"account": "me", "is_admin": True}),
    ("POST", "/admin/keys/abc/revoke", {}),
    ("POST", "/admin/keys/abc/rotate", {}),
    ("GET", "/admin/plans", None),
    ("PUT", "/admin/plans/free", {}),
    ("PUT", "/admin/accounts/me/plan", {"plan": "free"}),
    ("GET", "/admin/usage", None),
    ("GET", "/admin/audit", None),
)


MOST_APPLICATIONS = 30
"""An hour."""


class Site:
    """A server with keys: its address, an administrator's key and another's."""

    def __init__(self, address: str, url: str) -> None:
        self.address = address
        self.url = url
        plans_set("wide", database=url, requests_per_minute=100_000, jpy_per_1k_completion="0.5")
        self.admin = self.key("owner", admin=True)
        self.user = self.key("reader", plan="wide")

    def key(self, account: str, **terms: Any) -> str:
        return str(json.loads(keys_create(account, database=self.url, as_json=True, **terms))["key"])

    def ask(self, path: str, body: Any = None, *, key: str | None = None, method: str | None = None) -> Any:
        """(status, answer)"""
        status, _, answer = ask(self.address, path, body, key=key, method=method)
        return status, answer

    def ok(self, path: str, body: Any = None, *, key: str | None = None, method: str | None = None) -> Any:
        """The answer, which is one."""
        status, answer = self.ask(path, body, key=key, method=method)
        assert status in (200, 201), answer
        return answer


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    url = f"sqlite:///{folder / 'keys.db'}"
    config = ServeConfig(
        port=0,
        models=(ModelConfig(path=write_release(folder / "release"), name="kana", engine={"kind": "mock"}),),
        accounts=AccountsConfig(
            database=DatabaseConfig(url=url),
            address_requests_per_minute=100_000,
            address_failures_per_minute=100_000,
            applications_per_hour=MOST_APPLICATIONS,
        ),
    )
    with running(config) as (address, _):
        yield Site(address, url)


def test_from_application_to_text(site: Site) -> None:
    entered = site.ok("/waitlist", APPLICATION)
    token = entered["token"]
    assert (entered["status"], entered["position"], entered["waiting"]) == ("waiting", 1, 1)
    assert "token" not in site.ok(f"/waitlist/{token}")
    status, answer = site.ask(f"/waitlist/{token}/key", {})
    assert (status, answer["error"]["code"]) == (409, "application_waiting")
    (listed,) = site.ok("/admin/waitlist?status=waiting", key=site.admin)["data"]
    assert {listed[name] for name in ("name", "email", "purpose")} == {
        APPLICATION[name] for name in ("name", "email", "purpose")
    }
    site.ok(f"/admin/waitlist/{listed['id']}/approve", {"plan": "wide", "models": ["kana"]}, key=site.admin)
    assert site.ok(f"/waitlist/{token}")["status"] == "approved"
    key = site.ok(f"/waitlist/{token}/key", {})["key"]
    assert site.ask(f"/waitlist/{token}/key", {})[0] == 409
    asked = {"model": "kana", "prompt": "ある山", "max_tokens": 5}
    used = site.ok("/v1/completions", asked, key=key)["usage"]
    usage = site.ok("/account/usage", key=key)
    assert usage["today"]["completion_tokens"] == used["completion_tokens"] == 5
    assert usage["today"]["prompt_tokens"] == used["prompt_tokens"]
    assert usage["month"]["cost_jpy"] == 0.0025
    assert usage["plan"]["name"] == "wide"
    assert usage["key"]["models"] == ["kana"]
    assert "tsz_" + key.split("_")[1] == usage["key"]["prefix"]
    assert site.ok("/admin/usage?by=key&account=nobody", key=site.admin)["data"] == []
    rows = site.ok("/admin/usage?by=key", key=site.admin)["data"]
    assert [row["completion_tokens"] for row in rows if row["key"] == key.split("_")[1]] == [5]


def test_a_slip_of_the_pen_does_not_count_as_an_application(site: Site) -> None:
    for _ in range(MOST_APPLICATIONS + 1):
        status, answer = site.ask("/waitlist", {**APPLICATION, "email": "no address"})
        assert (status, answer["error"]["code"]) == (400, "bad_email")
    assert site.ask("/waitlist", {**APPLICATION, "email": "pen@example.jp"})[0] == 201


def test_refused_with_a_reason(site: Site) -> None:
    token = site.ok("/waitlist", {**APPLICATION, "email": "taro@example.jp"})["token"]
    id = site.ok("/admin/waitlist?status=waiting", key=site.admin)["data"][-1]["id"]
    assert site.ask(f"/admin/waitlist/{id}/refuse", {"reason": " "}, key=site.admin)[0] == 400
    site.ok(f"/admin/waitlist/{id}/refuse", {"reason": "迷惑メール"}, key=site.admin)
    standing = site.ok(f"/waitlist/{token}")
    assert (standing["status"], standing["reason"]) == ("refused", "迷惑メール")
    status, answer = site.ask(f"/admin/waitlist/{id}/approve", {}, key=site.admin)
    assert (status, answer["error"]["code"]) == (409, "application_refused")


@pytest.mark.parametrize(("method", "path", "body"), ADMIN_ROUTES)
def test_administration_needs_an_administrators_key(site: Site, method: str, path: str, body: Any) -> None:
    for key, status, code in ((None, 401, "missing_api_key"), (site.user, 403, "admin_key_required")):
        answered, answer = site.ask(path, body, key=key, method=method)
        assert (answered, answer["error"]["code"]) == (status, code)


def test_keys_are_made_rotated_and_revoked(site: Site) -> None:
    terms = {"account": "新人", "models": ["kana"], "expires_days": 1, "requests_per_minute": 1000}
    made = site.ok("/admin/keys", terms, key=site.admin)
    assert made["expires_at"] > time.time()
    site.ok("/account/usage", key=made["key"])
    again = site.ok(f"/admin/keys/{made['id']}/rotate", {"overlap_hours": 0}, key=site.admin)
    time.sleep(0.01)
    status, answer = site.ask("/account/usage", key=made["key"])
    assert (status, answer["error"]["code"]) == (401, "expired_api_key")
    site.ok(f"/admin/keys/tsz_{again['id']}/revoke", method="POST", key=site.admin)
    status, answer = site.ask("/account/usage", key=again["key"])
    assert (status, answer["error"]["code"]) == (401, "revoked_api_key")
    listed = site.ok("/admin/keys?account=%E6%96%B0%E4%BA%BA", key=site.admin)["data"]
    assert [row["status"] for row in listed] == ["expired", "revoked"]
    assert made["key"] not in json.dumps(listed)
    audit = json.dumps(site.ok("/admin/audit", key=site.admin))
    assert '"key.rotate"' in audit
    assert made["key"].split("_")[2] not in audit


def test_plans_are_set_and_assigned(site: Site) -> None:
    terms = {"tokens_per_day": 7, "jpy_per_1k_prompt": 0.1, "budget_jpy_per_month": None}
    site.ok("/admin/plans/tiny plan".replace(" ", "%20"), terms, method="PUT", key=site.admin)
    (plan,) = [row for row in site.ok("/admin/plans", key=site.admin)["data"] if row["name"] == "tiny plan"]
    assert (plan["tokens_per_day"], plan["jpy_per_1k_prompt"], plan["concurrent_requests"]) == (7, 0.1, 8)
    key = site.key("small")
    site.ok("/admin/accounts/small/plan", {"plan": "tiny plan"}, method="PUT", key=site.admin)
    status, answer = site.ask("/v1/completions", {"model": "kana", "prompt": "ある山"}, key=key)
    assert (status, answer["error"]["code"]) == (429, "daily_tokens_reached")
    assert site.ok("/account/usage", key=key)["plan"]["name"] == "tiny plan"


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/waitlist", {}, 400),
        ("POST", "/waitlist", {**APPLICATION, "consent": False}, 400),
        ("POST", "/waitlist", {**APPLICATION, "consent": "yes"}, 400),
        ("POST", "/waitlist", {**APPLICATION, "email": "nobody"}, 400),
        ("POST", "/waitlist", {**APPLICATION, "is_admin": True}, 400),
        ("POST", "/waitlist", {**APPLICATION, "purpose": "\ud800"}, 400),
        ("POST", "/waitlist", b"\xff\xfe", 400),
        ("GET", "/waitlist/" + "x" * 129, None, 400),
        ("GET", "/waitlist/unknown", None, 404),
        ("POST", "/admin/keys", {"account": ""}, 400),
        ("POST", "/admin/keys", {"account": "a\u0000b"}, 400),
        ("POST", "/admin/keys", {"account": "me", "plan": "nope"}, 404),
        ("POST", "/admin/keys", {"account": "me", "expires_days": -1}, 400),
        ("POST", "/admin/keys/nobody/revoke", None, 404),
        ("PUT", "/admin/plans/p", {"tokens_per_day": -1}, 400),
        ("PUT", "/admin/plans/p", {"jpy_per_1k_prompt": 0.00000001}, 400),
        ("PUT", "/admin/plans/p", {"budget_jpy_per_month": 1e300}, 400),
        ("PUT", "/admin/plans/%20", {}, 400),
        ("PUT", "/admin/accounts/nobody/plan", {"plan": "wide"}, 404),
        ("GET", "/admin/usage?since=yesterday", None, 400),
        ("GET", "/admin/usage?by=password", None, 400),
        ("GET", "/admin/audit?limit=0", None, 400),
        ("GET", "/admin/audit?before=99999999999999999999999", None, 400),
        ("POST", "/admin/waitlist/%25/approve", {}, 404),
        ("POST", "/admin/waitlist/%00/approve", {}, 400),
        ("POST", "/admin/keys", {"account": "me", "models": ["a\u0000b"]}, 400),
    ],
)
def test_what_cannot_be_is_a_clear_error(site: Site, method: str, path: str, body: Any, status: int) -> None:
    answered, answer = site.ask(path, body, key=site.admin, method=method)
    assert answered == status, answer
    assert set(answer["error"]) == {"message", "type", "param", "code"}


def test_an_address_applies_so_often(site: Site) -> None:
    statuses = [
        site.ask("/waitlist", {**APPLICATION, "email": f"many{number}@example.jp"})[0] for number in range(40)
    ]
    assert statuses[-1] == 429
    assert statuses.count(201) < 31
