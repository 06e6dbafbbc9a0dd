"""Who takes part in a simulation, what they own and what is asked: three banks, small enough to be fast."""

from __future__ import annotations

import datetime as dt
import json
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from xor import owner
from xor.model.agreement import Agreement, Analyst, Owner, Player
from xor.model.dataset import ColumnEntry, DatasetEntry
from xor.model.machine import Capacity
from xor.plan.codec import PAYLOAD_TYPE, decode_plan, encode_plan
from xor.plan.oprf.exchange import BACK_ENDS
from xor.plan.place import place
from xor.plan.placed import Part, PlacedPlan
from xor.plan.relations import Concat, Join, JoinKind, Project, Relation, Scan
from xor.policy.judge import judge
from xor.policy.parse import ParsedPolicy, in_force, with_grant
from xor.policy.permissive import GUESSES_A_DAY, permissive
from xor.signing import Envelope, SigningKey, canonical, parse_canonical
from xor.testing.oracle import evaluate
from xor.testing.three_banks import unsafe_key
from xor.wire.trust import Trust

NETWORK = "simulated"
EPOCH = int(dt.datetime(2027, 1, 15, 12, tzinfo=dt.UTC).timestamp())
"""When every simulation begins."""
VALID_S = 500
"""How long after it is signed a plan may be run."""
PLAYERS = ("player-0", "player-1")
OWNERS = ("bank-a", "bank-b", "bank-c")
ANALYST = "analyst"
ASKED = 4
"""Plans to choose from, see `_relation`."""
GUESSED = (0, 1, 2, 0)
"""Bank C allows the guesses of these plans of `_relation` on one day."""

Tables = Mapping[str, list[dict[str, Any]]]
Rows = Counter[str]


@cache
def agreement(signer: str = "") -> Agreement:
    """The agreement; with a name, that of an impostor who has made all keys himself."""

    def public(name: str) -> str:
        return unsafe_key(signer + name).public

    return Agreement(
        network=NETWORK,
        owners=tuple(Owner(name=name, key=public(name)) for name in OWNERS),
        players=(
            Player(name="player-0", key=public("player-0"), zone="clean room", is_simulated=True),
            Player(name="player-1", key=public("player-1"), zone="premises", owner="bank-c"),
        ),
        analysts=(Analyst(name=ANALYST, key=public(ANALYST), seal_key="00" * 1216),),
        service_key=unsafe_key("service").public,
        not_before=EPOCH - 3600,
        not_after=EPOCH + 86400,
    )


@cache
def trust() -> Trust:
    return Trust(agreement())


@cache
def signed_agreement(signer: str = "") -> Envelope:
    return owner.sign_agreement(agreement(signer), *(unsafe_key(signer + name) for name in OWNERS))


@cache
def entries() -> Mapping[str, DatasetEntry]:
    def entry(name: str, player: str, columns: tuple[str, ...], *unique: tuple[str, ...]) -> DatasetEntry:
        return DatasetEntry(
            network=NETWORK,
            name=name,
            owner=f"bank-{name[-1]}",
            player=player,
            columns=tuple(ColumnEntry(name=column, type="int64") for column in columns),
            rows=20,
            unique=unique,
        )

    account = ("account", "balance")
    made = (
        entry("payments_a", "player-0", ("payer", "payee", "amount")),
        entry("accounts_b", "player-0", account, ("account",)),
        entry("accounts_c", "player-1", account, ("account",)),
    )
    return {each.name: each for each in made}


@cache
def policy_text(dataset: str) -> str:
    """A permissive policy with few guesses; bank C's also lets matching rows into the clean room."""
    text = _permissive(dataset)
    if dataset != "accounts_c":
        return text
    limit = sum(_guesses(choice).get(dataset, 0) for choice in GUESSED)
    return text.replace(f"guesses: {GUESSES_A_DAY} per UTC day", f"guesses: {limit} per UTC day")


def _permissive(dataset: str) -> str:
    until = dt.datetime.fromtimestamp(EPOCH, dt.UTC).date() + dt.timedelta(days=30)
    text = permissive(entries()[dataset], agreement(), until=until, reason="a simulation")
    if dataset == "accounts_c":
        simulated = f"simulated clean room: {{until: {until}, reason: a simulation}}"
        protection = f"protection: {{adversary: malicious, dealer: none, {simulated}}}"
        text = with_grant(text, f"reveal to player-0: {{rows: [account]}}\n{protection}")
    return text


@cache
def signed_entry(dataset: str, signer: str = "") -> Envelope:
    """An entry signed by its owner, or by an impostor."""
    entry = entries()[dataset]
    return owner.sign_entry(entry, unsafe_key(signer + entry.owner))


@cache
def signed_policy(dataset: str, version: int = 1, signer: str = "") -> Envelope:
    return _sign_policy(dataset, policy_text(dataset), version, signer)


def _sign_policy(dataset: str, text: str, version: int, signer: str = "") -> Envelope:
    name = entries()[dataset].owner
    key = unsafe_key(signer + name)
    return owner.sign_policy(
        text, network=NETWORK, owner=name, dataset=dataset, policy_version=version, key=key
    )


@cache
def _guesses(choice: int) -> Mapping[str, int]:
    """What a plan would charge bank C for, by the judge."""
    policies = {name: _parsed(_sign_policy(name, _permissive(name), 1), name) for name in entries()}
    return _judged(placed(choice), policies)


