"""`network.toml`: any tables on one machine. Parsed strictly; an unknown key is refused by name."""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path

from pydantic import Field as Bounded
from pydantic import ValidationError

from xor.errors import UsageError
from xor.model.agreement import Zone
from xor.model.dataset import NAME, Strict


class PlayerSection(Strict):
    """`[[players]]`: a seat, where its plaintext lives, and what one job may take there."""

    name: str = Bounded(pattern=NAME)
    zone: Zone
    owner: str | None = Bounded(default=None, pattern=NAME)
    memory_mib: int | None = Bounded(default=None, ge=1, le=2**30)
    disk_mib: int | None = Bounded(default=None, ge=1, le=2**40)


class DatasetSection(Strict):
    """`[[datasets]]`: a table and what its owner declares about it. What is missing is counted and padded."""

    name: str = Bounded(pattern=NAME)
    owner: str = Bounded(pattern=NAME)
    player: str = Bounded(pattern=NAME)
    source: str
    table: str | None = None
    schema_name: str = "public"
    types: dict[str, str] = Bounded(default_factory=dict)
    columns: tuple[str, ...] | None = None
    rows: int | None = Bounded(default=None, ge=0)
    unique: tuple[tuple[str, ...], ...] = ()
    max_bytes: dict[str, int] = Bounded(default_factory=dict)
    policy: str | None = None


class AnalystSection(Strict):
    """`[[analysts]]`: somebody who may ask."""

    name: str = Bounded(pattern=NAME)


class NetworkFile(Strict):
    """A whole `network.toml`."""

    name: str = Bounded(pattern=NAME)
    players: tuple[PlayerSection, ...] = Bounded(min_length=1)
    datasets: tuple[DatasetSection, ...] = Bounded(min_length=1)
    analysts: tuple[AnalystSection, ...] = Bounded(min_length=1)

    @property
    def owners(self) -> tuple[str, ...]:
        """Every owner that the file names, in order of appearance."""
        named = [each.owner for each in self.datasets] + [each.owner for each in self.players if each.owner]
        return tuple(dict.fromkeys(named))


def read_network_file(path: Path) -> NetworkFile:
    """Reads and checks a network file.

    Raises:
        UsageError: the file is missing, is no TOML, or a key is missing, unknown or malformed.
    """
    try:
        body = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise UsageError(f"there is no file {path}", code="usage.no-file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is no TOML: {error}", code="usage.bad-network-file") from None
    try:
        network = NetworkFile.model_validate(_tuples(body))
    except ValidationError as error:
        raise UsageError(
            f"{path}: {'; '.join(_problems(error)[:5])}",
            code="usage.bad-network-file",
            hint="the format is in docs/network-file.md.",
        ) from None
    _check_names(network, path)
    return network


def _problems(error: ValidationError) -> list[str]:
    """What is wrong, in the words of the file: `[[datasets]] 1: there is no key 'colums'`."""
    found = []
    unknown = [each for each in error.errors() if each["type"] == "extra_forbidden"]
    # Where a key is misspelt, what else is said of its section follows from that.
    for each in unknown or error.errors():
        section, *rest = each["loc"] or ("the file",)
        match rest:
            case [int(index), *rest]:
                place = f"[[{section}]] {index + 1}"
            case _:
                place = str(section)
        key = ".".join(str(part) for part in rest)
        found.append(f"{place}: {_said(each['type'], key, str(each['msg']))}")
    return found


def _said(kind: str, key: str, message: str) -> str:
    match kind:
        case "extra_forbidden":
            known = sorted({*DatasetSection.model_fields, *PlayerSection.model_fields})
            near = difflib.get_close_matches(key, known, n=1)
            return f"there is no key '{key}'" + (f"; did you mean '{near[0]}'?" if near else "")
        case "missing":
            return f"'{key}' is missing" if key else "it is missing"
        case "string_pattern_mismatch":
            return f"'{key}' is no name: letters, digits, '_' and '-', at most 64, a letter or digit first"
        case "tuple_type":
            return f"'{key}' is a list" if "unique" not in key else "'unique' is a list of lists of columns"
    return f"'{key}': {message[0].lower()}{message[1:]}" if key else message


def _tuples(value: object) -> object:
    """TOML's lists as the tuples that a strict document takes."""
    match value:
        case dict():
            return {key: _tuples(each) for key, each in value.items()}
        case list():
            return tuple(_tuples(each) for each in value)
        case _:
            return value


def _check_names(network: NetworkFile, path: Path) -> None:
    for player in network.players:
        if (player.zone == "premises") != (player.owner is not None):
            raise UsageError(
                f"{path}: player '{player.name}': premises belong to an owner, a clean room to nobody",
                code="usage.bad-network-file",
                hint='premises: owner = "…"; clean room: no owner.',
            )
    players = {player.name for player in network.players}
    for dataset in network.datasets:
        if dataset.player not in players:
            raise UsageError(
                f"{path}: dataset '{dataset.name}' is at '{dataset.player}', which is no player of the file",
                code="usage.unknown-player",
                hint=f"players: {', '.join(sorted(players))}.",
            )
    names = [dataset.name for dataset in network.datasets]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(f"{path}: dataset '{twice[0]}' appears twice", code="usage.bad-network-file")
