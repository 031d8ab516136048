from __future__ import annotations

import datetime
import re
import shutil
from pathlib import Path

import pytest
import yaml

import releases
from tsuzuri.core.errors import InputError, IntegrityError, RecipeError, TsuzuriError
from tsuzuri.core.manifest import box_sha256, verify_files
from tsuzuri.release.sums import check_sums
from tsuzuri.release.supporters import read_supporters
from tsuzuri.release.thanks import NOBODY, special_thanks, thanked, thanks

DAY = datetime.date(2026, 11, 23)
FILE = """
jpy_per_usd: 150
tiers:
  - {name: 支援者 Supporters, usd: 10}
  - {name: 後援者 Patrons, usd: 50, plan: research}
  - {name: 大後援者 Great patrons, usd: 100}
supporters:
  - {name: 山田 花子, consent: true, amount: 1500, currency: JPY, from: 2026-01-01}
  - {name: A. Smith, consent: true, amount: 60, currency: USD, from: 2025-05-01, to: 2026-04-30, account: s}
  - {name: 大島, consent: true, amount: 20000, currency: JPY, from: 2026-11-23, account: oshima}
  - {name: 匿名, consent: false, amount: 500, currency: USD, from: 2026-02-01, account: nobody}
  - {name: 小林, consent: true, amount: 1499, currency: JPY, from: 2026-02-01, account: kobayashi}
  - {name: 未来, consent: true, amount: 80, currency: USD, from: 2026-11-24, account: mirai}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "supporters.yaml").write_text(FILE, encoding="utf-8")
    return tmp_path / "supporters.yaml"


def test_who_has_supported_by_a_day_is_thanked_by_tiers(file: Path) -> None:
    assert read_supporters(file).thanked(DAY) == [
        ("大後援者 Great patrons", ("大島",)),
        ("支援者 Supporters", ("山田 花子",)),
        ("これまでの支援者 Earlier supporters", ("A. Smith",)),
    ]
    assert read_supporters(file).thanked(datetime.date(2026, 4, 30)) == [
        ("後援者 Patrons", ("A. Smith",)),
        ("支援者 Supporters", ("山田 花子",)),
    ]
    assert read_supporters(file).thanked(datetime.date(2025, 1, 1)) == []


def test_the_manual_shows_a_file_that_is_one(tmp_path: Path) -> None:
    manual = Path(__file__).parents[2] / "docs" / "publishing.md"
    if not manual.exists():
        pytest.skip("the documents come with the source tree")
    lines = re.findall(r"^    (.*)$", manual.read_text(encoding="utf-8"), re.M)
    (tmp_path / "shown.yaml").write_text("\n".join(lines), encoding="utf-8")
    shown = read_supporters(tmp_path / "shown.yaml")
    assert len(shown.supporters) == 3
    assert shown.plans(DAY) == {"x@y.jp": "research"}


def test_a_tier_grants_the_plan_of_the_one_below(file: Path) -> None:
    found = read_supporters(file)
    assert found.plans(DAY) == {"oshima": "research", "nobody": "research"}
    assert found.plans(datetime.date(2026, 1, 1)) == {"s": "research"}
    smith = found.supporters[1]
    assert found.plan_of(smith, datetime.date(2026, 4, 30)) == "research"
    assert found.plan_of(smith, datetime.date(2026, 5, 1)) is None


def test_who_does_not_consent_is_named_nowhere(file: Path, build: Path, tmp_path: Path) -> None:
    release = releases.release(build, "consent")
    (tmp_path / "repository").mkdir()
    said = list(thanks(file, "2026-11-23", tmp_path / "repository", [release]))
    assert [line.rpartition(": ")[2] for line in said] == ["3 named on 2026-11-23"] * 2
    texts = [path.read_text(encoding="utf-8") for path in release.iterdir() if path.suffix != ".safetensors"]
    for text in [*said, (tmp_path / "repository" / "special_thanks.txt").read_text(encoding="utf-8"), *texts]:
        assert "匿名" not in text
        assert "nobody" not in text


def test_a_name_that_somebody_withdraws_is_gone_from_repository_and_release(
    file: Path, build: Path, tmp_path: Path
) -> None:
    release = releases.release(build, "withdrawn")
    before = box_sha256(release)
    list(thanks(file, "2026-11-23", tmp_path, [release]))
    text = (release / "special_thanks.txt").read_text(encoding="utf-8")
    assert text == (tmp_path / "special_thanks.txt").read_text(encoding="utf-8")
    assert text.endswith(
        "\n◆ 支援者 Supporters\n山田 花子\n\n◆ これまでの支援者 Earlier supporters\nA. Smith\n"
    )
    check_sums(release)
    verify_files(release)
    assert box_sha256(release) == before
    file.write_text(FILE.replace("山田 花子, consent: true", "山田 花子, consent: false"), encoding="utf-8")
    list(thanks(file, "2026-11-23", tmp_path, [release]))
    for path in (release / "special_thanks.txt", tmp_path / "special_thanks.txt"):
        assert "山田" not in path.read_text(encoding="utf-8")
    check_sums(release)


def test_a_damaged_release_stops_everything_before_anything_is_written(
    file: Path, build: Path, tmp_path: Path
) -> None:
    release = tmp_path / "release"
    shutil.copytree(releases.release(build), release)
    (release / "config.json").write_text("{}")
    with pytest.raises(IntegrityError, match=r"config\.json is damaged"):
        list(thanks(file, "2026-11-23", tmp_path, [release]))
    assert not (tmp_path / "special_thanks.txt").exists()


def test_one_person_is_named_once_and_not_against_their_wish(tmp_path: Path) -> None:
    pledge = {"name": "二度", "consent": True, "amount": 10, "currency": "USD", "from": "2026-01-01"}
    supporters = [pledge, {**pledge, "amount": 70}, {**pledge, "name": "三度"}, {**pledge, "name": "三度"}]
    supporters.append({**pledge, "name": "三度", "consent": False})
    tiers = [{"name": "低", "usd": 10}, {"name": "高", "usd": 50}]
    found = thanked_by(tmp_path, {"tiers": tiers, "supporters": supporters})
    assert found == [("高", ("二度",))]


def thanked_by(folder: Path, values: object) -> object:
    """Who is thanked by these values of a file."""
    (folder / "made.yaml").write_text(yaml.safe_dump(values, allow_unicode=True), encoding="utf-8")
    return read_supporters(folder / "made.yaml").thanked(DAY)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("consent: true", "consent: maybe", "supporters.0.consent"),
        ("amount: 1500", "amount: -5", "supporters.0.amount"),
        ("currency: JPY", "currency: EUR", "supporters.0.currency"),
        ("from: 2026-01-01", "from: 2026-13-01", "not valid YAML|supporters.0.from"),
        ("from: 2026-01-01", "since: 2026-01-01", "since"),
        ("to: 2026-04-30", "to: 2025-04-30", "ends on 2025-04-30, before it begins on 2025-05-01"),
        ("jpy_per_usd: 150", "", "give the exchange rate as jpy_per_usd"),
        ("jpy_per_usd: 150", "jpy_per_usd: 0", "jpy_per_usd"),
        ("usd: 50", "usd: 10", "tiers must rise"),
        ("大後援者 Great patrons", "支援者 Supporters", "two tiers have one name"),
        ("name: 山田 花子", "name: ' '", "a name is one line of text"),
        ("supporters:", "supporter:", "did you mean 'supporters'"),
    ],
)
def test_a_mistake_in_the_file_is_one_clear_error(file: Path, old: str, new: str, message: str) -> None:
    file.write_text(FILE.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(TsuzuriError, match=message) as caught:
        list(thanks(file, None, file.parent))
    assert "匿名" not in str(caught.value)


def test_a_mistake_in_an_argument_is_an_error(file: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="'tomorrow' is no day"):
        list(thanks(file, "tomorrow", tmp_path))
    with pytest.raises(RecipeError, match="nowhere to write to"):
        list(thanks(file))
    with pytest.raises(InputError, match="is no folder"):
        list(thanks(file, None, tmp_path / "absent"))
    with pytest.raises(InputError, match="is no release"):
        list(thanks(file, None, None, [tmp_path]))
    with pytest.raises(InputError, match=r"no readable file at .*absent\.yaml"):
        list(thanks(tmp_path / "absent.yaml", None, tmp_path))


def test_without_tiers_the_first_is_ten_dollars(tmp_path: Path) -> None:
    pledge = {"consent": True, "currency": "USD", "from": "2026-01-01"}
    supporters = [{"name": "多", "amount": 10, **pledge}, {"name": "少", "amount": 9, **pledge}]
    found = thanked_by(tmp_path, {"supporters": supporters})
    assert found == [("支援者 Supporters", ("多",))]


def test_a_recipe_names_supporters_or_a_file(file: Path, tmp_path: Path) -> None:
    assert thanked(["山田 花子", " A. Smith ", "山田 花子"]) == [("", ("山田 花子", "A. Smith"))]
    (tmp_path / "names.txt").write_bytes("\ufeff山田 花子\r\n\r\nA. Smith\n".encode())
    assert thanked(tmp_path / "names.txt") == [("", ("山田 花子", "A. Smith"))]
    assert ("大後援者 Great patrons", ("大島",)) in [(name, names[:1]) for name, names in thanked(file)]
    assert thanked([]) == []


@pytest.mark.parametrize("names", [[""], ["  "], ["山田\n花子"], ["山\x1b[31m田"]])
def test_what_is_no_name_is_an_error(names: list[str]) -> None:
    with pytest.raises(InputError, match="no supporter's name"):
        thanked(names)


def test_an_unreadable_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "sjis.txt").write_bytes("山田".encode("cp932"))
    for name in ("absent.txt", "sjis.txt"):
        with pytest.raises(InputError, match=name):
            thanked(tmp_path / name)


def test_the_text_names_everybody_or_says_that_nobody_is_there() -> None:
    text = special_thanks([("", ["山田 花子", "A. Smith"])])
    assert text.startswith("Special Thanks\n")
    assert text.endswith("\n山田 花子\nA. Smith\n")
    assert special_thanks([]) == NOBODY
