"""README.md: the model card, in Japanese and English side by side, filled from what the boxes say.

Both languages share one page and its tables, so that no figure stands in two places. It shows clock readings
(time, energy, cost), so it is outside the release's manifest, as timings.jsonl is; SHA256SUMS names it.
"""

from __future__ import annotations

from typing import Any

import yaml

from tsuzuri.core.licenses import terms_of
from tsuzuri.core.markdown import cell, fenced, table
from tsuzuri.release.facts import Facts
from tsuzuri.release.license import license_url
from tsuzuri.release.results import (
    contamination,
    evaluation,
    limits,
    personal_data,
    resources,
    samples,
    section,
    training,
)

HUB_LICENSES = frozenset(
    (
        *("apache-2.0", "mit", "bsd-3-clause", "cc0-1.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0"),
        *("cc-by-nc-4.0", "cc-by-nc-sa-4.0", "gfdl"),
    )
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
        resources(facts),
        evaluation(facts),
        samples(facts),
        limits(facts),
        personal_data(facts),
        contamination(facts),
        licensing(facts),
        lineage(facts),
        "## 謝辞 Thanks\n\n[special_thanks.txt](special_thanks.txt)",
    ]
    return front_matter(facts) + "\n\n".join(section for section in sections if section) + "\n"


def front_matter(facts: Facts) -> str:
    """The YAML that the Hugging Face hub reads."""
    license_ = facts.license.lower()
    values: dict[str, Any] = {"language": ["ja"], "license": license_}
    if license_ not in HUB_LICENSES:
        values |= {"license": "other", "license_name": facts.license, "license_link": "LICENSE"}
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
    milestone = ""
    if facts.milestone_of:
        step, last = facts.build.counts("run")["steps"], facts.milestone_of
        milestone = (
            f"**途中の版です**: 全 {last:,} 歩のうち {step:,} 歩まで学習したところの重みです。 "
            f"**A milestone**: the weights after step {step:,} of {last:,}.\n\n"
        )
    return (
        milestone
        + branch(facts)
        + (
            f"日本語の文章から一から学習した、{parameters} パラメータの言語モデルです。"
            f"学習で見たトークンは {tokens}。文章の続きを書き、指示に従うようには調整されていません。\n\n"
            f"A language model of {parameters} parameters, trained from nothing on {tokens} tokens of text. "
            "It continues text; it has not been tuned to follow instructions."
        )
    )


def branch(facts: Facts) -> str:
    """Of a model that began with the weights of another, which; else nothing."""
    if not facts.branch:
        return ""
    step, before = facts.branch["step"], facts.branch["tokens"]
    own, seed = facts.tokens_seen - before, facts.build.manifests["run"].inputs["seed"]["sha256"]
    return (
        f"**枝分かれしたモデルです**: {before:,} トークンを読んだ種モデル（{step:,} 歩目、`{seed[:12]}`）の"
        f"重みから始め、{own:,} トークンで続けました。 "
        f"**A branch**: it began with the weights of a seed model after its step {step:,} ({before:,} "
        f"tokens, `{seed[:12]}`) and went on for {own:,} tokens.\n\n"
    )


def usage(facts: Facts) -> str:
    """How to use the model, as programs that run as they stand."""
    prompt = "むかし、むかし、"
    return section(
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
    return section("構造 Architecture", table(("", ""), rows), note)


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
    return section(
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
    return section(
        "トークナイザ Tokenizer",
        f"{facts.model.vocab_size:,} 語の BPE（{settings}）。未知語はなく、どんな文字列も元に戻せます。 "
        "A BPE without unknown tokens, lossless on every string.",
        table(("出所 Source", "評価用トークン Held-out tokens", "文字/トークン Characters per token"), rows),
    )


def licensing(facts: Facts) -> str:
    """The terms of the weights, and what the licenses of the documents ask."""
    rows = [
        (source, license_, count, terms_of(license_).in_words()) for source, license_, count in facts.licenses
    ]
    overridden = ""
    if facts.overridden:
        names = ", ".join(map(cell, facts.overridden))
        lines = [
            f"- {cell(source)}: {'; '.join(map(cell, said))}" for source, said in facts.overridden.items()
        ]
        overridden = (
            f"**注意**: {names} の条件はこの公開と合いません。公開者の判断（release.allow\\_restricted）で"
            "使われました。 "
            f"**Note**: the terms of {names} stand against this release; the publisher chose to use them "
            "(release.allow\\_restricted):\n\n" + "\n".join(lines)
        )
    chosen = (
        "文書のライセンスから選ばれたものです。 It was chosen from the licenses of the documents. "
        if facts.config.license is None
        else "公開者が選んだものです。 It is the publisher's choice. "
    )
    return section(
        "ライセンス License",
        f"重みは [{facts.license}]({license_url(facts.license)}) です（[LICENSE](LICENSE)）。{chosen}"
        "文書には次の条件があります。 The weights are under that license; the documents have these terms:",
        overridden,
        table(("出所 Source", "ライセンス License", "文書 Documents", "条件 Terms"), rows),
    )


def lineage(facts: Facts) -> str:
    """The hashes of everything that the release was made from, and how to check it."""
    rows = [(stage, sha256) for stage, sha256 in facts.hashes.items()]
    versions = sorted({manifest.code_version for manifest in facts.build.manifests.values()})
    commands = "sha256sum -c SHA256SUMS\ntsuzuri release verify .\ntsuzuri lineage ."
    return section(
        "来歴 Lineage",
        f"tsuzuri {', '.join(versions)}",
        table(("箱 Box", "manifest.json の SHA-256"), rows),
        fenced(commands, "sh"),
    )
