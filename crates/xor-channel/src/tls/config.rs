//! TLS 1.3, one key exchange more than classical, no names, no certificates, no second session.

use std::sync::Arc;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{AlwaysResolvesClientRawPublicKeys, Resumption};
use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider, kx_group, sign};
use rustls::crypto::{CryptoProvider, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{
    CertificateError, ClientConfig, ClientConnection, Connection, DigitallySignedStruct, DistinguishedName,
    Error, PeerIncompatible, ServerConfig, ServerConnection, SignatureScheme,
};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::ChannelError;

/// The protocol's name inside TLS.
pub(super) const ALPN: &[u8] = b"xor/1";

/// SubjectPublicKeyInfo of an Ed25519 key without its last 32 bytes (RFC 8410, section 4).
const SPKI_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];
/// PKCS #8 of an Ed25519 key without its last 32 bytes (RFC 8410, section 7).
const PKCS8_PREFIX: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// Who opened the TCP connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Dialer,
    Listener,
}

/// This side's job key and the one key that the peer must hold. Wiped when dropped, never printed.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Keys {
    /// The Ed25519 seed of RFC 8032.
    pub own_seed: [u8; 32],
    /// The peer's Ed25519 public key.
    pub expected_peer: [u8; 32],
}

/// The Ed25519 public key of a seed.
///
/// # Errors
/// `OwnKey`, when the library refuses the seed.
pub fn public_key(seed: &[u8; 32]) -> Result<[u8; 32], ChannelError> {
    let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| ChannelError::OwnKey)?;
    pair.public_key()
        .as_ref()
        .try_into()
        .map_err(|_| ChannelError::OwnKey)
}

pub(super) fn connection(role: Role, keys: &Keys) -> Result<Connection, ChannelError> {
    match role {
        Role::Dialer => {
            // Never sent: the key is the name.
            let name = ServerName::IpAddress(std::net::Ipv4Addr::UNSPECIFIED.into());
            ClientConnection::new(Arc::new(dialer_config(keys)?), name).map(Connection::Client)
        }
        Role::Listener => ServerConnection::new(Arc::new(listener_config(keys)?)).map(Connection::Server),
    }
    .map_err(ChannelError::Tls)
}

/// Hybrid key exchange first: what is recorded today stays closed to a quantum computer.
fn provider() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: vec![
            cipher_suite::TLS13_AES_256_GCM_SHA384,
            cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        ],
        kx_groups: vec![kx_group::X25519MLKEM768, kx_group::X25519],
        ..default_provider()
    }
}

pub(super) fn dialer_config(keys: &Keys) -> Result<ClientConfig, ChannelError> {
    let provider = Arc::new(provider());
    let pin = Arc::new(Pin::new(keys, &provider));
    let own = Arc::new(certified_key(&keys.own_seed)?);
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(ChannelError::Tls)?
        .dangerous()
        .with_custom_certificate_verifier(pin)
        .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(own)));
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_sni = false;
    config.enable_early_data = false;
    Ok(config)
}

fn listener_config(keys: &Keys) -> Result<ServerConfig, ChannelError> {
    let provider = Arc::new(provider());
    let pin = Arc::new(Pin::new(keys, &provider));
    let own = Arc::new(certified_key(&keys.own_seed)?);
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(ChannelError::Tls)?
        .with_client_cert_verifier(pin)
        .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(own)));
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(config)
}

pub(super) fn certified_key(seed: &[u8; 32]) -> Result<CertifiedKey, ChannelError> {
    let mut pkcs8 = PrivatePkcs8KeyDer::from([PKCS8_PREFIX.as_slice(), seed].concat());
    let key = sign::any_eddsa_type(&pkcs8).map_err(|_| ChannelError::OwnKey);
    pkcs8.zeroize();
    let key = key?;
    Ok(CertifiedKey::new(
        vec![CertificateDer::from(spki(&public_key(seed)?))],
        key,
    ))
}

fn spki(public: &[u8; 32]) -> Vec<u8> {
    [SPKI_PREFIX.as_slice(), public].concat()
}

/// Accepts one raw public key and the signatures made with it.
#[derive(Debug)]
struct Pin {
    spki: Vec<u8>,
    provider: Arc<CryptoProvider>,
}

impl Pin {
    fn new(keys: &Keys, provider: &Arc<CryptoProvider>) -> Self {
        Self {
            spki: spki(&keys.expected_peer),
            provider: Arc::clone(provider),
        }
    }

    fn check_key(&self, presented: &CertificateDer<'_>, others: &[CertificateDer<'_>]) -> Result<(), Error> {
        if presented.as_ref() == self.spki && others.is_empty() {
            Ok(())
        } else {
            Err(Error::InvalidCertificate(
                CertificateError::ApplicationVerificationFailure,
            ))
        }
    }

    fn check_signature(
        &self,
        message: &[u8],
        key: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = SubjectPublicKeyInfoDer::from(key.as_ref());
        verify_tls13_signature_with_raw_key(
            message,
            &key,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }
}

/// TLS 1.2 is never offered, so its signatures cannot come up.
fn refuse_tls12() -> Result<HandshakeSignatureValid, Error> {
    Err(PeerIncompatible::Tls12NotOfferedOrEnabled.into())
}

impl ServerCertVerifier for Pin {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check_key(end_entity, intermediates)
            .map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        refuse_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for Pin {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check_key(end_entity, intermediates)
            .map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        refuse_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}
