use super::*;
use crate::kernels::prg::Prg;
use proptest::prelude::*;

/// One shift and one conditional addition for each bit: the definition.
fn definition(a: Block, b: Block) -> Block {
    let (mut sum, mut shifted) = (0, a.0);
    for bit in 0..128 {
        if b.0 >> bit & 1 == 1 {
            sum ^= shifted;
        }
        shifted = (shifted << 1) ^ if shifted >> 127 == 1 { 0x87 } else { 0 };
    }
    Block(sum)
}

fn edges() -> Vec<Block> {
    let mut edges: Vec<Block> = [0, 1, 2, 0x87, u128::MAX, 1 << 63, 1 << 64, 1 << 127, 3 << 126]
        .map(Block)
        .to_vec();
    edges.extend(Prg::new(Block(11)).blocks(8));
    edges
}

#[test]
fn products_of_edge_cases_are_those_of_the_definition() {
    for a in edges() {
        for b in edges() {
            assert_eq!(portable::mul(a, b), definition(a, b));
            assert_eq!(mul(a, b), definition(a, b));
        }
    }
}

#[test]
fn agrees_with_a_known_product() {
    // x^127 · x = x^128 = x^7 + x^2 + x + 1, and (x^64 + 1)^2 = x^128 + 1.
    assert_eq!(mul(Block(1 << 127), Block(2)), Block(0x87));
    assert_eq!(mul(Block(1 << 64 | 1), Block(1 << 64 | 1)), Block(0x86));
}

proptest! {
    #[test]
    fn products_are_those_of_the_definition(a: u128, b: u128) {
        let expected = definition(Block(a), Block(b));
        prop_assert_eq!(portable::mul(Block(a), Block(b)), expected);
        prop_assert_eq!(mul(Block(a), Block(b)), expected);
    }

    #[test]
    fn is_a_field(a: u128, b: u128, c: u128) {
        let (a, b, c) = (Block(a), Block(b), Block(c));
        prop_assert_eq!(mul(a, b ^ c), mul(a, b) ^ mul(a, c));
        prop_assert_eq!(mul(mul(a, b), c), mul(a, mul(b, c)));
        let expected = if a == Block::ZERO { Block::ZERO } else { Block::ONE };
        prop_assert_eq!(mul(a, inverse(a)), expected);
    }
}

#[test]
fn slices_agree_with_the_definition_at_every_length_and_alignment() {
    let (a, b) = (Prg::new(Block(1)).blocks(48), Prg::new(Block(2)).blocks(48));
    let acc = Prg::new(Block(3)).blocks(48);
    for path in paths() {
        for start in 0..4 {
            for length in 0..40 {
                let at = start..start + length;
                let mut sums = acc.clone();
                (path.mul_add_slices)(&mut sums[at.clone()], &a[at.clone()], b[0]);
                let mut pairs = acc.clone();
                // Inputs at another alignment than the accumulator.
                (path.mul_add_pairs)(&mut pairs[at.clone()], &a[..length], &b[at.clone()]);
                for i in 0..48 {
                    let inside = at.contains(&i);
                    let expected = if inside {
                        definition(a[i], b[0])
                    } else {
                        Block::ZERO
                    };
                    assert_eq!(sums[i], acc[i] ^ expected);
                    let expected = if inside {
                        definition(a[i - start], b[i])
                    } else {
                        Block::ZERO
                    };
                    assert_eq!(pairs[i], acc[i] ^ expected);
                }
                let expected = (0..length).fold(Block::ZERO, |sum, i| sum ^ definition(a[i], b[start + i]));
                assert_eq!((path.inner_product)(&a[..length], &b[at]), expected);
            }
        }
    }
}

#[test]
fn polynomials_are_sums_of_powers() {
    let coefficients = Prg::new(Block(5)).blocks(12);
    let acc = Prg::new(Block(6)).blocks(20);
    let mut points: Vec<u64> = Prg::new(Block(7))
        .blocks(18)
        .iter()
        .map(|b| b.halves().0)
        .collect();
    points.extend([0, u64::MAX]);
    let groups: Vec<u16> = (0..20).map(|i| i * i % 3).collect();
    for degree in 0..=4 {
        for length in 0..20 {
            let (points, groups) = (&points[20 - length..], &groups[20 - length..]);
            let mut sums = acc[..length].to_vec();
            add_polynomials(&mut sums, points, groups, &coefficients, degree);
            let mut portably = acc[..length].to_vec();
            portable::add_polynomials(
                &mut portably,
                points,
                groups,
                &coefficients,
                degree,
                portable::mul,
            );
            assert_eq!(sums, portably);
            for i in 0..length {
                let mut power = vec![Block::ZERO; degree];
                powers(Block(u128::from(points[i])), &mut power);
                let own = group(&coefficients, groups[i], degree);
                assert_eq!(sums[i], acc[i] ^ inner_product(&power, own));
            }
        }
    }
}
