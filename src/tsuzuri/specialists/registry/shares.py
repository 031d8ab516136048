"""How a route shares out the requests for a specialist."""

from __future__ import annotations

from hashlib import blake2b

from tsuzuri.specialists.messages import Route


def pick(route: Route, specialist: str, key: str) -> tuple[str, str] | None:
    """The specialist and revision that answers a request for a specialist, or the generalist where the shares
    leave something of 1 to it; None where the route knows neither. The same key (a request's id, or that of
    its conversation) goes the same way as long as the shares allow it."""
    for name in (specialist, route.generalist):
        drawn = int.from_bytes(blake2b(f"{name}/{key}".encode(), digest_size=8).digest()) / 2**64
        for revision, share in sorted(route.shares.get(name, {}).items()):
            if drawn < share:
                return name, revision
            drawn -= share
    shares = route.shares.get(route.generalist) or {}  # which may sum to a little less than 1
    best = max(shares, key=lambda revision: shares[revision], default=None)
    return (route.generalist, best) if best and shares[best] > 0 else None
