"""Streams on disk, freshness, waking, problems and the setup of a service's directory."""

import asyncio
import errno
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from xor.errors import ERRORS, AuthError, ResourceError, UsageError, XorError
from xor.service import setup
from xor.service.bell import Bell, waited
from xor.service.blobs import Blobs
from xor.service.freshness import WINDOW_S, Freshness
from xor.service.problems import CLASSES, status_of
from xor.signing import seal_envelope
from xor.testing import three_banks as banks
from xor.testing.letters import Letters
from xor.wire import http

NOW = banks.NOW


async def pieces(content: bytes) -> AsyncIterator[bytes]:
    size = max(3, len(content) // 50)
    for start in range(0, len(content), size):
        yield content[start : start + size]


def receive(blobs: Blobs, letters: Letters, declared: bytes, sent: bytes) -> Path:
    manifest = letters.manifest(*letters.streams[0], content=declared)
    path = blobs.path(letters.job, "d" * 64)
    asyncio.run(blobs.receive(manifest, path, pieces(sent)))
    return path


def test_a_stream_is_stored_as_it_was_signed(tmp_path: Path, letters: Letters) -> None:
    blobs = Blobs(tmp_path / "blobs")
    blobs.open()
    for content in (b"", b"sealed", os.urandom(3 * 2**20)):
        assert receive(blobs, letters, content, content).read_bytes() == content
    assert blobs.jobs() == {letters.job}
    blobs.discard([letters.job])
    assert blobs.jobs() == frozenset()


@pytest.mark.parametrize("sent", [b"sealeD", b"seale", b"sealed!", b""])
def test_a_stream_that_differs_from_its_manifest_leaves_nothing(
    tmp_path: Path, letters: Letters, sent: bytes
) -> None:
    blobs = Blobs(tmp_path / "blobs")
    blobs.open()
    with pytest.raises(UsageError) as caught:
        receive(blobs, letters, b"sealed", sent)
    assert caught.value.code == "usage.wrong-stream"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_full_disk_is_said_and_leaves_nothing(
    tmp_path: Path, letters: Letters, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    blobs = Blobs(tmp_path / "blobs")
    blobs.open()
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ResourceError) as caught:
        receive(blobs, letters, b"sealed", b"sealed")
    assert caught.value.code == "resource.disk-full"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_stalled_upload_is_broken_off(
    tmp_path: Path, letters: Letters, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stalling() -> AsyncIterator[bytes]:
        yield b"sea"
        await asyncio.Event().wait()

    blobs = Blobs(tmp_path / "blobs")
    blobs.open()
    monkeypatch.setattr("xor.service.blobs.STALL_S", 0.01)
    manifest = letters.manifest(*letters.streams[0], content=b"sealed")
    with pytest.raises(UsageError) as caught:
        asyncio.run(blobs.receive(manifest, blobs.path(letters.job, "d"), stalling()))
    assert caught.value.code == "usage.stalled"


def test_what_earlier_uploads_left_unfinished_is_removed_at_the_start(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path / "blobs")
    blobs.open()
    (tmp_path / "blobs" / "partial" / "left").write_bytes(b"x")
    blobs.open()
    assert list((tmp_path / "blobs" / "partial").iterdir()) == []


def test_a_message_counts_once_and_only_within_its_minute() -> None:
    freshness = Freshness(started_at=NOW)
    freshness.check("a", NOW, NOW)
    with pytest.raises(AuthError) as caught:
        freshness.check("a", NOW, NOW + WINDOW_S)
    assert caught.value.code == "auth.replayed"
    for at in (NOW + WINDOW_S + 1, NOW - 1, NOW + 1000):
        with pytest.raises(AuthError) as caught:
            freshness.check("b", at, NOW if at <= NOW + WINDOW_S + 1 else NOW + 900)
        assert caught.value.code == "auth.stale"


def test_nonces_are_remembered_as_long_as_their_messages_count_and_no_longer() -> None:
    freshness = Freshness(started_at=NOW)
    early = NOW + WINDOW_S
    freshness.check("ahead", early, NOW)
    for second in range(2 * WINDOW_S):
        freshness.check(f"n{second}", NOW + second, NOW + second)
        assert len(freshness._seen) <= 2 * WINDOW_S + 2
    with pytest.raises(AuthError) as caught:
        freshness.check("ahead", early, NOW + 2 * WINDOW_S)
    assert caught.value.code == "auth.replayed"


def test_a_clock_that_is_set_back_does_not_bring_a_forgotten_nonce_back() -> None:
    freshness = Freshness(started_at=NOW)
    freshness.check("a", NOW, NOW)
    freshness.check("b", NOW + WINDOW_S + 1, NOW + WINDOW_S + 1)
    with pytest.raises(AuthError) as caught:
        freshness.check("a", NOW, NOW + WINDOW_S - 1)
    assert caught.value.code == "auth.stale"
    freshness.check("c", NOW + 1, NOW + WINDOW_S - 1)


def test_a_ring_wakes_the_waiters_of_its_topic_and_no_others() -> None:
    async def scene() -> None:
        bell = Bell()
        with bell.listening("a") as rung, bell.listening("b") as other:
            bell.ring(["a"])
            assert await waited(rung, 9)
            assert not await waited(other, 0)
            bell.close()
            assert await waited(other, 9)
        with bell.listening("c") as late:
            assert await waited(late, 9)
        assert not bell._waiting

    asyncio.run(scene())


def test_every_class_of_error_has_a_row_and_survives_the_journey() -> None:
    assert set(ERRORS.values()) == set(CLASSES)
    for cls in CLASSES:
        error = cls("what", code="area.reason", hint="how", job_id="j", player="p")
        status, title = status_of(error)
        back = http.error_of(status, http.encode_problem(error, status, title))
        assert type(back) is cls
        assert (back.code, back.hint, back.job_id) == (error.code, error.hint, error.job_id)
        assert back.message == "the service says: what"


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b"{}", b'{"kind":1,"code":"x"}', b'{"kind":"AuthError","code":7}', b"[" * 10**5],
)
def test_an_answer_without_a_problem_is_a_peer_error(body: bytes) -> None:
    error = http.error_of(502, body)
    assert (type(error).__name__, error.code) == ("PeerError", "peer.bad-answer")


