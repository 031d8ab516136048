"""What each role may do on a cluster that lets nobody do what is not granted: Kafka's ACLs. No torch.

A worker that is broken into can answer wrongly for its own specialist, and can't read what others are asked,
write routes, or remove anything. It can say untrue things in the registry and by beats, though (of other
revisions too, and of who holds which lease), which mislead whoever decides: ACLs know topics, not keys.
Whoever makes topics again after they were lost needs `create` and `describe_configs`: that is every role,
within the prefix of the installation alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tsuzuri.core.errors import InputError, ResourceError, closest
from tsuzuri.specialists.bus.client import Client
from tsuzuri.specialists.operators.reaching import where_is
from tsuzuri.specialists.topics import Topics

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

Role = Literal["gateway", "worker", "operator"]
ROLES: tuple[Role, ...] = ("gateway", "worker", "operator")
EVERYWHERE = ("describe", "describe_configs", "create")


@dataclass(frozen=True, slots=True)
class Grant:
    """What may be done with one topic or group, or with all whose names begin so."""

    kind: Literal["topic", "group"]
    name: str
    operations: tuple[str, ...]
    is_prefix: bool = False


def grants(role: Role, topics: Topics, *, specialist: str = "") -> Iterator[Grant]:
    """What a role needs; a worker's only for one specialist where it is named."""
    requests = f"{topics.prefix}.req." + (f"{specialist}." if specialist else "")
    yield Grant("topic", f"{topics.prefix}.", EVERYWHERE, is_prefix=True)
    for name in (topics.registry, topics.routes, topics.beats, topics.control):
        yield Grant("topic", name, ("read",))
    yield Grant("topic", topics.registry, ("write",))  # descriptors, what is wanted, leases
    yield Grant("topic", topics.beats, ("write",))
    yield Grant("topic", topics.dead_letters, ("write",))
    if role == "worker":
        yield Grant("topic", requests, ("read",), is_prefix=True)
        yield Grant("group", requests, ("read",), is_prefix=True)
        yield Grant("topic", topics.replies, ("write",))
        return
    yield Grant("topic", f"{topics.prefix}.req.", ("write", "delete"), is_prefix=True)
    yield Grant("group", f"{topics.prefix}.req.", ("describe", "delete"), is_prefix=True)  # lag
    yield Grant("topic", topics.dead_letters, ("read",))
    yield Grant("topic", topics.replies, ("read",))
    for name in (topics.routes, topics.control):
        yield Grant("topic", name, ("write",))
    if role == "operator":
        yield Grant("topic", f"{topics.prefix}.", ("alter_configs", "delete"), is_prefix=True)


def permit_users(
    given: Sequence[str], *, config: Path | None = None, kafka: str | None = None, out: Path | None = None
) -> str:
    """Grant ROLE=USER, each; the command `specialists permit`. Errors of the cluster in a sentence."""
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    users: dict[str, list[str]] = {}
    for item in given:
        role, _, user = item.partition("=")
        if not user:
            raise InputError(f"{item!r} is no ROLE=USER", hint="say gateway=USER, worker/SPECIALIST=USER, …")
        users.setdefault(role, []).append(user)
    bus_config = where_is(config, kafka, out)
    client = Client(bus_config)
    try:
        stand = permit(client.made(AdminClient, client.common()), users, Topics(bus_config.prefix))
    except KafkaException as error:
        raise ResourceError(
            f"{bus_config.bootstrap} grants nothing: {client.said(error)}",
            hint="ask as a super user of a cluster with an authorizer (`security` in --config)",
        ) from None
    return f"{stand} rules stand for {', '.join(given)}"


def permit(admin: AdminClient, users: Mapping[str, Sequence[str]], topics: Topics) -> int:
    """Grant each role ("worker", or "worker/SPECIALIST") to its users; how many rules that are now stand.

    InputError for a role that there is none of; errors of the cluster as they come.
    """
    from confluent_kafka.admin import (
        AclBinding,
        AclOperation,
        AclPermissionType,
        ResourcePatternType,
        ResourceType,
    )

    bindings = [
        AclBinding(
            ResourceType.TOPIC if grant.kind == "topic" else ResourceType.GROUP,
            grant.name,
            ResourcePatternType.PREFIXED if grant.is_prefix else ResourcePatternType.LITERAL,
            f"User:{user}",
            "*",
            AclOperation[operation.upper()],
            AclPermissionType.ALLOW,
        )
        for named, given in users.items()
        for grant in _grants_of(named, topics)
        for operation in grant.operations
        for user in given
    ]
    for done in admin.create_acls(bindings).values():
        done.result()
    return len(bindings)


def _grants_of(named: str, topics: Topics) -> Iterator[Grant]:
    word, _, specialist = named.partition("/")
    role = next((role for role in ROLES if role == word), None)
    if role is None or (specialist and role != "worker"):
        raise InputError(
            f"no role {named!r}{closest(word, ROLES)}",
            hint=f"roles: {', '.join(ROLES)}, and worker/SPECIALIST",
        )
    return grants(role, topics, specialist=specialist)
