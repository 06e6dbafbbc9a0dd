"""The service over real sockets: who may do what, and what bad input gets."""

import asyncio
import contextlib
import hashlib
import os
import shutil
import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
import schemathesis
import uvicorn
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from prometheus_client import generate_latest
from schemathesis.specs.openapi.checks import positive_data_acceptance
from starlette.routing import Route

from xor import log
from xor.errors import PeerError, XorError
from xor.model.machine import Capacity, LinkSeen, MachineSeen
from xor.service import setup
from xor.service.app import create_app
from xor.service.core import Append, Job, Timeouts
from xor.service.jobs import Settings
from xor.service.limits import Rate
from xor.service.shell import Service
from xor.service.store import Store
from xor.signing import Envelope, SigningKey, canonical, parse_canonical, seal_envelope
from xor.testing import three_banks as banks
from xor.testing.letters import Letters, signed
from xor.wire import http, token
from xor.wire.messages import (
    Announce,
    Approval,
    Credential,
    Inbox,
    JobState,
    JobView,
    Kind,
    Login,
    NetworkView,
    Poll,
    Progress,
    TokenView,
)
from xor.wire.trust import Trust

NOW = banks.NOW
TRUST = Trust(banks.agreement())


@dataclass
class Clock:
    now: int = NOW

    def __call__(self) -> int:
        return self.now


