"""A run of two ranks that meets spikes: a program of its own, for `test_guard.py`.

    python sharing_guard.py INPUTS FOLDER

Prints one JSON object. One process imports torch and forks the ranks; it computes nothing itself, so that no
thread is lost.
"""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path

import runs
from _ranks import in_ranks


def go(inputs: Path, box: Path) -> str:
    """Make the run; how it ended."""
    runs.run(inputs, box, *runs.GUARDED, hooks=())
    return "ended"


def main(inputs: Path, folder: Path) -> None:
    """Make the run on one rank and on two, and print what came of it."""
    ended = {name: in_ranks(n, partial(go, inputs, folder / name)) for name, n in (("one", 1), ("two", 2))}
    logs = {name: runs.lines(folder / name, "incidents.jsonl") for name in ended}
    losses = {name: runs.losses(folder / name) for name in ended}
    print(json.dumps({"ended": ended, "incidents": logs, "losses": losses}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
