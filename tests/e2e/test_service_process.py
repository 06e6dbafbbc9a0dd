"""The service as a process: how it starts, what it refuses, how it ends."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from xor.errors import ResourceError, UsageError
from xor.model.agreement import Agreement
from xor.service import configuration, setup
from xor.service.__main__ import bind
from xor.signing import seal_envelope
from xor.testing import three_banks as banks
from xor.testing.letters import signed
from xor.wire import http
from xor.wire.messages import Poll


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = tmp_path / "service"
    made.mkdir()
    banks.unsafe_key("service").save(made / setup.KEY)
    body = banks.agreement().model_dump() | {"not_before": 0, "not_after": 2**40}
    owners = (banks.unsafe_key(name) for name in banks.OWNERS)
    setup.create(made, [seal_envelope(Agreement.model_validate(body), *owners)])
    return made


def command(directory: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "xor.service", "--dir", str(directory), *arguments]


@contextmanager
def running(directory: Path) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """A service on a free port, and its address from its ready line."""
    process = subprocess.Popen(command(directory, "--port", "0"), stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        ready = re.search(r"level=info event=ready address=(\S+) networks=\S+$", line)
        assert ready, line
        yield process, ready[1]
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def refused(directory: Path, *arguments: str) -> str:
    """What a service that does not start says: one line, no traceback."""
    done = subprocess.run(
        command(directory, *arguments), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert 'level=error event="cannot run"' in line
    return line


def test_it_says_when_it_is_ready_and_serves(directory: Path) -> None:
    with running(directory) as (_, url):
        assert url.startswith("http://127.0.0.1:")
        assert httpx2.get(url + http.HEALTH, trust_env=False).json()["status"] == "ok"


def test_a_port_in_use_is_said_in_one_line(directory: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        line = refused(directory, "--port", port)
        assert f'code=usage.port-in-use why="port {port} on 127.0.0.1 is in use" hint="' in line


def test_addresses_beyond_loopback_are_refused_by_name(directory: Path) -> None:
    for host in ("192.0.2.7", "::", "example.org", ""):
        with pytest.raises(UsageError) as caught:
            bind(host, 0)
        assert caught.value.code == "usage.not-loopback"
        assert f"'{host}'" in caught.value.message
    assert "code=usage.not-loopback " in refused(directory, "--host", "0.0.0.0", "--port", "0")


def test_every_name_of_loopback_will_do() -> None:
    for host in ("localhost", "127.0.0.1", "127.0.0.9"):
        bind(host, 0).close()


def test_ports_that_do_not_exist_are_refused() -> None:
    with pytest.raises(ResourceError) as caught:
        bind("127.0.0.1", 70_000)
    assert caught.value.code == "resource.cannot-listen"


def test_directories_that_are_not_in_order_are_refused(directory: Path, tmp_path: Path) -> None:
    assert "code=usage.no-directory " in refused(tmp_path / "nowhere", "--port", "0")
    (directory / setup.KEY).chmod(0o644)
    assert "code=auth.open-key " in refused(directory, "--port", "0")
    (directory / setup.KEY).unlink()
    assert "code=auth.no-key " in refused(directory, "--port", "0")


def test_two_services_do_not_share_a_directory(directory: Path) -> None:
    with running(directory):
        assert "code=usage.directory-in-use " in refused(directory, "--port", "0")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_stop_it_ends_long_polls_and_leaves_at_once(directory: Path, number: int) -> None:
    with running(directory) as (process, url):
        where = httpx2.URL(url)
        poll = Poll(
            network=banks.NETWORK,
            player="player-0",
            after=0,
            wait_s=60,
            at=int(time.time()),
            nonce=os.urandom(32).hex(),
        )
        body = signed(poll).to_bytes()
        with socket.create_connection((where.host, where.port)) as line:
            head = f"POST {http.INBOX} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
            line.sendall(head.encode() + body)
            # Another request after it: by now the poll has been read.
            assert httpx2.get(url + http.HEALTH, trust_env=False).status_code == 200
            process.send_signal(number)
            assert process.wait(10) == 0
            assert line.recv(65536).startswith(b"HTTP/1.1 200 OK")


def test_an_operator_finds_metrics_where_the_settings_say(directory: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    write_settings(directory, f'metrics = "{address}"')
    with running(directory) as (_, url):
        httpx2.get(url + http.HEALTH, trust_env=False)
        text = httpx2.get(f"http://{address}/metrics", trust_env=False).text
    assert 'xor_requests_total{route="/v1/health",status="200"} 1.0' in text
    assert "process_resident_memory_bytes" in text


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('metrics = "0.0.0.0:9464"', "usage.bad-metrics"),
        ('metrics = "9464"', "usage.bad-metrics"),
        ("drain_s = -1", "usage.bad-settings"),
        ("databse = 1", "usage.bad-settings"),
        ("drain_s =", "usage.bad-settings"),
        ('database = "mysql://u:hunter2@h/d"', "usage.bad-database"),
        ('database = "postgresql://u:hunter2@db.example/d?sslmode=require"', "usage.bad-database"),
        ('database = "postgresql://u:hunter2@db.example/d?application_name=x"', "usage.bad-database"),
    ],
)
def test_settings_that_are_not_in_order_are_refused_without_their_values(
    directory: Path, text: str, code: str
) -> None:
    write_settings(directory, text)
    line = refused(directory, "--port", "0")
    assert f"code={code} " in line
    assert "hunter2" not in line


def test_settings_that_others_can_read_are_refused(directory: Path) -> None:
    write_settings(directory, "drain_s = 1")
    (directory / configuration.NAME).chmod(0o640)
    assert "code=auth.open-file " in refused(directory, "--port", "0")


def write_settings(directory: Path, text: str) -> None:
    path = directory / configuration.NAME
    path.write_text(text + "\n")
    path.chmod(0o600)
