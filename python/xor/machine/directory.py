"""A machine's directory: what it is told, what it hosts and where it keeps its state.

machine.toml        player, network, service, where it listens
machine.key         Ed25519 seed, mode 0600
agreement.json      the pinned agreement, as its owners signed it
datasets/NAME/      entry.json and policy.json as their owner signed them; source.toml: where the rows are
state.db            the journal
jobs/ID/            one directory for each running job, removed at its end
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import Field as Bounded
from pydantic import ValidationError, model_validator

from xor.errors import AuthError, DataError, UsageError, XorError
from xor.model.address import DatabaseUrl, is_loopback
from xor.model.agreement import HEX_32_BYTES
from xor.model.dataset import NAME, DatasetEntry, Strict
from xor.plan.oprf.exchange import BACK_ENDS, Oprf
from xor.policy.document import Policy
from xor.signing import Envelope, SigningKey
from xor.wire import tls
from xor.wire.trust import Trust, open_agreement

Format = Literal["csv", "parquet"]
Document = TypeVar("Document", bound=Strict)


class Settings(Strict):
    """`machine.toml`.

    Args:
        agreement: hash of the pinned agreement: a changed file is noticed.
        service: its address, `https://HOST:PORT`.
        ca: PEM file of the authorities that certify the service, or `system`. None: its key in the agreement.
        listen: where other machines reach it, `HOST:PORT`; port 0 takes a free one. None: it only dials.
        advertise: the address that others are told, if it is not where this machine listens.
        job_timeout_s: how long a worker may run before it is killed.
        drain_s: how long a machine that was told to stop (SIGTERM) lets its jobs go on.
        max_jobs: how many workers run at once; further jobs wait in order.
        memory_mib, disk_mib: what one job may take; plans that may need more are refused before they start.
            None: its share of what this computer has.
        cores: of the processor, as clients are told for estimates. None: all of this computer.
        metrics: loopback address `HOST:PORT` where Prometheus finds metrics; None: nowhere.
        oprf: back ends that may run here. An operator who trusts `dh` alone leaves the others out.

    Units: seconds; MiB.
    """

    player: str = Bounded(pattern=NAME)
    network: str = Bounded(pattern=NAME)
    agreement: str = Bounded(pattern=HEX_32_BYTES)
    service: str = Bounded(max_length=300)
    ca: str | None = Bounded(default=None, max_length=1000)
    listen: str | None = Bounded(default=None, max_length=300)
    advertise: str | None = Bounded(default=None, max_length=300)
    connect_timeout_s: int = Bounded(default=60, ge=1, le=3600)
    stall_timeout_s: int = Bounded(default=120, ge=1, le=3600)
    job_timeout_s: int = Bounded(default=6 * 3600, ge=1, le=7 * 86_400)
    drain_s: int = Bounded(default=60, ge=0, le=7 * 86_400)
    max_jobs: int = Bounded(default=4, ge=1, le=64)
    memory_mib: int | None = Bounded(default=None, ge=1, le=2**30)
    disk_mib: int | None = Bounded(default=None, ge=1, le=2**40)
    cores: int | None = Bounded(default=None, ge=1, le=4096)
    metrics: str | None = Bounded(default=None, max_length=300)
    oprf: tuple[Oprf, ...] = Bounded(default=BACK_ENDS, min_length=1, strict=False)


class SourceFile(Strict):
    """`source.toml`: the file in which the rows of a dataset are. Known to this machine only."""

    path: str
    format: Format
    header: tuple[str, ...] | None = Bounded(default=None, strict=False)

    @property
    def needed(self) -> list[Path]:
        """What must be readable for it."""
        return [Path(self.path)]


class SourceTable(Strict):
    """`source.toml`: the table or view of a PostgreSQL database in which the rows of a dataset are.

    Args:
        url: as `model.address.DatabaseUrl` takes it. It may hold a password, so only this machine's user
            may read the file.
    """

    format: Literal["postgresql"]
    url: str = Bounded(max_length=2000, repr=False)
    schema_name: str = Bounded(default="public", min_length=1, max_length=63)
    table: str = Bounded(min_length=1, max_length=63)

    @property
    def database(self) -> DatabaseUrl:
        return DatabaseUrl.parse(self.url)

    @property
    def needed(self) -> list[Path]:
        """What must be readable for it: the database's socket, the authorities that certify it."""
        database = self.database
        socket = [Path(database.socket)] if database.socket else []
        return [*socket, *(tls.ca_paths(database.ca or tls.SYSTEM) if database.is_tls else [])]


SourceSettings = Annotated[SourceFile | SourceTable, Bounded(discriminator="format")]


@dataclass(frozen=True, slots=True)
class Holding:
    """A dataset that this machine hosts. The entry is verified; the policy is read when it is judged."""

    entry: DatasetEntry
    entry_envelope: Envelope
    source: SourceFile | SourceTable
    folder: Path

    def policy_bytes(self) -> bytes:
        """The content of the policy's file, now.

        Raises:
            DataError: it cannot be read.
        """
        return _read(self.folder / "policy.json")


