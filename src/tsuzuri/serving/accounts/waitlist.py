"""The waiting list: apply, be approved or refused, fetch the key.

No e-mail server is needed: who applies is given a claim, a secret of which only a digest is kept; it shows
where the application stands, and once approved it fetches the key, once. The key is made at that moment, so
that nobody else has ever seen it. An address has one application at a time that is not refused; applying
again with the same claim (a form sent twice) answers the same, with another claim it is a Conflict.
"""

from __future__ import annotations

import hmac
import itertools
import json
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, func, select

from tsuzuri.serving.accounts.audit import record
from tsuzuri.serving.accounts.clock import DAY_MS, now_ms, seconds
from tsuzuri.serving.accounts.errors import Conflict, Invalid, LimitReached, NotFound
from tsuzuri.serving.accounts.keys import (
    NAME_CHARACTERS,
    KeyTerms,
    NewKey,
    checked_name,
    create_key,
    digest_of,
    new_secret,
)
from tsuzuri.serving.accounts.plans import check_plan
from tsuzuri.serving.accounts.tables import accounts, applications

EMAIL = re.compile(r"[^\s@\"<>(),:;\[\]\\\x00-\x1f\x7f]{1,64}@(?:[\w-]{1,63}\.)+[\w-]{2,63}")
CLAIM = re.compile(r"[A-Za-z0-9_-]{32,128}")
PURPOSE_CHARACTERS = 4000
EMAIL_CHARACTERS = 160
LANGUAGES = ("ja", "en")
DECIDED = ("refused", "claimed")
"""Of these applications nothing more comes."""


@dataclass(frozen=True)
class Application:
    """What an applicant writes."""

    name: str
    email: str
    purpose: str
    consent: bool
    language: str = "ja"
    claim: str | None = None
    """A secret of the applicant's own making (32 to 128 characters); without it one is made."""


def apply(connection: Connection, application: Application, *, waiting_at_most: int) -> dict[str, Any]:
    """Enter an application; how it stands, with the claim under `token`."""
    values = checked(application)
    claim = application.claim or new_secret()
    digest = digest_of(claim)
    live = (applications.c.email == values["email"], applications.c.status != "refused")
    before = connection.execute(select(applications).where(*live)).mappings().one_or_none()
    if before is not None:
        if application.claim is None or not hmac.compare_digest(before["claim_digest"], digest):
            raise Conflict(
                "an application for this e-mail address exists; its status page was shown when it was made",
                "already_applied",
                param="email",
            )
        return {"token": claim, **_standing(connection, before, claim_days=1)}
    if _waiting(connection) >= waiting_at_most:
        raise LimitReached("the waiting list is full or closed", "waitlist_full", retry_after_s=86_400)
    if connection.scalar(select(applications.c.id).where(applications.c.claim_digest == digest)) is not None:
        raise Conflict("this claim was used for another application", "claim_used", param="claim")
    id = uuid.uuid4().hex
    connection.execute(
        applications.insert().values(
            id=id, claim_digest=digest, applied_ms=now_ms(), status="waiting", **values
        )
    )
    record(connection, f"application:{id}", "waitlist.apply", id)
    row = connection.execute(select(applications).where(applications.c.id == id)).mappings().one()
    return {"token": claim, **_standing(connection, row, claim_days=1)}


def standing(connection: Connection, claim: str, *, claim_days: int) -> dict[str, Any]:
    """How an application stands: status, position in the queue (1 is next), reason of the decision."""
    return _standing(connection, _by_claim(connection, claim), claim_days=claim_days)


