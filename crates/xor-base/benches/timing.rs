//! Does the time of a kernel depend on secrets? `cargo bench -p xor-base --bench timing [-- runs]`.
//!
//! The test of Reparaz, Balasch and Verbauwhede, "Dude, is my code constant time?" (DATE 2017): time a fixed
//! input and random ones in random order, and compare the means by Welch's t-test, with the slowest
//! measurements cropped at several levels. |t| above 10 means a leak; a passing test proves nothing.

#![allow(clippy::expect_used, clippy::indexing_slicing)]

use std::hint::black_box;
use std::process::ExitCode;
use std::time::Instant;

use xor_base::kernels::aes::Aes128;
use xor_base::kernels::block::as_bytes;
use xor_base::kernels::prg::Prg;
use xor_base::kernels::sparse::{self, Pair, Row, TABLE, WEIGHT};
use xor_base::kernels::{Block, gf128, hash, many, prefix, transpose};

/// Blocks of one measurement: long against the resolution of the clock.
const LENGTH: usize = 128;

const LEAK: f64 = 10.0;

fn main() -> ExitCode {
    let runs = std::env::args()
        .skip(1)
        .find_map(|word| word.parse().ok())
        .unwrap_or(200_000);
    let stops_early = largest_t(runs, &mut |secret| {
        black_box(secret.iter().take_while(|block| **block == Block::ZERO).count());
    });
    println!("{:32} |t| = {stops_early:6.2}", "(a loop that stops early)");
    let mut leaks = u32::from(stops_early <= LEAK);
    let mut check = |name: &str, kernel: &mut dyn FnMut(&[Block])| {
        let t = largest_t(runs, kernel);
        println!("{name:32} |t| = {t:6.2}");
        leaks += u32::from(t > LEAK);
    };
    check_ciphers(&mut check);
    check_products(&mut check);
    check_derivations(&mut check);
    check_lookups(&mut check);
    check_moves(&mut check);
    ExitCode::from(u8::from(leaks > 0))
}

type Check<'c> = &'c mut dyn FnMut(&str, &mut dyn FnMut(&[Block]));

fn check_ciphers(check: Check<'_>) {
    let mut out = vec![Block::ZERO; LENGTH];
    for (path, cipher) in Aes128::paths(Block(1)) {
        check(&format!("aes, {path}"), &mut |secret| {
            cipher.encrypt_blocks(secret, &mut out)
        });
        check(&format!("cr, {path}"), &mut |secret| {
            hash::cr(&cipher, secret, &mut out)
        });
        check(&format!("ccr, {path}"), &mut |secret| {
            hash::ccr(&cipher, secret, &mut out)
        });
        check(&format!("tccr, {path}"), &mut |secret| {
            hash::tccr(&cipher, 0, secret, &mut out);
        });
    }
    check("aes, key", &mut |secret| Prg::new(secret[0]).fill(&mut out));
    check("aes, key, portable", &mut |secret| {
        Aes128::portable(secret[0]).encrypt_in_place(&mut out);
    });
}

fn check_products(check: Check<'_>) {
    let mut out = vec![Block::ZERO; LENGTH];
    let known = Prg::new(Block(2)).blocks(LENGTH);
    for gf128::Path {
        name,
        mul_add_slices,
        mul_add_pairs,
        inner_product,
    } in gf128::paths()
    {
        check(&format!("multiply by one, {name}"), &mut |secret| {
            mul_add_slices(&mut out, &known, secret[0]);
        });
        check(&format!("multiply, {name}"), &mut |secret| {
            mul_add_pairs(&mut out, &known, secret);
        });
        check(&format!("inner product, {name}"), &mut |secret| {
            black_box(inner_product(&known, secret));
        });
    }
    check("inverse", &mut |secret| {
        black_box(gf128::inverse(secret[0]));
    });
    check("powers", &mut |secret| gf128::powers(secret[0], &mut out));
    let (mut points, groups) = (vec![0; LENGTH], vec![0; LENGTH]);
    for is_portable in [false, true] {
        let name = if is_portable {
            "polynomial, portable"
        } else {
            "polynomial"
        };
        check(name, &mut |secret| {
            for (point, secret) in points.iter_mut().zip(secret) {
                *point = secret.halves().0;
            }
            if is_portable {
                let mul = gf128::portable::mul;
                gf128::portable::add_polynomials(&mut out, &points, &groups, &secret[..2], 2, mul);
            } else {
                gf128::add_polynomials(&mut out, &points, &groups, &secret[..2], 2);
            }
        });
    }
}

