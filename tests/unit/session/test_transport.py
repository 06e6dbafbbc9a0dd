"""Requests over HTTP: what is lost, what is an answer, and what never leaves."""

import hashlib
from pathlib import Path

import httpx2
import pytest

from xor.errors import AuthError, PeerError, UsageError
from xor.session.transport import HttpTransport, NoAnswer
from xor.signing import Envelope
from xor.wire.http import PROBLEM_TYPE, TOKENS, encode_problem
from xor.wire.messages import JobState, JobView, TokenView

JOB = "ab" * 32
VIEW = JobView(job=JOB, network="two-parties", analyst="fraud-desk", state=JobState.WAITING)


def no_login(network: str):
    raise AssertionError("a token was given")


def over(answer) -> HttpTransport:
    return HttpTransport(
        "localhost",
        3000,
        token="xor_secret",
        login=no_login,
        context=None,
        inner=httpx2.MockTransport(answer),
    )


def test_the_token_travels_in_a_header_and_in_no_address():
    seen = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(200, content=VIEW.model_dump_json())

    assert over(answer).job("two-parties", JOB, 3, 10) == VIEW
    assert seen[0].headers["authorization"] == "Bearer xor_secret"
    assert "secret" not in str(seen[0].url)
    assert str(seen[0].url) == f"http://localhost:3000/v1/jobs/{JOB}?after=3&wait_s=10"


def test_a_problem_comes_back_as_the_error_it_was():
    problem = encode_problem(
        AuthError("the API token has expired", code="auth.expired-token", hint="ask"), 401, "no"
    )

    def answer(_request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(401, content=problem, headers={"Content-Type": PROBLEM_TYPE})

    with pytest.raises(AuthError) as caught:
        over(answer).jobs("two-parties")
    assert caught.value.code == "auth.expired-token"
    assert "xor_secret" not in str(caught.value)


@pytest.mark.parametrize("failure", [httpx2.ConnectError, httpx2.ReadTimeout, httpx2.RemoteProtocolError])
def test_what_is_lost_may_be_asked_again(failure):
    def answer(_request: httpx2.Request) -> httpx2.Response:
        raise failure("gone")

    with pytest.raises(NoAnswer) as caught:
        over(answer).jobs("two-parties")
    assert caught.value.code == "peer.unreachable"
    assert "xor local up" in str(caught.value)


def test_a_service_that_is_busy_may_be_asked_again():
    with pytest.raises(NoAnswer):
        over(lambda _request: httpx2.Response(503)).jobs("two-parties")


@pytest.mark.parametrize("content", [b"", b"<html>", b"[]", b'{"job": 1}'])
def test_an_answer_in_another_form_is_no_answer_of_a_service(content):
    with pytest.raises(PeerError) as caught:
        over(lambda _request: httpx2.Response(200, content=content)).job("two-parties", JOB, 0, 0)
    assert caught.value.code == "peer.bad-answer"
    assert not isinstance(caught.value, NoAnswer)


def test_a_redirect_is_not_followed():
    asked = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.url.host)
        return httpx2.Response(307, headers={"Location": "http://elsewhere.example/"})

    with pytest.raises(PeerError):
        over(answer).jobs("two-parties")
    assert asked == ["localhost"]


def test_a_stream_is_stored_and_measured(tmp_path: Path):
    blob = bytes(range(256)) * 8192
    shown: list[int] = []
    path = tmp_path / "stream"
    measured = over(lambda _request: httpx2.Response(200, content=blob)).download(
        "two-parties", JOB, (8, 1), path, size=len(blob), progress=shown.append
    )
    assert measured == (hashlib.sha256(blob).hexdigest(), len(blob))
    assert path.read_bytes() == blob
    assert shown[-1] == len(blob)


def test_a_stream_longer_than_signed_is_not_stored_to_its_end(tmp_path: Path):
    def endless():
        while True:
            yield b"0" * 2**20

    path = tmp_path / "stream"
    _, size = over(lambda _request: httpx2.Response(200, content=endless())).download(
        "two-parties", JOB, (8, 1), path, size=3 * 2**20, progress=lambda _done: None
    )
    assert size > 3 * 2**20
    assert path.stat().st_size <= 3 * 2**20


def test_the_services_errors_reach_the_analyst_with_their_hint():
    problem = encode_problem(UsageError("no such job", code="usage.unknown-job", hint="list them"), 404, "no")
    with pytest.raises(UsageError, match="list them"):
        over(lambda _request: httpx2.Response(404, content=problem)).job("two-parties", JOB, 0, 0)


def test_a_session_logs_in_once_for_each_network_and_again_before_the_token_expires(monkeypatch):
    asked: list[tuple[str, str]] = []
    now, slept_s = [1000.0], [0.0]
    monkeypatch.setattr("xor.session.transport.time.monotonic", lambda: now[0])
    monkeypatch.setattr("xor.session.transport.time.time", lambda: now[0] + slept_s[0])

    def login(network: str) -> Envelope:
        return Envelope("login", network.encode(), ())

    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.url.path == TOKENS:
            network = Envelope.from_bytes(request.content).payload.decode()
            view = TokenView(token=f"xor_{network}_{now[0]:.0f}", lasts_s=900)
            return httpx2.Response(200, content=view.model_dump_json())
        asked.append((request.url.path, request.headers["authorization"]))
        return httpx2.Response(200, content="[]")

    inner = httpx2.MockTransport(answer)
    line = HttpTransport("localhost", 3000, token=None, login=login, context=None, inner=inner)
    for later_s, network in ((0, "a"), (830, "a"), (0, "b"), (15, "a")):
        now[0] += later_s
        line.jobs(network)
    now[0] += 1
    line.jobs("b")
    slept_s[0] = 3600.0
    line.jobs("b")
    assert [bearer for _, bearer in asked] == [
        "Bearer xor_a_1000",
        "Bearer xor_a_1000",
        "Bearer xor_b_1830",
        "Bearer xor_a_1845",
        "Bearer xor_b_1830",
        "Bearer xor_b_1846",
    ]
