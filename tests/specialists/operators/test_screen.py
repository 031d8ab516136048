"""What a terminal shows of a picture: every width whole, and first what an operator has to see."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from rich.cells import cell_len

from tsuzuri.specialists.operators.screen import WIDE, bars, lines, number, span, text, time_ms

SEEN = {
    "at_ms": 1_700_000_000_000,
    "broker": {"address": "kafka-1:19092", "is_reached": True, "trouble": ""},
    "controller": "up-host-1",
    "gateways": [
        {"name": "gateway-host-1", "silent_s": 0.4, "held": 3, "events": {}, "requests_per_s": 12.3},
        {"name": "gateway-host-2", "silent_s": 9.0, "held": 0, "events": {}, "requests_per_s": 0.0},
    ],
    "aliases": {"kana": {"mode": "route", "generalist": "general", "note": "literature gets 5 %"}},
    "specialists": [],
    "dead_letters": {"poison": 2, "schema": 1},
    "routings": [
        {
            "at_ms": 1_700_000_000_000,
            "specialist": "literature",
            "revision": "1",
            "why": "0.97 literature by ngrams of 256 characters; literature is to save +0.1 bits a character",
            "outcome": "stalled",
            "first_ms": 95.0,
            "total_ms": 1234.0,
        }
    ],
}


def revision(specialist: str, revision: str, **others: Any) -> dict[str, Any]:
    """A row of the picture."""
    worker = {"instance": "w", "state": "ready"}
    return {
        "specialist": specialist,
        "revision": revision,
        "state": "ready",
        "workers": [worker],
        "wanted": 1,
        "shares": {"kana": 1.0},
        "requests_per_s": 12.3,
        "in_flight": 3,
        "lag": 0,
        "oldest_s": None,
        "first_ms": {"p50": 95.0, "p99": 310.0},
        "total_ms": {"p50": 812.0, "p99": 2431.0},
        "errors": 0,
        "each": [0] * 15 + list(range(15)),
        "tokens_per_s": 431.2,
    } | others


@pytest.fixture
def seen() -> dict[str, Any]:
    found = copy.deepcopy(SEEN)
    found["specialists"] = [
        revision("general", "1.0.0-0123456789ab"),
        revision("literature", "1.0.0-abcdef012345", shares={"kana": 0.95}, lag=12345, oldest_s=7.5),
        revision("literature", "1.1.0-fedcba987654", state="checking", shares={"kana": 0.05}, errors=4),
        revision("news-of-all-the-prefectures", "2-1", workers=[], wanted=2, tokens_per_s=1_234_567.0),
        revision("law", "1-1", state="gone", workers=[], wanted=None, shares={}),
    ]
    return found


@pytest.mark.parametrize("width", [80, 100, WIDE, 160])
def test_no_line_is_wider_than_the_terminal_and_no_figure_is_cut(seen: dict[str, Any], width: int) -> None:
    told = text(seen, width=width)
    assert max(map(cell_len, told.splitlines())) <= width
    for word in ("general", "95ms", "812ms", "2.4s", "12k", "7.5s", "431.2", "0/2", "5%"):
        assert word in told, word
    table = [line for line in told.splitlines() if "812ms" in line]
    assert len(table) == 4, "what is gone is not shown"
    assert not any("…" in line[36:] for line in table)


def test_two_revisions_of_a_specialist_differ_on_a_narrow_terminal(seen: dict[str, Any]) -> None:
    rows = [line for line in text(seen, width=80).splitlines() if line.startswith("literature/")]
    assert len({row.split()[0] for row in rows}) == 2
    assert "check" in rows[1]


def test_below_stand_gateways_the_controller_the_broker_and_dead_letters(seen: dict[str, Any]) -> None:
    told = text(seen, width=100)
    assert "gateway-host-1 · 3 held · 12.3/s" in told
    assert "gateway-host-2 · 0 held · 0/s · silent for 9.0s" in told
    assert "up-host-1" in told
    assert "kafka-1:19092" in told
    assert "poison 2, schema 1 → tsuzuri specialists dlq list" in told
    assert "literature gets 5 %" in told
    assert "95ms 1.2s literature stalled 0.97 literature by ngrams" in told


def test_a_broker_that_is_away_is_the_first_thing_one_sees(seen: dict[str, Any]) -> None:
    seen["broker"] |= {"is_reached": False, "trouble": "nobody answers at kafka-1:19092"}
    seen["controller"] = None
    told = text(seen, width=80)
    assert told.splitlines()[1].startswith("THE BROKER IS AWAY: nobody answers at kafka-1:19092")
    assert "nobody decides" in told


def test_an_empty_installation_says_what_to_type(seen: dict[str, Any]) -> None:
    empty = seen | {"specialists": [], "gateways": [], "aliases": {}, "routings": [], "dead_letters": {}}
    told = text(empty, width=80)
    assert "tsuzuri specialists up" in told
    assert "no route yet" in told
    assert "none is heard" in told


def test_colours_come_only_where_they_are_wanted(seen: dict[str, Any]) -> None:
    assert "\x1b[" not in text(seen, width=80)
    assert "\x1b[" in text(seen, width=80, is_colored=True)


def test_a_log_has_a_line_of_names_and_values_for_each(seen: dict[str, Any]) -> None:
    first, *others = lines(seen)
    assert "broker=up controller=up-host-1 gateways=2 held=3 dead_letters=3" in first
    assert len(others) == 4
    assert "specialist=literature revision=1.0.0-abcdef012345 state=ready workers=1 share=0.95" in others[1]
    assert "lag=12345 oldest_s=7.5" in others[1]
    assert "oldest_s=- " in others[0]


@pytest.mark.parametrize(
    ("shown", "says"),
    [
        (number(None), "–"),
        (number(0.0), "0"),
        (number(3.44), "3.4"),
        (number(9999), "9999"),
        (number(12345), "12k"),
        (number(2.5e6), "2M"),
        (time_ms(None), "–"),
        (time_ms(0.4), "0ms"),
        (time_ms(999.7), "1.0s"),
        (time_ms(65_000.0), "65s"),
        (span(99.0), "99s"),
        (span(600.0), "10m"),
        (span(7200.0), "2h"),
        (span(200_000.0), "2d"),
        (bars([0, 0]), "  "),
        (bars([1, 0, 8]), "▁ █"),
    ],
)
def test_figures_are_short(shown: str, says: str) -> None:
    assert shown == says
