"""The paragraph about personal data that a datasheet carries."""

from __future__ import annotations

from tsuzuri.corpus.anonymize.anonymizer import Anonymizer
from tsuzuri.corpus.anonymize.config import TOKENS, AnonymizeConfig
from tsuzuri.corpus.anonymize.datasheet import datasheet_section, measured
from tsuzuri.corpus.anonymize.log import AnonymizeCounts

TEXT = "電話03-1234-5678、フリーダイヤル0120-123-456"


def test_the_measured_kinds_exist_and_meet_the_bar() -> None:
    kinds = measured()["made_up"]["kinds"]
    assert kinds.keys() <= TOKENS.keys()
    assert all(0.98 <= figure[rate] <= 1 for figure in kinds.values() for rate in ("recall", "precision"))


def test_the_datasheet_says_what_was_done_and_what_it_is_not() -> None:
    counts = AnonymizeCounts()
    counts.add(Anonymizer(AnonymizeConfig())(TEXT))
    section = datasheet_section(counts.as_mapping(), AnonymizeConfig())
    assert "| landline | 1 | 0 |" in section
    assert "| service_phone | 0 | 1 |" in section
    assert "匿名加工情報" in section
    assert "1234" not in section


def test_the_datasheet_of_untouched_text_says_so() -> None:
    section = datasheet_section(AnonymizeCounts().as_mapping(), AnonymizeConfig(level="off"))
    assert "was not looked for" in section
