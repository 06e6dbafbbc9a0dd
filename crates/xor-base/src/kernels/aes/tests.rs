use super::*;
use crate::kernels::prg::Prg;

fn hex(text: &str) -> Block {
    Block(u128::from_str_radix(text, 16).unwrap().swap_bytes())
}

#[test]
fn agrees_with_the_vectors_of_the_standard() {
    // FIPS 197, appendices B and C.1.
    for (key, plain, cipher) in [
        (
            "2b7e151628aed2a6abf7158809cf4f3c",
            "3243f6a8885a308d313198a2e0370734",
            "3925841d02dc09fbdc118597196a0b32",
        ),
        (
            "000102030405060708090a0b0c0d0e0f",
            "00112233445566778899aabbccddeeff",
            "69c4e0d86a7b0430d8cdb78070b4c55a",
        ),
    ] {
        for (name, path) in Aes128::paths(hex(key)) {
            assert_eq!(path.encrypt(hex(plain)), hex(cipher), "{name}");
        }
    }
}

#[test]
fn all_paths_agree_at_every_length_and_alignment() {
    let key = hex("5bd1e995a7b1c2d3e4f5061728394a5b");
    let input = Prg::new(Block(7)).blocks(80);
    let [(_, oracle), others @ ..] = &Aes128::paths(key)[..] else {
        unreachable!()
    };
    for start in 0..4 {
        for length in 0..70 {
            let from = &input[start..start + length];
            let expected: Vec<Block> = from.iter().map(|block| oracle.encrypt(*block)).collect();
            for (name, path) in others {
                let mut into = input.clone();
                path.encrypt_blocks(from, &mut into[start..start + length]);
                assert_eq!(into[start..start + length], expected, "{name}");
                assert_eq!(into[..start], input[..start]);
                assert_eq!(into[start + length..], input[start + length..]);
                path.feed_forward(from, &mut into[start..start + length]);
                for ((fed, plain), cipher) in into[start..].iter().zip(from).zip(&expected) {
                    assert_eq!(*fed, *plain ^ *cipher);
                }
            }
            let mut fed = from.to_vec();
            oracle.feed_forward_in_place(&mut fed);
            for ((fed, plain), cipher) in fed.iter().zip(from).zip(&expected) {
                assert_eq!(*fed, *plain ^ *cipher);
            }
        }
    }
}

#[test]
fn long_inputs_are_the_same_in_place_and_apart() {
    let cipher = Aes128::new(Block(3));
    let mut blocks: Vec<Block> = (0..1000).map(Block).collect();
    let mut apart = vec![Block::ZERO; 1000];
    cipher.encrypt_blocks(&blocks, &mut apart);
    cipher.encrypt_in_place(&mut blocks);
    assert_eq!(blocks, apart);
}
