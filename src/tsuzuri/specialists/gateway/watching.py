"""What a gateway sees, for people, Prometheus and whoever looks for a mistake: never a text."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tsuzuri.core.errors import TsuzuriError
from tsuzuri.serving import logs
from tsuzuri.serving.metrics import LATENCY_BUCKETS, TTFT_BUCKETS
from tsuzuri.specialists.bus.base import Following, Lag, Record
from tsuzuri.specialists.dead_letters import MARK, REASON
from tsuzuri.specialists.gateway.calls import Call
from tsuzuri.specialists.gateway.dispatch import Gateway
from tsuzuri.specialists.gateway.ledger import End
from tsuzuri.specialists.messages import now_ms
from tsuzuri.specialists.registry.registry import Key

if TYPE_CHECKING:
    from tsuzuri.specialists.gateway.models import SentAnswer

KEPT = 100
"""Routings, the newest."""
LAG_S = 5.0
"""Between two looks at what the broker still holds."""
OF_REVISION = ("specialist", "revision")


class Watch:
    """The figures of one gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self.routings: deque[dict[str, Any]] = deque(maxlen=KEPT)
        """The newest first."""
        self.lags: dict[Key, Lag] = {}
        self.outcomes: Counter[tuple[str, str, str]] = Counter()
        """By specialist, revision and outcome."""
        self._letters: dict[str, str] = {}
        """Dead letters: place → reason."""
        self._following: Following | None = None
        self._measuring: asyncio.Task[None] | None = None
        self._registry = CollectorRegistry()
        self._queued = self._histogram("queue", "From a request's acceptance to its worker's", TTFT_BUCKETS)
        self._first = self._histogram("first_token", "From acceptance to the first text", TTFT_BUCKETS)
        self._total = self._histogram("request", "From acceptance to the end", LATENCY_BUCKETS)
        gateway.on_end = self.note

    def start(self, registry: CollectorRegistry) -> None:
        """Look after lags and dead letters from now on, and tell Prometheus."""
        gateway = self._gateway
        self._following = gateway.bus.follow(
            gateway.topics.dead_letters, self._read, begin="beginning", is_urgent=False
        )
        self._measuring = asyncio.create_task(self._measure())
        registry.register(self._registry)
        registry.register(_Figures(gateway, self))

    async def stop(self) -> None:
        """Look after nothing more."""
        if self._measuring is not None:
            self._measuring.cancel()
            await asyncio.gather(self._measuring, return_exceptions=True)
        if self._following is not None:
            await asyncio.to_thread(self._following.close)

    def note(self, call: Call, end: End) -> None:
        """A request has ended."""
        now, key = time.monotonic(), call.target.key
        outcome = end.failure.code if end.state == "error" and end.failure else end.state
        self.outcomes[*key, outcome] += 1
        if call.accepted_at is not None:
            self._queued.labels(*key).observe(call.accepted_at - call.opened_at)
        if call.first_at is not None:
            self._first.labels(*key).observe(call.first_at - call.opened_at)
        self._total.labels(*key).observe(now - call.opened_at)
        logs.event(
            "specialist_request",
            id=call.id,
            trace=call.trace.get("traceparent"),
            specialist=key[0],
            revision=key[1],
            epoch=call.target.epoch,
            kind=type(call.body).__name__.lower(),
            lane=call.lane,
            outcome=outcome,
            attempts=end.entry.attempt,
            worker=end.entry.worker,
            completion_tokens=end.entry.completion_tokens,
            elapsed_ms=round(1000 * (now - call.opened_at), 1),
        )

    def routed(self, answer: SentAnswer) -> None:
        """An answer is over: how it was routed."""
        choice, sent = answer.answer.choice, answer.written_by
        call = sent.call if sent is not None else None
        told = {
            "at_ms": now_ms(),
            **answer.about,
            "method": choice.method if choice else "",
            "characters": len(answer.request.prompt.text),
            "completion_tokens": answer.usage.completion_tokens,
        }
        if call is not None:
            first_at = call.first_at or time.monotonic()
            told |= {
                "id": call.id,
                "alias": call.alias,
                "trace": call.trace.get("traceparent"),
                "first_ms": round(1000 * (first_at - call.opened_at), 1),
                "total_ms": round(1000 * (time.monotonic() - call.opened_at), 1),
            }
        self.routings.appendleft(told)

    @property
    def dead_letters(self) -> dict[str, int]:
        """That nobody has replayed or dropped, by reason."""
        return dict(Counter(list(self._letters.values())))

    def told(self) -> dict[str, Any]:
        """All of it, as JSON knows it."""
        gateway = self._gateway
        routes, descriptors = gateway.living.routes, gateway.living.descriptors
        beats = gateway.registry.beats
        shared = {
            (name, revision)
            for route in routes.values()
            for name, shares in route.shares.items()
            for revision in shares
        }
        keys = sorted({*descriptors, *shared, *((beat.specialist, beat.revision) for beat in beats.values())})
        return {
            "gateway": {
                "name": gateway.name,
                "held": len(gateway.ledger),
                "counts": dict(gateway.ledger.counts),
                "malformed": gateway.malformed,
                "ignored": gateway.registry.ignored,
            },
            "aliases": {
                alias: {
                    "epoch": route.epoch,
                    "mode": route.mode,
                    "generalist": route.generalist,
                    "note": route.note,
                    "shares": route.shares,
                    "changed_ms": route.changed_ms,
                }
                for alias, route in routes.items()
            },
            "specialists": [self._revision(key) for key in keys],
            "dead_letters": self.dead_letters,
            "routings": list(self.routings),
        }

    def _revision(self, key: Key) -> dict[str, Any]:
        gateway = self._gateway
        found, lag = gateway.living.descriptors.get(key), self.lags.get(key)
        workers = [
            {
                "instance": beat.instance,
                "state": beat.state,
                "running": beat.running,
                "waiting": beat.waiting,
                "slots": beat.slots,
                "tokens_per_s": beat.tokens_per_s,
                "rss_bytes": beat.rss_bytes,
                "finished": beat.finished,
                "failed": beat.failed,
                "host": beat.host,
                "pid": beat.pid,
            }
            for beat in gateway.registry.alive(*key)
        ]
        told: dict[str, Any] = {"specialist": key[0], "revision": key[1], "workers": workers}
        if found is not None:
            told |= {
                "title": found.title,
                "state": found.state,
                "is_generalist": found.is_generalist,
                "context": found.context,
                "capabilities": list(found.capabilities),
                "domain_bpb": found.domain_bpb,
                "generalist_bpb": found.generalist_bpb,
                "gain": [found.gain_low, found.gain_high],
                "note": found.note,
            }
        shares = {
            alias: route.shares[key[0]][key[1]]
            for alias, route in gateway.living.routes.items()
            if key[1] in route.shares.get(key[0], {})
        }
        outcomes = {outcome: count for (*of, outcome), count in self.outcomes.items() if tuple(of) == key}
        oldest_ms = lag.oldest_ms if lag else 0
        return told | {
            "shares": shares,
            "lag": lag.records if lag else None,
            "oldest_s": round((now_ms() - oldest_ms) / 1000, 1) if oldest_ms else None,
            "outcomes": outcomes,
            **(gateway.paces[key].told() if key in gateway.paces else {}),
        }

    def _histogram(self, name: str, help: str, buckets: Sequence[float]) -> Histogram:
        return Histogram(
            f"tsuzuri:specialist_{name}_seconds", help, OF_REVISION, buckets=buckets, registry=self._registry
        )

    def _read(self, records: Sequence[Record]) -> None:
        for record in records:
            headers = dict(record.headers)
            if MARK in headers:
                self._letters.pop(headers[MARK].decode("ascii", "replace"), None)
            else:
                reason = headers.get(REASON, b"unknown").decode("utf-8", "replace")
                self._letters[f"{record.partition}-{record.offset}"] = reason

    async def _measure(self) -> None:
        while True:
            with suppress(TsuzuriError):
                self.lags = await asyncio.to_thread(self._lags)
            await asyncio.sleep(LAG_S)

    def _lags(self) -> dict[Key, Lag]:
        gateway, found = self._gateway, {}
        there = gateway.bus.topics()
        for key in {*gateway.living.live, *gateway.living.descriptors}:
            lanes = [name for name in gateway.topics.lanes(*key) if name in there]
            if lanes:
                lags = gateway.bus.lag(gateway.topics.group(*key), lanes).values()
                oldest_ms = min((lag.oldest_ms for lag in lags if lag.oldest_ms), default=0)
                found[key] = Lag(sum(lag.records for lag in lags), oldest_ms)
        return found


