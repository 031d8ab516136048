"""README.md: the model card, in Japanese and English, filled from the manifests alone.

It holds no clock reading: how long the training took stands in the release's timings.jsonl, outside the
checksums, so that the same build gives the same card.
"""

from __future__ import annotations

from typing import Any

import yaml

from tsuzuri.core.licenses import terms_of
from tsuzuri.core.markdown import cell, fenced, table
from tsuzuri.release.facts import Facts
from tsuzuri.release.license import license_url

HUB_LICENSES = frozenset(
    "apache-2.0 mit bsd-3-clause cc0-1.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-4.0".split()  # noqa: SIM905
)
"""SPDX identifiers that the hub knows, in small letters; others are `other` with a name and a link."""

TRANSFORMERS = """import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

path = "."  # このフォルダ this folder
tokenizer = AutoTokenizer.from_pretrained(path)
model = AutoModelForCausalLM.from_pretrained(path)

# 文書の始まりの印を置く: 学習のときと同じに a document opens with its mark, as it did in training
ids = [tokenizer.bos_token_id, *tokenizer.encode("{prompt}")]
output = model.generate(torch.tensor([ids]), tokenizer=tokenizer, max_new_tokens=100)
print(tokenizer.decode(output[0], skip_special_tokens=True))"""

TSUZURI = """import tsuzuri

model = tsuzuri.load(".")
print(model.generate("{prompt}", max_new_tokens=100, seed=1))"""

UNUSUAL = """`{kind}` の `{activation}` は Transformers と tsuzuri だけが計算できます。
Of `{kind}` with `{activation}`, only Transformers and tsuzuri compute it; vLLM and llama.cpp do not."""


def model_card(facts: Facts) -> str:
    """The text of README.md."""
    config = facts.config
    sections = [
        f"# {cell(config.name)} {cell(config.version)}",
        cell(config.description),
        summary(facts),
        usage(facts),
        architecture(facts),
        corpus(facts),
        tokenizer(facts),
        training(facts),
        evaluation(facts),
        samples(facts),
        limits(facts),
        licensing(facts),
        lineage(facts),
        "## 謝辞 Thanks\n\n[special_thanks.txt](special_thanks.txt)",
    ]
    return front_matter(facts) + "\n\n".join(section for section in sections if section) + "\n"


def front_matter(facts: Facts) -> str:
    """The YAML that the Hugging Face hub reads."""
    license_ = facts.config.license.lower()
    values: dict[str, Any] = {"language": ["ja"], "license": license_}
    if license_ not in HUB_LICENSES:
        values |= {"license": "other", "license_name": facts.config.license, "license_link": "LICENSE"}
    values |= {
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["japanese", "tsuzuri", "causal-lm", facts.model.model_type],
        "datasets": list(facts.sources),
    }
    return f"---\n{yaml.safe_dump(values, allow_unicode=True, sort_keys=False)}---\n\n"


def summary(facts: Facts) -> str:
    """What the model is, in two sentences and two languages."""
    parameters, tokens = f"{facts.model.num_parameters:,}", f"{facts.tokens_seen:,}"
    return (
        f"日本語の文章から一から学習した、{parameters} パラメータの言語モデルです。"
        f"学習で見たトークンは {tokens}。文章の続きを書き、指示に従うようには調整されていません。\n\n"
        f"A language model of {parameters} parameters, trained from nothing on {tokens} tokens of text. "
        "It continues text; it has not been tuned to follow instructions."
    )


def usage(facts: Facts) -> str:
    """How to use the model, as programs that run as they stand."""
    prompt = "むかし、むかし、"
    return _section(
        "使い方 How to use",
        fenced(TRANSFORMERS.format(prompt=prompt), "python"),
        "`pip install 'tsuzuri[train]'`:",
        fenced(TSUZURI.format(prompt=prompt), "python"),
    )


