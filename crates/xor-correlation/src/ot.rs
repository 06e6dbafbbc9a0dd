//! Random and correlated OTs: what each player holds.

use std::fmt;

use xor_base::kernels::hash::tccr;
use xor_base::kernels::{Block, aes::Aes128};
use xor_base::wiped::Wiped;
use zeroize::{Zeroize, Zeroizing};

use crate::domain::Domain;

/// Random OTs, sender: both keys of each.
pub struct OtSent {
    pub keys: Wiped<[Block; 2]>,
}

/// Random OTs, receiver: bit `i % 128` of `choices[i / 128]` is the choice of OT i, `keys[i]` its key.
pub struct OtReceived {
    pub choices: Vec<Block>,
    pub keys: Wiped<Block>,
}

impl OtSent {
    /// Each key hashed with the one that `other` has for the same OT and choice.
    ///
    /// # Security
    /// Keys are secret if those of either are; choices if both hide them. `domain` depends on both transcripts.
    #[must_use]
    pub fn joined(&self, other: &Self, domain: &Domain) -> Self {
        let pairs = self.keys.iter().zip(other.keys.iter()).enumerate();
        let keys = pairs.map(|(index, (one, other))| {
            let ([zero, one], [other_zero, other_one]) = (one, other);
            [
                joined_key(domain, index, 0, zero, other_zero),
                joined_key(domain, index, 1, one, other_one),
            ]
        });
        Self {
            keys: Wiped::new(keys.collect()),
        }
    }
}

impl OtReceived {
    /// The receiver's end of [`OtSent::joined`]; both were made for the same choices.
    #[must_use]
    pub fn joined(&self, other: &Self, domain: &Domain) -> Self {
        let pairs = self.keys.iter().zip(other.keys.iter()).enumerate();
        let keys = pairs.map(|(index, (one, other))| {
            let word = self.choices.get(index / 128).copied().unwrap_or_default();
            joined_key(domain, index, (word.0 >> (index % 128) & 1) as u8, one, other)
        });
        Self {
            choices: self.choices.clone(),
            keys: Wiped::new(keys.collect()),
        }
    }
}

fn joined_key(domain: &Domain, index: usize, choice: u8, one: &Block, other: &Block) -> Block {
    let mut bytes = [one.to_bytes(), other.to_bytes()];
    let [one, other] = &bytes;
    let key = domain.block(
        "joined key",
        &[&(index as u64).to_le_bytes(), &[choice], one, other],
    );
    bytes.zeroize();
    key
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