def fetch_key(connection: Connection, claim: str, *, claim_days: int) -> NewKey:
    """The key of an approved application, made now. Once."""
    row = _by_claim(connection, claim)
    if row["status"] == "claimed":
        raise Conflict("the key was fetched before, and is shown once", "already_claimed")
    if row["status"] != "approved":
        raise Conflict(f"this application is {row['status']}", f"application_{row['status']}")
    if _has_lapsed(row, claim_days):
        raise Conflict("the key was not fetched in time; ask the operator", "claim_lapsed")
    terms = KeyTerms(models=None if row["models"] is None else tuple(json.loads(row["models"])))
    actor = f"application:{row['id']}"
    account = _free_name(connection, row["name"], row["email"])
    key = create_key(connection, account, terms, plan=row["plan"], actor=actor, name=row["name"])
    connection.execute(
        applications.update().where(applications.c.id == row["id"]).values(status="claimed", key_id=key.id)
    )
    return key


def approve(
    connection: Connection,
    id: str,
    *,
    plan: str,
    actor: str,
    models: Sequence[str] | None = None,
    reason: str | None = None,
) -> dict[str, Any]:
    """Grant a key, which the applicant fetches. An approval that lapsed may be given again."""
    row = _by_id(connection, id)
    if row["status"] not in ("waiting", "approved"):
        raise Conflict(f"the application {id} is {row['status']} already", f"application_{row['status']}")
    told = {"plan": check_plan(connection, plan), "models": list(models) if models else None}
    scope = json.dumps(told["models"], ensure_ascii=False) if models else None
    return _decide(connection, row, "approved", reason, actor, told, {"plan": plan, "models": scope})


def refuse(connection: Connection, id: str, *, reason: str, actor: str) -> dict[str, Any]:
    """Refuse an application, with a reason that the applicant reads."""
    row = _by_id(connection, id)
    if row["status"] not in ("waiting", "approved"):
        raise Conflict(f"the application {id} is {row['status']} already", f"application_{row['status']}")
    if not reason.strip():
        raise Invalid("a refusal needs a reason", "reason_missing", param="reason")
    return _decide(connection, row, "refused", reason, actor, {}, {})


def forget(
    connection: Connection, *, ids: Sequence[str] = (), decided_before_ms: int | None = None, actor: str
) -> int:
    """Take decided applications out; how many. The account stays that came of one, as do its keys and usage.

    Conflict for one that waits, or whose key may still be fetched: refuse it first.
    """
    found = [_by_id(connection, id) for id in ids]
    for row in found:
        if row["status"] not in DECIDED:
            hint = "tsuzuri waitlist refuse"
            raise Conflict(f"the application {row['id']} is {row['status']}", "application_open", hint=hint)
    gone = {row["id"] for row in found}
    if decided_before_ms is not None:
        is_old = applications.c.decided_ms < decided_before_ms
        is_decided = applications.c.status.in_(DECIDED)
        gone |= set(connection.scalars(select(applications.c.id).where(is_decided, is_old)))
    for id in sorted(gone):
        connection.execute(applications.delete().where(applications.c.id == id))
        record(connection, actor, "waitlist.forget", id)
    return len(gone)


def list_applications(connection: Connection, *, status: str | None = None) -> list[dict[str, Any]]:
    """Applications, the oldest first."""
    query = select(applications).order_by(applications.c.applied_ms, applications.c.id)
    if status is not None:
        query = query.where(applications.c.status == status)
    found = []
    position = 0
    for row in connection.execute(query).mappings():
        position += row["status"] == "waiting"
        found.append(_shown(row, position if row["status"] == "waiting" else None))
    return found


def _decide(
    connection: Connection,
    row: RowMapping,
    status: str,
    reason: str | None,
    actor: str,
    told: dict[str, Any],
    values: dict[str, Any],
) -> dict[str, Any]:
    reason = (reason or "").strip()[:PURPOSE_CHARACTERS] or None
    changed = {"status": status, "reason": reason, "decided_ms": now_ms(), **values}
    connection.execute(applications.update().where(applications.c.id == row["id"]).values(changed))
    record(connection, actor, f"waitlist.{status}", row["id"], {"reason": reason, **told})
    return _shown(_by_id(connection, row["id"]), None)


