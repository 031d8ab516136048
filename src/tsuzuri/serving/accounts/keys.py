"""API keys: made, shown once, kept as digests, rotated, revoked.

A key is `tsz_` + ten characters that name it + `_` + fifty-two of 256 random bits. The name is stored and
shown; of the whole only its SHA-256 is. A slow hash (bcrypt, Argon2) guards secrets that can be guessed; 256
random bits cannot, so that it would add a tenth of a second to every request and nothing else; a salt or
pepper likewise.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import secrets
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, select

from tsuzuri.serving.accounts.audit import record
from tsuzuri.serving.accounts.clock import DAY_MS, HOUR_MS, now_ms, seconds
from tsuzuri.serving.accounts.config import DEFAULT_PLAN
from tsuzuri.serving.accounts.errors import Conflict, Forbidden, Invalid, NotFound, Unauthorized
from tsuzuri.serving.accounts.plans import check_plan
from tsuzuri.serving.accounts.tables import accounts, holds, keys, plans

KEY = re.compile(r"tsz_([a-z2-7]{10})_[a-z2-7]{52}")
NAME_CHARACTERS = 200


@dataclass(frozen=True)
class KeyTerms:
    """What a key may do."""

    models: tuple[str, ...] | None = None
    """Names of the models that it may use; None for all."""
    expires_days: float | None = None
    """Days for which it is valid; None for no end."""
    is_admin: bool = False
    """Whether it may administer accounts and models."""
    requests_per_minute: int | None = None
    """Its own share of the plan's rate, if it has one."""


@dataclass(frozen=True)
class NewKey:
    """A key that was just made; `text` is known nowhere else."""

    id: str
    text: str
    account: str
    expires_ms: int | None

    def shown(self) -> dict[str, Any]:
        """As the API answers it, once."""
        return {
            "object": "api_key",
            "key": self.text,
            "id": self.id,
            "account": self.account,
            "expires_at": seconds(self.expires_ms),
        }


@dataclass(frozen=True)
class Caller:
    """Who calls, under which plan, for which model."""

    key_id: str
    key_name: str
    account_id: str
    account: str
    plan: str
    models: tuple[str, ...] | None
    is_admin: bool
    requests_per_minute: int | None
    """Of the account, by its plan."""
    key_requests_per_minute: int | None
    expires_ms: int | None
    revoked_ms: int | None
    model: str = ""

    def allows(self, model: str) -> bool:
        """Whether the key may use a model."""
        return self.models is None or model in self.models


def new_secret() -> str:
    """256 random bits as 52 characters that a double click selects whole."""
    return base64.b32encode(secrets.token_bytes(32)).decode().rstrip("=").lower()


