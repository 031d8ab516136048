"""The made documents are what they claim to be: copies in their shares and as alike as wished, the rest
unlike."""

from __future__ import annotations

import json
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest

from _copies import made_texts, similarity
from _mutated import (
    EXACT,
    NEAR,
    ORIGINAL,
    PAGES_PER_SITE,
    PIECE_CHARACTERS,
    QUOTING,
    SHARES,
    Made,
    Mutations,
    divided,
    write_shards,
)

BASE = [text for _, text in made_texts(40)]


@pytest.fixture(scope="module")
def made() -> list[Made]:
    return list(islice(Mutations(BASE, seed=0), 1_000))


def test_kinds_come_in_their_shares_and_hang_on_the_seed(made: list[Made]) -> None:
    kinds = Counter(item.kind for item in made)
    for kind, share in SHARES.items():
        assert kinds[kind] == pytest.approx(share * len(made), rel=0.2)
    assert kinds[QUOTING] == (kinds[QUOTING] + kinds[ORIGINAL]) // 14
    assert list(islice(Mutations(BASE, seed=0), 50)) == made[:50]
    assert list(islice(Mutations(BASE, seed=1), 50)) != made[:50]


def test_copies_are_as_alike_as_they_claim(made: list[Made]) -> None:
    originals = {item.number: item.text for item in made if item.kind in (ORIGINAL, QUOTING)}
    exact = [item for item in made if item.kind == EXACT]
    assert all(item.text == originals[item.number] for item in exact)
    assert any(item.number % 14 == 13 for item in exact)  # one that quotes is copied as it stands
    near = [similarity(item.text, originals[item.number]) for item in made if item.kind == NEAR][:60]
    assert 0.8 < min(near) < max(near) < 1


def test_originals_are_unlike_and_quote_one_another(made: list[Made]) -> None:
    originals = {item.number: item.text for item in made if item.kind in (ORIGINAL, QUOTING)}
    same_base = [originals[5 + len(BASE) * variant] for variant in range(6)]
    assert same_base[0].split("\n")[2] == BASE[5]
    assert all(similarity(same_base[0], other) < 0.5 for other in same_base[1:])
    earlier: set[str] = set()
    for number in range(100):
        passages = windows(originals[number].split("\n")[2])
        assert (len(passages & earlier) > 0) == (number % 14 == 13)
        earlier |= passages


def windows(text: str, length: int = 40) -> set[str]:
    """All passages of a length."""
    return {text[place : place + length] for place in range(len(text) - length + 1)}


def test_a_site_has_lines_of_its_own(made: list[Made]) -> None:
    first = [item.text.split("\n") for item in made if item.site == 0]
    other = next(item.text.split("\n") for item in made if item.site == 1)
    assert len(first) > PAGES_PER_SITE
    assert {lines[0] for lines in first} == {first[0][0]} != {other[0]}
    assert {lines[-1] for lines in first} == {first[0][-1]} != {other[-1]}


def test_shards_hold_at_least_what_was_asked_for(tmp_path: Path) -> None:
    kinds, size = write_shards(iter(Mutations(BASE, seed=0)), tmp_path / "shards", 200_000, 60_000)
    shards = sorted((tmp_path / "shards").iterdir())
    records = [json.loads(line) for shard in shards for line in shard.read_text().splitlines()]
    assert 200_000 <= size == sum(len(record["text"].encode()) for record in records) < 220_000
    assert len(records) == len({record["id"] for record in records}) == kinds.total()
    assert 3 <= len(shards) <= 4


def test_a_work_is_divided_at_its_lines() -> None:
    work = "".join(f"{'あ' * (number % 90)}\n" for number in range(400))
    pieces = divided(work)
    assert "".join(pieces) == work
    assert all(piece.endswith("\n") for piece in pieces)
    assert all(PIECE_CHARACTERS <= len(piece) < PIECE_CHARACTERS + 100 for piece in pieces[:-1])
    assert divided("一行だけ" * 3_000) == ["一行だけ" * 3_000]
