"""Slots give what they hold to those who can use it, and keep what others may want."""

from __future__ import annotations

from tsuzuri.serving.engines.ours.slots import Slots


def test_the_beginning_of_another_slot_is_copied_and_that_slot_kept() -> None:
    copies: list[tuple[int, int, int]] = []
    slots = Slots(2, lambda *copy: copies.append(copy))
    first = slots.take(list(range(100)), reuse=True)
    assert first is not None
    first.tokens = list(range(100))
    slots.give_back(first)
    second = slots.take([*range(20), 500, 501], reuse=True)
    assert second is not None
    assert copies == [(first.number, second.number, 20)]
    assert second.tokens == list(range(20))
    assert first.tokens == list(range(100))
    third = slots.take([*range(90), 7], reuse=True)  # most of what the first holds
    assert third is first
    assert third.tokens == list(range(90))
    assert not slots.has_room()
    assert slots.take([1], reuse=True) is None


def test_one_waits_for_another_that_is_reading_the_same() -> None:
    slots = Slots(2, lambda *copy: None)
    first = slots.take(list(range(50)), reuse=True)
    assert first is not None
    assert slots.take([*range(40), 99], reuse=True) is None
    assert slots.take([*range(40), 99], reuse=False) is not None
    slots.forget()
    assert slots.held_tokens == 0
