"""`python -m tsuzuri` and the script `tsuzuri`; Ctrl-C is no traceback even while modules are loaded."""

from __future__ import annotations

import signal
import sys


def run() -> int:
    """Import the command line and run it; the exit status."""
    try:
        from tsuzuri.cli import main

        return main()
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


if __name__ == "__main__":
    sys.exit(run())
