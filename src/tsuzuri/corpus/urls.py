"""The addresses of pages: their hosts, and one form for all the ways to write an address."""

from __future__ import annotations

from contextlib import suppress
from urllib.parse import quote, unquote, unquote_to_bytes, urlsplit

DEFAULT_PORTS = (None, 80, 443)


def host_of(url: str) -> str:
    """The host of a URL as the net knows it (small letters, IDNA), without its port; empty where there is
    none. Angle brackets around a URL, as in some WARC files, are no part of it."""
    try:
        host = unquote(urlsplit(_bare(url)).hostname or "").lower()
    except ValueError:  # brackets that are no address
        return ""
    if not host.isascii():
        with suppress(UnicodeError):  # no name that can be registered: compared as it is
            host = host.encode("idna").decode()
    return host.strip(". ")


def one_form(url: str) -> str:
    """A URL in the form that every spelling of it gets: http is https, the host is `host_of`'s, every
    character is percent-encoded or none is, and a slash or a fragment at the end is no part of it."""
    host = host_of(url)
    try:
        parts = urlsplit(_bare(url))
        port = parts.port
    except ValueError:
        return url
    if not host:
        return url
    scheme = "https" if parts.scheme == "http" else parts.scheme
    place = host if port in DEFAULT_PORTS else f"{host}:{port}"
    query = f"?{_encoded(parts.query)}" if parts.query else ""
    return f"{scheme}://{place}{_encoded(parts.path).rstrip('/')}{query}".rstrip("/")


def _bare(url: str) -> str:
    return url.strip().removeprefix("<").removesuffix(">")


def _encoded(text: str) -> str:
    return quote(unquote_to_bytes(text.encode(errors="replace")), safe="/=&+")
