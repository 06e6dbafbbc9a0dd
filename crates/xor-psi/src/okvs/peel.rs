//! XOR peeling of one bin: which row is solved by which slot, in which order.

// Slots are 16-bit numbers into arrays of 2^16.
#![allow(clippy::indexing_slicing)]

/// A slot's word: its rows' other two slots (16 bits each) and numbers (16), each XORed over its rows;
/// above them how many rows it has (16).
const ONE_ROW: u64 = 1 << 48;

/// Working memory of one thread.
pub(super) struct Peeler {
    words: Box<[u64; 1 << 16]>,
    queue: Box<[u16; 1 << 16]>,
    /// Peeled rows in order.
    pub peeled: Vec<u64>,
}

/// One peeled row: other slots, row, and the slot that solves it.
#[derive(Clone, Copy)]
pub(super) struct Peeled {
    pub others: [usize; 2],
    pub row: usize,
    pub slot: usize,
}

impl Peeled {
    #[inline]
    pub fn unpack(word: u64) -> Self {
        let [a, b, row, slot] = [0, 16, 32, 48].map(|shift| usize::from((word >> shift) as u16));
        Self {
            others: [a, b],
            row,
            slot,
        }
    }
}

impl Peeler {
    pub fn new() -> Self {
        Self {
            words: Box::new([0; 1 << 16]),
            queue: Box::new([0; 1 << 16]),
            peeled: Vec::new(),
        }
    }

    /// Peels the rows with these slots, at most 2^16 of them, over `slots` slots. Afterwards `peeled` holds
    /// each row whose slot no row behind it has, in an order in which that is true.
    pub fn peel(&mut self, rows: impl Iterator<Item = u64>, slots: usize) {
        self.fill(rows, slots);
        let (words, queue) = (&mut *self.words, &mut *self.queue);
        let mut tail = 0_u16;
        for (slot, word) in words[..slots].iter().enumerate() {
            queue[tail as usize] = slot as u16;
            tail = tail.wrapping_add(u16::from(*word >> 48 == 1));
        }
        self.peeled.clear();
        let mut head = 0_u16;
        while head != tail {
            let slot = queue[head as usize];
            head = head.wrapping_add(1);
            let word = words[slot as usize];
            if word >> 48 != 1 {
                continue;
            }
            let (low, high, row) = (word as u16, (word >> 16) as u16, word & 0xffff << 32);
            self.peeled.push(word & (ONE_ROW - 1) | u64::from(slot) << 48);
            for (other, rest) in [(low, high), (high, low)] {
                let entry = pair(slot, rest) | row;
                let left = (words[other as usize] ^ entry).wrapping_sub(ONE_ROW);
                words[other as usize] = left;
                queue[tail as usize] = other;
                tail = tail.wrapping_add(u16::from(left >> 48 == 1));
            }
        }
    }

    fn fill(&mut self, rows: impl Iterator<Item = u64>, slots: usize) {
        let words = &mut *self.words;
        words[..slots].fill(0);
        let mut row = 0_u64;
        for packed in rows {
            let (a, b, c) = (packed as u16, (packed >> 16) as u16, (packed >> 32) as u16);
            for (slot, others) in [
                (a, packed >> 16),
                (b, u64::from(a) | packed >> 16 & 0xffff_0000),
                (c, packed & 0xffff_ffff),
            ] {
                let word = &mut words[slot as usize];
                *word = (*word ^ (others | row)).wrapping_add(ONE_ROW);
            }
            row = row.wrapping_add(1 << 32);
        }
    }
}

/// Two slots in rising order.
#[inline]
fn pair(a: u16, b: u16) -> u64 {
    u64::from(a.min(b)) | u64::from(a.max(b)) << 16
}
