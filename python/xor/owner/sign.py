"""Signing what binds an owner. Whatever could not be kept is refused here, before there is a signature."""

from __future__ import annotations

from xor.errors import AuthError, UsageError
from xor.model.agreement import Agreement
from xor.model.dataset import DatasetEntry
from xor.policy.document import Policy
from xor.policy.parse import check_fits, parse
from xor.signing import Envelope, SigningKey, decode, seal_envelope
from xor.signing.dsse import pre_authentication
from xor.signing.keys import verify


def sign_policy(
    text: str,
    *,
    network: str,
    owner: str,
    dataset: str,
    policy_version: int,
    key: SigningKey,
    entry: DatasetEntry | None = None,
) -> Envelope:
    """The policy's text, verbatim, signed as version `policy_version` for one dataset of one network.

    Args:
        policy_version: higher than every one signed before; machines take no lower one.
        entry: the dataset, if at hand: then the columns that the policy names are checked too.

    Raises:
        UsageError: the text is no policy, says what is not built, or speaks of another dataset.
    """
    columns = tuple(column.name for column in entry.columns) if entry else None
    check_fits(parse(text), dataset, columns)
    policy = Policy(network=network, owner=owner, dataset=dataset, policy_version=policy_version, text=text)
    return seal_envelope(policy, key)


def sign_entry(entry: DatasetEntry, key: SigningKey) -> Envelope:
    """A catalogue entry, signed by its owner."""
    return seal_envelope(entry, key)


def sign_agreement(agreement: Agreement, *keys: SigningKey) -> Envelope:
    """An agreement with the signatures of some of its owners; the others `countersign`.

    Raises:
        AuthError: a key is none of its owners'.
    """
    envelope = seal_envelope(agreement)
    for key in keys:
        envelope = countersign(envelope, key)
    return envelope


def countersign(envelope: Envelope, key: SigningKey) -> Envelope:
    """The same bytes with one owner's signature more. The owner has read them: `agreement_hash` names them.

    Raises:
        UsageError: it is no agreement. AuthError: the key is none of its owners', or a signature there is of
            somebody who is none.
    """
    if envelope.payload_type != Agreement.payload_type:
        raise UsageError("only an agreement is countersigned", code="usage.bad-document")
    agreement = decode(Agreement, envelope.payload)
    keys = [owner.key for owner in agreement.owners]
    if key.public not in keys:
        raise AuthError(
            f"the key is none of the owners' of network '{agreement.network}'",
            code="auth.stranger",
            hint="use the owner's own key file; its public key must stand in the agreement.",
        )
    message = pre_authentication(envelope.payload_type, envelope.payload)
    if not all(any(verify(each, message, made.signature) for each in keys) for made in envelope.signatures):
        raise AuthError("the agreement carries a signature of none of its owners", code="auth.bad-signature")
    return envelope.signed_by(key)
