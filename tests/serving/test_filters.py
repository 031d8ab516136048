"""NG words and personal data: masked or stopped before any of it leaves, and reported."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servers import ask, events, running, write_release
from tsuzuri.core.errors import InputError
from tsuzuri.serving.config import (
    FilterConfig,
    ModelConfig,
    NgWordsFilter,
    PersonalDataFilter,
    ServeConfig,
)
from tsuzuri.serving.filters import FilteredText, Filters, Segment

STORY = "昔、ある所に悪人がいた。電話は03-3581-3361、メールは taro@mail.sakura-denki.jp だった。おわり。" * 2


def filters(
    tmp_path: Path, action: Literal["mask", "stop"] = "mask", *, words: str = "悪人\n悪事\n", hold: int = 48
) -> Filters:
    file = tmp_path / "words.txt"
    file.write_text(words, encoding="utf-8")
    return Filters(
        FilterConfig(
            ng_words=NgWordsFilter(file=file, action=action),
            personal_data=PersonalDataFilter(action=action),
            hold_characters=hold,
        )
    )


def passed(rules: Filters, text: str, *, size: int = 1, prompt: str = "") -> tuple[str, FilteredText]:
    """What leaves of a text that comes in parts."""
    stream = FilteredText(rules, prompt)
    segments: list[Segment] = []
    for start in range(0, len(text), size):
        segments += stream.push(text[start : start + size])
    segments += stream.flush()
    if not stream.stopped:
        assert sum(segment.characters for segment in segments) == len(text)
    return "".join(segment.text for segment in segments), stream


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_what_is_found_is_masked_however_it_comes(tmp_path: Path, size: int) -> None:
    shown, stream = passed(filters(tmp_path), STORY, size=size)
    once = "昔、ある所に〓〓がいた。電話は<電話番号>、メールは <メールアドレス> だった。おわり。"
    assert shown == once * 2
    assert stream.counts == {"ng_words": 2, "landline": 2, "email": 2}


@pytest.mark.parametrize("size", [1, 5, 1000])
def test_or_ends_the_answer_before_it(tmp_path: Path, size: int) -> None:
    shown, stream = passed(filters(tmp_path, "stop"), STORY, size=size)
    assert shown == "昔、ある所に"
    assert stream.stopped
    assert stream.counts == {"ng_words": 1}


def test_no_part_of_it_leaves_before_it_is_seen_whole(tmp_path: Path) -> None:
    stream = FilteredText(filters(tmp_path), "")
    left = ""
    for character in "連絡は 090-1234-5678 まで。" + "あ" * 60:
        left += "".join(segment.text for segment in stream.push(character))
        assert "090" not in left
    assert left.startswith("連絡は <電話番号> まで。")


def test_the_prompt_is_context_but_not_text_of_ours(tmp_path: Path) -> None:
    shown, stream = passed(filters(tmp_path), "81-3361です。", prompt="悪人の電話は03-35")
    assert "3361" not in shown
    assert stream.counts == {"landline": 1}
    assert passed(filters(tmp_path), "がいた。", prompt="あれは悪人")[0] == "がいた。"


def test_a_word_that_goes_on_is_another_word(tmp_path: Path) -> None:
    rules = filters(tmp_path, words="アス\n")
    assert passed(rules, "アスパラガスを食べた。")[0] == "アスパラガスを食べた。"
    assert passed(rules, "アスを見た。")[0] == "〓〓を見た。"


@given(st.text(alphabet="悪人事あ。", max_size=40), st.integers(1, 5), st.sampled_from([16, 48]))
def test_parts_leave_as_the_whole_would(text: str, size: int, hold: int) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        rules = filters(Path(folder), hold=hold)
        whole, _ = passed(rules, text, size=1000)
        assert passed(rules, text, size=size)[0] == whole
    for word in ("悪人", "悪事"):
        assert word not in whole


def test_a_list_that_is_none_is_said_before_anything_is_served(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no readable list"):
        Filters(FilterConfig(ng_words=NgWordsFilter(file=tmp_path / "absent.txt")))


def test_the_answer_says_what_was_found(tmp_path: Path) -> None:
    """The mock's own words are taken for NG words, so that every answer holds one."""
    release = write_release(tmp_path / "release")
    with running(ServeConfig(port=0, models=(_model(release, None),))) as (address, _):
        asked = {"model": "kana", "prompt": "朝", "max_tokens": 40, "seed": 3, "logprobs": 1}
        free = ask(address, "/v1/completions", asked)[2]["choices"][0]
    told = [token for token in free["logprobs"]["tokens"] if len(token) > 1 and "\n" not in token]
    (tmp_path / "words.txt").write_text("\n".join(told[:1]) + "\n", encoding="utf-8")
    models = (
        _model(release, NgWordsFilter(file=tmp_path / "words.txt")),
        _model(release, NgWordsFilter(file=tmp_path / "words.txt", action="stop"), name="strict"),
    )
    with running(ServeConfig(port=0, models=models)) as (address, _):
        answer = ask(address, "/v1/completions", asked)[2]
        assert told[0] in free["text"]
        assert told[0] not in answer["choices"][0]["text"]
        assert "〓" in answer["choices"][0]["text"]
        assert told[0] not in answer["choices"][0]["logprobs"]["tokens"]
        assert answer["tsuzuri"]["filtered"]["ng_words"] >= 1
        *parts, _ = events(ask(address, "/v1/completions", {**asked, "stream": True})[2])
        assert "".join(part["choices"][0]["text"] for part in parts) == answer["choices"][0]["text"]
        assert parts[-1]["tsuzuri"]["filtered"] == answer["tsuzuri"]["filtered"]
        strict = ask(address, "/v1/completions", {**asked, "model": "strict"})[2]["choices"][0]
        assert strict["finish_reason"] == "content_filter"
        assert free["text"].startswith(strict["text"])
        assert told[0] not in strict["text"]
        listed = {model["id"]: model["tsuzuri"]["filters"] for model in ask(address, "/v1/models")[2]["data"]}
        assert listed == {"kana": ["ng_words"], "strict": ["ng_words"]}
        metrics = ask(address, "/metrics")[2].decode()
        assert 'tsuzuri:filtered_total{kind="ng_words",model_name="kana"}' in metrics


def _model(release: Path, words: NgWordsFilter | None, *, name: str = "kana") -> ModelConfig:
    return ModelConfig(path=release, name=name, engine={"kind": "mock"}, filters=FilterConfig(ng_words=words))
