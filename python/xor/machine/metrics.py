"""What a machine counts for its operator."""

from collections import Counter as Tally
from collections.abc import Callable, Iterable

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from xor.machine.core import State
from xor.wire.metrics import new_registry

SECONDS = (0.01, 0.1, 1, 10, 60, 600, 3600)


class Metrics:
    """The metrics of one machine, in a registry of their own.

    Args:
        states: says where the jobs in memory are; called from another thread.
    """

    def __init__(self, states: Callable[[], Iterable[State]]) -> None:
        self.registry = new_registry()
        self.registry.register(_Jobs(states))
        self._heard = Gauge(
            "xor_service_heard_timestamp_seconds",
            "When the service last took an announcement.",
            registry=self.registry,
        )
        self._ended = Counter(
            "xor_ended_jobs", "Jobs over, and how.", ["state", "error"], registry=self.registry
        )
        self._steps = Histogram(
            "xor_step_seconds", "Duration of steps.", ["step"], buckets=SECONDS, registry=self.registry
        )
        self._sent = Counter(
            "xor_step_sent_bytes", "Bytes sent to other machines.", ["step"], registry=self.registry
        )

    def heard(self) -> None:
        self._heard.set_to_current_time()

    def ended(self, state: State, error: str) -> None:
        """Args: error: the class of the error that this machine told the others; empty if none."""
        self._ended.labels(state.value, error).inc()

    def step(self, step: str, seconds: float, sent_bytes: int) -> None:
        self._steps.labels(step).observe(seconds)
        self._sent.labels(step).inc(sent_bytes)


class _Jobs(Collector):
    """Counts jobs when they are asked for: nothing to keep in step."""

    def __init__(self, states: Callable[[], Iterable[State]]) -> None:
        self._states = states

    def collect(self) -> Iterable[GaugeMetricFamily]:
        family = GaugeMetricFamily("xor_jobs", "Jobs that this machine has to do with.", labels=["state"])
        tally = Tally(self._states())
        for state in State:
            family.add_metric([state.value], tally[state])
        yield family
