"""How a bus calls whoever asked to be called, and where it says what went wrong."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

LOG = logging.getLogger("tsuzuri.specialists.bus")


@contextmanager
def guarded() -> Iterator[None]:
    """Callbacks are other people's: one that fails is told in the log, and nothing stops."""
    try:
        yield
    except Exception:
        LOG.exception("what was called by the bus failed")
