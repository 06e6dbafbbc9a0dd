"""What a service counts for its operator."""

from collections import Counter as Tally
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from xor.wire.messages import JobState, Kind
from xor.wire.metrics import new_registry

SECONDS = (0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 60)


class Metrics:
    """The metrics of one service, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = new_registry()
        self._entries = Counter(
            "xor_entries", "Entries written to the log.", ["kind"], registry=self.registry
        )
        self._appends = Histogram(
            "xor_append_seconds", "Time to make an entry durable.", buckets=SECONDS, registry=self.registry
        )
        self._requests = Counter(
            "xor_requests", "Answered requests.", ["route", "status"], registry=self.registry
        )
        self._under_way = Gauge(
            "xor_requests_under_way", "Requests without an answer yet; a poll waits.", registry=self.registry
        )
        self._received = Counter("xor_received_bytes", "Bytes of request bodies.", registry=self.registry)
        self._sent = Counter("xor_sent_bytes", "Bytes of answers.", registry=self.registry)

    def watch(self, states: Callable[[], Iterable[JobState]], machines: Callable[[], int]) -> None:
        """Asks for the states of the open jobs and the machines online whenever metrics are read."""
        self.registry.register(_Jobs(states))
        online = Gauge("xor_machines_online", "Machines heard of lately.", registry=self.registry)
        online.set_function(machines)

    def appending(self) -> AbstractContextManager[object]:
        return self._appends.time()

    def appended(self, kind: Kind) -> None:
        self._entries.labels(kind.value).inc()

    def measured(self, app: ASGIApp) -> ASGIApp:
        """The application, with its requests counted by route: never by what stands in their parameters."""

        async def counted(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return

            async def receiving() -> Message:
                message = await receive()
                self._received.inc(len(message.get("body", b"")))
                return message

            async def sending(message: Message) -> None:
                self._sent.inc(len(message.get("body", b"")))
                if message["type"] == "http.response.start":
                    self._requests.labels(route_of(scope), message["status"]).inc()
                await send(message)

            with self._under_way.track_inprogress():
                await app(scope, receiving, sending)

        return counted


class _Jobs(Collector):
    """Counts jobs when they are asked for: nothing to keep in step."""

    def __init__(self, states: Callable[[], Iterable[JobState]]) -> None:
        self._states = states

    def collect(self) -> Iterable[GaugeMetricFamily]:
        family = GaugeMetricFamily("xor_open_jobs", "Jobs that have not ended.", labels=["state"])
        tally = Tally(self._states())
        for state in JobState:
            if not state.is_final:
                family.add_metric([state.value], tally[state])
        yield family


def route_of(scope: Scope) -> str:
    """The pattern of the route that answered."""
    return str(getattr(scope.get("route"), "path", "-"))