@dataclass(frozen=True, slots=True)
class SignedPolicy:
    """A verified policy and the envelope that proves it."""

    policy: Policy
    envelope: Envelope


class Directory:
    """The files of one machine, read and verified.

    Raises:
        UsageError, AuthError, DataError: a file is missing, malformed, not signed by whom it should be, or
            the agreement is not the pinned one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self.settings = _read_toml(Settings, self.path / "machine.toml")
        check_service_url(self.settings.service)
        self.key = SigningKey.load(self.path / "machine.key")
        envelope = read_envelope(self.path / "agreement.json")
        agreement = open_agreement(envelope, self.settings.agreement)
        if agreement.network != self.settings.network:
            raise AuthError("the agreement is about another network", code="auth.other-network")
        if agreement.player(self.settings.player).key != self.key.public:
            raise AuthError(
                f"machine.key is not the key that the agreement gives {self.settings.player}",
                code="auth.wrong-key",
            )
        self.agreement_payload = envelope.payload
        self.trust = Trust(agreement)
        self.holdings = {each.entry.name: each for each in map(self._holding, self._folders())}

    @property
    def state(self) -> Path:
        return self.path / "state.db"

    @property
    def jobs(self) -> Path:
        return self.path / "jobs"

    def job(self, job_id: str) -> Path:
        return self.jobs / job_id

    def policy(self, holding: Holding, content: bytes) -> SignedPolicy:
        """The policy in `content`, which `holding.policy_bytes` has read, verified.

        Raises:
            AuthError: its owner did not sign it, or it is another dataset's. UsageError: malformed.
        """
        envelope = Envelope.from_bytes(content.strip())
        policy = self.trust.policy(envelope)
        if policy.dataset != holding.entry.name or policy.owner != holding.entry.owner:
            raise AuthError(
                f"the policy of '{holding.entry.name}' is not its owner's policy for it",
                code="auth.wrong-owner",
            )
        return SignedPolicy(policy, envelope)

    def _folders(self) -> list[Path]:
        datasets = self.path / "datasets"
        return sorted(each for each in datasets.iterdir() if each.is_dir()) if datasets.is_dir() else []

    def _holding(self, folder: Path) -> Holding:
        envelope = read_envelope(folder / "entry.json")
        entry = self.trust.entry(envelope)
        if entry.player != self.settings.player or entry.name != folder.name:
            raise AuthError(
                f"the entry in {folder} is of dataset '{entry.name}' at '{entry.player}'",
                code="auth.wrong-entry",
            )
        return Holding(entry, envelope, _read_source(folder / "source.toml"), folder)


def check_service_url(url: str) -> None:
    """Refuses a line to the service that could be overheard.

    Raises:
        UsageError: it is no https address, nor one of http on this computer.
    """
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return
    if parts.scheme != "http" or not is_loopback(parts.hostname or ""):
        raise UsageError(
            "the service is not reached by https",
            code="usage.plain-http",
            hint="https://HOST:PORT in machine.toml; http works with a service on this computer only.",
        )


def parse_address(text: str) -> tuple[str, int]:
    """Host and port of `HOST:PORT` or `[HOST]:PORT`.

    Raises:
        UsageError: it is none.
    """
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise UsageError("an address is not of the form HOST:PORT", code="usage.bad-address")
    return host.removeprefix("[").removesuffix("]"), int(port)


def read_envelope(path: Path) -> Envelope:
    """The signed envelope in a file.

    Raises:
        DataError: the file cannot be read. UsageError: it holds no envelope.
    """
    return Envelope.from_bytes(_read(path).strip())


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        raise DataError(f"{path} cannot be read", code="data.no-file") from None


def _read_source(path: Path) -> SourceFile | SourceTable:
    source = _read_toml(_Sourced, path).source
    if isinstance(source, SourceTable):
        _ = source.database  # refuses a malformed one now
        if path.stat().st_mode & 0o077:
            raise AuthError(f"{path} can be read by others", code="auth.open-file", hint=f"chmod 600 {path}")
    return source


class _Sourced(Strict):
    """The content of a `source.toml` under one name: of which kind it is, its `format` says."""

    source: SourceSettings

    @model_validator(mode="before")
    @classmethod
    def _whole(cls, body: object) -> object:
        return {"source": body}


def _read_toml(cls: type[Document], path: Path) -> Document:
    try:
        return cls.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError:
        raise UsageError(f"{path} cannot be read", code="usage.no-file") from None
    except XorError:
        raise
    except (ValidationError, ValueError) as error:
        what = (
            "; ".join(str(each["loc"]) for each in error.errors())
            if isinstance(error, ValidationError)
            else ""
        )
        raise UsageError(f"{path} is malformed: {what}", code="usage.bad-settings") from None
