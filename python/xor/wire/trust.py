"""Who must have signed what. The one place where an envelope becomes a document that may be believed.

Every reader of the control plane (client, service, machine) verifies every envelope here, against the
agreement that it has pinned. What the documents then mean together (has every player approved? is the
policy older than one seen before?) is the business of the state machines and the judge.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, TypeVar

from pydantic import BaseModel

from xor.errors import AuthError, UsageError
from xor.model.agreement import Agreement, Analyst, Owner, Player
from xor.model.dataset import DatasetEntry
from xor.plan.codec import PAYLOAD_TYPE as PLAN_TYPE
from xor.plan.codec import decode_plan, plan_hash
from xor.plan.placed import PlacedPlan
from xor.policy.document import Policy
from xor.signing import Envelope, decode, encode, parse_canonical
from xor.signing.dsse import Signature
from xor.wire.messages import (
    Announce,
    Approval,
    Cancel,
    Closed,
    Entry,
    Failure,
    Inbox,
    Kind,
    Login,
    Manifest,
    Offer,
    Poll,
    Refusal,
)

MAX_BYTES = 4 * 2**20
"""No signed document is longer; checked before anything is parsed."""

Document = TypeVar("Document", bound=BaseModel)
LogDocument = PlacedPlan | Approval | Refusal | Offer | Manifest | Failure | Cancel | Closed


def agreement_hash(agreement: Agreement) -> str:
    """The id of an agreement: SHA-256 of its canonical bytes, in hex. Machines and clients pin it."""
    return hashlib.sha256(encode(agreement)).hexdigest()


def open_agreement(envelope: Envelope, expected_hash: str | None = None) -> Agreement:
    """The agreement in the envelope, if all the owners that it names signed it.

    Args:
        expected_hash: the pinned id. Without one the caller decides whether to believe *these* owners:
            anybody can sign an agreement with himself.

    Raises:
        AuthError: it is not the pinned one, or an owner's signature is missing. UsageError: malformed.
    """
    _bounded(envelope)
    if expected_hash is not None and hashlib.sha256(envelope.payload).hexdigest() != expected_hash:
        raise AuthError(
            "the agreement is not the one that is pinned here",
            code="auth.other-agreement",
            hint="ask the owners which agreement is in force; pin it only when they say the same hash.",
        )
    agreement = decode(Agreement, envelope.payload)
    envelope.payload_signed_by(Agreement.payload_type, *(owner.key for owner in agreement.owners))
    return agreement


class Trust:
    """Opens envelopes under one pinned agreement.

    Every method raises AuthError if the signature of the responsible member is missing or wrong, the
    document is of another type, or of another network; UsageError if it is malformed.

    Security: the signer is the member that the document itself names in the role that its type demands
    (an approval: a player; a policy: an owner). The key id of the envelope decides nothing.
    """

    def __init__(self, agreement: Agreement) -> None:
        self.agreement = agreement
        self.hash = agreement_hash(agreement)
        self._owners = _keys(agreement.owners)
        self._players = _keys(agreement.players)
        self._analysts = _keys(agreement.analysts)

    def entry(self, envelope: Envelope) -> DatasetEntry:
        """A catalogue entry, signed by the owner that it names, hosted at a player of the network."""
        entry = self._signed(DatasetEntry, envelope, "owner", self._owners)
        if entry.player not in self._players:
            raise AuthError(f"no player '{entry.player}' in this network", code="auth.stranger")
        return entry

    def policy(self, envelope: Envelope) -> Policy:
        """A policy, signed by the owner that it names.

        That this is the owner of the dataset is checked by `policy.parse.in_force(policy, entry)`.
        """
        return self._signed(Policy, envelope, "owner", self._owners)

    def plan(self, envelope: Envelope) -> tuple[PlacedPlan, str]:
        """A plan, signed by its analyst under this very agreement, and its hash.

        Each dataset in it carries its owner's signature: an analyst cannot invent one, nor move it to a
        player of its choice. Which of two signed entries is the newer one, only its own machine knows.
        """
        payload = self._verified(PLAN_TYPE, envelope, "analyst", self._analysts)
        plan = decode_plan(payload)
        if plan.agreement != self.hash:
            raise _other_agreement("place the plan again.")
        for entry, signature in zip(plan.datasets, plan.signatures, strict=True):
            self._verify_entry(entry, signature)
        return plan, plan_hash(payload)

    def entry_signature(self, envelope: Envelope) -> bytes:
        """The owner's signature on a catalogue entry, as plans carry it.

        Raises:
            AuthError: the owner signed it otherwise than entries are written here.
        """
        entry = self.entry(envelope)
        for each in envelope.signatures:
            with suppress(AuthError):
                self._verify_entry(entry, each.signature)
                return each.signature
        raise AuthError(f"the entry of '{entry.name}' is not signed as it is read", code="auth.bad-signature")

    def _verify_entry(self, entry: DatasetEntry, signature: bytes) -> None:
        if entry.player not in self._players or entry.owner not in self._owners:
            raise AuthError(
                f"no player '{entry.player}' or owner '{entry.owner}' in this network", code="auth.stranger"
            )
        envelope = Envelope(DatasetEntry.payload_type, encode(entry), (Signature("", signature),))
        envelope.payload_signed_by(DatasetEntry.payload_type, self._owners[entry.owner])

    def approval(self, envelope: Envelope) -> Approval:
        return self._signed(Approval, envelope, "player", self._players)

    def refusal(self, envelope: Envelope) -> Refusal:
        return self._signed(Refusal, envelope, "player", self._players)

    def offer(self, envelope: Envelope) -> Offer:
        return self._signed(Offer, envelope, "player", self._players)

    def manifest(self, envelope: Envelope) -> Manifest:
        return self._signed(Manifest, envelope, "player", self._players)

    def failure(self, envelope: Envelope) -> Failure:
        return self._signed(Failure, envelope, "player", self._players)

    def cancel(self, envelope: Envelope) -> Cancel:
        """A cancellation by the analyst that it names; whether that is the plan's is for the caller."""
        return self._signed(Cancel, envelope, "analyst", self._analysts)

    def closed(self, envelope: Envelope) -> Closed:
        return self._by_service(Closed, envelope)

    def announce(self, envelope: Envelope) -> Announce:
        """A heartbeat; its time and nonce are for the caller to check."""
        return self._signed(Announce, envelope, "player", self._players)

    def poll(self, envelope: Envelope) -> Poll:
        """A machine's poll; its time and nonce are for the caller to check."""
        return self._signed(Poll, envelope, "player", self._players)

    def login(self, envelope: Envelope) -> Login:
        """An analyst's request for a token; its time and nonce are for the caller to check."""
        login = self._signed(Login, envelope, "analyst", self._analysts)
        if login.agreement != self.hash:
            raise _other_agreement("log in under the one in force: pin its hash in the profile.")
        return login

    def inbox(self, envelope: Envelope, nonce: str) -> Inbox:
        """The service's answer to the poll that carried `nonce`."""
        inbox = self._by_service(Inbox, envelope)
        if inbox.nonce != nonce:
            raise AuthError("the service answers another poll", code="auth.replayed")
        return inbox

    def read(self, entry: Entry) -> LogDocument:
        """The document of a log entry: of the kind that it says, about the job that it says."""
        envelope = Envelope.from_bytes(entry.envelope.encode())
        if entry.kind is Kind.PLAN:
            plan, job = self.plan(envelope)
            return self._about(entry, job, plan)
        document: LogDocument
        match entry.kind:
            case Kind.APPROVAL:
                document = self.approval(envelope)
            case Kind.REFUSAL:
                document = self.refusal(envelope)
            case Kind.OFFER:
                document = self.offer(envelope)
            case Kind.MANIFEST:
                document = self.manifest(envelope)
            case Kind.FAILURE:
                document = self.failure(envelope)
            case Kind.CANCEL:
                document = self.cancel(envelope)
            case Kind.CLOSED:
                document = self.closed(envelope)
        return self._about(entry, document.plan, document)

    def _about(self, entry: Entry, job: str, document: LogDocument) -> LogDocument:
        if job != entry.job:
            raise AuthError("an entry of the log is about another job", code="auth.other-job")
        return document

    def _signed(
        self, cls: type[Document], envelope: Envelope, role: str, keys: Mapping[str, str]
    ) -> Document:
        return decode(cls, self._verified(_type_of(cls), envelope, role, keys))

    def _by_service(self, cls: type[Document], envelope: Envelope) -> Document:
        _bounded(envelope)
        payload = envelope.payload_signed_by(_type_of(cls), self.agreement.service_key)
        self._of_this_network(parse_canonical(payload))
        return decode(cls, payload)

    def _verified(self, payload_type: str, envelope: Envelope, role: str, keys: Mapping[str, str]) -> bytes:
        """The payload, signed by the member that its field `role` names; nothing else is read before."""
        _bounded(envelope)
        body = parse_canonical(envelope.payload)
        self._of_this_network(body)
        claimed = body.get(role)
        if not isinstance(claimed, str) or claimed not in keys:
            raise AuthError(
                f"a signed document names no {role} of network '{self.agreement.network}'",
                code="auth.stranger",
                hint=f"{role}s are: {', '.join(keys)}.",
            )
        return envelope.payload_signed_by(payload_type, keys[claimed])

    def _of_this_network(self, body: Any) -> None:
        if not isinstance(body, dict):
            raise UsageError("a signed document is no object", code="usage.bad-document")
        if body.get("network") != self.agreement.network:
            raise AuthError(
                f"a signed document is not of network '{self.agreement.network}'", code="auth.other-network"
            )


def _keys(members: Iterable[Owner | Player | Analyst]) -> Mapping[str, str]:
    return {member.name: member.key for member in members}


def _bounded(envelope: Envelope) -> None:
    if len(envelope.payload) > MAX_BYTES:
        raise UsageError("a signed document is too long", code="usage.bad-document")


def _type_of(cls: type[BaseModel]) -> str:
    payload_type: str = cls.payload_type  # type: ignore[attr-defined]
    return payload_type


def _other_agreement(hint: str) -> AuthError:
    return AuthError("this was made under another agreement", code="auth.other-agreement", hint=hint)
