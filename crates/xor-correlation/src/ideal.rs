//! The trusted party behind both traits, for tests of what is built on them.

use xor_base::kernels::gf128::mul;
use xor_base::kernels::{Block, prg::Prg};
use xor_base::random;
use xor_channel::Channel;
use zeroize::Zeroizing;

use crate::cot::Cot;
use crate::domain::Domain;
use crate::error::CorrelationError;
use crate::ot::{CotReceived, CotSent};
use crate::vole::{Begun, Vole, VoleReceived, VoleSent};
use crate::{Counts, Seat};

/// One end of an ideal correlation. Both ends know a seed, so this protects nothing.
#[derive(Clone, Debug)]
pub struct Ideal {
    domain: Domain,
    seat: Seat,
    attempts: u64,
}

impl Ideal {
    /// Two ends with new randomness.
    ///
    /// # Errors
    /// `NoRandomness`.
    pub fn pair() -> Result<(Self, Self), CorrelationError> {
        Ok(Self::pair_from_seed(random::array()?))
    }

    /// Two ends whose correlations follow from `seed`.
    #[must_use]
    pub fn pair_from_seed(seed: [u8; 32]) -> (Self, Self) {
        let of = |seat| Self {
            domain: Domain::new(&seed),
            seat,
            attempts: 0,
        };
        (of(Seat::Zero), of(Seat::One))
    }

    /// Compares what the players ask for, then names the streams of both directions.
    fn agree(
        &mut self,
        what: &str,
        counts: Counts,
        channel: &mut dyn Channel,
    ) -> Result<(Prg, Prg), CorrelationError> {
        let attempt = self.domain.child(what, self.attempts);
        self.attempts += 1;
        let ask = |seat: Seat, counts: Counts| {
            let [receive, send] = [counts.receive, counts.send].map(|count| (count as u64).to_le_bytes());
            attempt
                .child("ask", seat.number())
                .keyed("counts", &[&receive, &send])
        };
        channel.send(&ask(self.seat, counts))?;
        let asked = channel.receive_exactly(ask(self.seat, counts).len())?;
        if asked != ask(self.seat.other(), counts.mirrored()) {
            return Err(CorrelationError::PeerDisagrees);
        }
        let of = |sender: Seat| attempt.child("sender", sender.number()).expand("stream", &[]);
        Ok((of(self.seat.other()), of(self.seat)))
    }
}

impl Vole for Ideal {
    fn begin(&mut self, counts: Counts, channel: &mut dyn Channel) -> Result<Begun, CorrelationError> {
        let (mut received, mut sent) = self.agree("vole", counts, channel)?;
        let delta = received.block();
        let v = received.blocks(counts.receive);
        let a = received.blocks(counts.receive);
        let c = a.iter().zip(&v).map(|(a, v)| mul(*a, delta) ^ *v).collect();
        Ok(Begun {
            a: Zeroizing::new(a),
            c: Zeroizing::new(c),
            sent: VoleSent {
                delta: Zeroizing::new(sent.block()),
                v: Zeroizing::new(sent.blocks(counts.send)),
            },
            checks: None,
        })
    }

    fn confirm(&mut self, _begun: &mut Begun, _channel: &mut dyn Channel) -> Result<(), CorrelationError> {
        Ok(())
    }

    fn finish(
        &mut self,
        begun: Begun,
        _channel: &mut dyn Channel,
    ) -> Result<(VoleReceived, VoleSent), CorrelationError> {
        let received = VoleReceived {
            a: begun.a,
            c: begun.c,
        };
        Ok((received, begun.sent))
    }
}

impl Cot for Ideal {
    fn exchange(
        &mut self,
        counts: Counts,
        channel: &mut dyn Channel,
    ) -> Result<(CotReceived, CotSent), CorrelationError> {
        let rounded = |count: usize| count.next_multiple_of(128);
        let (mut received, mut sent) = self.agree("cot", counts, channel)?;
        let delta = received.block();
        let mut macs = received.blocks(rounded(counts.receive));
        let choices = received.blocks(macs.len() / 128);
        for (macs, word) in macs.chunks_mut(128).zip(&choices) {
            for (bit, mac) in macs.iter_mut().enumerate() {
                *mac ^= delta & Block::mask(word.0 >> bit & 1 == 1);
            }
        }
        let received = CotReceived {
            choices: Zeroizing::new(choices),
            macs: Zeroizing::new(macs),
        };
        let sent = CotSent {
            delta: sent.block(),
            keys: Zeroizing::new(sent.blocks(rounded(counts.send))),
        };
        Ok((received, sent))
    }
}