def architecture(facts: Facts) -> str:
    """The shape of the model."""
    model = facts.model
    rows = [
        ("系統 Architecture", model.model_type),
        ("活性化関数 Activation", "gelu" if model.is_classic else model.hidden_act),
        ("パラメータ Parameters", model.num_parameters),
        ("層 Layers", model.num_hidden_layers),
        ("幅 Width", model.hidden_size),
        ("中間の幅 MLP width", model.intermediate_size),
        ("注意ヘッド Attention heads", model.num_attention_heads),
        ("鍵値ヘッド Key-value heads", model.num_key_value_heads),
        ("文脈 Context in tokens", model.max_position_embeddings),
        ("語彙 Vocabulary", model.vocab_size),
        ("埋め込みの共有 Tied embeddings", "✓" if model.tie_word_embeddings else "–"),
        ("重みの型 Weights stored in", facts.config.dtype),
    ]
    note = "" if model.is_widely_known else UNUSUAL.format(kind=model.model_type, activation=model.hidden_act)
    return _section("構造 Architecture", table(("", ""), rows), note)


def corpus(facts: Facts) -> str:
    """What the model has read."""
    counts = facts.build.counts("documents")
    rows = [
        (
            source,
            item.get("documents", 0),
            item.get("characters", 0),
            "; ".join(license_ for name, license_, _ in facts.licenses if name == source),
        )
        for source, item in facts.sources.items()
    ]
    return _section(
        "学習に使った文書 Corpus",
        f"{counts.get('documents', 0):,} 文書、{counts.get('characters', 0):,} 文字。選別と、しなかったこと: "
        "[DATASHEET.md](DATASHEET.md)\n\n"
        f"{counts.get('documents', 0):,} documents, {counts.get('characters', 0):,} characters. "
        "[DATASHEET.md](DATASHEET.md) says how they were chosen and what was not done.",
        table(("出所 Source", "文書 Documents", "文字 Characters", "ライセンス Licenses"), rows),
    )


def tokenizer(facts: Facts) -> str:
    """The vocabulary and how much held-out text a token holds."""
    config, sources = facts.build.config("tokenizer"), facts.build.counts("tokens").get("sources", {})
    rows = [
        (source, item["heldout_tokens"], item["heldout_characters"] / item["heldout_tokens"])
        for source, item in sources.items()
        if item.get("heldout_tokens")
    ]
    settings = ", ".join(f"{key} `{config[key]}`" for key in ("form", "boundary") if key in config)
    return _section(
        "トークナイザ Tokenizer",
        f"{facts.model.vocab_size:,} 語の BPE（{settings}）。未知語はなく、どんな文字列も元に戻せます。 "
        "A BPE without unknown tokens, lossless on every string.",
        table(("出所 Source", "評価用トークン Held-out tokens", "文字/トークン Characters per token"), rows),
    )


def training(facts: Facts) -> str:
    """How the model was trained."""
    train, run = facts.build.config("run").get("train", {}), facts.build
    optimizer, schedule = train.get("optimizer", {}), train.get("schedule", {})
    tokens_per_step = train.get("batch_rows", 0) * train.get("sequence_length", 0)
    epochs = ", ".join(
        f"{source} {times:.2f}" for source, times in run.counts("run").get("epochs", {}).items()
    )
    rows = [
        ("見たトークン Tokens seen", facts.tokens_seen),
        ("歩み Steps", run.counts("run").get("steps", 0)),
        ("一歩のトークン Tokens per step", tokens_per_step),
        ("周回 Epochs", epochs),
        ("最適化 Optimizer", optimizer.get("kind")),
        ("学習率 Peak learning rate", f"{optimizer.get('learning_rate')} ({schedule.get('kind')})"),
        ("重み減衰 Weight decay", f"{optimizer.get('weight_decay')}"),
        ("種 Seed", train.get("seed")),
        ("精度 Precision", run.resolved.get("precision")),
        ("計算量 Compute, 6·N·D", f"{facts.training_flops:.3g} FLOP"),
        ("計算機 Hardware", run.resolved.get("device")),
    ]
    changes = [
        (item.get("step", 0), ", ".join(item.get("set", [])))
        for item in run.counts("run").get("amendments", [])
    ]
    return _section(
        "学習 Training",
        table(("", ""), [row for row in rows if row[1] not in (None, "", 0)]),
        table(("歩み Step", "途中の変更 Changed on the way"), changes) if changes else "",
        "かかった時間と速さは [timings.jsonl](timings.jsonl) に。"
        " How long it took: [timings.jsonl](timings.jsonl), which the checksums leave out.",
    )


