"""Small frozen configurations, one per component, and the one way that a mapping becomes one.

An unknown key is an error that names the closest one, in the same section or, if misplaced, in another.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeAlias, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tsuzuri.core.errors import InputError, RecipeError, closest

Seed: TypeAlias = Annotated[int, Field(ge=0, lt=2**63)]
"""What every generator of random numbers takes, a few thousand more included."""


_WANTED = {
    "tuple_type": "Input should be a list",
    "path_type": "Input should be a path",
    "model_type": "Input should be a section of keys",
    "model_attributes_type": "Input should be a section of keys",
    "too_short": "Input should be a list of at least {min_length}",
    "too_long": "Input should be a list of at most {max_length}",
}
"""Where pydantic's own words speak of Python: its type of an error → ours."""


class Config(BaseModel):
    """Base of every component's configuration: frozen, typed, no unknown keys, documented field by field."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        validate_default=True,
        allow_inf_nan=False,
        protected_namespaces=(),
        use_attribute_docstrings=True,
    )

    def as_mapping(self) -> dict[str, Any]:
        """The configuration as plain JSON values, every default resolved."""
        return self.model_dump(mode="json")


ConfigType = TypeVar("ConfigType", bound=Config)


def parse_config(
    kind: type[ConfigType],
    values: Mapping[str, Any],
    *,
    where: str,
    hint: str = "correct the recipe or the --set option",
) -> ConfigType:
    """`values` as a `kind`; a RecipeError names every key at fault, `where` it stood and what was allowed."""
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        lines = [_explain(kind, item) for item in error.errors(include_url=False)]
        message = f"{where}: " + "; ".join(lines)
        raise RecipeError(message, hint=hint) from error


def load_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file; InputError when the file is absent, RecipeError when it is no mapping."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        hint = "give the path of a YAML file in UTF-8"
        raise InputError(f"no readable file at {path}", hint=hint) from error
    values = _parse_yaml(text, str(path))
    if values is None:
        values = {}
    if not isinstance(values, dict):
        raise RecipeError(f"{path} holds a {type(values).__name__}, not a mapping of sections")
    return values


def apply_overrides(values: Mapping[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """A copy of `values` with every `section.key=value` set; values are read as YAML, numbers are places in
    a list."""
    result: dict[str, Any] = _copy(values)
    for override in overrides:
        key, equals, text = override.partition("=")
        path = key.strip().split(".")
        if not equals or not all(path):
            message = f"{override!r} is not of the form section.key=value"
            raise RecipeError(message, hint="for example --set train.steps=100")
        result = _with(result, path, _parse_yaml(text, f"the value in {override!r}"), override)
    return result


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """The dotted keys whose values differ between two mappings, each as `key: old → new`."""
    lines = []
    for key in sorted({*old, *new}):
        before, after = _numbered(old.get(key)), _numbered(new.get(key))
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            lines += differences(before, after, f"{prefix}{key}.")
        elif before != after:
            lines.append(f"{prefix}{key}: {before!r} → {after!r}")
    return lines


def _parse_yaml(text: str, where: str) -> Any:
    """The value that a YAML text holds; RecipeError where it is none, or not one that a recipe can be."""
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _check_node(node, where)
        return loader.construct_document(node)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # no such day; a thousand brackets
        words = " ".join(str(error).replace('in "<unicode string>", ', "at ").split())
        raise RecipeError(f"{where} is not valid YAML: {words}") from error
    finally:
        loader.dispose()


def _check_node(node: yaml.Node, where: str, above: tuple[yaml.Node, ...] = ()) -> None:
    """Refuse what YAML allows and a recipe cannot mean: a section within itself, a key given twice."""
    line = node.start_mark.line + 1
    if node in above:
        raise RecipeError(f"{where}, line {line}: a section holds itself", hint="name no alias in its anchor")
    if not isinstance(node, yaml.CollectionNode):
        return
    parts = node.value
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                line = key.start_mark.line + 1
                raise RecipeError(f"{where}, line {line}: the key {key.value!r} is given twice")
            if isinstance(key, yaml.ScalarNode):
                seen.add(key.value)
        parts = [part for pair in node.value for part in pair]
    for part in parts:
        _check_node(part, where, (*above, node))


def _with(value: Any, path: Sequence[str], new: Any, override: str, at: str = "") -> Any:
    """`value`, which stands at `at`, in which `new` now stands at a path of keys and places."""
    if not path:
        return new
    key: Any = path[0]
    if value is None:
        value = {}
    if isinstance(value, list):
        if not key.isdecimal() or int(key) >= len(value):
            raise RecipeError(
                f"{override!r}: {at!r} is a list of {len(value)}, numbered from 0: it has no {key!r}",
                hint=f"set the whole list: {at}=[…]",
            )
        key = int(key)
    elif not isinstance(value, dict):
        raise RecipeError(f"{override!r}: {at!r} holds a value, not a section")
    inner = value[key] if isinstance(value, list) else value.get(key)
    value[key] = _with(inner, path[1:], new, override, f"{at}.{key}".lstrip("."))
    return value


def _numbered(value: Any) -> Any:
    """A list of sections as a mapping by their places; what is none of that, as it is."""
    if isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
        return {str(place): item for place, item in enumerate(value)}
    return value


def _explain(kind: type[BaseModel], item: Mapping[str, Any]) -> str:
    place = [part for part in map(str, item["loc"]) if "[" not in part]  # not the types of a union
    keys = [part for at, part in enumerate(place) if not _chosen(_sections(kind, place[:at]), part)]
    name = ".".join(keys)
    if item["type"] == "value_error":  # a section's own check, whose words name keys and values
        return f"{name}: {item['ctx']['error']}".removeprefix(": ")
    if item["type"].startswith("union_tag"):
        kinds = [str(_default_kind(config)) for config in _sections(kind, place)]
        others = f" (allowed: {', '.join(kinds)})"
        if item["type"] == "union_tag_not_found":
            return f"{name}: its kind is missing{others}"
        tag = str(item["ctx"]["tag"])
        return f"{name}: no kind {tag!r}{closest(tag, kinds) or others}"
    if item["type"] != "extra_forbidden":
        wanted = _WANTED.get(item["type"], "").format(**item.get("ctx", {})) or item["msg"]
        return f"{name}: {wanted} (got {item.get('input')!r})"
    sections = _sections(kind, place[:-1])
    allowed = sorted(sections[0].model_fields) if sections else []
    hint = closest(place[-1], allowed)
    if not hint:
        elsewhere = {path for path in _paths(kind) if path.rsplit(".", 1)[-1] == place[-1]}
        hint = f" (did you mean {min(elsewhere)!r}?)" if elsewhere else f" (allowed: {', '.join(allowed)})"
    return f"unknown key {name!r}{hint}"


def _sections(kind: type[BaseModel], place: Sequence[str]) -> list[type[BaseModel]]:
    """The configurations that a place allows, through lists (a number) and unions (the `kind` chosen)."""
    found = [kind]
    for part in place:
        if part.isdecimal():
            continue
        fields = [config.model_fields[part] for config in found if part in config.model_fields]
        found = _chosen(found, part) or [config for field in fields for config in _configs(field.annotation)]
    return found


def _chosen(sections: Iterable[type[BaseModel]], part: str) -> list[type[BaseModel]]:
    """Those of a union that a part of a place, which is no key, chooses by their `kind`."""
    return [config for config in sections if "kind" in config.model_fields and _default_kind(config) == part]


def _default_kind(config: type[BaseModel]) -> Any:
    return config.model_fields["kind"].default


def _configs(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [config for argument in get_args(annotation) for config in _configs(argument)]


def _paths(kind: type[BaseModel], prefix: str = "") -> list[str]:
    paths = []
    for name, field in kind.model_fields.items():
        paths.append(prefix + name)
        for config in _configs(field.annotation):
            paths += _paths(config, f"{prefix}{name}.")
    return paths


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copy(item) for key, item in value.items()}
    return list(map(_copy, value)) if isinstance(value, list) else value
