"""The part of the table of commands for who runs a server: serve, keys, waiting list, plans, usage; and, from
`joining.py`, specialists."""

from __future__ import annotations

import argparse

from tsuzuri.commands.arguments import SET, SUPPORTERS, Command, argument, fields_of, some_count, some_path
from tsuzuri.commands.joining import JOINING
from tsuzuri.serving.accounts.config import PlanTerms

DATABASE = argument(
    "--database", metavar="URL", help="of the accounts; default: $TSUZURI_DATABASE, or sqlite:///tsuzuri.db"
)
JSON = argument("--json", dest="as_json", action="store_true", help="as JSON")
ACCOUNT = argument("--account", metavar="NAME", help="only of this account")
KEY_MODELS = argument(
    "--model",
    dest="models",
    action="append",
    default=[],
    metavar="NAME",
    help="a model that the key may use; may be given again; default: every model",
)

OPERATING = (
    Command(
        "keys create",
        "a new API key, shown once",
        "tsuzuri.serving.accounts.commands:keys_create",
        (
            argument("account", metavar="ACCOUNT", help="whose it is; a new name makes a new account"),
            argument("--name", metavar="TEXT", help="what the key is called; default: as the account"),
            argument("--plan", default=argparse.SUPPRESS, metavar="PLAN", help="of a new account"),
            KEY_MODELS,
            argument("--expires-days", type=float, metavar="DAYS", help="default: no end"),
            argument(
                "--requests-per-minute", type=int, metavar="NUMBER", help="its share of the plan's rate"
            ),
            argument("--admin", action="store_true", help="it may administer accounts and models"),
            *(DATABASE, JSON),
        ),
    ),
    Command(
        "keys list",
        "every key, without its secret",
        "tsuzuri.serving.accounts.commands:keys_list",
        (ACCOUNT, DATABASE, JSON),
    ),
    Command(
        "keys rotate",
        "a new key in place of another, which goes on for a while",
        "tsuzuri.serving.accounts.commands:keys_rotate",
        (
            argument("key", metavar="KEY", help="the part that keys list shows"),
            argument("--overlap-hours", type=float, default=24.0, metavar="HOURS", help="default: 24"),
            *(DATABASE, JSON),
        ),
    ),
    Command(
        "keys revoke",
        "end keys at once",
        "tsuzuri.serving.accounts.commands:keys_revoke",
        (
            argument("keys", nargs="*", metavar="KEY", help="the part that keys list shows"),
            argument("--account", metavar="NAME", help="all keys of this account"),
            DATABASE,
        ),
    ),
    Command(
        "waitlist list",
        "applications for keys, the oldest first",
        "tsuzuri.serving.accounts.commands:waitlist_list",
        (
            argument(
                "--status",
                choices=("waiting", "approved", "refused", "claimed"),
                help="only those that stand so",
            ),
            *(DATABASE, JSON),
        ),
    ),
    Command(
        "waitlist approve",
        "let an applicant fetch a key",
        "tsuzuri.serving.accounts.commands:waitlist_approve",
        (
            argument("application", metavar="ID", help="as waitlist list shows it, or its beginning"),
            argument("--plan", default=argparse.SUPPRESS, metavar="PLAN", help="of the new account"),
            KEY_MODELS,
            argument("--reason", metavar="TEXT", help="told to the applicant"),
            DATABASE,
        ),
    ),
    Command(
        "waitlist refuse",
        "refuse an applicant, with a reason that they read",
        "tsuzuri.serving.accounts.commands:waitlist_refuse",
        (
            argument("application", metavar="ID", help="as waitlist list shows it, or its beginning"),
            argument("--reason", required=True, metavar="TEXT", help="told to the applicant"),
            DATABASE,
        ),
    ),
    Command(
        "waitlist forget",
        "take out applications that are decided; accounts, keys and usage stay",
        "tsuzuri.serving.accounts.commands:waitlist_forget",
        (
            argument(
                "applications", nargs="*", metavar="ID", help="as waitlist list shows it, or its beginning"
            ),
            argument("--decided-before", metavar="DAY", help="all decided before this day, as 2026-11-23"),
            DATABASE,
        ),
    ),
    Command(
        "plans list",
        "what plans grant and what tokens cost under them",
        "tsuzuri.serving.accounts.commands:plans_list",
        (DATABASE, JSON),
    ),
    Command(
        "plans set",
        "make a plan, or give it other terms; in one that is there, those not given stay",
        "tsuzuri.serving.accounts.commands:plans_set",
        (argument("plan", metavar="PLAN", help="its name"), *fields_of(PlanTerms), DATABASE),
    ),
    Command(
        "plans assign",
        "put an account under another plan",
        "tsuzuri.serving.accounts.commands:plans_assign",
        (
            argument("account", metavar="ACCOUNT", help="its name"),
            argument("plan", metavar="PLAN", help="the plan's name"),
            DATABASE,
        ),
    ),
    Command(
        "plans grant",
        "supporters get the plans of their tiers, and go back to their own when support ends",
        "tsuzuri.commands.support:grant",
        (
            *SUPPORTERS,
            DATABASE,
        ),
    ),
    Command(
        "usage report",
        "tokens and money by account, key, model, day or outcome",
        "tsuzuri.serving.accounts.commands:usage",
        (
            argument(
                "--by",
                default="account",
                choices=("account", "key", "model", "day", "outcome"),
                help="default: account",
            ),
            argument("--since", metavar="DAY", help="from this day on, as 2026-11-23"),
            argument("--until", metavar="DAY", help="up to this day"),
            *(ACCOUNT, DATABASE, JSON),
        ),
    ),
    Command(
        "usage audit",
        "who did what to which key, application or plan",
        "tsuzuri.serving.accounts.commands:audit",
        (
            argument("--limit", type=some_count, default=100, metavar="LINES", help="default: 100"),
            *(DATABASE, JSON),
        ),
    ),
    Command(
        "serve",
        "an OpenAI-compatible API for releases",
        "tsuzuri.specialists.gateway.command:serve",
        (
            argument("releases", nargs="*", type=some_path, metavar="RELEASE", help="folders of releases"),
            argument("--config", type=some_path, metavar="FILE.yaml", help="the configuration"),
            argument("--host", metavar="ADDRESS", help="to listen at; default: 127.0.0.1"),
            argument("--port", type=some_count, metavar="NUMBER", help="default: 8000; 0: any that is free"),
            argument("--database", metavar="URL", help="of keys and usage: sqlite:///FILE or postgresql://…"),
            argument("--kafka", metavar="HOST:PORT", help="a broker, whose specialists are served too"),
            SET,
        ),
    ),
    *JOINING,
)
