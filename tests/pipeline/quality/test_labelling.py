"""Labelling against a server on the loopback interface: answers, errors, restarts, and what never leaves."""

from __future__ import annotations

import asyncio
import json
import math

import pyarrow.parquet as pq
import pytest

from pipeline.errors import UserError
from pipeline.quality.chat import ChatSettings, NoAnswerError, Pace, read_answer
from pipeline.quality.corpus import Corpus
from pipeline.quality.labelling import label, labels_form, question_key, read_labels, sample
from tests.pipeline.quality.corpora import write_jsonl
from tests.pipeline.quality.stub_server import KEY, Stub, said, serving


def settings_of(stub: Stub | str, **values) -> ChatSettings:
    url = stub if isinstance(stub, str) else stub.url
    content = {"prompt": "Good? {text}", "backoff": 0.001, "timeout": 5.0, "at_once": 3} | values
    return ChatSettings(endpoint=url, model="judge", **content)


def docs(*texts: str) -> list[dict]:
    return [{"id": f"d{i}", "record": "s@0", "url": None, "text": text} for i, text in enumerate(texts)]


def by_text(text: str, _number: int):
    return said("Yes." if "good" in text else "no")


def rows(folder) -> list[tuple[str, float]]:
    table = pq.read_table(folder / "labels.parquet")
    return list(zip(table["id"].to_pylist(), table["label_score"].to_pylist(), strict=True))


def lost(folder) -> list[dict]:
    return [json.loads(line) for line in (folder / "failed.jsonl").read_text().splitlines()]


def test_documents_are_labelled_and_the_request_is_of_the_protocol(tmp_path):
    with serving(by_text) as stub:
        done = label(
            docs("good a", "bad b", "good c" + "!" * 5000),
            str(tmp_path),
            settings_of(stub, characters=10),
            KEY,
        )
    assert rows(tmp_path) == [("d0", 1.0), ("d1", 0.0), ("d2", 1.0)]
    assert (done.asked, done.cached, done.failed, done.scores) == (3, 0, {}, {"0": 1, "1": 2})
    request = next(request for request in stub.requests if "good c" in request["messages"][0]["content"])
    assert request["path"] == "/v1/chat/completions"
    assert request["model"] == "judge"
    assert request["messages"] == [{"role": "user", "content": "Good? good c!!!!"}]
    assert {headers["authorization"] for headers in stub.headers} == {f"Bearer {KEY}"}
    assert labels_form(str(tmp_path / "labels.parquet")) == "yes-no"


def test_the_text_goes_where_the_prompt_says_even_if_it_looks_like_a_prompt(tmp_path):
    with serving(by_text) as stub:
        label(docs("good {text} {0}"), str(tmp_path), settings_of(stub, prompt="A {text} B {other}"), None)
    assert stub.texts == ["A good {text} {0} B {other}"]
    assert "authorization" not in stub.headers[0]


def test_answers_are_kept_and_the_same_question_is_asked_once(tmp_path):
    with serving(by_text) as stub:
        settings = settings_of(stub)
        label(docs("good", "good", "bad"), str(tmp_path), settings, None)
        first = (tmp_path / "labels.parquet").read_bytes()
        assert len(stub.requests) == 2
        again = label(docs("good", "good", "bad"), str(tmp_path), settings, None)
        assert (len(stub.requests), again.asked, again.cached) == (2, 0, 2)
        assert (tmp_path / "labels.parquet").read_bytes() == first
        label(docs("good", "new"), str(tmp_path), settings, None)
        assert len(stub.requests) == 3
        label(docs("good"), str(tmp_path), settings_of(stub, prompt="Fine? {text}"), None)
        assert len(stub.requests) == 4


def test_what_an_answer_depends_on_is_in_its_key():
    base = settings_of("http://h/v1")
    assert question_key(base, "t") == question_key(
        settings_of("http://other/v1", at_once=9, per_minute=5.0), "t"
    )
    others = [
        {"prompt": "x{text}"},
        {"temperature": 1.0},
        {"form": "0-5"},
        {"probabilities": True},
        {"max_tokens": 9},
    ]
    keys = [question_key(settings_of("http://h/v1", **other), "t") for other in others]
    assert len({question_key(base, "t"), question_key(base, "u"), *keys}) == 7
    assert question_key(settings_of("http://h/v1", characters=2), "ab") == question_key(base, "ab")