def evaluation(facts: Facts) -> str:
    """Bits on held-out documents, and repetition."""
    scores = facts.build.scores
    rows = [
        (source, item.get("bits_per_character", "–"), item.get("bits_per_byte", "–"), item.get("tokens", "–"))
        for source, item in scores.get("bits", {}).items()
    ]
    repetition = scores.get("repetition", {})
    distinct, looped = repetition.get("distinct_4", 0.0), repetition.get("looped_suffix_rate", 0.0)
    characters = repetition.get("median_characters", 0)
    words = (
        f"{repetition.get('samples', 0)} の標本で、異なる4文字の割合は {distinct:.3f}、"
        f"末尾が堂々巡りになった割合は {looped:.3f}、長さの中央値は {characters} 文字。 "
        f"Distinct 4-grams of characters in samples {distinct:.3f}, looped endings {looped:.3f}, "
        f"median length {characters} characters."
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
    )
    return _section(
        "評価 Evaluation",
        table(header, rows),
        words if repetition else "",
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
    return _section("作例 Samples", "選ばずに載せています。 Not chosen by hand.", *texts)


def limits(facts: Facts) -> str:
    """Known failures and limits."""
    privacy = "学習文書の個人情報は取り除いていません。 Personal data was **not** removed from the documents."
    if facts.anonymised:
        privacy = "個人情報は既知の型のものを取り除いてあります。 Personal data of known forms was removed."
    points = [
        "事実でないことを、もっともらしく書きます。 It states what is not true, and plausibly.",
        "同じ言い回しの繰り返しに陥ることがあります。 It can fall into repeating itself.",
        "学習文書の偏り、時代の古さ、差別的な表現を写すことがあります。 "
        "It can reproduce the biases, the age and the offensive words of its documents.",
        privacy,
        f"一度に読めるのは {facts.model.max_position_embeddings:,} トークンまでです。 "
        f"It reads at most {facts.model.max_position_embeddings:,} tokens at once.",
        "日本語以外は書けません。 It writes no language but Japanese.",
    ]
    return _section("限界 Known failures and limits", "\n".join(f"- {point}" for point in points))


def licensing(facts: Facts) -> str:
    """The terms of the weights, and what the licenses of the documents ask."""
    rows = [
        (source, license_, count, terms_of(license_).in_words()) for source, license_, count in facts.licenses
    ]
    warning = ""
    if facts.restricted_sources:
        names = ", ".join(cell(name) for name in facts.restricted_sources)
        warning = (
            f"**注意**: {names} には商用利用か改変を禁じる文書があり、公開者の判断で使われました。 "
            f"**Note**: {names} holds documents that forbid commercial use or edited copies; the publisher "
            "chose to use them."
        )
    return _section(
        "ライセンス License",
        f"重みは [{facts.config.license}]({license_url(facts.config.license)}) です（[LICENSE](LICENSE)）。"
        "文書には次の条件があります。 The weights are under that license; the documents have these terms:",
        warning,
        table(("出所 Source", "ライセンス License", "文書 Documents", "条件 Terms"), rows),
    )


def lineage(facts: Facts) -> str:
    """The hashes of everything that the release was made from, and how to check it."""
    rows = [(stage, sha256) for stage, sha256 in facts.hashes.items()]
    versions = sorted({manifest.code_version for manifest in facts.build.manifests.values()})
    commands = "sha256sum -c SHA256SUMS\ntsuzuri release verify .\ntsuzuri lineage ."
    return _section(
        "来歴 Lineage",
        f"tsuzuri {', '.join(versions)}",
        table(("箱 Box", "manifest.json の SHA-256"), rows),
        fenced(commands, "sh"),
    )


def _section(title: str, *parts: str) -> str:
    return "\n\n".join([f"## {title}", *(part for part in parts if part)])
