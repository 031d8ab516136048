"""What every bus refuses, in the same words."""

from __future__ import annotations

from tsuzuri.core.errors import InputError
from tsuzuri.specialists.bus.base import Record, TopicSpec


def check_size(record: Record, most: int) -> None:
    """InputError where a record is too large to be sent."""
    size = len(record.value or b"") + len(record.key or b"")
    size += sum(len(name) + len(content) for name, content in record.headers)
    if size > most:
        raise InputError(
            f"a record for {record.topic} has {size:,} bytes; at most {most:,} are sent",
            hint="send less at once, or raise record_bytes here and max.message.bytes of the topic",
        )


def check_topic(spec: TopicSpec, partitions: int, *, is_compacted: bool) -> None:
    """InputError where a topic is otherwise than it has to be."""
    if partitions != spec.partitions or is_compacted != spec.is_compacted:
        kinds = {True: "compacted", False: "not compacted"}
        raise InputError(
            f"the topic {spec.name} has {partitions} partitions and is {kinds[is_compacted]}; "
            f"it has to have {spec.partitions} and be {kinds[spec.is_compacted]}",
            hint="remove the topic while nothing runs, or choose another prefix",
        )


def no_topic(topic: str, partition: int | None = None) -> InputError:
    """That there is no such topic, or partition of it."""
    of = "" if partition is None else f" has no partition {partition}"
    message = f"the topic {topic}{of}" if of else f"there is no topic {topic}"
    return InputError(message, hint="tsuzuri specialists up makes the topics of an installation")
