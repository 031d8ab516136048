"""The paragraph about personal data that a datasheet carries."""

from __future__ import annotations

from tsuzuri.corpus.anonymize.anonymizer import Anonymizer
from tsuzuri.corpus.anonymize.config import TOKENS, AnonymizeConfig
from tsuzuri.corpus.anonymize.datasheet import measured, personal_data
from tsuzuri.corpus.anonymize.log import AnonymizeCounts, findings_of

TEXT = "電話03-1234-5678、フリーダイヤル0120-123-456"


def test_the_measured_kinds_exist_and_meet_the_bar() -> None:
    kinds = measured()["made_up"]["kinds"]
    assert kinds.keys() <= TOKENS.keys()
    assert all(0.98 <= figure[rate] <= 1 for figure in kinds.values() for rate in ("recall", "precision"))


def test_the_datasheet_says_what_was_done_and_what_it_is_not() -> None:
    counts = AnonymizeCounts()
    counts.add(list(findings_of(Anonymizer(AnonymizeConfig())(TEXT), "text")))
    sources = [{"name": "web", "anonymize": {"level": "standard", "mode": "token"}}]
    section = personal_data(sources, {"web": counts.as_mapping()})
    assert "| web | standard | token | 1 | 1 | 0 |" in section
    assert "| landline | 1 | 0 |" in section
    assert "| service\\_phone | 0 | 1 |" in section
    assert "匿名加工情報" in section
    assert "1234" not in section


def test_the_datasheet_of_untouched_text_says_so() -> None:
    assert "was not looked for" in personal_data([{"name": "books"}], {})
    settings = {"level": "strict", "mode": "drop"}
    sources = [{"name": "books"}, {"name": "web", "anonymize": settings}]
    section = personal_data(sources, {"web": AnonymizeCounts().as_mapping()})
    assert "was not looked for in the documents of books**" in section
