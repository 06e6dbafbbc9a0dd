"""An envelope becomes a document only under the signature of the member who is responsible for it."""

from dataclasses import replace

import pytest

from xor.errors import AuthError, UsageError
from xor.owner import countersign, sign_agreement, sign_entry, sign_policy
from xor.plan.codec import PAYLOAD_TYPE, encode_plan, plan_hash
from xor.policy.document import Policy
from xor.signing import Envelope, SigningKey, encode, seal_envelope
from xor.testing.three_banks import (
    ENTRIES,
    NETWORK,
    OWNERS,
    agreement,
    one_direction,
    placed,
    scan,
    unsafe_key,
)
from xor.wire.messages import (
    Approval,
    Cancel,
    Closed,
    Entry,
    Failure,
    Inbox,
    Kind,
    Manifest,
    Offer,
    Refusal,
)
from xor.wire.trust import MAX_BYTES, Trust, agreement_hash, open_agreement

PLAN = "a" * 64
STRANGER = SigningKey(b"\x07" * 32)
FROM_PLAYER = {"network": NETWORK, "plan": PLAN, "player": "player-1"}
SAID = {"kind": "PeerError", "code": "peer.interrupted", "message": "it ended"}
MESSAGES = {
    Kind.APPROVAL: Approval(**FROM_PLAYER, policies=()),
    Kind.REFUSAL: Refusal(**FROM_PLAYER, **SAID),
    Kind.OFFER: Offer(**FROM_PLAYER, job_key="b" * 64),
    Kind.MANIFEST: Manifest(
        **FROM_PLAYER, node=1, side=0, attempt="c" * 32, header="", sha256="d" * 64, bytes=1
    ),
    Kind.FAILURE: Failure(**FROM_PLAYER, **SAID),
    Kind.CANCEL: Cancel(network=NETWORK, plan=PLAN, analyst="fraud-desk"),
    Kind.CLOSED: Closed(network=NETWORK, plan=PLAN, code="job.expired"),
}
SIGNERS = {Kind.CANCEL: "fraud-desk", Kind.CLOSED: "service"}
POLICY = Policy(
    network=NETWORK, owner="bank-c", dataset="accounts_c", policy_version=1, text="policy: accounts_c"
)


@pytest.fixture
def trust():
    return Trust(agreement())


def signed_plan(*keys, plan=None):
    envelope = Envelope(PAYLOAD_TYPE, encode_plan(plan or placed(one_direction())), ())
    for key in keys:
        envelope = envelope.signed_by(key)
    return envelope


def logged(kind, document, key):
    envelope = seal_envelope(document, key).to_bytes().decode()
    return Entry(position=1, job=PLAN, kind=kind, envelope=envelope)


@pytest.mark.parametrize("kind", MESSAGES)
def test_an_entry_of_the_log_is_read_under_its_signers_key(trust, kind):
    document = MESSAGES[kind]
    assert trust.read(logged(kind, document, unsafe_key(SIGNERS.get(kind, "player-1")))) == document


@pytest.mark.parametrize("kind", MESSAGES)
@pytest.mark.parametrize("signer", ["stranger", "player-0", "bank-c", "auditors"])
def test_a_signature_of_anybody_else_is_refused(trust, kind, signer):
    key = STRANGER if signer == "stranger" else unsafe_key(signer)
    with pytest.raises(AuthError) as raised:
        trust.read(logged(kind, MESSAGES[kind], key))
    assert raised.value.code == "auth.bad-signature"


@pytest.mark.parametrize("kind", MESSAGES)
def test_an_entry_about_another_job_is_refused(trust, kind):
    entry = logged(kind, MESSAGES[kind], unsafe_key(SIGNERS.get(kind, "player-1")))
    with pytest.raises(AuthError, match="another job"):
        trust.read(entry.model_copy(update={"job": "b" * 64}))


@pytest.mark.parametrize("kind", MESSAGES)
def test_a_document_of_another_network_is_refused(trust, kind):
    other = MESSAGES[kind].model_copy(update={"network": "other"})
    with pytest.raises(AuthError) as raised:
        trust.read(logged(kind, other, unsafe_key(SIGNERS.get(kind, "player-1"))))
    assert raised.value.code == "auth.other-network"


