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


class Config(BaseModel):
    """Base of every component's configuration: frozen, typed, no unknown keys, documented field by field."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False, protected_namespaces=()
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
        raise InputError(f"no readable recipe at {path}", hint=hint) from error
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    if values is None:
        values = {}
    if not isinstance(values, dict):
        raise RecipeError(f"{path} holds a {type(values).__name__}, not a mapping of sections")
    return values


def apply_overrides(values: Mapping[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """A copy of `values` with every `section.key=value` set; values are read as YAML."""
    result: dict[str, Any] = _copy(values)
    for override in overrides:
        key, equals, text = override.partition("=")
        path = key.strip().split(".")
        if not equals or not all(path):
            message = f"{override!r} is not of the form section.key=value"
            raise RecipeError(message, hint="for example --set train.steps=100")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise RecipeError(f"the value in {override!r} is not valid YAML") from error
        section = result
        for name in path[:-1]:
            inner = section.get(name)
            if inner is None:
                inner = section[name] = {}
            if not isinstance(inner, dict):
                raise RecipeError(f"{override!r}: {name!r} holds a value, not a section")
            section = inner
        section[path[-1]] = value
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


def _numbered(value: Any) -> Any:
    """A list of sections as a mapping by their places; what is none of that, as it is."""
    if isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
        return {str(place): item for place, item in enumerate(value)}
    return value


def _explain(kind: type[BaseModel], item: Mapping[str, Any]) -> str:
    place = [str(part) for part in item["loc"]]
    name = ".".join(place) or kind.__name__
    if item["type"] == "value_error":  # a section's own check, whose words name keys and values
        return f"{name}: {item['ctx']['error']}"
    if item["type"] != "extra_forbidden":
        return f"{name}: {item['msg']} (got {item.get('input')!r})"
    section = _section(kind, place[:-1])
    allowed = sorted(section.model_fields) if section else []
    hint = closest(place[-1], allowed)
    if not hint:
        elsewhere = {path for path in _paths(kind) if path.rsplit(".", 1)[-1] == place[-1]}
        hint = f" (did you mean {min(elsewhere)!r}?)" if elsewhere else f" (allowed: {', '.join(allowed)})"
    return f"unknown key {name!r}{hint}"


def _section(kind: type[BaseModel], place: Sequence[str]) -> type[BaseModel] | None:
    """The configuration at a place, through lists (a number) and unions (the `kind` that was chosen)."""
    found = [kind]
    for part in place:
        if part.isdecimal():
            continue
        chosen = [
            config for config in found if "kind" in config.model_fields and _default_kind(config) == part
        ]
        fields = [config.model_fields[part] for config in found if part in config.model_fields]
        found = chosen or [config for field in fields for config in _configs(field.annotation)]
    return found[0] if found else None


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
