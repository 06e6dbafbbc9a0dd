"""The clauses that a policy can have, one file each."""

from __future__ import annotations

from xor.policy.clause import Clause
from xor.policy.clauses.approve import ApproveClause
from xor.policy.clauses.join import JoinClause
from xor.policy.clauses.learn import LearnClause
from xor.policy.clauses.leaves import LeavesClause
from xor.policy.clauses.protection import ProtectionClause
from xor.policy.clauses.purpose import PurposeClause
from xor.policy.clauses.reveal import RevealClause
from xor.policy.clauses.title import TitleClause
from xor.policy.clauses.valid import ValidClause
from xor.policy.clauses.zone import ZoneClause

CLAUSES: tuple[type[Clause], ...] = (
    TitleClause,
    PurposeClause,
    ValidClause,
    ZoneClause,
    LeavesClause,
    ProtectionClause,
    JoinClause,
    RevealClause,
    LearnClause,
    ApproveClause,
)
"""In the order in which a policy is written and read."""

NOT_BUILT: dict[str, str] = {
    "subject": "remove it: subjects are counted for group sizes and noise only, and neither is built.",
    "never": "remove it: a column that 'reveal' and 'join' do not name reaches nobody.",
    "train": "remove it: no model can be trained in this version.",
    "keep": "remove it: no result is kept in this version.",
    "budget": "remove it: limit 'guesses' in 'join' and keep 'valid' short.",
    "groups": "remove it: a group size cannot be kept where rows are revealed; grant no rows instead.",
    "aggregates": "remove it: this version reveals rows or nothing.",
    "fuzzy": "remove it: joins are exact.",
    "dealer": "write 'no dealer' in 'protection'.",
}
"""Clauses that governance names and this version refuses: nothing would keep them. Name -> what to do."""
