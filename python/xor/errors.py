"""Errors, grouped by who can fix them.

Every error has a stable code (`schema.unknown-column`), a message and usually a hint. None of them ever
carries a value of a dataset or key material: they end up in logs, in notebooks and at the service.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Sequence
from pathlib import Path

_PACKAGE = str(Path(__file__).parent) + os.sep


def plain(text: object) -> str:
    """Text without control characters, which could rewrite a terminal."""
    return "".join(
        each if each.isprintable() or each == "\n" else "\N{REPLACEMENT CHARACTER}" for each in str(text)
    )


class XorError(Exception):
    """Base of all errors that this package raises on purpose.

    Args:
        message: what went wrong, in one sentence, with names but never with values.
        code: stable identifier `area.reason`; listed in docs/errors.md.
        hint: what the reader can do about it.
        job_id: the job concerned, if any.
        player: the player that reports it, if any.
    """

    default_code = "internal.unexpected"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        hint: str | None = None,
        job_id: str | None = None,
        player: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.hint = hint
        self.job_id = job_id
        self.player = player

    def __str__(self) -> str:
        where = f" ({self.player})" if self.player else ""
        text = f"[{self.code}]{where}: {self.message}"
        return f"{text}\n  hint: {self.hint}" if self.hint else text

    def _render_traceback_(self) -> list[str]:
        """What notebooks show: the line that led here and what is wrong, none of our frames."""
        frames = traceback.extract_tb(self.__traceback__)
        depth = next((at for at, each in enumerate(frames) if each.filename.startswith(_PACKAGE)), 0)
        where = [f"line {each.lineno}:  {plain(each.line)}" for each in frames[:depth][-1:]]
        return [*where, *[""] * bool(where), f"{type(self).__name__} {plain(self)}"]


class UsageError(XorError, ValueError):
    """The call is wrong; the caller can fix it."""

    default_code = "usage.invalid"


class SchemaError(UsageError):
    """A column or a type does not fit; raised when a frame is built."""

    default_code = "schema.invalid"


class PlanError(UsageError):
    """The plan cannot be run as asked, or uses what is not built yet."""

    default_code = "plan.invalid"


class AuthError(XorError):
    """A credential or a signature is missing, wrong or expired."""

    default_code = "auth.refused"


class PolicyDenied(XorError):
    """An owner's policy does not allow the plan.

    `violations` are texts that name step, disclosure and clause; `grant` is the smallest grant that
    would allow the plan, in the words of the policy file, if there is one.
    """

    default_code = "policy.denied"

    def __init__(
        self,
        message: str,
        *,
        violations: Sequence[str] = (),
        grant: str | None = None,
        code: str | None = None,
        hint: str | None = None,
        job_id: str | None = None,
        player: str | None = None,
    ) -> None:
        super().__init__(message, code=code, hint=hint, job_id=job_id, player=player)
        self.violations = tuple(violations)
        self.grant = grant

    def __str__(self) -> str:
        lines = [super().__str__(), *(f"  {violation}" for violation in self.violations)]
        if self.grant:
            lines.append(f"  smallest grant that would allow it:  {self.grant}")
        return "\n".join(lines)


class PeerError(XorError):
    """The service or another machine is absent, stalls or broke off; trying again may help."""

    default_code = "peer.unreachable"


class ProtocolAbort(XorError):
    """A check of a cryptographic protocol failed; never retried by itself."""

    default_code = "protocol.abort"


class ResourceError(XorError):
    """A stated bound of memory, disk, time, rows or guesses would be exceeded."""

    default_code = "resource.exceeded"


class DataError(XorError):
    """A dataset's source cannot be read as declared; its owner can fix it."""

    default_code = "data.unreadable"


class InternalError(XorError):
    """A bug of ours; the code names the incident."""

    default_code = "internal.unexpected"

    def _render_traceback_(self) -> list[str]:
        return traceback.format_exception(self)


ERRORS: dict[str, type[XorError]] = {
    cls.__name__: cls
    for cls in (
        UsageError,
        SchemaError,
        PlanError,
        AuthError,
        PolicyDenied,
        PeerError,
        ProtocolAbort,
        ResourceError,
        DataError,
        InternalError,
    )
}
"""Every class by its name, for errors that come back from a worker or over the wire."""


def rebuild(
    kind: str, code: str, message: str, hint: str | None = None, player: str | None = None
) -> XorError:
    """The error that another process reported, as an object of its own class (InternalError if unknown)."""
    return ERRORS.get(kind, InternalError)(message, code=code, hint=hint, player=player)
