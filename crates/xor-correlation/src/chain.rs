//! COTs → base VOLEs → dual LPN → primal LPN, at each of the two players.

use xor_base::kernels::gf128::mul;
use xor_base::kernels::{Block, prg::Prg};
use xor_base::random;
use xor_channel::Channel;
use zeroize::Zeroizing;

use crate::domain::Domain;
use crate::error::CorrelationError;
use crate::lpn::{dual, primal};
use crate::noise::{self, Weights, correction_bytes};
use crate::ot::{CotReceived, CotSent};
use crate::params::{DIGEST_BYTES, DUAL_OUTPUTS, Noise, PRIMAL_SECRET, primal_base};
use crate::plan::{DUAL_BASE, Plan, path_words};
use crate::slot::Pair;
use crate::softspoken::pack;
use crate::vole::{VoleReceived, VoleSent};

const WORD: usize = 128;

type Shares<S> = Zeroizing<Vec<S>>;

/// The sender, once all corrections are sent.
pub struct Sender {
    domain: Domain,
    delta: Block,
    /// Of every step, the dual one first: the sum of its share under the weights of its check.
    sums: Shares<Block>,
    slots: Shares<Block>,
}

impl Sender {
    /// Step 4, second half: sends the corrections of all steps.
    pub fn correct(
        domain: Domain,
        cots: &CotSent,
        plan: &Plan,
        channel: &mut dyn Channel,
    ) -> Result<Self, CorrelationError> {
        let mut sender = Self {
            domain,
            delta: cots.delta,
            sums: Zeroizing::default(),
            slots: Zeroizing::new(Vec::with_capacity(plan.slots)),
        };
        let (packed, mut rest) = cots.keys.split_at(DUAL_BASE * WORD);
        let mut base: Shares<Block> = Zeroizing::new(packed.chunks(WORD).map(pack).collect());
        for (step, noise) in plan.steps().enumerate() {
            let (paths, behind) = rest.split_at(path_words(noise) * WORD);
            rest = behind;
            let domain = sender.domain.child("step", step as u64);
            let ots = CotSent {
                delta: cots.delta,
                keys: Zeroizing::new(paths.to_vec()),
            };
            let ots = ots.hashed(&domain.permutation("ot"), 0);
            let (secret, noise_base, mask) = parts(&base, step, noise)?;
            let mut v = Zeroizing::new(vec![Block::ZERO; noise.length()]);
            let mut roots = Prg::new(Block::from_bytes(random::array()?));
            let message = noise::plant(&domain, noise, &mut roots, &ots, noise_base, &mut v);
            channel.send(&message)?;
            sender
                .sums
                .push(Weights::new(&domain, noise, &message).sum(&v) ^ mask);
            let made = match secret {
                None => Zeroizing::new(dual::compress(&domain, &mut v, DUAL_OUTPUTS)),
                Some(secret) => {
                    primal::add_products(&mut domain.expand("matrix", &[]), secret, &mut v);
                    v
                }
            };
            base = split(made, plan, step, &mut sender.slots);
        }
        Ok(sender)
    }

    /// Step 6: takes the receiver's answers and shows what its sums must be.
    pub fn confirm(self, channel: &mut dyn Channel) -> Result<VoleSent, CorrelationError> {
        let answers = channel.receive_exactly(self.sums.len() * Block::BYTES)?;
        let (answers, _) = answers.as_chunks::<{ Block::BYTES }>();
        let sums = self.sums.iter().zip(answers);
        let sums = sums.map(|(sum, answer)| *sum ^ mul(self.delta, Block::from_bytes(*answer)));
        let sums: Shares<Block> = Zeroizing::new(sums.collect());
        channel.send(&noise::digest(&self.domain, &sums))?;
        Ok(VoleSent {
            delta: Zeroizing::new(self.delta),
            v: self.slots,
        })
    }
}

