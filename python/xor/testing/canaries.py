"""`make canaries`: plants values in the banks' tables, runs jobs of every kind, and searches for the values.

They may be found where the rows are and where policies reveal them, and nowhere else: not in the service's
memory, database, streams and logs, not in what travels, not at the other machine, not in temporary files. The
same search must find them where they may be, so that finding nothing means something.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xor.testing import rewire
from xor.testing.campaign import parser
from xor.testing.kills import PLAYERS, leftovers, process_of, run_only
from xor.testing.local import LocalNetwork
from xor.testing.processes import children
from xor.testing.proxy import Proxy
from xor.testing.search import ENCODINGS, Search, new_value

NETWORK = """
name = "canaries"

[[players]]
name = "player-0"
zone = "clean room"

[[players]]
name = "player-1"
zone = "premises"
owner = "bank-c"

[[datasets]]
name = "payments_a"
owner = "bank-a"
player = "player-0"
source = "payments_a.csv"
rows = {rows}
max_bytes = {{ account = 20, note = 20 }}
policy = "payments_a.yaml"

[[datasets]]
name = "accounts_b"
owner = "bank-b"
player = "player-0"
source = "accounts_b.csv"
rows = {rows}
unique = [["account"]]
max_bytes = {{ account = 20, name = 20 }}
policy = "accounts_b.yaml"

[[datasets]]
name = "accounts_c"
owner = "bank-c"
player = "player-1"
source = "accounts_c.csv"
rows = {rows}
unique = [["account"]]
max_bytes = {{ account = 20, name = 20, secret = 20 }}
policy = "accounts_c.yaml"

[[analysts]]
name = "desk"
"""
POLICY = """
policy: {name}
purpose: Show that nothing leaks
valid: 2026-01-01 to 2099-12-31
zone: {zone}
leaves: [sealed rows]
protection: {{adversary: malicious, dealer: none, simulated clean room: {{until: 2099-12-31, reason: test}}}}
join: {{{join}, guesses: 100000000000 per UTC day}}
{reveal}
reveal to desk: {{rows: [{rows}], all rows: [{rows}]}}
learn:
  players: [padded sizes, grouping by key, durations]
  service: [padded sizes, durations]
  desk: [padded sizes, grouping by key, durations]
approve: automatic
"""
POLICIES = {
    "payments_a": {
        "zone": "clean room",
        "join": "account: [accounts_b.account, accounts_c.account], alongside: [accounts_c]",
        "reveal": "",
        "rows": "account, note",
    },
    "accounts_b": {
        "zone": "clean room",
        "join": "account: [payments_a.account, accounts_c.account], alongside: [accounts_c, payments_a]",
        "reveal": "",
        "rows": "account, name",
    },
    "accounts_c": {
        "zone": "premises",
        "join": "account: [payments_a.account, accounts_b.account], alongside: [payments_a]",
        "reveal": "reveal to player-0: {rows: [account]}",
        "rows": "account, name",
    },
}
KINDS = ("sealed", "clean room", "anti", "alone", "refused", "cancelled", "killed")
CLIENT = """
import json, sys
from xor import dataframe as xf
from xor import session
from xor.errors import XorError

port, kind = int(sys.argv[1]), sys.argv[2]
with session.open_session("localhost", port) as opened:
    client = xf.Client("canaries", session=opened)
    a, b = (xf.use(name, "player-0", client=client) for name in ("payments_a", "accounts_b"))
    c = xf.use("accounts_c", "player-1", client=client)
    on = [["account"], ["account"]]
    kept = c.select(["account", "name"])
    frames = {
        "clean room": lambda: xf.join([xf.join([b, a], on=on), kept], on=[["account_0"], ["account"]]),
        "anti": lambda: xf.join([a, c.select(["account"])], on=on, how="anti", suffixes="clash"),
        "alone": lambda: b,
        "refused": lambda: xf.join([a, c], on=on),
    }
    frame = frames.get(kind, lambda: xf.join([a, kept], on=on))()
    try:
        if kind == "cancelled":
            frame.submit(reveal=True).cancel()
            rows = []
        else:
            found = frame.run(reveal=True, timeout_s=60).reveal()
            rows = [list(row) for row in found.itertuples(index=False)]
        print(json.dumps({"rows": rows}), flush=True)
    except XorError as error:
        print(json.dumps({"error": error.code}), flush=True)
    sys.stdin.read()
