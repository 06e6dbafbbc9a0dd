"""`python -m xor.service`: serves one directory over TLS until SIGTERM or Ctrl-C; twice: at once."""

import argparse
import asyncio
import contextlib
import ctypes
import errno
import ipaddress
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import cast

import uvicorn
from fastapi import FastAPI

from xor import log
from xor.errors import ResourceError, UsageError, XorError
from xor.service.app import create_app
from xor.service.connection import Connection
from xor.service.jobs import Settings
from xor.service.listener import Listener
from xor.service.shell import Service
from xor.wire import http, metrics

DEFAULT_PORT = 3000
MAX_HEADER_BYTES = 2**20
"""A manifest travels in a header."""

KEEP_ALIVE_S = http.IDLE_S + 15

ARENAS = 2
MAPPED_BYTES = 2**18
"""The buffer of a TLS connection, and everything larger: given back to the system when it is freed."""
_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8
"""Of mallopt(3)."""

REFRESH_TICKS = 36_000
"""About an hour: how often the certificate is looked at."""


class Server(uvicorn.Server):
    """uvicorn over our own listener; told to stop it wakes all who wait, and it says when it is ready."""

    def __init__(self, config: uvicorn.Config, service: Service, address: str) -> None:
        super().__init__(config)
        self._service = service
        self._address = address

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup([])
        for bound in sockets or ():
            listener = Listener(bound, lambda: self._service.certificate.context, self._protocol)
            # uvicorn does no more with it than to close it and to wait for that.
            self.servers.append(cast(asyncio.Server, listener))
        names = ", ".join(sorted(self._service.networks))
        log.info("ready", address=self._address, networks=names)

    def _protocol(self, on_lost: Callable[[], None]) -> asyncio.Protocol:
        return Connection(
            on_lost, config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        yield

    async def on_tick(self, counter: int) -> bool:
        if self._service.is_superseded and not self.should_exit:
            log.error("superseded: another service has taken over the database")
            self.stop()
        if counter % REFRESH_TICKS == REFRESH_TICKS - 1:
            await self._refresh_certificate()
        return await super().on_tick(counter)

    async def _refresh_certificate(self) -> None:
        try:
            await asyncio.to_thread(self._service.certificate.refresh)
        except XorError as error:
            log.error("the certificate stays as it is", code=error.code, why=error.message)

    def stop(self) -> None:
        """Drains: no new connections, no waiting polls, what is under way may end. Told again: at once."""
        self.force_exit = self.should_exit
        self.should_exit = True
        log.info("stopping", at_once=self.force_exit)
        self._service.stop()


def bind(host: str, port: int) -> socket.socket:
    """A socket bound to an address; it does not listen yet.

    Raises:
        UsageError: it is no address, or the port is in use. ResourceError: the address is another computer's.
    """
    address = _address(host)
    bound = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        with _port_errors(host, port):
            bound.bind((address, port))
    except XorError:
        bound.close()
        raise
    return bound


def serve(directory: Path, host: str, port: int, settings: Settings | None = None) -> None:
    """Serves until told to stop.

    Raises:
        XorError: the address or the directory is not in order.
    """
    with contextlib.closing(bind(host, port)) as bound:
        app: FastAPI = create_app(directory, settings)
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=app.state.service.settings.drain_s,
            timeout_keep_alive=KEEP_ALIVE_S,
            h11_max_incomplete_event_size=MAX_HEADER_BYTES,
            http=Connection,
            ws="none",
            loop="asyncio",
        )
        address = f"https://{f'[{host}]' if ':' in host else host}:{bound.getsockname()[1]}"
        with _port_errors(host, port):
            # Not before the service is there: what waits in the queue would be older than its start.
            bound.listen(socket.SOMAXCONN)
        with _metrics(app.state.service):
            Server(config, app.state.service, address).run(sockets=[bound])


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m xor.service", description=__doc__)
    parser.add_argument("--dir", type=Path, required=True, help="the service's directory")
    parser.add_argument("--host", default="127.0.0.1", help="an address of this computer")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="0 takes any free one")
    chosen = parser.parse_args(arguments)
    log.set_up()
    _keep_memory_level()
    try:
        serve(chosen.dir, chosen.host, chosen.port)
    except XorError as error:
        log.error("cannot run", code=error.code, why=error.message, hint=error.hint)
        return 1
    return 0


def _keep_memory_level() -> None:
    """Keeps glibc from giving each thread a heap of its own, and large buffers places between small ones.

    Threads run one at a time here, and a service that runs for months should not grow by fragments.
    """
    with contextlib.suppress(AttributeError):  # other libraries of C have no such settings
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_ARENA_MAX, ARENAS)
        mallopt(_M_MMAP_THRESHOLD, MAPPED_BYTES)


@contextlib.contextmanager
def _metrics(service: Service) -> Iterator[None]:
    if service.settings.metrics is None:
        yield
        return
    stop = metrics.serve(service.metrics.registry, service.settings.metrics)
    try:
        yield
    finally:
        stop()


@contextlib.contextmanager
def _port_errors(host: str, port: int) -> Iterator[None]:
    try:
        yield
    except (OSError, OverflowError) as error:
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            raise UsageError(
                f"port {port} on {host} is in use",
                code="usage.port-in-use",
                hint="another service may be running: `xor local down` stops it; or choose another port.",
            ) from None
        raise ResourceError(
            f"the service cannot listen on port {port} of {host}",
            code="resource.cannot-listen",
            hint="choose another port.",
        ) from None


def _address(host: str) -> str:
    if host == "localhost":
        return "127.0.0.1"
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        raise UsageError(
            f"'{host}' is no address of this computer",
            code="usage.bad-address",
            hint="127.0.0.1 for this computer alone, 0.0.0.0 or :: for all others too.",
        ) from None


if __name__ == "__main__":
    sys.exit(main())
