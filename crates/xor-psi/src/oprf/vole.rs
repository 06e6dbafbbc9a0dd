//! VOLE and a key-value store: the RR22 family with malicious checks, in one direction or both at once.
//!
//! `docs/protocols/vole-oprf.md` has the messages, the argument and the costs.

mod coins;
mod points;
mod shards;
#[cfg(test)]
mod tests;

use xor_base::kernels::Block;
use xor_base::kernels::block::{as_bytes, as_bytes_mut, xor_into};
use xor_base::kernels::gf128::mul_add_slices;
use xor_base::wiped::Wiped;
use xor_channel::{Channel, FRAME_HEADER_BYTES};
use xor_correlation::vole::{LpnVole, Vole};
use xor_correlation::{CorrelationError, Counts, Seat};

use super::{Directions, Input, OnProgress, Oprf, OprfError, Outputs, Progress, Shelf, Side, Sizes, report};
use crate::PsiError;
use crate::okvs::{Free, Rows, Shape};
use coins::Coins;
use points::Points;
use shards::{Held, Shards};

/// The largest bound: 128 shards. Nothing else limits it.
pub const MAX_BOUND: usize = 1 << 27;

/// Blocks of a table that travel in one frame.
const FRAME_BLOCKS: usize = 1 << 16;

/// OTs that share a tree of SoftSpoken: 31 bits on the wire for each of the few correlated OTs, and least time.
pub const TREE_DEPTH: usize = 4;

/// The OPRF of RR22: F(x) = Ho(Decode(C, x) + w, h(x)) for the player that encoded x.
///
/// # Security
/// Malicious peers; LPN over GF(2^128), computational Diffie-Hellman, random oracles and ideal permutations.
/// Nonces, seeds and Δ are new in every exchange; base OTs serve all exchanges of one value. The peer learns
/// nothing but `sizes.own`; one that cheats evaluates at most 2.5 times its bound of points.
///
/// # Cost
/// [`VoleOprf::sent_bytes`]; 7 one-way trips in the first exchange, 6 later. The meter counts one more: what
/// leaves in the last trip leaves before and after a table is read.
///
/// # Source
/// Raghuraman, Rindal, CCS 2022, figure 4, with the malicious checks of Rindal, Schoppmann, Eurocrypt 2021,
/// figure 7; sizes with the union bound over bins of `docs/protocols/okvs.md`.
pub struct VoleOprf<V = LpnVole> {
    vole: Option<V>,
    make: Make<V>,
}

/// Starts a session of VOLEs in which this player has a seat.
type Make<V> = Box<dyn FnMut(&[u8], Seat) -> Result<V, CorrelationError> + Send>;

impl Default for VoleOprf {
    fn default() -> Self {
        Self::new()
    }
}

impl VoleOprf {
    #[must_use]
    pub fn new() -> Self {
        Self::over(|session, seat| LpnVole::new(session, seat, TREE_DEPTH))
    }

    /// Bytes that one player sends in an exchange, frame headers included.
    ///
    /// # Errors
    /// `BoundTooLarge`.
    pub fn sent_bytes(directions: Directions, sizes: Sizes, is_first: bool) -> Result<u64, OprfError> {
        check_bound(sizes)?;
        let shards = Shards::new(sizes);
        let shapes = Shapes::new(directions, shards.sizes)?;
        let own = table_len(shapes.own);
        let table = own * Block::BYTES + own.div_ceil(FRAME_BLOCKS) * FRAME_HEADER_BYTES;
        let coins: usize = coins::FRAMES.iter().map(|bytes| bytes + FRAME_HEADER_BYTES).sum();
        let voles = |is_first| LpnVole::sent_bytes(shapes.counts(), TREE_DEPTH, is_first);
        let later = shards.count as u64 - 1;
        Ok(voles(is_first) + later * voles(false) + shards.count as u64 * (table + coins) as u64)
    }
}

impl<V: Vole> VoleOprf<V> {
    /// Over VOLEs of another make, such as the ideal ones of a test.
    pub fn over(make: impl FnMut(&[u8], Seat) -> Result<V, CorrelationError> + Send + 'static) -> Self {
        Self {
            vole: None,
            make: Box::new(make),
        }
    }
}