@pytest.mark.parametrize(
    "trouble",
    [
        (500, {"error": "x"}, {}),
        (503, b"", {"Retry-After": "0.01"}),
        (429, {"error": "slow"}, {"Retry-After": "0"}),
        (429, {"error": "slow"}, {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}),
        (200, b"{not json", {}),
        (200, {"choices": []}, {}),
        (200, [], {}),
        said(None),
        said("I cannot say."),
        said("yes and no"),
    ],
)
def test_trouble_is_tried_again(tmp_path, trouble):
    with serving(lambda text, number: trouble if number == 0 else by_text(text, number)) as stub:
        done = label(docs("good"), str(tmp_path), settings_of(stub), None)
    assert (len(stub.requests), done.failed, rows(tmp_path)) == (2, {}, [("d0", 1.0)])


def test_documents_without_an_answer_are_listed_and_asked_again_by_the_next_run(tmp_path):
    def reply(text, _number):
        return (500, {"error": f"no {KEY}"}, {}) if "odd" in text else by_text(text, 0)

    with serving(reply) as stub:
        done = label(docs("good", "odd", "bad"), str(tmp_path), settings_of(stub, attempts=2), KEY)
        assert (done.failed, len(stub.requests)) == ({"server_error": 1}, 4)
        assert [row["id"] for row in lost(tmp_path)] == ["d1"]
        stub.reply = by_text
        again = label(docs("good", "odd", "bad"), str(tmp_path), settings_of(stub, attempts=2), KEY)
    assert (again.asked, again.cached, again.failed) == (1, 2, {})
    assert lost(tmp_path) == []
    assert len(rows(tmp_path)) == 3


def test_a_rejected_document_is_not_tried_again(tmp_path):
    with serving(lambda _text, _number: (400, {"error": "too long"}, {})) as stub:
        done = label(docs("good"), str(tmp_path), settings_of(stub), None)
    assert (len(stub.requests), done.failed) == (1, {"rejected": 1})
    assert "too long" in lost(tmp_path)[0]["message"]


@pytest.mark.parametrize(
    ("status", "said_why"), [(401, "the key"), (403, "the key"), (404, "no such model"), (307, "307")]
)
def test_a_server_that_refuses_everything_stops_the_run_at_once(tmp_path, status, said_why):
    refusal = (status, {"error": f"no such model {KEY}"}, {})
    with serving(lambda _text, _number: refusal) as stub, pytest.raises(UserError, match=said_why) as caught:
        label(docs(*map(str, range(40))), str(tmp_path), settings_of(stub), KEY)
    assert len(stub.requests) <= 3
    assert KEY not in str(caught.value)


def test_a_broken_server_stops_the_run_and_the_next_one_goes_on(tmp_path):
    texts = [f"good {i}" for i in range(30)]
    with serving(lambda text, number: by_text(text, 0) if number < 10 else (500, b"", {})) as stub:
        with pytest.raises(UserError, match="4 documents in a row") as caught:
            label(
                docs(*texts),
                str(tmp_path),
                settings_of(stub, at_once=1, attempts=1, failures_in_a_row=4),
                None,
            )
        assert caught.value.exit_code == 1
        assert not (tmp_path / "labels.parquet").exists()
        stub.reply = by_text
        done = label(docs(*texts), str(tmp_path), settings_of(stub), None)
    assert (done.cached, done.asked, len(rows(tmp_path))) == (10, 20, 30)


def test_no_server_and_a_slow_one_are_failures_by_name(tmp_path):
    import time

    with serving(by_text) as stub:
        gone = stub.url
    done = label(docs("good"), str(tmp_path / "a"), settings_of(gone, attempts=2), KEY)
    assert done.failed == {"connection": 1}

    def slow(text, number):
        time.sleep(0.4)
        return by_text(text, number)

    with serving(slow) as stub:
        done = label(docs("good"), str(tmp_path / "b"), settings_of(stub, attempts=1, timeout=0.05), None)
    assert done.failed == {"timeout": 1}


