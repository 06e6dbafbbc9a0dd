#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::net::TcpListener;
use std::sync::Arc;
use std::thread;

use proptest::prelude::*;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, NamedGroup, ProtocolVersion};

use super::*;

const DIALER: [u8; 32] = [1; 32];
const LISTENER: [u8; 32] = [2; 32];
const STRANGER: [u8; 32] = [3; 32];
/// Long enough never to pass in a test that does not wait for it.
const PATIENT: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(200);

fn keys(own_seed: [u8; 32], peer_seed: [u8; 32]) -> Keys {
    Keys {
        own_seed,
        expected_peer: public_key(&peer_seed).unwrap(),
    }
}

fn sockets() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let dialer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (dialer, listener.accept().unwrap().0)
}

type Shaken = Result<TlsChannel, ChannelError>;

fn shake(dialer: Keys, listener: Keys, patience: Duration) -> (Shaken, Shaken) {
    let (to_listener, to_dialer) = sockets();
    shake_over(to_listener, dialer, to_dialer, listener, patience)
}

fn shake_over(
    to_listener: TcpStream,
    dialer: Keys,
    to_dialer: TcpStream,
    listener: Keys,
    patience: Duration,
) -> (Shaken, Shaken) {
    let other = thread::spawn(move || TlsChannel::handshake(to_dialer, Role::Listener, &listener, patience));
    let one = TlsChannel::handshake(to_listener, Role::Dialer, &dialer, patience);
    (one, other.join().unwrap())
}

fn channels(patience: Duration) -> (TlsChannel, TlsChannel) {
    let (one, other) = shake(keys(DIALER, LISTENER), keys(LISTENER, DIALER), patience);
    (one.unwrap(), other.unwrap())
}

#[test]
fn frames_cross_in_both_directions_and_are_counted() {
    let (mut one, mut other) = channels(PATIENT);
    one.send(b"there").unwrap();
    one.send(b"").unwrap();
    assert_eq!(other.receive(5).unwrap(), b"there");
    assert_eq!(other.receive_exactly(0).unwrap(), b"");
    other.send(b"back").unwrap();
    assert_eq!(one.receive_exactly(4).unwrap(), b"back");
    assert_eq!(
        (
            one.meter().sent_bytes,
            one.meter().received_bytes,
            one.meter().rounds
        ),
        (13, 8, 0)
    );
    assert_eq!(
        (
            other.meter().sent_bytes,
            other.meter().received_bytes,
            other.meter().rounds
        ),
        (8, 13, 1)
    );
}

#[test]
fn the_session_is_what_the_protocol_page_says() {
    let (mut one, mut other) = channels(PATIENT);
    // One frame each, so that everything that follows a handshake has arrived.
    one.send(b"x").unwrap();
    other.send(b"x").unwrap();
    one.receive(1).unwrap();
    other.receive(1).unwrap();
    for (channel, peer_seed) in [(&one, LISTENER), (&other, DIALER)] {
        let session = &channel.connection;
        assert_eq!(session.protocol_version(), Some(ProtocolVersion::TLSv1_3));
        assert_eq!(
            session.negotiated_key_exchange_group().unwrap().name(),
            NamedGroup::X25519MLKEM768
        );
        assert_eq!(session.alpn_protocol(), Some(b"xor/1".as_slice()));
        assert_eq!(session.handshake_kind(), Some(rustls::HandshakeKind::Full));
        let presented = session.peer_certificates().unwrap();
        assert!(presented.len() == 1 && presented[0].ends_with(&public_key(&peer_seed).unwrap()));
    }
    let Connection::Client(client) = &one.connection else {
        unreachable!()
    };
    assert_eq!(client.tls13_tickets_received(), 0);
}

#[test]
fn both_sides_may_send_megabytes_before_either_reads() {
    let (mut one, mut other) = channels(PATIENT);
    let big: Vec<u8> = (0..24 << 20).map(|at: u32| at.to_le_bytes()[1]).collect();
    let echoed = big.clone();
    let thread = thread::spawn(move || {
        other.send(&echoed).unwrap();
        other.send(&echoed).unwrap();
        assert!(other.receive(MAX_FRAME_BYTES).unwrap() == echoed);
        other
    });
    one.send(&big).unwrap();
    assert!(one.receive(MAX_FRAME_BYTES).unwrap() == big);
    assert!(one.receive(MAX_FRAME_BYTES).unwrap() == big);
    one.close().unwrap();
    assert!(matches!(
        thread.join().unwrap().receive(1),
        Err(ChannelError::Closed)
    ));
}

