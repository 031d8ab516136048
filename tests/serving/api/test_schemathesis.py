"""What schemathesis makes of our description: no answer is an error of ours, each is as described."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
import schemathesis
from schemathesis.checks import CHECKS

from servers import running
from tsuzuri.serving.accounts.commands import keys_create, plans_set
from tsuzuri.serving.accounts.config import AccountsConfig, DatabaseConfig
from tsuzuri.serving.config import ServeConfig

ANY = 10_000_000


@pytest.fixture(scope="module")
def described(config: ServeConfig, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """(address, administrator's key) of a server that nothing here can exhaust."""
    url = f"sqlite:///{tmp_path_factory.mktemp('accounts') / 'keys.db'}"
    accounts = AccountsConfig(
        database=DatabaseConfig(url=url),
        address_requests_per_minute=ANY,
        applications_per_hour=ANY,
        address_failures_per_minute=ANY,
    )
    models = config.models[:2]
    with running(config.model_copy(update={"accounts": accounts, "models": models})) as (address, _):
        plans_set("wide", database=url, requests_per_minute=ANY, tokens_per_day=2**31 - 1)
        made = json.loads(keys_create("owner", database=url, admin=True, plan="wide", as_json=True))
        yield address, made["key"]


CHECKED = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
)


def cases(operation: Any, key: str, examples: int) -> int:
    """Cases of an operation that were tried; an AssertionError for what a check finds."""
    tried = 0
    checks = [CHECKS.get_one(name) for name in CHECKED]

    @hypothesis.given(case=operation.as_strategy())
    @hypothesis.settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    def check(case: schemathesis.Case) -> None:
        nonlocal tried
        case.call_and_validate(headers={"authorization": f"Bearer {key}"}, checks=checks)
        tried += 1

    check()
    return tried


def run(address: str, key: str, *, examples: int, only: str = "") -> int:
    """Cases tried of the operations whose path holds `only`."""
    schema = schemathesis.openapi.from_url(f"{address}/openapi.json")
    operations = [result.ok() for result in schema.get_all_operations()]
    return sum(cases(operation, key, examples) for operation in operations if only in operation.path)


@pytest.mark.parametrize("only", ["/v1/", "/account", "/waitlist", "/health"])
def test_nothing_that_follows_the_description_breaks_the_server(
    described: tuple[str, str], only: str
) -> None:
    assert run(*described, examples=6, only=only) > 0


@pytest.mark.large
@pytest.mark.timeout(3000)
def test_thousands_of_them(described: tuple[str, str]) -> None:
    assert run(*described, examples=100) > 1000