fn check_derivations(check: Check<'_>) {
    let context = blake3::hazmat::hash_derive_key_context("timing");
    let mut out = vec![0; LENGTH / 4 * 130];
    for (path, batch) in many::paths() {
        // One block of output in part, and two and a part.
        for length in [32, 130] {
            check(&format!("derive {length} bytes, {path}"), &mut |secret| {
                let messages = as_bytes(secret).as_chunks().0.as_chunks().0;
                for (messages, out) in messages.iter().zip(out.chunks_mut(many::LANES * length)) {
                    batch(&context, messages, &[64; _], out, length);
                }
            });
        }
    }
    check("derive, unpadded", &mut |secret| {
        many::derive(
            &context,
            as_bytes(secret).chunks(50).take(LENGTH / 4),
            &mut out[..LENGTH / 4 * 10],
            10,
        );
    });
}

/// The table is secret, where it is read is not.
fn check_lookups(check: Check<'_>) {
    let drawn = Prg::new(Block(3)).blocks(2 * LENGTH);
    let words = as_bytes(&drawn).as_chunks::<2>().0;
    // The secrets stand at the start of the table: the rest of it stays as it is.
    let position = |word: &[u8; 2]| u16::from_le_bytes(*word) % LENGTH as u16;
    let rows: Vec<Row> = words
        .as_chunks::<WEIGHT>()
        .0
        .iter()
        .map(|words| words.each_ref().map(position))
        .collect();
    let rows = &rows[..LENGTH];
    let mut table = vec![Block::ZERO; TABLE];
    let mut pairs = vec![Pair::default(); TABLE];
    let (mut a, mut c) = (vec![Block::ZERO; LENGTH], vec![Block::ZERO; LENGTH]);
    for path in sparse::paths() {
        check(&format!("sparse, {}", path.name), &mut |secret| {
            table[..LENGTH].copy_from_slice(secret);
            (path.add_products)(rows, table.first_chunk().expect("a table"), &mut a);
        });
        check(&format!("sparse pairs, {}", path.name), &mut |secret| {
            for (pair, secret) in pairs.iter_mut().zip(secret) {
                *pair = Pair {
                    a: *secret,
                    c: *secret,
                };
            }
            (path.add_pair_products)(rows, pairs.first_chunk().expect("a table"), &mut a, &mut c);
        });
    }
}

fn check_moves(check: Check<'_>) {
    let mut out = vec![Block::ZERO; LENGTH];
    check("columns to rows", &mut |secret| {
        transpose::columns_to_rows(secret, &mut out)
    });
    check("rows to columns", &mut |secret| {
        transpose::rows_to_columns(secret, &mut out)
    });
    check("transpose, portable", &mut |secret| {
        out.copy_from_slice(secret);
        transpose::portable(out.first_chunk_mut().expect("a tile"));
    });
    check("prefix", &mut |secret| {
        out.copy_from_slice(secret);
        black_box(prefix::xor(&mut out));
    });
    check("double and mask", &mut |secret| {
        for (out, secret) in out.iter_mut().zip(secret) {
            *out = secret.double() & Block::mask(secret.bit0());
        }
    });
}

/// The largest |t| over several crops, between all zeros and random inputs.
fn largest_t(runs: usize, kernel: &mut dyn FnMut(&[Block])) -> f64 {
    let mut randomness = Prg::new(Block(5));
    let mut measured: Vec<(bool, f64)> = Vec::with_capacity(runs);
    let mut input = vec![Block::ZERO; LENGTH];
    for _ in 0..runs {
        randomness.fill(&mut input);
        // Both classes do the same work before the clock starts. A known mask would become a branch, whose stores
        // the kernel then waits for in one class only.
        let is_fixed = randomness.block().bit0();
        let keep = black_box(Block::mask(!is_fixed));
        for block in &mut input {
            *block &= keep;
        }
        let start = Instant::now();
        kernel(black_box(&input));
        measured.push((is_fixed, start.elapsed().as_nanos() as f64));
    }
    let mut sorted: Vec<f64> = measured.iter().map(|(_, time)| *time).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    [0.5, 0.75, 0.9, 0.99]
        .into_iter()
        .map(|crop| {
            let limit = sorted[(crop * (runs - 1) as f64) as usize];
            let below = |class| {
                measured
                    .iter()
                    .filter(move |(is, time)| *is == class && *time <= limit)
            };
            welch(
                below(true).map(|(_, time)| *time),
                below(false).map(|(_, time)| *time),
            )
            .abs()
        })
        .fold(0.0, f64::max)
}

fn welch(a: impl Iterator<Item = f64>, b: impl Iterator<Item = f64>) -> f64 {
    let (mean_a, error_a) = mean_and_error(a);
    let (mean_b, error_b) = mean_and_error(b);
    (mean_a - mean_b) / (error_a + error_b).sqrt().max(1e-9)
}

/// The mean, and the variance of the mean.
fn mean_and_error(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (mut count, mut mean, mut squares) = (0.0, 0.0, 0.0);
    for value in values {
        count += 1.0;
        let step = value - mean;
        mean += step / count;
        squares += step * (value - mean);
    }
    (mean, squares / (count - 1.0_f64).max(1.0) / count.max(1.0))
}
