"""An API that writes prose at a pace, for the page to be tried on: /v1/models and /v1/completions alone.

What it writes is fixed, some of its characters take several tokens, and its bytes leave in pieces that
respect no character.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from tsuzuri.serving.playground.routes import router

KEY = "tsz_aaaaaaaaaa_" + "b" * 52
TEXTS = (
    "白い庭のむこうで、だれかが小さく咳をした。\n　兄は火鉢に手をかざしたまま、鱈の干物のことを考えていた。"
    "「ゆうべの雪は、音もなく積もったね」と、母が言った。鷺が一羽、垣根の上にとまって、こちらを見ている。",
    "雪は屋根の形をやわらげ、道の形をすっかり消していた。\n　門を出ると、郵便夫の足あとだけが、まっすぐに"
    "続いている。わたしはその跡を、ひとつずつ踏んで歩いた。吐く息が、朝の光のなかで𠮷の字のかたちに見えた。",
    "弟は声をあげて縁側から飛びおりた。\n「冷たい」\n「あたりまえだ」\n　祖父は笑って、古い綴りの帳面を"
    "ひらいた。そこには毎年の初雪の日が、細い字で記してある。",
)
LETTERS_APART = "鱈鷺𠮷"
"""Characters that it writes byte by byte."""
RIVALS = ("の", "白", "空", "。", "人")
TOKEN_S = 0.004


def application() -> FastAPI:
    """The API behind the page. `state.asked` holds the requests, `state.left` counts clients that left."""
    app = FastAPI(docs_url=None, openapi_url=None)
    app.state.asked, app.state.left = [], 0
    api = APIRouter()

    @api.get("/v1/models")
    async def models(request: Request) -> Response:
        if not _holds_key(request):
            return _error(401, "missing_api_key", "give your API key")
        about = {
            "revision": "1.0-3f2a9c",
            "context": 1024,
            "capabilities": ["logprobs"],
            "defaults": {"temperature": 0.8, "min_p": 0.03},
        }
        names = ("tsuzuri-110m", "tsuzuri-350m")
        return JSONResponse({"object": "list", "data": [{"id": name, "tsuzuri": about} for name in names]})

    @api.post("/v1/completions")
    async def completions(request: Request) -> Response:
        asked = await request.json()
        app.state.asked.append(asked)
        if not _holds_key(request):
            return _error(401, "missing_api_key", "give your API key")
        if "混雑" in asked["prompt"]:
            return _error(429, "server_overloaded", "come again", {"retry-after": "7"})
        return StreamingResponse(_in_pieces(_events(app, asked)), media_type="text/event-stream")

    app.include_router(api)
    app.include_router(router(has_accounts=True))
    return app


def tokens_of(text: str) -> list[tuple[str, str]]:
    """(what is told of a token, the text that comes with it)."""
    tokens: list[tuple[str, str]] = []
    place = 0
    while place < len(text):
        if text[place] in LETTERS_APART:
            written = text[place].encode()
            tokens += [(f"bytes:\\x{byte:02x}", "") for byte in written[:-1]]
            tokens.append((f"bytes:\\x{written[-1]:02x}", text[place]))
            place += 1
            continue
        piece = text[place : place + 1 + place % 2]
        piece = piece[:1] if any(letter in LETTERS_APART for letter in piece) else piece
        tokens.append((piece, piece))
        place += len(piece)
    return tokens


async def _events(app: FastAPI, asked: dict[str, Any]) -> AsyncIterator[str]:
    samples = asked.get("n", 1)
    written = [TEXTS[(asked["seed"] + index) % len(TEXTS)] for index in range(samples)]
    if "いつまでも" in asked["prompt"]:
        written = [text * 200 for text in written]
    queues = [tokens_of(text) for text in written]
    offsets = [0] * samples
    try:
        for step in range(max(map(len, queues))):
            await asyncio.sleep(TOKEN_S)
            for index, queue in enumerate(queues):
                if step < len(queue):
                    yield _event(index, *queue[step], offsets[index], step, is_last=step == len(queue) - 1)
                    offsets[index] += len(queue[step][1])
            if "途中" in asked["prompt"] and step == 9:
                yield json.dumps(
                    {"error": {"message": "gone", "code": "engine_failed", "type": "server_error"}}
                )
                return
    except asyncio.CancelledError:
        app.state.left += 1
        raise
    told = {"timings": {"predicted_per_second": 61.8}, "tsuzuri": {"filtered": {"ng_words": 1}}}
    yield json.dumps({"choices": [], **told})
    yield "[DONE]"


def _event(index: int, token: str, text: str, offset: int, step: int, *, is_last: bool) -> str:
    probability = (0.93, 0.41, 0.12, 0.66, 0.03, 0.3, 0.007)[step % 7]
    rest = (1 - probability) / 2
    top = {rival: math.log(rest / 2**place) for place, rival in enumerate(RIVALS, start=1)}
    logprobs = {
        "tokens": [token],
        "token_logprobs": [math.log(probability)],
        "top_logprobs": [{**top, token: math.log(probability)}],
        "text_offset": [offset],
    }
    choice = {
        "index": index,
        "text": text,
        "logprobs": logprobs,
        "finish_reason": "stop" if is_last else None,
    }
    return json.dumps({"choices": [choice]}, ensure_ascii=False)


async def _in_pieces(events: AsyncIterator[str]) -> AsyncIterator[bytes]:
    async for event in events:
        data = f"data: {event}\n\n".encode()
        cut = data.find(b'"text": "') + 10
        yield data[:cut]  # within a character, where there is one
        yield data[cut:]


def _holds_key(request: Request) -> bool:
    return request.headers.get("authorization") == f"Bearer {KEY}"


def _error(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> Response:
    body = {"error": {"message": message, "type": "error", "param": None, "code": code}}
    return JSONResponse(body, status, headers)
