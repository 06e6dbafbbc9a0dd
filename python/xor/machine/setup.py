"""Makes a machine's directory. Owner keys never come near it: what owners signed arrives signed."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from xor.errors import UsageError
from xor.machine.directory import Format, SourceTable, check_service_url
from xor.model.dataset import DatasetEntry
from xor.signing import Envelope, SigningKey, decode
from xor.wire.trust import open_agreement


def create(
    directory: Path,
    *,
    player: str,
    key: SigningKey,
    agreement: Envelope,
    service_url: str,
    listen: str | None = None,
    memory_mib: int | None = None,
    disk_mib: int | None = None,
    cores: int | None = None,
) -> None:
    """Makes the directory of the machine that acts for `player` and pins the agreement.

    Args:
        listen: `HOST:PORT` for other machines; None if this one only dials.
        memory_mib, disk_mib, cores: see `directory.Settings`.

    Raises:
        UsageError: the directory exists, the player is not in the agreement, or the service is not on
            this computer. AuthError: an owner has not signed the agreement.
    """
    opened = open_agreement(agreement)
    if opened.player(player).key != key.public:
        raise UsageError(f"the agreement gives '{player}' another key", code="usage.wrong-key")
    check_service_url(service_url)
    try:
        directory.mkdir(parents=True, mode=0o700)
    except FileExistsError:
        raise UsageError(f"{directory} exists", code="usage.already-there") from None
    for name in ("datasets", "jobs"):
        (directory / name).mkdir(mode=0o700)
    key.save(directory / "machine.key")
    replace(directory / "agreement.json", agreement.to_bytes())
    settings = {
        "player": player,
        "network": opened.network,
        "agreement": hashlib.sha256(agreement.payload).hexdigest(),
        "service": service_url,
        "listen": listen,
        "memory_mib": memory_mib,
        "disk_mib": disk_mib,
        "cores": cores,
    }
    replace(directory / "machine.toml", _toml(settings))


def add_dataset(
    directory: Path,
    *,
    entry: Envelope,
    policy: Envelope,
    source: Path | SourceTable,
    header: Sequence[str] | None = None,
) -> None:
    """Registers a dataset; the machine verifies the documents when it starts, and takes it up then.

    Args:
        source: a .csv or .parquet file, or a table of a database. It stays where it is.
        header: column names, when a CSV file has no header line.

    Raises:
        UsageError: the kind of file is not known.
    """
    name = decode(DatasetEntry, entry.payload).name
    folder = directory / "datasets" / name
    folder.mkdir(mode=0o700)
    replace(folder / "entry.json", entry.to_bytes())
    replace(folder / "policy.json", policy.to_bytes())
    if isinstance(source, SourceTable):
        replace(folder / "source.toml", _toml(source.model_dump()))
        return
    described = {
        "path": str(source.resolve()),
        "format": _format_of(source),
        "header": header and list(header),
    }
    replace(folder / "source.toml", _toml(described))


def policy_path(directory: Path, dataset: str) -> Path:
    """Where the machine reads the policy of a dataset each time it judges; change it with `replace`."""
    return directory / "datasets" / dataset / "policy.json"


def replace(path: Path, content: bytes) -> None:
    """Writes a file so that readers see the old content or the new, never a part."""
    draft = path.with_name(f".{path.name}.new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _format_of(source: Path) -> Format:
    match source.suffix.lower():
        case ".csv":
            return "csv"
        case ".parquet":
            return "parquet"
    raise UsageError(
        f"'{source.name}' is neither .csv nor .parquet",
        code="usage.unknown-source",
        hint="a file of one of these kinds, or a table: postgresql://…",
    )


def _toml(values: Mapping[str, object]) -> bytes:
    # JSON strings and arrays of strings are TOML strings and arrays, but for DEL, which TOML wants escaped.
    lines = [
        f"{name} = {json.dumps(value, ensure_ascii=False)}\n"
        for name, value in values.items()
        if value is not None
    ]
    return "".join(lines).replace("\x7f", "\\u007f").encode()
