use super::*;

const NOISE: Noise = Noise { trees: 5, depth: 3 };

/// Both ends of a step, from trusted OTs and base VOLEs.
struct Step {
    domain: Domain,
    delta: Block,
    ots: OtReceived,
    base: Vec<Pair>,
    mask: Pair,
    mask_v: Block,
    message: Vec<u8>,
    v: Vec<Block>,
}

fn step(seed: u128) -> Step {
    let mut prg = Prg::new(Block(seed));
    let domain = Domain::new(b"noise");
    let delta = prg.block();
    let choices = prg.block();
    let keys: Vec<[Block; 2]> = (0..15).map(|_| [prg.block(), prg.block()]).collect();
    let chosen = keys
        .iter()
        .enumerate()
        .map(|(i, keys)| keys[(choices.0 >> i & 1) as usize]);
    let ots = OtReceived {
        keys: Zeroizing::new(chosen.collect()),
        choices: vec![choices],
    };
    let base_v = prg.blocks(6);
    let base = base_v.iter().map(|v| {
        let a = prg.block();
        Pair {
            a,
            c: mul(a, delta) ^ *v,
        }
    });
    let mut base: Vec<Pair> = base.collect();
    let mask = base.pop().unwrap();
    let mut v = vec![Block::ZERO; NOISE.length()];
    let sent = OtSent {
        keys: Zeroizing::new(keys),
    };
    let message = plant(&domain, NOISE, &mut prg, &sent, &base_v[..5], &mut v);
    Step {
        domain,
        delta,
        ots,
        base,
        mask,
        mask_v: base_v[5],
        message,
        v,
    }
}

impl Step {
    /// The receiver's part, on whatever message; the sender's sum moved by `bet`.
    fn ends(&self, message: &[u8], bet: impl Fn(&Weights) -> Block) -> (Vec<Pair>, Paths, bool) {
        let corrections = Corrections::new(&self.domain, NOISE, &self.ots, &self.base, message).unwrap();
        let weights = Weights::new(&self.domain, NOISE, message);
        let answer = weights.sum_of_noise(&corrections.paths, &self.base) ^ self.mask.a;
        let senders = weights.sum(&self.v) ^ self.mask_v ^ mul(self.delta, answer) ^ bet(&weights);
        let (pairs, receivers) = corrections.grow_pairs(&weights);
        let shown = digest(&self.domain, &[senders]);
        let passes = compare(&self.domain, &[receivers ^ self.mask.c], &shown).is_ok();
        (pairs.to_vec(), corrections.paths, passes)
    }
}

#[test]
fn one_position_of_each_block_is_noisy_and_the_check_passes() {
    for seed in 0..20 {
        let step = step(seed);
        assert_eq!(step.message.len(), correction_bytes(NOISE));
        let (pairs, paths, passes) = step.ends(&step.message, |_| Block::ZERO);
        assert!(passes);
        for (at, (pair, v)) in pairs.iter().zip(&step.v).enumerate() {
            assert!(pair.c == mul(pair.a, step.delta) ^ *v);
            let is_noisy = paths[at / 8] as usize == at % 8;
            let expected = if is_noisy {
                step.base[at / 8].a
            } else {
                Block::ZERO
            };
            assert!(pair.a == expected);
        }
    }
}

#[test]
fn a_wrong_correction_passes_only_with_the_right_guess_of_the_position() {
    for seed in 0..10 {
        let step = step(seed);
        let wrong = Block(0x1234_5678);
        for tree in 0..NOISE.trees {
            let mut message = step.message.clone();
            // The last of the seven blocks of a tree.
            let at = tree * 112 + 96;
            for (byte, wrong) in message[at..].iter_mut().zip(wrong.to_bytes()) {
                *byte ^= wrong;
            }
            assert!(!step.ends(&message, |_| Block::ZERO).2, "without a guess");
            for guess in 0..8 {
                let bet = |weights: &Weights| mul(mul(weights.within[guess], weights.across[tree]), wrong);
                let (_, paths, passes) = step.ends(&message, bet);
                assert_eq!(passes, paths[tree] as usize == guess);
            }
        }
    }
}

#[test]
fn a_wrong_sum_is_caught_if_and_only_if_the_path_opens_it() {
    let mut caught = 0;
    for seed in 0..10 {
        let step = step(seed);
        let (_, paths, _) = step.ends(&step.message, |_| Block::ZERO);
        for tree in 0..NOISE.trees {
            for level in 0..NOISE.depth {
                for half in 0..2 {
                    let mut message = step.message.clone();
                    message[tree * 112 + level * 32 + half * 16 + 3] ^= 8;
                    let passes = step.ends(&message, |_| Block::ZERO).2;
                    // A path into a half never opens that half's sum.
                    assert_eq!(passes, (paths[tree] >> level & 1) as usize == half);
                    caught += i32::from(!passes);
                }
            }
        }
    }
    assert_eq!(caught, 10 * 5 * 3, "one of both halves each");
}

#[test]
fn corrections_of_another_length_are_refused() {
    let step = step(1);
    for message in [&step.message[1..], &[step.message.clone(), vec![0]].concat(), &[]] {
        let ended = Corrections::new(&step.domain, NOISE, &step.ots, &step.base, message);
        assert!(matches!(ended, Err(CorrelationError::InconsistentVole)));
    }
}
