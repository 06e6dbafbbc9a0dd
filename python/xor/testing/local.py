"""A whole network on this computer: keys, agreement, policies, a service and one machine for each player.

What `xor local up` does. Everything lies in one directory (`.xor/NAME` beside the network file), every
process is ours by id and birth, and `down` removes exactly that.
"""

from __future__ import annotations

import datetime as dt
import os
import shutil
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from xor import owner
from xor.dataframe.open import new_seal_key
from xor.engine.postgres import Snapshot
from xor.engine.postgres import inspect as inspect_table
from xor.engine.sources import Inspection, inspect
from xor.errors import DataError, PeerError, UsageError
from xor.machine import setup as machine_setup
from xor.machine.directory import SourceTable
from xor.model.agreement import Agreement, Analyst, Owner, Player
from xor.model.dataset import ColumnEntry, DatasetEntry
from xor.model.types import unknown_column
from xor.plan.relations import padded
from xor.policy.document import Policy
from xor.policy.permissive import permissive
from xor.service import setup as service_setup
from xor.session import Session, open_session
from xor.session.profile import Profile, profile_path, read_profile, write_profile
from xor.signing import Envelope, SigningKey, decode
from xor.signing.keys import write_secret
from xor.testing import processes
from xor.testing.network_file import DatasetSection, NetworkFile, read_network_file
from xor.testing.processes import Started
from xor.wire.trust import agreement_hash

HOST = "127.0.0.1"
DEFAULT_PORT = 3000
VALID_DAYS = 365
INSPECT_S = 600
SIMULATED_REASON = "a local network on one computer: the clean room has no hardware protection"

Say = Callable[[str], None]


@dataclass(frozen=True)
class LocalNetwork:
    """A network file, the directory of its state and the port of its service."""

    file: Path
    directory: Path
    port: int

    @classmethod
    def at(cls, file: Path, port: int = DEFAULT_PORT) -> LocalNetwork:
        network = read_network_file(file)
        return cls(file.resolve(), file.resolve().parent / ".xor" / network.name, port)

    @property
    def pids(self) -> Path:
        return self.directory / "processes.json"

    def machine_directory(self, player: str) -> Path:
        return self.directory / "machines" / player

    # -- make ---------------------------------------------------------------------------------------------

    def create(self, say: Say) -> None:
        """Makes and signs agreement, entries and policies; writes the profile of the first analyst.

        Raises:
            UsageError: the network is up already, or the file is wrong. DataError: a source is.
        """
        if self.directory.exists():
            raise UsageError(
                f"{self.directory} exists: the network is up, or was not taken down",
                code="usage.already-up",
                hint=f"xor local down {self.file.name}",
            )
        network = read_network_file(self.file)
        self.directory.mkdir(parents=True, mode=0o700)
        try:
            _Maker(self, network, say).make()
        except BaseException:
            shutil.rmtree(self.directory, ignore_errors=True)
            raise

    def apply(self, say: Say, timeout_s: float = 20) -> None:
        """Signs the policies that have changed in the file, and waits until they are in force.

        Raises:
            PeerError: a machine did not take one up in time; it will when it is back.
        """
        network = read_network_file(self.file)
        for dataset in network.datasets:
            if dataset.policy is not None:
                self._sign_anew(network.name, dataset, _policy_text(self.file, dataset.policy), say)
        with open_session("localhost", self.port) as session:
            self._wait_in_force(session, network, timeout_s)

    def _sign_anew(self, network: str, dataset: DatasetSection, text: str, say: Say) -> None:
        path = machine_setup.policy_path(self.machine_directory(dataset.player), dataset.name)
        current = decode(Policy, Envelope.from_bytes(path.read_bytes()).payload)
        if text == current.text:
            return
        version = current.policy_version + 1
        envelope = owner.sign_policy(
            text,
            network=network,
            owner=dataset.owner,
            dataset=dataset.name,
            policy_version=version,
            key=SigningKey.load(self.directory / "owners" / f"{dataset.owner}.key"),
        )
        machine_setup.replace(path, envelope.to_bytes())
        say(f"{dataset.owner} signed version {version} of the policy of {dataset.name}")

    def _wait_in_force(self, session: Session, network: NetworkFile, timeout_s: float) -> None:
        def signed(dataset: DatasetSection) -> int:
            path = machine_setup.policy_path(self.machine_directory(dataset.player), dataset.name)
            return decode(Policy, Envelope.from_bytes(path.read_bytes()).payload).policy_version

        def late() -> list[str]:
            shown = session.known(network.name).policies
            return [
                each.player for each in network.datasets if shown[each.name].policy_version < signed(each)
            ]

        if not processes.wait_until(lambda: not late(), timeout_s, step_s=0.2):
            raise PeerError(
                f"{', '.join(sorted(set(late())))} did not take up a new policy yet",
                code="peer.not-ready",
                hint="is the machine up? It reads its policies again when it is.",
            )

    # -- run ----------------------------------------------------------------------------------------------

    def start(self, say: Say, environment: Mapping[str, str] | None = None) -> tuple[Started, ...]:
        """Starts the service and one machine for each player and waits until all of them are ready.

        Raises:
            UsageError: the port is in use. PeerError: a process did not come up; its log's end is the hint.
        """
        _check_port(self.port)
        logs = self.directory / "logs"
        logs.mkdir(exist_ok=True)
        extra = dict(environment or {})
        service = processes.start("service", self._service_arguments(), logs / "service.log", extra)
        started = [service]
        try:
            players = [player.name for player in read_network_file(self.file).players]
            for player in players:
                started.append(self.start_machine(player, extra))
            processes.save(self.pids, started)
            processes.wait_ready(service, self._is_healthy, timeout_s=30)
            for machine in started[1:]:
                processes.wait_ready(machine, partial(self._is_announced, machine.name), timeout_s=30)
        except BaseException:
            for each in started:
                each.stop()
            raise
        say(f"service on https://{HOST}:{self.port}, machines: {', '.join(players)}")
        return tuple(started)

    def start_machine(self, player: str, environment: Mapping[str, str] | None = None) -> Started:
        arguments = ["xor.machine", "--dir", str(self.machine_directory(player))]
        return processes.start(
            player, arguments, self.directory / "logs" / f"{player}.log", dict(environment or {})
        )

    def remember(self, process: Started) -> None:
        """Notes a process that replaces the one of the same name, so that `down` stops it."""
        others = [each for each in processes.load(self.pids) if each.name != process.name]
        processes.save(self.pids, [*others, process])

    def start_service(self, environment: Mapping[str, str] | None = None) -> Started:
        log = self.directory / "logs" / "service.log"
        return processes.start("service", self._service_arguments(), log, dict(environment or {}))

    def down(self, say: Say) -> None:
        """Stops every process that `start` started, removes the directory and the profile."""
        for process in reversed(processes.load(self.pids)):
            process.stop()
        self._remove_profile()
        if self.directory.exists():
            shutil.rmtree(self.directory)
            say(f"stopped and removed {self.directory}")
        else:
            say("nothing was up")

    def _remove_profile(self) -> None:
        """Removes the profile that `create` wrote; one that names other keys is somebody else's."""
        profile = read_profile("localhost", self.port)
        if profile.signing_key is not None and profile.signing_key.is_relative_to(self.directory):
            profile_path("localhost", self.port).unlink(missing_ok=True)

    def _service_arguments(self) -> list[str]:
        return ["xor.service", "--dir", str(self.directory / "service"), "--port", str(self.port)]

    def _is_healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{HOST}:{self.port}/v1/health", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def _is_announced(self, player: str) -> bool:
        return f"{player} is ready" in Path(self.directory / "logs" / f"{player}.log").read_text(
            errors="replace"
        )


