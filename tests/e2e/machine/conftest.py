"""A service and two machines as processes over two small tables, driven by raw requests, without client."""

import datetime as dt
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import httpx2
import pytest

from xor._core import open_sealed
from xor.dataframe.open import new_seal_key
from xor.machine import setup as machine_setup
from xor.model.agreement import Agreement, Analyst, Owner, Player
from xor.model.dataset import ColumnEntry, DatasetEntry
from xor.owner.sign import sign_agreement, sign_entry, sign_policy
from xor.plan.codec import PAYLOAD_TYPE, encode_plan, plan_hash
from xor.plan.place import place
from xor.plan.placed import PlacedPlan
from xor.plan.relations import Join, Project, Relation, Scan
from xor.plan.spec import sealed_spec
from xor.policy.permissive import permissive
from xor.service import setup as service_setup
from xor.signing import Envelope, SigningKey, seal_envelope
from xor.wire import http, tls, token
from xor.wire.messages import Approval, ApprovedPolicy, JobView, Kind
from xor.wire.trust import Trust, agreement_hash

sys.path.insert(0, str(Path(__file__).parent))
from fake_service import FakeService

NETWORK = "bench"
PLAYERS = ("player-0", "player-1")
ROWS = {
    "orders": "key,item\nk1,apple\nk2,pear\nk2,plum\nk9,fig\n",
    "stock": "key,shelf\nk1,A\nk2,B\nk7,C\n",
}
WAIT_S = 60


class Process:
    """One of our processes and its log."""

    def __init__(self, module: str, log: Path, *arguments: str) -> None:
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments], stdout=output, stderr=output
            )

    @property
    def text(self) -> str:
        return self.log.read_text()

    def shows(self, words: str) -> bool:
        """Whether its log says so; fails if the process has ended without saying it."""
        is_over = self.process.poll() is not None
        assert words in self.text or not is_over, self.text
        return words in self.text

    def drain(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=15)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(timeout=15)


def wait_until(condition: Callable[[], object], what: str, timeout_s: float = WAIT_S) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for: {what}"
        time.sleep(0.02)


