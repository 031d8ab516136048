"""What the server costs and stands: streaming clients with keys, beside the engine asked directly.

    python bench/serve.py                        # a mock engine: what everything but the model takes
    python bench/serve.py RELEASE                # our engine and a release
    python bench/serve.py RELEASE --seconds 60 --clients 64
    python bench/serve.py --at http://127.0.0.1:8000 --key KEY…   # a server that runs already: its load alone

1. Overhead: one request at a time, by turns from the engine in this process and over HTTP, open and with a
   key, its quota and its bill; the medians of the time to the first token and to the whole answer differ by
   so much. With a key a request waits for the disk twice, before its first token and before its last byte.
2. Load: so many streaming clients of several keys for so long. Time to the first token (sent → first text)
   and between two parts of a text; errors; the memory of the server at a quarter of the time and at its end;
   how much each client of a key got, the least beside the most.
3. Requests a second of short answers with a mock engine: with key check, quota and metering, and without.

The server is `tsuzuri serve` in a process of its own; clients, engine and server share this machine's cores,
so under load each figure includes what the clients themselves take. Bars: OVERHEAD_BAR_MS, no error, memory
within MEMORY_BAR of itself.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from _client import Client, Seen
from _processes import memory
from _report import Comparison, emit, machine
from tsuzuri.core.processes import cpu_seconds
from tsuzuri.generation.config import SamplingConfig
from tsuzuri.serving.accounts.commands import keys_create, plans_set
from tsuzuri.serving.config import ModelConfig
from tsuzuri.serving.loading import load
from tsuzuri.serving.models import TextModel, TextRequest

OVERHEAD_BAR_MS = 10.0
MEMORY_BAR = 1.05
PROMPTS = ("むかし、むかし、", "東京の朝は", "ある日のこと、", "吾輩は", "雪の降る夜に", "駅を出ると")
MOCK = {"kind": "mock", "tokens_per_s": 50.0, "slots": 128}
AT_ONCE = {"kind": "mock", "tokens": 16, "slots": 128}


@contextmanager
def served(folder: Path, model: dict[str, Any], keys: int) -> Iterator[tuple[str, list[str], int]]:
    """(address, keys, number of the process) of a server; without keys it is open."""
    settings: dict[str, Any] = {"models": [model], "log_level": "warning", "playground": False}
    made = []
    if keys:
        url = f"sqlite:///{folder / 'keys.db'}"
        most = 10**9
        plans_set(
            "bench", database=url, requests_per_minute=most, tokens_per_day=most, concurrent_requests=1000
        )
        made = [_key(url, f"client-{number}") for number in range(keys)]
        settings["accounts"] = {"database": {"url": url}, "address_requests_per_minute": most}
    file = folder / "serve.yaml"
    file.write_text(json.dumps(settings), encoding="utf-8")
    command = [sys.executable, "-m", "tsuzuri", "serve", "--config", str(file), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip(), made, process.pid
    finally:
        process.terminate()
        process.wait()


def _key(url: str, account: str) -> str:
    return str(json.loads(keys_create(account, database=url, plan="bench", as_json=True))["key"])


def asked(name: str, number: int, tokens: int, *, stream: bool = True) -> dict[str, Any]:
    """A request; the prompts differ, so that no answer is another's prefix."""
    prompt = f"{PROMPTS[number % len(PROMPTS)]}{number}"
    body = {"model": name, "prompt": prompt, "max_tokens": tokens, "min_tokens": tokens, "seed": number}
    return {**body, "stream": True, "stream_options": {"include_usage": True}} if stream else body


async def direct(model: TextModel, number: int, tokens: int, seen: Seen) -> None:
    """The same request of the engine in this process, without a server."""
    body = asked("", number, tokens)
    began = last = time.perf_counter()
    sampling = {**model.facts.defaults, "max_new_tokens": tokens, "min_new_tokens": tokens, "seed": number}
    request = TextRequest(await model.read(body["prompt"]), SamplingConfig.model_validate(sampling))
    parts = 0
    async for _ in model.complete(request):
        now = time.perf_counter()
        (seen.between_s if parts else seen.first_s).append(now - (last if parts else began))
        parts, last = parts + 1, now
    seen.whole_s.append(last - began)