def digest_of(secret: str) -> str:
    """What is stored of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def ensure_account(
    connection: Connection, name: str, plan: str | None, *, usual_plan: str = DEFAULT_PLAN
) -> str:
    """The id of the account of that name, made under `plan` (None: the usual one) if it is new; Conflict
    where it is under another than asked."""
    name = checked_name(name)
    found = connection.execute(
        select(accounts.c.id, accounts.c.plan).where(accounts.c.name == name)
    ).one_or_none()
    if found is not None and plan not in (None, found.plan):
        hint = f"leave the plan out, or: tsuzuri plans assign {name} {plan}"
        raise Conflict(f"{name} is under the plan {found.plan}", "account_has_plan", param="plan", hint=hint)
    if found is not None:
        return str(found.id)
    id = uuid.uuid4().hex
    values = {"id": id, "name": name, "plan": check_plan(connection, plan or usual_plan)}
    connection.execute(accounts.insert().values(created_ms=now_ms(), **values))
    connection.execute(holds.insert().values(account_id=id, requests=0, tokens=0, cost=0))
    return id


def create_key(
    connection: Connection,
    account: str,
    terms: KeyTerms,
    *,
    plan: str | None,
    actor: str,
    name: str = "",
    usual_plan: str = DEFAULT_PLAN,
) -> NewKey:
    """A new key for the account of that name; of the plans see `ensure_account`."""
    name = checked_name(name or account)
    if terms.expires_days is not None and not 0 < terms.expires_days <= 36_500:
        raise Invalid(
            "a key is valid for more than 0 and up to 36500 days", "bad_expiry", param="expires_days"
        )
    if terms.requests_per_minute is not None and terms.requests_per_minute < 1:
        raise Invalid("a key's rate is 1 request a minute or more", "bad_rate", param="requests_per_minute")
    account_id = ensure_account(connection, account, plan, usual_plan=usual_plan)
    expires_ms = None if terms.expires_days is None else now_ms() + round(terms.expires_days * DAY_MS)
    id, text = _write(connection, account_id, name, terms, expires_ms)
    record(connection, actor, "key.create", id, {"account": account, **_told(terms)})
    return NewKey(id, text, account, expires_ms)


def rotate_key(connection: Connection, id: str, *, overlap_h: float, actor: str) -> NewKey:
    """A new key with the same terms and end; the old one goes on for `overlap_h` hours."""
    if not 0 <= overlap_h <= 24 * 365:
        raise Invalid("keys overlap by 0 to 8760 hours", "bad_overlap", param="overlap_hours")
    row = _living(connection, id)
    terms = KeyTerms(_models(row["models"]), None, row["is_admin"], row["requests_per_minute"])
    new_id, text = _write(connection, row["account_id"], row["name"], terms, row["expires_ms"])
    ends_ms = now_ms() + round(overlap_h * HOUR_MS)
    if row["expires_ms"] is not None:
        ends_ms = min(ends_ms, row["expires_ms"])
    connection.execute(
        keys.update().where(keys.c.id == row["id"]).values(expires_ms=ends_ms, rotated_to=new_id)
    )
    record(connection, actor, "key.rotate", row["id"], {"to": new_id, "overlap_hours": overlap_h})
    return NewKey(new_id, text, row["account"], row["expires_ms"])


def revoke_key(connection: Connection, id: str, *, actor: str) -> None:
    """End a key at once."""
    row = _living(connection, id, expired=True)
    connection.execute(keys.update().where(keys.c.id == row["id"]).values(revoked_ms=now_ms()))
    record(connection, actor, "key.revoke", row["id"], {"account": row["account"]})


def revoke_account(connection: Connection, account: str, *, actor: str) -> int:
    """End every key of an account; how many there were."""
    whose = connection.scalar(select(accounts.c.id).where(accounts.c.name == account))
    if whose is None:
        raise NotFound(f"there is no account {account!r}", "account_not_found", hint="tsuzuri keys list")
    mine = keys.c.account_id == whose
    ids = list(connection.scalars(select(keys.c.id).where(mine, keys.c.revoked_ms.is_(None))))
    for id in ids:
        revoke_key(connection, id, actor=actor)
    return len(ids)


def list_keys(connection: Connection, *, account: str | None = None) -> list[dict[str, Any]]:
    """Every key, without its secret."""
    query = _joined().order_by(accounts.c.name, keys.c.created_ms, keys.c.id)
    if account is not None:
        query = query.where(accounts.c.name == account)
    now = now_ms()
    return [
        {
            "id": row["id"],
            "prefix": f"tsz_{row['id']}",
            "name": row["name"],
            "account": row["account"],
            "plan": row["plan"],
            "models": _models(row["models"]),
            "is_admin": row["is_admin"],
            "requests_per_minute": row["requests_per_minute"],
            "status": _status(row, now),
            "created_at": seconds(row["created_ms"]),
            "expires_at": seconds(row["expires_ms"]),
            "revoked_at": seconds(row["revoked_ms"]),
            "rotated_to": row["rotated_to"],
        }
        for row in connection.execute(query).mappings()
    ]


def find_caller(connection: Connection, bearer: str) -> Caller | None:
    """Whose key this is, whether or not it is still valid; None where it is nobody's."""
    match = KEY.fullmatch(bearer)
    row = None
    if match:
        row = connection.execute(_joined().where(keys.c.id == match[1])).mappings().one_or_none()
    expected = row["digest"] if row else "0" * 64
    if not hmac.compare_digest(digest_of(bearer), expected) or row is None:
        return None
    return Caller(
        row["id"],
        row["name"],
        row["account_id"],
        row["account"],
        row["plan"],
        _models(row["models"]),
        row["is_admin"],
        row["plan_rate"],
        row["requests_per_minute"],
        row["expires_ms"],
        row["revoked_ms"],
    )