"""
WAIT_S = 120
SCRATCH = "/var/tmp"
"""Not below the folder of temporary files that is searched."""


@dataclass
class Tables:
    """Rows of the three banks, all of them planted values."""

    payments_a: list[tuple[str, str]]
    accounts_b: list[tuple[str, str]]
    accounts_c: list[tuple[str, str, str]]

    @property
    def of_clean_room(self) -> frozenset[str]:
        return _flat(self.payments_a) | _flat(self.accounts_b)

    @property
    def of_premises(self) -> frozenset[str]:
        return _flat(self.accounts_c)

    @property
    def all_values(self) -> frozenset[str]:
        return self.of_clean_room | self.of_premises


def planted(count: int, chance: random.Random) -> Tables:
    """At least `count` different values; a fifth of the payments has its account at B, another at C."""
    rows = max(count // 6, 5)

    def values(number: int) -> list[str]:
        return [new_value(chance) for _ in range(number)]

    at_b, at_c, elsewhere = values(rows), values(rows), values(rows)
    pools = (at_b, at_c, elsewhere, elsewhere, elsewhere)
    accounts = [chance.choice(chance.choice(pools)) for _ in range(rows)]
    # Some accounts are at both B and C, so that joins of all three have rows.
    both = chance.sample(range(rows), rows // 4)
    for index in both:
        at_b[index] = at_c[index]
    return Tables(
        list(zip(accounts, values(rows), strict=True)),
        list(zip(dict.fromkeys(at_b), values(rows), strict=False)),
        list(zip(at_c, values(rows), values(rows), strict=True)),
    )


@dataclass
class Figures:
    """What a campaign has searched and found."""

    jobs: Counter[str] = field(default_factory=Counter)
    looked: Counter[str] = field(default_factory=Counter)
    permitted: Counter[str] = field(default_factory=Counter)
    forbidden: list[str] = field(default_factory=list)


class Campaign:
    """Jobs over one running network, and searches in between."""

    def __init__(
        self, network: LocalNetwork, tables: Tables, wires: Sequence[Proxy], chance: random.Random
    ) -> None:
        self.network = network
        self.tables = tables
        self.wires = wires
        self.chance = chance
        self.search = Search(tables.all_values)
        self.figures = Figures()
        # What player-0 may know of C: the accounts that both have, which its policy reveals to it.
        shared = tables.of_clean_room & tables.of_premises
        self.may = {
            "service": frozenset[str](),
            "player-0": tables.of_clean_room | shared,
            "player-1": tables.of_premises,
            "wire": frozenset[str](),
            "temporary": frozenset[str](),
        }

    def run(self, kind: str) -> None:
        """One job; searches memory as long as it runs, and the client once it has its rows."""
        with self._client(kind) as client:
            out = client.stdout
            assert out is not None
            answer: list[str] = []
            reader = threading.Thread(target=lambda: answer.append(out.readline()))
            reader.start()
            victim = process_of(self.network, self.chance.choice(PLAYERS)) if kind == "killed" else None
            places = itertools.cycle(self.chance.sample(("service", *PLAYERS), 3))
            until = time.monotonic() + WAIT_S
            while reader.is_alive() and time.monotonic() < until:
                self.look_at_memory(next(places))
                if victim and (workers := children(victim)):
                    self.chance.choice(workers).kill()
                    victim = None
            outcome = json.loads(answer[0])
            rows = [value for row in outcome.get("rows", ()) for value in row if value]
            self.figures.jobs[f"{kind}: {'rows' if rows else outcome.get('error', 'no rows')}"] += 1
            self._judge("client", self.search.in_process(client.pid), frozenset(map(str, rows)))

    def look_at_memory(self, name: str) -> None:
        """The memory of a process and of its workers; these first, as long as they live."""
        process = process_of(self.network, name)
        for each in (*children(process), process):
            self._judge(name, self.search.in_process(each.pid), self.may[name])

    def look_everywhere(self) -> None:
        """Everything but memory: databases, streams, logs, directories, traffic, temporary files."""
        directory = self.network.directory
        for name in ("service", *PLAYERS):
            self.look_at_memory(name)
            self._judge(name, self.search.in_file(directory / "logs" / f"{name}.log"), frozenset())
        self._judge("service", self.search.in_folder(directory / "service"), frozenset())
        for player in PLAYERS:
            found = self.search.in_folder(self.network.machine_directory(player))
            self._judge(player, found, frozenset())
        for wire in self.wires:
            for stream in list(wire.recorded):
                self._judge("wire", self.search.in_bytes(bytes(stream)), self.may["wire"])
        for folder in (Path(os.environ["TMPDIR"]), Path("/dev/shm")):
            self._judge("temporary", self.search.in_folder(folder), frozenset())

    def check_positive(self) -> None:
        """The search finds what is there: the owners' files, and what a process holds in any encoding."""
        folder = self.network.file.parent
        for name, rows in vars(self.tables).items():
            found = {value for value, _ in self.search.in_file(folder / f"{name}.csv")}
            assert found == {value for row in rows for value in row}, name
        sample = self.chance.choice(sorted(self.tables.all_values))
        code = "import sys; held = bytes.fromhex(sys.stdin.readline()); print(flush=True); sys.stdin.read()"
        for name, encode in ENCODINGS.items():
            process = subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, text=True)
            try:
                assert process.stdin is not None
                assert process.stdout is not None
                process.stdin.write(encode(sample).hex() + "\n")
                process.stdin.flush()
                process.stdout.readline()
                assert (sample, name) in self.search.in_process(process.pid), name
            finally:
                process.kill()
                process.communicate()
        for _ in range(len(KINDS)):
            if all(self.figures.permitted[where] for where in ("client", *PLAYERS)):
                return
            self.run("sealed")
        raise AssertionError(f"values were found at {set(self.figures.permitted)} only")

    def _judge(self, where: str, found: set[tuple[str, str]], may: frozenset[str]) -> None:
        self.figures.looked[where] += 1
        for value, encoding in found:
            if value in may:
                self.figures.permitted[where] += 1
            else:
                kind = next(name for name, rows in vars(self.tables).items() if value in _flat(rows))
                self.figures.forbidden.append(f"a value of {kind} at {where} as {encoding}")

    @contextmanager
    def _client(self, kind: str) -> Iterator[subprocess.Popen[str]]:
        process = subprocess.Popen(
            [sys.executable, "-c", CLIENT, str(self.network.port), kind],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        try:
            yield process
        finally:
            process.kill()
            process.communicate()


def _flat(rows: Sequence[Sequence[str]]) -> frozenset[str]:
    return frozenset(value for row in rows for value in row)


def write_bank_files(folder: Path, tables: Tables) -> None:
    headers = {
        "payments_a": "account,note",
        "accounts_b": "account,name",
        "accounts_c": "account,name,secret",
    }
    for name, rows in vars(tables).items():
        lines = [headers[name], *(",".join(row) for row in rows)]
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")
        (folder / f"{name}.yaml").write_text(POLICY.format(name=name, **POLICIES[name]))
    count = max(map(len, vars(tables).values()))
    (folder / "network.toml").write_text(NETWORK.format(rows=count))


@contextmanager
def network_of(
    folder: Path, port: int, tables: Tables, oprf: str
) -> Iterator[tuple[LocalNetwork, list[Proxy]]]:
    """A running network whose machines reach service and each other over recorded lines."""
    os.environ["XOR_HOME"] = str(folder / "home")
    write_bank_files(folder, tables)
    network = LocalNetwork.at(folder / "network.toml", port)
    network.create(lambda _text: None)
    with ExitStack() as stack:
        to_service = stack.enter_context(Proxy(("127.0.0.1", port), is_recording=True))
        rewire.machines_to_service(network, PLAYERS, to_service.port)
        run_only(network, oprf)
        try:
            network.start(lambda _text: None)
            to_machine = stack.enter_context(Proxy(rewire.listening(network, "player-0"), is_recording=True))
            rewire.machines_to(network, "player-0", to_machine.port)
            yield network, [to_service, to_machine]
        finally:
            network.down(lambda _text: None)


def campaign(jobs: int, values: int, seed: int, port: int, every: int) -> dict[str, Any]:
    """Runs jobs of all kinds over both back ends and returns the figures.

    Args:
        every: after so many jobs everything is searched, not only the memory of one process.

    Raises:
        AssertionError: the search itself does not find what is there.
    """
    chance = random.Random(seed)
    tables = planted(values, chance)
    total: dict[str, Any] = {"seed": seed, "values": len(tables.all_values), "jobs": 0, "forbidden": []}
    for number, oprf in enumerate(("vole", "dh")):
        with ExitStack() as stack:
            bank = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="xor-canaries-", dir=SCRATCH)))
            os.environ["TMPDIR"] = stack.enter_context(tempfile.TemporaryDirectory(dir=SCRATCH))
            network, wires = stack.enter_context(network_of(bank, port + number, tables, oprf))
            here = Campaign(network, tables, wires, chance)
            for index in range((jobs + 1 - number) // 2):
                here.run(KINDS[index % len(KINDS)])
                if index % every == every - 1:
                    here.look_everywhere()
                print(f"{oprf} {index + 1}: {dict(here.figures.jobs)}", flush=True)
            assert leftovers(network) == []
            here.look_everywhere()
            here.check_positive()
            figures = here.figures
            total["jobs"] += figures.jobs.total()
            total["forbidden"] += figures.forbidden
            total[oprf] = {
                "jobs": dict(figures.jobs),
                "searches": dict(figures.looked),
                "found where permitted": dict(figures.permitted),
                "bytes searched": here.search.bytes_searched,
                "bytes on the wire": sum(len(each) for wire in wires for each in wire.recorded),
            }
    return total


def main() -> int:
    options = parser("make canaries", __doc__, port=3320)
    options.add_argument("--jobs", type=int, default=100)
    options.add_argument("--values", type=int, default=10_000)
    options.add_argument("--every", type=int, default=10, help="jobs between two searches of everything")
    chosen = options.parse_args()
    if os.geteuid() != 0:
        options.error("only root reads the memory of machines: they keep it from others of their user")
    began = time.monotonic()
    total = campaign(chosen.jobs, chosen.values, chosen.seed, chosen.port, chosen.every)
    total["seconds"] = round(time.monotonic() - began)
    print(json.dumps(total, indent=1))
    if chosen.json:
        chosen.json.write_text(json.dumps(total, indent=1) + "\n")
    return 1 if total["forbidden"] else 0


if __name__ == "__main__":
    sys.exit(main())
