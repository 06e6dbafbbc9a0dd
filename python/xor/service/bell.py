"""Who waits for news, and how to wake them. Waiting costs a future, no thread and no polling."""

import asyncio
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator
from contextlib import contextmanager


class Bell:
    """Wakes the waiters of a topic. Lives in one event loop.

    A waiter first registers, then looks for news, then waits: what happens in between is not missed.
    """

    def __init__(self) -> None:
        # Waiters are woken in the order in which they came, not in that of a set.
        self._waiting: defaultdict[Hashable, dict[asyncio.Event, None]] = defaultdict(dict)
        self.is_closed = False

    @contextmanager
    def listening(self, topic: Hashable) -> Iterator[asyncio.Event]:
        """An event that is set by the next `ring` of the topic, or at once if the service stops."""
        event = asyncio.Event()
        if self.is_closed:
            event.set()
        self._waiting[topic][event] = None
        try:
            yield event
        finally:
            del self._waiting[topic][event]
            if not self._waiting[topic]:
                del self._waiting[topic]

    def ring(self, topics: Iterable[Hashable]) -> None:
        for topic in topics:
            for event in self._waiting.get(topic, {}):
                event.set()

    def close(self) -> None:
        """Ends all waiting, now and later."""
        self.is_closed = True
        self.ring(tuple(self._waiting))


async def waited(event: asyncio.Event, seconds: float) -> bool:
    """Whether the event was set within that time."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
