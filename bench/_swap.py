"""A specialist replaced while clients ask: how many of their requests failed, and who answered them.

`tsuzuri specialists up` runs as its user runs it (embedded broker, one worker process a specialist), with the
wrong release let in by name; then `tsuzuri specialists replace` puts the right one in its place, through the
gate, share by share.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tsuzuri.core.files import write_text
from tsuzuri.specialists.up.kept import UP, read_up

CLIENTS = 3
PATIENCE_S = 600
ROLLOUT = {"watch_s": 5, "least_answers": 10, "idle_s": 60}


def swap(
    folder: Path, releases: Mapping[str, Path], generalist: str, name: str, right: Path, texts: Path
) -> dict[str, Any]:
    """Start the specialists of `releases` in `folder`, replace one by the `right` release under load.

    {requests, failed: {status: n}, answered: {specialist/revision: n}, seconds, replaced: exit status}.
    """
    folder.mkdir(parents=True, exist_ok=True)
    values = {
        "alias": "tsuzuri",
        "generalist": generalist,
        "specialists": [
            {"name": one, "release": os.path.relpath(path, folder), "gate": "none"}
            for one, path in releases.items()
        ],
        "router": {"method": "table", "rules": [{"specialist": name, "keywords": ["こんにちは"]}]},
        "gate": {"texts": 32, "characters": 256, "tokens": 8, "first_token_s": 120},
        "rollout": ROLLOUT,
        "server": {"port": 0},
    }
    write_text(folder / "specialists.yaml", yaml.safe_dump(values, allow_unicode=True))
    shutil.rmtree(folder / "up", ignore_errors=True)  # what one before it has decided is not to count
    with running(folder) as up:
        address = wait_for(up, folder)
        asked: Counter[tuple[str, str]] = Counter()
        with under_load(address, asked):
            until(lambda: any(who.startswith(f"{name}/") for status, who in asked if status == "200"), up)
            began = time.monotonic()
            command = ["replace", name, str(right), f"--texts={texts}", f"--out={folder / 'up'}"]
            done = subprocess.run(tsuzuri("specialists", *command), check=False)
            seconds = time.monotonic() - began
    failed: Counter[str] = Counter()
    for (status, _), count in asked.items():
        if status != "200":
            failed[status] += count
    answered = {who: count for (status, who), count in sorted(asked.items()) if status == "200"}
    return {
        "requests": sum(asked.values()),
        "failed": dict(failed),
        "answered": answered,
        "seconds": seconds,
        "replaced": done.returncode,
    }


def tsuzuri(*words: str) -> list[str]:
    """The command line as its user gives it."""
    return [sys.executable, "-m", "tsuzuri", *words]


@contextmanager
def running(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`up` in a process of its own, which ends with all that it started."""
    command = tsuzuri("specialists", "up", str(folder / "specialists.yaml"), f"--out={folder / 'up'}")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with open(folder / "up.log", "wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(120)


def wait_for(up: subprocess.Popen[bytes], folder: Path) -> str:
    """The address of the API, once it answers."""
    until(lambda: (folder / "up" / UP).exists(), up)
    found: list[str] = []

    def answers() -> bool:
        found[:] = [str(read_up(folder / "up")["address"])]
        return bool(found[0]) and ask(found[0], "本")[0] == "200"

    until(answers, up)
    return found[0]


def until(is_so: Callable[[], bool], up: subprocess.Popen[bytes]) -> None:
    """Wait; SystemExit where it takes too long, or `up` has ended."""
    ends_at = time.monotonic() + PATIENCE_S
    while not is_so():
        if up.poll() is not None or time.monotonic() > ends_at:
            raise SystemExit("the specialists did not come up: see up.log")
        time.sleep(0.2)


def ask(address: str, prompt: str) -> tuple[str, str]:
    """The status of one request, or what went wrong, and who answered."""
    body = json.dumps({"model": "tsuzuri", "prompt": prompt, "max_tokens": 8}).encode()
    request = urllib.request.Request(
        f"{address}/v1/completions", body, {"content-type": "application/json"}, method="POST"
    )
    try:
        with urllib.request.urlopen(request, timeout=120) as response:
            about = json.loads(response.read()).get("tsuzuri", {})
            return str(response.status), f"{about.get('specialist')}/{about.get('revision')}"
    except urllib.error.HTTPError as error:
        return str(error.code), ""
    except OSError as error:
        return type(error).__name__, ""


@contextmanager
def under_load(address: str, asked: Counter[tuple[str, str]]) -> Iterator[None]:
    """Clients that ask one request after another, counted in `asked` by status and who answered."""
    is_over, lock = threading.Event(), threading.Lock()

    def client(number: int) -> None:
        count = 0
        while not is_over.is_set():
            count += 1
            outcome = ask(address, f"こんにちは、{number}の{count}です。")
            with lock:
                asked[outcome] += 1

    threads = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        is_over.set()
        for thread in threads:
            thread.join()


def in_words(found: Mapping[str, Any]) -> str:
    """What came of it, in a line."""
    failed = ", ".join(f"{count} with {status}" for status, count in found["failed"].items()) or "none"
    who = ", ".join(f"{name} {count}" for name, count in found["answered"].items())
    done = "done" if found["replaced"] == 0 else f"refused or undone (exit {found['replaced']})"
    return (
        f"the swap under load: {done} in {found['seconds']:.1f} s, {found['requests']} requests, "
        f"failed: {failed}; answered by {who}"
    )
