"""What a router is worth, by figures that can be worked out on paper; and what turns evidence into odds."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest
from tests.generation.conftest import SENTENCES, write_release

from tsuzuri.core.errors import InputError
from tsuzuri.specialists.routing.base import RouterConfig
from tsuzuri.specialists.routing.calibration import (
    LENGTHS,
    Calibration,
    Evidence,
    calibrate,
    error_of_calibration,
    prior_of,
)
from tsuzuri.specialists.routing.measures import Routed, worth
from tsuzuri.specialists.routing.trained import load_router
from tsuzuri.tokenizer.config import Form


class NobodyAsked:
    async def score(self, specialist: str, texts: object, befores: object = ()) -> object:
        raise AssertionError("this router takes no trip")


def test_a_routers_worth_lies_between_nothing_and_the_oracle() -> None:
    bits = [
        {"news": 10.0, "manual": 30.0, "generalist": 20.0},
        {"news": 14.0, "manual": 30.0, "generalist": 12.0},
        {"news": 40.0, "manual": 10.0, "generalist": 20.0},
    ]
    domains, chosen = ["news", "news", "manual"], ["news", "news", "generalist"]
    texts = [Routed(*item, characters=10) for item in zip(domains, chosen, bits, strict=True)]
    found = worth(texts, "generalist")
    assert found.router == pytest.approx((10 + 14 + 20) / 30)
    assert found.oracle == pytest.approx((10 + 12 + 10) / 30)
    assert found.by_domain == pytest.approx((10 + 14 + 10) / 30)
    assert found.generalist == found.best_single == pytest.approx(52 / 30)
    assert found.random == pytest.approx((64 + 70 + 52) / 90)
    assert found.accuracy == pytest.approx(2 / 3)
    assert found.gap_recovered == pytest.approx((52 - 44) / (52 - 32))


def test_calibration_finds_how_much_evidence_is_worth() -> None:
    chance = np.random.default_rng(0)
    sharpness, names = 0.5, ("a", "b", "c")
    seen: list[tuple[str, Evidence]] = []
    for _ in range(3000):
        length = int(chance.choice(LENGTHS))
        values = chance.normal(size=3) * 4 / length**0.5
        odds = np.exp(sharpness * length**0.5 * values)
        label = names[chance.choice(3, p=odds / odds.sum())]
        seen.append((label, Evidence(dict(zip(names, values.tolist(), strict=True)), length)))
    found = calibrate(seen)
    assert found.power == 0.5
    assert found.sharpness == pytest.approx(sharpness, rel=0.1)
    posteriors = [(label, found.posterior(evidence)) for label, evidence in seen]
    assert error_of_calibration(posteriors) < 0.03
    wrong = [(label, Calibration(sharpness=5.0, power=0.5).posterior(evidence)) for label, evidence in seen]
    assert error_of_calibration(wrong) > 0.2
    assert Calibration.of(found.as_mapping()) == found
    with pytest.raises(InputError, match="no held-out texts"):
        calibrate([])


def test_a_prior_forgets_slowly_and_forgets_nobody() -> None:
    assert prior_of([{"a": 1.0, "b": 0.0}]) == pytest.approx({"a": 1 / 1.02, "b": 0.02 / 1.02})
    found = prior_of([{"a": 1.0, "b": 0.0}, {"a": 0.0, "b": 1.0}])
    assert found == pytest.approx({"a": 0.7, "b": 0.3})


def test_small_releases_judge_in_this_process(tmp_path: Path) -> None:
    write_release(tmp_path / "fiction", Form.BYTE)
    write_release(tmp_path / "facts", Form.CHARACTER, "llama")
    router = load_router(RouterConfig(method="models", path=tmp_path), NobodyAsked())  # type: ignore[arg-type]
    choice = asyncio.run(router.choose(SENTENCES[0], ["fiction", "facts", "generalist"]))
    assert choice.method == "models"
    assert choice.posterior["fiction"] + choice.posterior["facts"] == pytest.approx(1)
    with pytest.raises(InputError, match="holds no releases"):
        load_router(RouterConfig(method="models", path=tmp_path / "facts"), NobodyAsked())  # type: ignore[arg-type]
