"""From an entry of the service's log to the payload that a member signed, or an error."""

from xor.errors import AuthError, UsageError, XorError
from xor.plan.codec import PAYLOAD_TYPE, plan_hash
from xor.signing import Envelope, parse_canonical
from xor.wire.messages import Entry, Kind
from xor.wire.trust import Trust


def verified_payload(trust: Trust, entry: Entry) -> str:
    """The payload of an entry, signed by whom it should be and about the job that it says.

    A plan that is signed by its analyst but malformed, of another version or under another agreement is
    returned too: the machine refuses it with the reason, rather than not at all.

    Raises:
        AuthError, UsageError: nobody who may say this has said it.
    """
    envelope = Envelope.from_bytes(entry.envelope.encode())
    try:
        trust.read(entry)
    except XorError as error:
        is_refusable = isinstance(error, UsageError) or error.code == "auth.other-agreement"
        if entry.kind is not Kind.PLAN or not is_refusable:
            raise
        _check_signed_plan(trust, entry, envelope)
    return envelope.payload.decode()


def _check_signed_plan(trust: Trust, entry: Entry, envelope: Envelope) -> None:
    body = parse_canonical(envelope.payload)
    name = body.get("analyst") if isinstance(body, dict) else None
    payload = envelope.payload_signed_by(PAYLOAD_TYPE, trust.agreement.analyst(str(name)).key)
    if plan_hash(payload) != entry.job:
        raise AuthError("an entry of the log is about another job", code="auth.other-job")
