"""Metrics for Prometheus: counts, sizes and durations, served at a loopback address. No names, no values."""

from collections.abc import Callable
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector, start_http_server

from xor.errors import ResourceError, UsageError
from xor.model.address import is_loopback


def new_registry() -> CollectorRegistry:
    """A registry that knows its process: memory, open files, processor time."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


def serve(registry: CollectorRegistry, address: str) -> Callable[[], None]:
    """Answers `GET /metrics` at `HOST:PORT` in a thread; what it returns ends that.

    Raises:
        UsageError: it is no loopback address. ResourceError: the port cannot be had.
    """
    host, port = _parsed(address)
    try:
        server, thread = start_http_server(port, addr=host, registry=registry)
    except OSError:
        raise ResourceError(
            f"metrics cannot be served at {address}",
            code="resource.cannot-listen",
            hint="choose another port for `metrics`.",
        ) from None

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return stop


def _parsed(address: str) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{address}")
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port = "", None
    if port is None or not is_loopback(host):
        raise UsageError(
            "metrics are served at HOST:PORT of this computer only",
            code="usage.bad-metrics",
            hint='metrics = "127.0.0.1:9464"; Prometheus, or its agent, reads them from there.',
        )
    return host, port
