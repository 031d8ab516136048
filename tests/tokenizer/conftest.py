"""Text to learn from (made here, from a seed) and tokenizers of every form and boundary."""

from __future__ import annotations

import itertools
import random

import pytest

from tsuzuri.tokenizer.codec import Tokenizer
from tsuzuri.tokenizer.config import Boundary, Form, TokenizerConfig
from tsuzuri.tokenizer.train import learn_tokenizer

TIMES = ("今日は", "昨日、", "2024年の春に", "日曜に", "１０月３日、", "ときどき", "「朝」", "Monday ", "")
SUBJECTS = (
    "私",
    "母",
    "あの人々",
    "コーヒー屋の主人",
    "学生たち",
    "隣のおばあさん",
    "らーめん屋",
    "日曜の客",
)
OBJECTS = (
    "焼肉",
    "定食",
    "焼肉定食",
    "コーヒー",
    "手紙",
    "データ",
    " the book",
    "日曜版",
    "焼き魚",
    "カレーライス",
)
ACTIONS = ("を食べる", "を食べた", "を読んでいる", "を書いた、そして眠った", "を待っていました", "が好きだ")
ENDS = ("。", "。\n", "！？\n\n", "……。", "\t")
SYLLABLES = (
    "山川田中村木水石原松竹本高橋",
    "アイウカキコサシタトナニマミラリルン",
    "あいうかきこさしたとなにまみらりるん",
)


def made_names(number: int, seed: int) -> list[str]:
    """Words of two to four characters of one script."""
    choose = random.Random(seed)
    return ["".join(choose.choices(choose.choice(SYLLABLES), k=choose.randint(2, 4))) for _ in range(number)]


NAMES = made_names(400, seed=0)


def made_text(sentences: int, seed: int) -> str:
    """Sentences in Japanese with some numbers, Latin letters and empty lines."""
    choose = random.Random(seed)
    parts = (TIMES, NAMES, ("の",), SUBJECTS, "はがも", OBJECTS, ACTIONS, ENDS)
    return "".join(choose.choice(part) for _ in range(sentences) for part in parts)


TEXTS = [made_text(200, seed) for seed in range(10)]
SMALL = 640
EVERY_KIND = list(itertools.product(Form, Boundary))


@pytest.fixture(scope="session")
def texts() -> list[str]:
    """Ten texts of two hundred sentences."""
    return TEXTS


@pytest.fixture(scope="session", params=EVERY_KIND, ids=lambda kind: f"{kind[0]}-{kind[1]}")
def kind(request: pytest.FixtureRequest) -> TokenizerConfig:
    """A small configuration of each form and boundary."""
    form, boundary = request.param
    return TokenizerConfig(vocab_size=SMALL, form=form, boundary=boundary)


@pytest.fixture(scope="session")
def files(kind: TokenizerConfig) -> tuple[str, str]:
    """The two files of a tokenizer of each kind."""
    return learn_tokenizer(TEXTS, kind)


@pytest.fixture(scope="session")
def tokenizer(files: tuple[str, str]) -> Tokenizer:
    """A tokenizer of each kind."""
    return Tokenizer(*files)


@pytest.fixture(scope="session")
def script_tokenizer() -> Tokenizer:
    """A tokenizer whose boundaries are those of scripts and nothing else."""
    config = TokenizerConfig(vocab_size=SMALL, form=Form.CHARACTER, boundary=Boundary.SCRIPT)
    return Tokenizer(*learn_tokenizer(TEXTS, config))
