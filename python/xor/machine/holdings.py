"""The datasets of a machine with the policies in force, read from disk whenever they are needed.

Every heartbeat and every judgement reads the files; verified and parsed they are once for each content.
"""

from collections.abc import Mapping

from xor import log
from xor.errors import AuthError, XorError
from xor.machine.directory import Directory, Holding, SignedPolicy
from xor.machine.journal import Journal
from xor.policy.parse import ParsedPolicy, in_force
from xor.signing import Envelope

Parsed = tuple[ParsedPolicy, SignedPolicy]


class Holdings:
    """What this machine hosts. A policy that cannot be believed counts as none: nothing is allowed then."""

    def __init__(self, directory: Directory, journal: Journal) -> None:
        self._directory = directory
        self._journal = journal
        self._problems: dict[str, str] = {}
        self._parsed: dict[str, tuple[bytes, Parsed | XorError]] = {}

    def policies(self) -> Mapping[str, ParsedPolicy]:
        """For each dataset its policy in force, as the judge takes it."""
        return {name: parsed for name, (parsed, _) in self._read().items()}

    def envelopes(self) -> tuple[tuple[Envelope, ...], tuple[Envelope, ...]]:
        """Entries and policies as their owners signed them, for the catalogue."""
        found = self._read()
        entries = tuple(self._directory.holdings[name].entry_envelope for name in found)
        return entries, tuple(signed.envelope for _, signed in found.values())

    def _read(self) -> Mapping[str, Parsed]:
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

    def _in_force(self, holding: Holding) -> Parsed:
        parsed, signed = self._read_policy(holding)
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

    def _read_policy(self, holding: Holding) -> Parsed:
        content = holding.policy_bytes()
        known = self._parsed.get(holding.entry.name)
        if known is None or known[0] != content:
            known = self._parsed[holding.entry.name] = (content, self._parse(holding, content))
        if isinstance(known[1], XorError):
            raise known[1].with_traceback(None)
        return known[1]

    def _parse(self, holding: Holding, content: bytes) -> Parsed | XorError:
        try:
            signed = self._directory.policy(holding, content)
            return in_force(signed.policy, holding.entry), signed
        except XorError as error:
            return error
