"""The part of the table of commands for who runs specialists that act as one model."""

from __future__ import annotations

from tsuzuri.commands.arguments import SET, Argument, Command, argument, some_count, some_path, some_seconds

JSON = argument("--json", dest="as_json", action="store_true", help="as JSON")
KAFKA = argument("--kafka", metavar="HOST:PORT", help="the broker; more of them with commas")
WHERE = (
    argument(
        "--config", type=some_path, metavar="SPECIALISTS.yaml", help="whose broker and security settings"
    ),
    KAFKA,
    argument("--out", type=some_path, metavar="DIR", help="the folder of `up`; default: specialists.up"),
)
NAME = argument("name", metavar="NAME", help="the specialist's name")
REVISION = argument(
    "--revision", default="", metavar="TEXT", help="default: the release's version and its weights' sum"
)


def _wanted(release: str) -> tuple[Argument, ...]:
    return (
        NAME,
        argument("release", type=some_path, metavar="RELEASE", help=release),
        argument("--title", default="", metavar="TEXT", help="what people call it"),
        REVISION,
        argument(
            "--texts",
            type=some_path,
            metavar="FILE.jsonl",
            help="held-out texts of its domain; default: as SPECIALISTS.yaml says",
        ),
        argument(
            "--workers",
            type=some_count,
            default=0,
            metavar="NUMBER",
            help="processes; default: as many as it has now, or one",
        ),
        argument(
            "--no-gate", dest="gate", action="store_false", help="let it in without beating the generalist"
        ),
        SET,
        *WHERE,
    )


JOINING = (
    Command(
        "specialists up",
        "specialists that act as one model, on this machine: broker, workers, API, playground",
        "tsuzuri.specialists.operators.commands:up",
        (
            argument("config", type=some_path, metavar="SPECIALISTS.yaml", help="who they are"),
            argument(
                "--out",
                type=some_path,
                metavar="DIR",
                help="for logs and state; default: beside the file, with the ending .up",
            ),
            KAFKA,
            argument(
                "--kafka-home", type=some_path, metavar="DIR", help="start the Apache Kafka unpacked there"
            ),
            argument("--host", metavar="ADDRESS", help="of the API; default: 127.0.0.1"),
            argument("--port", type=some_count, metavar="NUMBER", help="default: 8000; 0: any that is free"),
            SET,
        ),
    ),
    Command(
        "specialists worker",
        "one process that answers for a specialist, on any machine",
        "tsuzuri.specialists.worker.commands:worker",
        (
            argument("release", nargs="?", type=some_path, metavar="RELEASE", help="the model's folder"),
            argument("--name", metavar="NAME", help="the specialist's name"),
            KAFKA,
            argument("--revision", metavar="TEXT", help=REVISION.options["help"]),
            argument("--config", type=some_path, metavar="FILE.yaml", help="the worker's configuration"),
            SET,
        ),
    ),
    Command(
        "specialists list",
        "every revision: its state, share, workers, and what it showed",
        "tsuzuri.specialists.operators.commands:list_specialists",
        (*WHERE, JSON),
    ),
    Command(
        "specialists top",
        "who is up, traffic, latency, what waits, dead letters, and why requests went where they did",
        "tsuzuri.specialists.operators.top:top",
        (
            argument("--once", action="store_true", help="one picture, then end"),
            argument(
                "--every", type=some_seconds, default=2.0, metavar="SECONDS", help="between two; default: 2"
            ),
            JSON,
            *WHERE,
        ),
    ),
    Command(
        "specialists add",
        "let a new specialist in, if it beats the generalist on its own domain",
        "tsuzuri.specialists.operators.commands:add",
        _wanted("the folder of its release; of an upstream, that of its tokenizer"),
    ),
    Command(
        "specialists replace",
        "put another revision in a specialist's place, step by step; it goes back by itself when worse",
        "tsuzuri.specialists.operators.commands:replace",
        _wanted("the folder of the new release"),
    ),
    Command(
        "specialists rollback",
        "back to the revision before, at once",
        "tsuzuri.specialists.operators.commands:rollback",
        (
            NAME,
            argument("--revision", default="", metavar="TEXT", help="default: the one before"),
            *WHERE,
        ),
    ),
    Command(
        "specialists remove",
        "give a specialist no more requests, let it finish, and forget it",
        "tsuzuri.specialists.operators.commands:remove",
        (NAME, *WHERE),
    ),
    Command(
        "specialists drain",
        "give a specialist no more requests and let it finish; rollback brings it back",
        "tsuzuri.specialists.operators.commands:drain",
        (NAME, *WHERE),
    ),
    Command(
        "specialists permit",
        "let users of a guarded cluster do what their role needs, and no more",
        "tsuzuri.specialists.operators.permissions:permit_users",
        (
            argument(
                "given",
                nargs="+",
                metavar="ROLE=USER",
                help="gateway, worker, worker/SPECIALIST or operator, and who has that role",
            ),
            *WHERE,
        ),
    ),
    Command(
        "specialists dlq",
        "dead letters: what nobody could work off",
        "tsuzuri.specialists.operators.commands:dead_letters",
        (
            argument("action", choices=("list", "show", "replay", "drop"), help="what to do with them"),
            argument("places", nargs="*", metavar="PLACE", help="which, as `list` shows them"),
            argument("--all", dest="every", action="store_true", help="all of them"),
            JSON,
            *WHERE,
        ),
    ),
)
