"""One connection of the service: uvicorn's, but whoever is slow with the head of a request is shown out."""

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_S = 10.0
"""How long the head of a request may take: the first from the connection's start, others from a first byte.

Pauses between requests end by uvicorn's `timeout_keep_alive`, which knows neither of these.
"""


class Connection(H11Protocol):
    """Calls `on_lost` once, when the connection is gone."""

    def __init__(self, on_lost: Callable[[], None], **options: Any) -> None:
        super().__init__(**options)
        self._on_lost = on_lost
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._unwatch()
        super().connection_lost(exc)
        self._on_lost()

    def _watch(self) -> None:
        """Starts the clock of a head, which further bytes do not set back; stops it at the head's end."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._unwatch()
        elif self._deadline is None and not self.transport.is_closing():
            self._deadline = self.loop.call_later(HEAD_S, self.transport.abort)

    def _unwatch(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
