"""One picture of an installation, as JSON knows it: what `specialists top` draws, and the playground's page.

Everybody who can hear the bus draws the same one: workers by their beats, traffic by what all gateways say of
their last minute, together. There is no text of any request in it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import msgspec

from tsuzuri.specialists.bus.base import Lag
from tsuzuri.specialists.messages import Beat, Descriptor, Figures, Recent, Route, now_ms
from tsuzuri.specialists.registry.registry import CONTROLLER, Key, Registry
from tsuzuri.specialists.watching.look import Look
from tsuzuri.specialists.watching.recent import PARTS, ROUTED, percentile_ms

RATE_PARTS = 5
"""Whole parts of the last minute over which rates are taken: ten seconds."""
NO_ERRORS = ("done", "cancelled")
"""Outcomes that are none."""


def picture(registry: Registry, look: Look, *, address: str, own: Figures | None = None) -> dict[str, Any]:
    """Everything. `own`: what the gateway that asks has to say itself, should the bus be away."""
    figures = look.figures
    if own is not None:
        figures[own.gateway] = own, figures.get(own.gateway, (own, 0.0))[1]
    routes, traffic = registry.routes, _traffic([said for said, _ in figures.values()])
    routed = ((name, item) for name, (said, _) in figures.items() for item in said.routed)
    newest = sorted(routed, key=lambda item: -item[1].at_ms)[:ROUTED]
    return {
        "at_ms": now_ms(),
        "broker": {"address": address, "is_reached": not look.trouble, "trouble": look.trouble},
        "controller": registry.holder(CONTROLLER),
        "gateways": [_gateway(said, silent_s) for _, (said, silent_s) in sorted(figures.items())],
        "aliases": {alias: _route(route) for alias, route in routes.items()},
        "specialists": [
            _revision(registry, look, key) | traffic.get(key, _seen((), ())) for key in _keys(registry)
        ],
        "dead_letters": look.dead_letters,
        "routings": [{"gateway": name, **msgspec.to_builtins(item)} for name, item in newest],
    }


def _keys(registry: Registry) -> list[Key]:
    """Revisions that are there, were there, or are to be."""
    shared = {key for route in registry.routes.values() for key in _shares(route)}
    living = {(beat.specialist, beat.revision) for beat in registry.beats.values()}
    wanted = {key for key, item in registry.wanted.items() if item.workers}
    return sorted(shared | living | wanted | {*registry.descriptors})


def _gateway(said: Figures, silent_s: float) -> dict[str, Any]:
    return {
        "name": said.gateway,
        "silent_s": round(silent_s, 1),
        "held": said.held,
        "events": said.events,
        "requests_per_s": _rate([said], None),
    }


def _route(route: Route) -> dict[str, Any]:
    return {
        "epoch": route.epoch,
        "mode": route.mode,
        "generalist": route.generalist,
        "note": route.note,
        "shares": route.shares,
        "changed_ms": route.changed_ms,
    }


def _revision(registry: Registry, look: Look, key: Key) -> dict[str, Any]:
    """What is known of a revision but by gateways."""
    wanted = registry.wanted.get(key)
    shares = {
        alias: route.shares[key[0]][key[1]]
        for alias, route in registry.routes.items()
        if key in _shares(route)
    }
    return {
        "specialist": key[0],
        "revision": key[1],
        **_described(registry.descriptors.get(key)),
        **_worked(registry.alive(*key), wanted.workers if wanted is not None else None),
        "is_generalist": any(route.generalist == key[0] for route in registry.routes.values()),
        "shares": shares,
        **_waiting(look.lags.get(key), look.measured_ms),
    }


def _shares(route: Route) -> set[Key]:
    return {(name, revision) for name, of in route.shares.items() for revision in of}


def _described(found: Descriptor | None) -> dict[str, Any]:
    """What a revision is, by its own account and by what it showed."""
    if found is None:
        return {"title": "", "state": None, "note": ""}
    return {
        "title": found.title,
        "state": found.state,
        "context": found.context,
        "capabilities": list(found.capabilities),
        "domain_bpb": found.domain_bpb,
        "generalist_bpb": found.generalist_bpb,
        "gain": [found.gain_low, found.gain_high],
        "note": found.note,
    }


def _worked(beats: Iterable[Beat], wanted: int | None) -> dict[str, Any]:
    """Its workers, by what they say."""
    there = sorted(beats, key=lambda beat: beat.instance)
    return {
        "workers": [
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
            for beat in there
        ],
        "wanted": wanted,
        "running": sum(beat.running for beat in there),
        "slots": sum(beat.slots for beat in there),
    }


def _waiting(lag: Lag | None, measured_ms: int) -> dict[str, Any]:
    """What the broker had for it when it was asked; None: it is not known."""
    if lag is None or lag.records < 0:
        return {"lag": None, "oldest_s": None}
    oldest_s = max(0.0, round((measured_ms - lag.oldest_ms) / 1000, 1)) if lag.oldest_ms else None
    return {"lag": lag.records, "oldest_s": oldest_s}


def _traffic(figures: Iterable[Figures]) -> dict[Key, dict[str, Any]]:
    """What all gateways together saw of each revision."""
    said = list(figures)
    found: dict[Key, list[Recent]] = {}
    for recent in (recent for one in said for recent in one.recent):
        found.setdefault((recent.specialist, recent.revision), []).append(recent)
    return {key: _seen(recents, said) for key, recents in found.items()}


def _seen(recents: Iterable[Recent], said: Iterable[Figures]) -> dict[str, Any]:
    """Of one revision in the last minute."""
    those = list(recents)
    outcomes: Counter[str] = sum((Counter(one.outcomes) for one in those), Counter())
    first: Counter[int] = sum((Counter(one.first_ms) for one in those), Counter())
    total: Counter[int] = sum((Counter(one.total_ms) for one in those), Counter())
    each = [0] * PARTS
    for one in those:
        for place, count in enumerate(reversed(one.each[-PARTS:])):
            each[-1 - place] += count
    keys = {(one.specialist, one.revision) for one in those}
    return {
        "in_flight": sum(one.in_flight for one in those),
        "minute": dict(outcomes),
        "errors": sum(count for outcome, count in outcomes.items() if outcome not in NO_ERRORS),
        "requests_per_s": _rate(said, next(iter(keys), None)),
        "tokens_per_s": round(sum(_tokens(one, keys) for one in said), 1),
        "each": each,
        "first_ms": _percentiles(first),
        "total_ms": _percentiles(total),
    }


def _rate(said: Iterable[Figures], key: Key | None) -> float:
    """Requests a second that gateways saw end, over the last ten seconds as far as they are whole."""
    rate = 0.0
    for one in said:
        recents = [item for item in one.recent if key is None or (item.specialist, item.revision) == key]
        whole = [item.each[:-1][-RATE_PARTS:] for item in recents]
        parts = max((len(item) for item in whole), default=0)
        if parts:
            rate += sum(map(sum, whole)) * 1000 / (parts * one.part_ms)
    return round(rate, 2)


def _tokens(said: Figures, keys: Collection[Key]) -> float:
    """A second, of answers that ended in the last minute as far as it is known."""
    those = [item for item in said.recent if (item.specialist, item.revision) in keys and item.each]
    return sum(item.tokens * 1000 / (len(item.each) * said.part_ms) for item in those)


def _percentiles(buckets: Mapping[int, int]) -> dict[str, float | None]:
    found = {name: percentile_ms(buckets, share) for name, share in (("p50", 0.5), ("p99", 0.99))}
    return {name: None if value is None else round(value, 1) for name, value in found.items()}