/// The receiver, once all corrections are used.
pub struct Receiver {
    domain: Domain,
    sums: Shares<Block>,
    slots: Shares<Pair>,
}

impl Receiver {
    /// Step 5: reads the corrections of all steps and sends the answers of all checks.
    pub fn respond(
        domain: Domain,
        cots: &CotReceived,
        plan: &Plan,
        channel: &mut dyn Channel,
    ) -> Result<Self, CorrelationError> {
        let mut receiver = Self {
            domain,
            sums: Zeroizing::default(),
            slots: Zeroizing::new(Vec::with_capacity(plan.slots)),
        };
        let mut answers = Vec::new();
        let (packed, mut rest) = cots.macs.split_at(DUAL_BASE * WORD);
        let (bits, mut bits_rest) = cots.choices.split_at(DUAL_BASE);
        let base = packed.chunks(WORD).zip(bits).map(|(macs, bits)| Pair {
            a: *bits,
            c: pack(macs),
        });
        let mut base: Shares<Pair> = Zeroizing::new(base.collect());
        for (step, noise) in plan.steps().enumerate() {
            let (paths, behind) = rest.split_at(path_words(noise) * WORD);
            let (choices, behind_choices) = bits_rest.split_at(path_words(noise));
            (rest, bits_rest) = (behind, behind_choices);
            let domain = receiver.domain.child("step", step as u64);
            let ots = CotReceived {
                choices: Zeroizing::new(choices.to_vec()),
                macs: Zeroizing::new(paths.to_vec()),
            };
            let ots = ots.hashed(&domain.permutation("ot"), 0);
            let (secret, noise_base, mask) = parts(&base, step, noise)?;
            let message = channel.receive_exactly(correction_bytes(noise))?;
            let mut c = Zeroizing::new(vec![Block::ZERO; noise.length()]);
            let paths = noise::grow(&domain, noise, &ots, noise_base, &message, &mut c)?;
            let weights = Weights::new(&domain, noise, &message);
            receiver.sums.push(weights.sum(&c) ^ mask.c);
            answers.push(weights.sum_of_noise(&paths, noise_base) ^ mask.a);
            let mut shares = noise::paired(noise, &paths, noise_base, &c);
            let made = match secret {
                None => Zeroizing::new(dual::compress(&domain, &mut shares, DUAL_OUTPUTS)),
                Some(secret) => {
                    primal::add_products(&mut domain.expand("matrix", &[]), secret, &mut shares);
                    shares
                }
            };
            base = split(made, plan, step, &mut receiver.slots);
        }
        channel.send(xor_base::kernels::block::as_bytes(&answers))?;
        Ok(receiver)
    }

    /// Step 7: nothing that depends on the slots may leave before this.
    pub fn finish(self, channel: &mut dyn Channel) -> Result<VoleReceived, CorrelationError> {
        let claimed = channel.receive_exactly(DIGEST_BYTES)?;
        noise::compare(&self.domain, &self.sums, &claimed)?;
        Ok(VoleReceived {
            a: Zeroizing::new(self.slots.iter().map(|pair| pair.a).collect()),
            c: Zeroizing::new(self.slots.iter().map(|pair| pair.c).collect()),
        })
    }
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

/// The front of what a step made pays for the next one; the rest are slots.
fn split<S>(mut made: Shares<S>, plan: &Plan, step: usize, slots: &mut Shares<S>) -> Shares<S>
where
    S: Copy + zeroize::Zeroize,
{
    let Some(next) = plan.primal.get(step) else {
        let missing = plan.slots - slots.len();
        slots.extend(made.iter().take(missing));
        return Zeroizing::new(Vec::new());
    };
    let kept = primal_base(next.trees);
    if step > 0 {
        // The plan counts on what a full step would keep.
        slots.extend(made.iter().skip(primal_base(crate::params::PRIMAL_NOISE.trees)));
    }
    made.iter_mut().skip(kept).for_each(zeroize::Zeroize::zeroize);
    made.truncate(kept);
    made
}
