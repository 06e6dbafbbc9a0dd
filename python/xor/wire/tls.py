"""TLS between the service and whoever calls it: version 1.3 only, the service's name and key verified.

By default the service's key in the agreement, which all owners have signed, is the certificate authority: the
service certifies short-lived TLS keys with it. Who has pinned the agreement needs nothing else.

Security: a signature over a certificate is none over a document, and the other way round. What documents are
signed over begins with `DSSEv1`, a certificate with an ASN.1 SEQUENCE (0x30).

Source: RFC 5280, sections 4.1 and 6 (path validation from a trust anchor: its name and key count, its own
signature does not); RFC 8410 (Ed25519 in X.509).
"""

import datetime as dt
import ssl
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from xor.errors import UsageError
from xor.signing import SigningKey

SYSTEM = "system"
"""In place of a file: the authorities that this computer trusts."""
_EVER = (dt.datetime(2020, 1, 1), dt.datetime(2120, 1, 1))
_SKEW = dt.timedelta(hours=1)


def client_context(service_key: str | None = None, ca: str | None = None) -> ssl.SSLContext:
    """How a client or a machine verifies the service.

    Args:
        service_key: the service's key (hex): certificates that it has signed are good.
        ca: a PEM file of authorities that are good instead, or `system`; None without a `service_key` too.

    Raises:
        UsageError: the file cannot be read or holds no certificate.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        if ca == SYSTEM or (ca is None and service_key is None):
            context.load_default_certs()
        elif ca is not None:
            context.load_verify_locations(cafile=ca)
        elif service_key is not None:
            context.load_verify_locations(cadata=_anchor(service_key))
    except (OSError, ssl.SSLError):
        raise UsageError(
            f"{ca} holds no certificates",
            code="usage.bad-ca",
            hint=f"`ca` names a PEM file of authorities, or is '{SYSTEM}'.",
        ) from None
    return context


def ca_paths(ca: str | None) -> list[Path]:
    """The files that `client_context` reads, for who confines itself to what it needs."""
    if ca == SYSTEM:
        found = ssl.get_default_verify_paths()
        return [Path(each) for each in (found.cafile, found.capath, "/usr/share/ca-certificates") if each]
    return [] if ca is None else [Path(ca)]


def server_context() -> ssl.SSLContext:
    """A context for a service, without a certificate yet."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    # A resumed session would outlive the certificate under which it began.
    context.num_tickets = 0
    return context


def new_certificate(key: SigningKey, names: Sequence[str], valid: dt.timedelta) -> bytes:
    """A new TLS key and its certificate, signed by the service's key, as PEM.

    Args:
        names: hosts and addresses under which the service is reached.
    """
    private = ec.generate_private_key(ec.SECP256R1())
    now = dt.datetime.now(dt.UTC)
    certificate = key.certify(
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(_name(key.public))
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + valid)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([_general(each) for each in names]), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(_public(key.public)), critical=False
        )
    )
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem + certificate.public_bytes(Encoding.PEM)


def expires_at(pem: bytes) -> int:
    """When the first certificate in a PEM file expires, in seconds since 1970 UTC.

    Raises:
        UsageError: there is none.
    """
    try:
        return int(x509.load_pem_x509_certificates(pem)[0].not_valid_after_utc.timestamp())
    except (ValueError, IndexError):
        raise UsageError("the file holds no certificate", code="usage.bad-certificate") from None


def _anchor(service_key: str) -> str:
    """The service's key as an authority. Nobody but the service could sign it, and nobody needs to."""
    public = _public(service_key)
    usage = dict.fromkeys(
        (
            "digital_signature",
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "crl_sign",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_name(service_key))
        .issuer_name(_name(service_key))
        .public_key(public)
        .serial_number(1)
        .not_valid_before(_EVER[0])
        .not_valid_after(_EVER[1])
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.KeyUsage(key_cert_sign=True, **usage), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .sign(Ed25519PrivateKey.generate(), None)
    )
    return certificate.public_bytes(Encoding.PEM).decode()


def _name(service_key: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, service_key)])


def _public(service_key: str) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(bytes.fromhex(service_key))


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)
