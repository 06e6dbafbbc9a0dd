"""What a dishonest service answers: it withholds, replays, swaps, edits, forges and shows old logs.

It has the service's key, everything that was ever said, keys of its own, and documents that members really
signed, for another network. It has no key of another member.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from typing import Any

from xor.service.store import Store
from xor.signing import Envelope, canonical, parse_canonical, seal_envelope
from xor.testing.simulation.members import (
    ANALYST,
    ASKED,
    NETWORK,
    PLAYERS,
    asked,
    entries,
    placed,
    signed_agreement,
    signed_entry,
    signed_plan,
    signed_policy,
)
from xor.testing.simulation.world import World
from xor.testing.three_banks import unsafe_key
from xor.wire.messages import (
    Approval,
    ApprovedPolicy,
    Cancel,
    CatalogueItem,
    Closed,
    Entry,
    Failure,
    Inbox,
    JobView,
    Kind,
    Manifest,
    NetworkView,
    Offer,
    Refusal,
)

SERVICE_KEY = unsafe_key("service")
LIARS_KEY = unsafe_key("liar")
"""Of a worker that the liar would like somebody to meet."""
IMPOSTOR = "impostor-"
ENDINGS = (Kind.REFUSAL, Kind.FAILURE, Kind.CANCEL, Kind.CLOSED)
MAX_STOCK = 400
TO_CLIENT = 0.3
"""Lies to an analyst are fewer: the first one that shows ends a run."""
Said = Approval | Refusal | Offer | Manifest | Failure | Cancel | Closed
Entries = tuple[Entry, ...]

KINDS: dict[Kind, type[Said]] = {
    Kind.APPROVAL: Approval,
    Kind.REFUSAL: Refusal,
    Kind.OFFER: Offer,
    Kind.MANIFEST: Manifest,
    Kind.FAILURE: Failure,
    Kind.CANCEL: Cancel,
    Kind.CLOSED: Closed,
}


class Liar:
    """Alters answers on their way from the honest service."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.stock: list[Entry] = []
        self.has_hidden = False
        """Whether a machine was shown a position so high that it does not ask for what is true."""
        self._messages: list[Envelope] = []

    def overheard(self, message: Envelope) -> None:
        """A poll or an announcement, as it came."""
        self._messages.append(message)

    def old_message(self) -> Envelope | None:
        """One of them, to be sent again by a stranger."""
        return self.world.random.choice(self._messages) if self._messages else None

    # -- answers ------------------------------------------------------------------------------------------

    def inbox(self, store: Store, player: str, answer: Envelope) -> Envelope:
        """What a machine's poll brings."""
        true = Inbox.model_validate_json(answer.payload)
        self._remember(true.entries)
        if not self._lies():
            return answer
        match self.world.random.randrange(12):
            case 3:
                self.world.note(f"lie to {player}: an inbox of another network")
                return seal_envelope(true.model_copy(update={"network": "elsewhere"}), SERVICE_KEY)
            case 0:
                self.world.note(f"lie to {player}: an inbox that is not signed by the service")
                return Envelope(answer.payload_type, answer.payload, ()).signed_by(LIARS_KEY)
            case 1:
                self.world.note(f"lie to {player}: the answer to another poll")
                forged = true.model_copy(update={"nonce": "ab" * 32, "entries": self._lie(true.entries)})
                return seal_envelope(forged, SERVICE_KEY)
            case 2:
                other = next(each for each in PLAYERS if each != player)
                self.world.note(f"lie to {player}: the inbox of {other}")
                forged = true.model_copy(update={"player": other, "entries": store.inbox(NETWORK, other, 0)})
                return seal_envelope(forged, SERVICE_KEY)
        return seal_envelope(true.model_copy(update={"entries": self._lie(true.entries)}), SERVICE_KEY)

    def view(self, store: Store, true: JobView) -> JobView:
        """What a client's poll brings."""
        self._remember(true.entries)
        if not self._lies(TO_CLIENT):
            return true
        match self.world.random.randrange(8):
            case 0:
                self.world.note("lie to the client: a job in another state")
                state = self.world.random.choice(("released", "failed", "running"))
                return JobView.model_validate(true.model_dump() | {"state": state})
            case 1:
                jobs = sorted({each.job for each in self.stock} - {true.job})
                if jobs:
                    other = self.world.random.choice(jobs)
                    self.world.note(f"lie to the client: the log of {other[:6]}")
                    return true.model_copy(update={"job": other, "entries": store.log(other)})
            case 2:
                jobs = sorted({each.job for each in self.stock} - {true.job})
                if jobs:
                    other = self.world.random.choice(jobs)
                    self.world.note(f"lie to the client: entries of {other[:6]}")
                    return true.model_copy(update={"entries": store.log(other)})
        return true.model_copy(update={"entries": self._lie(true.entries)})

    def network(self, true: NetworkView) -> NetworkView:
        """What a client reads before it writes a plan."""
        if not self._lies():
            return true
        match self.world.random.randrange(5):
            case 0:
                self.world.note("lie to the client: the agreement of impostors")
                return _impostors(true)
            case 1 if true.datasets:
                self.world.note("lie to the client: a dataset with other bounds")
                return self._other_item(true, "entry", "rows", 21)
            case 2 if true.datasets:
                self.world.note("lie to the client: a policy of another version")
                return self._other_item(true, "policy", "policy_version", 7)
            case 3 if true.datasets:
                self.world.note("lie to the client: a policy of another dataset")
                first, *others = true.datasets
                policy = others[-1].policy if others else first.policy
                return true.model_copy(
                    update={"datasets": (first.model_copy(update={"policy": policy}), *others)}
                )
            case _ if true.datasets:
                self.world.note("lie to the client: a dataset twice")
                return true.model_copy(update={"datasets": (*true.datasets, true.datasets[0])})
        return true

    def stream(self, blob: bytes) -> bytes:
        if not self._lies():
            return blob
        self.world.note("lie to the client: other bytes")
        return self.world.random.choice((blob[:-1] + bytes([blob[-1] ^ 1]), blob[:-1], blob.rstrip() or b"-"))

    def _other_item(self, true: NetworkView, which: str, field: str, value: object) -> NetworkView:
        first, *others = true.datasets
        edited = _edited(getattr(first, which), {field: value})
        return true.model_copy(update={"datasets": (first.model_copy(update={which: edited}), *others)})

    # -- entries ------------------------------------------------------------------------------------------

    def _lie(self, entries: Entries) -> Entries:
        lies: tuple[Callable[[Entries], Entries], ...] = (
            self._withheld,
            self._missing,
            self._replayed,
            self._swapped,
            self._relabelled,
            self._other_kind,
            self._edited,
            self._forged,
            self._forged,
            self._foreign,
            self._altered_plan,
            self._invented_plan,
        )
        return self.world.random.choice(lies)(entries)

    def _withheld(self, entries: Entries) -> Entries:
        self.world.note("lie: the newest entries are withheld")
        return entries[: self.world.random.randrange(len(entries) + 1)]

    def _missing(self, entries: Entries) -> Entries:
        if not entries:
            return entries
        left_out = self.world.random.randrange(len(entries))
        self.world.note(f"lie: {entries[left_out].kind} is left out")
        return entries[:left_out] + entries[left_out + 1 :]

    def _replayed(self, entries: Entries) -> Entries:
        if not self.stock:
            return entries
        job = self.world.random.choice(self.stock).job
        self.world.note(f"lie: all of {job[:6]} once more")
        again = (each for each in self.stock if each.job == job)
        return self._added(entries, again)

    def _swapped(self, entries: Entries) -> Entries:
        """What was said about one job, as if it were about another one."""
        jobs = sorted({each.job for each in self.stock})
        if len(jobs) < 2:
            return entries
        endings = [each for each in self.stock if each.kind in ENDINGS]
        one = self.world.random.choice(endings or self.stock)
        job = self.world.random.choice([each for each in jobs if each != one.job])
        self.world.note(f"lie: {one.kind} of {one.job[:6]} for {job[:6]}")
        return self._added(entries, [one.model_copy(update={"job": job})])

    def _relabelled(self, entries: Entries) -> Entries:
        """What one member said, in the name of another one."""
        one = self._from_a_player()
        if one is None:
            return entries
        name = parse_canonical(Envelope.from_bytes(one.envelope.encode()).payload)["player"]
        other = next(each for each in PLAYERS if each != name)
        self.world.note(f"lie: {one.kind} of {name} in the name of {other}")
        text = _edited(one.envelope, {"player": other})
        return self._added(entries, [one.model_copy(update={"envelope": text})])

    def _other_kind(self, entries: Entries) -> Entries:
        """A document as one of another kind, which it may well parse as."""
        said = [each for each in self.stock if each.kind is not Kind.PLAN]
        if not said:
            return entries
        failures = [each for each in said if each.kind is Kind.FAILURE]
        one = self.world.random.choice(failures or said)
        kind = Kind.REFUSAL if one.kind is Kind.FAILURE else self.world.random.choice(sorted(KINDS))
        self.world.note(f"lie: {one.kind} as {kind}")
        return self._added(entries, [one.model_copy(update={"kind": kind})])

    def _edited(self, entries: Entries) -> Entries:
        """A document with another content under its old signature."""
        one = self._from_a_player()
        if one is None:
            return entries
        match one.kind:
            case Kind.OFFER:
                change: dict[str, object] = {"job_key": LIARS_KEY.public, "address": "127.0.0.1:666"}
            case Kind.MANIFEST:
                change = {"sha256": "cd" * 32}
            case Kind.APPROVAL:
                change = {"policies": []}
            case _:
                change = {"message": "edited"}
        self.world.note(f"lie: {one.kind} edited")
        return self._added(entries, [one.model_copy(update={"envelope": _edited(one.envelope, change)})])

    def _forged(self, entries: Entries) -> Entries:
        """What a member never said, signed with the wrong key."""
        made = self.forgery()
        if made is None:
            return entries
        self.world.note(f"lie: {made.kind} of {made.job[:6]} forged")
        return self._added(entries, [made])

    def _foreign(self, entries: Entries) -> Entries:
        """What a member really signed, in another network that has the same members."""
        document = self._document(network="elsewhere")
        if document is None:
            return entries
        kind, said = document
        signer = getattr(said, "player", None) or getattr(said, "analyst", None) or "service"
        self.world.note(f"lie: {kind} of another network")
        text = seal_envelope(said, unsafe_key(signer)).to_bytes().decode()
        return self._added(entries, [Entry(position=1, job=said.plan, kind=kind, envelope=text)])

    def _altered_plan(self, entries: Entries) -> Entries:
        plans = [each for each in self.stock if each.kind is Kind.PLAN]
        if not plans:
            return entries
        one = self.world.random.choice(plans)
        body = parse_canonical(Envelope.from_bytes(one.envelope.encode()).payload)
        text = _edited(one.envelope, {"not_after": body["not_after"] + 1})
        job = hashlib.sha256(Envelope.from_bytes(text.encode()).payload).hexdigest()
        shown = self.world.random.choice((job, one.job))
        self.world.note(f"lie: the plan {one.job[:6]} altered, as {shown[:6]}")
        return self._added(entries, [one.model_copy(update={"envelope": text, "job": shown})])

    def _invented_plan(self, entries: Entries) -> Entries:
        """A plan of the liar's own, signed with its own key, and the approvals that it would need."""
        plan = asked(self.world.random, self.world.random.randrange(ASKED), self.world.now)
        envelope = signed_plan(plan, LIARS_KEY)
        job = hashlib.sha256(envelope.payload).hexdigest()
        self.world.note(f"lie: a plan {job[:6]} that nobody asked for")
        return self._added(
            entries, [Entry(position=1, job=job, kind=Kind.PLAN, envelope=envelope.to_bytes().decode())]
        )

    # -- makings ------------------------------------------------------------------------------------------

    def forgery(self) -> Entry | None:
        """A document of somebody else, signed with the liar's or the service's key, or not at all."""
        document = self._document(network=NETWORK)
        if document is None:
            return None
        kind, said = document
        # What the service may close, it may close with its key.
        is_own = kind is Kind.CLOSED
        keys = self.world.random.choice(((LIARS_KEY,), (), () if is_own else (SERVICE_KEY,)))
        envelope = seal_envelope(said, *keys)
        return Entry(position=1, job=said.plan, kind=kind, envelope=envelope.to_bytes().decode())

    def _document(self, network: str) -> tuple[Kind, Said] | None:
        jobs = sorted({each.job for each in self.stock})
        if not jobs:
            return None
        job, player = self.world.random.choice(jobs), self.world.random.choice(PLAYERS)
        return self.world.random.choice(_documents(network, job, player))

    def _from_a_player(self) -> Entry | None:
        kinds = (Kind.APPROVAL, Kind.OFFER, Kind.MANIFEST, Kind.FAILURE, Kind.REFUSAL)
        said = [each for each in self.stock if each.kind in kinds]
        return self.world.random.choice(said) if said else None

    def _added(self, entries: Entries, lies: Iterable[Entry]) -> Entries:
        """Lies among true entries. No further in the log than the truth: they must not hide it, mostly."""
        newest = max((each.position for each in entries), default=1)
        if self.world.chance(0.02):
            self.has_hidden = True
            newest += 1000
        made = tuple(each.model_copy(update={"position": newest}) for each in lies)
        return (*made, *entries) if self.world.chance(0.3) else (*entries, *made)

    def _remember(self, entries: Entries) -> None:
        known = {(each.job, each.position) for each in self.stock}
        self.stock += [each for each in entries if (each.job, each.position) not in known]
        del self.stock[:-MAX_STOCK]

    def _lies(self, factor: float = 1.0) -> bool:
        return self.world.chance(self.world.faults.lie * factor)


