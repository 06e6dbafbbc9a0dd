"""What the judge answers, and how a person reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from xor.errors import PolicyDenied, ResourceError
from xor.model.disclosure import Disclosure
from xor.policy.grant import Grant, grant_text, merge
from xor.policy.tree import words

DENIED = "policy.denied"
MAX_VIOLATIONS = 100
MAX_HINT = 2000
MAX_GRANT = 4000
"""Characters; a longer grant is no small one, and is left to `Decision.grants`."""
MAX_TEXT = 500
"""Characters of one violation in a refusal."""


class Approved(NamedTuple):
    """Under which policy a machine approves."""

    dataset: str
    owner: str
    policy_version: int


@dataclass(frozen=True)
class Violation:
    """One reason to refuse.

    Args:
        reason: what would happen and what is allowed instead.
        code: `policy.denied` where a clause denies, else what is wrong with the plan.
        clause: the word of the clause, if one decided.
        disclosure: what would be disclosed, if that is the reason.
        grant: the least addition to the policy of `dataset` that would allow it; None if no grant can.
        remedy: what the analyst can do instead.
        drop: columns of the result without which there is no such disclosure.
    """

    reason: str
    code: str = DENIED
    dataset: str | None = None
    owner: str | None = None
    clause: str | None = None
    disclosure: Disclosure | None = None
    grant: Grant | None = None
    remedy: str | None = None
    drop: tuple[str, ...] = ()

    @property
    def node(self) -> int | None:
        return self.disclosure.node if self.disclosure else None

    @property
    def where(self) -> str:
        """`step 4 (sealed join of player-0 and player-1)`; empty if it is about the whole plan."""
        if self.disclosure is None:
            return ""
        return f"step {self.disclosure.node} ({self.disclosure.where or self.disclosure.subject.value})"

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}." if self.where else f"{self.reason}."


@dataclass(frozen=True)
class Decision:
    """The judge's answer about one plan.

    Args:
        plan: hash of the plan that was judged.
        guesses: (dataset, amount) to spend durably before the run.
        approved: the policies under which the plan is allowed.
    """

    plan: str
    violations: tuple[Violation, ...]
    guesses: tuple[tuple[str, int], ...] = ()
    approved: tuple[Approved, ...] = ()

    @property
    def is_allowed(self) -> bool:
        return not self.violations

    @property
    def grants(self) -> Mapping[str, str]:
        """For each dataset the smallest grant, as policy text; merged by `policy.parse.with_grant`."""
        merged: dict[str, Grant] = {}
        for each in self.violations:
            if each.dataset is not None and each.grant is not None:
                merged[each.dataset] = merge(merged.get(each.dataset, {}), each.grant)
        return {dataset: grant_text(grant) for dataset, grant in merged.items()}

    @property
    def grant(self) -> str | None:
        """All grants in one text; a comment names the dataset where there are several."""
        if not self.grants or any(each.grant is None for each in self.violations):
            return None
        if len(self.grants) == 1:
            return next(iter(self.grants.values()))
        return "".join(f"\n# in the policy of {dataset}:\n{text}" for dataset, text in self.grants.items())

    def to_error(self, player: str | None = None) -> PolicyDenied | ResourceError:
        """The refusal as an error that helps: who refuses which plan where, why, and what would allow it.

        A plan that is too large for a machine is refused by no owner: that is a ResourceError.
        """
        codes = {each.code for each in self.violations}
        if codes and all(code.startswith("resource.") for code in codes):
            return self._want(player)
        places = {each.where for each in self.violations}
        place = next(iter(places)) if len(places) == 1 else ""
        said = (_cut(f"{each.reason}." if place else str(each)) for each in self.violations)
        texts = list(dict.fromkeys(said))
        if len(texts) > MAX_VIOLATIONS:
            texts[MAX_VIOLATIONS:] = [f"… and {len(texts) - MAX_VIOLATIONS} more."]
        owners = sorted({each.owner for each in self.violations if each.owner})
        who = f"{words(owners)} refuse{'s' * (len(owners) == 1)}" if owners else "the network refuses"
        return PolicyDenied(
            f"{who} plan {self.plan[:4]}…{f' at {place}' if place else ''}.",
            code=codes.pop() if len(codes) == 1 else DENIED,
            violations=texts,
            grant=self._small_grant(),
            hint=self._hint(),
            job_id=self.plan,
            player=player,
        )

    def _want(self, player: str | None) -> ResourceError:
        first = self.violations[0]
        message = "; and ".join(each.reason for each in self.violations)
        return ResourceError(
            _cut(message), code=first.code, hint=self._hint(), job_id=self.plan, player=player
        )

    def _small_grant(self) -> str | None:
        """The grant, unless it is too long to be read with a refusal; then it is not even written."""
        if len(self.violations) > MAX_VIOLATIONS:
            return None
        if sum(_characters(each.grant) for each in self.violations) > MAX_VIOLATIONS * MAX_GRANT:
            return None
        grant = self.grant
        return grant if grant and len(grant) <= MAX_GRANT else None

    def _hint(self) -> str | None:
        """What the analyst can do without asking an owner."""
        remedies = list(dict.fromkeys(each.remedy for each in self.violations if each.remedy))
        drop = list(dict.fromkeys(name for each in self.violations for name in each.drop))
        if drop:
            names = ", ".join(repr(name) for name in drop)
            remedies.append(f"drop the column{'s' * (len(drop) != 1)}:  frame.drop({names})")
        return "; and ".join(remedies)[:MAX_HINT] or None


def _cut(text: str) -> str:
    return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 2]} …"


def _characters(grant: Any) -> int:
    """About how long the texts in a grant are."""
    if isinstance(grant, Mapping):
        return sum(len(key) + _characters(value) for key, value in grant.items())
    return sum(map(_characters, grant)) if isinstance(grant, list) else len(str(grant))
