"""`tsuzuri plans grant`: supporters of a project get the plans of the API that their tiers grant.

Who supports is told by the release's room and accounts are kept by the server's; neither knows the other.
"""

from __future__ import annotations

import datetime
from pathlib import Path

from tsuzuri.release.supporters import read_supporters
from tsuzuri.serving.accounts.commands import parse_day, plans_grant


def grant(supporters: Path, *, on: str | None = None, database: str | None = None) -> str:
    """Put accounts under the plans that a supporters.yaml grants on a day (today, in UTC), and back under
    their own where support has ended; says what changed."""
    day = parse_day(on) if on else datetime.datetime.now(datetime.UTC).date()
    return plans_grant(read_supporters(supporters).plans(day), database=database)
