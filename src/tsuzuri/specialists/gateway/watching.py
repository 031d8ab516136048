"""What a gateway sees, for people, Prometheus and whoever looks for a mistake: never a text."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tsuzuri.serving import logs
from tsuzuri.serving.metrics import LATENCY_BUCKETS, TTFT_BUCKETS
from tsuzuri.specialists.bus.base import Lag
from tsuzuri.specialists.gateway.calls import Call
from tsuzuri.specialists.gateway.entry import End
from tsuzuri.specialists.gateway.gateway import Gateway
from tsuzuri.specialists.gateway.post import Post
from tsuzuri.specialists.messages import Ask, Figures, Routed, now_ms
from tsuzuri.specialists.registry.registry import Key
from tsuzuri.specialists.steady import Steady
from tsuzuri.specialists.watching.look import Look
from tsuzuri.specialists.watching.picture import picture
from tsuzuri.specialists.watching.recent import PART_S, LastMinute

if TYPE_CHECKING:
    from tsuzuri.specialists.gateway.sent import SentAnswer

LAG_S = 5.0
"""Between two looks at what the broker still holds."""
SAID_S = 2.0
"""Between two words to others who watch."""
SILENT_S = 7.0
"""After which what was said and is not heard again tells that the broker is away."""
SAID_ROUTINGS, SAID_POSTERIOR = 8, 3
"""Of the last requests, and of those who might have answered each, others are told: a broker in memory keeps
what it is told."""
ENDS = 1000
"""Requests of which is known how they ended, for what is told of their routing a moment later."""
OF_REVISION = ("specialist", "revision")


class Watch:
    """The figures of one gateway, and the picture of all."""

    def __init__(self, gateway: Gateway, *, address: str = "") -> None:
        """`address`: of the broker, for people."""
        self._gateway, self._address = gateway, address
        self.minute = LastMinute()
        self.outcomes: Counter[tuple[str, str, str]] = Counter()
        """By specialist, revision and outcome."""
        self.look: Look | None = None
        self._began_at = 0.0
        self._ends: OrderedDict[str, str] = OrderedDict()
        """Request → outcome."""
        self._post = Post(gateway.bus, gateway.topics)
        self._tasks: list[asyncio.Task[None]] = []
        self._registry = CollectorRegistry()
        self._queued = self._histogram("queue", "From a request's acceptance to its worker's", TTFT_BUCKETS)
        self._first = self._histogram("first_token", "From acceptance to the first text", TTFT_BUCKETS)
        self._total = self._histogram("request", "From acceptance to the end", LATENCY_BUCKETS)
        gateway.on_end, gateway.on_forgotten = self.note, self.forget

    def start(self, registry: CollectorRegistry) -> None:
        """Look after lags and dead letters from now on, and tell Prometheus and whoever watches."""
        gateway = self._gateway
        self._began_at = time.monotonic()
        self.look = look = Look(gateway.bus, gateway.topics, gateway.registry)
        self._tasks = [asyncio.create_task(self._measure(look)), asyncio.create_task(self._say())]
        registry.register(self._registry)
        registry.register(_Collected(gateway, self))

    async def stop(self) -> None:
        """Look after nothing more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.look is not None:
            await asyncio.to_thread(self.look.close)

    def forget(self, key: Key) -> None:
        """Tell nothing more of a revision."""
        for histogram in (self._queued, self._first, self._total):
            histogram.remove(*key)
        for of in [of for of in self.outcomes if of[:2] == key]:
            del self.outcomes[of]

    def note(self, call: Call, end: End) -> None:
        """A request has ended."""
        now, key = time.monotonic(), call.target.key
        outcome = end.failure.code if end.state == "error" and end.failure else end.state
        self.outcomes[*key, outcome] += 1
        first_s, total_s = call.first_at and call.first_at - call.opened_at, now - call.opened_at
        if call.accepted_at is not None:
            self._queued.labels(*key).observe(call.accepted_at - call.opened_at)
        if first_s is not None:
            self._first.labels(*key).observe(first_s)
        self._total.labels(*key).observe(total_s)
        if isinstance(call.body, Ask):
            tokens = end.entry.completion_tokens
            self.minute.note(key, outcome, tokens=tokens, first_s=first_s, total_s=total_s)
        else:  # a judgement or a vector: as fast as a prompt is read
            self.minute.note(key, outcome)
        self._ends[call.id] = outcome
        if len(self._ends) > ENDS:
            self._ends.popitem(last=False)
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
        choice, sent, about = answer.answer.choice, answer.written_by, answer.about
        call = sent.call if sent is not None else None
        told = Routed(
            at_ms=now_ms(),
            specialist=about.get("specialist", ""),
            revision=about.get("revision", ""),
            why=about.get("why", ""),
            posterior=about.get("posterior", {}),
            method=choice.method if choice else "",
            characters=len(answer.request.prompt.text),
            tokens=answer.usage.completion_tokens,
        )
        if call is not None:
            first_at = call.first_at or time.monotonic()
            told = msgspec.structs.replace(
                told,
                id=call.id,
                alias=call.alias,
                trace=call.trace.get("traceparent", ""),
                outcome=self._ends.get(call.id, ""),
                first_ms=round(1000 * (first_at - call.opened_at), 1),
                total_ms=round(1000 * (time.monotonic() - call.opened_at), 1),
            )
        self.minute.routed.appendleft(told)

    @property
    def dead_letters(self) -> dict[str, int]:
        """That nobody has replayed or dropped, by reason."""
        return self.look.dead_letters if self.look is not None else {}

    @property
    def lags(self) -> dict[Key, Lag]:
        """As they were when last asked for."""
        return self.look.lags if self.look is not None else {}

    @property
    def measured_ms(self) -> int:
        """When that was; Unix time."""
        return self.look.measured_ms if self.look is not None else 0

    def told(self) -> dict[str, Any]:
        """All of it, as JSON knows it: the picture of all gateways, and what this one alone has seen since it
        began."""
        gateway, look = self._gateway, self.look
        if look is None:
            return {}
        found = picture(gateway.registry, look, address=self._address, own=self._figures())
        _, silent_s = look.figures.get(gateway.name, (None, time.monotonic() - self._began_at))
        if silent_s >= SILENT_S and not look.trouble:
            trouble = f"what this gateway says has not come back for {silent_s:.0f} s"
            found["broker"] |= {"is_reached": False, "trouble": trouble}
        found["gateway"] = {
            "name": gateway.name,
            "held": len(gateway.ledger),
            "counts": dict(gateway.ledger.counts),
            "malformed": gateway.malformed,
            "ignored": gateway.registry.ignored,
        }
        for row in found["specialists"]:
            key = row["specialist"], row["revision"]
            since = {outcome: count for (*of, outcome), count in self.outcomes.items() if tuple(of) == key}
            pace = gateway.paces[key].told() if key in gateway.paces else {}
            row |= {name: value for name, value in pace.items() if name not in row} | {"outcomes": since}
        return found

    def _figures(self) -> Figures:
        gateway = self._gateway
        return Figures(
            gateway=gateway.name,
            at_ms=now_ms(),
            every_ms=round(1000 * SAID_S),
            part_ms=round(1000 * PART_S),
            held=len(gateway.ledger),
            events={**gateway.ledger.counts, "malformed": gateway.malformed},
            recent=self.minute.told(
                {key: pace.in_flight.total() for key, pace in gateway.paces.items()},
            ),
            routed=tuple(self.minute.routed),
        )

    def _histogram(self, name: str, help: str, buckets: Sequence[float]) -> Histogram:
        return Histogram(
            f"tsuzuri:specialist_{name}_seconds", help, OF_REVISION, buckets=buckets, registry=self._registry
        )

    async def _measure(self, look: Look) -> None:
        steady = Steady("measure_failed")
        while True:
            with steady:
                await asyncio.to_thread(look.measure)
            await asyncio.sleep(LAG_S)

    async def _say(self) -> None:
        steady = Steady("figures_failed")
        while True:
            with steady:
                figures = self._figures()
                routed = tuple(map(_said, figures.routed[:SAID_ROUTINGS]))
                self._post.figures(msgspec.structs.replace(figures, routed=routed))
            await asyncio.sleep(SAID_S)


def _said(routed: Routed) -> Routed:
    """As others are told: what the logs say beside its id is left out."""
    likeliest = sorted(routed.posterior.items(), key=lambda item: -item[1])[:SAID_POSTERIOR]
    return msgspec.structs.replace(routed, trace="", posterior=dict(likeliest))


class _Collected(Collector):
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
            if lag.records < 0:  # not known, which is not 0: of share groups, say
                continue
            lags.add_metric(key, lag.records)
            ages.add_metric(key, max(0, watch.measured_ms - lag.oldest_ms) / 1000 if lag.oldest_ms else 0)
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
