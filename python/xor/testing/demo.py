"""`make demo`: three banks, a service and two machines as separate processes, and the three example programs.

Runs the programs of `examples/` as they are. First under permissive policies; then the banks put sensible
ones in force, the first program is refused with the clause that refuses it, and the other two run.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import runpy
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.syntax import Syntax
from rich.table import Table

from xor.errors import PolicyDenied, XorError
from xor.testing import banks
from xor.testing.local import DEFAULT_PORT, LocalNetwork

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "examples"
POLICIES = EXAMPLES / "policies"
SHOWN_ROWS = 8
SHOWN_COLUMNS = 6

NETWORK = """\
name = "two-parties"

[[players]]
name = "player-0"
zone = "clean room"

[[players]]
name = "player-1"
zone = "premises"
owner = "bank-c"

[[datasets]]
name = "transactions_a"
owner = "bank-a"
player = "player-0"
source = "transactions_a.csv"
rows = {rows}
max_bytes = {{ beneficiary_account = 16, ordering_account = 16 }}
{policy_a}
[[datasets]]
name = "accounts_b"
owner = "bank-b"
player = "player-0"
source = "accounts_b.csv"
types = {{ zip = "text" }}
rows = {accounts}
unique = [["account"]]
max_bytes = {{ account = 16, name = 48, street = 48, city = 32, zip = 12, country = 32 }}
{policy_b}
[[datasets]]
name = "accounts_c"
owner = "bank-c"
player = "player-1"
source = "accounts_c.csv"
types = {{ zip = "text" }}
rows = {accounts}
unique = [["account"]]
max_bytes = {{ account = 16, name = 48, street = 48, city = 32, zip = 12, country = 32 }}
{policy_c}
[[analysts]]
name = "fraud-desk"
"""

STEP = re.compile(r" event=step job=this node=(\d+) step=(\S+) seconds=(\S+) sent_bytes=(\d+)")

console = Console(highlight=False, width=None if sys.stdout.isatty() else 110)


def network_text(rows: int, accounts: int, policies: Path | None) -> str:
    """The demo's network file; with `policies`, the folder of the sensible ones."""
    lines = {
        f"policy_{letter}": f'policy = "{policies / name}.yaml"' if policies else ""
        for letter, name in (("a", "transactions_a"), ("b", "accounts_b"), ("c", "accounts_c"))
    }
    return NETWORK.format(rows=rows, accounts=accounts, **lines)


def main() -> int:
    arguments = argparse.ArgumentParser(prog="make demo", description=__doc__.splitlines()[0])
    arguments.add_argument("--rows", type=int, default=200_000, help="transactions of Bank A")
    arguments.add_argument("--accounts", type=int, default=20_000, help="accounts of Bank B, and of Bank C")
    arguments.add_argument("--keep", action="store_true", help="keep the generated files")
    options = arguments.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="xor-demo-"))
    os.environ["XOR_HOME"] = str(directory / "home")
    os.environ.pop("XOR_API_TOKEN", None)
    began = time.monotonic()
    try:
        run(directory, options.rows, options.accounts)
    except XorError as error:
        console.print(f"[red]{type(error).__name__}[/red] {escape(str(error))}")
        return 1
    finally:
        if options.keep:
            console.print(f"files kept in {directory}")
        else:
            shutil.rmtree(directory, ignore_errors=True)
    console.print(
        f"\n[bold]done in {time.monotonic() - began:.1f} s[/bold]; everything that was started is stopped"
    )
    return 0


def run(directory: Path, rows: int, accounts: int) -> None:
    """The whole demo in `directory`; stops what it started whatever happens."""
    heading("Three banks")
    banks.write(directory, rows=rows, accounts=accounts)
    file = directory / "network.toml"
    file.write_text(network_text(rows, accounts, policies=None))
    say(f"{rows} transactions of Bank A, {accounts} accounts of B, {accounts} of C in {directory}")
    network = LocalNetwork.at(file, DEFAULT_PORT)
    network.create(say)
    try:
        network.start(say)
        program(network, "1. The literal program, under permissive policies", "three_banks.py")
        heading("The banks put sensible policies in force (examples/policies)")
        file.write_text(network_text(rows, accounts, policies=POLICIES))
        network.apply(say)
        refused("three_banks.py")
        program(
            network, "2. The same with the columns that a sensible policy reveals", "three_banks_select.py"
        )
        program(network, "3. Both directions, one plan, one approval", "three_banks_union.py")
    finally:
        network.down(say)


def program(network: LocalNetwork, title: str, name: str) -> None:
    """Runs an example as it is and shows its result."""
    heading(title)
    console.print(Syntax.from_path(str(EXAMPLES / name), line_numbers=False, background_color="default"))
    began = time.monotonic()
    with contextlib.redirect_stdout(io.StringIO()):
        names = runpy.run_path(str(EXAMPLES / name))
    seconds = time.monotonic() - began
    result = names["result"]
    console.print(escape(who_learns_what(str(result.explanation))))
    show_rows(result.reveal())
    show_costs(network, result, seconds)


def who_learns_what(explanation: str) -> str:
    """The statement without its list of steps; `print(frame.explain())` shows them too."""
    head, _, rest = explanation.partition("\nSteps\n")
    return head + "\n" + rest[rest.index("Who learns what") :]


def show_rows(frame: Any) -> None:
    """The first rows and columns of a pandas frame."""
    table = Table(title=f"{len(frame)} rows, {len(frame.columns)} columns; the first of them")
    columns = list(frame.columns[:SHOWN_COLUMNS])
    for column in columns:
        table.add_column(escape(str(column)), overflow="fold")
    for row in frame[columns].head(SHOWN_ROWS).itertuples(index=False):
        table.add_row(*(escape(str(value)) for value in row))
    console.print(table)


def show_costs(network: LocalNetwork, result: Any, seconds: float) -> None:
    """Bytes and seconds per step. Read from the logs of both machines: here they are all ours.

    The analyst's own `result.costs` has the steps whose time follows from bounds alone.
    """
    table = Table(title="what it cost, from the machines' own logs")
    for column in ("step", "player"):
        table.add_column(column)
    for column in ("seconds", "bytes sent"):
        table.add_column(column, justify="right")
    for player in result.plan.players:
        log = (network.directory / "logs" / f"{player}.log").read_text(errors="replace")
        for node, step, took, sent in STEP.findall(log.replace(f"job={result.job_id[:12]}", "job=this")):
            table.add_row(f"{node} {step}", player, f"{float(took):.2f}", f"{int(sent):,}")
    console.print(table)
    say(f"{seconds:.1f} s for the whole program; {result.costs.stream_bytes:,} bytes came to the analyst")


def refused(name: str) -> None:
    """Runs an example that the policies now refuse, and shows how it is refused."""
    try:
        runpy.run_path(str(EXAMPLES / name))
    except PolicyDenied as error:
        lines = str(error).splitlines()
        console.print(f"[yellow]PolicyDenied[/yellow] {escape(chr(10).join(lines[:8]))}")
        if len(lines) > 8:
            say(f"  … and {len(lines) - 8} lines more")
    else:
        raise RuntimeError("the sensible policies should have refused the first program")


def heading(text: str) -> None:
    console.print()
    console.rule(f"[bold]{escape(text)}", align="left")


def say(text: str) -> None:
    style = "bold yellow" if text.startswith(("NO HARDWARE", "PERMISSIVE")) else "dim"
    console.print(escape(text), style=style)


if __name__ == "__main__":
    sys.exit(main())
