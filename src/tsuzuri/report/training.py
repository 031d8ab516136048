"""The run: what was trained and on what, its curves, and the text that it wrote on the way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tsuzuri.report.boxes import Build
from tsuzuri.report.figures import decimals, exact, is_number, short
from tsuzuri.report.markup import Markup, safe
from tsuzuri.report.page import (
    bilingual,
    definitions,
    figure,
    legend,
    section,
    side_by_side,
    table,
    unfolding,
)
from tsuzuri.report.svg import Series, line_chart

ARCHITECTURE = {
    "model_type": ("構造", "Family"),
    "num_hidden_layers": ("層", "Layers"),
    "hidden_size": ("幅", "Width"),
    "num_attention_heads": ("注意ヘッド", "Heads"),
    "num_key_value_heads": ("鍵値ヘッド", "Key-value heads"),
    "max_position_embeddings": ("文脈", "Context"),
}
TABLE_ROWS = 12
SAMPLES_SHOWN = 6
SAMPLE_CHARACTERS = 140
GROWTH_NOTE = f"はじめの {SAMPLE_CHARACTERS} 字。全文は run/samples.jsonl に。 Whole: run/samples.jsonl."
Step = dict[str, Any]


def training(build: Build) -> Markup:
    """The section on the run; empty until it was begun."""
    curves = [
        chart("訓練の損失", "Training loss, nats per token", [series("loss", build.training_lines, "loss")]),
        chart(
            "評価用文書",
            "Held-out bits per character",
            heldout_series(build.heldout_lines, "bits_per_character"),
        ),
        chart(
            "学習率",
            "Learning rate",
            [series("learning rate", build.training_lines, "learning_rate")],
            from_zero=True,
        ),
        chart(
            "速さ",
            "Tokens per second",
            [series("tokens/s", build.speed_lines, "tokens_per_s")],
            from_zero=True,
        ),
    ]
    parts = [definitions(facts(build), kind="facts"), side_by_side(curves), incidents(build)]
    return section("学習", "Training", parts)


def incidents(build: Build) -> Markup:
    """The steps that were left out, each with what was the matter; empty when none was."""
    if not build.incidents:
        return Markup("")
    rows = [
        (
            exact(line.get("step", 0)),
            str(line.get("kind", "")),
            _measured(line, "loss"),
            _measured(line, "grad_norm"),
            str(line.get("cause", "")),
            "–".join(exact(row) for row in line.get("rows", [])),
        )
        for line in build.incidents
    ]
    header = ("step", "種 kind", "loss", "‖∇‖", "原因 cause", "行 rows")
    return unfolding(f"飛ばした歩み {len(rows)} · steps left out", table(header, rows))


def growth(build: Build) -> Markup:
    """The section on samples through training: each prompt, and what the model made of it step by step."""
    prompts = dict.fromkeys(sample.get("prompt", "") for sample in build.samples)
    parts: list[str] = []
    for prompt in prompts:
        samples = [sample for sample in build.samples if sample.get("prompt", "") == prompt]
        items = "\n".join(
            f'<li><span class="step">step {exact(sample["step"])}</span>'
            f"{prose(prompt, beginning(sample.get('text', '')))}</li>"
            for sample in spread(samples, SAMPLES_SHOWN)
        )
        parts.append(Markup(f'<ol class="growth">\n{items}\n</ol>'))
    note = Markup(f'<p class="note">{GROWTH_NOTE}</p>') if parts else ""
    return section("文の育ち", "Samples through training", [*parts, note])


def beginning(text: str) -> str:
    """The text, or as much of it as a line of growth shows."""
    return text if len(text) <= SAMPLE_CHARACTERS else f"{text[:SAMPLE_CHARACTERS]}……"


def prose(prompt: str, text: str) -> Markup:
    """A prompt and its continuation, set as a book would."""
    return Markup(f'<p class="prose"><b>{safe(prompt)}</b>{safe(text)}</p>')


def facts(build: Build) -> list[tuple[Markup, Any]]:
    """What is known of the model and the run, as names and values."""
    counts = build.counts("run")
    known = [(bilingual(*names), build.model.get(key)) for key, names in ARCHITECTURE.items()]
    last = build.training_lines[-1] if build.training_lines else {}
    known += [
        (bilingual("パラメータ", "Parameters"), counts.get("parameters")),
        (bilingual("歩み", "Steps"), last.get("step")),
        (bilingual("トークン", "Tokens seen"), last.get("tokens")),
        (bilingual("計算機", "Device"), ", ".join(build.machines) or None),
        (bilingual("精度", "Precision"), build.resolved.get("precision")),
        (bilingual("速さ", "Median tokens per second"), build.tokens_per_s or None),
        (bilingual("記憶", "Peak memory"), _gibibytes(build.speed_lines, "peak_memory_bytes")),
        (bilingual("歩みの記憶", "Held for a step"), _gibibytes(build.readings, "held_bytes")),
        (bilingual("その予測", "As predicted"), _gibibytes(build.readings, "predicted_bytes")),
        *(
            (bilingual(f"{source} の周回", "Epochs"), decimals(times, 2))
            for source, times in counts.get("epochs", {}).items()
        ),
    ]
    return [(name, exact(value) if is_number(value) else value) for name, value in known if value is not None]


def chart(japanese: str, english: str, lines: Sequence[Series], *, from_zero: bool = False) -> Markup:
    """A line chart with its legend and its table."""
    lines = [line for line in lines if line.points]
    picture = line_chart(lines, title=f"{japanese} {english}", from_zero=from_zero)
    entries = [(line.name, decimals(line.points[-1][1])) for line in lines]
    return figure(
        japanese, english, picture, unfolding("表で見る · as a table", steps_table(lines)), legend(entries)
    )


def steps_table(lines: Sequence[Series]) -> Markup:
    """The values of some lines at a dozen of the steps of the first."""
    values = [dict(line.points) for line in lines]
    steps = spread(list(values[0]), TABLE_ROWS) if values else []
    rows = [(exact(step), *(_value(line.get(step)) for line in values)) for step in steps]
    return table(("step", *(line.name for line in lines)), rows)


def series(name: str, lines: Sequence[Step], key: str) -> Series:
    """The values of `key` over the steps that have one."""
    return Series(name, [(line["step"], line[key]) for line in lines if is_number(line.get(key))])


def heldout_series(lines: Sequence[Step], key: str) -> list[Series]:
    """One line for each source, the whole last."""
    found = {name for line in lines for name in line["heldout"]}
    names = sorted(found, key=lambda name: (name == "all", name))
    if len(names) == 2:
        names = names[:1]  # the only source is the whole
    return [
        Series(
            name,
            [
                (line["step"], line["heldout"][name][key])
                for line in lines
                if is_number(line["heldout"].get(name, {}).get(key))
            ],
        )
        for name in names
    ]


def spread(items: Sequence[Any], count: int) -> list[Any]:
    """At most `count` of the items, evenly spaced, the first and the last among them."""
    if len(items) <= count:
        return list(items)
    return [items[round(index * (len(items) - 1) / (count - 1))] for index in range(count)]


def _measured(line: Step, key: str) -> str:
    value = line.get(key)
    return _value(value) if is_number(value) else str(value)


def _gibibytes(readings: Sequence[Step], key: str) -> str | None:
    peak = max((line[key] for line in readings if is_number(line.get(key))), default=0)
    return f"{peak / 2**30:.2f} GiB" if peak else None


def _value(value: float | None) -> str:
    return "–" if value is None else decimals(value, 4) if abs(value) >= 0.01 else short(value)
