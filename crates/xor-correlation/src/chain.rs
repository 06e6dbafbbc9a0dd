//! COTs → base VOLEs → dual LPN → primal LPN, at each of the two players.

use xor_base::kernels::gf128::mul;
use xor_base::kernels::sparse::Pair;
use xor_base::kernels::{Block, prg::Prg};
use xor_base::random;
use xor_channel::Channel;
use zeroize::{Zeroize, Zeroizing};

use crate::domain::Domain;
use crate::error::CorrelationError;
use crate::lpn::dual;
use crate::lpn::primal::Matrix;
use crate::noise::{self, Corrections, Weights, correction_bytes};
use crate::ot::{CotReceived, CotSent, OtReceived, OtSent};
use crate::params::{
    DIGEST_BYTES, DUAL_NOISE, DUAL_OUTPUTS, Noise, PRIMAL_NOISE, PRIMAL_SECRET, primal_base,
};
use crate::plan::{DUAL_BASE, Plan, path_words};
use crate::softspoken::pack_all;
use crate::vole::VoleReceived;

const WORD: usize = 128;

type Shares<S> = Zeroizing<Vec<S>>;

/// What the sender keeps for step 6.
pub struct SenderCheck {
    domain: Domain,
    /// Of every step, the dual one first: the sum of its share under the weights of its check.
    sums: Shares<Block>,
}

/// Step 4, second half: sends the corrections of all steps; gives V.
pub fn correct(
    domain: Domain,
    cots: &CotSent,
    plan: &Plan,
    channel: &mut dyn Channel,
) -> Result<(Shares<Block>, SenderCheck), CorrelationError> {
    let (packed, mut rest) = cots.keys.split_at(DUAL_BASE * WORD);
    let mut base: Shares<Block> = pack_all(packed);
    let mut sums: Shares<Block> = Zeroizing::default();
    let mut slots: Shares<Block> = Zeroizing::new(vec![Block::ZERO; plan.room()]);
    let mut made_before = 0;
    for (step, noise) in plan.steps().enumerate() {
        let (keys, behind) = rest.split_at(path_words(noise) * WORD);
        rest = behind;
        let domain = domain.child("step", step as u64);
        let ots = ots_sent(&domain, cots.delta, keys);
        let (secret, noise_base, mask) = parts(&base, step, noise)?;
        let mut roots = Prg::new(Block::from_bytes(random::array()?));
        let mut dual_noise = Zeroizing::new(vec![Block::ZERO; if step == 0 { noise.length() } else { 0 }]);
        let v = match secret {
            None => dual_noise.as_mut_slice(),
            Some(_) => made(&mut slots, made_before, noise)?,
        };
        let message = noise::plant(&domain, noise, &mut roots, &ots, noise_base, v);
        channel.send(&message)?;
        let weights = Weights::new(&domain, noise, &message);
        match secret {
            None => {
                sums.push(weights.sum(v) ^ mask);
                base = Zeroizing::new(dual::compress(&domain, v, DUAL_OUTPUTS));
                if plan.primal.is_empty() {
                    slots = std::mem::take(&mut base);
                }
            }
            Some(secret) => {
                let matrix = Matrix::new(domain.block("matrix", &[]));
                sums.push(weights.sum_and_stretch(matrix, secret, v) ^ mask);
                made_before += noise.length();
                if step < plan.primal.len() {
                    made_before -= KEPT;
                    base = kept(v);
                }
            }
        }
    }
    forget_rest(&mut slots, plan.slots);
    Ok((slots, SenderCheck { domain, sums }))
}

impl SenderCheck {
    /// Step 6: takes the receiver's answers and shows what its sums must be.
    pub fn confirm(self, delta: Block, channel: &mut dyn Channel) -> Result<(), CorrelationError> {
        let answers = channel.receive_exactly(self.sums.len() * Block::BYTES)?;
        let (answers, _) = answers.as_chunks::<{ Block::BYTES }>();
        let sums = self.sums.iter().zip(answers);
        let sums = sums.map(|(sum, answer)| *sum ^ mul(delta, Block::from_bytes(*answer)));
        let sums: Shares<Block> = Zeroizing::new(sums.collect());
        channel.send(&noise::digest(&self.domain, &sums))?;
        Ok(())
    }
}

/// What the receiver keeps for step 7.
pub struct ReceiverCheck {
    domain: Domain,
    sums: Shares<Block>,
}

