"""special_thanks.txt: the people who made a model possible, inside every copy of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tsuzuri.core.errors import InputError

HEAD = "Special Thanks\n\nこのモデルは、次の方々のご支援で作られました。\nThis model was made possible by:\n"
NOBODY = "Special Thanks\n\nこのモデルには、まだ支援者がいません。\nThis model has no supporters yet.\n"


def supporter_names(supporters: Sequence[str] | Path) -> tuple[str, ...]:
    """The names, each once, in order; InputError for an unreadable file or a name that is not one line."""
    if isinstance(supporters, Path):
        try:
            lines = supporters.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(
                f"no readable list of supporters at {supporters}",
                hint="give a UTF-8 file with one name on a line",
            ) from error
        names = [line.strip() for line in lines if line.strip()]
    else:
        names = [name.strip() for name in supporters]
        for name in names:
            if not name or not name.isprintable():
                raise InputError(
                    f"{name!r} is no supporter's name", hint="release.supporters: one line of text for each"
                )
    return tuple(dict.fromkeys(names))


def special_thanks(names: Sequence[str]) -> str:
    """The text of special_thanks.txt."""
    return "\n".join([HEAD, *names, ""]) if names else NOBODY
