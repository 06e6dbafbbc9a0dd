"""Canonical bytes, Ed25519 and DSSE envelopes: how every document of a network is signed."""

from xor.signing.canonical import canonical, parse_canonical
from xor.signing.documents import decode, encode, open_envelope, seal_envelope
from xor.signing.dsse import Envelope, Signature, count_parts
from xor.signing.keys import SigningKey, verify

__all__ = [
    "Envelope",
    "Signature",
    "SigningKey",
    "canonical",
    "count_parts",
    "decode",
    "encode",
    "open_envelope",
    "parse_canonical",
    "seal_envelope",
    "verify",
]
