"""What a client may believe of a network: everything that its owners signed, and nothing else."""

import difflib
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from xor.errors import AuthError, UsageError
from xor.model.agreement import Agreement, Analyst
from xor.model.dataset import DatasetEntry
from xor.plan.conditions import ASSUMED, Conditions, conditions
from xor.policy.document import Policy
from xor.session.profile import Profile
from xor.signing import Envelope, SigningKey, seal_envelope
from xor.wire.messages import CatalogueItem, Login, NetworkView
from xor.wire.trust import Trust, open_agreement


@dataclass(frozen=True)
class Known:
    """A network as verified against the pinned agreement.

    Args:
        entries, policies: by the name of the dataset.
        signatures: of the owners on the entries, which plans carry.
        online: datasets whose machine the service has heard of lately (its word, no proof).
        conditions: of machines and lines (its word too: hints about cost).
    """

    trust: Trust
    entries: Mapping[str, DatasetEntry]
    policies: Mapping[str, Policy]
    signatures: Mapping[str, bytes]
    online: frozenset[str]
    conditions: Conditions = ASSUMED

    @property
    def agreement(self) -> Agreement:
        return self.trust.agreement

    def dataset(self, name: str, player: str) -> DatasetEntry:
        """The entry of a dataset at a player.

        Raises:
            UsageError: no such player or dataset, or the dataset is elsewhere; near names are listed.
        """
        players = [each.name for each in self.agreement.players]
        if player not in players:
            raise unknown("player", player, players, self.agreement.network)
        if name not in self.entries:
            raise unknown("dataset", name, self.entries, self.agreement.network)
        entry = self.entries[name]
        if entry.player != player:
            raise UsageError(
                f"dataset '{name}' is not at '{player}'",
                code="usage.unknown-dataset",
                hint=f"it is at '{entry.player}'.",
            )
        return entry

    def recipients(self, names: Iterable[str]) -> tuple[str, ...]:
        """The analysts of those names, each once, in order.

        Raises:
            UsageError: one of them is no analyst of the network.
        """
        analysts = [each.name for each in self.agreement.analysts]
        chosen = tuple(dict.fromkeys(names))
        for name in chosen:
            if name not in analysts:
                raise unknown("analyst", name, analysts, self.agreement.network)
        return chosen


def verify_network(view: NetworkView, network: str, profile: Profile, now: int) -> Known:
    """Checks the service's view of a network against the agreement pinned in the profile.

    Raises:
        AuthError: the agreement is another one or not in force, or an entry or policy is not signed by
            its owner.
    """
    agreement = open_agreement(_envelope(view.agreement), pinned(network, profile))
    if agreement.network != network:
        raise AuthError(f"the agreement is not that of network '{network}'", code="auth.other-agreement")
    if not agreement.not_before <= now < agreement.not_after:
        raise AuthError(
            f"the agreement of network '{network}' is not in force now",
            code="auth.expired-agreement",
            hint="its owners must sign a new one.",
        )
    trust = Trust(agreement)
    signed = [_verify_item(item, trust) for item in view.datasets]
    entries = {entry.name: entry for entry, _, _ in signed}
    if len(entries) != len(signed):
        raise AuthError("the service shows a dataset twice", code="auth.altered-catalogue")
    online = frozenset(
        entry.name for (entry, _, _), item in zip(signed, view.datasets, strict=True) if item.is_online
    )
    policies = {policy.dataset: policy for _, policy, _ in signed}
    players = {each.name for each in agreement.players}
    machines = [each for each in view.machines if each.player in players]
    signatures = {entry.name: each for entry, _, each in signed}
    return Known(trust, entries, policies, signatures, online, conditions(machines))


def pinned(network: str, profile: Profile) -> str:
    """The agreement hash that the profile pins for the network.

    Raises:
        UsageError: none; the networks of the profile are listed.
    """
    if network in profile.networks:
        return profile.networks[network]
    if not profile.networks:
        raise UsageError(
            f"no network is known at {profile.host}:{profile.port}",
            code="usage.unknown-network",
            hint=f"`xor local up` writes {profile.path}; elsewhere pin the agreement's hash there.",
        )
    raise unknown("network", network, profile.networks, f"{profile.host}:{profile.port}")


def login_request(profile: Profile, network: str, now: int) -> Envelope:
    """The signed request for an API token; good for a minute, once, at the service of the pinned agreement.

    Raises:
        UsageError: the network is not pinned in the profile. AuthError: the key cannot be read.
    """
    name, key = _own_key(profile)
    login = Login(
        network=network,
        agreement=pinned(network, profile),
        analyst=name,
        at=now,
        nonce=secrets.token_hex(32),
    )
    return seal_envelope(login, key)


def signing_key(profile: Profile, agreement: Agreement) -> tuple[Analyst, SigningKey]:
    """The analyst of the profile and the key that signs for them.

    Raises:
        AuthError: no key, or one that the agreement does not give this analyst.
    """
    name, key = _own_key(profile)
    analyst = agreement.analyst(name)
    if key.public != analyst.key:
        raise AuthError(
            f"the key of the profile is not that of analyst '{analyst.name}' in the agreement",
            code="auth.wrong-key",
            hint=f"check `signing_key` in {profile.path}.",
        )
    return analyst, key


def _own_key(profile: Profile) -> tuple[str, SigningKey]:
    if profile.signing_key is None or profile.analyst is None:
        raise AuthError(
            "the profile names no analyst and signing key",
            code="auth.no-key",
            hint=f"set `analyst`, `signing_key` and `seal_key` in {profile.path}.",
        )
    return profile.analyst, SigningKey.load(profile.signing_key)


def unknown(role: str, name: str, known: Iterable[str], where: str) -> UsageError:
    """The UsageError for a name that nobody has, with the near ones."""
    names = tuple(known)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    guess = f"did you mean {' or '.join(repr(each) for each in near)}? " if near else ""
    listed = ", ".join(names[:20]) or "none"
    return UsageError(
        f"'{where}' has no {role} {name!r}.", code=f"usage.unknown-{role}", hint=f"{guess}It has: {listed}."
    )


def _verify_item(item: CatalogueItem, trust: Trust) -> tuple[DatasetEntry, Policy, bytes]:
    envelope = _envelope(item.entry)
    entry = trust.entry(envelope)
    policy = trust.policy(_envelope(item.policy))
    if (policy.dataset, policy.owner) != (entry.name, entry.owner):
        raise AuthError(
            f"the policy shown for dataset '{entry.name}' is not its owner's", code="auth.altered-catalogue"
        )
    return entry, policy, trust.entry_signature(envelope)


def _envelope(text: str) -> Envelope:
    return Envelope.from_bytes(text.encode())
