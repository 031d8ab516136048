"""The audit log: who did what to whom, and when. Append-only, by triggers in the database; never a secret."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, select

from tsuzuri.serving.accounts.clock import now_ms, seconds
from tsuzuri.serving.accounts.tables import audit


def record(
    connection: Connection, actor: str, action: str, subject: str, detail: Mapping[str, Any] | None = None
) -> None:
    """Add a line, in the transaction of what it tells."""
    told = json.dumps(detail or {}, ensure_ascii=False, sort_keys=True)
    connection.execute(
        audit.insert().values(at_ms=now_ms(), actor=actor, action=action, subject=subject, detail=told)
    )


def read_audit(
    connection: Connection, *, limit: int = 100, before: int | None = None
) -> list[dict[str, Any]]:
    """The newest lines, or those before a line's id."""
    query = select(audit).order_by(audit.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(audit.c.id < before)
    return [
        {
            "id": row["id"],
            "at": seconds(row["at_ms"]),
            "actor": row["actor"],
            "action": row["action"],
            "subject": row["subject"],
            "detail": json.loads(row["detail"]),
        }
        for row in connection.execute(query).mappings()
    ]
