"""The accounts over HTTP: JSON in and out, keys as bearers only, so that no other web page can act for
anybody.

    GET  /account/usage                       the caller's plan, usage and what is left
    POST /waitlist                            apply: answers a `token` (of the applicant's making, if given)
    GET  /waitlist/{token}                    how the application stands
    POST /waitlist/{token}/key                fetch the granted key, once
    GET  /admin/waitlist                      applications
    POST /admin/waitlist/{id}/approve|refuse
    GET  /admin/keys, POST /admin/keys        list; create: answers the key, once
    POST /admin/keys/{id}/revoke|rotate
    GET  /admin/plans, PUT /admin/plans/{name}
    PUT  /admin/accounts/{name}/plan
    GET  /admin/usage, /admin/audit

Moments are whole seconds since 1970; money is in yen; a limit of null is none. A list is
{"object": "list", "data": […]}.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request

from tsuzuri.core.config import parse_config
from tsuzuri.serving.accounts.asked import (
    WHOLE,
    ApplicationAsked,
    ApprovalAsked,
    AssignmentAsked,
    KeyAsked,
    Line,
    PlanAsked,
    RefusalAsked,
    RotationAsked,
)
from tsuzuri.serving.accounts.audit import read_audit
from tsuzuri.serving.accounts.config import PlanTerms
from tsuzuri.serving.accounts.keys import (
    Caller,
    KeyTerms,
    create_key,
    list_keys,
    models_of,
    revoke_key,
    rotate_key,
)
from tsuzuri.serving.accounts.plans import assign_plan, list_plans, set_plan
from tsuzuri.serving.accounts.service import Accounts
from tsuzuri.serving.accounts.usage import By, report
from tsuzuri.serving.accounts.waitlist import (
    Application,
    apply,
    approve,
    checked,
    fetch_key,
    list_applications,
    refuse,
    standing,
)
from tsuzuri.serving.api.entry import ERRORS, Administrator, Signed

Name = Annotated[str, Path(max_length=200, pattern=WHOLE)]
Token = Annotated[str, Path(min_length=1, max_length=128)]
Day = Annotated[str, Query(pattern=r"^\d{4}-\d{2}-\d{2}$")]
Answer = dict[str, Any]


def router(accounts: Accounts) -> APIRouter:
    """The routes over these accounts."""
    routes = APIRouter(responses=ERRORS)
    _add_public(routes, accounts)
    _add_waitlist_admin(routes, accounts)
    _add_keys_admin(routes, accounts)
    _add_plans_admin(routes, accounts)
    return routes


def _add_public(routes: APIRouter, accounts: Accounts) -> None:
    config = accounts.config

    @routes.get("/account/usage", tags=["account"])
    async def usage(caller: Signed) -> Answer:
        """What the caller's account has used, and what is left."""
        return await accounts.usage(_known(caller))

    @routes.post("/waitlist", status_code=201, tags=["waiting list"])
    async def enter(asked: ApplicationAsked, request: Request) -> Answer:
        """Apply for a key. The token in the answer is shown once."""
        accounts.limit_address(_address(request))
        application = Application(**asked.model_dump())
        checked(application)  # a slip of the pen is no application
        accounts.limit_applications(_address(request))
        return await accounts.act(
            lambda connection: apply(connection, application, waiting_at_most=config.waiting_at_most)
        )

    @routes.get("/waitlist/{token}", tags=["waiting list"])
    async def look(token: Token, request: Request) -> Answer:
        """How an application stands."""
        accounts.limit_address(_address(request))
        return await accounts.read(
            lambda connection: standing(connection, token, claim_days=config.claim_days)
        )

    @routes.post("/waitlist/{token}/key", status_code=201, tags=["waiting list"])
    async def fetch(token: Token, request: Request) -> Answer:
        """The granted key. It is shown once."""
        accounts.limit_address(_address(request))
        key = await accounts.act(
            lambda connection: fetch_key(connection, token, claim_days=config.claim_days)
        )
        return key.shown()


def _add_waitlist_admin(routes: APIRouter, accounts: Accounts) -> None:
    @routes.get("/admin/waitlist", tags=["admin"])
    async def applications(
        caller: Administrator, status: Literal["waiting", "approved", "refused", "claimed"] | None = None
    ) -> Answer:
        """Applications, the oldest first."""
        return _list(await accounts.read(lambda connection: list_applications(connection, status=status)))

    @routes.post("/admin/waitlist/{id}/approve", tags=["admin"])
    async def grant(id: Name, asked: ApprovalAsked, caller: Administrator) -> Answer:
        """Let an applicant have a key."""
        return await accounts.act(
            lambda connection: approve(
                connection,
                id,
                plan=asked.plan or accounts.config.plan,
                models=asked.models,
                reason=asked.reason,
                actor=_actor(caller),
            )
        )

    @routes.post("/admin/waitlist/{id}/refuse", tags=["admin"])
    async def deny(id: Name, asked: RefusalAsked, caller: Administrator) -> Answer:
        """Refuse an applicant."""
        return await accounts.act(
            lambda connection: refuse(connection, id, reason=asked.reason, actor=_actor(caller))
        )


