"""The last step of a corpus: the rows that stay are written where they belong, without what is cut; beside
them what was found in them, and a few of every fate to be shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tsuzuri.corpus.anonymize.log import FINDINGS, LOG_SCHEMA, AnonymizeCounts
from tsuzuri.corpus.config import CorpusConfig
from tsuzuri.corpus.document import COLUMNS, DOCUMENT_SCHEMA, ROWS_PER_READ, Document, SplitWriter
from tsuzuri.corpus.duplicates.spans import Cut, cut, read_spans
from tsuzuri.corpus.parts import REJECTED_SCHEMA
from tsuzuri.corpus.samples import Samples
from tsuzuri.corpus.selection import Selection
from tsuzuri.corpus.stats import CUT, LITTLE_LEFT, WITHDRAWN, CorpusStats
from tsuzuri.corpus.treatment import PERSONAL_DATA, Treatment

TRAIN, HELDOUT, REJECTED = "train", "heldout", "rejected"
FILES = {TRAIN: DOCUMENT_SCHEMA, HELDOUT: DOCUMENT_SCHEMA, REJECTED: REJECTED_SCHEMA, FINDINGS: LOG_SCHEMA}


def write_files(
    parts: Sequence[Path],
    selection: Selection,
    treatments: Mapping[str, Treatment],
    config: CorpusConfig,
    box: Path,
) -> tuple[dict[str, Any], Samples]:
    """Write `train-*`, `heldout-*`, `findings-*` and, if they are to be kept, `rejected-*`; everything
    counted, and the samples. Each source is named with its treatment."""
    quality_reasons = {reason for treatment in treatments.values() for reason in treatment.reasons}
    rows, stats, samples = selection.rows, CorpusStats(quality_reasons), Samples()
    personal_data = {name: AnonymizeCounts() for name, one in treatments.items() if one.anonymizes}
    with ExitStack() as stack:
        writers = {name: stack.enter_context(SplitWriter(box, name, FILES[name])) for name in FILES}
        for number, (row, passages) in enumerate(_rows(parts, selection)):
            reason, source = rows.reasons[rows.reason[number]], row["source"]
            document = {name: row[name] for name in COLUMNS}
            if not reason:
                document["text"] = cut(row["text"], passages)
                reason = "" if document["text"] else LITTLE_LEFT
            samples.add(document, reason, row["detail"])
            if passages and not reason:
                first = row["text"][passages[0].start : passages[0].end]
                samples.add({**document, "text": first}, CUT, f"{len(row['text']) - len(document['text'])}")
            if source in personal_data and reason in ("", PERSONAL_DATA):
                personal_data[source].add(row["findings"], dropped=bool(reason))
                for finding in row["findings"]:
                    writers[FINDINGS].add({"id": row["id"], **finding})
            if not reason:
                split = HELDOUT if selection.heldout[number] else TRAIN
                stats.cut(row["characters"] - len(document["text"]))
                stats.keep(Document(**document), split)
                writers[split].add(document)
                continue
            stats.reject(reason, row["characters"], row["documents"])
            if config.keep_rejected and reason != WITHDRAWN:
                writers[REJECTED].add(
                    {**document, "text": row["text"], "reason": reason, "detail": row["detail"]}
                )
    counted = {name: counts.as_mapping() for name, counts in personal_data.items()}
    return {**stats.counts(), "personal_data": counted, "selection": selection.counts}, samples


def _rows(parts: Sequence[Path], selection: Selection) -> Iterator[tuple[dict[str, Any], list[Cut]]]:
    """Every row in order, its detail told, with what is to be cut of it."""
    sizes = [pq.read_metadata(part).num_rows for part in parts]
    starts = [sum(sizes[:number]) for number in range(len(sizes) + 1)]
    for part, (start, stop) in zip(parts, pairwise(starts), strict=True):
        spans = [(read_spans(path, start, stop), least) for path, least in selection.cuts]
        details = {row: detail for told in selection.details for row, detail in told(start, stop).items()}
        with pq.ParquetFile(part) as file:
            for batch in file.iter_batches(batch_size=ROWS_PER_READ):
                for row in batch.to_pylist():
                    row["detail"] = details.get(start, row["detail"])
                    yield row, [Cut(*span, least) for found, least in spans for span in found.get(start, ())]
                    start += 1