def test_the_key_is_nowhere_on_disk(tmp_path):
    with serving(
        lambda text, number: (500, {"error": f"key {KEY}"}, {}) if number % 2 else by_text(text, 0)
    ) as stub:
        label(docs("good", "bad", "good 2"), str(tmp_path), settings_of(stub, attempts=1), KEY)
    assert all(KEY.encode() not in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_requests_keep_their_pace_and_a_hold_stops_all():
    async def run() -> tuple[float, float]:
        loop, pace = asyncio.get_running_loop(), Pace(6000)
        begin = loop.time()
        await asyncio.gather(*(pace.turn() for _ in range(6)))
        even = loop.time() - begin
        pace.hold(0.1)
        await asyncio.gather(pace.turn(), pace.turn())
        return even, loop.time() - begin - even

    even, held = asyncio.run(run())
    assert even >= 0.05
    assert held >= 0.1


@pytest.mark.parametrize(
    ("form", "content", "score"),
    [
        ("yes-no", "Yes", 1),
        ("yes-no", "**NO**, it is a menu.", 0),
        ("yes-no", "know yesterday yes", 1),
        ("0-5", "It explains much.\nScore: 4", 4),
        ("0-5", "Educational score: **3**/5", 3),
        ("0-5", "Score: 1. No, wait. Score: 2.", 2),
        ("0-5", "5", 5),
        ("0-5", " 0.", 0),
    ],
)
def test_answers_that_can_be_read(form, content, score):
    assert read_answer(content, None, form).score == score


@pytest.mark.parametrize(
    ("form", "content"),
    [
        ("yes-no", ""),
        ("yes-no", "maybe"),
        ("yes-no", "5"),
        ("0-5", "Score: 7"),
        ("0-5", "Score: 4.5"),
        ("0-5", "about 3"),
        ("0-5", 3),
        ("0-5", "Score: 10"),
    ],
)
def test_answers_that_cannot_be_read(form, content):
    with pytest.raises(NoAnswerError):
        read_answer(content, None, form)


def test_probabilities_give_degrees(tmp_path):
    top = [
        {"token": t, "logprob": math.log(p)}
        for t, p in ((" Yes", 0.5), ("yes", 0.1), ("No", 0.2), ("Hm", 0.1))
    ]
    with serving(lambda _text, _number: said("Yes", logprobs={"content": [{"top_logprobs": top}]})) as stub:
        label(docs("x"), str(tmp_path), settings_of(stub, probabilities=True), None)
    assert stub.requests[0]["logprobs"] is True
    assert rows(tmp_path)[0][1] == pytest.approx(0.75)
    for broken in ({"content": []}, {"content": None}, 7, {"content": [{"top_logprobs": [{"token": "x"}]}]}):
        assert read_answer("no", broken, "yes-no").score == 0


def test_a_sample_is_drawn_by_id_whatever_the_order(tmp_path):
    texts = [f"text {i}" for i in range(200)]
    whole = Corpus("s", [write_jsonl(tmp_path / "a.jsonl", [*texts, "", " "])])
    drawn = sample(whole, 20, 1)
    assert len({document["id"] for document in drawn}) == 20
    rows_ = [json.dumps({"id": f"d{i}", "text": text}) for i, text in enumerate(texts)]
    (tmp_path / "b.jsonl").write_text("\n".join(reversed([*rows_, *rows_])) + "\n")
    other = sample(Corpus("s", [str(tmp_path / "b.jsonl")]), 20, 1)
    assert [(each["id"], each["text"]) for each in other] == [(each["id"], each["text"]) for each in drawn]
    assert sample(whole, 20, 2) != drawn
    assert len(sample(whole, 1000, 1)) == 200


def test_labels_become_good_and_bad_documents(tmp_path):
    with serving(lambda text, _number: said(f"Score: {text[-1]}")) as stub:
        label(docs(*(f"t {i}" for i in range(6))), str(tmp_path), settings_of(stub, form="0-5"), None)
    good, bad = read_labels(str(tmp_path / "labels.parquet"), 3)
    assert (good["text"].to_pylist(), bad["text"].to_pylist()) == (
        ["t 3", "t 4", "t 5"],
        ["t 0", "t 1", "t 2"],
    )
    with pytest.raises(UserError, match="no such file"):
        read_labels(str(tmp_path / "absent.parquet"), 3)
    with pytest.raises(UserError, match="not a Parquet file"):
        read_labels(str(tmp_path / "failed.jsonl"), 3)


def test_a_file_that_holds_no_answers_is_refused(tmp_path):
    (tmp_path / "answers.sqlite").write_bytes(b"something else, long enough to be taken for a header" * 9)
    with pytest.raises(UserError, match="not a usable file of answers"):
        label(docs("good"), str(tmp_path), settings_of("http://127.0.0.1:9/v1"), None)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"endpoint": "localhost:8000"}, "give a URL"),
        ({"endpoint": "http://me:key@h/v1"}, "must hold no key"),
        ({"endpoint": "http://h/v1?key=1"}, "must hold no key"),
        ({"prompt": "no place"}, "exactly once"),
        ({"prompt": "{text} {text}"}, "exactly once"),
    ],
)
def test_settings_that_cannot_work_are_refused(values, message):
    content = {"endpoint": "http://h/v1", "model": "m", "prompt": "{text}"} | values
    with pytest.raises(ValueError, match=message):
        ChatSettings(**content)