def _add_keys_admin(routes: APIRouter, accounts: Accounts) -> None:
    @routes.get("/admin/keys", tags=["admin"])
    async def keys(caller: Administrator, account: Line | None = None) -> Answer:
        """Every key, without its secret."""
        return _list(await accounts.read(lambda connection: list_keys(connection, account=account)))

    @routes.post("/admin/keys", status_code=201, tags=["admin"])
    async def create(asked: KeyAsked, caller: Administrator) -> Answer:
        """A new key. It is shown once."""
        terms = KeyTerms(
            models_of(asked.models or ()), asked.expires_days, asked.is_admin, asked.requests_per_minute
        )
        key = await accounts.act(
            lambda connection: create_key(
                connection,
                asked.account,
                terms,
                plan=asked.plan,
                usual_plan=accounts.config.plan,
                name=asked.name or "",
                actor=_actor(caller),
            )
        )
        return key.shown()

    @routes.post("/admin/keys/{id}/revoke", tags=["admin"])
    async def revoke(id: Name, caller: Administrator) -> Answer:
        """End a key at once."""
        await accounts.act(lambda connection: revoke_key(connection, id, actor=_actor(caller)))
        return {"object": "api_key", "id": id.removeprefix("tsz_"), "status": "revoked"}

    @routes.post("/admin/keys/{id}/rotate", status_code=201, tags=["admin"])
    async def rotate(id: Name, caller: Administrator, asked: RotationAsked | None = None) -> Answer:
        """A new key in place of another, which goes on for a while. It is shown once."""
        overlap_h = (asked or RotationAsked()).overlap_hours
        key = await accounts.act(
            lambda connection: rotate_key(connection, id, overlap_h=overlap_h, actor=_actor(caller))
        )
        return key.shown()


def _add_plans_admin(routes: APIRouter, accounts: Accounts) -> None:
    @routes.get("/admin/plans", tags=["admin"])
    async def plans(caller: Administrator) -> Answer:
        """Every plan."""
        return _list(await accounts.read(list_plans))

    @routes.put("/admin/plans/{name}", tags=["admin"])
    async def put_plan(name: Name, asked: PlanAsked, caller: Administrator) -> Answer:
        """Make a plan, or change its terms."""
        given = asked.model_dump()
        money = {field: Decimal(str(value)) for field, value in given.items() if isinstance(value, float)}
        terms = parse_config(PlanTerms, {**given, **money}, where="the plan", hint="")
        await accounts.act(lambda connection: set_plan(connection, name, terms, actor=_actor(caller)))
        return {"name": name, **given}

    @routes.put("/admin/accounts/{name}/plan", tags=["admin"])
    async def assign(name: Name, asked: AssignmentAsked, caller: Administrator) -> Answer:
        """Put an account under another plan."""
        await accounts.act(lambda connection: assign_plan(connection, name, asked.plan, actor=_actor(caller)))
        return {"account": name, "plan": asked.plan}

    @routes.get("/admin/usage", tags=["admin"])
    async def all_usage(
        caller: Administrator,
        by: By = "account",
        since: Day | None = None,
        until: Day | None = None,
        account: Line | None = None,
    ) -> Answer:
        """What was used, by account, key, model, day or outcome."""
        return _list(
            await accounts.read(
                lambda connection: report(connection, by=by, since=since, until=until, account=account)
            )
        )

    @routes.get("/admin/audit", tags=["admin"])
    async def audit(
        caller: Administrator,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        before: Annotated[int, Query(ge=0, lt=2**53)] | None = None,
    ) -> Answer:
        """The newest lines of the audit log, or those before a line."""
        return _list(
            await accounts.read(lambda connection: read_audit(connection, limit=limit, before=before))
        )


def _list(rows: Sequence[Any]) -> Answer:
    return {"object": "list", "data": list(rows)}


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


def _known(caller: Any) -> Caller:
    assert isinstance(caller, Caller)
    return caller


def _actor(caller: Any) -> str:
    return f"key:{caller.key_id}"
