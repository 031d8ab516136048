"""How a process reaches its broker. Imports no torch and no client."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr, field_validator

from tsuzuri.core.config import Config
from tsuzuri.specialists.topics import PREFIX


class BusConfig(Config):
    """A broker and how it is spoken to."""

    bootstrap: str = "127.0.0.1:9092"
    """Addresses of brokers, host:port, with commas between."""
    prefix: str = PREFIX
    """What the names of all topics begin with."""
    security: dict[str, SecretStr] = Field(default_factory=dict)
    """Settings for TLS and SASL by their names in librdkafka (`security.protocol`, `ssl.ca.location`,
    `sasl.mechanism`, `sasl.username`, `sasl.password`, …), passed on unchanged and never shown."""
    settings: dict[str, str] = Field(default_factory=dict)
    """Any others by their names in librdkafka; they go over ours."""
    backend: Literal["group", "share"] = "group"
    """How requests are shared out among workers: by partitions, or (Apache Kafka from 4.2 on) one by one.
    Partitions are the broker's to share out (KIP-848, Apache Kafka from 4.0 on); on the embedded broker,
    which is recognised, the workers settle that among themselves."""
    fetch_wait_ms: int | None = Field(default=None, ge=1, le=10_000)
    """That a broker may hold back an empty answer; none: 5 on the embedded broker, which looks for records
    at the end of that time only, and librdkafka's default elsewhere."""
    delivery_s: float = Field(default=10.0, gt=0)
    """After which a record that no broker took counts as not sent."""
    request_s: float = Field(default=10.0, gt=0)
    """For an answer about topics and groups."""
    replication: int = Field(default=-1, ge=-1)
    """Copies of each topic that is made; -1: as the cluster has it."""
    record_bytes: int = Field(default=1_000_000, ge=1024)
    """Of one record with its key and headers; a larger one is refused before it is sent."""
    unsent: int = Field(default=10_000, ge=1)
    """Records that may wait for the broker at once."""

    @field_validator("bootstrap")
    @classmethod
    def _addresses(cls, value: str) -> str:
        for address in value.split(","):
            host, colon, port = address.strip().rpartition(":")
            if not (host and colon and port.isdigit() and 0 < int(port) < 65536):
                raise ValueError(f"{address.strip()!r} is no host:port")
        return value
