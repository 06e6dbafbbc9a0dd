//! The trusted third party: one random function per key, known to both ends of a test.
//!
//! Security: none against each other, since both ends hold the seed. It is the oracle and the fast
//! twin of the real back ends in tests, and no plan can name it.

use sha2::{Digest, Sha512};
use xor_channel::Channel;
use zeroize::Zeroizing;

use super::{Directions, Input, OnProgress, Oprf, OprfError, Output, Outputs, Progress, Shelf, Side, Sizes};
use crate::PsiError;
use crate::oprf::report;

const AGREEMENT_BYTES: usize = 1 + 8 + 8 + 8;
const SHARDS: usize = 3;

/// One end of a trusted third party that evaluates for both players.
pub struct IdealOprf {
    seed: Zeroizing<[u8; 32]>,
    exchange: u64,
}

impl IdealOprf {
    /// Makes the two ends, with random functions of their own.
    ///
    /// # Errors
    /// `NoRandomness`.
    pub fn pair() -> Result<(Self, Self), OprfError> {
        let mut seed = [0; 32];
        aws_lc_rs::rand::fill(&mut seed).map_err(|_| OprfError::NoRandomness)?;
        Ok(Self::pair_from_seed(seed))
    }

    /// Makes the two ends, reproducibly.
    #[must_use]
    pub fn pair_from_seed(seed: [u8; 32]) -> (Self, Self) {
        let end = || Self {
            seed: Zeroizing::new(seed),
            exchange: 0,
        };
        (end(), end())
    }

    fn function(&self, key_of: Side, input: &Input) -> Output {
        let digest = Sha512::new()
            .chain_update(*self.seed)
            .chain_update(self.exchange.to_le_bytes())
            .chain_update([key_of.byte()])
            .chain_update(input)
            .finalize();
        let mut output = [0; 16];
        output.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        output
    }

    fn outputs(&self, side: Side, directions: Directions, inputs: &[Input]) -> Outputs {
        let under = |key_of: Side, is_asked: bool| {
            let inputs = if is_asked { inputs } else { &[] };
            inputs.iter().map(|input| self.function(key_of, input)).collect()
        };
        Outputs {
            of_peer_key: under(side.other(), directions.receives()),
            of_own_key: under(side, directions.serves()),
        }
    }

    fn agree(
        &self,
        side: Side,
        inputs: usize,
        sizes: Sizes,
        channel: &mut dyn Channel,
    ) -> Result<(), OprfError> {
        if inputs > sizes.own {
            return Err(OprfError::TooManyInputs { bound: sizes.own });
        }
        channel.send(&self.agreement(side, sizes.own, sizes.peer))?;
        let of_peer = channel.receive_exactly(AGREEMENT_BYTES)?;
        if of_peer != self.agreement(side.other(), sizes.peer, sizes.own) {
            return Err(OprfError::PeerDisagrees);
        }
        Ok(())
    }

    fn finish(&mut self, sizes: Sizes, progress: OnProgress<'_>) -> Result<(), OprfError> {
        self.exchange += 1;
        let total = sizes.own as u64;
        report(
            progress,
            Progress {
                step: "oprf",
                done: total,
                total,
            },
        )
    }

    fn agreement(&self, side: Side, own: usize, peer: usize) -> [u8; AGREEMENT_BYTES] {
        let numbers = [self.exchange, own as u64, peer as u64].map(u64::to_le_bytes);
        let mut frame = [side.byte(); AGREEMENT_BYTES];
        frame
            .iter_mut()
            .skip(1)
            .zip(numbers.as_flattened())
            .for_each(|(to, from)| *to = *from);
        frame
    }
}

impl Oprf for IdealOprf {
    /// One frame of 25 bytes each way: both ends check that they mean the same exchange.
    fn evaluate(
        &mut self,
        side: Side,
        directions: Directions,
        inputs: &[Input],
        sizes: Sizes,
        channel: &mut dyn Channel,
        progress: OnProgress<'_>,
    ) -> Result<Outputs, OprfError> {
        self.agree(side, inputs.len(), sizes, channel)?;
        let outputs = self.outputs(side, directions, inputs);
        self.finish(sizes, progress)?;
        Ok(outputs)
    }

    /// In shards, whatever the bounds are: what shards change is tested with few rows.
    fn exchange_shelved(
        &mut self,
        side: Side,
        shelf: &mut dyn Shelf<Error = PsiError>,
        sizes: Sizes,
        channel: &mut dyn Channel,
        progress: OnProgress<'_>,
    ) -> Result<(), PsiError> {
        self.agree(side, shelf.count(), sizes, channel)?;
        shelf.sort(SHARDS, &|inputs| {
            let shard = |input: &Input| u16::from(input[31]) % SHARDS as u16;
            inputs.iter().map(shard).collect()
        })?;
        for shard in 0..SHARDS {
            let inputs = shelf.inputs(shard)?;
            let outputs = self.outputs(side, Directions::Both, &inputs);
            shelf.keep(&inputs, outputs)?;
        }
        Ok(self.finish(sizes, progress)?)
    }
}