@pytest.mark.parametrize("kind", MESSAGES)
def test_a_document_never_passes_as_one_of_another_type(trust, kind):
    entry = logged(kind, MESSAGES[kind], unsafe_key(SIGNERS.get(kind, "player-1")))
    for other in set(Kind) - {kind}:
        with pytest.raises((AuthError, UsageError)):
            trust.read(entry.model_copy(update={"kind": other}))


def test_the_type_is_covered_by_the_signature(trust):
    failure = seal_envelope(MESSAGES[Kind.FAILURE], unsafe_key("player-1"))
    swapped = Envelope(Refusal.payload_type, failure.payload, failure.signatures)
    with pytest.raises(AuthError):
        trust.refusal(swapped)


def test_a_changed_byte_is_refused(trust):
    envelope = seal_envelope(MESSAGES[Kind.APPROVAL], unsafe_key("player-1"))
    payload = envelope.payload.replace(PLAN.encode(), b"b" * 64)
    with pytest.raises(AuthError):
        trust.approval(Envelope(envelope.payload_type, payload, envelope.signatures))


def test_a_plan_is_opened_with_its_hash(trust):
    plan = placed(one_direction())
    assert trust.plan(signed_plan(unsafe_key("fraud-desk"))) == (plan, plan_hash(encode_plan(plan)))


@pytest.mark.parametrize("signer", ["auditors", "player-0", "service"])
def test_a_plan_is_signed_by_the_analyst_that_it_names(trust, signer):
    with pytest.raises(AuthError):
        trust.plan(signed_plan(unsafe_key(signer)))


@pytest.mark.parametrize(
    "invented",
    [
        {"player": "player-1"},
        {"owner": "bank-c"},
        {"rows": 5},
        {"unique": (("account",), ("zip",))},
    ],
)
def test_every_dataset_of_a_plan_is_signed_by_its_owner(trust, invented):
    """Policies of others speak of it by its name: an analyst must not say what and where it is."""
    genuine = placed(scan("accounts_b"))
    forged = replace(placed(scan("accounts_b", **invented)), signatures=genuine.signatures)
    for plan in (forged, replace(forged, signatures=(b"",))):
        with pytest.raises(AuthError) as caught:
            trust.plan(Envelope(PAYLOAD_TYPE, encode_plan(plan), ()).signed_by(unsafe_key("fraud-desk")))
        assert caught.value.code == "auth.bad-signature"


def test_signatures_of_datasets_are_not_exchanged(trust):
    plan = placed(one_direction())
    turned = replace(plan, signatures=(*plan.signatures[1:], plan.signatures[0]))
    with pytest.raises(AuthError):
        trust.plan(Envelope(PAYLOAD_TYPE, encode_plan(turned), ()).signed_by(unsafe_key("fraud-desk")))


def test_an_entrys_signature_is_found_among_others(trust):
    entry = ENTRIES["accounts_b"]
    envelope = seal_envelope(entry, STRANGER, unsafe_key("bank-b"))
    assert trust.entry_signature(envelope) == envelope.signatures[1].signature
    with pytest.raises(AuthError):
        trust.entry_signature(seal_envelope(entry, STRANGER))


def test_a_plan_of_an_unknown_analyst_is_refused(trust):
    document = encode_plan(placed(one_direction())).replace(b'"analyst":"fraud-desk"', b'"analyst":"mallory"')
    with pytest.raises(AuthError, match="names no analyst"):
        trust.plan(Envelope(PAYLOAD_TYPE, document, ()).signed_by(STRANGER))


def test_a_plan_under_another_agreement_is_refused():
    other = agreement().model_copy(update={"not_after": agreement().not_after + 1})
    with pytest.raises(AuthError) as raised:
        Trust(other).plan(signed_plan(unsafe_key("fraud-desk")))
    assert raised.value.code == "auth.other-agreement"


def test_nothing_unsigned_is_parsed_beyond_its_signers_name(trust):
    payload = b'{"analyst":"fraud-desk","network":"two-parties"}'
    with pytest.raises(AuthError):
        trust.plan(Envelope(PAYLOAD_TYPE, payload, ()).signed_by(STRANGER))