def check_caller(caller: Caller | None, model: str) -> None:
    """Raise Unauthorized for a key that is not valid (any more), Forbidden for another's model."""
    if caller is None:
        raise Unauthorized("this API key is not known", "invalid_api_key")
    if caller.revoked_ms is not None:
        raise Unauthorized("this API key was revoked", "revoked_api_key")
    if caller.expires_ms is not None and caller.expires_ms < now_ms():
        raise Unauthorized("this API key has expired", "expired_api_key")
    if model and not caller.allows(model):
        raise Forbidden(f"this API key may not use the model {model!r}", "model_not_allowed", param="model")


def checked_name(name: str) -> str:
    """`name` without spaces around it; Invalid where it is no line of text."""
    name = name.strip()
    if not name.isprintable() or not 0 < len(name) <= NAME_CHARACTERS:
        raise Invalid(f"a name is one line of 1 to {NAME_CHARACTERS} characters", "bad_name", param="name")
    return name


def _joined() -> Any:
    columns = (
        accounts.c.name.label("account"),
        accounts.c.plan,
        plans.c.requests_per_minute.label("plan_rate"),
    )
    return select(keys, *columns).join_from(keys, accounts).join(plans)


def _living(connection: Connection, id: str, *, expired: bool = False) -> RowMapping:
    """The row of a key by its id, with or without `tsz_`, that is not revoked, nor expired but where
    allowed."""
    query = _joined().where(keys.c.id == id.removeprefix("tsz_"))
    row: RowMapping | None = connection.execute(query).mappings().one_or_none()
    if row is None:
        raise NotFound(f"there is no key {id[:40]!r}", "key_not_found", hint="tsuzuri keys list")
    status = _status(row, now_ms())
    if status == "revoked" or (status == "expired" and not expired):
        raise Conflict(f"the key {row['id']} is {status} already", f"key_{status}")
    return row


def _write(
    connection: Connection, account_id: str, name: str, terms: KeyTerms, expires_ms: int | None
) -> tuple[str, str]:
    id = new_secret()[:10]
    text = f"tsz_{id}_{new_secret()}"
    connection.execute(
        keys.insert().values(
            id=id,
            account_id=account_id,
            name=name,
            digest=digest_of(text),
            models=None if terms.models is None else json.dumps(terms.models, ensure_ascii=False),
            is_admin=terms.is_admin,
            requests_per_minute=terms.requests_per_minute,
            created_ms=now_ms(),
            expires_ms=expires_ms,
        )
    )
    return id, text


def _status(row: RowMapping, at_ms: int) -> str:
    if row["revoked_ms"] is not None:
        return "revoked"
    return "expired" if row["expires_ms"] is not None and row["expires_ms"] < at_ms else "valid"


def _models(stored: str | None) -> tuple[str, ...] | None:
    return None if stored is None else tuple(json.loads(stored))


def _told(terms: KeyTerms) -> dict[str, Any]:
    return {"models": terms.models, "expires_days": terms.expires_days, "is_admin": terms.is_admin}


def models_of(names: Sequence[str]) -> tuple[str, ...] | None:
    """The scope that a list of names means; an empty one means every model."""
    if not all(name.strip() for name in names):
        raise Invalid("a model's name is empty; leave it out for every model", "bad_model", param="models")
    return tuple(dict.fromkeys(names)) or None
