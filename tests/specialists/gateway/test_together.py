"""Modes over a bus: the mode is the route's, and the answer says whose it is."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any

import pytest

from fake_workers import TEXT
from houses import ALIAS, House, request
from tsuzuri.core.errors import InputError
from tsuzuri.specialists.gateway.models import GatewayModel
from tsuzuri.specialists.gateway.reach import Reach
from tsuzuri.specialists.gateway.sent import SentAnswer
from tsuzuri.specialists.modes import ModeConfig
from tsuzuri.specialists.routing.base import Choice


class Undecided:
    """Finds everybody as probable, the first by name a little more."""

    async def choose(self, text: str, among: Collection[str], *, field: str = "") -> Choice:
        names = sorted(among)
        return Choice(names[0], dict.fromkeys(names, 1 / len(names)), "who knows", "test")


async def answered(house: House, **others: Any) -> tuple[str, SentAnswer]:
    async with house.gateway() as gateway:
        model = GatewayModel(Reach(gateway, ALIAS), Undecided(), ModeConfig(candidates=2))
        answer = model.complete(request(**others))
        return "".join([delta.text async for delta in answer]), answer


def test_rerank_asks_two_and_shows_one(house: House) -> None:
    house.admit("general", "law", mode="rerank")
    general, law = house.worker("general"), house.worker("law")
    text, answer = asyncio.run(answered(house))
    assert text == f"law:{TEXT}"[:16], "fewer of its bytes cost a nat"
    assert answer.about["specialist"] == "law"
    assert answer.about["revision"] == "r1"
    assert answer.about["why"].startswith("of 2 answers the likeliest")
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (3, 16)
    assert [len(worker.asked) for worker in (general, law)] == [2, 2]


def test_mix_is_the_mixtures_alone_and_is_missed_by_name(house: House) -> None:
    house.admit("general", "mixture", mode="mix")
    general, _ = house.worker("general"), house.worker("mixture")
    text, answer = asyncio.run(answered(house))
    assert text == f"mixture:{TEXT}"[:16]
    assert answer.about["why"] == "the mode is mix"
    assert not general.asked
    house.admit("general", mode="mix")
    with pytest.raises(InputError, match="no specialist 'mixture' is up"):
        asyncio.run(answered(house))
