"""A process of its own in which llama.cpp (xllamacpp) loads GGUF files, and says what it made of them.

Standard input: {"files": […], "texts": […], "prompt": [ids], "count": n}; standard output, last line: for
each file {"ids": [[…]], "opened": […], "greedy": […]}.
"""

from __future__ import annotations

import json
import os
import sys
import urllib.request
from typing import Any

import xllamacpp


def answers(file: str, asked: dict[str, Any]) -> dict[str, Any]:
    """What one file's model answers."""
    params = xllamacpp.CommonParams()
    params.model.path = file
    params.n_ctx, params.n_parallel, params.warmup, params.fit_params = 128, 1, False, False
    params.cpuparams.n_threads = 1
    server = xllamacpp.Server(params)

    def post(path: str, body: dict[str, Any]) -> Any:
        request = urllib.request.Request(
            server.listening_address + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    def tokenize(text: str, *, opened: bool) -> Any:
        body = {"content": text, "add_special": opened, "parse_special": False}
        return post("/tokenize", body)["tokens"]

    request = {
        "prompt": asked["prompt"],
        "n_predict": asked["count"],
        "temperature": 0,
        "repeat_penalty": 1.0,
        "cache_prompt": False,
        "return_tokens": True,
        "ignore_eos": True,
    }
    return {
        "ids": [tokenize(text, opened=False) for text in asked["texts"]],
        "opened": tokenize(asked["texts"][0], opened=True),
        "greedy": post("/completion", request)["tokens"],
    }


asked = json.load(sys.stdin)
print("\n" + json.dumps([answers(file, asked) for file in asked["files"]]), flush=True)
os._exit(0)  # its servers' threads know no end
