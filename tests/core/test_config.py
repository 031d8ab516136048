from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field, ValidationError, model_validator

from tsuzuri.core.config import Config, apply_overrides, differences, load_yaml, parse_config
from tsuzuri.core.errors import InputError, RecipeError


class Inner(Config):
    steps: int = 10
    learning_rate: float = 0.1


class Sheep(Config):
    kind: Literal["sheep"] = "sheep"
    wool: float = 1.0


class Goat(Config):
    kind: Literal["goat"] = "goat"


class Herd(Config):
    animals: tuple[Annotated[Sheep | Goat, Field(discriminator="kind")], ...] = ()
    names: tuple[str, ...] | Path = ()


class Outer(Config):
    train: Inner = Inner()
    other: Inner | None = None
    names: tuple[str, ...] = ()


def test_a_mapping_becomes_a_frozen_config() -> None:
    config = parse_config(Outer, {"train": {"steps": 3}}, where="recipe")
    assert config.train == Inner(steps=3)
    assert config.as_mapping() == {
        "train": {"steps": 3, "learning_rate": 0.1},
        "other": None,
        "names": [],
    }
    with pytest.raises(ValidationError):
        config.names = ("x",)  # type: ignore[misc]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"train": {"stebs": 3}}, r"r\.yaml: unknown key 'train\.stebs' \(did you mean 'steps'\?\)"),
        ({"trian": {}}, r"unknown key 'trian' \(did you mean 'train'\?\)"),
        ({"learning_rate": 1}, r"unknown key 'learning_rate' \(did you mean 'other\.learning_rate'\?\)"),
        ({"other": {"stebs": 3}}, r"'other\.stebs' \(did you mean 'steps'\?\)"),
        ({"xyzzy": 1}, r"unknown key 'xyzzy' \(allowed: names, other, train\)"),
        ({"train": {"steps": "many"}}, r"train\.steps: .*integer.* \(got 'many'\)"),
        ({"train": 3}, r"train: .*\(got 3\)"),
        ({1: 2}, "1"),
        ({"train": {"steps": "a", "learning_rate": "b"}}, r"train\.steps: .*; train\.learning_rate: "),
    ],
)
def test_what_is_not_allowed_is_named(values: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        parse_config(Outer, values, where="r.yaml")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"animals": [{"wool": 2}]}, "h: animals.0: its kind is missing (allowed: sheep, goat)"),
        ({"animals": [{"kind": "gaot"}]}, "h: animals.0: no kind 'gaot' (did you mean 'goat'?)"),
        ({"animals": [{"kind": "x"}]}, "h: animals.0: no kind 'x' (allowed: sheep, goat)"),
        (
            {"animals": [{}, {"kind": "sheep", "wol": 2}]},
            "h: animals.0: its kind is missing (allowed: sheep, goat); "
            "unknown key 'animals.1.wol' (did you mean 'wool'?)",
        ),
        ({"animals": ["x"]}, "h: animals.0: Input should be a section of keys (got 'x')"),
        ({"names": 3}, "h: names: Input should be a list (got 3); names: Input should be a path (got 3)"),
    ],
)
def test_no_message_speaks_of_what_checks_it(values: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_config(Herd, values, where="h")
    assert caught.value.message == message


def test_no_message_names_a_class_or_a_kind_of_python() -> None:
    class Pen(Config):
        gates: tuple[str, ...] = Field(default=("north",), min_length=1)

        @model_validator(mode="after")
        def _check(self) -> Pen:
            if not all(self.gates):
                raise ValueError("a gate has a name")
            return self

    for gates, message in (
        ([], "h: gates: Input should be a list of at least 1 (got [])"),
        ([""], "h: a gate has a name"),
    ):
        with pytest.raises(RecipeError) as caught:
            parse_config(Pen, {"gates": gates}, where="h")
        assert caught.value.message == message


def test_yaml_is_read(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text("train:\n  steps: 3\n名前: 綴り\n", encoding="utf-8")
    assert load_yaml(path) == {"train": {"steps": 3}, "名前": "綴り"}
    path.write_text("")
    assert load_yaml(path) == {}


@pytest.mark.parametrize(
    ("data", "kind", "message"),
    [
        (None, InputError, "no readable file"),
        ("綴り".encode("shift_jis"), InputError, "no readable file"),
        (b"a: [1", RecipeError, "not valid YAML: while parsing a flow sequence at line 1, column 4"),
        (b"- 1\n- 2\n", RecipeError, "holds a list"),
        (b"a: !!python/object:os.system x", RecipeError, "not valid YAML"),
        (b"a: 2026-13-01", RecipeError, "not valid YAML"),
        (b"[" * 5000, RecipeError, "not valid YAML"),
        (b"a: &x {b: [*x]}", RecipeError, "line 1: a section holds itself"),
        (b"a:\n  b: 1\n  c: 2\n  b: 3\n", RecipeError, "line 4: the key 'b' is given twice"),
        (b"a: [{b: 1, b: 1}]", RecipeError, "line 1: the key 'b' is given twice"),
    ],
)
def test_unreadable_recipes_are_refused(
    tmp_path: Path, data: bytes | None, kind: type[Exception], message: str
) -> None:
    path = tmp_path / "r.yaml"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(kind, match=message):
        load_yaml(path)


def test_an_anchor_may_serve_twice(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text("a: &x {b: 1}\nc: [*x, *x]\nd: {<<: *x, b: 2}\n")
    assert load_yaml(path) == {"a": {"b": 1}, "c": [{"b": 1}, {"b": 1}], "d": {"b": 2}}


def test_a_folder_is_no_recipe(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no readable file"):
        load_yaml(tmp_path)


def test_overrides_set_values_in_a_copy() -> None:
    values = {"train": {"steps": 3, "names": ["a"]}, "empty": None}
    result = apply_overrides(
        values, ["train.steps=5", "new.deep.key=[1, x]", "empty.a=true", "text=a=b", "none="]
    )
    assert result == {
        "train": {"steps": 5, "names": ["a"]},
        "empty": {"a": True},
        "new": {"deep": {"key": [1, "x"]}},
        "text": "a=b",
        "none": None,
    }
    assert values == {"train": {"steps": 3, "names": ["a"]}, "empty": None}
    result["train"]["names"].append("b")
    assert values["train"]["names"] == ["a"]


def test_overrides_reach_into_lists() -> None:
    values = {"source": [{"path": "a"}, {"path": "b"}], "betas": [0.9, 0.95]}
    result = apply_overrides(values, ["source.1.path=c", "betas.0=0.8", "source.0.quality.level=high"])
    assert result == {
        "source": [{"path": "a", "quality": {"level": "high"}}, {"path": "c"}],
        "betas": [0.8, 0.95],
    }
    assert values["betas"] == [0.9, 0.95]


@pytest.mark.parametrize("place", ["2", "-1", "first"])
def test_a_place_that_a_list_has_not_is_refused(place: str) -> None:
    values = {"corpus": {"source": [{"path": "a"}, {"path": "b"}]}}
    with pytest.raises(RecipeError, match=rf"'corpus\.source' is a list of 2.* has no '{place}'"):
        apply_overrides(values, [f"corpus.source.{place}.path=c"])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train={a: 1, a: 2}", "the key 'a' is given twice"),
        ("train=&x [*x]", "a section holds itself"),
        ("train.steps=2026-13-01", "not valid YAML"),
        ("train.steps", "not of the form"),
        ("=3", "not of the form"),
        ("train..steps=3", "not of the form"),
        ("train.steps.deep=3", "'train.steps' holds a value"),
        ("train.steps=[1", "not valid YAML"),
    ],
)
def test_overrides_of_another_form_are_refused(override: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        apply_overrides({"train": {"steps": 3}}, [override])


def test_differences_name_dotted_keys() -> None:
    old = {"a": 1, "b": {"c": 2, "d": 3}, "gone": 4}
    new = {"a": 1, "b": {"c": 5, "d": 3}, "come": 6}
    assert differences(old, new) == ["b.c: 2 → 5", "come: None → 6", "gone: 4 → None"]
    assert differences(old, old) == []
    sources = {"source": [{"path": "a"}, {"path": "b", "name": "x"}], "betas": [0.9, 0.95]}
    others = {"source": [{"path": "a"}, {"path": "c", "name": "x"}], "betas": [0.9, 0.99]}
    assert differences(sources, others) == ["betas: [0.9, 0.95] → [0.9, 0.99]", "source.1.path: 'b' → 'c'"]