def _documents(network: str, job: str, player: str) -> tuple[tuple[Kind, Said], ...]:
    """What somebody might say about a job; approvals twice, they are worth the most."""
    about: dict[str, Any] = {"network": network, "plan": job}
    words: dict[str, Any] = {"kind": "PeerError", "code": "peer.forged", "message": "forged"}
    stream: dict[str, Any] = {"attempt": "0" * 32, "header": "", "sha256": "0" * 64, "bytes": 1}
    policies = tuple(
        ApprovedPolicy(dataset=each.name, owner=each.owner, policy_version=1)
        for each in placed(0).datasets
        if each.player == player
    )
    approval = Approval(**about, player=player, policies=policies)
    return (
        (Kind.APPROVAL, approval),
        (Kind.APPROVAL, approval),
        (Kind.OFFER, Offer(**about, player=player, job_key=LIARS_KEY.public, address="127.0.0.1:666")),
        (Kind.REFUSAL, Refusal(**about, player=player, **words)),
        (Kind.FAILURE, Failure(**about, player=player, **words)),
        (Kind.CANCEL, Cancel(**about, analyst=ANALYST)),
        (Kind.CLOSED, Closed(**about, code="peer.no-approval")),
        (Kind.MANIFEST, Manifest(**about, player=player, node=1, side=0, **stream)),
    )


def _impostors(true: NetworkView) -> NetworkView:
    """A network that is in order, but that of other owners under the same names."""
    items = [
        CatalogueItem(
            entry=signed_entry(name, IMPOSTOR).to_bytes().decode(),
            policy=signed_policy(name, 1, IMPOSTOR).to_bytes().decode(),
            is_online=True,
        )
        for name in entries()
    ]
    text = signed_agreement(IMPOSTOR).to_bytes().decode()
    return true.model_copy(update={"agreement": text, "datasets": tuple(items)})


def _edited(text: str, change: dict[str, object]) -> str:
    """An envelope's text with other values in its payload, under the old signatures."""
    envelope = Envelope.from_bytes(text.encode())
    body = parse_canonical(envelope.payload) | change
    return Envelope(envelope.payload_type, canonical(body), envelope.signatures).to_bytes().decode()
