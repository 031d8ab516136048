"""lm-evaluation-harness reaches our models by its own API models, and gets what the model itself says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

import releases
from servers import running
from tsuzuri.generation.language_model import LanguageModel
from tsuzuri.serving.chat import TEMPLATE_FILE
from tsuzuri.serving.config import ModelConfig, ServeConfig

PAIRS = [("ある山", "猫も犬も"), ("", "東京の朝は"), ("人が町の中を", "三毛猫と走る。"), ("村", "ねこ")]
SCRIPT = """
import json, sys
from lm_eval.api.instance import Instance
from lm_eval.models.openai_completions import LocalChatCompletion, LocalCompletionsAPI

asked = json.loads(sys.argv[1])
until = {"until": ["\\n\\n"], "max_gen_toks": 8, "temperature": 0}
def ask(kind, arguments):
    return [Instance(kind, {}, tuple(one), number) for number, one in enumerate(arguments)]
told = []
for concurrent, batch in asked["settings"]:
    model = LocalCompletionsAPI(
        base_url=asked["address"] + "/v1/completions", model="kana", tokenizer=asked["tokenizer"],
        num_concurrent=concurrent, batch_size=batch, max_length=128,
    )
    told.append({
        "pairs": model.loglikelihood(ask("loglikelihood", asked["pairs"])),
        "rolling": model.loglikelihood_rolling(ask("loglikelihood_rolling", [p[1:] for p in asked["pairs"]])),
        "texts": model.generate_until(ask("generate_until", [[p[0], until] for p in asked["pairs"] if p[0]])),
    })
talker = LocalChatCompletion(base_url=asked["address"] + "/v1/chat/completions", model="kana", max_length=128)
talks = []
for text, _ in asked["pairs"]:
    for marked in ({}, {"type": "text"}):  # as some of its versions say it
        talks.append([talker.apply_chat_template([{"role": "user", "content": text, **marked}]), until])
said = talker.generate_until(ask("generate_until", talks))
print(json.dumps({"told": told, "said": said}, ensure_ascii=False))
"""


@pytest.fixture(scope="module")
def release_of_a_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real small release, of a random model, and a chat template in its folder."""
    folder = releases.release(releases.make_release_inputs(tmp_path_factory.mktemp("build")))
    (folder / TEMPLATE_FILE).write_text("{{ messages[-1].content }}", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def model_address(release_of_a_model: Path) -> Iterator[str]:
    """A server of it, in float32 so that scores agree."""
    engine = {"precision": "float32", "device": "cpu", "slots": 4}
    models = (ModelConfig(path=release_of_a_model, name="kana", engine=engine),)
    with running(ServeConfig(port=0, models=models)) as (address, _):
        yield address


@pytest.mark.slow
def test_the_harness_gets_what_the_model_says(
    release_of_a_model: Path, model_address: str, tmp_path: Path
) -> None:
    """Alone, several at once, and several texts a request."""
    if find_spec("lm_eval") is None:
        pytest.skip("lm-eval is not installed: pip install 'tsuzuri[bench]'")
    settings = ((1, 1), (4, 1), (1, 3))
    asked = {"address": model_address, "tokenizer": str(release_of_a_model), "pairs": PAIRS}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps({**asked, "settings": settings})],
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "OPENAI_API_KEY": "none"},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    model = LanguageModel.load(release_of_a_model, device="cpu")
    rolling = [score.log_probability for score in model.score([text for _, text in PAIRS])]
    texts = [model.generate(context, max_new_tokens=8, temperature=0) for context, _ in PAIRS if context]
    answers = json.loads(done.stdout.splitlines()[-1])
    chats = [model.generate(context, max_new_tokens=8, temperature=0) for context, _ in PAIRS]
    assert answers["said"] == [text for text in chats for _ in range(2)]
    for told in answers["told"]:
        for (context, text), (found, _) in zip(PAIRS, told["pairs"], strict=True):
            [whole], read = model.score(context + text), len(model.tokenizer.encode_batch([context])[0])
            follows = whole.tokens[read:]
            assert follows
            assert found == pytest.approx(sum(token.log_probability for token in follows), abs=0.01)
        assert told["rolling"] == pytest.approx(rolling, abs=0.01)
        assert told["texts"] == texts