class Bench:
    """The documents of the network, its processes, and an analyst who speaks HTTP."""

    def __init__(self, directory: Path, orders: int = 8) -> None:
        """`orders`: the declared bound of the first table."""
        self.directory = directory
        self.now = int(time.time())
        self.owners = {name: SigningKey.generate() for name in ("bank-a", "bank-b")}
        self.keys = {name: SigningKey.generate() for name in PLAYERS}
        self.analyst = SigningKey.generate()
        self.seal_seed, seal_key = new_seal_key()
        service_key = service_setup.new_key(directory / "service")
        self.agreement = Agreement(
            network=NETWORK,
            owners=tuple(Owner(name=name, key=key.public) for name, key in self.owners.items()),
            players=tuple(
                Player(name=name, key=key.public, zone="premises", owner=owner)
                for (name, key), owner in zip(self.keys.items(), self.owners, strict=True)
            ),
            analysts=(Analyst(name="desk", key=self.analyst.public, seal_key=seal_key),),
            service_key=service_key.public,
            not_before=self.now - 60,
            not_after=self.now + 86_400,
        )
        self.trust = Trust(self.agreement)
        self.signed = sign_agreement(self.agreement, *self.owners.values())
        service_setup.create(directory / "service", [self.signed])
        self.entries = {
            "orders": self._entry("orders", "bank-a", "player-0", "item", orders),
            "stock": self._entry("stock", "bank-b", "player-1", "shelf", 8),
        }
        self.service_key = service_key
        self.processes: dict[str, Process] = {}
        self.port = 0
        self.scheme = "https"

    def _entry(self, name: str, owner: str, player: str, column: str, rows: int) -> DatasetEntry:
        columns = tuple(ColumnEntry(name=each, type="text", max_bytes=16) for each in ("key", column))
        return DatasetEntry(
            network=NETWORK, name=name, owner=owner, player=player, columns=columns, rows=rows
        )

    # -- processes ----------------------------------------------------------------------------------------

    def machine_directory(self, player: str) -> Path:
        return self.directory / player

    def start_service(self) -> None:
        log = self.directory / "service.log"
        log.unlink(missing_ok=True)
        arguments = ("--dir", str(self.directory / "service"), "--port", str(self.port))
        process = self.processes["service"] = Process("xor.service", log, *arguments)
        wait_until(lambda: process.shows("event=ready "), "the service")
        self.port = int(process.text.rsplit("event=ready address=", 1)[1].split()[0].rpartition(":")[2])
        self.client = httpx2.Client(
            base_url=f"https://127.0.0.1:{self.port}",
            headers={"Authorization": f"Bearer {token.new(NETWORK, 'desk', self.service_key, self.now)}"},
            verify=tls.client_context(self.service_key.public),
            trust_env=False,
            timeout=30,
        )

    def create_machine(self, player: str, rows: Mapping[str, str] = ROWS) -> None:
        machine_setup.create(
            self.machine_directory(player),
            player=player,
            key=self.keys[player],
            agreement=self.signed,
            service_url=f"{self.scheme}://127.0.0.1:{self.port}",
            listen="127.0.0.1:0",
        )
        for name, entry in self.entries.items():
            if entry.player == player:
                source = self.directory / f"{name}.csv"
                source.write_text(rows[name])
                machine_setup.add_dataset(
                    self.machine_directory(player),
                    entry=sign_entry(entry, self.owners[entry.owner]),
                    policy=self.policy(entry, 1),
                    source=source,
                )

    def policy(self, entry: DatasetEntry, version: int) -> Envelope:
        until = dt.datetime.now(dt.UTC).date() + dt.timedelta(days=2)
        text = permissive(entry, self.agreement, until=until, reason="a test")
        return sign_policy(
            text,
            network=NETWORK,
            owner=entry.owner,
            dataset=entry.name,
            policy_version=version,
            key=self.owners[entry.owner],
        )

    def start_machine(self, player: str, *, until: str = "is ready") -> Process:
        log = self.directory / f"{player}.log"
        log.unlink(missing_ok=True)
        process = Process("xor.machine", log, "--dir", str(self.machine_directory(player)))
        self.processes[player] = process
        wait_until(lambda: process.shows(until), f"{player}: {until}")
        return process

    def close(self) -> None:
        for process in self.processes.values():
            if process.process.poll() is None:
                process.kill()

    # -- the analyst --------------------------------------------------------------------------------------

    def plan(self, valid_s: int = 600, version: int = 1) -> PlacedPlan:
        """The sealed join of both tables."""
        sides = [
            Project(Scan(entry), tuple((f"{each.name}_{index}", each.name) for each in entry.columns))
            for index, entry in enumerate(self.entries.values())
        ]
        return self._placed(Join(sides[0], sides[1], (("key_0", "key_1"),)), valid_s, version)

    def plan_of_one(self, name: str = "stock") -> PlacedPlan:
        """A plan of one player alone: its table, sealed to the analyst."""
        return self._placed(Scan(self.entries[name]))

    def _placed(self, relation: Relation, valid_s: int = 600, version: int = 1) -> PlacedPlan:
        return place(
            relation,
            network=NETWORK,
            agreement_hash=agreement_hash(self.agreement),
            analyst="desk",
            recipients=("desk",),
            policies=dict.fromkeys(self.entries, version),
            not_before=int(time.time()) - 5,
            not_after=int(time.time()) + valid_s,
            nonce=secrets.token_hex(32),
            signatures={
                name: sign_entry(entry, self.owners[entry.owner]).signatures[0].signature
                for name, entry in self.entries.items()
            },
        )

    def signed_plan(self, plan: PlacedPlan) -> Envelope:
        return Envelope(PAYLOAD_TYPE, encode_plan(plan), ()).signed_by(self.analyst)

    def submit(self, plan: PlacedPlan) -> str:
        answer = self.client.post(
            http.network_jobs_path(NETWORK),
            content=self.signed_plan(plan).to_bytes(),
            headers={"Content-Type": "application/json"},
        )
        assert answer.status_code < 300, answer.text
        return plan_hash(encode_plan(plan))

    def view(self, job: str, wait_s: int = 0, after: int = 0) -> JobView:
        answer = self.client.get(http.job_path(job), params={"after": after, "wait_s": wait_s})
        assert answer.status_code == 200, answer.text
        return JobView.model_validate_json(answer.content)

    def finished(self, job: str) -> JobView:
        wait_until(lambda: self.view(job).state.is_final, "the end of the job")
        return self.view(job)

    def said(self, view: JobView, kind: Kind) -> list[object]:
        """The documents of a kind in the log, verified."""
        return [self.trust.read(entry) for entry in view.entries if entry.kind is kind]

    def opened(self, plan: PlacedPlan, view: JobView) -> list[tuple[str, ...]]:
        """The rows of the one sealed join, sorted."""
        import pyarrow as pa

        [part] = plan.parts
        streams = []
        for manifest in sorted(self.said(view, Kind.MANIFEST), key=lambda each: each.side):
            path = self.directory / f"stream-{manifest.side}"
            path.write_bytes(self.client.get(http.blob_path(view.job, manifest.node, manifest.side)).content)
            streams.append((bytes.fromhex(manifest.header), manifest.sha256, str(path)))
        spec = sealed_spec(plan, view.job, part, self.agreement)
        table = pa.table(open_sealed(spec, streams, self.seal_seed, lambda *_: None))
        return sorted(zip(*(column.to_pylist() for column in table.columns), strict=True))

    def approval(self, job: str, player: str, key: SigningKey | None = None) -> Envelope:
        """The approval of a player over its datasets, signed by its own key or by another."""
        policies = tuple(
            ApprovedPolicy(dataset=each.name, owner=each.owner, policy_version=1)
            for each in self.entries.values()
            if each.player == player
        )
        document = Approval(network=NETWORK, plan=job, player=player, policies=policies)
        return seal_envelope(document, key or self.keys[player])


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Bench]:
    """A machine for player-1, not started, whose service is the test itself."""
    made = Bench(tmp_path)
    made.fake = FakeService(made.service_key, NETWORK)
    made.port, made.scheme = made.fake.port, "http"
    made.create_machine("player-1")
    try:
        yield made
    finally:
        made.close()
        made.fake.close()


@pytest.fixture
def bench(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Bench]:
    """Service and both machines up; an indirect parameter is the bound of `orders`."""
    made = Bench(tmp_path, getattr(request, "param", 8))
    try:
        made.start_service()
        for player in PLAYERS:
            made.create_machine(player)
        for player in PLAYERS:
            made.start_machine(player)
        yield made
    finally:
        made.close()
