"""Whether a machine's message is new: its time is near, and its nonce has not been seen."""

import itertools

from xor.errors import AuthError

WINDOW_S = 60


class Freshness:
    """Remembers the nonces of the last minutes, in memory.

    Security: what was stamped before the service started, or no later than a nonce that is forgotten, is
    refused. So neither a restart nor a clock that is set back lets anything be replayed but what a machine
    with a fast clock has stamped for a time after the restart.
    """

    def __init__(self, started_at: int) -> None:
        self._known_since = started_at
        self._seen: dict[str, int] = {}

    def check(self, nonce: str, at: int, now: int) -> None:
        """Takes a message's nonce and time.

        Raises:
            AuthError: its time is more than a minute off, or the nonce was used.
        """
        if abs(now - at) > WINDOW_S or at < self._known_since:
            raise AuthError(
                "the message is not of this minute",
                code="auth.stale",
                hint="send a new one; set the machine's clock if that does not help.",
            )
        if nonce in self._seen:
            raise AuthError("the message was sent before", code="auth.replayed", hint="send a new one.")
        self._forget(now)
        self._seen[nonce] = at

    def _forget(self, now: int) -> None:
        """Drops the oldest nonces as they leave the window; they are in order of arrival."""
        for nonce, at in tuple(itertools.islice(self._seen.items(), 8)):
            if now - at > WINDOW_S:
                del self._seen[nonce]
                self._known_since = max(self._known_since, at + 1)
