"""What an operator types wrongly, or where nobody listens: one clear sentence each."""

from __future__ import annotations

from pathlib import Path

import pytest

import servers
from tsuzuri.cli import main
from tsuzuri.specialists.operators.reaching import where_is
from tsuzuri.specialists.up.kept import write_up

ABSENT = "127.0.0.1:9"
"""The port `discard`, at which nobody listens."""


def test_where_the_broker_is(tmp_path: Path) -> None:
    path = tmp_path / "house.yaml"
    path.write_text("bus: {bootstrap: 'kafka:9092', prefix: ours, security: {sasl.username: up}}")
    assert where_is(path, None, None).bootstrap == "kafka:9092"
    (tmp_path / "house.up").mkdir()  # an `up` that has ended leaves its folder
    assert where_is(path, None, None).bootstrap == "kafka:9092"
    write_up(tmp_path / "house.up", bootstrap="127.0.0.1:7", prefix="theirs", config=str(path))
    for found in (where_is(path, None, None), where_is(None, None, tmp_path / "house.up")):
        assert (found.bootstrap, found.prefix) == ("127.0.0.1:7", "theirs")
        assert "sasl.username" in found.security
    assert where_is(path, "other:1", None).bootstrap == "other:1"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["list", "--out=nowhere"], "nothing runs in nowhere"),
        (["list", "--kafka=nonsense"], "is no host:port"),
        (["rollback", "literature", "--out=nowhere"], "nothing runs in nowhere"),
        (["add", "literature", "no-release", "--out=nowhere"], "there is nothing at no-release"),
        (["add", "literature", "/no/release", "--out=nowhere"], "there is nothing at /no/release"),
        (["add", "literature", "/there/release", "--revision=1", "--out=nowhere"], "nothing runs in nowhere"),
        (["add", "文学", ".", "--out=nowhere"], "can't be the name of a specialist"),
        (["add", "literature", ".", "--set=engin.kind=mock"], "unknown key 'engin'"),
        (["up", "no.yaml"], "no readable file at no.yaml"),
    ],
)
def test_mistakes_exit_with_2_and_one_sentence(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["specialists", *words]) == 2
    assert says in capsys.readouterr().err


def test_a_broker_that_is_absent_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("confluent_kafka", reason="extra kafka")
    path = tmp_path / "s.yaml"
    path.write_text("bus: {request_s: 1}")
    assert main(["specialists", "list", f"--config={path}", f"--kafka={ABSENT}"]) == 2
    assert ABSENT in capsys.readouterr().err


def test_an_up_that_can_not_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("alias: kana")
    assert main(["specialists", "up", str(path)]) == 2
    assert "names no specialists" in capsys.readouterr().err
    servers.write_release(tmp_path / "general")
    path.write_text("specialists: [{name: generalist, release: general, engine: {kind: mock}}]")
    assert main(["specialists", "up", str(path), "--kafka=a:1", f"--kafka-home={tmp_path}"]) == 2
    assert "give one of them" in capsys.readouterr().err
    assert main(["specialists", "up", str(path), f"--kafka-home={tmp_path}"]) == 2
    assert "is no distribution of Apache Kafka" in capsys.readouterr().err
    pytest.importorskip("confluent_kafka", reason="extra kafka")
    assert main(["specialists", "up", str(path), f"--kafka={ABSENT}", "--set=bus.request_s=1"]) == 2
    assert ABSENT in capsys.readouterr().err
