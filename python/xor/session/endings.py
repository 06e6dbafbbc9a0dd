"""How a job can end badly, as errors for the analyst."""

from collections.abc import Iterable

from xor.errors import PeerError, PolicyDenied, XorError, plain, rebuild
from xor.wire.messages import Closed, Failure, Refusal


def no_answer(job: str) -> PeerError:
    return PeerError(
        "the service no longer answers",
        code="peer.unreachable",
        hint=f"the job may go on without you; client.job('{job}') finds it later.",
        job_id=job,
    )


def no_proof(state: str, job: str) -> PeerError:
    return PeerError(
        f"the service says that the job is {state}, but shows no proof of it",
        code="peer.no-proof",
        hint="ask its operator.",
        job_id=job,
    )


def timed_out(awaited: str, step: str, job: str) -> PeerError:
    return PeerError(
        f"gave up waiting for {awaited} ({step})",
        code="peer.timeout",
        hint="is that machine up? A longer timeout_s waits longer.",
        job_id=job,
    )


def closed(document: Closed, awaited: Iterable[str], job: str) -> PeerError:
    """What the service signed when it gave up."""
    return PeerError(
        f"the service gave up waiting for {listed(document.waiting_for or awaited)}",
        code=document.code if document.code.startswith("peer.") else "peer.timeout",
        hint="is that machine up? Run it again when it is.",
        job_id=job,
    )


def refused(document: Refusal, job: str) -> XorError:
    """What a machine signed when it refused."""
    if document.kind != PolicyDenied.__name__:
        return _rebuilt(document, job)
    return PolicyDenied(
        plain(document.message),
        violations=[plain(each) for each in document.violations],
        grant=plain(document.grant) if document.grant else None,
        code=plain(document.code),
        hint=plain(document.hint) if document.hint else None,
        job_id=job,
        player=document.player,
    )


def failed(document: Failure, job: str) -> XorError:
    """What a machine signed when the job ended there."""
    return _rebuilt(document, job)


def listed(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in names) or "nobody"


def _rebuilt(document: Refusal | Failure, job: str) -> XorError:
    hint = plain(document.hint) if document.hint else None
    error = rebuild(document.kind, plain(document.code), plain(document.message), hint, document.player)
    error.job_id = job
    return error