def _shown(row: RowMapping, position: int | None) -> dict[str, Any]:
    """For administrators."""
    return {
        "id": row["id"],
        "name": row["name"],
        "email": row["email"],
        "purpose": row["purpose"],
        "language": row["language"],
        "status": row["status"],
        "position": position,
        "applied_at": seconds(row["applied_ms"]),
        "decided_at": seconds(row["decided_ms"]),
        "reason": row["reason"],
        "plan": row["plan"],
        "models": None if row["models"] is None else json.loads(row["models"]),
        "key_id": row["key_id"],
    }


def _standing(connection: Connection, row: RowMapping, *, claim_days: int) -> dict[str, Any]:
    """For the applicant."""
    position = None
    if row["status"] == "waiting":
        earlier = (applications.c.applied_ms < row["applied_ms"]) | (
            (applications.c.applied_ms == row["applied_ms"]) & (applications.c.id <= row["id"])
        )
        count = select(func.count()).where(applications.c.status == "waiting", earlier)
        position = connection.scalar(count)
    is_granted = row["status"] == "approved"
    return {
        "object": "waitlist.application",
        "status": "lapsed" if is_granted and _has_lapsed(row, claim_days) else row["status"],
        "position": position,
        "waiting": _waiting(connection),
        "applied_at": seconds(row["applied_ms"]),
        "decided_at": seconds(row["decided_ms"]),
        "reason": row["reason"],
        "plan": row["plan"],
    }


def _has_lapsed(row: RowMapping, claim_days: int) -> bool:
    return bool(row["decided_ms"] is not None and row["decided_ms"] + claim_days * DAY_MS < now_ms())


def _free_name(connection: Connection, name: str, email: str) -> str:
    """The name of a new account. It is nobody else's: an address proves nothing, so that no application may
    lead into an account that is there."""
    whose = f" <{email}>"
    for number in itertools.count(1):
        ending = whose if number == 1 else f"{whose} ({number})"
        free = name[: NAME_CHARACTERS - len(ending)] + ending
        if connection.scalar(select(accounts.c.id).where(accounts.c.name == free)) is None:
            return free
    raise AssertionError("counting does not end")


def _waiting(connection: Connection) -> int:
    return connection.scalar(select(func.count()).where(applications.c.status == "waiting")) or 0


def _by_claim(connection: Connection, claim: str) -> RowMapping:
    query = select(applications).where(applications.c.claim_digest == digest_of(claim))
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        raise NotFound("there is no such application", "application_not_found")
    return row


def _by_id(connection: Connection, id: str) -> RowMapping:
    """An application by its id, or by its beginning where that is one application's alone."""
    begins = applications.c.id.startswith(id, autoescape=True)
    rows = connection.execute(select(applications).where(begins).limit(2)).mappings().all()
    if len(rows) != 1 or len(id) < 6:
        raise NotFound(
            f"there is no application {id[:40]!r}", "application_not_found", hint="tsuzuri waitlist list"
        )
    return rows[0]


def checked(application: Application) -> dict[str, str]:
    """What is kept of an application; Invalid where it can't be one."""
    name = checked_name(application.name)
    email = application.email.strip().lower()
    purpose = application.purpose.strip()
    if not EMAIL.fullmatch(email) or len(email) > EMAIL_CHARACTERS:
        raise Invalid("this is no e-mail address", "bad_email", param="email")
    if not 0 < len(purpose) <= PURPOSE_CHARACTERS or "\x00" in purpose:
        limit = f"1 to {PURPOSE_CHARACTERS} characters"
        raise Invalid(f"say in {limit} what the key is for", "bad_purpose", param="purpose")
    if application.consent is not True:
        raise Invalid("without your consent nothing may be kept", "consent_missing", param="consent")
    if application.language not in LANGUAGES:
        raise Invalid(f"the language is one of {', '.join(LANGUAGES)}", "bad_language", param="language")
    if application.claim is not None and not CLAIM.fullmatch(application.claim):
        raise Invalid("a claim is 32 to 128 of A-Z a-z 0-9 _ -", "bad_claim", param="claim")
    return {"name": name, "email": email, "purpose": purpose, "language": application.language}
