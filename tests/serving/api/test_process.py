"""The real command: what it prints, logs and leaves, told to stop or to read its file again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from servers import ask, events
from tsuzuri.cli import main
from tsuzuri.core.errors import ResourceError
from tsuzuri.serving.server import listen

SECRET = "誰にも言えない秘密"
MOCK = "models.{}.engine={{kind: mock}}"


HUNG_UP_ON = """
import os, signal, sys
from pathlib import Path
from fastapi import APIRouter
from tsuzuri.serving.server import Options, run

class Guest:
    router, page = APIRouter(), ""
    def prepare(self): os.kill(os.getpid(), signal.SIGHUP)
    async def start(self, service): pass
    async def close(self): pass

run(Options(config=Path(sys.argv[1]), port=0), [Guest()])
"""


@contextmanager
def serving(config: Path, log: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """(address, process) of `tsuzuri serve`; it has ended after this."""
    command = [sys.executable, "-m", "tsuzuri", "serve", "--config", str(config), "--port", "0"]
    with open(log, "w") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        assert process.stdout is not None
        try:
            address = process.stdout.readline().strip()
            assert address.startswith("http://"), log.read_text()
            while ask_or_none(address, "/ready") != 200:
                assert process.poll() is None, log.read_text()
                time.sleep(0.02)
            yield address, process
        finally:
            if process.poll() is None:
                process.kill()
            process.wait(30)
            process.stdout.close()


def ask_or_none(address: str, path: str) -> int | None:
    try:
        return ask(address, path)[0]
    except ConnectionError:
        return None


def write_config(path: Path, release: Path, *, names: tuple[str, ...] = ("slow",), **settings: Any) -> Path:
    engine = {"kind": "mock", "tokens_per_s": 100}
    models = [{"path": str(release), "name": name, "engine": engine} for name in names]
    path.write_text(json.dumps({"models": models, **settings}))  # JSON is YAML
    return path


def lines(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


def test_stopping_finishes_what_fits_and_hands_the_rest_back(release: Path, tmp_path: Path) -> None:
    config = write_config(tmp_path / "serve.yaml", release, drain_s=1.0)
    log = tmp_path / "log"
    answers: dict[str, Any] = {}
    with serving(config, log) as (address, process):

        def client(name: str, tokens: int, stream: bool) -> None:
            asked = {"model": "slow", "prompt": SECRET, "max_tokens": tokens, "stream": stream, "seed": 1}
            answers[name] = ask(address, "/v1/completions", asked)

        wanted = (
            ("short", 60, False),
            ("short stream", 60, True),
            ("long", 3000, False),
            ("stream", 3000, True),
        )
        clients = [threading.Thread(target=client, args=one) for one in wanted]
        for thread in clients:
            thread.start()
        while _running(address) < 4:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        for thread in clients:
            thread.join()
        process.wait(20)
    assert process.returncode in (0, -signal.SIGTERM)
    assert answers["short"][0] == 200
    assert events(answers["short stream"][2])[-1] == "[DONE]"
    status, headers, answer = answers["long"]
    assert (status, answer["error"]["code"]) == (503, "server_shutting_down")
    assert int(headers["retry-after"]) >= 1
    *parts, last = events(answers["stream"][2])
    assert last["error"]["code"] == "server_shutting_down"
    assert len(parts) > 20
    told = lines(log)
    outcomes = sorted(line["outcome"] for line in told if line["event"] == "completion")
    assert outcomes == ["complete", "complete", "handed_back", "handed_back"]
    assert told[-1]["event"] == "stopped"
    assert SECRET not in log.read_text()
    handed = [line for line in told if line.get("outcome") == "handed_back"]
    assert all(line["completion_tokens"] > 0 for line in handed)


def test_the_file_is_read_again(release: Path, tmp_path: Path) -> None:
    config, log = write_config(tmp_path / "serve.yaml", release), tmp_path / "log"
    with serving(config, log) as (address, process):
        write_config(config, release, names=("slow", "more"))
        process.send_signal(signal.SIGHUP)
        while len(ask(address, "/v1/models")[2]["data"]) < 2:
            time.sleep(0.02)
        config.write_text("models: [{path: /nowhere}]")
        process.send_signal(signal.SIGHUP)
        while "not_reloaded" not in log.read_text():
            time.sleep(0.02)
        assert len(ask(address, "/v1/models")[2]["data"]) == 2
        key = "tsz_aaaaaaaaaa_secret"
        ask(address, f"/v1/models?key={key}&text={SECRET[0].encode().hex()}", key=key)
        ask(address, f"/v1/models/{key}", key=key)
        process.send_signal(signal.SIGINT)
        process.wait(20)
    text = log.read_text()
    assert key not in text
    requests = [line for line in lines(log) if line["event"] == "request"]
    assert {line["route"] for line in requests} >= {"/v1/models", "/v1/models/{name:path}"}
    assert all(line["request_id"].startswith("req_") for line in requests)


def test_a_file_that_changes_while_it_is_followed_is_read_once_more(release: Path, tmp_path: Path) -> None:
    config, log = write_config(tmp_path / "serve.yaml", release), tmp_path / "log"
    with serving(config, log) as (address, process):
        write_config(config, release, names=("slow", *(f"model-{number}" for number in range(60))))
        process.send_signal(signal.SIGHUP)
        time.sleep(0.05)  # so that it has been read, and 60 models are being loaded
        write_config(config, release, names=("slow", "last"))
        process.send_signal(signal.SIGHUP)
        while log.read_text().count('"reloaded"') < 2:
            time.sleep(0.05)
        assert [model["id"] for model in ask(address, "/v1/models")[2]["data"]] == ["slow", "last"]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ([], "nothing to serve"),
        (["/nowhere"], "holds no model"),
        (["RELEASE", "RELEASE", "--set", MOCK.format(0), "--set", MOCK.format(1)], "models.1.name=another"),
        (["RELEASE", "--host", "0.0.0.0"], "nobody is asked for a key"),
        (["RELEASE", "--set", "cors_origins=['*']"], "origins one by one"),
        (["RELEASE", "--set", "limits.body_byte=1"], "did you mean 'body_bytes'"),
        (["RELEASE", "--set", "models.0.engine={kind: monk}"], "did you mean 'mock'"),
        (["RELEASE", "--set", "models.0.engine={kind: mock, speed: 1}"], "unknown key"),
        (["RELEASE", "--host", "203.0.113.1", "--database", "sqlite:///FOLDER/a.db"], "203.0.113.1"),
    ],
)
def test_what_can_not_be_served(
    release: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], word: str
) -> None:
    given = [item.replace("RELEASE", str(release)).replace("FOLDER", str(tmp_path)) for item in arguments]
    assert main(["serve", "--port", "0", *given]) == 2
    assert word in capsys.readouterr().err
    assert "TSUZURI_DATABASE" not in os.environ


def _running(address: str) -> int:
    text = ask(address, "/metrics")[2].decode()
    [line] = [line for line in text.splitlines() if line.startswith("tsuzuri:num_requests_running{")]
    return int(float(line.split()[-1]))


def test_a_reload_asked_for_while_models_are_loaded_comes_after_it(tmp_path: Path, release: Path) -> None:
    config = write_config(tmp_path / "serve.yaml", release)
    with open(tmp_path / "log", "w") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", HUNG_UP_ON, str(config)], stdout=subprocess.PIPE, stderr=log, text=True
        )
    assert process.stdout is not None
    try:
        assert process.stdout.readline().startswith("http://")
        while '"reloaded"' not in (tmp_path / "log").read_text():
            assert process.poll() is None
            time.sleep(0.02)
    finally:
        process.kill()
        process.wait(30)
        process.stdout.close()


def test_a_port_that_is_taken_is_named_with_the_option_that_gives_another() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        taken.listen()
        with pytest.raises(ResourceError, match=rf"127\.0\.0\.1:{port} .*(?s:.)*--port"):
            listen("127.0.0.1", port)
