"""supporters.yaml: who gives how much a month, from when to when, and whether they want to be named.

    jpy_per_usd: 150
    tiers:                       # the first is what a name in special_thanks.txt takes: $10 unless you say so
      - { name: 支援者 Supporter, usd: 10 }
      - { name: 後援者 Patron, usd: 50, plan: research }
    supporters:
      - { name: 山田 花子, consent: true, amount: 1500, currency: JPY, from: 2026-01-01 }
      - { name: A. Smith, consent: true, amount: 60, currency: USD, from: 2025-05-01, to: 2026-04-30 }
      - { name: 鈴木 一郎, consent: false, amount: 3000, currency: JPY, from: 2026-02-01, account: x@y.jp }

Support is counted in USD, at one exchange rate for all. Whoever has supported by a day is thanked, under the
highest tier that the support of that day reaches, or as an earlier supporter. Who does not consent is named
nowhere: not in a file, not in a message. Imports no torch.
"""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from tsuzuri.core.config import Config, load_yaml, parse_config

FIRST_TIER_USD = 10.0
EARLIER = "これまでの支援者 Earlier supporters"
CENT = 0.005
"""Amounts that were meant to be equal differ by less, once converted."""


def one_line(name: str) -> str:
    """A name without the spaces around it; ValueError where it is none or not one line of text."""
    name = name.strip()
    if not name or not name.isprintable():
        raise ValueError("a name is one line of text")
    return name


class Tier(Config):
    """A level of support."""

    name: str = Field(default="支援者 Supporters", min_length=1)
    """Its heading in special_thanks.txt."""
    usd: float = Field(default=FIRST_TIER_USD, gt=0)
    """What reaches it, in USD a month."""
    plan: str | None = Field(default=None, min_length=1)
    """The plan of the API that it grants; unset: that of the tier below, if that grants one."""

    @field_validator("name")
    @classmethod
    def _is_one_line(cls, name: str) -> str:
        return one_line(name)


class Supporter(Config):
    """One person's support, the same every month."""

    name: str
    """As it is to be shown."""
    consent: bool
    """Whether it may be shown."""
    amount: float = Field(gt=0)
    """A month."""
    currency: Literal["JPY", "USD"]
    from_: datetime.date = Field(alias="from")
    """The first day."""
    to: datetime.date | None = None
    """The last day; unset: it goes on."""
    account: str | None = Field(default=None, min_length=1)
    """What the API's accounts know the person by, for example an address; shown nowhere."""

    @field_validator("name")
    @classmethod
    def _is_one_line(cls, name: str) -> str:
        return one_line(name)

    @model_validator(mode="after")
    def _check(self) -> Supporter:
        if self.to is not None and self.to < self.from_:
            raise ValueError(f"it ends on {self.to}, before it begins on {self.from_}")
        return self

    def supports_on(self, day: datetime.date) -> bool:
        """Whether that day is between its first and last."""
        return self.from_ <= day and (self.to is None or day <= self.to)


class Supporters(Config):
    """All of a supporters.yaml."""

    jpy_per_usd: float | None = Field(default=None, gt=0)
    """The exchange rate; needed where an amount is in JPY."""
    tiers: tuple[Tier, ...] = Field(default=(Tier(),), min_length=1)
    """From the lowest to the highest."""
    supporters: tuple[Supporter, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> Supporters:
        amounts = [tier.usd for tier in self.tiers]
        if amounts != sorted(set(amounts)):
            raise ValueError("tiers must rise: give each a larger `usd` than the one before")
        if len({tier.name for tier in self.tiers}) < len(self.tiers):
            raise ValueError("two tiers have one name")
        if self.jpy_per_usd is None and any(one.currency == "JPY" for one in self.supporters):
            raise ValueError("an amount is in JPY: give the exchange rate as jpy_per_usd, for example 150")
        return self

    def usd_of(self, supporter: Supporter) -> float:
        """A supporter's amount a month in USD."""
        if supporter.currency == "USD":
            return supporter.amount
        assert self.jpy_per_usd is not None, "checked above"
        return supporter.amount / self.jpy_per_usd

    def tier_of(self, supporter: Supporter, day: datetime.date) -> Tier | None:
        """The highest tier that the support of that day reaches, if it reaches one."""
        if not supporter.supports_on(day):
            return None
        usd = self.usd_of(supporter) + CENT
        return max((tier for tier in self.tiers if tier.usd <= usd), key=lambda tier: tier.usd, default=None)

    def plan_of(self, supporter: Supporter, day: datetime.date) -> str | None:
        """The plan of the API that the supporter has on that day, if any."""
        tier = self.tier_of(supporter, day)
        plans = [one.plan for one in self.tiers if tier and one.usd <= tier.usd and one.plan]
        return plans[-1] if plans else None

    def plans(self, day: datetime.date) -> dict[str, str]:
        """account → plan of that day; of several pledges of one account the highest counts."""
        granted = [
            (self.usd_of(one), one.account, plan)
            for one in self.supporters
            if one.account and (plan := self.plan_of(one, day))
        ]
        return {account: plan for _, account, plan in sorted(granted)}

    def thanked(self, day: datetime.date) -> list[tuple[str, tuple[str, ...]]]:
        """(heading, names): the tiers from the highest, then the earlier supporters; no name twice."""
        named = [one for one in self.supporters if one.consent and one.from_ <= day]
        refused = {one.name for one in self.supporters if not one.consent}
        groups = [
            (tier.name, [one.name for one in named if self.tier_of(one, day) == tier])
            for tier in reversed(self.tiers)
        ]
        lowest = self.tiers[0].usd
        earlier = [one.name for one in named if one.to and one.to < day and self.usd_of(one) + CENT >= lowest]
        groups.append((EARLIER, earlier))
        seen = set(refused)
        result = []
        for heading, names in groups:
            fresh = tuple(name for name in dict.fromkeys(names) if name not in seen)
            seen |= set(fresh)
            if fresh:
                result.append((heading, fresh))
        return result


def read_supporters(path: Path) -> Supporters:
    """What a supporters.yaml says; RecipeError names every key at fault by its place, and nobody by name."""
    values = load_yaml(path)
    hint = "correct the file of supporters; docs/publishing.md shows one"
    return parse_config(Supporters, values, where=str(path), hint=hint)
