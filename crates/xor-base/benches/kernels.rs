//! Nanoseconds per element of the kernels on one thread: `cargo bench -p xor-base --bench kernels`.

#![allow(clippy::expect_used, clippy::indexing_slicing)]

use std::hint::black_box;
use std::time::Instant;

use xor_base::derive::{Derive, Purpose};
use xor_base::kernels::aes::Aes128;
use xor_base::kernels::prg::Prg;
use xor_base::kernels::{Block, gf128, hash, many, transpose};

/// Elements of a run: two arrays of them fit the second-level cache.
const COUNT: usize = 1 << 13;

/// The fastest of many short runs: a busy machine disturbs some of them only.
const RUNS: usize = 2000;

fn main() {
    let cipher = Aes128::new(Block(1));
    let portable = Aes128::portable(Block(1));
    let a = Prg::new(Block(2)).blocks(COUNT);
    let b = Prg::new(Block(3)).blocks(COUNT);
    let mut out = vec![Block::ZERO; COUNT];

    bench("aes", || cipher.encrypt_blocks(&a, &mut out));
    bench("aes, crate", || portable.encrypt_blocks(&a, &mut out));
    bench("prg", || Prg::new(Block(4)).fill(&mut out));
    bench("cr", || hash::cr(&cipher, &a, &mut out));
    bench("ccr", || hash::ccr(&cipher, &a, &mut out));
    bench("tccr", || hash::tccr(&cipher, 0, &a, &mut out));
    bench("gf128 multiply and add", || {
        gf128::mul_add_pairs(&mut out, &a, &b)
    });
    bench("gf128 multiply and add, portable", || {
        gf128::portable::mul_add_pairs(&mut out, &a, &b);
    });
    bench("gf128 inner product", || {
        black_box(gf128::inner_product(&a, &b));
    });
    let points: Vec<u64> = a.iter().map(|block| block.halves().0).collect();
    let groups = vec![0; COUNT];
    bench("gf128 polynomial of degree 2", || {
        gf128::add_polynomials(&mut out, &points, &groups, &b[..2], 2);
    });
    bench("transpose, one row", || transpose::columns_to_rows(&a, &mut out));
    bench_derive();
}

/// Cells: messages of 41 bytes, 64 bytes out; one at a time, and side by side. Then filled up already, to other lengths.
fn bench_derive() {
    let messages = vec![7_u8; COUNT * 41];
    let mut out = vec![0; COUNT * 64];
    let derive = Derive::new(Purpose::Cell);
    bench("derive, one by one", || {
        for (message, out) in messages.chunks(41).zip(out.chunks_mut(64)) {
            derive.fill(&[message], out);
        }
    });
    let context = blake3::hazmat::hash_derive_key_context("xor sealed-join v1 cell");
    bench("derive, side by side", || {
        many::derive(&context, messages.chunks(41), &mut out, 64);
    });
    let padded = vec![[7; many::SHORT_BYTES]; COUNT];
    for length in [4, 16, 32, 64, 130] {
        let mut out = vec![0; COUNT * length];
        bench(&format!("derive {length} bytes"), || {
            many::derive_padded(&context, &padded, 41, &mut out, length);
        });
        for (path, batch) in many::paths() {
            bench(&format!("derive {length} bytes, {path}"), || {
                let outs = out.chunks_mut(many::LANES * length);
                for (messages, out) in padded.as_chunks().0.iter().zip(outs) {
                    batch(&context, messages, &[41; _], out, length);
                }
            });
        }
    }
}

fn bench(name: &str, mut work: impl FnMut()) {
    let mut best = f64::INFINITY;
    for _ in 0..RUNS {
        let start = Instant::now();
        work();
        best = best.min(start.elapsed().as_secs_f64());
    }
    println!("{name:34} {:8.2} ns", best / COUNT as f64 * 1e9);
}
