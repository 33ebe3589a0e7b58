"""Conversations driven by a script instead of a network: when it is asked again, and when not."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcdrop_service.client.carrying import Line
from mcdrop_service.client.errors import (
    REFUSALS,
    BusyError,
    ClientTimeoutError,
    ConnectionFailedError,
    NotReadyError,
    RefusedError,
    UnreadableAnswerError,
)
from mcdrop_service.client.patience import Patience
from mcdrop_service.client.talk import Talk
from mcdrop_service.client.wire import (
    Conversation,
    Ended,
    Failure,
    HttpAnswer,
    HttpRequest,
    Reply,
    Wait,
    next_step,
)

from mcdrop.errors import DomainError
from mcdrop.predictive import Predictive

T = TypeVar("T")

MODELS = b'{"models": ["toy"]}'
BROKEN = Failure("the connection broke", timed_out=False)
LATE = Failure("nothing came", timed_out=True)


def refusal(status: int, **headers: str) -> HttpAnswer:
    return HttpAnswer(status, {"x-request-id": "abc", **headers}, b'{"error": "in the service\'s words"}')


def said(content: bytes) -> HttpAnswer:
    return HttpAnswer(200, {}, content)


@dataclass
class Script:
    """A service that replies as it was told, on a clock that moves only by waiting."""

    replies: Iterator[Reply | Callable[[HttpRequest], Reply]]
    now_s: float = 0.0
    takes_s: float = 0.0
    pauses: list[float] = field(default_factory=list)
    requests: list[HttpRequest] = field(default_factory=list)

    @classmethod
    def of(cls, *replies: Reply | Callable[[HttpRequest], Reply], takes_s: float = 0.0) -> "Script":
        return cls(iter(replies), takes_s=takes_s)

    def talk(self, patience: Patience | None = None) -> Talk:
        return Talk({"a": "b"}, patience or Patience(), lambda: self.now_s, lambda: 0.0)

    def drive(self, conversation: Conversation[T]) -> T:
        reply: Reply | None = None
        while not isinstance(step := next_step(conversation, reply), Ended):
            if isinstance(step, Wait):
                self.pauses.append(step.seconds)
                self.now_s += step.seconds
                reply = None
                continue
            self.requests.append(step.request)
            self.now_s += self.takes_s
            planned = next(self.replies)
            reply = planned(step.request) if callable(planned) else planned
        return step.value


@pytest.mark.parametrize("later", [refusal(429), refusal(503), BROKEN])
def test_what_may_pass_is_asked_again(later: Reply) -> None:
    script = Script.of(later, later, said(MODELS))
    assert script.drive(script.talk().models()) == ("toy",)
    assert script.pauses == [0.1, 0.2]
    assert len({request.path for request in script.requests}) == 1


@pytest.mark.parametrize(
    ("name", "version", "path"),
    [
        ("digits", "2", "digits/versions/2"),
        ("../a b?c", None, "..%2Fa%20b%3Fc"),
        ("é", "1/x", "%C3%A9/versions/1%2Fx"),
    ],
)
def test_no_name_or_version_becomes_another_path(name: str, version: str | None, path: str) -> None:
    script = Script.of(refusal(404))
    with pytest.raises(RefusedError):
        script.drive(script.talk().model(name, version))
    assert [request.path for request in script.requests] == [f"/v1/models/{path}"]


@pytest.mark.parametrize("status", sorted({*REFUSALS, 302, 408, 415, 418, 502} - {429, 503}))
def test_what_was_refused_for_what_it_is_is_not_asked_again(status: int) -> None:
    script = Script.of(refusal(status))
    with pytest.raises(
        RefusedError, match=f"in the service's words .status {status}, request id abc."
    ) as error:
        script.drive(script.talk().models())
    assert type(error.value) is REFUSALS.get(status, RefusedError)
    assert (error.value.status, error.value.request_id) == (status, "abc")


def test_the_service_says_when_to_come_back() -> None:
    script = Script.of(refusal(429, **{"retry-after": "7"}), said(MODELS))
    script.drive(script.talk().models())
    assert script.pauses == [7.0]


def test_nobody_waits_for_a_time_that_is_beyond_the_deadline() -> None:
    script = Script.of(refusal(429, **{"retry-after": "7"}))
    with pytest.raises(BusyError) as error:
        script.drive(script.talk(Patience(timeout_s=6)).models())
    assert error.value.retry_after_s == 7
    assert script.pauses == []


def test_attempts_are_counted() -> None:
    script = Script.of(*[refusal(503)] * 3)
    with pytest.raises(NotReadyError):
        script.drive(script.talk(Patience(max_attempts=3)).models())
    assert len(script.requests) == 3


def test_when_the_time_is_up_nothing_is_asked_again() -> None:
    script = Script.of(LATE)
    with pytest.raises(ClientTimeoutError, match="no answer within 60 s"):
        script.drive(script.talk().models())
    slow = Script.of(BROKEN, BROKEN, takes_s=40)
    with pytest.raises(ConnectionFailedError):
        slow.drive(slow.talk().models())
    assert len(slow.requests) == 2


def test_a_service_that_never_answers_is_not_ready() -> None:
    for reply, ready in ((BROKEN, False), (LATE, False), (refusal(503), False), (said(b"{}"), True)):
        script = Script.of(reply)
        assert script.drive(script.talk().is_ready()) is ready


@given(
    st.integers(1, 12),
    st.floats(0, 0.999),
    st.one_of(st.none(), st.integers(0, 100)),
)
def test_pauses_have_bounds(attempt: int, jitter: float, retry_after_s: int | None) -> None:
    patience = Patience()
    pause_s = patience.pause_s(BusyError("", status=429, retry_after_s=retry_after_s), attempt, jitter)
    if retry_after_s is None:
        assert patience.first_pause_s / 2 < pause_s <= patience.longest_pause_s
    else:
        assert retry_after_s <= pause_s <= 1.25 * retry_after_s


@pytest.mark.parametrize("wrong", [{"timeout_s": 0}, {"connect_timeout_s": -1}, {"max_attempts": 0}])
def test_a_patience_that_makes_no_sense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(DomainError, match=f"{next(iter(wrong))} must be"):
        Patience(**wrong)  # type: ignore[arg-type]


# --- predictions --------------------------------------------------------------------------------------


def description(digest: str, *fields: str) -> HttpAnswer:
    """What a service says of the toy model."""
    document = {
        "model": "toy",
        "version": "1",
        "digest": digest,
        "fingerprint": "f" * 16,
        "batch_invariance": "bitwise",
        "task": "raw",
        "inputs": [{"name": "x", "dtype": "float32", "shape": [-1, 2]}],
        "outputs": ["mean", "std"],
        "default_outputs": ["mean"],
        "fields": ["mean", "sample_std", "standard_error", "deterministic", *fields],
        "n_samples": 32,
        "max_n_samples": 1000,
        "seed": 0,
        "class_axis": 1,
        "tau": None,
        "calibrators": [],
        "sampling": {"masks": "consistent", "rng": "philox-1"},
    }
    return said(json.dumps(document).encode())


def answering(digest: str) -> Callable[[HttpRequest], HttpAnswer]:
    """A service that gives two float32 for everything it is asked for."""

    def answer(request: HttpRequest) -> HttpAnswer:
        length = int(request.headers["Inference-Header-Content-Length"])
        asked = json.loads(request.content[:length])
        names = [each["name"] for each in asked["outputs"]]
        return HttpAnswer(200, *inference(names, digest))

    return answer


def inference(names: Sequence[str], digest: str) -> tuple[dict[str, str], bytes]:
    """Headers and body of an answer of the Open Inference Protocol."""
    document = {
        "model_name": "toy",
        "model_version": "1",
        "parameters": {
            "n_samples": 32,
            "seed": 0,
            "model_digest": digest,
            "fingerprint": "f" * 16,
            "batch_invariance": "bitwise",
        },
        "outputs": [
            {"name": name, "datatype": "FP32", "shape": [1, 2], "parameters": {"binary_data_size": 8}}
            for name in names
        ],
    }
    text = json.dumps(document).encode()
    numbers = np.array([0.1, np.nan], dtype="<f4").tobytes() * len(names)
    return {"inference-header-content-length": str(len(text)), "x-request-id": "abc"}, text + numbers


def predict(script: Script, talk: Talk) -> Predictive:
    return script.drive(talk.predict("toy", [[1.0, 2.0]], {"seed": 3}))


def test_a_model_is_asked_about_once() -> None:
    script = Script.of(description("a"), answering("a"), answering("a"))
    talk = script.talk()
    for _ in range(2):
        pred = predict(script, talk)
    assert [request.path for request in script.requests] == [
        "/v1/models/toy",
        "/v2/models/toy/infer",
        "/v2/models/toy/infer",
    ]
    assert pred.numpy()["mean"].tobytes() == np.array([[0.1, np.nan]], dtype=np.float32).tobytes()
    assert pred.origin is not None
    assert pred.origin.request_id == "abc"


def test_a_model_that_was_exchanged_is_asked_about_again() -> None:
    script = Script.of(description("a"), answering("b"), description("b"), answering("b"))
    pred = predict(script, script.talk())
    assert pred.origin is not None
    assert pred.origin.digest == "b"


def test_a_request_that_fitted_the_old_model_is_made_anew_for_the_new_one() -> None:
    talk = (script := Script.of(description("a"), answering("a"))).talk()
    predict(script, talk)
    script.replies = iter([refusal(400), description("b", "converged"), answering("b")])
    pred = predict(script, talk)
    assert pred.converged is not None


def test_a_bad_request_is_told_once_the_model_is_known_to_be_the_same() -> None:
    script = Script.of(description("a"), refusal(400), description("a"))
    with pytest.raises(RefusedError, match="in the service's words"):
        predict(script, script.talk())


def test_services_that_share_an_address_and_differ_are_told() -> None:
    script = Script.of(description("a"), answering("b"), description("a"))
    with pytest.raises(UnreadableAnswerError, match="its digest is a, and its answer came from b"):
        predict(script, script.talk())
    changing = Script.of(*(each for i in "acegi" for each in (description(i), answering(i.upper()))))
    with pytest.raises(UnreadableAnswerError, match="toy became another model 3 times in one call"):
        predict(changing, changing.talk())


def test_the_time_that_is_left_is_told_to_the_service_in_microseconds() -> None:
    seen: list[int] = []

    def note(request: HttpRequest) -> HttpAnswer:
        length = int(request.headers["Inference-Header-Content-Length"])
        seen.append(json.loads(request.content[:length])["parameters"]["timeout"])
        return refusal(503) if len(seen) == 1 else answering("a")(request)

    script = Script.of(description("a"), note, note, takes_s=1)
    predict(script, script.talk(Patience(timeout_s=10, first_pause_s=0.5)))
    assert seen == [9_000_000, 7_500_000]


SOUND = inference(["mean", "sample_std", "standard_error", "deterministic"], "a")


@given(st.data())
def test_an_answer_that_was_cut_or_changed_is_told_or_read_and_nothing_else(data: Any) -> None:
    headers, body = SOUND
    place = data.draw(st.integers(0, len(body) - 1))
    spoiled = data.draw(
        st.sampled_from([body[:place], body[:place] + b"\xff" + body[place + 1 :], body + b"more", b""])
    )
    script = Script.of(description("a"), HttpAnswer(200, headers, spoiled), description("a"))
    with suppress(UnreadableAnswerError):
        predict(script, script.talk())


@pytest.mark.parametrize("content", [b"<html>", b"[]", b"{}", b'{"model": "toy"}'])
def test_what_is_no_service_of_ours_is_told(content: bytes) -> None:
    script = Script.of(said(content))
    with pytest.raises(UnreadableAnswerError):
        predict(script, script.talk())
    again = Script.of(said(content))
    with pytest.raises(UnreadableAnswerError):
        again.drive(again.talk().models())


def test_a_proxys_own_page_is_repeated_in_part() -> None:
    script = Script.of(HttpAnswer(502, {}, b"<html>" + b"x" * 1000))
    with pytest.raises(RefusedError, match=r"<html>x+ .status 502.") as error:
        script.drive(script.talk().models())
    assert len(str(error.value)) < 300


def test_no_text_of_the_client_shows_a_key() -> None:
    line = Line.to("http://127.0.0.1:8000", "s3cret", None)
    step = next(line.talk.models())
    assert line.talk.headers == {"Authorization": "Bearer s3cret"}
    assert "s3cret" not in f"{line} {step}"
