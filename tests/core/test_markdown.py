from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tsuzuri.core.markdown import cell, fenced, table


def test_a_table_sets_its_figures_to_the_right() -> None:
    assert table(("出所", "文書", "割合"), [("aozora", 3081, "77.6 %"), ("a|b", 2, 0.5)]).split("\n") == [
        "| 出所 | 文書 | 割合 |",
        "| --- | ---: | ---: |",
        "| aozora | 3,081 | 77.6 % |",
        "| a\\|b | 2 | 0.500 |",
    ]


@given(st.text())
def test_a_cell_stays_in_its_place(text: str) -> None:
    line = cell(text)
    assert "\n" not in line
    assert "<" not in line
    assert "|" not in line.replace("\\\\", "").replace("\\|", "")


@given(st.text())
def test_a_block_ends_only_at_its_own_fence(text: str) -> None:
    block = fenced(text)
    fence = block[: len(block) - len(block.lstrip("`"))]
    assert block.endswith("\n" + fence)
    assert fence not in text
