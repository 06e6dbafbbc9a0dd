"""The command `xor`."""

from __future__ import annotations

import signal
import sys
import threading
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from xor.errors import UsageError, XorError
from xor.policy.parse import parse
from xor.testing.local import DEFAULT_PORT, LocalNetwork

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Compute together on data that nobody may show."
)
local = typer.Typer(no_args_is_help=True, help="A whole network on this computer.")
policy = typer.Typer(no_args_is_help=True, help="Policies: what an owner allows.")
app.add_typer(local, name="local")
app.add_typer(policy, name="policy")

console = Console(stderr=True, highlight=False, soft_wrap=True)

NetworkPath = Annotated[
    Path, typer.Argument(metavar="network.toml", help="names players, datasets and analysts")
]
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


def _wait_for_signal() -> None:
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    stopped.wait()
