"""The merges against the definition of BPE, and the rules that they hold."""

from __future__ import annotations

import itertools
import re
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from tsuzuri.tokenizer.codec import Tokenizer
from tsuzuri.tokenizer.config import Boundary, TokenizerConfig
from tsuzuri.tokenizer.merges import Rules, learn
from tsuzuri.tokenizer.scripts import RUNS, Script, script_of
from tsuzuri.tokenizer.train import learn_tokenizer

FREE = Rules(scripts=False, longest_piece=16)
SCRIPTS = Rules(scripts=True, longest_piece=16)
JAPANESE = st.text(alphabet="かなをーカナヒヽ々漢字肉〻゛a b。、1２①〇\n\u3099\ufe00", max_size=40)
LANGUAGE = st.text(
    alphabet=st.sampled_from("あいのをんべがーコヒアン々人日食肉定焼、。「」 abe12年\n\t\u3099"), max_size=60
)


def defined_merges(chunks: dict[str, int], rules: Rules) -> list[tuple[str, str]]:
    """BPE by its definition: count every pair, merge the most frequent from the left, count again."""
    ids = {character: index for index, character in enumerate(sorted({"\n", *"".join(chunks)}))}
    allowed = rules.neighbours()
    lines = [(list(chunk), seen) for chunk, seen in chunks.items()]

    def lawful(left: str, right: str) -> bool:
        kinds = rules.kind(left[0]), rules.kind(right[0])
        return bool(allowed[kinds]) and len(left + right) <= rules.longest_piece

    merges: list[tuple[str, str]] = []
    while True:
        counts: Counter[tuple[str, str]] = Counter()
        for line, seen in lines:
            for pair in itertools.pairwise(line):
                counts[pair] += seen if lawful(*pair) else 0
        ordered = sorted(counts, key=lambda pair: (-counts[pair], ids[pair[0]], ids[pair[1]]))
        if not ordered or counts[ordered[0]] < 2:
            return merges
        best = ordered[0]
        merges.append(best)
        ids.setdefault("".join(best), len(ids))
        for line, _ in lines:
            place = 0
            while place < len(line) - 1:
                if (line[place], line[place + 1]) == best:
                    line[place : place + 2] = ["".join(best)]
                place += 1


@settings(deadline=None, max_examples=200)
@given(
    st.dictionaries(
        st.text(alphabet="abcかーカ1", min_size=1, max_size=14), st.integers(1, 4), min_size=1, max_size=8
    ),
    st.sampled_from([FREE, SCRIPTS, Rules(scripts=False, longest_piece=3)]),
)
def test_the_merges_are_those_of_the_definition(chunks: dict[str, int], rules: Rules) -> None:
    learned = learn(chunks, 10_000, rules, through_bytes=False)
    assert learned.merges == defined_merges(chunks, rules)


def test_a_piece_reached_by_two_merges_is_counted_whole() -> None:
    chunks = {"abc": 9, "xab": 40, "xbc": 20, "bcab": 30, "abcd": 5, "abcab": 3}
    learned = learn(chunks, 1000, FREE, through_bytes=False)
    assert learned.merges == defined_merges(chunks, FREE)


def test_characters_take_a_place_by_the_tokens_that_they_save() -> None:
    learned = learn({"ab": 50, "犬": 30, "猫": 2, "鯨": 30}, 6, FREE, through_bytes=False)
    assert learned.characters == ["\n", "犬", "鯨", "a", "b"]  # 112, 60, 60, 50 and 50 tokens
    assert learned.merges == [("a", "b")]


def test_places_are_never_overrun_and_prefixes_of_bytes_count() -> None:
    for places in range(1, 30):
        learned = learn({"犬猫犬猫": 9, "鯨": 7, "éé": 5}, places, FREE, through_bytes=True)
        prefixes = {c.encode()[:end] for c in learned.characters for end in range(2, len(c.encode()) + 1)}
        products = {left + right for left, right in learned.merges}
        assert len(prefixes) + len(products) <= places


def test_scripts_of_characters() -> None:
    wanted = {
        Script.SINGLE: "0９①Ⅳ〇\n\r",
        Script.HIRAGANA: "あんゝゟ",
        Script.KATAKANA: "アヶヽｱ",
        Script.KANJI: "漢〆﨑𠮟",
        Script.MARK: "ー々゛゜\u3099ﾞｰ\ufe0f",
        Script.REST: "a 。・「▁\t😀α",
    }
    for script, characters in wanted.items():
        assert {script_of(character) for character in characters} == {script}, script


@given(JAPANESE)
def test_no_piece_crosses_what_it_may_not(tokenizer: Tokenizer, kind: TokenizerConfig, text: str) -> None:
    pieces = [tokenizer.pieces[index] for index in tokenizer.encode(text)]
    for piece in filter(_decodes, pieces):
        scripts = {script_of(character) for character in piece.decode()} - {Script.MARK}
        assert Script.SINGLE not in scripts or len(piece) == 1
        assert kind.boundary is Boundary.NONE or len(scripts) <= 1


def test_no_piece_of_the_vocabulary_crosses_what_it_may_not(
    tokenizer: Tokenizer, kind: TokenizerConfig
) -> None:
    for piece in filter(_decodes, tokenizer.pieces):
        scripts = [script_of(character) for character in piece.decode()]
        assert Script.SINGLE not in scripts or len(scripts) == 1
        assert len(scripts) <= kind.longest_piece
        if kind.boundary is not Boundary.NONE and len(scripts) > 1:
            assert scripts[0] is not Script.MARK
            assert len({*scripts} - {Script.MARK}) == 1


@settings(deadline=None)
@given(LANGUAGE)
def test_whole_texts_get_the_ids_of_their_runs_of_one_script(script_tokenizer: Tokenizer, text: str) -> None:
    runs = [run for line in text.split("\n") for run in ["\n", *RUNS.findall(line)]][1:]
    assert script_tokenizer.encode(text) == [
        index for ids in script_tokenizer.encode_batch(runs) for index in ids
    ]


def test_boundaries_in_a_sentence(tokenizer: Tokenizer, kind: TokenizerConfig) -> None:
    sentence = "今日は日曜焼肉定食を食べる"
    pieces = [tokenizer.pieces[index].decode() for index in tokenizer.encode(sentence)]
    if kind.boundary is Boundary.NONE:
        assert any("を食" in piece for piece in pieces)  # the control: this text joins them
    else:
        assert not any("を食" in piece for piece in pieces)
    if kind.boundary is Boundary.SCRIPT_AND_PIECES:
        assert "肉定" not in pieces


def test_edges_of_pieces_bind_what_is_learnt_and_scripts_whatever_is_read(texts: list[str]) -> None:
    sentence = "今日は日曜焼肉定食を食べる"
    apart = [
        *(re.sub("焼肉定食|焼肉|定食", "手紙", text) for text in texts),
        "焼肉を焼く。定食を作る。\n" * 40,
    ]
    for others, crosses in (([], False), (["肉定という人がいた。肉定は町に住んでいた。\n" * 200], True)):
        config = TokenizerConfig(vocab_size=640, boundary=Boundary.SCRIPT_AND_PIECES)
        tokenizer = Tokenizer(*learn_tokenizer([*apart, *others], config))
        pieces = [tokenizer.pieces[index].decode() for index in tokenizer.encode(sentence)]
        assert ("肉定" in pieces) is crosses
        assert not any("を食" in piece for piece in pieces)


def _decodes(piece: bytes) -> bool:
    try:
        return bool(piece.decode())
    except UnicodeDecodeError:
        return False
