"""The datasets of a machine with the policies in force, read from disk whenever they are needed."""

from collections.abc import Mapping

from xor.errors import AuthError, XorError
from xor.machine import log
from xor.machine.directory import Directory, Holding, SignedPolicy
from xor.machine.journal import Journal
from xor.policy.parse import ParsedPolicy, in_force
from xor.signing import Envelope


class Holdings:
    """What this machine hosts. A policy that cannot be believed counts as none: nothing is allowed then."""

    def __init__(self, directory: Directory, journal: Journal) -> None:
        self._directory = directory
        self._journal = journal
        self._problems: dict[str, str] = {}

    def policies(self) -> Mapping[str, ParsedPolicy]:
        """For each dataset its policy in force, as the judge takes it."""
        return {name: parsed for name, (parsed, _) in self._read().items()}

    def envelopes(self) -> tuple[tuple[Envelope, ...], tuple[Envelope, ...]]:
        """Entries and policies as their owners signed them, for the catalogue."""
        found = self._read()
        entries = tuple(self._directory.holdings[name].entry_envelope for name in found)
        return entries, tuple(signed.envelope for _, signed in found.values())

    def _read(self) -> Mapping[str, tuple[ParsedPolicy, SignedPolicy]]:
        found = {}
        for name, holding in self._directory.holdings.items():
            try:
                found[name] = self._in_force(holding)
                self._problems.pop(name, None)
            except XorError as error:
                if self._problems.get(name) != error.code:
                    log.error("no policy in force", dataset=name, code=error.code, why=error.message)
                self._problems[name] = error.code
        return found

    def _in_force(self, holding: Holding) -> tuple[ParsedPolicy, SignedPolicy]:
        signed = self._directory.policy(holding)
        parsed = in_force(signed.policy, holding.entry)
        highest = self._journal.highest_version(holding.entry.name)
        if signed.policy.policy_version < highest:
            raise AuthError(
                f"the policy of '{holding.entry.name}' is older than version {highest}, seen here before",
                code="policy.rolled-back",
                hint="its owner signs a new version to take something back.",
            )
        if signed.policy.policy_version > highest:
            self._journal.saw_version(holding.entry.name, signed.policy.policy_version)
        return parsed, signed
