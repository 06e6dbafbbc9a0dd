"""Profiles: what one person knows about one service. Keys stay in files of their own, named here.

One file per service, `$XOR_HOME/profiles/HOST_PORT.toml`, readable by its owner only:

    analyst = "fraud-desk"
    service_key = "<hex: whose certificates are good>"
    signing_key = "/…/fraud-desk.key"
    seal_key = "/…/fraud-desk.seal"
    [networks.two-parties]
    agreement = "<SHA-256 of the agreement, as the owners told it>"
"""

import json
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from xor.errors import AuthError, UsageError
from xor.model.address import is_loopback
from xor.model.agreement import HEX_32_BYTES
from xor.model.dataset import NAME

TOKEN_VARIABLE = "XOR_API_TOKEN"
LOOK_UP = "*"
_TEXTS = ("analyst", "service_key", "ca", "signing_key", "seal_key")
_HOST = re.compile(r"[A-Za-z0-9_.:-]{1,253}")


@dataclass(frozen=True)
class Profile:
    """What is known about the service at `host:port`.

    Args:
        analyst: the member whose keys these are.
        service_key: the key of the service in the agreement (hex): it certifies the service's TLS.
        ca: PEM file of the authorities that certify the service instead, or `system`, which is also meant if
            both are None.
        signing_key, seal_key: files of 32 secret bytes each.
        networks: pinned agreement hash of each network.
    """

    host: str
    port: int
    analyst: str | None = None
    service_key: str | None = None
    ca: str | None = None
    signing_key: Path | None = None
    seal_key: Path | None = None
    networks: Mapping[str, str] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        return profile_path(self.host, self.port)


def home() -> Path:
    """Where profiles and an analyst's keys lie: `$XOR_HOME`, or the user's configuration folder."""
    named = os.environ.get("XOR_HOME")
    return Path(named) if named else Path.home() / ".config" / "xor"


def profile_path(host: str, port: int) -> Path:
    """The file of a service's profile. All names of the loopback interface share one.

    Raises:
        UsageError: the host or the port has no such form.
    """
    if not _HOST.fullmatch(host) or host.startswith((".", "-")) or not 0 < port < 65536:
        raise UsageError(f"{host!r}, port {port} is no address of a service", code="usage.bad-address")
    name = "localhost" if is_loopback(host) else host.lower().replace(":", "-")
    return home() / "profiles" / f"{name}_{port}.toml"


def read_profile(host: str, port: int) -> Profile:
    """The profile of a service; an empty one if there is no file.

    Raises:
        AuthError: others than the file's owner may read it. UsageError: the file is malformed.
    """
    path = profile_path(host, port)
    try:
        mode = path.stat().st_mode
        text = path.read_text()
    except FileNotFoundError:
        return Profile(host, port)
    except (OSError, UnicodeDecodeError):
        raise UsageError(f"the profile {path} cannot be read", code="usage.bad-profile") from None
    if mode & 0o077:
        raise AuthError(f"{path} can be read by others", code="auth.open-profile", hint=f"chmod 600 {path}")
    try:
        return _parsed(tomllib.loads(text), Profile(host, port))
    except (tomllib.TOMLDecodeError, KeyError, TypeError, AttributeError, ValueError):
        raise UsageError(
            f"the profile {path} is malformed",
            code="usage.bad-profile",
            hint='it holds analyst, service_key, signing_key, seal_key and [networks.NAME] agreement = "…".',
        ) from None


def write_profile(profile: Profile) -> Path:
    """Writes the profile, replacing an earlier one at once or not at all; mode 0600."""
    path = profile.path
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    lines = [
        f"{name} = {_quoted(str(value))}"
        for name, value in (
            ("analyst", profile.analyst),
            ("service_key", profile.service_key),
            ("ca", profile.ca),
            ("signing_key", profile.signing_key),
            ("seal_key", profile.seal_key),
        )
        if value is not None
    ]
    for network, agreement in profile.networks.items():
        lines += ["", f"[networks.{_quoted(network)}]", f"agreement = {_quoted(agreement)}"]
    staged = path.with_suffix(f".{os.getpid()}.new")
    descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write("\n".join(lines) + "\n")
        file.flush()
        os.fsync(file.fileno())
    staged.replace(path)
    return path


def find_token(api_token: str, profile: Profile) -> str | None:
    """The credential to request with: the one given, or for `"*"` the one in the environment.

    None: the profile has an analyst's key, with which a session logs in by itself.

    Raises:
        AuthError: `"*"`, and there is neither.
    """
    if api_token != LOOK_UP:
        if not api_token or not api_token.isascii() or not api_token.isprintable():
            raise AuthError("the API token is empty or malformed", code="auth.bad-token")
        return api_token
    found = os.environ.get(TOKEN_VARIABLE)
    if not found and (profile.signing_key is None or profile.analyst is None):
        raise AuthError(
            f"no credential for {profile.host}:{profile.port}; '*' means: look it up",
            code="auth.no-token",
            hint=f"name `analyst` and `signing_key` in {profile.path}, or set {TOKEN_VARIABLE}; "
            "`xor local up network.toml` writes a profile for a service on this machine.",
        )
    return found or None


def _parsed(body: Mapping[str, Any], empty: Profile) -> Profile:
    if not set(body) <= {*_TEXTS, "networks"}:
        raise ValueError
    texts = {name: body.get(name) for name in _TEXTS}
    if not all(isinstance(text, str | None) for text in texts.values()):
        raise ValueError
    if texts["service_key"] is not None and not re.match(HEX_32_BYTES, texts["service_key"]):
        raise ValueError
    networks = {name: each["agreement"] for name, each in body.get("networks", {}).items()}
    for name, pinned in networks.items():
        if not re.match(NAME, name) or not re.match(HEX_32_BYTES, pinned):
            raise ValueError
    return replace(
        empty,
        analyst=texts["analyst"],
        service_key=texts["service_key"],
        ca=texts["ca"],
        signing_key=Path(texts["signing_key"]) if texts["signing_key"] else None,
        seal_key=Path(texts["seal_key"]) if texts["seal_key"] else None,
        networks=networks,
    )


def _quoted(text: str) -> str:
    """A TOML basic string: JSON's escapes are a subset of TOML's."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
