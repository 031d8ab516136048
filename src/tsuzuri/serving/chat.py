"""A conversation as a chat template writes it, in ids. Imports no torch.

Templates are those of Transformers (Jinja2, sandboxed, with the same settings and helpers). What a message
says stays text: a special piece spelt out in it is not read as one, while those of the template are.
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from tsuzuri.core.errors import InputError
from tsuzuri.generation.rules import read_values
from tsuzuri.tokenizer.codec import Tokenizer

TEMPLATE_FILE = "chat_template.jinja"
_BREAKERS = "\ufdd0\ufdd1\ufdd2\ufdd3"
"""Code points that are no characters: one that no message holds is put into what only looks special."""


class ChatTemplate:
    """The template of one release."""

    def __init__(self, source: str, tokenizer: Tokenizer, named: Mapping[str, Any]) -> None:
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.filters["tojson"] = _to_json
        environment.globals["raise_exception"] = _refuse
        environment.globals["strftime_now"] = _now
        self._tokenizer = tokenizer
        self._ids = dict(special_pieces(tokenizer, named))
        longest_first = sorted(self._ids, key=len, reverse=True)
        self._special = re.compile("(" + "|".join(map(re.escape, longest_first)) + ")")
        self._variables = {
            name: _content(value) for name, value in named.items() if name.endswith("_token") and value
        }
        try:
            self._template = environment.from_string(source)
        except TemplateError as error:
            raise InputError(f"the chat template can't be read: {error}") from error

    @classmethod
    def of(cls, folder: Path, tokenizer: Tokenizer) -> ChatTemplate | None:
        """That of a release's folder, if it has one."""
        named = read_values(folder, "tokenizer_config.json")
        file = folder / TEMPLATE_FILE
        source = file.read_text(encoding="utf-8") if file.exists() else named.get("chat_template")
        if isinstance(source, list):  # several, by name
            source = next((item["template"] for item in source if item.get("name") == "default"), None)
        return cls(source, tokenizer, named) if isinstance(source, str) else None

    def ids(self, messages: Sequence[Mapping[str, Any]]) -> list[int]:
        """The ids of a conversation that the model is to answer; InputError where the template refuses it."""
        said = "".join(text for message in messages for text in message.values() if isinstance(text, str))
        breaker = next((mark for mark in _BREAKERS if mark not in said), None)
        if breaker is None:
            raise InputError("a message holds code points that are no characters (U+FDD0 to U+FDD3)")
        literal = [
            {key: self._broken(value, breaker) for key, value in message.items()} for message in messages
        ]
        try:
            text = self._template.render(messages=literal, add_generation_prompt=True, **self._variables)
        except InputError:
            raise
        except Exception as error:  # a template is a program of the release's: it may fail in any way
            raise InputError(
                f"the chat template can't write this conversation: {type(error).__name__}"
            ) from error
        ids: list[int] = []
        for part in self._special.split(text):
            if part in self._ids:
                ids.append(self._ids[part])
            elif part:
                ids += self._tokenizer.encode(part.replace(breaker, ""))
        return ids

    def _broken(self, value: Any, breaker: str) -> Any:
        """A message's text in which no special piece can be read."""
        if not isinstance(value, str):
            return value
        return self._special.sub(lambda match: match[0][0] + breaker + match[0][1:], value)


def special_pieces(tokenizer: Tokenizer, named: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """(name, id) of the special pieces that the tokenizer's settings name."""
    values = [value for name, value in named.items() if name.endswith("_token")]
    for value in [*values, *named.get("additional_special_tokens", [])]:
        name = _content(value)
        index = tokenizer.piece_id(name) if name else None
        if index is not None and len(name) > 1:
            yield name, index


def _content(value: Any) -> str:
    """The text of a piece, which Transformers also writes as an object."""
    return (
        str(value.get("content", "")) if isinstance(value, dict) else value if isinstance(value, str) else ""
    )


def _to_json(value: Any, **options: Any) -> str:
    return json.dumps(value, ensure_ascii=False, **options)


def _refuse(message: str) -> NoReturn:
    raise InputError(f"the chat template refuses this conversation: {message}")


def _now(form: str) -> str:
    return datetime.datetime.now().strftime(form)
