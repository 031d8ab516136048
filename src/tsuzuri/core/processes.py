"""Processes that do not outlive the command that started them."""

from __future__ import annotations

import os
from multiprocessing import parent_process
from threading import Thread


def end_with_parent() -> None:
    """Let this worker process end when its parent has gone, however that ended."""
    Thread(target=_end_after_parent, daemon=True).start()


def _end_after_parent() -> None:
    parent = parent_process()
    assert parent, "this process was started by multiprocessing"
    parent.join()
    os._exit(1)