class _Figures(Collector):
    """What stands in the gateway when Prometheus asks."""

    def __init__(self, gateway: Gateway, watch: Watch) -> None:
        self._gateway, self._watch = gateway, watch

    def collect(self) -> Iterator[Metric]:
        gateway, watch = self._gateway, self._watch
        requests = CounterMetricFamily(
            "tsuzuri:specialist_requests", "Requests by how they ended", labels=(*OF_REVISION, "outcome")
        )
        for labels, count in list(watch.outcomes.items()):
            requests.add_metric(labels, count)
        yield requests
        noticed = CounterMetricFamily(
            "tsuzuri:specialist_events", "What was dropped, noticed or mended", labels=("event",)
        )
        for event, count in [*gateway.ledger.counts.items(), ("malformed", gateway.malformed)]:
            noticed.add_metric((event,), count)
        yield noticed
        workers = GaugeMetricFamily("tsuzuri:specialist_workers", "Workers that live", labels=OF_REVISION)
        for key, instances in gateway.living.live.items():
            workers.add_metric(key, len(instances))
        yield workers
        held = GaugeMetricFamily("tsuzuri:specialist_in_flight", "Requests sent", labels=OF_REVISION)
        for key, pace in list(gateway.paces.items()):
            held.add_metric(key, pace.in_flight.total())
        yield held
        lags = GaugeMetricFamily("tsuzuri:specialist_lag", "Records not worked off", labels=OF_REVISION)
        ages = GaugeMetricFamily(
            "tsuzuri:specialist_oldest_seconds", "Age of the oldest of them", labels=OF_REVISION
        )
        for key, lag in watch.lags.items():
            lags.add_metric(key, lag.records)
            ages.add_metric(key, (now_ms() - lag.oldest_ms) / 1000 if lag.oldest_ms else 0)
        yield from (lags, ages)
        shares = GaugeMetricFamily(
            "tsuzuri:specialist_share", "Share of a specialist's requests", labels=("alias", *OF_REVISION)
        )
        for alias, route in gateway.living.routes.items():
            for name, of in route.shares.items():
                for revision, share in of.items():
                    shares.add_metric((alias, name, revision), share)
        yield shares
        letters = GaugeMetricFamily("tsuzuri:dead_letters", "Not replayed nor dropped", labels=("reason",))
        for reason, number in watch.dead_letters.items():
            letters.add_metric((reason,), number)
        yield letters
