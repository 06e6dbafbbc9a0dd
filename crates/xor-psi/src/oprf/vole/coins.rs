//! What both players toss: the salt of all hashes, a seed and a mask for each direction.
//!
//! Both commit to their nonces, so neither chooses the salt. The encoder of a table commits to its share of the seed before it sees the evaluator's, so neither chooses the
//! seed; the evaluator commits to its share of the mask before it sees the table, and opens it afterwards.

use subtle::ConstantTimeEq;
use xor_base::kernels::Block;
use xor_base::random;
use xor_channel::Channel;

use super::super::{OprfError, Side};

pub const COIN_BYTES: usize = 32;
/// Three commitments.
pub const OPENING_BYTES: usize = 3 * COIN_BYTES;
/// All frames of one toss: openings; nonce and share of the seed; seed and mask; mask.
pub const FRAMES: [usize; 4] = [OPENING_BYTES, 2 * COIN_BYTES, 2 * COIN_BYTES, COIN_BYTES];

const SALT: &str = "xor vole-oprf v1 salt";
const COMMITMENT: &str = "xor vole-oprf v1 commitment";
const SEED: &str = "xor vole-oprf v1 seed";

type Coin = [u8; COIN_BYTES];

/// What a commitment is to. All are also bound to their player.
#[derive(Clone, Copy)]
enum Share {
    Nonce,
    Seed,
    Mask,
}

/// Shares of one player. As encoder: of seed and mask; as evaluator of the peer's table: likewise.
#[derive(Clone, Copy, Default)]
struct Shares {
    encoder_seed: Coin,
    encoder_mask: Coin,
    evaluator_seed: Coin,
    evaluator_mask: Coin,
}

/// All coins of one exchange, known as far as the messages have come.
pub struct Coins {
    side: Side,
    salt: Coin,
    own: Shares,
    peer: Shares,
    /// The peer's, to its share of its seed and to its share of the mask on this player's table.
    commitments: [Coin; 2],
}

impl Coins {
    /// Steps 1 and 2.
    pub fn toss(side: Side, channel: &mut dyn Channel) -> Result<Self, OprfError> {
        let coin = || random::array::<COIN_BYTES>().map_err(|_| OprfError::NoRandomness);
        let own = Shares {
            encoder_seed: coin()?,
            encoder_mask: coin()?,
            evaluator_seed: coin()?,
            evaluator_mask: coin()?,
        };
        let nonce = coin()?;
        let opening = [
            commit(side, Share::Nonce, &nonce),
            commit(side, Share::Seed, &own.encoder_seed),
            commit(side, Share::Mask, &own.evaluator_mask),
        ];
        channel.send(opening.as_flattened())?;
        let [of_nonce, of_seed, of_mask] = read(channel)?;
        // Only now: the peer's commitments stand.
        channel.send([nonce, own.evaluator_seed].as_flattened())?;
        let [peer_nonce, evaluator_seed] = read(channel)?;
        check(&of_nonce, side.other(), Share::Nonce, &peer_nonce)?;
        let peer = Shares {
            evaluator_seed,
            ..Shares::default()
        };
        let nonces = match side {
            Side::Left => [nonce, peer_nonce],
            Side::Right => [peer_nonce, nonce],
        };
        Ok(Self {
            side,
            salt: blake3::derive_key(SALT, nonces.as_flattened()),
            own,
            peer,
            commitments: [of_seed, of_mask],
        })
    }

    /// Public, new for every exchange and chosen by neither player: what hashes and a session of correlations
    /// that starts here are bound to.
    pub fn salt(&self) -> &Coin {
        &self.salt
    }

    /// Step 4: beside this player's table.
    pub fn open_seed(&self, channel: &mut dyn Channel) -> Result<(), OprfError> {
        channel.send([self.own.encoder_seed, self.own.encoder_mask].as_flattened())?;
        Ok(())
    }

    pub fn read_seed(&mut self, channel: &mut dyn Channel) -> Result<(), OprfError> {
        let [seed, mask] = read(channel)?;
        let [committed, _] = self.commitments;
        check(&committed, self.side.other(), Share::Seed, &seed)?;
        self.peer.encoder_seed = seed;
        self.peer.encoder_mask = mask;
        Ok(())
    }

    /// Step 5: once the peer's table is here.
    pub fn open_mask(&self, channel: &mut dyn Channel) -> Result<(), OprfError> {
        channel.send(&self.own.evaluator_mask)?;
        Ok(())
    }

    pub fn read_mask(&mut self, channel: &mut dyn Channel) -> Result<(), OprfError> {
        let [mask] = read(channel)?;
        let [_, committed] = self.commitments;
        check(&committed, self.side.other(), Share::Mask, &mask)?;
        self.peer.evaluator_mask = mask;
        Ok(())
    }

    /// Of this player's table.
    pub fn own_seed(&self) -> Block {
        seed(self.side, &self.own.encoder_seed, &self.peer.evaluator_seed)
    }

    /// Of the peer's.
    pub fn peer_seed(&self) -> Block {
        seed(
            self.side.other(),
            &self.peer.encoder_seed,
            &self.own.evaluator_seed,
        )
    }

    /// w of the direction in which this player encodes.
    pub fn own_mask(&self) -> Block {
        low(&self.own.encoder_mask) ^ low(&self.peer.evaluator_mask)
    }

    /// w of the other.
    pub fn peer_mask(&self) -> Block {
        low(&self.peer.encoder_mask) ^ low(&self.own.evaluator_mask)
    }
}

/// One frame of exactly `N` coins.
fn read<const N: usize>(channel: &mut dyn Channel) -> Result<[Coin; N], OprfError> {
    let frame = channel.receive_exactly(N * COIN_BYTES)?;
    let (coins, _) = frame.as_chunks::<COIN_BYTES>();
    coins.try_into().map_err(|_| OprfError::BadCommitment)
}

fn commit(player: Side, share: Share, coin: &Coin) -> Coin {
    let mut message = [0; COIN_BYTES + 2];
    let (head, body) = message.split_at_mut(2);
    head.copy_from_slice(&[player.byte(), share as u8]);
    body.copy_from_slice(coin);
    blake3::derive_key(COMMITMENT, &message)
}

fn check(committed: &Coin, player: Side, share: Share, coin: &Coin) -> Result<(), OprfError> {
    if bool::from(commit(player, share, coin).ct_eq(committed)) {
        Ok(())
    } else {
        Err(OprfError::BadCommitment)
    }
}

fn seed(encoder: Side, own: &Coin, other: &Coin) -> Block {
    let shares = [[encoder.byte(); COIN_BYTES], *own, *other];
    low(&blake3::derive_key(SEED, shares.as_flattened()))
}

fn low(coin: &Coin) -> Block {
    let (low, _) = coin.as_chunks::<{ Block::BYTES }>();
    low.first().map_or(Block::ZERO, |bytes| Block::from_bytes(*bytes))
}
