"""What the card says of how the model was trained and of what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from tsuzuri.core.markdown import cell, fenced, table
from tsuzuri.release.facts import Facts


def training(facts: Facts) -> str:
    """How the model was trained: hyper-parameters."""
    train, run = facts.build.config("run").get("train", {}), facts.build
    optimizer, schedule = train.get("optimizer", {}), train.get("schedule", {})
    betas = [optimizer[name] for name in ("beta1", "beta2") if name in optimizer]
    epochs = ", ".join(
        f"{source} {times:.2f}" for source, times in run.counts("run").get("epochs", {}).items()
    )
    rows = [
        ("見たトークン Tokens seen", facts.tokens_seen),
        ("歩み Steps", run.counts("run").get("steps", 0)),
        ("一歩のトークン Tokens per step", train.get("batch_rows", 0) * train.get("sequence_length", 0)),
        ("一行のトークン Tokens per row", train.get("sequence_length")),
        ("周回 Epochs", epochs),
        ("最適化 Optimizer", optimizer.get("kind")),
        ("学習率 Peak learning rate", _text(optimizer.get("learning_rate"))),
        ("学習率の変え方 Schedule", _schedule(schedule)),
        ("β1, β2", ", ".join(f"{beta:g}" for beta in betas)),
        ("重み減衰 Weight decay", _text(optimizer.get("weight_decay"))),
        ("勾配の上限 Gradient clipping", _text(train.get("gradient_clip"))),
        ("種 Seed", train.get("seed")),
        ("精度 Precision", run.resolved.get("precision")),
        ("省いた歩み Steps left out by the guard", run.counts("run").get("incidents")),
    ]
    changes = [
        (item.get("step", 0), ", ".join(item.get("set", [])))
        for item in run.counts("run").get("amendments", [])
    ]
    return section(
        "学習 Training",
        table(("", ""), [row for row in rows if row[1] not in (None, "")]),
        table(("歩み Step", "途中の変更 Changed on the way"), changes) if changes else "",
    )


def resources(facts: Facts) -> str:
    """Machine, time, energy and money."""
    unknown = "不明 not known"
    cost, resolved = facts.cost, facts.build.resolved
    machines = facts.build.machines or [str(resolved.get("device", unknown))]
    rows = [
        ("計算機 Hardware", ", ".join(machines)),
        ("計算量 Compute, 6·N·D", f"{facts.training_flops:.3g} FLOP"),
    ]
    if cost:
        rows += [
            ("装置の数 Devices", f"{cost.devices}"),
            ("歩みにかかった時間 Time in training steps", f"{cost.hours:.2f} h"),
            ("速さの中央値 Median speed", f"{facts.build.tokens_per_s:,.0f} tokens/s"),
            (
                "電力量 Energy",
                unknown if cost.energy_kwh is None else f"{cost.energy_kwh:,.2f} kWh ({cost.power_from})",
            ),
            ("費用 Cost", " + ".join(_money(facts)) or unknown),
        ]
    else:
        rows.append(("かかった時間 Time", unknown))
    return section(
        "計算資源 Compute, time, energy, cost",
        table(("", ""), rows),
        "時間は学習の歩みだけのもので、評価と保存は含みません。電力量と費用は、装置の公称電力か公開者の測定、"
        "一時間あたりの値段からの見積もりです。 "
        "Time is that of the training steps alone, without evaluation and saving. Energy and cost are "
        "estimated from it: the boards' rated power or what the publisher measured, and an hour's price. "
        "[timings.jsonl](timings.jsonl)",
    )


def evaluation(facts: Facts) -> str:
    """Bits on held-out documents, each with its interval."""
    scores, found = facts.build.scores, facts.build.scores.get("intervals", {})
    rows = []
    for source, item in scores.get("bits", {}).items():
        between = found.get("bits", {}).get(source, {})
        rows.append(
            (
                source,
                _with_interval(item.get("bits_per_character"), between.get("bits_per_character")),
                _with_interval(item.get("bits_per_byte"), between.get("bits_per_byte")),
                item.get("tokens", "–"),
                between.get("documents", "–"),
            )
        )
    dtype = facts.config.dtype
    rounded = (
        f"点数と作例は、{dtype} に丸める前の float32 の重みのものです。 "
        f"Scores and samples are those of the float32 weights, before they were rounded to {dtype}."
    )
    header = (
        "評価用文書 Held-out documents",
        "ビット/文字 Bits per character",
        "ビット/バイト Bits per byte",
        "トークン Tokens",
        "文書 Documents",
    )
    level = f"{found.get('level', 0.95):.0%}"
    explained = (
        f"括弧の中は {level} の信頼区間です（文書を {found.get('resamples', 0):,} 回引き直した分布。"
        "同じ作者の文書は互いに似ているため、幅はやや狭めに出ます）。"
        f" In brackets, {level} confidence intervals (bootstrap over documents; those of one author resemble "
        "each other, so the intervals are rather too narrow)."
    )
    return section(
        "評価 Evaluation",
        table(header, rows),
        explained if found else "",
        rounded if dtype != "float32" else "",
        "[eval.json](eval.json)",
    )


def samples(facts: Facts) -> str:
    """What the model writes, unchosen: the evaluation's first sample for each prompt."""
    first: dict[str, str] = {}
    for sample in facts.build.scores.get("samples", []):
        first.setdefault(sample["prompt"], sample["text"])
    if not first:
        return ""
    texts = [fenced(prompt + text) for prompt, text in first.items()]
    return section("作例 Samples", "選ばずに載せています。 Not chosen by hand.", *texts)


