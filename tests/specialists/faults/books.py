"""The books of a house: keys, what is reserved, and a bill for each request, in SQLite."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from specialists.faults.history import History
from tsuzuri.serving.accounts.commands import keys_create, plans_set

CLIENTS, HOUSE = "clients", "house"
"""Accounts: of those who are judged, and of the house's own questions."""
PLAN = "faults"
MOST = 10**9
LIMITS = {"requests_per_minute": MOST, "tokens_per_day": MOST, "concurrent_requests": 10_000}
HELD = "select coalesce(sum(requests), 0), coalesce(sum(tokens), 0) from holds"
BILLS = (
    "select r.request_id, r.outcome, r.completion_tokens from requests r "
    "join accounts a on a.id = r.account_id where a.name = ?"
)


class Books:
    """Opened when they are asked for, beside the gateway that writes them."""

    def __init__(self, path: Path) -> None:
        self._path, self.url = path, f"sqlite:///{path}"
        plans_set(PLAN, database=self.url, **LIMITS)
        self.keys = {name: self._key(name) for name in (CLIENTS, HOUSE)}

    def held(self) -> tuple[int, int]:
        """(requests, tokens) that are reserved."""
        ((requests, tokens),) = self._rows(HELD)
        return int(requests), int(tokens)

    def copy(self, history: History, log: Iterable[Mapping[str, Any]]) -> None:
        """Write bills and what is reserved into the history, and what the gateway's log says of the same."""
        requests, tokens = self.held()
        history.note("held", requests=requests, tokens=tokens)
        lines = [line for line in log if line.get("trace")]
        clients = {line["request_id"]: _client(line) for line in lines if line["event"] == "completion"}
        for request_id, outcome, completion in self._rows(BILLS, CLIENTS):
            client = clients.get(request_id, "")
            history.note("usage", request_id=request_id, id=client, outcome=outcome, tokens=completion)
        names = ("outcome", "attempts", "specialist", "revision", "worker")
        for line in (line for line in lines if line["event"] == "specialist_request"):
            history.note("closed", id=_client(line), **{name: line[name] for name in names})

    def _key(self, account: str) -> str:
        return str(json.loads(keys_create(account, database=self.url, plan=PLAN, as_json=True))["key"])

    def _rows(self, question: str, *values: str) -> list[tuple[Any, ...]]:
        connection = sqlite3.connect(f"file:{self._path}?mode=ro", uri=True, timeout=10)
        try:
            return connection.execute(question, values).fetchall()
        finally:
            connection.close()


def _client(line: Mapping[str, Any]) -> str:
    """The id of the request that a line of the log is of."""
    return str(line["trace"]).split("-")[1]