@pytest.mark.parametrize(
    "payload",
    [b"", b"[]", b"1", b"null", b'{"network":"two-parties","player":["x"]}', b"{}", b"\xff"],
)
def test_garbage_is_a_typed_error(trust, payload):
    with pytest.raises((AuthError, UsageError)):
        trust.approval(Envelope(Approval.payload_type, payload, ()))


def test_an_endless_document_is_refused_unparsed(trust):
    with pytest.raises(UsageError, match="too long"):
        trust.approval(Envelope(Approval.payload_type, b" " * (MAX_BYTES + 1), ()))


def test_an_entry_and_a_policy_need_the_owners_signature(trust):
    entry = ENTRIES["accounts_c"]
    assert trust.entry(sign_entry(entry, unsafe_key("bank-c"))) == entry
    assert trust.policy(seal_envelope(POLICY, unsafe_key("bank-c"))) == POLICY
    for key in (unsafe_key("bank-a"), unsafe_key("player-1"), STRANGER):
        with pytest.raises(AuthError):
            trust.entry(sign_entry(entry, key))
        with pytest.raises(AuthError):
            trust.policy(seal_envelope(POLICY, key))


def test_an_entry_at_an_unknown_player_is_refused(trust):
    entry = ENTRIES["accounts_c"].model_copy(update={"player": "player-9"})
    with pytest.raises(AuthError, match="player-9"):
        trust.entry(sign_entry(entry, unsafe_key("bank-c")))


def test_an_inbox_answers_one_poll(trust):
    inbox = Inbox(network=NETWORK, player="player-1", nonce="1" * 64, entries=())
    envelope = seal_envelope(inbox, unsafe_key("service"))
    assert trust.inbox(envelope, "1" * 64) == inbox
    with pytest.raises(AuthError) as raised:
        trust.inbox(envelope, "2" * 64)
    assert raised.value.code == "auth.replayed"


def test_an_agreement_needs_all_its_owners():
    keys = [unsafe_key(name) for name in OWNERS]
    envelope = sign_agreement(agreement(), *keys[:2])
    with pytest.raises(AuthError):
        open_agreement(envelope)
    envelope = countersign(envelope, keys[2])
    assert open_agreement(envelope, agreement_hash(agreement())) == agreement()


def test_an_agreement_is_the_pinned_one():
    envelope = sign_agreement(agreement(), *(unsafe_key(name) for name in OWNERS))
    with pytest.raises(AuthError) as raised:
        open_agreement(envelope, "0" * 64)
    assert raised.value.code == "auth.other-agreement"


def test_only_owners_countersign_and_only_agreements():
    envelope = sign_agreement(agreement())
    with pytest.raises(AuthError, match="none of the owners"):
        countersign(envelope, unsafe_key("player-0"))
    with pytest.raises(AuthError, match="none of its owners"):
        countersign(envelope.signed_by(STRANGER), unsafe_key("bank-a"))
    with pytest.raises(UsageError):
        countersign(Envelope(Policy.payload_type, encode(POLICY), ()), unsafe_key("bank-a"))


def test_an_owner_cannot_sign_what_could_not_be_kept():
    binding = {"network": NETWORK, "owner": "bank-c", "dataset": "accounts_c", "policy_version": 1}
    head = "policy: accounts_c\nvalid: 2026-11-01 to 2026-12-01\n"
    key, entry = unsafe_key("bank-c"), ENTRIES["accounts_c"]
    with pytest.raises(UsageError) as raised:
        sign_policy(f"{head}never: [name]", **binding, key=key)
    assert raised.value.code == "policy.not-built"
    with pytest.raises(UsageError) as raised:
        sign_policy(head, **{**binding, "dataset": "accounts_b"}, key=key)
    assert raised.value.code == "policy.other-dataset"
    with pytest.raises(UsageError, match="'acount'") as raised:
        sign_policy(f"{head}reveal to fraud-desk: {{rows: [acount]}}", **binding, key=key, entry=entry)
    assert "did you mean 'account'" in (raised.value.hint or "")
    assert Trust(agreement()).policy(sign_policy(head, **binding, key=key, entry=entry)).text == head
