"""The names of files that one room writes into a box and others, which do not import it, read."""

from __future__ import annotations

TOKENIZER_FILE = "tokenizer.json"
SETTINGS_FILE = "tokenizer_config.json"
"""In the folder of a tokenizer and beside the weights of a model."""
RUN_FILE = "run.yaml"
METRICS = "metrics.jsonl"
SAMPLES = "samples.jsonl"
INCIDENTS = "incidents.jsonl"
"""In the folder of a run."""
SCORES = "eval.json"
"""In that of an evaluation and in a release."""