def test_a_hostile_answer_cannot_write_on_the_terminal() -> None:
    body = http.encode_problem(UsageError("a\x1b[2Jb\r" + "x" * 10**5), 400, "t")
    message = http.error_of(400, body).message
    assert message.startswith(http.SERVICE_SAYS + "a[2Jbx")
    assert len(message) <= http.MAX_TEXT + len(http.SERVICE_SAYS)


def test_a_manifest_travels_in_a_header(letters: Letters) -> None:
    envelope = letters.envelope
    assert http.read_manifest_header(http.manifest_header(envelope)) == envelope
    for value in ("", "!", "AAAA", http.manifest_header(envelope)[:-9], "é"):
        with pytest.raises(UsageError):
            http.read_manifest_header(value)


def test_a_directory_serves_what_was_laid_down(directory: Path) -> None:
    key = banks.unsafe_key("service")
    networks = setup.load_networks(directory, key)
    assert networks[banks.NETWORK].trust.agreement == banks.agreement()
    owners = [banks.unsafe_key(name) for name in banks.OWNERS]
    setup.create(directory, [seal_envelope(banks.agreement(), *owners)])


def test_agreements_that_do_not_belong_here_are_refused(directory: Path) -> None:
    owners = [banks.unsafe_key(name) for name in banks.OWNERS]
    cases = {
        "auth.bad-signature": seal_envelope(banks.agreement(), *owners[:2]),
        "auth.other-service": seal_envelope(
            banks.agreement().model_copy(update={"service_key": "ab" * 32}), *owners
        ),
        "usage.other-agreement": seal_envelope(
            banks.agreement().model_copy(update={"not_after": NOW + 1}), *owners
        ),
    }
    for code, envelope in cases.items():
        with pytest.raises(XorError) as caught:
            setup.create(directory, [envelope])
        assert caught.value.code == code


def test_a_new_key_never_replaces_one(tmp_path: Path) -> None:
    key = setup.new_key(tmp_path / "new")
    assert (tmp_path / "new" / setup.KEY).stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        setup.new_key(tmp_path / "new")
    with pytest.raises(UsageError) as caught:
        setup.load_networks(tmp_path / "new", key)
    assert caught.value.code == "usage.no-network"
