"""Sessions: a profile, a credential and a connection to one service."""

import atexit
import secrets
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from xor.errors import AuthError, UsageError
from xor.model.address import is_loopback
from xor.session.known import Known, login_request, pinned, verify_network
from xor.session.profile import LOOK_UP, Profile, find_token, profile_path, read_profile
from xor.session.transport import HttpTransport, Transport
from xor.signing import Envelope
from xor.wire import tls

_open: list["Session"] = []


class Session:
    """An open session. Use it in `with`; otherwise it ends with the process."""

    def __init__(
        self,
        profile: Profile,
        token: str | None,
        transport: Transport,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.profile = profile
        self.transport = transport
        self.is_open = True
        self._token = token
        self._now = now
        _open.append(self)

    @property
    def host(self) -> str:
        return self.profile.host

    @property
    def port(self) -> int:
        return self.profile.port

    def now(self) -> int:
        """Seconds since 1970 UTC."""
        return int(self._now())

    def known(self, network: str) -> Known:
        """What the service shows of a network, verified.

        Raises:
            UsageError: the network is not pinned in the profile. AuthError: something is not signed as it
                must be. PeerError: the service does not answer.
        """
        self.check_open()
        pinned(network, self.profile)
        return verify_network(self.transport.network(network), network, self.profile, self.now())

    def check_open(self) -> None:
        if not self.is_open:
            raise UsageError("the session is closed", code="usage.session-closed", hint="open another one.")

    def is_with(self, host: str, port: int) -> bool:
        """Whether this session is open, with the service at that address."""
        return self.is_open and profile_path(host, port) == self.profile.path

    def has_token(self, token: str | None) -> bool:
        return secrets.compare_digest(token or "", self._token or "")

    def close(self) -> None:
        """Ends the session. A result that is here can still be revealed."""
        if self.is_open:
            self.is_open = False
            _open.remove(self)
            self.transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "open" if self.is_open else "closed"
        return f"<session at {self.host}:{self.port}, {state}>"


def open_session(host: str, port: int, api_token: str = LOOK_UP, use_ssl: bool = True) -> Session:
    """Opens a session with the service at `host:port`.

    Args:
        api_token: the credential; or `"*"`: the one in XOR_API_TOKEN, or else the session logs in with the
            analyst's key of the profile, and again before a token expires.
        use_ssl: False is for services on this machine only.

    Raises:
        UsageError: `use_ssl=False` off loopback, or no such address.
        AuthError: there is no credential.
    """
    profile = read_profile(host, port)
    check_tls(host, use_ssl)
    return _opened(profile, find_token(api_token, profile), use_ssl)


def shared_session(host: str, port: int, api_token: str, use_ssl: bool) -> Session:
    """The latest open session with that service under that credential, or a new one.

    `"*"` is the credential that is looked up; where there is none to find, that of the latest session.
    """
    check_tls(host, use_ssl)
    profile = read_profile(host, port)
    try:
        token = find_token(api_token, profile)
    except AuthError:
        latest = next((each for each in reversed(_open) if each.is_with(host, port)), None)
        if latest is None or api_token != LOOK_UP:
            raise
        return latest
    for session in reversed(_open):
        if session.is_with(host, port) and session.has_token(token):
            return session
    return _opened(profile, token, use_ssl)


def current() -> Session | None:
    """The session opened last that is still open."""
    return _open[-1] if _open else None


def check_tls(host: str, use_ssl: bool) -> None:
    if not use_ssl and not is_loopback(host):
        raise UsageError(
            f"use_ssl=False works on loopback only, not with {host!r}",
            code="usage.plain-http",
            hint="reach the service through a tunnel that ends on this machine, as localhost.",
        )


def _opened(profile: Profile, token: str | None, use_ssl: bool) -> Session:
    context = tls.client_context(profile.service_key, profile.ca) if use_ssl else None

    def login(network: str) -> Envelope:
        return login_request(profile, network, int(time.time()))

    return Session(
        profile, token, HttpTransport(profile.host, profile.port, token=token, login=login, context=context)
    )


@atexit.register
def _close_all() -> None:
    for session in reversed(list(_open)):
        session.close()
