"""Texts find their specialist, and what is nobody's finds the generalist, whatever it is."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Collection, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tsuzuri.core.errors import InputError, IntegrityError, RecipeError, ResourceError
from tsuzuri.core.manifest import verify_files
from tsuzuri.specialists.messages import Scored
from tsuzuri.specialists.routing.base import Choice, Router, RouterConfig, RuleConfig
from tsuzuri.specialists.routing.calibration import Calibration, error_of_calibration
from tsuzuri.specialists.routing.choosing import EvidenceRouter
from tsuzuri.specialists.routing.prefix import Likelihoods
from tsuzuri.specialists.routing.trained import load_router, train_router

WORDS = {
    "literature": [
        "むかし",
        "山",
        "おじいさん",
        "柴刈り",
        "川",
        "洗濯",
        "桃",
        "鬼",
        "舟",
        "月",
        "秋",
        "風",
        "しずかに",
        "歩いた",
        "であった",
        "私は",
    ],
    "news": [
        "首相",
        "会見",
        "発表",
        "事故",
        "調べ",
        "年",
        "月",
        "日",
        "午前",
        "逮捕",
        "容疑",
        "死亡",
        "地震",
        "震度",
        "気象庁",
        "によると",
    ],
    "manual": [
        "コマンド",
        "オプション",
        "引数",
        "ファイル",
        "指定",
        "標準出力",
        "ディレクトリ",
        "します",
        "設定",
        "エラー",
        "名前",
        "書式",
    ],
}
DOMAINS = sorted(WORDS)
AMONG = [*DOMAINS, "generalist"]


def texts_of(domain: str, count: int, seed: int) -> list[str]:
    chance = random.Random(f"{domain} {seed}")
    return ["".join(chance.choices(WORDS[domain], k=120)) for _ in range(count)]


class NobodyAsked:
    async def score(self, specialist: str, texts: Sequence[str], befores: Sequence[str] = ()) -> Scored:
        raise AssertionError("this router takes no trip")


def train(folder: Path, method: str) -> Path:
    train_router(
        folder,
        {name: lambda name=name: texts_of(name, 60, 1) for name in DOMAINS},
        {name: texts_of(name, 30, 2) for name in DOMAINS},
        method=method,  # type: ignore[arg-type]
        most_characters=20_000,
    )
    return folder


@pytest.fixture(scope="module", params=["ngrams", "clusters"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("router") / "box", request.param)


@pytest.fixture(scope="module")
def router(folder: Path) -> Router:
    return load_router(RouterConfig(path=folder), NobodyAsked())


def choose(router: Router, text: str, among: Collection[str] = AMONG, **fields: str) -> Choice:
    return asyncio.run(router.choose(text, among, **fields))


def test_texts_find_their_specialist(router: Router) -> None:
    for length in (16, 64, 200):
        chosen = [
            (name, choose(router, text[:length]).specialist)
            for name in DOMAINS
            for text in texts_of(name, 20, 3)
        ]
        right = sum(name == found for name, found in chosen)
        wrong = sum(found not in (name, "generalist") for name, found in chosen)
        assert right >= 55
        assert wrong <= 1


def test_posteriors_are_calibrated(router: Router) -> None:
    posteriors = [
        (name, choose(router, text[:24]).posterior) for name in DOMAINS for text in texts_of(name, 40, 4)
    ]
    assert error_of_calibration(posteriors) < 0.1


@pytest.mark.parametrize(
    "text", ["", " \n\u3000", "\0\0\0", "😀" * 80, "안녕하세요 오늘은 날씨가 참 좋네요", "\ud800", "ﷺ" * 300]
)
def test_what_is_nobodys_is_the_generalists(router: Router, text: str) -> None:
    choice = choose(router, text)
    assert choice.specialist == "generalist"
    assert sum(choice.posterior.values()) == pytest.approx(1)


@settings(max_examples=150, deadline=None)
@given(
    text=st.text(st.characters(codec=None), max_size=400),
    among=st.sets(st.sampled_from([*AMONG, "unknown"]), min_size=1),
)
def test_any_text_is_answered_by_somebody_who_is_up(
    router: Router, text: str, among: Collection[str]
) -> None:
    choice = choose(router, text, among)
    assert choice.specialist in among
    assert set(choice.posterior) == set(among)
    assert sum(choice.posterior.values()) == pytest.approx(1)
    assert choice == choose(router, text, among)
    best = choice.best(2)
    assert next(iter(best)) == choice.specialist
    assert sum(best.values()) == pytest.approx(1)
    assert text[:8] not in choice.why or len(text) < 4


def test_only_the_beginning_is_looked_at(folder: Path) -> None:
    router = load_router(RouterConfig(path=folder, prefix_characters=64), NobodyAsked())
    news = texts_of("news", 1, 5)[0][:64]
    assert choose(router, news + "鬼" * 5_000_000) == choose(router, news)


def test_a_specialist_that_is_down_leaves_its_texts_to_the_generalist(router: Router) -> None:
    text = texts_of("news", 1, 5)[0]
    assert choose(router, text).specialist == "news"
    choice = choose(router, text, ["literature", "manual", "generalist"])
    assert choice.specialist == "generalist"
    assert choice.posterior["generalist"] > 0.5
    assert choose(router, text, ["literature", "manual"]).specialist in ("literature", "manual")
    assert choose(router, text, ["manual"]).method == "only"
    with pytest.raises(ResourceError, match="no specialist is up"):
        choose(router, text, [])


def test_rules_come_first_and_skip_who_is_not_up(folder: Path) -> None:
    rules = (
        RuleConfig(specialist="nobody", pattern="."),
        RuleConfig(specialist="manual", pattern=r"^\$ \w+"),
        RuleConfig(specialist="news", keywords=("ＮＨＫ",)),
        RuleConfig(specialist="generalist", script="latin", share=0.8),
        RuleConfig(specialist="literature", field="文学"),
    )
    router = load_router(RouterConfig(path=folder, rules=rules), NobodyAsked())
    literature = texts_of("literature", 1, 6)[0]
    for text, field, wanted in (
        ("$ ls", "", "manual"),
        ("さきほどのnhkのニュース", "", "news"),
        ("To be, or not to be", "", "generalist"),
        ("1+1=", "文学", "literature"),
        (literature, "", "literature"),
    ):
        choice = choose(router, text, field=field)
        assert choice.specialist == wanted
        assert (choice.method == "rule") == (text != literature)
    alone = load_router(RouterConfig(rules=rules), NobodyAsked())
    assert choose(alone, literature).specialist == "generalist"
    for rule, message in (
        (RuleConfig(specialist="a", pattern="("), "no regular expression"),
        (RuleConfig(specialist="a"), "no condition"),
    ):
        with pytest.raises(RecipeError, match=message):
            load_router(RouterConfig(rules=(rule,)), NobodyAsked())


def test_the_same_texts_give_the_same_bytes_and_are_not_read_again(folder: Path, tmp_path: Path) -> None:
    method = json.loads((folder / "router.json").read_text(encoding="utf-8"))["method"]
    other = train(tmp_path / "other", method)
    names = [path.relative_to(folder) for path in folder.rglob("*") if path.suffix in (".npz", ".json")]
    assert len(names) > 2
    for name in names:
        assert (other / name).read_bytes() == (folder / name).read_bytes()
    verify_files(other)
    train_router(
        other,
        dict.fromkeys(DOMAINS),  # type: ignore[arg-type]
        {},
        method=method,
        most_characters=20_000,
    )


def test_a_folder_that_is_no_router_is_an_error(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no router"):
        load_router(RouterConfig(path=tmp_path), NobodyAsked())
    with pytest.raises(RecipeError, match="needs a path"):
        load_router(RouterConfig(method="clusters"), NobodyAsked())
    (tmp_path / "router.json").write_text("{}", encoding="utf-8")
    with pytest.raises(IntegrityError, match="damaged"):
        load_router(RouterConfig(path=tmp_path), NobodyAsked())
    values = json.loads((folder / "router.json").read_text(encoding="utf-8"))
    other = {"ngrams": "clusters", "clusters": "ngrams"}[values["method"]]
    with pytest.raises(InputError, match=f"no router by {other}"):
        load_router(RouterConfig(path=folder, method=other), NobodyAsked())  # type: ignore[arg-type]
    (tmp_path / "router.json").write_text(json.dumps(values), encoding="utf-8")
    (tmp_path / "clusters.npz").write_bytes(b"PK")
    (tmp_path / "ngrams").mkdir()
    (tmp_path / "ngrams" / "news.npz").write_bytes(b"PK")
    with pytest.raises(IntegrityError, match="damaged"):
        load_router(RouterConfig(path=tmp_path), NobodyAsked())


class Scorer:
    """Finds texts with its own words likelier, but for those that fail."""

    def __init__(self, failing: Collection[str] = (), silent: Collection[str] = ()) -> None:
        self.failing, self.silent, self.asked = failing, silent, 0

    async def score(self, specialist: str, texts: Sequence[str], befores: Sequence[str] = ()) -> Scored:
        self.asked += 1
        if specialist in self.silent:
            await asyncio.Event().wait()
        if specialist in self.failing:
            raise ResourceError(f"{specialist} does not answer")
        rate = {name: sum(word in texts[0] for word in WORDS[name]) for name in DOMAINS}[specialist]
        return Scored(nats=(len(texts[0]) * (8 - rate / 3),))


def test_the_specialists_own_likelihoods_are_asked_once_a_beginning() -> None:
    scorer = Scorer()
    router = load_router(RouterConfig(method="specialists"), scorer)
    for _ in range(2):
        for name in DOMAINS:
            assert choose(router, texts_of(name, 1, 7)[0]).specialist == name
    assert scorer.asked == len(DOMAINS) ** 2
    failing = EvidenceRouter(
        RouterConfig(), Likelihoods(Scorer(failing=["news"]), generalist="generalist"), Calibration()
    )
    assert choose(failing, texts_of("manual", 1, 7)[0]).specialist == "manual"
    silent = load_router(RouterConfig(method="specialists", trip_s=0.2), Scorer(silent=["news"]))
    assert choose(silent, texts_of("manual", 1, 7)[0]).specialist == "manual"
    nobody = EvidenceRouter(RouterConfig(), Likelihoods(Scorer(failing=DOMAINS), generalist="generalist"))
    assert choose(nobody, texts_of("manual", 1, 7)[0]).specialist == "generalist"


def test_measured_gains_decide_who_saves_most_bits(folder: Path) -> None:
    text = texts_of("news", 1, 5)[0]
    posterior = choose(load_router(RouterConfig(path=folder), NobodyAsked()), text).posterior
    assert posterior["news"] > 0.9
    values = json.loads((folder / "router.json").read_text(encoding="utf-8"))

    class Fixed:
        method = "ngrams"

        async def evidence(self, text: str, among: Collection[str]) -> object:
            from tsuzuri.specialists.routing.calibration import Evidence

            return Evidence({"news": 1.0, "manual": 0.0, "literature": 0.0}, 10)

    for gains, wanted in (
        ({"news": {"news": 0.3}, "manual": {"news": 0.1, "manual": 0.4}}, "news"),
        ({"news": {"news": 0.1}, "manual": {"news": 0.2}}, "manual"),
        ({"news": {"news": -0.1}, "manual": {"news": -0.2}}, "generalist"),
    ):
        calibration = Calibration.of({**values["calibration"], "usual": {}, "gains": gains})
        router = EvidenceRouter(RouterConfig(), Fixed(), calibration)  # type: ignore[arg-type]
        assert choose(router, text).specialist == wanted
