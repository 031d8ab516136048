"""Text to ids and back: nothing is lost or read as a special piece, and all libraries give the same ids."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tsuzuri.core.boxes import SETTINGS_FILE, TOKENIZER_FILE
from tsuzuri.core.errors import InputError, IntegrityError
from tsuzuri.core.manifest import make_box
from tsuzuri.tokenizer.codec import Tokenizer
from tsuzuri.tokenizer.config import SPECIAL_PIECES

AWKWARD = [
    "",
    "\n\n\r\n \t  \u3000　▁▁ ▁a",
    "<0x0A><0xE3> <|endoftext|>今日は<|im_start|>user\n<|im_end|><|sep|><|mask|>",
    "e\u0301 か\u3099 👨‍👩‍👧‍👦🏳️‍🌈 \ue000\U0010ffff\x00\x7f\ufeff\u200b \ufffd",
    "焼肉定食を食べる。2024年１０月、コーヒー　 I've seen the book.   ",
    "  many   spaces    and\ttabs\t\t\x0b\x0c\x85\u2028\u2029end ",
    "﨑𠮟る\U0002f800\U000e0100",
]
UNICODE = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=60)
MIXED = st.lists(st.one_of(UNICODE, st.sampled_from(AWKWARD)), max_size=4).map("".join)


@settings(deadline=None)
@given(MIXED)
@example("".join(AWKWARD))
def test_every_text_comes_back(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert b"".join(tokenizer.pieces[index] for index in ids) == text.encode()
    assert min(ids, default=len(SPECIAL_PIECES)) >= len(SPECIAL_PIECES)


@settings(deadline=None)
@given(MIXED)
def test_the_plain_library_gives_the_same_ids_and_text(
    tokenizer: Tokenizer, files: tuple[str, str], text: str
) -> None:
    plain = tokenizers.Tokenizer.from_str(files[0])
    assert plain.encode(text).ids == tokenizer.encode(text)
    assert plain.decode(plain.encode(text).ids) == text


def test_every_scalar_value_comes_back(tokenizer: Tokenizer) -> None:
    every = "".join(map(chr, (*range(0xD800), *range(0xE000, 0x110000, 7))))
    assert tokenizer.decode(tokenizer.encode(every)) == every


@pytest.fixture
def transformers(files: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The package, offline, with the tokenizer's files in `tmp_path`."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / TOKENIZER_FILE).write_text(files[0], encoding="utf-8")
    (tmp_path / SETTINGS_FILE).write_text(files[1], encoding="utf-8")
    return pytest.importorskip("transformers")


def test_transformers_gives_the_same_ids_and_text(
    tokenizer: Tokenizer, transformers: Any, tmp_path: Path
) -> None:
    for model_type in (None, "llama", "qwen3", "gpt2"):
        if model_type:  # a release has its model's class beside, which must not choose another tokenizer
            (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type}))
        theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
        for text in [*AWKWARD, "".join(AWKWARD)]:
            ids = tokenizer.encode(text)
            assert theirs(text)["input_ids"] == ids
            assert theirs.encode(text) == ids
            assert theirs.decode(ids) == text
            assert theirs.decode([*ids, tokenizer.eos_id], skip_special_tokens=True) == text
        assert len(theirs) == tokenizer.vocab_size
        assert theirs.eos_token_id == theirs.bos_token_id == tokenizer.eos_id
        assert theirs.convert_tokens_to_ids(list(SPECIAL_PIECES)) == [0, 1, 2, 3, 4]


def test_what_transformers_saves_again_loads_as_the_same(
    tokenizer: Tokenizer, transformers: Any, tmp_path: Path
) -> None:
    transformers.AutoTokenizer.from_pretrained(tmp_path).save_pretrained(tmp_path / "again")
    again = Tokenizer.load(tmp_path / "again")
    assert again.pieces == tokenizer.pieces
    for text in AWKWARD:
        assert again.encode(text) == tokenizer.encode(text)


def test_pieces_and_ids(tokenizer: Tokenizer) -> None:
    assert tokenizer.eos_id == tokenizer.piece_id("<|endoftext|>") == 0
    assert tokenizer.pieces[:5] == [b""] * 5
    assert tokenizer.pieces[5:261] == [bytes([byte]) for byte in range(256)]
    assert b"" not in tokenizer.pieces[5:]
    assert len(tokenizer.pieces) == tokenizer.vocab_size
    assert len(tokenizer.sha256) == 64


def test_ids_cut_inside_a_character_are_replaced(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("鰯")  # not in the text that it learnt from
    assert len(ids) > 1
    assert tokenizer.decode([tokenizer.eos_id, *ids[:-1]]) == "\ufffd"


def test_a_batch_is_its_texts(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode_batch(AWKWARD) == [tokenizer.encode(text) for text in AWKWARD]
    assert tokenizer.encode_batch([]) == []


def test_half_a_surrogate_pair_is_named(tokenizer: Tokenizer) -> None:
    with pytest.raises(InputError, match=r"U\+D83D at character 2"):
        tokenizer.encode_batch(["良い", "悪い\ud83d"])


def test_what_is_no_text_is_said(tokenizer: Tokenizer) -> None:
    with pytest.raises(InputError, match="every text must be a str"):
        tokenizer.encode_batch([None])  # type: ignore[list-item]


def test_a_long_text_without_spaces_or_lines_is_encoded(tokenizer: Tokenizer, texts: list[str]) -> None:
    text = "".join(texts).replace("\n", "") * 20
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no tokenizer\.json"):
        Tokenizer.load(tmp_path)
    with pytest.raises(InputError, match=r"no tokenizer\.json"):
        Tokenizer.load(tmp_path / "absent.json")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"model": 3}', '{"version": "1.0", "model": {"type": "New"}}']
)
def test_damaged_text_is_no_tokenizer(tmp_path: Path, text: str) -> None:
    (tmp_path / TOKENIZER_FILE).write_text(text)
    with pytest.raises(InputError, match=r"tokenizer\.json: it is no tokenizer\.json"):
        Tokenizer.load(tmp_path)


def test_damaged_bytes_are_named(tmp_path: Path, files: tuple[str, str]) -> None:
    (tmp_path / TOKENIZER_FILE).write_bytes(files[0].encode()[:-200] + b"\xff" * 200)
    with pytest.raises(IntegrityError, match="not UTF-8"):
        Tokenizer.load(tmp_path)


def test_a_changed_byte_is_noticed_by_the_manifest(tmp_path: Path, files: tuple[str, str]) -> None:
    def work() -> dict[str, Any]:
        (tmp_path / "box" / TOKENIZER_FILE).write_text(files[0], encoding="utf-8")
        return {}

    make_box(tmp_path / "box", kind="tokenizer", config={}, inputs={}, work=work)
    Tokenizer.load(tmp_path / "box")
    file = tmp_path / "box" / TOKENIZER_FILE
    file.write_text(files[0] + " ", encoding="utf-8")
    with pytest.raises(IntegrityError, match="SHA-256 differs"):
        Tokenizer.load(tmp_path / "box")


def test_a_foreign_tokenizer_that_loses_text_is_refused(tmp_path: Path) -> None:
    model = tokenizers.models.WordPiece({"[UNK]": 0, "a": 1, "<|endoftext|>": 2}, unk_token="[UNK]")
    tokenizers.Tokenizer(model).save(str(tmp_path / TOKENIZER_FILE))
    with pytest.raises(InputError, match="WordPiece model without bytes"):
        Tokenizer.load(tmp_path)


def test_a_foreign_tokenizer_without_an_end_is_refused(tmp_path: Path) -> None:
    foreign = tokenizers.Tokenizer(tokenizers.models.BPE())
    foreign.decoder = tokenizers.decoders.ByteLevel()
    foreign.save(str(tmp_path / TOKENIZER_FILE))
    with pytest.raises(InputError, match="is not in its vocabulary"):
        Tokenizer.load(tmp_path)


def test_a_foreign_byte_level_tokenizer_is_read(tmp_path: Path, texts: list[str]) -> None:
    foreign = tokenizers.Tokenizer(tokenizers.models.BPE())
    foreign.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    foreign.decoder = tokenizers.decoders.ByteLevel()
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=alphabet, special_tokens=["</s>"], show_progress=False
    )
    foreign.train_from_iterator(texts, trainer)
    foreign.add_tokens(["<think>"])
    foreign.save(str(tmp_path / TOKENIZER_FILE))
    (tmp_path / SETTINGS_FILE).write_text(json.dumps({"eos_token": {"content": "</s>"}}))
    ours = Tokenizer.load(tmp_path / TOKENIZER_FILE)
    assert ours.eos_id == 0
    assert ours.pieces[0] == b""
    assert ours.pieces[-1] == b"<think>"
    for text in AWKWARD:
        assert ours.decode(ours.encode(text)) == text
    assert 0 not in ours.encode("</s>")


def test_a_piece_outside_the_letters_of_bytes_stands_for_itself(tmp_path: Path) -> None:
    letters = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {piece: index for index, piece in enumerate(["</s>", "日本", "a 日", *letters])}
    foreign = tokenizers.Tokenizer(tokenizers.models.BPE(vocabulary, []))
    foreign.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    foreign.decoder = tokenizers.decoders.ByteLevel()
    foreign.save(str(tmp_path / TOKENIZER_FILE))
    (tmp_path / SETTINGS_FILE).write_text(json.dumps({"eos_token": "</s>"}))
    ours = Tokenizer.load(tmp_path)
    assert [ours.decode([index]) for index in (1, 2)] == [foreign.decode([index]) for index in (1, 2)]
    assert ours.decode(ours.encode("日本 a")) == "日本 a"


def test_a_foreign_tokenizer_of_llamas_kind_is_read(tmp_path: Path) -> None:
    spelling = ["<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "a", "日", "▁a"]
    model = tokenizers.models.BPE(
        {piece: n for n, piece in enumerate(spelling)}, [("▁", "a")], byte_fallback=True
    )
    foreign = tokenizers.Tokenizer(model)
    normalizers, decoders = tokenizers.normalizers, tokenizers.decoders
    foreign.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    foreign.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    foreign.save(str(tmp_path / TOKENIZER_FILE))
    (tmp_path / SETTINGS_FILE).write_text(json.dumps({"eos_token": "</s>", "bos_token": "<s>"}))
    ours = Tokenizer.load(tmp_path)
    assert ours.pieces[-4:] == [b" ", b"a", "日".encode(), b" a"]
    assert ours.pieces[:3] == [b"", b"", b"\x00"]
    for text in ("a 日本 a", " a", "日\n"):
        assert ours.decode(ours.encode(text)) == text == foreign.decode(foreign.encode(text).ids)