#[test]
fn only_the_expected_key_is_accepted() {
    let (one, _) = shake(keys(DIALER, STRANGER), keys(LISTENER, DIALER), PATIENT);
    assert!(matches!(one, Err(ChannelError::WrongPeerKey)));

    let (one, other) = shake(keys(DIALER, LISTENER), keys(LISTENER, STRANGER), PATIENT);
    assert!(matches!(other, Err(ChannelError::WrongPeerKey)));
    let refused = one.unwrap().receive(1);
    assert!(matches!(refused, Err(ChannelError::RefusedByPeer)), "{refused:?}");
}

/// Knows the peer's pinned public key and not its secret.
#[derive(Debug)]
struct Impostor(Arc<rustls::sign::CertifiedKey>);

impl rustls::client::ResolvesClientCert for Impostor {
    fn resolve(
        &self,
        _hints: &[&[u8]],
        _schemes: &[rustls::SignatureScheme],
    ) -> Option<Arc<rustls::sign::CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn only_raw_public_keys(&self) -> bool {
        true
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// A dialer with other habits: what the listener makes of it.
fn facing_dialer(change: impl FnOnce(&mut ClientConfig)) -> ChannelError {
    let (mut to_listener, to_dialer) = sockets();
    let own = keys(LISTENER, DIALER);
    let other = thread::spawn(move || {
        TlsChannel::handshake(to_dialer, Role::Listener, &own, PATIENT)
            .err()
            .unwrap()
    });
    let mut config = config::dialer_config(&keys(DIALER, LISTENER)).unwrap();
    change(&mut config);
    let name = ServerName::try_from("xor.invalid").unwrap();
    let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
    while client
        .complete_io(&mut to_listener)
        .is_ok_and(|(read, written)| read + written > 0)
    {}
    to_listener.shutdown(Shutdown::Write).unwrap_or_default();
    other.join().unwrap()
}

#[test]
fn the_public_key_without_its_secret_does_not_help() {
    let refused = facing_dialer(|config| {
        let secret = config::certified_key(&STRANGER).unwrap().key;
        let public = config::certified_key(&DIALER).unwrap().cert;
        let key = rustls::sign::CertifiedKey::new(public, secret);
        config.client_auth_cert_resolver = Arc::new(Impostor(Arc::new(key)));
    });
    assert!(
        matches!(refused, ChannelError::Tls(rustls::Error::InvalidCertificate(_))),
        "{refused:?}"
    );
}

#[test]
fn another_application_or_none_is_refused() {
    let refused = facing_dialer(|config| config.alpn_protocols = vec![b"h2".to_vec()]);
    assert!(matches!(
        refused,
        ChannelError::Tls(rustls::Error::NoApplicationProtocol)
    ));
    let refused = facing_dialer(|config| config.alpn_protocols.clear());
    assert!(matches!(
        refused,
        ChannelError::Tls(rustls::Error::NoApplicationProtocol)
    ));
}

/// What both roles make of a peer that writes `bytes` and then keeps the socket open or not.
fn facing_bytes(bytes: &[u8], hangs_up: bool, patience: Duration) -> [ChannelError; 2] {
    [Role::Dialer, Role::Listener].map(|role| {
        let (ours, mut theirs) = sockets();
        theirs.write_all(bytes).unwrap();
        if hangs_up {
            theirs.shutdown(Shutdown::Write).unwrap();
        }
        TlsChannel::handshake(ours, role, &keys(DIALER, LISTENER), patience)
            .err()
            .unwrap()
    })
}

#[test]
fn plaintext_and_garbage_are_no_handshake() {
    for bytes in [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".as_slice(),
        &[0xff; 600],
        &[0x16, 0x03, 0x03, 0, 4, 0xff, 0, 0, 0],
    ] {
        for error in facing_bytes(bytes, false, PATIENT) {
            assert!(matches!(error, ChannelError::Tls(_)), "{error:?}");
        }
    }
}

#[test]
fn a_peer_that_hangs_up_or_falls_silent_is_told_apart() {
    for bytes in [&[][..], &[0x16], &[0x16, 0x03, 0x01, 0x02, 0x00, 0x01]] {
        for error in facing_bytes(bytes, true, PATIENT) {
            assert!(matches!(error, ChannelError::Truncated), "{error:?}");
        }
        for error in facing_bytes(bytes, false, SHORT) {
            assert!(matches!(error, ChannelError::Stalled { .. }), "{error:?}");
        }
    }
}

#[test]
fn a_trickle_does_not_hold_the_handshake() {
    let (ours, mut theirs) = sockets();
    let trickle = thread::spawn(move || {
        // A record of 512 bytes that never completes.
        theirs.write_all(&[0x16, 0x03, 0x01, 0x02, 0x00]).unwrap();
        while theirs.write_all(&[0]).is_ok() {
            thread::park_timeout(SHORT / 10);
        }
    });
    let error = TlsChannel::handshake(ours, Role::Listener, &keys(DIALER, LISTENER), SHORT)
        .err()
        .unwrap();
    assert!(matches!(error, ChannelError::Stalled { .. }), "{error:?}");
    trickle.join().unwrap();
}

/// A wire between the two that changes or cuts what the listener sends.
fn over_wire(tamper: impl FnOnce(TcpStream, TcpStream) + Send + 'static) -> (TcpStream, TcpStream) {
    let (dialer, from_dialer) = sockets();
    let (to_listener, listener) = sockets();
    let (mut there, mut back) = (from_dialer.try_clone().unwrap(), to_listener.try_clone().unwrap());
    thread::spawn(move || {
        let _ = io::copy(&mut there, &mut back);
        let _ = back.shutdown(Shutdown::Write);
    });
    thread::spawn(move || tamper(to_listener, from_dialer));
    (dialer, listener)
}

/// Runs a whole conversation in which the listener's bytes are cut after `limit`.
fn cut_after(limit: u64) -> Result<Vec<u8>, ChannelError> {
    let (dialer, listener) = over_wire(move |from, mut to| {
        let _ = io::copy(&mut from.take(limit), &mut to);
        let _ = to.shutdown(Shutdown::Both);
    });
    let own = keys(LISTENER, DIALER);
    thread::spawn(move || {
        let mut channel = TlsChannel::handshake(listener, Role::Listener, &own, PATIENT)?;
        channel.send(&[7; 1000])?;
        channel.receive(1)
    });
    TlsChannel::handshake(dialer, Role::Dialer, &keys(DIALER, LISTENER), PATIENT)?.receive(1000)
}

#[test]
fn a_cut_stream_is_never_an_end() {
    for limit in (0..2600).step_by(97) {
        match cut_after(limit) {
            Ok(frame) => assert_eq!(frame, [7; 1000]),
            Err(error) => assert!(
                matches!(error, ChannelError::Truncated),
                "after {limit}: {error:?}"
            ),
        }
    }
    assert!(cut_after(u64::MAX).is_ok());
}

#[test]
fn a_changed_byte_on_the_wire_is_noticed() {
    let (dialer, listener) = over_wire(|mut from, mut to| {
        let mut buffer = [0; 4096];
        let mut passed = 0;
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            // The 1000 bytes of the frame come last; the handshake is longer than this.
            if passed > 1000 {
                buffer[count - 1] ^= 1;
            }
            passed += count;
            let _ = to.write_all(&buffer[..count]);
        }
    });
    let (one, other) = shake_over(
        dialer,
        keys(DIALER, LISTENER),
        listener,
        keys(LISTENER, DIALER),
        PATIENT,
    );
    let mut other = other.unwrap();
    other.send(&[7; 1000]).unwrap();
    let error = one.and_then(|mut channel| channel.receive(1000)).unwrap_err();
    assert!(
        matches!(error, ChannelError::Tls(rustls::Error::DecryptError)),
        "{error:?}"
    );
}

#[test]
fn an_end_and_an_abort_differ() {
    let (one, mut other) = channels(PATIENT);
    one.close().unwrap();
    assert!(matches!(other.receive(1), Err(ChannelError::Closed)));
    assert!(matches!(other.send(b"x"), Err(ChannelError::Closed)));
    assert!(matches!(other.close(), Err(ChannelError::Closed)));

    let (one, mut other) = channels(PATIENT);
    drop(one);
    assert!(matches!(other.receive(1), Err(ChannelError::Truncated)));
}

#[test]
fn the_second_to_end_finds_nothing_wrong() {
    let (mut one, mut other) = channels(PATIENT);
    one.send(b"last").unwrap();
    one.close().unwrap();
    assert_eq!(other.receive(4).unwrap(), b"last");
    other.close().unwrap();

    let (one, mut other) = channels(PATIENT);
    drop(one);
    while other.send(&[0; 1000]).is_ok() {}
    assert!(matches!(other.close(), Err(ChannelError::Closed)));
}

#[test]
fn an_end_inside_a_frame_is_a_cut() {
    let (mut one, mut other) = channels(PATIENT);
    one.connection.writer().write_all(&[9, 0, 0, 0, 1, 2, 3]).unwrap();
    one.close().unwrap();
    assert!(matches!(other.receive(9), Err(ChannelError::Truncated)));
}

#[test]
fn a_lying_length_is_refused_before_memory_is_taken() {
    let (mut one, mut other) = channels(PATIENT);
    one.connection
        .writer()
        .write_all(&u32::MAX.to_le_bytes())
        .unwrap();
    one.post().unwrap();
    let error = other.receive(usize::MAX).unwrap_err();
    assert!(matches!(
        error,
        ChannelError::TooLarge {
            length: 0xffff_ffff,
            limit: MAX_FRAME_BYTES
        }
    ));
    assert!(
        matches!(other.receive(1), Err(ChannelError::Closed)),
        "a broken channel stays broken"
    );
    assert!(matches!(
        one.send(&vec![0; MAX_FRAME_BYTES + 1]),
        Err(ChannelError::TooLarge { .. })
    ));
}

#[test]
fn after_a_frame_of_another_length_a_channel_stays_broken() {
    let (mut one, mut other) = channels(PATIENT);
    one.send(b"four").unwrap();
    one.send(b"more").unwrap();
    assert!(matches!(
        other.receive_exactly(5),
        Err(ChannelError::WrongLength { .. })
    ));
    assert!(matches!(other.receive(5), Err(ChannelError::Closed)));
    assert!(matches!(other.send(b"x"), Err(ChannelError::Closed)));
}

#[test]
fn an_endless_stall_timeout_is_as_good_as_a_long_one() {
    let (mut one, mut other) = channels(Duration::MAX);
    one.send(b"x").unwrap();
    assert_eq!(other.receive(1).unwrap(), b"x");
}

#[test]
fn a_silent_peer_and_one_that_never_reads_are_stalled() {
    let (mut one, mut other) = channels(SHORT);
    assert!(matches!(other.receive(1), Err(ChannelError::Stalled { .. })));
    // More than the sockets hold, so that something stays queued.
    one.send(&vec![0; 32 << 20]).unwrap();
    assert!(matches!(one.close(), Err(ChannelError::Stalled { .. })));
}

#[test]
fn a_trickle_does_not_hold_a_frame() {
    let (mut one, mut other) = channels(SHORT);
    let trickle = thread::spawn(move || {
        one.connection
            .writer()
            .write_all(&1000_u32.to_le_bytes())
            .unwrap();
        while one
            .connection
            .writer()
            .write_all(&[0])
            .map_err(from_io)
            .and_then(|()| one.post())
            .is_ok()
        {
            thread::park_timeout(SHORT / 10);
        }
    });
    assert!(matches!(other.receive(1000), Err(ChannelError::Stalled { .. })));
    drop(other);
    trickle.join().unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn random_bytes_never_make_a_channel(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        facing_bytes(&bytes, true, PATIENT);
        let mut record = vec![0x16, 0x03, 0x01];
        record.extend_from_slice(&(bytes.len() as u16).to_be_bytes());
        record.extend_from_slice(&bytes);
        facing_bytes(&record, true, PATIENT);
    }
}
