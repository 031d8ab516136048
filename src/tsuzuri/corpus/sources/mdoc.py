"""Lines of BSD's mdoc macros (mdoc(7)) as plain text: names, options, quotations, punctuation set close."""

from __future__ import annotations

from collections.abc import Callable, Sequence

CLOSING = frozenset([".", ",", ":", ";", ")", "]", "?", "!", "。", "、", "）", "」", "｡", "､"])
OPENING = frozenset(["(", "[", "（", "「"])
ENCLOSING = {
    "Op": ("[", "]"), "Dq": ("“", "”"), "Qq": ('"', '"'), "Sq": ("‘", "’"), "Pq": ("(", ")"),
    "Bq": ("[", "]"), "Aq": ("<", ">"), "Brq": ("{", "}"), "Ql": ("‘", "’"), "Dl": ("", ""),
    "D1": ("", ""),
}  # fmt: skip
OPENERS = {
    "Oo": "[",
    "Do": "“",
    "Qo": '"',
    "So": "‘",
    "Po": "(",
    "Bo": "[",
    "Ao": "<",
    "Bro": "{",
    "Xo": "",
    "Eo": "",
}
CLOSERS = {
    "Oc": "]",
    "Dc": "”",
    "Qc": '"',
    "Sc": "’",
    "Pc": ")",
    "Bc": "]",
    "Ac": ">",
    "Brc": "}",
    "Xc": "",
    "Ec": "",
}
PLAIN = frozenset(
    [
        "Ar",
        "Pa",
        "Ic",
        "Li",
        "Cm",
        "Dv",
        "Ev",
        "Em",
        "Sy",
        "Va",
        "Vt",
        "Fa",
        "Ft",
        "An",
        "Tn",
        "No",
        "Sx",
        "Er",
        "Ad",
        "Ms",
        "Lk",
        "Mt",
        "Cd",
        "In",
        "Lb",
        "St",
        "Bf",
        "Nd",
        "Fd",
        "Tg",
        "%A",
        "%B",
        "%D",
        "%I",
        "%J",
        "%N",
        "%O",
        "%P",
        "%R",
        "%T",
        "%V",
    ]
)
SYSTEMS = {
    "Ux": "UNIX",
    "Bx": "BSD",
    "Nx": "NetBSD",
    "Fx": "FreeBSD",
    "Ox": "OpenBSD",
    "Bsx": "BSD/OS",
    "At": "AT&T UNIX",
}
MACROS = frozenset(
    [*ENCLOSING, *OPENERS, *CLOSERS, *PLAIN, *SYSTEMS, "Nm", "Fl", "Xr", "Fn", "Ns", "Ap", "Pf"]
)


def line(macro: str, arguments: Sequence[str], name: str, plain: Callable[[str], str]) -> str:
    """The text of one macro line; `name` is what `.Nm` alone stands for, `plain` replaces escapes."""
    writer = _Line(name, plain)
    writer.run([macro, *arguments])
    return writer.text()


class _Line:
    def __init__(self, name: str, plain: Callable[[str], str]) -> None:
        self.name = name
        self.plain = plain
        self.parts: list[str] = []
        self.close_up = True  # the next word follows without a space
        self.ends: list[str] = []

    def text(self) -> str:
        while self.ends:
            self.put(self.ends.pop(), close_up=True)
        return "".join(self.parts)

    def put(self, word: str, *, close_up: bool = False) -> None:
        if not word:
            return
        if self.parts and not (close_up or self.close_up or word in CLOSING):
            self.parts.append(" ")
        self.parts.append(word)
        self.close_up = word in OPENING

    def run(self, words: Sequence[str]) -> None:
        index = 0
        while index < len(words):
            macro = words[index]
            index += 1
            if macro in MACROS:
                index += self.macro(macro, words[index:])
            else:
                self.put(self.plain(macro))

    def macro(self, macro: str, rest: Sequence[str]) -> int:
        """Write one macro; how many of the words after it were used."""
        given = [word for word in rest[:1] if word not in MACROS and word not in CLOSING]
        if macro in ENCLOSING:
            start, end = ENCLOSING[macro]
            self.put(start)
            self.close_up = self.close_up or bool(start)
            self.ends.append(end)
        elif macro in OPENERS:
            self.put(OPENERS[macro])
            self.close_up = True
        elif macro in CLOSERS:
            self.put(CLOSERS[macro], close_up=True)
        elif macro in ("Ns", "Ap"):
            self.put("'" * (macro == "Ap"), close_up=True)
            self.close_up = True
        elif macro == "Pf":
            self.put(self.plain(rest[0]) if rest else "")
            self.close_up = True
            return 1
        elif macro == "Nm":
            self.put(self.plain(given[0]) if given else self.name)
            return len(given)
        elif macro == "Fl":
            self.put("-" + (self.plain(given[0]) if given else ""))
            return len(given)
        elif macro == "Ar" and not given:
            self.put("file ...")
        elif macro in ("Xr", "Fn"):
            return self.reference(macro, rest)
        elif macro in SYSTEMS:
            self.put(SYSTEMS[macro])
        return 0

    def reference(self, macro: str, rest: Sequence[str]) -> int:
        words: list[str] = []
        for word in rest:
            if word in MACROS or word in CLOSING or (macro == "Xr" and len(words) == 2):
                break
            words.append(word)
        inside = ", ".join(map(self.plain, words[1:]))
        if words:
            self.put(f"{self.plain(words[0])}({inside})" if inside or macro == "Fn" else self.plain(words[0]))
        return len(words)