impl<V: Vole> Oprf for VoleOprf<V> {
    fn evaluate(
        &mut self,
        side: Side,
        directions: Directions,
        inputs: &[Input],
        sizes: Sizes,
        channel: &mut dyn Channel,
        progress: OnProgress<'_>,
    ) -> Result<Outputs, OprfError> {
        check_bound(sizes)?;
        check_count(inputs.len(), sizes)?;
        let shards = Shards::new(sizes);
        let mut held = Held::new(inputs);
        self.evaluate_shards((side, directions), &mut held, shards, channel, progress)?;
        Ok(held.outputs)
    }

    fn exchange_shelved(
        &mut self,
        side: Side,
        shelf: &mut dyn Shelf<Error = PsiError>,
        sizes: Sizes,
        channel: &mut dyn Channel,
        progress: OnProgress<'_>,
    ) -> Result<(), PsiError> {
        check_bound(sizes)?;
        check_count(shelf.count(), sizes)?;
        let seat = (side, Directions::Both);
        self.evaluate_shards(seat, shelf, Shards::new(sizes), channel, progress)
    }
}

impl<V: Vole> VoleOprf<V> {
    /// One exchange for each shard, with coins and a Δ of its own.
    fn evaluate_shards<S: Shelf + ?Sized>(
        &mut self,
        (side, directions): (Side, Directions),
        shelf: &mut S,
        shards: Shards,
        channel: &mut dyn Channel,
        progress: OnProgress<'_>,
    ) -> Result<(), S::Error> {
        // 1., 2. Commitments, then nonces and this player's share of the peer's seed.
        let coins = Coins::toss(side, channel)?;
        // An error below ends the session: its state is never used again.
        let mut vole = match self.vole.take() {
            Some(vole) => vole,
            None => (self.make)(coins.salt(), seat(side)).map_err(OprfError::from)?,
        };
        shelf.sort(shards.count, &|inputs| shards.assign(inputs, coins.salt()))?;
        let shapes = Shapes::new(directions, shards.sizes)?;
        let mut run = Run {
            side,
            sizes: shards.sizes,
            shapes,
            coins,
            channel,
            progress,
            done: 0,
            total: shards.count * shapes.steps(shards.sizes),
        };
        for shard in 0..shards.count {
            if shard > 0 {
                run.coins = Coins::toss(side, run.channel)?;
            }
            let inputs = shelf.inputs(shard)?;
            shards.check(inputs.len())?;
            let outputs = run.evaluate(&mut vole, &inputs)?;
            shelf.keep(&inputs, outputs)?;
        }
        self.vole = Some(vole);
        Ok(())
    }
}

fn check_count(inputs: usize, sizes: Sizes) -> Result<(), OprfError> {
    if inputs > sizes.own {
        return Err(OprfError::TooManyInputs { bound: sizes.own });
    }
    Ok(())
}

fn check_bound(sizes: Sizes) -> Result<(), OprfError> {
    let bound = sizes.own.max(sizes.peer);
    if bound > MAX_BOUND {
        return Err(OprfError::BoundTooLarge {
            bound,
            limit: MAX_BOUND,
        });
    }
    Ok(())
}

/// Of this player's table, where it receives, and of the peer's, where it serves.
#[derive(Clone, Copy)]
struct Shapes {
    own: Option<Shape>,
    peer: Option<Shape>,
}

impl Shapes {
    fn new(directions: Directions, sizes: Sizes) -> Result<Self, OprfError> {
        let of = |is_asked: bool, bound| is_asked.then(|| Shape::new(bound)).transpose();
        Ok(Self {
            own: of(directions.receives(), sizes.own)?,
            peer: of(directions.serves(), sizes.peer)?,
        })
    }

    /// A slot for each entry of a table: received for this player's own, sent for the peer's.
    fn counts(self) -> Counts {
        Counts {
            receive: table_len(self.own),
            send: table_len(self.peer),
        }
    }

