"""From web pages and works to a deduplicated corpus with datatrove: what its users run for Japanese.

    python _datatrove.py INPUT OUT

INPUT holds `pages.parquet` (a page's HTML as `text`) and `works.parquet` (works, decoded). The pages go
through trafilatura, both through FineWeb-2's filters for Japanese with its thresholds, then through the four
stages of MinHash with datatrove's defaults for Japanese words, into Parquet; each step is run by its executor
in one process. It is spared what it cannot do or does slowly: reading WARC and Shift_JIS, and language
identification. The time allowed for a page is raised, so that none is lost on a busy machine.
"""

from __future__ import annotations

import sys
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

from tsuzuri.corpus.quality.profiles import profiles
from tsuzuri.corpus.quality.words import STOP_WORDS

FINAL = "final"
LANGUAGE = "jpn_Jpan"
PAGE_LIMIT_S = 600.0


def fineweb2_filters() -> list[Any]:
    """FineWeb-2's filters for Japanese."""
    from datatrove.pipeline.filters import (
        FineWebQualityFilter,
        GopherQualityFilter,
        GopherRepetitionFilter,
    )

    bound = {rule.name: rule.bound for rule in profiles()["fineweb2-ja"].rules}
    return [
        GopherRepetitionFilter(
            language=LANGUAGE,
            dup_para_frac=0,
            dup_para_char_frac=0,
            dup_line_char_frac=0,
            dup_line_frac=bound["repeated_line_fraction"],
            top_n_grams=tuple((n, bound[f"top_{n}word_mass"]) for n in (2, 3, 4)),
            dup_n_grams=tuple((n, bound[f"duplicate_{n}word_mass"]) for n in range(5, 11)),
        ),
        FineWebQualityFilter(
            language=LANGUAGE,
            short_line_thr=999,
            char_duplicates_ratio=bound["repeated_line_character_fraction"],
            line_punct_thr=bound["ended_line_fraction"],
            new_line_ratio=bound["newlines_per_word"],
        ),
        GopherQualityFilter(
            language=LANGUAGE,
            min_avg_word_length=bound["min_avg_word_length"],
            max_avg_word_length=bound["max_avg_word_length"],
            max_non_alpha_words_ratio=bound["letter_word_fraction"],
            stop_words=list(STOP_WORDS),
            min_stop_words=2,
        ),
    ]


def build(source: Path, out: Path) -> None:
    """Make the corpus in `out/final`."""
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup import (
        MinhashDedupBuckets,
        MinhashDedupCluster,
        MinhashDedupFilter,
        MinhashDedupSignature,
    )
    from datatrove.pipeline.dedup.minhash import MinhashConfig
    from datatrove.pipeline.extractors import Trafilatura
    from datatrove.pipeline.readers import ParquetReader
    from datatrove.pipeline.writers import ParquetWriter
    from datatrove.utils.hashing import HashConfig

    def run(name: str, *steps: Any, tasks: int = 1) -> None:
        LocalPipelineExecutor(list(steps), tasks=tasks, workers=1, logging_dir=str(out / "logs" / name)).run()

    def read(name: str) -> Any:
        return ParquetReader(str(source), glob_pattern=f"{name}.parquet")

    kept, signatures, buckets, removed = (
        str(out / name) for name in ("kept", "signatures", "buckets", "removed")
    )
    minhash = MinhashConfig(hash_config=HashConfig(precision=64))
    pages = ParquetWriter(kept, "pages-${rank}.parquet", compression="zstd")
    run("pages", read("pages"), Trafilatura(timeout=PAGE_LIMIT_S), *fineweb2_filters(), pages)
    works = ParquetWriter(kept, "works-${rank}.parquet", compression="zstd")
    run("works", read("works"), *fineweb2_filters(), works)
    documents = ParquetReader(kept, glob_pattern="*.parquet")
    run("signatures", documents, MinhashDedupSignature(signatures, config=minhash, language="ja"))
    run("buckets", MinhashDedupBuckets(signatures, buckets, config=minhash), tasks=minhash.num_buckets)
    run("cluster", MinhashDedupCluster(buckets, removed, config=minhash))
    final = ParquetWriter(str(out / FINAL), compression="zstd")
    run("filter", documents, MinhashDedupFilter(removed), final)


if __name__ == "__main__":
    source, out = map(Path, sys.argv[1:])
    out.mkdir()
    with open(out / "log", "w", encoding="utf-8") as log, redirect_stderr(log):
        build(source, out)
