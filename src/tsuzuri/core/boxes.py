"""The names of boxes, and of files in them that one room writes and others, which do not import it, read."""

from __future__ import annotations

STAGES = ("documents", "tokenizer", "tokens", "run", "evaluation", "release")
"""The boxes of a build in the order of the work."""

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