@cache
def guesses(choice: int) -> Mapping[str, Mapping[str, int]]:
    """For each player what it must charge, dataset by dataset, before it runs that plan."""
    charged = _guesses(choice)
    return {
        player: {name: amount for name, amount in charged.items() if entries()[name].player == player}
        for player in PLAYERS
    }


def guess_limit() -> int:
    """What bank C allows on one day."""
    return sum(_guesses(choice).get("accounts_c", 0) for choice in GUESSED)


def _judged(plan: PlacedPlan, policies: Mapping[str, ParsedPolicy]) -> Mapping[str, int]:
    charged: dict[str, int] = {}
    for player in PLAYERS:
        capacity = Capacity(memory_bytes=2**40, disk_bytes=2**40, oprf=BACK_ENDS)
        hosted = {name: each for name, each in policies.items() if entries()[name].player == player}
        decision = judge(plan, hosted, agreement(), {}, EPOCH, player=player, capacities={player: capacity})
        if not decision.is_allowed:
            raise AssertionError(decision.to_error(player))
        charged |= dict(decision.guesses)
    return charged


def _parsed(envelope: Envelope, dataset: str) -> ParsedPolicy:
    return in_force(trust().policy(envelope), entries()[dataset])


@cache
def placed(choice: int) -> PlacedPlan:
    """One of `ASKED` plans, with a nonce that is no nonce yet."""
    return place(
        _relation(choice),
        network=NETWORK,
        agreement_hash=trust().hash,
        analyst=ANALYST,
        recipients=(ANALYST,),
        policies=dict.fromkeys(entries(), 1),
        not_before=EPOCH - 60,
        not_after=EPOCH + VALID_S,
        nonce="0" * 64,
        signatures={name: signed_entry(name).signatures[0].signature for name in entries()},
        permits=lambda _: True,
    )


def asked(chance: random.Random, choice: int, now: float) -> PlacedPlan:
    """A plan that the analyst may sign now."""
    return replace(placed(choice), nonce=chance.randbytes(32).hex(), not_after=int(now) + VALID_S)


def with_other_bounds(plan: PlacedPlan) -> PlacedPlan:
    """The plan as if the owners had said that their tables are larger."""
    body = parse_canonical(encode_plan(plan))
    for entry in body["datasets"]:
        entry["rows"] = 24
    return decode_plan(canonical(body))


def signed_plan(plan: PlacedPlan, key: SigningKey | None = None) -> Envelope:
    return Envelope(PAYLOAD_TYPE, encode_plan(plan), ()).signed_by(key or unsafe_key(plan.analyst))


def tables(chance: random.Random) -> Tables:
    """Small random tables with matches, NULLs and duplicates."""

    def number(limit: int) -> int | None:
        return None if chance.random() < 0.1 else chance.randrange(limit)

    def accounts() -> list[dict[str, Any]]:
        return [{"account": each, "balance": number(99)} for each in chance.sample(range(20), 9)]

    payments = [{"payer": number(20), "payee": number(20), "amount": number(50)} for _ in range(15)]
    return {"payments_a": payments, "accounts_b": accounts(), "accounts_c": accounts()}


def ideal_stream(part: Part, side: int, content: Tables, size: int) -> bytes:
    """What the ideal join seals: side 0 all rows, side 1 a mark, both in the plan's exact size."""
    rows = json.dumps(_rows(part, content)).encode() if side == 0 else b"the other side"
    if len(rows) > size:
        raise AssertionError("the simulated rows do not fit; make the tables smaller")
    return rows.ljust(size)


def opened(streams: Mapping[tuple[int, int], bytes]) -> Rows:
    """The rows in the streams of an ideal join."""
    return Counter(row for (_, side), blob in streams.items() if side == 0 for row in json.loads(blob))


def plaintext(plan: PlacedPlan, content: Tables) -> Rows:
    """The rows by the plaintext oracle."""
    return Counter(row for part in plan.parts for row in _rows(part, content))


def _rows(part: Part, content: Tables) -> list[str]:
    return sorted(repr(row) for row in evaluate(part.relation, content))


def _relation(choice: int) -> Relation:
    """One direction, the union of both, what both account tables hold, or what one alone does."""

    def renamed(name: str, suffix: str) -> Relation:
        scan = Scan(entries()[name])
        return Project(scan, tuple((f"{column}{suffix}", column) for column in scan.schema.names))

    def direction(known_at_b: str, known_at_c: str) -> Relation:
        left = Join(renamed("payments_a", ""), renamed("accounts_b", "_b"), ((known_at_b, "account_b"),))
        both = Join(left, renamed("accounts_c", "_c"), ((known_at_c, "account_c"),))
        return Project(both, (("payer", "payer"), ("payee", "payee"), ("amount", "amount")))

    def accounts(kind: JoinKind) -> Relation:
        keys = (("account_b", "account_c"),)
        return Join(renamed("accounts_b", "_b"), renamed("accounts_c", "_c"), keys, kind)

    match choice:
        case 0:
            return direction("payee", "payer")
        case 1:
            return accounts(JoinKind.INNER)
        case 2:
            return accounts(JoinKind.ANTI)
        case _:
            return Concat((direction("payee", "payer"), direction("payer", "payee")))
