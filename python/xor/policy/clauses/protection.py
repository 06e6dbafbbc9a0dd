"""`protection: malicious, no dealer` — against whom cryptography must hold, and what may replace hardware."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from xor.model.disclosure import Disclosure, Subject
from xor.policy.clause import Clause, Context, Day, Entries, Verdict, not_built, unknown
from xor.policy.grant import Grant
from xor.policy.tree import Node, Text, refusal, table_of, text_of, words

MALICIOUS, NO_DEALER, SIMULATED = "malicious", "no dealer", "simulated clean room"
UNSAID_REASON = "say here why this is acceptable"
_PARTS = ("adversary", "dealer", SIMULATED)


@dataclass(frozen=True, slots=True)
class Simulation:
    """Until the end of which UTC day, and why, a clean room without hardware protection is good enough."""

    until: Day
    reason: str


@dataclass(frozen=True)
class ProtectionClause(Clause):
    """`malicious`: checks against cheating are on. A simulated clean room has NO HARDWARE PROTECTION."""

    word: ClassVar[str] = "protection"
    example: ClassVar[str] = (
        "protection: {adversary: malicious, dealer: none, "
        "simulated clean room: {until: 2027-01-01, reason: demo without hardware}}"
    )
    subjects: ClassVar[frozenset[Subject]] = frozenset({Subject.PROTECTION})

    is_malicious: bool = False
    simulation: Simulation | None = None

    @classmethod
    def parse(cls, entries: Entries) -> Self:
        if not entries:
            return cls()
        node = entries[0][1]
        return cls._parse_short(node) if isinstance(node, Text) else cls._parse_table(node)

    @classmethod
    def _parse_short(cls, node: Text) -> Self:
        """`malicious, no dealer`: the form without exceptions."""
        parts = [Text(part.strip(), node.line) for part in node.value.split(",")]
        for part in parts:
            _check_adversary(part)
            if part.value not in (MALICIOUS, NO_DEALER):
                raise unknown("protection", part, (MALICIOUS, NO_DEALER))
        if sorted(part.value for part in parts) != [MALICIOUS, NO_DEALER]:
            raise refusal(
                "'protection' must say both", node.line, hint="write: protection: malicious, no dealer"
            )
        return cls(is_malicious=True)

    @classmethod
    def _parse_table(cls, node: Node) -> Self:
        simulation = None
        said: dict[str, Text] = {}
        for part, value in table_of(node, cls.word, cls.example):
            match part.value:
                case "adversary":
                    said[part.value] = Text(text_of(value, part.value, cls.example), value.line)
                    _check_adversary(said[part.value])
                    if said[part.value].value != MALICIOUS:
                        raise unknown("adversary", said[part.value], (MALICIOUS,))
                case "dealer":
                    said[part.value] = Text(text_of(value, part.value, cls.example), value.line)
                    if said[part.value].value != "none":
                        raise not_built("a dealer", value.line, "write: dealer: none")
                case str(name) if name == SIMULATED:
                    simulation = _parse_simulation(value)
                case _:
                    raise unknown("part of 'protection'", part, _PARTS)
        if len(said) != 2:
            raise refusal(
                "'protection' must say both adversary and dealer", node.line, hint=f"write: {cls.example}"
            )
        return cls(is_malicious=True, simulation=simulation)

    def document(self) -> Grant:
        parts: dict[str, object] = {}
        if self.is_malicious:
            parts |= {"adversary": MALICIOUS, "dealer": "none"}
        if self.simulation:
            parts[SIMULATED] = {"until": str(self.simulation.until), "reason": self.simulation.reason}
        return {self.word: parts} if parts else {}

    def judge(self, disclosure: Disclosure, context: Context) -> Verdict:
        match disclosure.form:
            case form if form == MALICIOUS:
                return self._judge_malicious(context)
            case form if form == SIMULATED:
                return self._judge_simulated(disclosure, context)
            case _:
                return Verdict.denied(
                    f"'{context.entry.name}' would be protected by '{disclosure.form}'; "
                    f"clause 'protection' allows: {words(self._allowed)}"
                )

    def _judge_malicious(self, context: Context) -> Verdict:
        if self.is_malicious:
            return Verdict.allowed()
        return Verdict.denied(
            f"a private join would be run on '{context.entry.name}'; clause 'protection' allows none", _BASE
        )

    def _judge_simulated(self, disclosure: Disclosure, context: Context) -> Verdict:
        if self.simulation and context.now < self.simulation.until.end:
            return Verdict.allowed()
        until = Day.of(max(context.now, context.plan.not_after - 1))
        reason = self.simulation.reason if self.simulation else UNSAID_REASON
        allows = f"that until {self.simulation.until}" if self.simulation else "none"
        return Verdict.denied(
            f"rows of '{context.entry.name}' would be in the clear in a simulated clean room "
            f"({disclosure.to}), which has NO HARDWARE PROTECTION; clause 'protection' allows {allows}",
            {self.word: {**_BASE[self.word], SIMULATED: {"until": str(until), "reason": reason}}},
        )

    @property
    def _allowed(self) -> tuple[str, ...]:
        return (MALICIOUS,) * self.is_malicious + (SIMULATED,) * (self.simulation is not None)


_BASE: dict[str, dict[str, object]] = {"protection": {"adversary": MALICIOUS, "dealer": "none"}}


def _check_adversary(part: Text) -> None:
    if part.value == "semi-honest":
        raise not_built("protection against semi-honest players only", part.line, "write: malicious")
    if "dealer" in part.value and part.value != NO_DEALER:
        raise not_built("a dealer", part.line, "write: no dealer")


def _parse_simulation(node: Node) -> Simulation:
    example = ProtectionClause.example
    found: dict[str, tuple[str, int]] = {}
    for part, value in table_of(node, SIMULATED, example):
        if part.value not in ("until", "reason"):
            raise unknown(f"part of '{SIMULATED}'", part, ("until", "reason"))
        found[part.value] = text_of(value, part.value, example), value.line
    if len(found) != 2:
        raise refusal(f"'{SIMULATED}' needs a date and a reason", node.line, hint=f"write: {example}")
    return Simulation(Day.parse(*found["until"], "2027-01-01"), found["reason"][0])
