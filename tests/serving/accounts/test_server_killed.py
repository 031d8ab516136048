"""The real command, killed under load: who got a whole answer is billed what the answer says, who got part of
one at least that, and nobody more than was written for them."""

from __future__ import annotations

import http.client
import json
import random
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from servers import ask, events, write_release
from serving.accounts.people import check_sums
from tsuzuri.serving.accounts.commands import keys_create, plans_set
from tsuzuri.serving.accounts.config import DatabaseConfig
from tsuzuri.serving.accounts.database import Database
from tsuzuri.serving.accounts.usage import report

CLIENTS = 16
MOST = 40


def start(config: Path, log: Path) -> tuple[str, subprocess.Popen[str]]:
    """(address, process) of a server that is ready."""
    command = [sys.executable, "-m", "tsuzuri", "serve", "--config", str(config), "--port", "0"]
    with open(log, "a") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
    assert process.stdout is not None
    address = process.stdout.readline().strip()
    process.stdout.close()
    while True:
        assert process.poll() is None, log.read_text()
        try:
            if ask(address, "/ready")[0] == 200:
                return address, process
        except OSError:
            time.sleep(0.02)


class Client:
    """Asks one thing after another with a key of its own until its server is gone."""

    def __init__(self, key: str, number: int) -> None:
        self.key = key
        self.drawn = random.Random(number)
        self.whole_tokens = 0
        """In answers that came whole."""
        self.part_tokens = 0
        """Seen in answers that were cut."""
        self.cut = 0

    def run(self, address: str) -> None:
        try:
            while True:
                self._ask(address)
        except (OSError, http.client.HTTPException):
            return

    def _ask(self, address: str) -> None:
        body = {
            "model": "kana",
            "prompt": "ある山",
            "max_tokens": self.drawn.randint(1, MOST),
            "stream": True,
        }
        body["stream_options"] = {"include_usage": True}
        body["logprobs"] = 0
        host = address.removeprefix("http://")
        connection = http.client.HTTPConnection(host, timeout=30)
        seen = b""
        try:
            headers = {"content-type": "application/json", "authorization": f"Bearer {self.key}"}
            connection.request("POST", "/v1/completions", json.dumps(body), headers)
            answer = connection.getresponse()
            assert answer.status == 200, answer.read()
            while part := answer.read1(65_536):
                seen += part
            told = events(seen)
            assert told[-1] == "[DONE]"
            self.whole_tokens += told[-2]["usage"]["completion_tokens"]
        except (OSError, http.client.HTTPException, AssertionError):
            whole = seen[: seen.rfind(b"\n\n") + 2]
            self.part_tokens += sum(map(_tokens, events(whole)))
            self.cut += 1
            raise http.client.HTTPException("cut") from None
        finally:
            connection.close()


def _tokens(event: Any) -> int:
    choices = event["choices"] if isinstance(event, dict) else []
    return sum(len((choice.get("logprobs") or {}).get("tokens", [])) for choice in choices)


@pytest.mark.parametrize("kills", [1, pytest.param(10, marks=pytest.mark.large)])
@pytest.mark.slow
def test_a_killed_server_has_billed_what_it_sent(tmp_path: Path, kills: int) -> None:
    url = f"sqlite:///{tmp_path / 'keys.db'}"
    release = write_release(tmp_path / "release")
    engine = {"kind": "mock", "tokens_per_s": 100}
    config = tmp_path / "serve.yaml"
    config.write_text(
        json.dumps(
            {
                "models": [{"path": str(release), "name": "kana", "engine": engine}],
                "accounts": {"database": {"url": url}, "address_requests_per_minute": 1_000_000},
            }
        )
    )
    plans_set("wide", database=url, requests_per_minute="none", tokens_per_day="none")
    clients = []
    for number in range(CLIENTS):
        made = keys_create(f"client {number}", database=url, plan="wide", as_json=True)
        clients.append(Client(json.loads(made)["key"], number))
    drawn = random.Random(7)
    for _ in range(kills):
        address, process = start(config, tmp_path / "log")
        killer = threading.Timer(drawn.uniform(0.3, 0.9), process.kill)
        killer.start()
        with ThreadPoolExecutor(CLIENTS) as pool:
            list(pool.map(Client.run, clients, [address] * CLIENTS))
        process.wait(30)
        killer.join()
    address, process = start(config, tmp_path / "log")  # settles what the last kill left
    process.terminate()
    process.wait(30)
    database = Database(DatabaseConfig(url=url))
    billed = {row["account"]: row["completion_tokens"] for row in database.read(report)}
    for number, client in enumerate(clients):
        sent = client.whole_tokens + client.part_tokens
        assert sent <= billed.get(f"client {number}", 0) <= sent + client.cut * MOST
    assert sum(client.whole_tokens for client in clients) > 0
    assert sum(client.cut for client in clients) > 0
    database.read(check_sums)
    database.close()