async def overhead(
    kind: str, model: TextModel, address: str, key: str | None, options: argparse.Namespace
) -> list[Comparison]:
    """What HTTP adds to the first token and to a whole answer, by the medians of the turns."""
    engine, http, client = Seen(), Seen(), Client(address, key)
    for number in range(options.turns + 3):
        if number == 3:  # the first are for warming up
            engine, http = Seen(), Seen()
        await direct(model, number, options.tokens, engine)
        await client.post(asked(model.facts.name, number, options.tokens), http)
    client.close()
    assert not http.errors, http.errors
    results = []
    for what, ours, bare in (
        ("first token", http.first_s, engine.first_s),
        ("whole answer", http.whole_s, engine.whole_s),
    ):
        added_ms = 1000 * (statistics.median(ours) - statistics.median(bare))
        print(f"overhead {kind}, {what}: {added_ms:.2f} ms of {1000 * statistics.median(bare):,.1f}")
        ratio = OVERHEAD_BAR_MS / max(added_ms, 0.01)
        results.append(Comparison(f"overhead {kind}, {what}", ratio, added_ms, OVERHEAD_BAR_MS, "ms"))
    return results


async def load_of(
    address: str,
    keys: Sequence[str | None],
    name: str,
    *,
    clients: int,
    seconds: float,
    tokens: int,
    stream: bool,
) -> list[Seen]:
    """What clients saw, each asking again and again for so long; a client's key is the next in turn."""
    end = time.perf_counter() + seconds

    async def run(number: int) -> Seen:
        seen, client = Seen(key=number % len(keys)), Client(address, keys[number % len(keys)])
        turn = 0
        while time.perf_counter() < end:
            await client.post(asked(name, number + clients * turn, tokens, stream=stream), seen)
            turn += 1
        client.close()
        return seen

    return await asyncio.gather(*(run(number) for number in range(clients)))


async def watched(processes: Sequence[int], seconds: float) -> list[int]:
    """The server's memory in bytes, each second."""
    samples: list[int] = []
    for _ in range(int(seconds) if processes else 0):
        await asyncio.sleep(1)
        samples.append(memory(processes)[1])
    return samples


def disk_ms(folder: Path) -> float:
    """Milliseconds that a small write takes until the disk has it, which a bill waits for twice a request."""
    taken = []
    with open(folder / "disk", "wb") as file:
        for _ in range(30):
            began = time.perf_counter()
            file.write(bytes(4096))
            file.flush()
            os.fsync(file.fileno())
            taken.append(time.perf_counter() - began)
    return 1000 * statistics.median(taken)


def percentiles(seconds: Sequence[float]) -> str:
    """p50, p95 and p99 in milliseconds."""
    return " / ".join(f"{value * 1000:,.1f}" for value in np.percentile(seconds, (50, 95, 99)))


