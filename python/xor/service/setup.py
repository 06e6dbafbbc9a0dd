"""A service's directory: its key, the agreements of its networks, its database and its streams."""

import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from xor.errors import AuthError, UsageError
from xor.signing import Envelope, SigningKey
from xor.wire.trust import Trust, open_agreement

KEY = "service.key"
DATABASE = "service.db"
LOCK = "service.lock"
BLOBS = "blobs"
NETWORKS = "networks"


@dataclass(frozen=True)
class Network:
    """A network that the service serves: what its agreement says, and the signed bytes themselves."""

    trust: Trust
    agreement: str


def new_key(directory: Path) -> SigningKey:
    """Makes the directory and the service's key in it; its public half belongs into the agreements.

    Raises:
        FileExistsError: there is a key already.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = SigningKey.generate()
    key.save(directory / KEY)
    return key


def create(directory: Path, agreements: Sequence[Envelope]) -> None:
    """Lays down the agreements of the networks that the service in `directory` will serve.

    Whoever runs this says which agreements are believed: see `wire.trust.open_agreement`.

    Raises:
        AuthError: an owner's signature is missing, or an agreement names another service's key.
        UsageError: the directory holds another agreement of the same network.
    """
    key = SigningKey.load(directory / KEY)
    for envelope in agreements:
        network = _opened(envelope, key)
        _write_agreement(directory / NETWORKS / f"{network.trust.agreement.network}.json", envelope)


def load_networks(directory: Path, key: SigningKey) -> Mapping[str, Network]:
    """The networks of a service's directory by name.

    Raises:
        UsageError: there is none, or a file there is no agreement. AuthError: as for `create`.
    """
    files = sorted((directory / NETWORKS).glob("*.json"))
    networks = [_opened(Envelope.from_bytes(file.read_bytes()), key) for file in files]
    if not networks:
        raise UsageError(
            f"{directory} serves no network",
            code="usage.no-network",
            hint="lay down an agreement first; `xor local up` does.",
        )
    return {network.trust.agreement.network: network for network in networks}


def _opened(envelope: Envelope, key: SigningKey) -> Network:
    agreement = open_agreement(envelope)
    if agreement.service_key != key.public:
        raise AuthError(
            f"the agreement of network '{agreement.network}' names another service's key",
            code="auth.other-service",
            hint="the owners sign an agreement that names this one.",
        )
    return Network(Trust(agreement), envelope.to_bytes().decode())


def _write_agreement(path: Path, envelope: Envelope) -> None:
    path.parent.mkdir(mode=0o700, exist_ok=True)
    if path.exists() and Envelope.from_bytes(path.read_bytes()).payload != envelope.payload:
        raise UsageError(
            f"{path} holds another agreement of this network",
            code="usage.other-agreement",
            hint="move it away if the owners have signed a new one.",
        )
    partial = path.with_name(f".{secrets.token_hex(8)}")
    partial.write_bytes(envelope.to_bytes())
    os.replace(partial, path)
