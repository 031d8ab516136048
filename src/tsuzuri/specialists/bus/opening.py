"""The bus that a configuration asks for. Imports no client until it is opened."""

from __future__ import annotations

from importlib.util import find_spec

from tsuzuri.core.errors import MissingExtraError
from tsuzuri.specialists.bus.base import Bus
from tsuzuri.specialists.bus.config import BusConfig


def open_bus(config: BusConfig) -> Bus:
    """A bus to its brokers; BusDown where none answers, InputError where a setting is none."""
    if find_spec("confluent_kafka") is None:
        raise MissingExtraError("confluent-kafka", "kafka")
    from tsuzuri.specialists.bus.kafka import KafkaBus

    return KafkaBus(config)
