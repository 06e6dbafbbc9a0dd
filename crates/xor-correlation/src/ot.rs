//! Random and correlated OTs: what each player holds.

use std::fmt;

use xor_base::kernels::hash::tccr;
use xor_base::kernels::{Block, aes::Aes128};
use xor_base::wiped::Wiped;
use zeroize::Zeroizing;

/// Random OTs, sender: both keys of each.
pub struct OtSent {
    pub keys: Wiped<[Block; 2]>,
}

/// Random OTs, receiver: bit `i % 128` of `choices[i / 128]` is the choice of OT i, `keys[i]` its key.
pub struct OtReceived {
    pub choices: Vec<Block>,
    pub keys: Wiped<Block>,
}

/// Correlated OTs, sender: `keys[i] + u_i · delta` is what the receiver holds for its choice u_i.
pub struct CotSent {
    pub delta: Block,
    pub keys: Wiped<Block>,
}

/// Correlated OTs, receiver: bit `i % 128` of `choices[i / 128]` is u_i; `macs[i] = keys[i] + u_i · Δ`.
pub struct CotReceived {
    pub choices: Wiped<Block>,
    pub macs: Wiped<Block>,
}

impl CotSent {
    /// Random OTs by hashing; a number in `first_tweak..` is used once in a session.
    ///
    /// # Security
    /// Tweakable correlation robustness, as a cheating peer chose the other end's keys in part.
    ///
    /// # Source
    /// Guo, Katz, Wang, Yu, S&P 2020 (eprint 2019/074), section 7.4.
    #[must_use]
    pub fn hashed(&self, pi: &Aes128, first_tweak: u128) -> OtSent {
        let mut zero = Wiped::zeros(self.keys.len());
        let mut one = Zeroizing::new(self.keys.iter().map(|key| *key ^ self.delta).collect::<Vec<_>>());
        tccr(pi, first_tweak, &self.keys, &mut zero);
        let shifted = Wiped::new(std::mem::take(&mut *one));
        one.resize(shifted.len(), Block::ZERO);
        tccr(pi, first_tweak, &shifted, &mut one);
        let keys = zero.iter().zip(one.iter()).map(|(zero, one)| [*zero, *one]);
        OtSent {
            keys: Wiped::new(keys.collect()),
        }
    }
}

impl CotReceived {
    /// The receiver's end of [`CotSent::hashed`].
    #[must_use]
    pub fn hashed(&self, pi: &Aes128, first_tweak: u128) -> OtReceived {
        let mut keys = Wiped::zeros(self.macs.len());
        tccr(pi, first_tweak, &self.macs, &mut keys);
        OtReceived {
            choices: self.choices.to_vec(),
            keys,
        }
    }
}

macro_rules! quiet {
    ($($name:ident . $field:ident),*) => {$(
        // Keys and choices are secrets: only their number is shown.
        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, concat!(stringify!($name), "({})"), self.$field.len())
            }
        }
    )*};
}
quiet!(OtSent.keys, OtReceived.keys, CotSent.keys, CotReceived.macs);
