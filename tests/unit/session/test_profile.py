"""Profiles and credentials: where a token is looked up, and what is refused before anything is sent."""

import stat
from pathlib import Path

import pytest

from xor import session
from xor.errors import AuthError, UsageError
from xor.model.address import is_loopback
from xor.session.opening import current, shared_session
from xor.session.profile import Profile, find_token, profile_path, read_profile, write_profile

PIN = "ab" * 32


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XOR_HOME", str(tmp_path))
    monkeypatch.delenv("XOR_API_TOKEN", raising=False)
    return tmp_path


def full(home: Path) -> Profile:
    odd = home / 'a "quoted" \\ path\x7fß'
    return Profile(
        "localhost", 3000, "fraud-desk", "cd" * 32, "ca.pem", odd / "key", odd / "seal", {"two-parties": PIN}
    )


def test_a_profile_comes_back_as_it_was_written(home):
    path = write_profile(full(home))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_profile("localhost", 3000) == full(home)


def test_all_names_of_the_loopback_interface_share_a_profile():
    assert profile_path("localhost", 3000) == profile_path("127.0.0.1", 3000) == profile_path("::1", 3000)
    assert profile_path("example.org", 3000) != profile_path("localhost", 3000)


@pytest.mark.parametrize("host", ["../../etc/passwd", "", "a b", "a;b", "a/b", "..", "$(id)"])
def test_a_host_that_is_none_is_refused(host):
    with pytest.raises(UsageError):
        profile_path(host, 3000)


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_a_port_that_is_none_is_refused(port):
    with pytest.raises(UsageError):
        profile_path("localhost", port)


def test_a_profile_that_others_can_read_is_refused(home):
    write_profile(full(home)).chmod(0o644)
    with pytest.raises(AuthError, match="chmod 600"):
        read_profile("localhost", 3000)


@pytest.mark.parametrize(
    "text",
    [
        "ca = 1",
        "token = 'x'",
        "service_key = 'x'",
        "= broken",
        "[networks.x]\nagreement = 'short'",
        "networks = 'x'",
        "\x00",
    ],
)
def test_a_malformed_profile_is_refused_without_showing_it(home, text):
    path = write_profile(full(home))
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        read_profile("localhost", 3000)
    assert caught.value.code == "usage.bad-profile"


def test_a_star_is_looked_up_in_the_environment_first(home, monkeypatch):
    assert find_token("*", full(home)) is None
    monkeypatch.setenv("XOR_API_TOKEN", "xor_env")
    assert find_token("*", full(home)) == "xor_env"


def test_a_token_that_is_given_is_used(home, monkeypatch):
    monkeypatch.setenv("XOR_API_TOKEN", "xor_env")
    assert find_token("xor_mine", full(home)) == "xor_mine"


def test_without_a_credential_both_places_are_named(home):
    with pytest.raises(AuthError) as caught:
        session.open_session("localhost", 3000, api_token="*", use_ssl=False)
    assert "XOR_API_TOKEN" in str(caught.value)
    assert str(home / "profiles" / "localhost_3000.toml") in str(caught.value)


@pytest.mark.parametrize("token", ["", "a\nb", "tökén"])
def test_a_malformed_token_is_refused_and_not_shown(token):
    with pytest.raises(AuthError) as caught:
        session.open_session("localhost", 3000, api_token=token, use_ssl=False)
    assert caught.value.code == "auth.bad-token"


@pytest.mark.parametrize(
    "host", ["example.org", "10.0.0.1", "localhost.example.org", "127.0.0.1.nip.io", "0.0.0.0"]
)
def test_plain_http_works_on_loopback_only(host):
    with pytest.raises(UsageError) as caught:
        session.open_session(host, 3000, api_token="xor_x", use_ssl=False)
    assert caught.value.code == "usage.plain-http"
    assert caught.value.hint


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "127.0.0.1", "127.8.9.1", "::1", "[::1]"])
def test_loopback_is_known_by_its_names(host):
    assert is_loopback(host)


def test_a_session_without_with_stays_until_it_is_closed():
    opened = session.open_session("localhost", 3000, api_token="xor_x", use_ssl=False)
    assert current() is opened
    assert "xor_x" not in repr(opened)
    opened.close()
    opened.close()
    assert current() is not opened
    with pytest.raises(UsageError, match="closed"):
        opened.known("two-parties")


def test_a_wrong_token_does_not_stick_to_the_process(monkeypatch):
    monkeypatch.setenv("XOR_API_TOKEN", "xor_right")
    wrong = shared_session("localhost", 3000, "xor_wrong", False)
    right = shared_session("localhost", 3000, "*", False)
    assert right is not wrong
    assert shared_session("localhost", 3000, "xor_right", False) is right
    wrong.close()
    right.close()


def test_a_client_of_the_same_service_shares_the_session():
    with session.open_session("localhost", 3000, api_token="xor_x", use_ssl=False) as opened:
        assert shared_session("127.0.0.1", 3000, "*", False) is opened
        other = shared_session("localhost", 3001, "xor_x", False)
        assert other is not opened
        other.close()
        third = shared_session("localhost", 3000, "xor_y", False)
        assert third is not opened
        third.close()