def limits(facts: Facts) -> str:
    """Known failures and limits, with what was measured of them."""
    points = [
        "事実でないことを、もっともらしく書きます。 It states what is not true, and plausibly.",
        _repetition(facts),
        "学習文書の偏り、時代の古さ、差別的な表現を写すことがあります。測っていません。 "
        "It can reproduce the biases, the age and the offensive words of its documents; how often was not "
        "measured.",
        "指示には従わず、文章の続きを書くだけです。 It follows no instructions: it continues text.",
        f"一度に読めるのは {facts.model.max_position_embeddings:,} トークンまでです。 "
        f"It reads at most {facts.model.max_position_embeddings:,} tokens at once.",
        "日本語以外はほとんど書けません。 It hardly writes any language but Japanese.",
    ]
    return section("限界 Known failures and limits", "\n".join(f"- {point}" for point in points))


def personal_data(facts: Facts) -> str:
    """What was looked for in the documents, and what was done with it."""
    counts = facts.build.counts("documents").get("personal_data", {})
    untouched = [name for name in facts.sources if name not in counts]
    parts = []
    if untouched:
        names = ", ".join(map(cell, untouched))
        parts.append(
            f"**{names} では個人情報を探していません**: 含まれているものとして扱ってください。 "
            f"**Personal data was not looked for in {names}**: assume that the model has read some."
        )
    if counts:
        rows = [
            (
                source,
                item["documents"],
                item["documents_masked"],
                item["documents_dropped"],
                ", ".join(f"{kind} {count:,}" for kind, count in _most(item["masked"])) or "–",
            )
            for source, item in counts.items()
        ]
        header = (
            "出所 Source",
            "調べた文書 Documents",
            "置き換えた文書 Replaced in",
            "除いた文書 Dropped",
            "置き換えた箇所 Places replaced",
        )
        parts += [
            table(header, rows),
            "既知の型だけを探しています。再現率と適合率は [DATASHEET.md](DATASHEET.md) に。 "
            "Only known forms are looked for; [DATASHEET.md](DATASHEET.md) has recall and precision. What "
            "stays, the model may repeat.",
        ]
    return section("個人情報 Personal data", *parts)


def contamination(facts: Facts) -> str:
    """Whether test sets are among the documents."""
    found = facts.build.counts("documents").get("selection", {}).get("decontaminate", {})
    if not found:
        return section(
            "試験問題の混入 Contamination",
            "試験問題が学習文書に含まれるかは調べていません。 "
            "Test sets were not looked for in the documents.",
        )
    header = (
        "試験 Benchmark",
        "問題 Items",
        "短くて探せない Too short",
        "見つかった問題 Found",
        "除いた文書 Documents removed",
    )
    keys = ("items", "too_short", "found", "documents")
    return section(
        "試験問題の混入 Contamination",
        table(header, [(name, *(item[key] for key in keys)) for name, item in found.items()]),
    )


def section(title: str, *parts: str) -> str:
    """A part of the card under its title."""
    return "\n\n".join([f"## {title}", *(part for part in parts if part)])


def _repetition(facts: Facts) -> str:
    """How often samples loop, as it was measured."""
    found = facts.build.scores.get("repetition", {})
    if not found:
        return "同じ言い回しの繰り返しに陥ることがあります。 It can fall into repeating itself."
    between = facts.build.scores.get("intervals", {}).get("repetition", {})
    count, rate = found.get("samples", 0), found.get("looped_suffix_rate", 0.0)
    looped = _with_interval(rate, between.get("looped_suffix_rate"))
    distinct = _with_interval(found.get("distinct_4", 0.0), between.get("distinct_4"))
    characters = found.get("median_characters", 0)
    return (
        f"同じ言い回しの繰り返しに陥ることがあります: {count} の標本（長さの中央値 {characters} 文字）のうち "
        f"{round(rate * count)} が堂々巡りで終わり、異なる4文字の割合の中央値は "
        f"{found.get('distinct_4', 0.0):.3f}。 "
        f"It can fall into repeating itself: looped endings {looped} of {count} samples, distinct 4-grams of "
        f"characters {distinct} (median), median length {characters} characters."
    )


def _with_interval(value: Any, between: Sequence[float] | None) -> Any:
    if value is None:
        return "–"
    return f"{value:.3f} [{between[0]:.3f}, {between[1]:.3f}]" if between else value


def _text(value: Any) -> str | None:
    return None if value is None else f"{value:g}"


def _schedule(schedule: dict[str, Any]) -> str:
    numbers = [f"{key} {value:g}" for key, value in schedule.items() if isinstance(value, int | float)]
    return ", ".join(filter(None, [str(schedule.get("kind") or ""), *numbers]))


def _money(facts: Facts) -> Iterator[str]:
    cost = facts.cost
    if cost and cost.usd is not None:
        yield f"${cost.usd:,.2f} ({cost.price_from})"
    if cost and cost.jpy is not None:
        yield f"電気代 electricity ¥{cost.jpy:,.0f} (¥{facts.config.jpy_per_kwh:g}/kWh)"


def _most(counts: dict[str, int], places: int = 6) -> list[tuple[str, int]]:
    return Counter(counts).most_common(places)