/// Step 5: reads the corrections of all steps and sends the answers of all checks; gives A' and C.
pub fn respond(
    domain: Domain,
    cots: &CotReceived,
    plan: &Plan,
    channel: &mut dyn Channel,
) -> Result<(VoleReceived, ReceiverCheck), CorrelationError> {
    let (packed, mut rest) = cots.macs.split_at(DUAL_BASE * WORD);
    let (bits, mut bits_rest) = cots.choices.split_at(DUAL_BASE);
    let packed = pack_all(packed);
    let pairs = bits.iter().zip(packed.iter()).map(|(a, c)| Pair { a: *a, c: *c });
    let mut base: Shares<Pair> = Zeroizing::new(pairs.collect());
    let mut sums: Shares<Block> = Zeroizing::default();
    let mut answers = Vec::new();
    let mut slots = VoleReceived {
        a: Zeroizing::new(vec![Block::ZERO; plan.room()]),
        c: Zeroizing::new(vec![Block::ZERO; plan.room()]),
    };
    let mut made_before = 0;
    for (step, noise) in plan.steps().enumerate() {
        let (keys, behind) = rest.split_at(path_words(noise) * WORD);
        let (choices, behind_choices) = bits_rest.split_at(path_words(noise));
        (rest, bits_rest) = (behind, behind_choices);
        let domain = domain.child("step", step as u64);
        let ots = ots_received(&domain, choices, keys);
        let (secret, noise_base, mask) = parts(&base, step, noise)?;
        let message = channel.receive_exactly(correction_bytes(noise))?;
        let corrections = Corrections::new(&domain, noise, &ots, noise_base, &message)?;
        let weights = Weights::new(&domain, noise, &message);
        answers.push(weights.sum_of_noise(&corrections.paths, noise_base) ^ mask.a);
        match secret {
            None => {
                let (mut pairs, sum) = corrections.grow_pairs(&weights);
                sums.push(sum ^ mask.c);
                base = Zeroizing::new(dual::compress(&domain, &mut pairs, DUAL_OUTPUTS));
                if plan.primal.is_empty() {
                    slots = VoleReceived {
                        a: Zeroizing::new(base.iter().map(|pair| pair.a).collect()),
                        c: Zeroizing::new(base.iter().map(|pair| pair.c).collect()),
                    };
                }
            }
            Some(secret) => {
                let matrix = Matrix::new(domain.block("matrix", &[]));
                let a = made(&mut slots.a, made_before, noise)?;
                let c = made(&mut slots.c, made_before, noise)?;
                sums.push(corrections.grow_and_stretch(&weights, matrix, secret, a, c) ^ mask.c);
                made_before += noise.length();
                if step < plan.primal.len() {
                    made_before -= KEPT;
                    base = Zeroizing::new(
                        kept(a)
                            .iter()
                            .zip(kept(c).iter())
                            .map(|(a, c)| Pair { a: *a, c: *c })
                            .collect(),
                    );
                }
            }
        }
    }
    channel.send(xor_base::kernels::block::as_bytes(&answers))?;
    forget_rest(&mut slots.a, plan.slots);
    forget_rest(&mut slots.c, plan.slots);
    Ok((slots, ReceiverCheck { domain, sums }))
}

impl ReceiverCheck {
    /// Step 7: nothing that depends on C may leave before this.
    pub fn compare(self, channel: &mut dyn Channel) -> Result<(), CorrelationError> {
        let claimed = channel.receive_exactly(DIGEST_BYTES)?;
        noise::compare(&self.domain, &self.sums, &claimed)
    }
}

fn ots_sent(domain: &Domain, delta: Block, keys: &[Block]) -> OtSent {
    let cots = CotSent {
        delta,
        keys: Zeroizing::new(keys.to_vec()),
    };
    cots.hashed(&domain.permutation("ot"), 0)
}

fn ots_received(domain: &Domain, choices: &[Block], macs: &[Block]) -> OtReceived {
    let cots = CotReceived {
        choices: Zeroizing::new(choices.to_vec()),
        macs: Zeroizing::new(macs.to_vec()),
    };
    cots.hashed(&domain.permutation("ot"), 0)
}

/// What a step consumes: the secret of a primal one, one VOLE for each tree, and the mask of its check.
type Parts<'a, S> = (Option<&'a [S; PRIMAL_SECRET]>, &'a [S], S);

fn parts<S: Copy>(base: &[S], step: usize, noise: Noise) -> Result<Parts<'_, S>, CorrelationError> {
    let (secret, rest) = if step == 0 {
        (None, base)
    } else {
        let (secret, rest) = base
            .split_first_chunk::<PRIMAL_SECRET>()
            .ok_or(CorrelationError::SessionEnded)?;
        (Some(secret), rest)
    };
    let (noisy, rest) = rest
        .split_at_checked(noise.trees)
        .ok_or(CorrelationError::SessionEnded)?;
    let mask = rest.first().ok_or(CorrelationError::SessionEnded)?;
    Ok((secret, noisy, *mask))
}

/// Outputs at the end of a step that pay for the next one, whose own outputs take their place.
const KEPT: usize = primal_base(PRIMAL_NOISE.trees);
const _: () = assert!(KEPT <= DUAL_OUTPUTS && KEPT < PRIMAL_NOISE.length());
const _: () = assert!(DUAL_NOISE.length() == 2 * DUAL_OUTPUTS);

/// Where a step's outputs stand, whatever the one before kept for it wiped.
fn made(slots: &mut [Block], before: usize, noise: Noise) -> Result<&mut [Block], CorrelationError> {
    let made = slots
        .get_mut(before..before + noise.length())
        .ok_or(CorrelationError::SessionEnded)?;
    Ok(made)
}

/// Moves the last outputs of a step out.
fn kept(made: &mut [Block]) -> Shares<Block> {
    let (_, kept) = made.split_at_mut(made.len().saturating_sub(KEPT));
    let base = Zeroizing::new(kept.to_vec());
    kept.zeroize();
    base
}

fn forget_rest(slots: &mut Shares<Block>, wanted: usize) {
    slots.iter_mut().skip(wanted).for_each(Zeroize::zeroize);
    slots.truncate(wanted);
}
