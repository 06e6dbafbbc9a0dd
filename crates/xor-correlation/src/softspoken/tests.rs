use super::*;
use xor_base::kernels::prg::Prg;

/// 128 random OTs from a trusted party.
fn dealt(seed: u128) -> (OtSent, OtReceived) {
    let mut prg = Prg::new(Block(seed));
    let choices = prg.block();
    let keys: Vec<[Block; 2]> = (0..BASE_OTS).map(|_| [prg.block(), prg.block()]).collect();
    let chosen = keys
        .iter()
        .enumerate()
        .map(|(i, keys)| keys[(choices.0 >> i & 1) as usize]);
    let received = OtReceived {
        keys: Zeroizing::new(chosen.collect()),
        choices: vec![choices],
    };
    (
        OtSent {
            keys: Zeroizing::new(keys),
        },
        received,
    )
}

#[test]
fn a_receiver_inconsistent_in_g_groups_passes_with_probability_two_to_the_minus_gk() {
    const TREE_DEPTH: usize = 2;
    let domain = Domain::new(b"inconsistent");
    let mut passed = [0; 3];
    for run in 0..256 {
        for (groups, passed) in (1..).zip(&mut passed) {
            let (sent, received) = dealt(run);
            let (mut receiver, setup) = Receiver::new(domain, TREE_DEPTH, &sent).unwrap();
            let mut sender = Sender::new(domain, TREE_DEPTH, &received, &setup).unwrap();
            // Behind the first group, one row of corrections for each: 256 COTs and a mask are 3 blocks.
            let spoil = |corrections: &mut [Block]| {
                corrections
                    .chunks_mut(3)
                    .take(groups)
                    .for_each(|row| row[0] ^= Block(1));
            };
            // Its hashes are those of what it has: right where the bits of Δ it bet on are all zero.
            let (_, message) = receiver.extend_with(256, spoil).unwrap();
            let bet = sender.delta.0 >> TREE_DEPTH & ((1 << (TREE_DEPTH * groups)) - 1);
            let ended = sender.extend(256, &message);
            assert_eq!(ended.is_ok(), bet == 0);
            *passed += i32::from(ended.is_ok());
        }
    }
    // Of 256: 64, 16 and 4 expected.
    assert!(
        (30..100).contains(&passed[0]) && (1..40).contains(&passed[1]) && passed[2] < 18,
        "{passed:?}"
    );
}

#[test]
fn every_spoilt_bit_of_a_passive_message_is_caught() {
    let domain = Domain::new(b"flips");
    for tree_depth in [3, 8] {
        let (sent, received) = dealt(tree_depth as u128);
        let (mut receiver, setup) = Receiver::new(domain, tree_depth, &sent).unwrap();
        let (_, message) = receiver.extend(128).unwrap();
        assert_eq!(message.len(), extension_bytes(tree_depth, 128));
        for at in 0..message.len() {
            let mut sender = Sender::new(domain, tree_depth, &received, &setup).unwrap();
            let mut spoilt = message.clone();
            spoilt[at] ^= 1 << (at % 8);
            assert!(matches!(
                sender.extend(128, &spoilt),
                Err(CorrelationError::InconsistentExtension)
            ));
        }
    }
}

#[test]
fn a_row_is_the_sum_of_the_leaves_that_have_its_bit() {
    for words in [1, 31, 32, 33, 70] {
        let mut streams: Vec<Prg> = (0..8).map(|i| Prg::new(Block(i))).collect();
        let all: Vec<Vec<Block>> = (0..8).map(|i| Prg::new(Block(i)).blocks(words)).collect();
        let (mut rows, mut sum) = (vec![Block::ZERO; 3 * words], vec![Block::ZERO; words]);
        fold::tree(&mut streams, words, &mut rows, &mut sum);
        let expected = |has: &dyn Fn(usize) -> bool| -> Vec<Block> {
            let mut out = vec![Block::ZERO; words];
            (0..8)
                .filter(|leaf| has(*leaf))
                .for_each(|leaf| xor_into(&mut out, &all[leaf]));
            out
        };
        assert_eq!(sum, expected(&|_| true));
        for (bit, row) in rows.chunks(words).enumerate() {
            assert_eq!(row, expected(&|leaf| leaf >> bit & 1 == 1));
        }
    }
}

#[test]
fn packed_bits_are_the_number_they_spell() {
    let number = Prg::new(Block(4)).block();
    let bits: Vec<Block> = (0..128).map(|i| Block(number.0 >> i & 1)).collect();
    assert_eq!(pack_all(&bits).as_slice(), [number]);
}

#[test]
fn more_than_a_message_can_carry_is_refused() {
    let (sent, _) = dealt(1);
    let (mut receiver, _) = Receiver::new(Domain::new(b"many"), 2, &sent).unwrap();
    assert!(matches!(
        receiver.extend(MAX_COTS + 1),
        Err(CorrelationError::TooMany { .. })
    ));
}
