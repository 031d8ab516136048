"""Specialists over HTTP: to a client they are one model, with keys, quotas and streams as any other."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from buses import until
from fake_workers import TEXT, admit, failing
from houses import ALIAS, House
from servers import ask, events, running
from tsuzuri.core.errors import InputError
from tsuzuri.serving.accounts.commands import keys_create, usage
from tsuzuri.serving.accounts.config import AccountsConfig, DatabaseConfig
from tsuzuri.serving.accounts.journal import SUFFIX
from tsuzuri.serving.config import ServeConfig
from tsuzuri.serving.server import Server
from tsuzuri.specialists.bus.base import Lag
from tsuzuri.specialists.bus.config import BusConfig
from tsuzuri.specialists.config import SpecialistsConfig
from tsuzuri.specialists.gateway.server import Specialists
from tsuzuri.specialists.messages import Ask
from tsuzuri.specialists.routing.base import RouterConfig, RuleConfig

NEWS = RuleConfig(specialist="news", keywords=("号外",))
LAW = RuleConfig(specialist="law", keywords=("民法",))
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@contextlib.contextmanager
def serving(house: House, config: ServeConfig | None = None) -> Iterator[tuple[str, Server, Specialists]]:
    """(address, server, guest) of a server that has seen every worker."""
    rules = RouterConfig(method="table", rules=(NEWS, LAW))
    specialists = SpecialistsConfig(alias=ALIAS, router=rules, bus=BusConfig(prefix=house.prefix))
    guest = Specialists(specialists, bus=house.open_bus())
    with running(config or ServeConfig(port=0, drain_s=1.0), [guest]) as (address, server):
        instances = {worker.instance for worker in house.workers}
        until(lambda: instances <= {one for of in guest.gateway.living.live.values() for one in of})
        yield address, server, guest


def asked(**others: Any) -> dict[str, Any]:
    return {"model": ALIAS, "prompt": "むかし", "max_tokens": 16, **others}


@pytest.fixture
def served(house: House) -> Iterator[tuple[str, Server, Specialists]]:
    house.admit("general", "law")
    house.worker("general")
    house.worker("law")
    with serving(house) as found:
        yield found


def test_a_router_that_is_none_is_told_before_anything_is_served(house: House, tmp_path: Path) -> None:
    config = SpecialistsConfig(router=RouterConfig(path=tmp_path), bus=BusConfig(prefix=house.prefix))
    with pytest.raises(InputError, match="is no router"):
        Specialists(config, bus=house.open_bus()).prepare()


def test_they_are_one_model_and_each_by_its_name(served: tuple[str, Server, Specialists]) -> None:
    address, *_ = served
    listed = ask(address, "/v1/models")[2]["data"]
    assert [one["id"] for one in listed] == [ALIAS, f"{ALIAS}/general", f"{ALIAS}/law"]
    assert listed[0]["tsuzuri"]["context"] == 256
    assert listed[0]["tsuzuri"]["capabilities"] == ["logprobs"]
    assert listed[2]["tsuzuri"] | {"revision": "r1", "chat": True} == listed[2]["tsuzuri"]
    assert ask(address, "/ready")[0] == 200


@pytest.mark.parametrize(
    ("model", "prompt", "specialist", "why"),
    [
        (ALIAS, "民法について", "law", ".*"),
        (ALIAS, "むかし", "general", ".*"),
        (f"{ALIAS}/law", "むかし", "law", "asked for by name"),
    ],
)
def test_an_answer_says_who_wrote_it_and_why(
    served: tuple[str, Server, Specialists], model: str, prompt: str, specialist: str, why: str
) -> None:
    address, *_ = served
    status, headers, answer = ask(address, "/v1/completions", asked(model=model, prompt=prompt))
    assert status == 200
    assert answer["choices"][0]["text"] == f"{specialist}:{TEXT}"[:16]
    told = answer["tsuzuri"]
    assert (told["specialist"], told["revision"], told["outcome"]) == (specialist, "r1", "complete")
    assert re.search(why, told["why"])
    assert specialist in told["posterior"]
    assert (headers["x-tsuzuri-specialist"], headers["x-tsuzuri-revision"]) == (specialist, "r1")
    assert answer["usage"]["prompt_tokens"] == len(prompt), "as the worker read it, not as was estimated"
    assert answer["usage"]["completion_tokens"] == 16


def test_a_stream_is_the_same_and_says_it_at_its_end(served: tuple[str, Server, Specialists]) -> None:
    address, *_ = served
    body = asked(stream=True, stream_options={"include_usage": True})
    status, _, content = ask(address, "/v1/completions", body)
    assert status == 200
    *parts, usage, end = events(content)
    assert end == "[DONE]"
    assert "".join(part["choices"][0]["text"] for part in parts) == f"general:{TEXT}"[:16]
    assert parts[-1]["tsuzuri"]["specialist"] == "general"
    assert usage["usage"]["prompt_tokens"] == 3
    assert usage["usage"]["completion_tokens"] == 16


def test_a_conversation_goes_to_its_reader_as_it_is(
    served: tuple[str, Server, Specialists], house: House
) -> None:
    address, *_ = served
    messages = [{"role": "user", "content": "民法とは"}]
    answer = ask(
        address, "/v1/chat/completions", {"model": ALIAS, "messages": messages, "max_tokens": 9, "n": 2}
    )[2]
    assert [choice["message"]["content"] for choice in answer["choices"]] == [f"law:{TEXT}"[:9]] * 2
    body = house.workers[1].asked[0].body
    assert body.messages == tuple(messages)  # type: ignore[attr-defined]
    assert answer["usage"]["prompt_tokens"] == 4
    assert answer["usage"]["completion_tokens"] == 18


def test_a_conversation_stays_with_whom_it_has_found(house: House) -> None:
    house.admit("general", "law", "news")
    house.worker("general")
    law = house.worker("law")
    house.worker("news")
    said: list[dict[str, str]] = [{"role": "system", "content": "号外を書く人の手伝いをする。"}]
    with serving(house) as (address, _, guest):

        def say(text: str) -> str:
            said.append({"role": "user", "content": text})
            asked_for = {"model": ALIAS, "messages": said, "max_tokens": 8}
            status, _, answer = ask(address, "/v1/chat/completions", asked_for)
            assert status == 200, answer
            said.append(answer["choices"][0]["message"])
            return str(answer["tsuzuri"]["specialist"])

        assert say("こんにちは") == "general", "nobody's yet"
        assert say("民法とは") == "law"
        assert say("号外が出たそうですね") == "law", "though a rule before its own would have it now"
        law.die()
        until(lambda: ("law", "r1") not in guest.gateway.living.live)
        del said[3:]
        assert say("民法とは") == "general"


def test_a_conversation_stays_with_its_revision(house: House) -> None:
    house.worker("general", "r1")
    house.worker("general", "r2")
    admit(house.registry, ALIAS, {"general": {"r1": 0.5, "r2": 0.5}})
    with serving(house) as (address, *_):

        def revisions(opening: str) -> set[str]:
            messages = [{"role": "user", "content": opening}]
            seen = set()
            for turn in range(6):
                asked_for = {"model": ALIAS, "messages": messages, "max_tokens": 8}
                status, _, answer = ask(address, "/v1/chat/completions", asked_for)
                assert status == 200, answer
                seen.add(answer["tsuzuri"]["revision"])
                messages += [answer["choices"][0]["message"], {"role": "user", "content": f"続き{turn}"}]
            return seen

        each = [revisions(f"話{number}") for number in range(8)]
        assert all(len(one) == 1 for one in each)
        assert set().union(*each) == {"r1", "r2"}


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ({"prompt": [5] * 1000}, "sees 256 tokens"),
        ({"prompt": "あ" * 100_000}, "sees 256 tokens"),
        ({"model": f"{ALIAS}/low"}, "law"),
    ],
)
def test_what_cannot_be_asked_is_refused_by_name(
    served: tuple[str, Server, Specialists], others: dict[str, Any], message: str
) -> None:
    status, _, answer = ask(served[0], "/v1/completions", asked(**others))
    assert status in (400, 404)
    assert message in answer["error"]["message"]


def test_ids_mean_nothing_to_several_tokenizers(house: House) -> None:
    house.admit("general", "law", tokenizers={"law": "another"})
    house.worker("general")
    house.worker("law")
    with serving(house) as (address, *_):
        body = asked(logit_bias={"5": 1.0})
        status, _, answer = ask(address, "/v1/completions", body)
        assert status == 400
        assert "logit_bias holds ids" in answer["error"]["message"]
        assert "2 tokenizers" in answer["error"]["message"]
        status, _, answer = ask(address, "/v1/completions", asked(prompt=[1, 2, 3]))
        assert status == 400
        assert "the prompt holds ids" in answer["error"]["message"]
        for others in ({"logit_bias": {"5": 1.0}}, {"prompt": [1, 2, 3]}):
            assert ask(address, "/v1/completions", asked(model=f"{ALIAS}/law", **others))[0] == 200
        assert house.workers[1].asked[-1].body.tokenizer == "another"  # type: ignore[attr-defined]
    house.admit("general", "law")
    with serving(house) as (address, *_):
        assert ask(address, "/v1/completions", body)[0] == 200


def test_ids_are_taken_where_all_have_one_tokenizer(
    served: tuple[str, Server, Specialists], house: House
) -> None:
    address, *_ = served
    answer = ask(address, "/v1/completions", asked(prompt=[7, 8, 9]))[2]
    assert answer["tsuzuri"]["specialist"] == "general", "ids tell a router nothing"
    assert answer["usage"]["prompt_tokens"] == 3
    body = house.workers[0].asked[0].body
    assert isinstance(body, Ask)
    assert (body.ids, body.prompt, body.tokenizer) == ((7, 8, 9), None, "t")
    status, _, refused = ask(address, "/v1/embeddings", {"model": f"{ALIAS}/law", "input": [7, 8]})
    assert status == 400
    assert "vectors of texts" in refused["error"]["message"]


def test_a_refusal_of_a_worker_has_its_status_in_a_stream_too(house: House) -> None:
    house.admit()
    house.worker(stop_after=0, at_stop=failing("too_long", is_retryable=False))
    with serving(house) as (address, *_):
        status, _, answer = ask(address, "/v1/completions", asked(stream=True))
        assert status == 400
        assert answer["error"]["code"] == "context_length_exceeded"


def test_nobody_up_is_503_and_then_somebody_is(house: House) -> None:
    house.admit()
    with serving(house) as (address, _, guest):
        status, headers, answer = ask(address, "/v1/completions", asked())
        assert status == 503
        assert int(headers["retry-after"]) > 0
        assert answer["error"]["code"] == "no_specialist"
        house.worker()
        until(lambda: guest.gateway.living.live)
        assert ask(address, "/v1/completions", asked())[0] == 200


def test_before_the_first_route_the_alias_is_listed_and_asks_for_patience(house: House) -> None:
    house.worker()
    messages = [{"role": "user", "content": "民法とは"}]
    with serving(house) as (address, *_):
        assert [one["id"] for one in ask(address, "/v1/models")[2]["data"]] == [ALIAS]
        assert ask(address, "/ready")[0] == 503
        for path, body in (
            ("/v1/completions", asked(logprobs=1, stream=True)),
            ("/v1/chat/completions", {"model": ALIAS, "messages": messages}),
            ("/v1/embeddings", {"model": ALIAS, "input": "朝"}),
        ):
            status, headers, answer = ask(address, path, body)
            assert (status, answer["error"]["code"]) == (503, "no_specialist")
            assert "no specialist of kana is admitted yet" in answer["error"]["message"]
            assert int(headers["retry-after"]) > 0
        assert ask(address, "/v1/completions", asked(model="other"))[0] == 404
        house.admit()
        until(lambda: ask(address, "/ready")[0] == 200)
        assert ask(address, "/v1/completions", asked())[0] == 200


def test_an_alias_that_nobody_named_is_dropped_for_those_of_the_routes(house: House) -> None:
    guest = Specialists(SpecialistsConfig(bus=BusConfig(prefix=house.prefix)), bus=house.open_bus())
    with running(ServeConfig(port=0, drain_s=1.0), [guest]) as (address, _):

        def names() -> list[str]:
            return [one["id"] for one in ask(address, "/v1/models")[2]["data"]]

        assert names() == ["tsuzuri"]
        house.admit()
        until(lambda: names() == [ALIAS, f"{ALIAS}/general"])


def test_specialists_come_and_go_while_the_server_runs(house: House) -> None:
    house.admit()
    house.worker()
    with serving(house) as (address, *_):

        def names() -> list[str]:
            return [one["id"] for one in ask(address, "/v1/models")[2]["data"]]

        assert names() == [ALIAS, f"{ALIAS}/general"]
        house.admit("general", "law")
        until(lambda: f"{ALIAS}/law" in names())
        house.admit()
        until(lambda: f"{ALIAS}/law" not in names())


def test_revisions_share_the_traffic_as_the_route_says(house: House) -> None:
    house.worker("general", "r1")
    house.worker("general", "r2")
    admit(house.registry, ALIAS, {"general": {"r1": 0.5, "r2": 0.5}})
    with serving(house) as (address, *_):
        seen = {ask(address, "/v1/completions", asked())[2]["tsuzuri"]["revision"] for _ in range(40)}
        assert seen == {"r1", "r2"}


def test_a_trace_goes_along_and_patience_waits_in_its_own_lane(
    served: tuple[str, Server, Specialists], house: House
) -> None:
    address, *_ = served
    ask(address, "/v1/completions", asked(service_tier="flex"), headers={"traceparent": TRACE})
    (patient,) = house.workers[0].asked
    assert (patient.trace, patient.lane) == ({"traceparent": TRACE}, "batch")
    ask(address, "/v1/completions", asked(), headers={"traceparent": "00-0-0-00"})
    made = house.workers[0].asked[1].trace["traceparent"]
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", made)


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_goes_away_is_written_for_no_more(house: House, stream: bool) -> None:
    """Fault test 16 in short."""
    house.admit()
    worker = house.worker(step_s=0.05)
    with serving(house) as (address, _, guest):
        connection = http.client.HTTPConnection(address.removeprefix("http://"))
        body = json.dumps(asked(max_tokens=200, stream=stream))
        connection.request("POST", "/v1/completions", body, {"content-type": "application/json"})
        until(lambda: worker.busy == 1)
        assert connection.sock is not None
        connection.sock.close()
        connection.close()
        until(lambda: worker.busy == 0)
        until(lambda: not len(guest.gateway.ledger))
        assert worker.cancelled


def test_what_was_shown_is_what_is_billed_once(house: House, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/accounts.db"
    key = json.loads(keys_create("somebody", database=url, as_json=True))["key"]
    house.admit()
    house.worker(stop_after=11, at_stop=failing("handed_back", is_once=True), slots=1)
    house.worker()
    config = ServeConfig(port=0, drain_s=1.0, accounts=AccountsConfig(database=DatabaseConfig(url=url)))
    with serving(house, config) as (address, *_):
        assert ask(address, "/v1/completions", asked())[0] == 401
        answer = ask(address, "/v1/completions", asked(), key=key)[2]
        assert answer["usage"] | {"prompt_tokens": 3, "completion_tokens": 16} == answer["usage"]
    (row,) = json.loads(usage(by="model", database=url, as_json=True))
    assert (row["requests"], row["prompt_tokens"], row["completion_tokens"]) == (1, 3, 16)


def test_a_killed_gateway_would_bill_what_was_read_and_shown(house: House, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/accounts.db"
    key = json.loads(keys_create("somebody", database=url, as_json=True))["key"]
    house.admit()
    house.worker(stop_after=11)  # then it is silent
    config = ServeConfig(port=0, drain_s=0.1, accounts=AccountsConfig(database=DatabaseConfig(url=url)))
    with serving(house, config) as (address, *_):
        connection = http.client.HTTPConnection(address.removeprefix("http://"))
        headers = {"content-type": "application/json", "authorization": f"Bearer {key}"}
        connection.request("POST", "/v1/completions", json.dumps(asked(stream=True)), headers)
        (path,) = tmp_path.rglob(f"*{SUFFIX}")

        def noted() -> tuple[int, int]:
            prompt_tokens, completion_tokens = memoryview(path.read_bytes()).cast("Q")[2:4]
            return prompt_tokens, completion_tokens

        until(lambda: noted()[1] == 11)
        assert noted() == (3, 11), "the prompt's as its worker read them, not as was estimated"
        connection.close()


def test_figures_for_people_and_for_prometheus_hold_no_text(
    served: tuple[str, Server, Specialists],
) -> None:
    address, _, guest = served
    ask(address, "/v1/completions", asked(prompt="民法の秘密"))
    told = ask(address, "/admin/specialists")[2]
    assert [one["specialist"] for one in told["specialists"]] == ["general", "law"]
    law = told["specialists"][1]
    assert law["workers"][0]["slots"] == 4
    assert law["shares"] == {ALIAS: 1.0}
    assert law["outcomes"] == {"done": 1}
    assert law["total_ms_p50"] > 0
    (routing,) = told["routings"]
    assert (routing["specialist"], routing["revision"], routing["characters"]) == ("law", "r1", 5)
    assert "秘密" not in json.dumps(told, ensure_ascii=False)
    text = ask(address, "/metrics")[2].decode()
    assert 'tsuzuri:specialist_requests_total{outcome="done",revision="r1",specialist="law"} 1.0' in text
    assert 'tsuzuri:specialist_workers{revision="r1",specialist="general"} 1.0' in text
    assert f'tsuzuri:specialist_share{{alias="{ALIAS}",revision="r1",specialist="law"}} 1.0' in text
    assert ask(address, "/admin/specialists", headers={"x-forwarded-for": "10.0.0.1"})[0] in (401, 403)
    assert guest.watch.dead_letters == {}


def test_of_a_revision_that_is_forgotten_nothing_more_is_told(
    served: tuple[str, Server, Specialists], house: House
) -> None:
    address, _, _ = served
    ask(address, "/v1/completions", asked(prompt="民法"))
    told = (
        b'tsuzuri:specialist_requests_total{outcome="done",revision="r1",specialist="law"}',
        b'tsuzuri:specialist_request_seconds_count{revision="r1",specialist="law"}',
        b'tsuzuri:specialist_in_flight{revision="r1",specialist="law"}',
    )
    text = ask(address, "/metrics")[2]
    assert all(name in text for name in told)
    for worker in house.workers:
        if worker.specialist == "law":
            worker.die()
            worker.bus.close(flush_s=0)
    house.registry.drop_descriptor("law", "r1")
    until(lambda: not any(name in ask(address, "/metrics")[2] for name in told))
    house.broker.restart()
    there = set(house.bus.topics())
    assert there >= {house.topics.replies, *house.topics.lanes("general", "r1")}
    assert not there & set(house.topics.lanes("law", "r1"))


def test_a_lag_that_is_not_known_is_not_told_as_none(served: tuple[str, Server, Specialists]) -> None:
    address, _, guest = served
    look = guest.watch.look
    assert look is not None
    until(
        lambda: b'tsuzuri:specialist_lag{revision="r1",specialist="law"} 0.0' in ask(address, "/metrics")[2]
    )
    while True:
        look.lags = unknown = {("law", "r1"): Lag(-1)}
        text, told = ask(address, "/metrics")[2], ask(address, "/admin/specialists")[2]
        if look.lags is unknown:  # it was not measured again meanwhile
            break
    assert b"tsuzuri:specialist_lag{" not in text
    assert next(one["lag"] for one in told["specialists"] if one["specialist"] == "law") is None


def test_a_mode_of_several_is_one_answer_too(house: House) -> None:
    house.admit("general", "law", mode="rerank")
    house.worker("general")
    house.worker("law")
    with serving(house) as (address, *_):
        answer = ask(address, "/v1/completions", asked(prompt="民法"))[2]
        told = answer["tsuzuri"]
        assert told["specialist"] in ("general", "law")
        assert answer["choices"][0]["text"] == f"{told['specialist']}:{TEXT}"[:16]
        assert answer["usage"]["completion_tokens"] == 16, "of the answer that is shown"


def test_vectors_are_one_specialist_s(served: tuple[str, Server, Specialists]) -> None:
    address, *_ = served
    answer = ask(address, "/v1/embeddings", {"model": f"{ALIAS}/law", "input": ["朝", "夜"]})[2]
    assert [one["embedding"] for one in answer["data"]] == [[1.0, 0.0]] * 2
    texts = ["朝" * number for number in range(1, 101)]  # more vectors than one record could hold
    answer = ask(address, "/v1/embeddings", {"model": f"{ALIAS}/law", "input": texts})[2]
    assert [one["index"] for one in answer["data"]] == list(range(100))
    status, _, refused = ask(address, "/v1/embeddings", {"model": ALIAS, "input": "朝"})
    assert (status, refused["error"]["code"]) == (400, "unsupported")