async def under_load(
    address: str, keys: Sequence[str | None], process: int | None, name: str, options: argparse.Namespace
) -> list[Comparison]:
    """Print what the clients saw; the bars that belong to it. Without a `process` nobody sees its memory and
    CPU time."""
    before_s = cpu_seconds(process) if process else 0.0
    load, samples = await asyncio.gather(
        load_of(
            address,
            keys,
            name,
            clients=options.clients,
            seconds=options.seconds,
            tokens=options.tokens,
            stream=True,
        ),
        watched([process] if process else [], options.seconds),
    )
    errors = [error for seen in load for error in seen.errors]
    first, between = (
        [value for seen in load for value in getattr(seen, name)] for name in ("first_s", "between_s")
    )
    tokens = sum(seen.tokens for seen in load)
    requests = sum(len(seen.whole_s) for seen in load)
    print(
        f"{options.clients} clients, {options.seconds:.0f} s: {requests:,} answers, "
        f"{tokens / options.seconds:,.0f} tokens/s"
    )
    print(f"  first token p50/p95/p99 ms: {percentiles(first)}")
    print(f"  between parts p50/p95/p99 ms: {percentiles(between)}")
    if process:
        used_s = cpu_seconds(process) - before_s
        print(f"  CPU of the server, engine included: {1e6 * used_s / max(tokens, 1):,.0f} µs a token")
    print(f"  errors: {len(errors)} {sorted(set(errors))}")
    shares = [sum(seen.tokens for seen in load if seen.key == key) for key in range(len(keys))]
    print(f"  tokens by key: {shares}; the least has {min(shares) / max(shares):.3f} of the most")
    results = [Comparison("no errors", float(not errors), len(errors), 0, "errors")]
    if samples:
        early, late = samples[len(samples) // 4], statistics.median(samples[-5:])
        print(f"  memory: {early / 2**20:,.1f} MiB at a quarter, {late / 2**20:,.1f} MiB at the end")
        flat = MEMORY_BAR * early / late
        results.append(Comparison("memory flat", flat, late / 2**20, early / 2**20, "MiB"))
    return results


def first_model(address: str, key: str | None) -> str:
    """What a server calls the first model that a key may use."""
    headers = {"authorization": f"Bearer {key}"} if key else {}
    with urllib.request.urlopen(urllib.request.Request(f"{address}/v1/models", headers=headers)) as answer:
        return str(json.load(answer)["data"][0]["id"])


def rates(folder: Path, model: dict[str, Any], name: str, seconds: float, clients: int) -> list[Comparison]:
    """Requests a second of a mock engine, open and with keys."""
    found = {}
    for kind, keys in (("open", 0), ("with keys, quotas and bills", 4)):
        with served(folder, {**model, "engine": AT_ONCE}, keys) as (address, made, _):
            asyncio.run(_warmed(address, made or [None], name))
            load = asyncio.run(
                load_of(
                    address, made or [None], name, clients=clients, seconds=seconds, tokens=16, stream=False
                )
            )
        whole = [value for seen in load for value in seen.whole_s]
        assert not any(seen.errors for seen in load)
        found[kind] = len(whole) / seconds
        print(f"{kind}: {found[kind]:,.0f} requests/s, p50/p95/p99 ms: {percentiles(whole)}")
    ours, peer = found["with keys, quotas and bills"], found["open"]
    return [Comparison("requests with keys, of those without", ours / peer, ours, peer, "requests/s")]


async def _warmed(address: str, keys: Sequence[str | None], name: str) -> None:
    await load_of(address, keys, name, clients=4, seconds=1, tokens=16, stream=False)


def main() -> None:
    """Run the three parts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("release", nargs="?", type=Path, help="default: a mock engine with a made-up release")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--keys", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=64, help="of each answer")
    parser.add_argument("--state", type=Path, help="where the database lies; default: the temporary folder")
    parser.add_argument("--turns", type=int, default=50, help="of the overhead")
    parser.add_argument("--at", metavar="URL", help="of a server that runs, over HTTP; it alone is measured")
    parser.add_argument("--key", nargs="+", default=[None], help="of that server, one client each in turn")
    options = parser.parse_args()
    if options.at:
        name = first_model(options.at, options.key[0])
        emit(asyncio.run(under_load(options.at, options.key, None, name, options)))
        return
    print(machine(("fastapi", "uvicorn", "torch")))
    print(f"load before: {os.getloadavg()[0]:.2f}")
    with tempfile.TemporaryDirectory(dir=options.state) as place:
        folder = Path(place)
        release = options.release or _made_up(folder / "release")
        model: dict[str, Any] = {"path": str(release.resolve()), "name": "bench"}
        model["engine"] = MOCK if options.release is None else {"slots": options.clients}
        bare = load(ModelConfig.model_validate(model))
        results = []
        print(f"a write of 4 KiB that the disk has, p50: {disk_ms(folder):.2f} ms")
        with served(folder, model, 0) as (address, _, _):
            results += asyncio.run(overhead("open", bare, address, None, options))
        with served(folder, model, options.keys) as (address, keys, process):
            results += asyncio.run(overhead("with a key", bare, address, keys[0], options))
            asyncio.run(bare.close())
            results += asyncio.run(under_load(address, keys, process, "bench", options))
        results += rates(folder, model, "bench", min(options.seconds, 10), options.clients)
    emit(results)


def _made_up(folder: Path) -> Path:
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from servers import write_release

    return write_release(folder)


if __name__ == "__main__":
    main()
