"""Work in a process of its own that may be killed, for the tests of what goes on after a kill."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable

OPERATIONS = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir"}
"""What an audit hook calls the operations on files between which a process can be killed."""


def in_a_process(work: Callable[[], object]) -> int:
    """Fork, do the work there, and return the status that the process ends with (negative: a signal)."""
    process = os.fork()
    if not process:
        try:
            work()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
