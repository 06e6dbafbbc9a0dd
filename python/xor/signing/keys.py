"""Ed25519 keys: in files that only their owner can read, never in a URL, a log or an argument list."""

from __future__ import annotations

import os
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from xor.errors import AuthError


class SigningKey:
    """An Ed25519 private key. Its repr shows the public key only."""

    def __init__(self, seed: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.public = self._key.public_key().public_bytes_raw().hex()

    @classmethod
    def generate(cls) -> SigningKey:
        return cls(os.urandom(32))

    @classmethod
    def load(cls, path: Path) -> SigningKey:
        return cls(read_secret(path))

    def save(self, path: Path) -> None:
        write_secret(path, self._key.private_bytes_raw())

    def sign(self, message: bytes) -> bytes:
        return self._key.sign(message)

    def certify(self, builder: x509.CertificateBuilder) -> x509.Certificate:
        """Signs an X.509 certificate; see `wire.tls` for why that is no signature of a document."""
        return builder.sign(self._key, None)

    def __repr__(self) -> str:
        return f"SigningKey(public={self.public[:16]}…)"


def verify(public: str, message: bytes, signature: bytes) -> bool:
    """Whether the signature is that of the key (hex) over the message."""
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def write_secret(path: Path, secret: bytes) -> None:
    """Writes 32 secret bytes as hex to a new file with mode 0600; never overwrites."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secret.hex() + "\n")


def read_secret(path: Path) -> bytes:
    """Reads 32 secret bytes.

    Raises:
        AuthError: the file is missing, malformed, or others than its owner may read it.
    """
    try:
        mode = path.stat().st_mode
        text = path.read_text()
    except OSError:
        raise AuthError(
            f"no key at {path}", code="auth.no-key", hint="make one, or name the right profile."
        ) from None
    if mode & 0o077:
        raise AuthError(f"{path} can be read by others", code="auth.open-key", hint=f"chmod 600 {path}")
    try:
        secret = bytes.fromhex(text.strip())
    except ValueError:
        secret = b""
    if len(secret) != 32:
        raise AuthError(f"{path} does not hold a key of 32 bytes in hex", code="auth.no-key")
    return secret
