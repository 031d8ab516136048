"""What a killed server left open is settled by the next that starts, by these rules:

- its journal is there (SIGKILL, a crash of the process): each request is billed as far as its journal says it
had come; one that had ended, but was not written yet, exactly as it ended;
- it is not (a crash of the machine that lost it, another machine's server that never came back): after
  `lost_after_h` the request is billed nothing. Nobody pays for what cannot be shown.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, select

from tsuzuri.serving.accounts.clock import now_ms
from tsuzuri.serving.accounts.database import Database
from tsuzuri.serving.accounts.journal import Progress, dead_journals
from tsuzuri.serving.accounts.ledger import Ledger, open_holds
from tsuzuri.serving.accounts.metering import Hold, Settle, billed
from tsuzuri.serving.accounts.tables import holds, requests

logger = logging.getLogger(__name__)

MOST_TOGETHER = 256


def settle_dead(database: Database, *, day_offset_h: float) -> int:
    """Settle what dead processes of this machine had open; how many requests that were."""
    count = 0
    for instance, progress, path in dead_journals(database.state):

        def settle(
            connection: Connection, instance: str = instance, found: Mapping[str, Progress] = progress
        ) -> int:
            # a database server may still be finishing the last transaction of the process that was killed
            connection.execute(select(holds.c.account_id).order_by(holds.c.account_id).with_for_update())
            left = open_holds(connection, requests.c.instance == instance)
            _settle(connection, [(hold, found.get(hold.id)) for hold in left], "killed", day_offset_h)
            return len(left)

        count += database.write(settle)
        path.unlink(missing_ok=True)
    if count:
        logger.warning("%d requests of a killed server were settled", count)
    return count


def settle_lost(database: Database, opened_before_ms: int, *, day_offset_h: float) -> int:
    """Settle what has been open for longer than any request lasts; how many requests that were."""

    def settle(connection: Connection) -> int:
        left = open_holds(connection, requests.c.opened_ms < opened_before_ms)
        _settle(connection, [(hold, None) for hold in left], "lost", day_offset_h)
        return len(left)

    return database.write(settle)


def _settle(
    connection: Connection, found: Sequence[tuple[Hold, Progress | None]], outcome: str, day_offset_h: float
) -> None:
    at_ms = now_ms()
    changes = []
    for hold, progress in found:
        if progress is None:
            changes.append(Settle(hold, 0, 0, outcome, at_ms))
            continue
        ended = progress.outcome or outcome
        used = billed(progress.prompt_tokens, progress.completion_tokens, ended)
        changes.append(Settle(hold, *used, ended, at_ms))
    for start in range(0, len(changes), MOST_TOGETHER):
        Ledger(connection, day_offset_h).apply(changes[start : start + MOST_TOGETHER])
