"""The service as a process: how it starts, what it refuses, how it ends."""

import contextlib
import datetime as dt
import os
import re
import signal
import socket
import ssl
import stat
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
from xor.service import certificate, configuration, connection, listener, setup
from xor.service.__main__ import bind
from xor.service.certificate import Certificate
from xor.service.jobs import Settings
from xor.signing import SigningKey, seal_envelope
from xor.testing import three_banks as banks
from xor.testing.letters import signed
from xor.wire import http, tls
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
def running(directory: Path, *arguments: str) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """A service on a free port, and its address from its ready line."""
    process = subprocess.Popen(
        command(directory, "--port", "0", *arguments), stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr is not None
        ready = None
        while ready is None:
            line = process.stderr.readline()
            assert line, "the service ended"
            ready = re.search(r"level=info event=ready address=(\S+) networks=\S+$", line)
        yield process, ready[1]
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def refused(directory: Path, *arguments: str) -> str:
    """What a service that does not start says last; no traceback."""
    done = subprocess.run(
        command(directory, *arguments), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert done.stdout == ""
    *before, last = done.stderr.splitlines()
    assert all(" level=info event=" in line for line in before)
    assert 'level=error event="cannot run"' in last
    return last


def test_it_says_when_it_is_ready_and_serves(directory: Path) -> None:
    with running(directory) as (_, url):
        assert url.startswith("https://127.0.0.1:")
        assert get(url + http.HEALTH).json()["status"] == "ok"
        # Whoever is on this computer may do without TLS.
        assert get(url.replace("https", "http") + http.HEALTH).json()["status"] == "ok"


def get(url: str, context: ssl.SSLContext | None = None) -> httpx2.Response:
    verify = context or tls.client_context(banks.unsafe_key("service").public)
    return httpx2.get(url, trust_env=False, verify=verify, timeout=20)


def test_only_the_agreed_service_is_believed(directory: Path) -> None:
    with running(directory, "--host", "0.0.0.0") as (_, url):
        url = url.replace("0.0.0.0", "127.0.0.1")
        for context in (tls.client_context(SigningKey.generate().public), tls.client_context(ca="system")):
            with pytest.raises(httpx2.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                get(url + http.HEALTH, context)
        with pytest.raises(httpx2.ConnectError, match="IP address mismatch"):
            get(url.replace("127.0.0.1", "127.0.0.2") + http.HEALTH)
        old = tls.client_context(banks.unsafe_key("service").public)
        old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2
        with pytest.raises(httpx2.ConnectError, match=r"(?i)version|EOF"):
            get(url + http.HEALTH, old)
    assert stat.S_IMODE((directory / certificate.FILE).stat().st_mode) == 0o600


def test_elsewhere_than_on_this_computer_there_is_no_plain_http(directory: Path) -> None:
    host = next(iter(addresses_of_this_computer()), None)
    if host is None:
        pytest.skip("this computer has no address but loopback")
    write_settings(directory, f'names = ["{host}"]')
    with running(directory, "--host", host) as (_, url):
        assert get(url + http.HEALTH).json()["status"] == "ok"
        with pytest.raises(httpx2.TransportError):
            get(url.replace("https", "http") + http.HEALTH)


def addresses_of_this_computer() -> list[str]:
    """Found by asking which address would be used to go elsewhere; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        try:
            line.connect(("192.0.2.1", 9))
        except OSError:
            return []
        return [line.getsockname()[0]]


def test_an_operator_may_bring_a_certificate(directory: Path, tmp_path: Path) -> None:
    authority = SigningKey.generate()
    pem = tls.new_certificate(authority, ["localhost"], dt.timedelta(days=1))
    (tmp_path / "tls.pem").write_bytes(pem)
    (tmp_path / "broken.pem").write_bytes(pem[:300])
    file = tmp_path / "tls.pem"
    write_settings(directory, f'certificate = "{file}"\ncertificate_key = "{file}"')
    with running(directory) as (_, url):
        url = url.replace("127.0.0.1", "localhost")
        assert get(url + http.HEALTH, tls.client_context(authority.public)).status_code == 200
        with pytest.raises(httpx2.ConnectError):
            get(url + http.HEALTH)
    for text, code in (
        (f'certificate = "{file}"', "usage.bad-settings"),
        (f'certificate = "{tmp_path}/no.pem"\ncertificate_key = "{file}"', "usage.bad-certificate"),
        (f'certificate = "{tmp_path}/broken.pem"\ncertificate_key = "{file}"', "usage.bad-certificate"),
    ):
        write_settings(directory, text)
        assert f"code={code} " in refused(directory, "--port", "0")


def test_an_own_certificate_is_renewed_in_time(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = Certificate(directory, Settings(), banks.unsafe_key("service"))
    first = (directory / certificate.FILE).read_bytes()
    held.refresh()
    assert (directory / certificate.FILE).read_bytes() == first
    monkeypatch.setattr(certificate, "RENEW_S", 90 * 86_400)
    held.refresh()
    assert (directory / certificate.FILE).read_bytes() != first


def test_files_that_do_not_belong_together_replace_no_certificate(directory: Path, tmp_path: Path) -> None:
    authority = SigningKey.generate()
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    pems = [tls.new_certificate(authority, ["localhost"], dt.timedelta(days=1)) for _ in range(2)]
    begins = [pem.index(b"-----BEGIN CERTIFICATE") for pem in pems]
    chain.write_bytes(pems[0][begins[0] :])
    key.write_bytes(pems[0][: begins[0]])
    held = Certificate(
        directory, Settings(certificate=str(chain), certificate_key=str(key)), banks.unsafe_key("service")
    )
    before = held.context
    chain.write_bytes(pems[1][begins[1] :])
    with pytest.raises(UsageError):
        held.refresh()
    assert held.context is before
    key.write_bytes(pems[1][: begins[1]])
    held.refresh()
    assert held.context is not before


def test_those_who_say_nothing_hold_no_connection(directory: Path) -> None:
    with running(directory) as (_, url):
        where = httpx2.URL(url)
        with contextlib.ExitStack() as stack:

            def dialled() -> socket.socket:
                return stack.enter_context(socket.create_connection((where.host, where.port)))

            # One has shaken hands, and then says nothing more.
            context = tls.client_context(banks.unsafe_key("service").public)
            shaken = stack.enter_context(context.wrap_socket(dialled(), server_hostname=where.host))
            silent = [dialled() for _ in range(listener.MAX_PENDING_OF_ONE)]
            with pytest.raises(httpx2.TransportError):
                get(url + http.HEALTH)
            for line in silent:
                line.settimeout(listener.FIRST_BYTE_S + 20)
                assert line.recv(1) == b""
            shaken.settimeout(connection.HEAD_S + 20)
            with contextlib.suppress(ConnectionError, ssl.SSLEOFError):
                assert shaken.recv(1) == b""
            assert get(url + http.HEALTH).status_code == 200


def test_a_port_in_use_is_said_in_one_line(directory: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        line = refused(directory, "--port", port)
        assert f'code=usage.port-in-use why="port {port} on 127.0.0.1 is in use" hint="' in line


def test_what_is_no_address_of_this_computer_is_refused_by_name(directory: Path) -> None:
    for host in ("example.org", "", "1.2.3"):
        with pytest.raises(UsageError) as caught:
            bind(host, 0)
        assert caught.value.code == "usage.bad-address"
        assert f"'{host}'" in caught.value.message
    with pytest.raises(ResourceError):
        bind("192.0.2.7", 0)
    assert "code=usage.bad-address " in refused(directory, "--host", "example.org", "--port", "0")


def test_every_address_of_this_computer_will_do() -> None:
    for host in ("localhost", "127.0.0.1", "127.0.0.9", "0.0.0.0", "::1"):
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
            assert get(url + http.HEALTH).status_code == 200
            process.send_signal(number)
            assert process.wait(10) == 0
            assert line.recv(65536).startswith(b"HTTP/1.1 200 OK")


def test_an_operator_finds_metrics_where_the_settings_say(directory: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    write_settings(directory, f'metrics = "{address}"')
    with running(directory) as (_, url):
        get(url + http.HEALTH)
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