class Ready(uvicorn.Server):
    """A server in a thread that says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_ready = threading.Event()
        self.loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.loop = asyncio.get_running_loop()
        self.is_ready.set()


@dataclass
class Running:
    """A running service over `directory`; `restart` ends it and starts it anew over the same files."""

    directory: Path
    clock: Clock = field(default_factory=Clock)
    timeouts: Timeouts = field(default_factory=Timeouts)

    def start(self) -> None:
        settings = Settings(timeouts=self.timeouts, clock=self.clock)
        self.app = create_app(self.directory, settings)
        self.service: Service = self.app.state.service
        bound = socket.create_server(("127.0.0.1", 0))
        config = uvicorn.Config(
            self.app, log_config=None, http="h11", h11_max_incomplete_event_size=2**20, ws="none"
        )
        self.server = Ready(config)
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [bound]})
        self.thread.start()
        assert self.server.is_ready.wait(30)
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        self.http = httpx2.Client(base_url=url, trust_env=False, timeout=30)

    def stop(self) -> None:
        assert self.server.loop is not None
        self.server.loop.call_soon_threadsafe(self.service.stop)
        self.server.should_exit = True
        self.thread.join(30)
        self.http.close()

    def restart(self) -> None:
        self.stop()
        self.start()

    # -- what members do ----------------------------------------------------------------------------------

    def submit(self, letters: Letters, analyst: str = banks.ANALYST) -> httpx2.Response:
        path = http.network_jobs_path(banks.NETWORK)
        return self.http.post(path, content=letters.envelope.to_bytes(), headers=bearer(analyst))

    def post(self, job: str, document: Any, by: str | None = None) -> httpx2.Response:
        return self.http.post(http.entries_path(job), content=signed(document, by).to_bytes())

    def upload(
        self, letters: Letters, stream: tuple[str, int, int], content: bytes = b"stream"
    ) -> httpx2.Response:
        envelope = signed(letters.manifest(*stream, content=content))
        return self.put(letters, stream, envelope, content)

    def put(
        self, letters: Letters, stream: tuple[str, int, int], envelope: Envelope, content: Any
    ) -> httpx2.Response:
        path = http.blob_path(letters.job, *stream[1:])
        return self.http.put(
            path, content=content, headers={http.MANIFEST_HEADER: http.manifest_header(envelope)}
        )

    def run(self, letters: Letters) -> None:
        """A whole job, to its release."""
        assert self.submit(letters).status_code == 201
        for document in (
            *map(letters.approval, letters.plan.players),
            *map(letters.offer, letters.plan.players),
        ):
            assert self.post(letters.job, document).status_code == 201
        for stream in letters.streams:
            assert self.upload(letters, stream, content=repr(stream).encode()).status_code == 201

    def view(self, job: str, analyst: str = banks.ANALYST, **query: int) -> JobView:
        answer = self.http.get(http.job_path(job), headers=bearer(analyst), params=query)
        assert answer.status_code == 200, answer.text
        return JobView.model_validate_json(answer.content)

    def poll(
        self, player: str = "player-1", after: int = 0, wait_s: int = 0, **changes: Any
    ) -> httpx2.Response:
        return self.http.post(
            http.INBOX, content=signed(self.poll_of(player, after, wait_s, **changes)).to_bytes()
        )

    def poll_of(self, player: str, after: int = 0, wait_s: int = 0, **changes: Any) -> Poll:
        body = {"network": banks.NETWORK, "player": player, "after": after, "wait_s": wait_s}
        return Poll.model_validate(body | {"at": self.clock.now, "nonce": os.urandom(32).hex()} | changes)

    def inbox(self, player: str = "player-1", after: int = 0, wait_s: int = 0) -> Inbox:
        poll = self.poll_of(player, after, wait_s)
        answer = self.http.post(http.INBOX, content=signed(poll).to_bytes())
        assert answer.status_code == 200, answer.text
        return TRUST.inbox(Envelope.from_bytes(answer.content), poll.nonce)


def bearer(analyst: str, **changes: Any) -> dict[str, str]:
    key = banks.unsafe_key("service")
    body = {"audience": key.public, "network": banks.NETWORK, "analyst": analyst}
    times = {"not_before": NOW - 9, "not_after": NOW + token.LASTS_S}
    text = token.issue(Credential.model_validate(body | times | changes), key)
    return {"Authorization": f"Bearer {text}"}


def code_of(answer: httpx2.Response) -> tuple[int, str]:
    """Status and code; every error is a problem document that clients can read back."""
    assert answer.headers["content-type"] == http.PROBLEM_TYPE, answer.text
    problem = answer.json()
    assert {"type", "title", "status", "detail", "kind", "code"} <= problem.keys()
    assert problem["status"] == answer.status_code
    error = http.error_of(answer.status_code, answer.content)
    assert isinstance(error, XorError)
    return answer.status_code, error.code


def lay_down(directory: Path) -> None:
    directory.mkdir()
    banks.unsafe_key("service").save(directory / setup.KEY)
    owners = (banks.unsafe_key(name) for name in banks.OWNERS)
    setup.create(directory, [seal_envelope(banks.agreement(), *owners)])


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    lay_down(tmp_path / "service")
    up = Running(tmp_path / "service")
    up.start()
    yield up
    up.stop()


@pytest.fixture
def letters() -> Letters:
    return Letters(banks.placed(banks.both_directions()))


@pytest.fixture
def shared() -> Letters:
    """A plan whose result goes to the auditors too."""
    return Letters(banks.placed(banks.both_directions(), banks.ANALYST, "auditors"))


def test_a_job_runs_from_plan_to_release(running: Running, shared: Letters) -> None:
    running.run(shared)
    view = running.view(shared.job)
    assert (view.state, view.waiting_for) == (JobState.RELEASED, ())
    assert [entry.kind for entry in view.entries] == (
        [Kind.PLAN] + [Kind.APPROVAL] * 2 + [Kind.OFFER] * 2 + [Kind.MANIFEST] * 4
    )
    assert all(TRUST.read(entry) for entry in view.entries)
    for player, node, side in shared.streams:
        for analyst in (banks.ANALYST, "auditors"):
            answer = running.http.get(http.blob_path(shared.job, node, side), headers=bearer(analyst))
            assert answer.content == repr((player, node, side)).encode()
            assert int(answer.headers["content-length"]) == len(answer.content)


def test_the_same_plan_posted_twice_is_the_same_job(running: Running, letters: Letters) -> None:
    first, second = running.submit(letters), running.submit(letters)
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["job"] == second.json()["job"] == letters.job
    assert len(running.view(letters.job).entries) == 1
    assert len(running.inbox().entries) == 1


def test_a_replayed_plan_starts_no_second_run_after_its_release(running: Running, letters: Letters) -> None:
    running.run(letters)
    running.restart()
    before = running.view(letters.job)
    assert running.submit(letters).status_code == 200
    assert running.view(letters.job) == before


TOKEN_ROUTES = [
    ("GET", http.network_path(banks.NETWORK)),
    ("POST", http.network_jobs_path(banks.NETWORK)),
    ("GET", http.JOBS),
    ("GET", http.job_path("a" * 64)),
    ("GET", http.blob_path("a" * 64, 0, 0)),
]


@pytest.mark.parametrize(("method", "path"), TOKEN_ROUTES)
def test_routes_for_analysts_need_a_token_in_force(running: Running, method: str, path: str) -> None:
    stranger = token.issue(
        Credential(
            audience=banks.unsafe_key("service").public,
            network=banks.NETWORK,
            analyst=banks.ANALYST,
            not_before=NOW,
            not_after=NOW + 9,
        ),
        SigningKey.generate(),
    )
    cases = [
        ({}, (401, "auth.no-token")),
        ({"Authorization": "Basic eHg6eHg="}, (401, "auth.no-token")),
        ({"Authorization": "Bearer xor_nonsense"}, (401, "auth.bad-token")),
        ({"Authorization": "Bearer *"}, (401, "auth.bad-token")),
        ({"Authorization": f"Bearer {stranger}"}, (401, "auth.bad-token")),
        (bearer(banks.ANALYST, not_after=NOW), (401, "auth.expired-token")),
        (bearer(banks.ANALYST, not_before=NOW + 1), (401, "auth.expired-token")),
        (bearer(banks.ANALYST, not_after=NOW + 3600), (401, "auth.expired-token")),
        (bearer(banks.ANALYST, audience="ab" * 32), (403, "auth.other-service")),
        (bearer("outsider"), (403, "auth.stranger")),
        (bearer(banks.ANALYST, network="other"), (404, "usage.unknown-network")),
    ]
    for headers, expected in cases:
        answer = running.http.request(method, path, headers=headers)
        assert code_of(answer) == expected
        assert ("www-authenticate" in answer.headers) == (expected[0] == 401)


OPEN_ROUTES = [("GET", http.HEALTH), ("GET", http.READY), ("GET", "/openapi.json")]
UPLOAD_ROUTES = [("PUT", http.blob_path("a" * 64, 0, 0))]
SIGNED_ROUTES = [
    ("POST", http.TOKENS),
    ("POST", http.entries_path("a" * 64)),
    ("POST", http.progress_path("a" * 64)),
    ("POST", http.ANNOUNCE),
    ("POST", http.INBOX),
]


@pytest.mark.parametrize(("method", "path"), SIGNED_ROUTES)
def test_routes_for_signed_messages_refuse_what_is_no_envelope(
    running: Running, method: str, path: str
) -> None:
    envelope = signed(running.poll_of("player-0"))
    loose = b" " + envelope.to_bytes()
    for body in (b"", b"{}", b"null", b"\xff", b'{"payload":1}', loose):
        assert code_of(running.http.request(method, path, content=body))[0] == 400


def test_every_route_is_in_one_of_the_tables_above(running: Running) -> None:
    tried = {*TOKEN_ROUTES, *OPEN_ROUTES, *UPLOAD_ROUTES, *SIGNED_ROUTES}
    for route in running.app.routes:
        assert isinstance(route, Route)
        methods = (route.methods or set()) - {"HEAD"}
        matching = {(method, path) for method, path in tried if route.path_regex.match(path)}
        assert matching, route.path
        assert methods <= {method for method, _ in matching}, route.path


def everybody_but(*members: str) -> set[str]:
    return {"player-0", "player-1", banks.ANALYST, "auditors", "service", "nobody", *banks.OWNERS} - {
        *members
    }


def test_signed_messages_count_only_from_whom_they_name_and_only_once(
    running: Running, letters: Letters
) -> None:
    running.submit(letters)
    now = running.clock.now
    messages: dict[str, Callable[..., Any]] = {
        http.TOKENS: login,
        http.INBOX: lambda **changes: running.poll_of("player-0", **changes),
        http.ANNOUNCE: lambda **changes: announcement("player-0", **({"at": now} | changes)),
    }
    for path, make in messages.items():
        right = "player-0" if path != http.TOKENS else banks.ANALYST
        for by in everybody_but(right):
            answer = running.http.post(path, content=signed(make(), by).to_bytes())
            assert code_of(answer) == (401, "auth.bad-signature"), (path, by)
        for at in (now - 61, now + 61):
            answer = running.http.post(path, content=signed(make(at=at)).to_bytes())
            assert code_of(answer) == (401, "auth.stale"), path
        answer = running.http.post(path, content=signed(make(network="other"), right).to_bytes())
        assert code_of(answer) == (404, "usage.unknown-network"), path
        once = signed(make()).to_bytes()
        assert running.http.post(path, content=once).status_code < 300, path
        assert code_of(running.http.post(path, content=once)) == (401, "auth.replayed"), path
    for by in everybody_but("player-0"):
        for path, document in (
            (http.entries_path(letters.job), letters.approval("player-0")),
            (http.progress_path(letters.job), letters.progress("player-0")),
        ):
            answer = running.http.post(path, content=signed(document, by).to_bytes())
            assert code_of(answer) == (401, "auth.bad-signature"), (path, by)


def login(analyst: str = banks.ANALYST, **changes: Any) -> Login:
    body = {"network": banks.NETWORK, "agreement": TRUST.hash, "analyst": analyst, "at": NOW}
    return Login.model_validate(body | {"nonce": os.urandom(32).hex()} | changes)


def test_an_analyst_who_logs_in_gets_a_short_lived_token_of_its_own(running: Running) -> None:
    answer = running.http.post(http.TOKENS, content=signed(login("auditors")).to_bytes())
    view = TokenView.model_validate_json(answer.content)
    credential = token.read(view.token, banks.unsafe_key("service").public, NOW)
    assert (credential.analyst, credential.network) == ("auditors", banks.NETWORK)
    assert credential.audience == banks.unsafe_key("service").public
    assert view.lasts_s == credential.not_after - NOW == 900
    headers = {"Authorization": f"Bearer {view.token}"}
    assert running.http.get(http.JOBS, headers=headers).status_code == 200
    running.clock.now += 900
    assert code_of(running.http.get(http.JOBS, headers=headers)) == (401, "auth.expired-token")


def test_a_login_under_another_agreement_is_meant_for_another_service(running: Running) -> None:
    answer = running.http.post(http.TOKENS, content=signed(login(agreement="ab" * 32)).to_bytes())
    assert code_of(answer) == (403, "auth.other-agreement")
    for player in ("player-0", "nobody"):
        answer = running.http.post(http.TOKENS, content=signed(login(player)).to_bytes())
        assert code_of(answer) == (403, "auth.stranger")


def test_who_asks_too_often_is_put_off_and_others_are_not(running: Running, monkeypatch: Any) -> None:
    monkeypatch.setattr("xor.service.shell.MEMBER", Rate(5, 0))
    mine = bearer(banks.ANALYST)
    answers = [running.http.get(http.JOBS, headers=mine) for _ in range(6)]
    assert [each.status_code for each in answers] == [200] * 5 + [429]
    assert code_of(answers[-1]) == (429, http.TOO_MANY)
    assert answers[-1].headers["retry-after"] == "1"
    assert running.http.get(http.JOBS, headers=bearer("auditors")).status_code == 200
    assert running.inbox("player-0").entries == ()
    # Who pretends to be somebody else does not use up what is theirs.
    for _ in range(9):
        forged = signed(running.poll_of("player-0"), by="player-1").to_bytes()
        assert code_of(running.http.post(http.INBOX, content=forged)) == (401, "auth.bad-signature")
    assert running.inbox("player-0").entries == ()


def test_an_address_that_asks_too_often_is_put_off(running: Running, monkeypatch: Any) -> None:
    monkeypatch.setattr("xor.service.app.ADDRESS", Rate(3, 0))
    answers = [running.http.get(http.HEALTH) for _ in range(4)]
    assert [each.status_code for each in answers] == [200, 200, 200, 429]
    assert code_of(answers[-1]) == (429, http.TOO_MANY)


def test_one_member_does_not_hold_all_open_requests(running: Running, monkeypatch: Any) -> None:
    monkeypatch.setattr("xor.service.shell.MAX_OPEN_OF_MEMBER", 2)
    with contextlib.ExitStack() as waiting:
        for _ in range(2):
            line = waiting.enter_context(raw(running))
            send(line, http.INBOX, signed(running.poll_of("player-0", wait_s=3)).to_bytes())
        while running.service.limits.open_requests((banks.NETWORK, "player-0")) < 2:
            running.http.get(http.HEALTH)
        poll = signed(running.poll_of("player-0")).to_bytes()
        assert code_of(running.http.post(http.INBOX, content=poll)) == (429, http.TOO_MANY)
        assert running.inbox("player-1").entries == ()
    while running.service.limits.open_requests((banks.NETWORK, "player-0")):
        running.http.get(http.HEALTH)
    assert running.inbox("player-0").entries == ()


def test_a_member_takes_only_so_many_streams_at_once(
    running: Running, letters: Letters, monkeypatch: Any
) -> None:
    running.run(letters)
    _, node, side = letters.streams[0]
    path, mine = http.blob_path(letters.job, node, side), bearer(banks.ANALYST)
    assert running.http.get(path, headers=mine).status_code == 200
    monkeypatch.setattr("xor.service.shell.MAX_OPEN_OF_MEMBER", 0)
    assert code_of(running.http.get(path, headers=mine)) == (429, http.TOO_MANY)


def raw(running: Running) -> socket.socket:
    return socket.create_connection((running.http.base_url.host, running.http.base_url.port))


def send(line: socket.socket, path: str, body: bytes) -> None:
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    line.sendall(head.encode() + body)


@pytest.mark.parametrize("headers", [bearer(banks.ANALYST), {}], ids=["with token", "without"])
def test_the_service_does_what_its_openapi_document_says(running: Running, headers: dict[str, str]) -> None:
    """Requests made from the document, good and bad: no bug, and only documented statuses, types and forms.

    Nothing made up has a valid signature; so a refusal is no sign that the document lies.
    """
    url = str(running.http.base_url).rstrip("/")
    document = schemathesis.openapi.from_url(f"{url}/openapi.json")
    tried = 0
    for found in document.get_all_operations():
        operation = found.ok()

        cases = st.one_of(operation.as_strategy(generation_mode=mode) for mode in modes_of(operation))

        @settings(
            max_examples=30,
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=cases)
        def answers_properly(case: schemathesis.Case) -> None:
            nonlocal tried
            tried += 1
            answer = case.call(headers=headers)
            case.validate_response(answer, excluded_checks=[positive_data_acceptance])

        answers_properly()
    assert tried > 200


def modes_of(operation: schemathesis.APIOperation) -> list[schemathesis.GenerationMode]:
    """Without parameters and body there is nothing to get wrong."""
    has_input = operation.body or operation.path_parameters or operation.query or operation.headers
    return list(schemathesis.GenerationMode) if has_input else [schemathesis.GenerationMode.POSITIVE]


def test_another_member_sees_no_job_that_is_not_for_it(running: Running, letters: Letters) -> None:
    running.run(letters)
    other = bearer("auditors")
    _, node, side = letters.streams[0]
    for path in (http.job_path(letters.job), http.blob_path(letters.job, node, side)):
        hidden = running.http.get(path, headers=other)
        absent = running.http.get(path.replace(letters.job, "a" * 64), headers=other)
        assert code_of(hidden) == code_of(absent) == (404, "usage.unknown-job")
        assert hidden.json()["detail"] == absent.json()["detail"]
    assert running.http.get(http.JOBS, headers=other).json() == []
    mine = running.http.get(http.JOBS, headers=bearer(banks.ANALYST)).json()
    assert [each["job"] for each in mine] == [letters.job]
    assert code_of(running.submit(letters, analyst="auditors")) == (403, "auth.not-yours")


def test_a_tampered_plan_is_refused(running: Running, letters: Letters) -> None:
    envelope = letters.envelope
    body = parse_canonical(envelope.payload)
    path = http.network_jobs_path(banks.NETWORK)
    for change in ({"recipients": ["auditors"]}, {"not_after": body["not_after"] + 1}):
        altered = Envelope(envelope.payload_type, canonical(body | change), envelope.signatures)
        answer = running.http.post(path, content=altered.to_bytes(), headers=bearer(banks.ANALYST))
        assert code_of(answer) == (401, "auth.bad-signature")
    other = replace(letters.plan, agreement="e" * 64)
    assert code_of(running.submit(Letters(other))) == (403, "auth.other-agreement")
    assert code_of(running.submit(Letters(banks.expired(letters.plan)))) == (422, "plan.expired")
    assert running.http.get(http.JOBS, headers=bearer(banks.ANALYST)).json() == []


def test_what_strangers_say_about_a_job_is_refused(running: Running, letters: Letters) -> None:
    running.submit(letters)
    approval = letters.approval("player-0")
    for by in ("player-1", "bank-a", "service", banks.ANALYST, "nobody"):
        assert code_of(running.post(letters.job, approval, by)) == (401, "auth.bad-signature")
    stranger = Approval.model_validate(approval.model_dump() | {"player": "player-9"})
    assert code_of(running.post(letters.job, stranger, "player-0")) == (403, "auth.stranger")
    assert code_of(running.post(letters.job, letters.cancel("auditors"))) == (403, "auth.not-yours")
    other = Letters(replace(letters.plan, nonce="8" * 64))
    assert code_of(running.post(letters.job, other.approval("player-0"))) == (403, "auth.other-job")
    assert code_of(running.post(other.job, other.approval("player-0"))) == (404, "usage.unknown-job")
    manifest = letters.manifest(*letters.streams[0])
    assert code_of(running.post(letters.job, manifest)) == (400, "usage.bad-envelope")
    assert len(running.view(letters.job).entries) == 1


def test_repeats_are_harmless_and_contradictions_refused(running: Running, letters: Letters) -> None:
    running.submit(letters)
    approval = letters.approval("player-0")
    assert [running.post(letters.job, approval).status_code for _ in range(3)] == [201, 200, 200]
    other = approval.model_copy(update={"policies": ()})
    assert code_of(running.post(letters.job, other)) == (409, "job.conflict")
    assert code_of(running.post(letters.job, letters.offer("player-0"))) == (409, "job.too-early")


def approved(running: Running, letters: Letters) -> None:
    running.submit(letters)
    for player in letters.plan.players:
        assert running.post(letters.job, letters.approval(player)).status_code == 201


def test_streams_that_are_not_as_signed_are_refused_and_leave_nothing(
    running: Running, letters: Letters
) -> None:
    approved(running, letters)
    stream = letters.streams[0]
    envelope = signed(letters.manifest(*stream, content=b"stream"))
    for content in (b"strea", b"stream!", b"STREAM"):
        assert code_of(running.put(letters, stream, envelope, content)) == (400, "usage.wrong-stream")
    forged = signed(letters.manifest(*stream), by="player-1" if stream[0] == "player-0" else "player-0")
    assert code_of(running.put(letters, stream, forged, b"stream")) == (401, "auth.bad-signature")
    assert code_of(running.put(letters, letters.streams[1], envelope, b"stream")) == (
        400,
        "usage.wrong-stream",
    )
    huge = letters.manifest(*stream).model_copy(update={"bytes": 2**45})
    assert code_of(running.put(letters, stream, signed(huge), b"x")) == (413, "resource.stream-too-long")
    path = http.blob_path(letters.job, *stream[1:])
    assert code_of(running.http.put(path, content=b"stream")) == (422, "usage.bad-parameter")
    answer = running.http.put(path, content=b"", headers={http.MANIFEST_HEADER: "AAAA"})
    assert code_of(answer) == (400, "usage.bad-envelope")
    assert blobs_of(running) == []
    assert running.upload(letters, stream).status_code == 201
    assert running.upload(letters, stream).status_code == 200
    assert code_of(running.upload(letters, stream, content=b"other")) == (409, "job.conflict")
    assert len(blobs_of(running)) == 1


def blobs_of(running: Running) -> list[Path]:
    return [path for path in (running.directory / setup.BLOBS).rglob("*") if path.is_file()]


def test_an_upload_that_breaks_off_leaves_nothing_and_can_be_sent_again(
    running: Running, letters: Letters
) -> None:
    approved(running, letters)
    stream = letters.streams[0]
    content = b"stream" * 1000
    manifest = http.manifest_header(signed(letters.manifest(*stream, content=content)))
    head = (
        f"PUT {http.blob_path(letters.job, *stream[1:])} HTTP/1.1\r\nHost: localhost\r\n"
        f"Content-Length: {len(content)}\r\n{http.MANIFEST_HEADER}: {manifest}\r\n\r\n"
    )
    with socket.create_connection((running.http.base_url.host, running.http.base_url.port)) as line:
        line.sendall(head.encode() + content[:100])
        line.shutdown(socket.SHUT_WR)
        while line.recv(4096):
            pass
    # The connection ends first; what was stored goes when the service has noticed.
    while blobs_of(running):
        running.http.get(http.HEALTH)
    assert running.upload(letters, stream, content).status_code == 201
    assert [path.read_bytes() for path in blobs_of(running)] == [content]


def test_a_stream_is_kept_when_nobody_knows_whether_its_manifest_was_written(
    running: Running, letters: Letters, monkeypatch: pytest.MonkeyPatch
) -> None:
    approved(running, letters)
    append = Store.append

    def append_and_lose_the_answer(store: Store, job: Job, entry: Append) -> int:
        append(store, job, entry)
        raise PeerError("the service's database does not answer", code="peer.database-away")

    with monkeypatch.context() as patched:
        patched.setattr(Store, "append", append_and_lose_the_answer)
        assert running.upload(letters, letters.streams[0]).status_code >= 500
    assert running.upload(letters, letters.streams[0]).status_code == 200
    assert [path.read_bytes() for path in blobs_of(running)] == [b"stream"]


def test_results_are_handed_out_only_once_all_are_in(running: Running, letters: Letters) -> None:
    approved(running, letters)
    running.upload(letters, letters.streams[0])
    _, node, side = letters.streams[0]
    answer = running.http.get(http.blob_path(letters.job, node, side), headers=bearer(banks.ANALYST))
    assert code_of(answer) == (409, "job.not-released")
    answer = running.http.get(http.blob_path(letters.job, 999, side), headers=bearer(banks.ANALYST))
    assert code_of(answer) == (404, "job.unknown-stream")


def test_a_cancel_deletes_what_was_stored(running: Running, letters: Letters) -> None:
    approved(running, letters)
    running.upload(letters, letters.streams[0])
    assert len(blobs_of(running)) == 1
    assert running.post(letters.job, letters.cancel()).status_code == 201
    assert running.view(letters.job).state is JobState.CANCELLED
    assert blobs_of(running) == []
    assert running.upload(letters, letters.streams[0]).status_code == 200
    assert code_of(running.upload(letters, letters.streams[1])) == (409, "job.ended")
    assert blobs_of(running) == []


def test_bodies_beyond_their_limits_are_refused(running: Running, letters: Letters) -> None:
    limits = [
        (http.network_jobs_path(banks.NETWORK), 9 * 2**20),
        (http.entries_path(letters.job), 600 * 1024),
        (http.INBOX, 9 * 1024),
        (http.ANNOUNCE, 3 * 2**20),
        (http.progress_path(letters.job), 9 * 1024),
    ]
    for path, size in limits:
        answer = running.http.post(path, content=b"x" * size, headers=bearer(banks.ANALYST))
        assert code_of(answer) == (413, "usage.body-too-large")

        def endless(size: int = size) -> Iterator[bytes]:
            for _ in range(size // 65536 + 1):
                yield b"x" * 65536

        answer = running.http.post(path, content=endless(), headers=bearer(banks.ANALYST))
        assert code_of(answer) == (413, "usage.body-too-large")


def test_a_stranger_cannot_have_a_plan_read(running: Running) -> None:
    """Without a token the answer comes before the body has."""
    path = http.network_jobs_path(banks.NETWORK)
    with socket.create_connection(("127.0.0.1", running.http.base_url.port), timeout=10) as stranger:
        stranger.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 999\r\n\r\n".encode())
        assert b" 401 " in stranger.recv(4096).splitlines()[0]


def test_documents_of_too_many_parts_are_refused_before_they_are_parsed(
    running: Running, letters: Letters
) -> None:
    running.submit(letters)
    payload = canonical({"network": banks.NETWORK, "player": [[]] * 33_000})
    body = Envelope(Announce.payload_type, payload, ()).to_bytes()
    for path in (http.entries_path(letters.job), http.ANNOUNCE):
        assert code_of(running.http.post(path, content=body)) == (413, "usage.body-too-large")
    headers = {http.MANIFEST_HEADER: http.manifest_header(Envelope("x", payload, ()))}
    answer = running.http.put(http.blob_path(letters.job, 0, 0), content=b"", headers=headers)
    assert code_of(answer) == (413, "usage.body-too-large")


def test_a_body_that_stalls_is_cut(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xor.service.requests.BODY_S", 0.1)
    with socket.create_connection(("127.0.0.1", running.http.base_url.port), timeout=10) as stalling:
        stalling.sendall(
            f"POST {http.ANNOUNCE} HTTP/1.1\r\nHost: x\r\nContent-Length: 999\r\n\r\n{{".encode()
        )
        answer = b""
        while received := stalling.recv(4096):
            answer += received
    assert b"usage.stalled" in answer


def test_a_restart_in_the_middle_of_a_job_keeps_its_log(running: Running, letters: Letters) -> None:
    approved(running, letters)
    running.upload(letters, letters.streams[0])
    before = running.view(letters.job)
    running.restart()
    assert running.view(letters.job) == before
    for stream in letters.streams:
        assert running.upload(letters, stream).status_code in (200, 201)
    assert running.view(letters.job).state is JobState.RELEASED
    running.restart()
    assert running.view(letters.job).state is JobState.RELEASED
    assert len(blobs_of(running)) == 4


def test_polls_are_answered_to_the_player_that_signs_them_and_only_once(
    running: Running, letters: Letters
) -> None:
    running.submit(letters)
    assert [entry.job for entry in running.inbox("player-0").entries] == [letters.job]
    assert running.inbox("player-0", after=1).entries == ()
    poll = signed(running.poll_of("player-0")).to_bytes()
    assert running.http.post(http.INBOX, content=poll).status_code == 200
    assert code_of(running.http.post(http.INBOX, content=poll)) == (401, "auth.replayed")
    forged = signed(running.poll_of("player-0"), by="player-1").to_bytes()
    assert code_of(running.http.post(http.INBOX, content=forged)) == (401, "auth.bad-signature")
    for at in (NOW - 61, NOW + 61, NOW - 1):
        assert code_of(running.poll(at=at)) == (401, "auth.stale")
    assert code_of(running.poll(network="other")) == (404, "usage.unknown-network")
    empty = announcement("player-0", running.clock.now).model_copy(update={"datasets": (), "policies": ()})
    assert code_of(running.http.post(http.INBOX, content=signed(empty).to_bytes()))[0] == 403


def test_a_poll_seen_before_a_restart_is_not_answered_after_it(running: Running) -> None:
    poll = signed(running.poll_of("player-0")).to_bytes()
    assert running.http.post(http.INBOX, content=poll).status_code == 200
    running.clock.now += 1
    running.restart()
    assert code_of(running.http.post(http.INBOX, content=poll)) == (401, "auth.stale")


def test_a_long_poll_is_woken_by_what_concerns_it(running: Running, letters: Letters) -> None:
    found: list[Any] = []
    waiters = [
        threading.Thread(target=lambda: found.append(running.inbox("player-0", wait_s=30).entries[0].job)),
        threading.Thread(target=lambda: found.append(running.inbox("player-1", wait_s=30).entries[0].job)),
    ]
    for each in waiters:
        each.start()
    running.submit(letters)
    for each in waiters:
        each.join(10)
    assert found == [letters.job] * 2
    watcher = threading.Thread(target=lambda: found.append(running.view(letters.job, after=1, wait_s=30)))
    watcher.start()
    running.post(letters.job, letters.refusal("player-0"))
    watcher.join(10)
    assert found[2].state in (JobState.REFUSED,)
    assert [entry.kind for entry in found[2].entries] == [Kind.REFUSAL]


def test_stopping_ends_long_polls_at_once(running: Running) -> None:
    found: list[int] = []
    waiter = threading.Thread(target=lambda: found.append(len(running.inbox(wait_s=60).entries)))
    waiter.start()
    topic = ("player", banks.NETWORK, "player-1")
    while not running.service._bell._waiting.get(topic):
        pass
    running.restart()
    waiter.join(5)
    assert found == [0]


def test_many_machines_may_wait_at_once(running: Running, letters: Letters) -> None:
    async def scene() -> int:
        limits = httpx2.Limits(max_connections=400)
        url = running.http.base_url
        async with httpx2.AsyncClient(base_url=url, trust_env=False, timeout=60, limits=limits) as client:
            polls = [
                asyncio.create_task(
                    client.post(http.INBOX, content=signed(running.poll_of(player, wait_s=50)).to_bytes())
                )
                for player in ("player-0", "player-1")
                for _ in range(90)
            ]
            while sum(map(len, running.service._bell._waiting.values())) < 180:
                await asyncio.sleep(0)
            await asyncio.to_thread(running.submit, letters)
            answers = await asyncio.gather(*polls)
            return sum(answer.status_code == 200 for answer in answers)

    assert asyncio.run(scene()) == 180


def test_silent_machines_are_named_when_their_time_is_up(tmp_path: Path, letters: Letters) -> None:
    lay_down(tmp_path / "service")
    running = Running(tmp_path / "service", timeouts=Timeouts(approvals_s=1))
    running.start()
    try:
        running.submit(letters)
        running.post(letters.job, letters.approval("player-0"))
        running.clock.now += 1
        view = running.view(letters.job, after=2, wait_s=30)
        assert view.state is JobState.EXPIRED
        closed = TRUST.closed(Envelope.from_bytes(view.entries[-1].envelope.encode()))
        assert (closed.code, closed.waiting_for) == ("peer.no-approval", ("player-1",))
    finally:
        running.stop()


def test_old_results_are_deleted_and_said_to_be(running: Running, letters: Letters) -> None:
    running.run(letters)
    running.clock.now += 31 * 86400
    running.restart()
    _, node, side = letters.streams[0]
    headers = bearer(banks.ANALYST, not_before=running.clock.now - 9, not_after=running.clock.now + 9)
    # The clock task sweeps right after the start; the health route does not wait for it.
    while blobs_of(running):
        assert running.http.get(http.HEALTH).status_code == 200
    answer = running.http.get(http.blob_path(letters.job, node, side), headers=headers)
    assert code_of(answer) == (410, "job.result-deleted")


def test_progress_is_shown_while_a_job_runs_and_forgotten_afterwards(
    running: Running, letters: Letters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xor.service.shell.MAX_STEPS", 4)
    approved(running, letters)
    path = http.progress_path(letters.job)
    for done in (1, 5):
        said = signed(letters.progress("player-0", done)).to_bytes()
        assert running.http.post(path, content=said).status_code == 204
    shown = running.view(letters.job).progress
    assert [(each.player, each.done) for each in shown] == [("player-0", 5)]
    forged = signed(letters.progress("player-0"), by="player-1").to_bytes()
    assert code_of(running.http.post(path, content=forged)) == (401, "auth.bad-signature")
    for number in range(4):
        step = Progress.model_validate(letters.progress("player-0").model_dump() | {"step": f"step {number}"})
        answer = running.http.post(path, content=signed(step).to_bytes())
    assert code_of(answer) == (429, "resource.too-many-steps")
    running.post(letters.job, letters.cancel())
    assert running.view(letters.job).progress == ()


def test_progress_of_a_job_that_ended_unseen_is_not_kept(
    running: Running, letters: Letters, shared: Letters
) -> None:
    for each in (letters, shared):
        approved(running, each)
        said = signed(each.progress("player-0")).to_bytes()
        assert running.http.post(http.progress_path(each.job), content=said).status_code == 204
        assert running.service._progress.keys() == {each.job}
        running.post(each.job, each.cancel())


def announcement(player: str, at: int, **changes: Any) -> Announce:
    mine = [entry for entry in banks.ENTRIES.values() if entry.player == player]
    policies = banks.policies()
    body = {
        "network": banks.NETWORK,
        "player": player,
        "at": at,
        "nonce": os.urandom(32).hex(),
        "datasets": tuple(text(entry, entry.owner) for entry in mine),
        "policies": tuple(text(policies[entry.name].policy, entry.owner) for entry in mine),
        "capacity": Capacity(memory_bytes=2**33, disk_bytes=2**36, oprf=("dh",)),
    }
    return Announce.model_validate(body | changes)


def text(document: Any, owner: str) -> str:
    return seal_envelope(document, banks.unsafe_key(owner)).to_bytes().decode()


def test_a_catalogue_shows_what_machines_announce_and_who_is_online(running: Running) -> None:
    for player in ("player-0", "player-1"):
        said = signed(announcement(player, NOW)).to_bytes()
        assert running.http.post(http.ANNOUNCE, content=said).status_code == 204
    assert [each[1:] for each in catalogue(running)] == [(True,)] * 3
    running.restart()
    running.clock.now += 200
    assert [each[1:] for each in catalogue(running)] == [(False,)] * 3
    running.inbox("player-1")
    assert catalogue(running) == [("accounts_b", False), ("accounts_c", True), ("transactions_a", False)]
    nothing = signed(announcement("player-0", running.clock.now, datasets=(), policies=())).to_bytes()
    assert running.http.post(http.ANNOUNCE, content=nothing).status_code == 204
    assert [name for name, _ in catalogue(running)] == ["accounts_c"]


def test_a_catalogue_passes_on_what_machines_that_are_online_say_of_themselves(running: Running) -> None:
    link = LinkSeen(peer="player-1", rtt_us=900, bytes_per_s=10**7)
    said = announcement("player-0", NOW, links=(link,))
    assert running.http.post(http.ANNOUNCE, content=signed(said).to_bytes()).status_code == 204
    known = MachineSeen(player="player-0", capacity=said.capacity, links=(link,))
    assert network_view(running).machines == (known,)
    running.clock.now += 91
    assert network_view(running).machines == ()


def network_view(running: Running) -> NetworkView:
    answer = running.http.get(http.network_path(banks.NETWORK), headers=bearer(banks.ANALYST))
    return NetworkView.model_validate_json(answer.content)


def catalogue(running: Running) -> list[tuple[str, bool]]:
    view = network_view(running)
    items = [
        (TRUST.entry(Envelope.from_bytes(each.entry.encode())).name, each.is_online) for each in view.datasets
    ]
    assert TRUST.hash == hashlib.sha256(Envelope.from_bytes(view.agreement.encode()).payload).hexdigest()
    return items


def test_datasets_that_their_owner_did_not_sign_for_this_player_are_refused(running: Running) -> None:
    honest = announcement("player-1", NOW)
    other = announcement("player-0", NOW)
    forged = text(banks.ENTRIES["accounts_c"], "bank-a")
    cases = [
        ({"datasets": (forged,)}, (401, "auth.bad-signature")),
        ({"datasets": other.datasets, "policies": other.policies}, (403, "auth.other-player")),
        ({"policies": ()}, (400, "usage.bad-announcement")),
        ({"datasets": honest.datasets * 2}, (400, "usage.bad-announcement")),
        ({"datasets": ("{}",)}, (400, "usage.bad-envelope")),
    ]
    for changes, expected in cases:
        said = signed(announcement("player-1", NOW, **changes)).to_bytes()
        assert code_of(running.http.post(http.ANNOUNCE, content=said)) == expected
    assert catalogue(running) == []


def test_unknown_routes_methods_and_parameters_get_problems_too(running: Running, letters: Letters) -> None:
    head = bearer(banks.ANALYST)
    assert code_of(running.http.get("/nowhere")) == (404, "usage.unknown-route")
    assert code_of(running.http.delete(http.JOBS)) == (405, "usage.method-not-allowed")
    for path in (
        "/v1/jobs/xyz",
        f"/v1/jobs/{letters.job}?wait_s=61",
        "/v1/jobs?limit=0",
        "/v1/networks/a%20b",
    ):
        assert code_of(running.http.get(path, headers=head)) == (422, "usage.bad-parameter")
    assert code_of(running.http.get("/v1/networks/other", headers=head)) == (403, "auth.other-network")


def test_a_bug_tells_its_incident_and_nothing_else(
    running: Running, letters: Letters, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged = list[dict[str, object]]()
    monkeypatch.setattr(log, "error", lambda event, **fields: logged.append({"event": event, **fields}))

    async def broken(*_arguments: Any) -> None:
        raise RuntimeError("inner detail")

    monkeypatch.setattr(running.service, "jobs", broken)
    answer = running.http.get(http.JOBS, headers=bearer(banks.ANALYST))
    status, code = code_of(answer)
    assert status == 500
    [line] = logged
    assert (line["event"], line["incident"]) == ("incident", code.removeprefix("internal."))
    assert (line["route"], line["error"]) == (http.JOBS, "RuntimeError")
    assert "inner" not in str(line)
    assert "inner" not in answer.text


def test_a_service_that_can_work_says_so(running: Running) -> None:
    answer = running.http.get(http.READY)
    assert (answer.status_code, answer.json()) == (200, {"status": "ready", "lacks": []})


def test_a_service_that_cannot_write_or_stops_is_not_ready(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = shutil.disk_usage("/")._replace(free=1)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: free)
    database = sqlite3.connect(running.directory / setup.DATABASE, isolation_level=None)
    database.execute("UPDATE writer SET token = 'another'")
    database.close()
    answer = running.http.get(http.READY)
    assert (answer.status_code, answer.json()["lacks"]) == (503, ["database", "disk"])
    running.service.stop()
    assert running.http.get(http.READY).json()["lacks"] == ["stopping"]


def test_metrics_count_requests_by_route_and_entries_by_kind(running: Running, letters: Letters) -> None:
    running.submit(letters)
    running.http.get("/v1/jobs/" + "0" * 64, headers=bearer(banks.ANALYST))
    text = generate_latest(running.service.metrics.registry).decode()
    for line in (
        'xor_entries_total{kind="plan"} 1.0',
        'xor_open_jobs{state="waiting"} 1.0',
        'xor_requests_total{route="/v1/networks/{network}/jobs",status="201"} 1.0',
        'xor_requests_total{route="/v1/jobs/{job}",status="404"} 1.0',
        "xor_append_seconds_count 1.0",
    ):
        assert line in text.splitlines()
    for name in (banks.NETWORK, banks.ANALYST, "0" * 64):
        assert name not in text


def test_health_and_openapi_need_no_credential(running: Running) -> None:
    assert running.http.get(http.HEALTH).json() == {"status": "ok", "networks": [banks.NETWORK]}
    document = running.http.get("/openapi.json").json()
    assert {"JobView", "NetworkView", "EnvelopeModel", "SignatureModel", "Problem"} <= document["components"][
        "schemas"
    ].keys()
    listed = {(method, path) for path, methods in document["paths"].items() for method in methods}
    assert len(listed) == 13
    missing = "#/components/schemas/"
    names = {part.split('"')[0] for part in running.http.get("/openapi.json").text.split(missing)[1:]}
    assert names <= document["components"]["schemas"].keys()
