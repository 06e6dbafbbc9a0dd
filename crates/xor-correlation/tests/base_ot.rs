//! Base OTs: both ends agree, and nothing that is no element passes.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use common::bit;
use xor_correlation::base_ot::{REPLY_BYTES, REQUEST_BYTES, Receiver, answer};
use xor_correlation::{CorrelationError, Domain};

fn domain() -> Domain {
    Domain::new(b"base ot test")
}

#[test]
fn the_receiver_gets_the_key_of_its_choice_and_only_that() {
    let receiver = Receiver::new(domain()).unwrap();
    assert_eq!(receiver.request().len(), REQUEST_BYTES);
    let (reply, sent) = answer(&domain(), receiver.request()).unwrap();
    assert_eq!(reply.len(), REPLY_BYTES);
    let received = receiver.finish(&reply).unwrap();
    assert_eq!((received.keys.len(), sent.keys.len()), (128, 128));
    for (i, (key, keys)) in received.keys.iter().zip(sent.keys.iter()).enumerate() {
        let choice = usize::from(bit(&received.choices, i));
        assert!(*key == keys[choice] && *key != keys[1 - choice]);
    }
}

#[test]
fn choices_are_fair_and_new() {
    let mut ones = 0;
    for _ in 0..16 {
        let receiver = Receiver::new(domain()).unwrap();
        let (reply, _) = answer(&domain(), receiver.request()).unwrap();
        ones += receiver.finish(&reply).unwrap().choices[0].0.count_ones();
    }
    // 2048 fair bits: mean 1024, deviation 23.
    assert!((840..1208).contains(&ones), "{ones}");
}

#[test]
fn another_session_gives_other_keys() {
    let receiver = Receiver::new(domain()).unwrap();
    let (reply, sent) = answer(&Domain::new(b"another"), receiver.request()).unwrap();
    let received = receiver.finish(&reply).unwrap();
    assert!(
        received
            .keys
            .iter()
            .zip(sent.keys.iter())
            .all(|(key, keys)| !keys.contains(key))
    );
}

/// RFC 9496, appendix A.3: a negative, a non-canonical, a non-square encoding; the identity.
fn no_elements() -> [[u8; 32]; 4] {
    let mut negative = [0; 32];
    negative[0] = 1;
    let mut not_canonical = [0xff; 32];
    not_canonical[31] = 0x7f;
    // 26948d35ca62e643e26a83177332e6b6afeb9d08e4268b650f1f5bbd8d81d371
    let not_square = [
        0x26, 0x94, 0x8d, 0x35, 0xca, 0x62, 0xe6, 0x43, 0xe2, 0x6a, 0x83, 0x17, 0x73, 0x32, 0xe6, 0xb6, 0xaf,
        0xeb, 0x9d, 0x08, 0xe4, 0x26, 0x8b, 0x65, 0x0f, 0x1f, 0x5b, 0xbd, 0x8d, 0x81, 0xd3, 0x71,
    ];
    [negative, not_canonical, not_square, [0; 32]]
}

#[test]
fn what_is_no_element_is_refused() {
    for bad in no_elements() {
        let receiver = Receiver::new(domain()).unwrap();
        for at in [0, 32, 64 * 127 + 32] {
            let mut request = receiver.request().to_vec();
            request[at..at + 32].copy_from_slice(&bad);
            assert!(matches!(
                answer(&domain(), &request),
                Err(CorrelationError::BadElement)
            ));
        }
        assert!(matches!(receiver.finish(&bad), Err(CorrelationError::BadElement)));
    }
}

#[test]
fn messages_of_another_length_are_refused() {
    let receiver = Receiver::new(domain()).unwrap();
    let request = receiver.request();
    for cut in [0, 1, 63, REQUEST_BYTES - 1] {
        assert!(answer(&domain(), &request[..cut]).is_err());
    }
    assert!(answer(&domain(), &[request, &[0; 64]].concat()).is_err());
    assert!(matches!(
        receiver.finish(&[1; 31]),
        Err(CorrelationError::BadElement)
    ));
}
