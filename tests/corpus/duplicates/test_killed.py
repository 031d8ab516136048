"""A stage that was killed ends, when run again, with the bytes of one that was not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

KILLS = 4


def test_killed_stages_end_with_the_same_bytes(tmp_path: Path) -> None:
    program = Path(__file__).with_name("killing.py")
    command = [sys.executable, str(program), str(tmp_path), str(KILLS)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n") == ["same"] * 3 * KILLS + [""]