    /// What is reported as done: slots, and each table that travels.
    fn steps(self, sizes: Sizes) -> usize {
        let own = self.own.map_or(0, |_| sizes.own);
        let peer = self.peer.map_or(0, |_| sizes.peer);
        sizes.own + own + peer
    }
}

fn table_len(shape: Option<Shape>) -> usize {
    shape.map_or(0, |shape| shape.table_len())
}

fn seat(side: Side) -> Seat {
    match side {
        Side::Left => Seat::Zero,
        Side::Right => Seat::One,
    }
}

/// One evaluation after the other.
struct Run<'a> {
    side: Side,
    /// Of each.
    sizes: Sizes,
    shapes: Shapes,
    coins: Coins,
    channel: &'a mut dyn Channel,
    progress: OnProgress<'a>,
    done: usize,
    total: usize,
}

impl Run<'_> {
    fn evaluate(&mut self, vole: &mut impl Vole, inputs: &[Input]) -> Result<Outputs, OprfError> {
        let Shapes { own, peer } = self.shapes;
        let points = Points::new(inputs, self.sizes.own, self.coins.salt())?;
        // 3. Slots of each direction, not yet checked.
        let mut begun = vole.begin(self.shapes.counts(), self.channel)?;
        self.advance(self.sizes.own)?;
        // 4. A' hides the table as a whole: it may leave before the checks.
        self.coins.open_seed(self.channel)?;
        let place = |shape, seed| Rows::place(shape, seed, &points.digests);
        let own_rows = own.map(|shape| place(shape, self.coins.own_seed())).transpose()?;
        if let Some(rows) = &own_rows {
            self.send_table(rows, &points, &begun.a)?;
        }
        drop(std::mem::take(&mut begun.a));
        // 5. The peer's table, and the checks.
        vole.confirm(&mut begun, self.channel)?;
        self.coins.read_seed(self.channel)?;
        let table = peer.map(|shape| self.receive_table(shape)).transpose()?;
        self.coins.open_mask(self.channel)?;
        let (received, sent) = vole.finish(begun, self.channel)?;
        self.coins.read_mask(self.channel)?;
        // 6. The functions on all points, fillers included; these are forgotten last.
        let mut outputs = Outputs::default();
        let mut decoded = Wiped::zeros(points.len());
        if let Some(rows) = own_rows {
            rows.decode(&received.c, &mut decoded)?;
            drop((rows, received));
            outputs.of_peer_key = points.outputs(&decoded, self.coins.own_mask(), self.side.other());
            outputs.of_peer_key.truncate(inputs.len());
        }
        if let (Some(shape), Some(table)) = (peer, table) {
            // K = V + A · Δ gives Decode(C, y) for every y that the peer's table holds, once Δ · H(y) is added.
            let mut key = sent.v;
            mul_add_slices(&mut key, &table, *sent.delta);
            place(shape, self.coins.peer_seed())?.decode(&key, &mut decoded)?;
            mul_add_slices(&mut decoded, &points.values, *sent.delta);
            outputs.of_own_key = points.outputs(&decoded, self.coins.peer_mask(), self.side);
            outputs.of_own_key.truncate(inputs.len());
        }
        Ok(outputs)
    }

    fn send_table(&mut self, rows: &Rows, points: &Points, mask: &[Block]) -> Result<(), OprfError> {
        let mut table = Wiped::new(rows.encode(&points.values, Free::Zero)?);
        xor_into(&mut table, mask);
        for blocks in table.chunks(FRAME_BLOCKS) {
            self.channel.send(as_bytes(blocks))?;
        }
        self.advance(self.sizes.own)
    }

    fn receive_table(&mut self, shape: Shape) -> Result<Vec<Block>, OprfError> {
        let mut table = vec![Block::ZERO; shape.table_len()];
        for blocks in table.chunks_mut(FRAME_BLOCKS) {
            self.channel.receive_into(as_bytes_mut(blocks))?;
        }
        self.advance(self.sizes.peer)?;
        Ok(table)
    }

    fn advance(&mut self, rows: usize) -> Result<(), OprfError> {
        self.done += rows;
        report(
            self.progress,
            Progress {
                step: "oprf",
                done: self.done as u64,
                total: self.total as u64,
            },
        )
    }
}