class _Maker:
    """Makes the documents of a new local network, once."""

    def __init__(self, local: LocalNetwork, network: NetworkFile, say: Say) -> None:
        self.local = local
        self.network = network
        self.say = say
        self.directory = local.directory
        self.now = int(time.time())
        self.service_key = service_setup.new_key(local.directory / "service")
        self.owner_keys = {name: self._key("owners", name) for name in network.owners}
        self.player_keys = {player.name: SigningKey.generate() for player in network.players}
        self.analyst_keys = {
            analyst.name: self._key("analysts", analyst.name) for analyst in network.analysts
        }

    def make(self) -> None:
        agreement = self._agreement()
        signed = owner.sign_agreement(agreement, *(self.owner_keys[each.name] for each in agreement.owners))
        service_setup.create(self.directory / "service", [signed])
        limits = {each.name: each for each in self.network.players}
        for player in agreement.players:
            machine_setup.create(
                self.local.machine_directory(player.name),
                player=player.name,
                key=self.player_keys[player.name],
                agreement=signed,
                service_url=f"https://{HOST}:{self.local.port}",
                listen=f"{HOST}:0",
                memory_mib=limits[player.name].memory_mib,
                disk_mib=limits[player.name].disk_mib,
                # All machines are on this computer.
                cores=max(1, (os.cpu_count() or 1) // len(agreement.players)),
            )
            if player.is_simulated:
                self.say(f"NO HARDWARE PROTECTION: the clean room of {player.name} is simulated")
        for dataset in self.network.datasets:
            self._register(agreement, dataset)
        self._write_profile(agreement)

    def _agreement(self) -> Agreement:
        return Agreement(
            network=self.network.name,
            owners=tuple(Owner(name=name, key=key.public) for name, key in self.owner_keys.items()),
            players=tuple(
                Player(
                    name=player.name,
                    key=self.player_keys[player.name].public,
                    zone=player.zone,
                    owner=player.owner,
                    is_simulated=player.zone == "clean room",
                )
                for player in self.network.players
            ),
            analysts=tuple(self._analyst(name) for name in self.analyst_keys),
            service_key=self.service_key.public,
            not_before=self.now - 60,
            not_after=self.now + VALID_DAYS * 86400,
        )

    def _analyst(self, name: str) -> Analyst:
        seed, seal_key = new_seal_key()
        write_secret(self.directory / "analysts" / f"{name}.seal.key", seed)
        return Analyst(name=name, key=self.analyst_keys[name].public, seal_key=seal_key)

    def _key(self, group: str, name: str) -> SigningKey:
        folder = self.directory / group
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        key = SigningKey.generate()
        key.save(folder / f"{name}.key")
        return key

    def _register(self, agreement: Agreement, section: DatasetSection) -> None:
        key = self.owner_keys[section.owner]
        source = _source_of(self.local.file, section)
        entry = self._entry(section, source)
        text = (
            self._permissive(agreement, entry)
            if section.policy is None
            else _policy_text(self.local.file, section.policy)
        )
        policy = owner.sign_policy(
            text,
            network=entry.network,
            owner=entry.owner,
            dataset=entry.name,
            policy_version=1,
            key=key,
            entry=entry,
        )
        machine_setup.add_dataset(
            self.local.machine_directory(section.player),
            entry=owner.sign_entry(entry, key),
            policy=policy,
            source=source,
            header=section.columns,
        )

    def _permissive(self, agreement: Agreement, entry: DatasetEntry) -> str:
        """A permissive policy, also as a file that its owner may start from."""
        until = dt.datetime.fromtimestamp(self.now, dt.UTC).date() + dt.timedelta(days=30)
        text = permissive(entry, agreement, until=until, reason=SIMULATED_REASON)
        path = self.directory / "policies" / f"{entry.name}.yaml"
        path.parent.mkdir(exist_ok=True, mode=0o700)
        path.write_text(text, encoding="utf-8")
        self.say(f"PERMISSIVE POLICY for {entry.name}: all analysts may see all rows until {until}; {path}")
        return text

    def _entry(self, section: DatasetSection, source: Path | SourceTable) -> DatasetEntry:
        found = _inspected(source, section)
        _check_columns(section, {column.name: column.max_bytes is not None for column in found.columns})
        rows = section.rows
        if rows is None:
            rows = padded(found.rows)
            self.say(f"{section.name}: rows not declared; counted and padded to {rows}")
        elif rows < found.rows:
            raise DataError(
                f"dataset '{section.name}' has more rows than the {rows} that are declared",
                code="data.above-bound",
                hint="declare a higher bound: rows = …",
            )
        columns = []
        for column in found.columns:
            bound = section.max_bytes.get(column.name)
            if column.max_bytes is not None and bound is None:
                bound = padded(column.max_bytes)
                self.say(
                    f"{section.name}.{column.name}: max_bytes not declared; counted and padded to {bound}"
                )
            columns.append(ColumnEntry(name=column.name, type=column.type, max_bytes=bound))
        return DatasetEntry(
            network=self.network.name,
            name=section.name,
            owner=section.owner,
            player=section.player,
            columns=tuple(columns),
            rows=rows,
            unique=section.unique,
        )

    def _write_profile(self, agreement: Agreement) -> None:
        analyst = agreement.analysts[0].name
        profile = Profile(
            host="localhost",
            port=self.local.port,
            analyst=analyst,
            service_key=agreement.service_key,
            signing_key=self.directory / "analysts" / f"{analyst}.key",
            seal_key=self.directory / "analysts" / f"{analyst}.seal.key",
            networks={agreement.network: agreement_hash(agreement)},
        )
        self.say(f"profile of {analyst} for localhost:{self.local.port} written to {write_profile(profile)}")


def _source_of(file: Path, section: DatasetSection) -> Path | SourceTable:
    """A file, relative to the network file; or a table of a database."""
    if not section.source.startswith(("postgresql://", "postgres://")):
        return (file.parent / section.source).resolve()
    if section.table is None:
        raise UsageError(
            f"dataset '{section.name}' names a database but no table",
            code="usage.bad-network-file",
            hint='table = "accounts"',
        )
    return SourceTable(
        format="postgresql", url=section.source, schema_name=section.schema_name, table=section.table
    )


def _inspected(source: Path | SourceTable, section: DatasetSection) -> Inspection:
    if isinstance(source, Path):
        return inspect(source, header=section.columns, types=section.types)
    snapshot = Snapshot(source.database, INSPECT_S)
    try:
        return inspect_table(snapshot, source.schema_name, source.table, section.types)
    finally:
        snapshot.close()


def _policy_text(file: Path, policy: str) -> str:
    path = file.parent / policy
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise UsageError(f"there is no policy file {path}", code="usage.no-file") from None


def _check_columns(section: DatasetSection, columns: dict[str, bool]) -> None:
    """Whether `unique` and `max_bytes` name columns of the file. `columns`: name, and whether it is text."""
    for group in section.unique:
        for name in group:
            if name not in columns:
                raise unknown_column(name, columns, section.name)
    for name in section.max_bytes:
        if name not in columns:
            raise unknown_column(name, columns, section.name)
        if not columns[name]:
            raise UsageError(
                f"dataset '{section.name}': max_bytes names '{name}', which is no text",
                code="usage.bad-network-file",
                hint="only text columns have a bound of bytes.",
            )


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            raise UsageError(
                f"port {port} on {HOST} is in use",
                code="usage.port-in-use",
                hint="stop what listens there, or take another one with --port.",
            ) from None
