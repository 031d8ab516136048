"""A client of the server's API that costs little: no more HTTP than the server speaks."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Seen:
    """What one client saw of its requests."""

    key: int = 0
    first_s: list[float] = field(default_factory=list)
    between_s: list[float] = field(default_factory=list)
    whole_s: list[float] = field(default_factory=list)
    tokens: int = 0
    errors: list[str] = field(default_factory=list)


class Client:
    """One connection, kept alive; and what it saw."""

    def __init__(self, address: str, key: str | None) -> None:
        self._host, _, port = address.removeprefix("http://").rstrip("/").partition(":")
        self._port = int(port or 80)
        self._key = f"authorization: Bearer {key}\r\n" if key else ""
        self._reader: asyncio.StreamReader | None = None

    async def post(self, body: dict[str, Any], seen: Seen) -> None:
        """One completion, streamed or not; what it took is added to `seen`."""
        if self._reader is None:
            self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
        data = json.dumps(body).encode()
        head = f"POST /v1/completions HTTP/1.1\r\nhost: {self._host}\r\n{self._key}"
        head += "content-type: application/json\r\n"
        began = last = time.perf_counter()
        self._writer.write(f"{head}content-length: {len(data)}\r\n\r\n".encode() + data)
        headers = (await self._reader.readuntil(b"\r\n\r\n")).decode().lower()
        status = int(headers.split()[1])
        if "chunked" not in headers:
            length = int(headers.split("content-length:")[1].split()[0])
            answer = json.loads(await self._reader.readexactly(length))
            if status != 200:
                seen.errors.append(f"{status} {answer['error']['code']}")
                await asyncio.sleep(0.05)
                return
            seen.whole_s.append(time.perf_counter() - began)
            seen.tokens += answer["usage"]["completion_tokens"]
            return
        parts, is_whole = 0, False
        while size := int(await self._reader.readuntil(b"\r\n"), 16):
            event = (await self._reader.readexactly(size + 2))[6:-4]
            now = time.perf_counter()
            if event == b"[DONE]":
                is_whole = True
            elif b'"choices":[]' in event:
                seen.tokens += json.loads(event)["usage"]["completion_tokens"]
            else:
                (seen.between_s if parts else seen.first_s).append(now - (last if parts else began))
                parts, last = parts + 1, now
        await self._reader.readexactly(2)
        seen.whole_s.append(time.perf_counter() - began)
        if not is_whole:
            seen.errors.append("the stream has no end")

    def close(self) -> None:
        """Close the connection."""
        if self._reader is not None:
            self._writer.close()
