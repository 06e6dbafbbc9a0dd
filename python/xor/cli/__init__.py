"""The command `xor`."""

from __future__ import annotations

import signal
import sys
import threading
import time
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from xor.cli import doctor
from xor.errors import UsageError, XorError
from xor.machine import backup as machine_backup
from xor.policy.parse import parse
from xor.service import backup as service_backup
from xor.testing.local import DEFAULT_PORT, LocalNetwork

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Compute together on data that nobody may show."
)
local = typer.Typer(no_args_is_help=True, help="A whole network on this computer.")
policy = typer.Typer(no_args_is_help=True, help="Policies: what an owner allows.")
service = typer.Typer(no_args_is_help=True, help="The service in the middle, for its operator.")
machine = typer.Typer(no_args_is_help=True, help="A player's machine, for its operator.")
app.add_typer(local, name="local")
app.add_typer(service, name="service")
app.add_typer(machine, name="machine")
app.add_typer(policy, name="policy")

MARKS = {
    doctor.Grade.OK: ("✓", "green"),
    doctor.Grade.WARNING: ("!", "bold yellow"),
    doctor.Grade.PROBLEM: ("✗", "bold red"),
}

console = Console(stderr=True, highlight=False, soft_wrap=True)

NetworkPath = Annotated[
    Path, typer.Argument(metavar="network.toml", help="names players, datasets and analysts")
]
Directory = Annotated[Path, typer.Option("--dir", help="its directory")]
NewDirectory = Annotated[Path, typer.Option("--to", help="a directory that does not exist yet")]
Backup = Annotated[Path, typer.Argument(metavar="BACKUP", help="what `backup` has made")]
Port = Annotated[int, typer.Option(help="port of the service on 127.0.0.1")]


@local.command()
def up(
    network: NetworkPath,
    port: Port = DEFAULT_PORT,
    detach: Annotated[bool, typer.Option("--detach", help="return once everything runs")] = False,
) -> None:
    """Make keys, agreement and policies; start the service and one machine for each player."""
    here = LocalNetwork.at(network, port)
    here.create(_say)
    try:
        here.start(_say)
        if not detach:
            _say("Ctrl-C stops and removes it")
            _wait_for_signal()
    except BaseException:
        here.down(_say)
        raise
    if not detach:
        here.down(_say)


@local.command()
def apply(network: NetworkPath, port: Port = DEFAULT_PORT) -> None:
    """Sign the policy files anew where they have changed; the machines take them up."""
    LocalNetwork.at(network, port).apply(_say)


@local.command()
def down(network: NetworkPath, port: Port = DEFAULT_PORT) -> None:
    """Stop what `up` started and remove what it made."""
    LocalNetwork.at(network, port).down(_say)


@policy.command("check")
def check_policy(file: Annotated[Path, typer.Argument(help="a policy file")]) -> None:
    """Read a policy as signing would, and say what is wrong with it."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise UsageError(f"{file} cannot be read as text", code="usage.no-file") from None
    parse(text)
    _say(f"{file}: in order")


@service.command("backup")
def backup_service(directory: Directory, to: NewDirectory) -> None:
    """Copy a service, running or not: its log, streams, key and networks. Copy a PostgreSQL log before."""
    service_backup.make(directory, to)
    _say(f"{to}: keep it as safe as the service's own directory")


@service.command("restore")
def restore_service(backup: Backup, directory: Directory) -> None:
    """Make a service's directory from a backup. Restore a PostgreSQL log before."""
    service_backup.restore(backup, directory)
    _say(f"{directory}: restored; jobs that had ended meanwhile end again when their time is over")


@machine.command("backup")
def backup_machine(directory: Directory, to: NewDirectory) -> None:
    """Copy a machine, running or not: journal, key, settings and what owners signed; never its rows."""
    machine_backup.make(directory, to)
    _say(f"{to}: keep it as safe as the machine's own directory")


@machine.command("restore")
def restore_machine(
    backup: Backup,
    directory: Directory,
    policy: Annotated[
        list[str] | None,
        typer.Option(metavar="DATASET=VERSION", help="newest policy version of a dataset; ask its owner"),
    ] = None,
) -> None:
    """Make a machine's directory from a backup; the one it is a copy of must never run again."""
    machine_backup.restore(backup, directory, dict(map(_version, policy or ())), int(time.time()))
    _say(f"{directory}: restored; it runs new plans only, and joins with guesses from the next UTC day on")


@app.command("doctor")
def examine(
    directory: Directory,
    peer: Annotated[
        list[str] | None, typer.Option(metavar="HOST:PORT", help="another machine that must be reached")
    ] = None,
) -> None:
    """Look at a service or a machine and say what is wrong. Exit code 1 if anything is."""
    grades = set()
    for finding in doctor.examine(directory, peer or ()):
        mark, style = MARKS[finding.grade]
        console.print(f"{mark} {finding.about}: {finding.text}", style=style, markup=False)
        if finding.hint:
            console.print(f"  hint: {finding.hint}", markup=False)
        grades.add(finding.grade)
    if doctor.Grade.PROBLEM in grades:
        raise typer.Exit(1)


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(package_version("xor-platform"))


def main() -> None:
    """Runs the command; an error of ours is two lines and exit code 1, never a traceback."""
    try:
        app()
    except XorError as error:
        console.print(f"{type(error).__name__} {error}", style="red", markup=False)
        sys.exit(1)


def _say(text: str) -> None:
    style = "bold yellow" if text.startswith(("NO HARDWARE", "PERMISSIVE")) else None
    console.print(text, style=style, markup=False)


def _version(text: str) -> tuple[str, int]:
    dataset, _, number = text.partition("=")
    if not number.isascii() or not number.isdigit():
        raise UsageError(
            f"'{text}' is not DATASET=VERSION", code="usage.bad-parameter", hint="--policy accounts=7"
        )
    return dataset, int(number)


def _wait_for_signal() -> None:
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    stopped.wait()
