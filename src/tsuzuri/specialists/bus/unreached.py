"""Why no broker answers: what a connection by hand finds at its addresses. Imports no client.

librdkafka says that nothing came; of TLS spoken to who does not, or not spoken to who does, it says no more.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass

CONNECT_S = 1.0


@dataclass(frozen=True, slots=True)
class Finding:
    """What stands at an address in place of a broker that answers us."""

    text: str
    hint: str
    is_final: bool = True
    """Whether waiting will hardly help."""


def look(bootstrap: str, security: Mapping[str, str]) -> Finding:
    """What is found at the first address at which anybody listens, else at the last."""
    is_tls = security.get("security.protocol", "").lower() in ("ssl", "sasl_ssl")
    found = Finding("there is no address", "--kafka HOST:PORT")
    for address in bootstrap.split(","):
        host, _, port = address.strip().rpartition(":")
        try:
            with socket.create_connection((host.strip("[]"), int(port)), CONNECT_S) as connection:
                return _spoken(connection, is_tls=is_tls)
        except socket.gaierror:
            found = Finding(
                f"there is no host {host!r}", "correct the address, or the names that this machine knows"
            )
        except TimeoutError:
            hint = "correct the address, or let this machine through to it"
            found = Finding(f"{host} does not take a connection", hint, is_final=False)
        except OSError as error:
            hint = "start one (tsuzuri specialists up does), or correct the address"
            found = Finding(f"nobody listens there ({error.strerror or error})", hint)
    return found


def _spoken(connection: socket.socket, *, is_tls: bool) -> Finding:
    """Whether it is TLS that one side speaks and the other does not."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with context.wrap_socket(connection):
            speaks = True
    except (OSError, ValueError):  # an answer in other words, an end, or none in time
        speaks = False
    if speaks and not is_tls:
        hint = "security: {security.protocol: SASL_SSL, …}, or SSL, as its administrator says"
        return Finding("it speaks TLS, and is spoken to without", hint)
    if is_tls and not speaks:
        hint = "correct the address, or leave security.protocol at what the broker's listener has"
        return Finding("it is spoken to by TLS, and does not speak it", hint)
    hint = "is it a Kafka broker, and does it run? its own log says more"
    return Finding("somebody listens there and does not answer as a broker does", hint, is_final=False)
