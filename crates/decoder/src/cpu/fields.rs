//! Codes as fields of 16-bit words, for vectors that multiply words: masks alone make factors of them.
//!
//! Sixteen rows lie side by side, in four groups of four. A vector holds two columns of a quad, the even or the odd ones, for four rows
//! (words `2 * row` and `2 * row + 1`); the groups share each word:
//! - Four bits: vector `2 * quad + odd`, group `g` from bit `4 * g` on.
//! - Five bits: vectors `5 * (quad / 2) + pair`, `pair = 2 * (quad % 2) + odd`, hold groups 0 to 2, group `g` from bit `5 * g` on, and at
//!   the top the fifth bit of group 3, whose low bits are in vector `5 * (quad / 2) + 4` from bit `4 * pair` on.
//! - Six bits: vectors `3 * quad + odd` hold group 0 from bit 0 on, group 1 from bit 6 and the low bits of group 3 from bit 12. Vector
//!   `3 * quad + 2` holds group 2 from bit `6 * odd` on and the high bits of group 3 from bit `12 + 2 * odd`.
//!
//! Of four and of six bits the fourth bit of group 3 is flipped: read as a signed number, the top of a word is its low four bits less 8.

use super::format::{Format, SUB};

/// Is there such a layout for a format?
pub const fn suit<F: Format>() -> bool {
    F::BITS < 8
}

/// Some bits of a code.
struct Field {
    vector: usize,
    /// Their place in the word.
    shift: usize,
    /// Their place in the code.
    from: usize,
    bits: usize,
}

/// Where the code of a lane's column lies; the second part may be empty.
fn fields<F: Format>(lane: usize, column: usize) -> [Field; 2] {
    let (quad, odd) = (column / 4, column % 2);
    let (two, pair) = (quad / 2, 2 * (quad % 2) + odd);
    let field = |vector, shift, from, bits| Field { vector, shift, from, bits };
    let none = field(0, 0, 0, 0);
    match (F::BITS, lane / 4) {
        (4, group) => [field(2 * quad + odd, 4 * group, 0, 4), none],
        (5, 3) => [field(5 * two + 4, 4 * pair, 0, 4), field(5 * two + pair, 15, 4, 1)],
        (5, group) => [field(5 * two + pair, 5 * group, 0, 5), none],
        (_, 2) => [field(3 * quad + 2, 6 * odd, 0, 6), none],
        (_, 3) => [field(3 * quad + odd, 12, 0, 4), field(3 * quad + 2, 12 + 2 * odd, 4, 2)],
        (_, group) => [field(3 * quad + odd, 6 * group, 0, 6), none],
    }
}

/// What a lane's codes are flipped by.
fn flip<F: Format>(lane: usize) -> u8 {
    if lane / 4 == 3 && F::BITS != 5 { 8 } else { 0 }
}

impl Field {
    /// Where its word begins.
    fn place(&self, lane: usize, column: usize) -> usize {
        16 * self.vector + 4 * (lane % 4) + 2 * (column % 4 / 2)
    }

    fn mask(&self) -> u16 {
        (1 << self.bits) - 1
    }
}

/// Puts a lane's codes into a sub-block of zeros.
pub fn pack<F: Format>(codes: &[u8; SUB], sub: &mut [u8], lane: usize) {
    for (column, code) in codes.iter().enumerate() {
        for field in fields::<F>(lane, column) {
            let bits = u16::from((code ^ flip::<F>(lane)) >> field.from) & field.mask();
            let at = field.place(lane, column);
            let [low, high] = (bits << field.shift).to_le_bytes();
            sub[at] |= low;
            sub[at + 1] |= high;
        }
    }
}

/// The codes of one lane.
pub fn unpack<F: Format>(sub: &[u8], lane: usize, codes: &mut [u8; SUB]) {
    for (column, code) in codes.iter_mut().enumerate() {
        *code = flip::<F>(lane);
        for field in fields::<F>(lane, column) {
            let at = field.place(lane, column);
            let word = u16::from_le_bytes([sub[at], sub[at + 1]]);
            *code ^= ((word >> field.shift & field.mask()) as u8) << field.from;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Q4_0, Q5_0, Q6K},
        *,
    };

    fn check<F: Format>() {
        let codes = |lane: usize| -> [u8; SUB] {
            std::array::from_fn(|column| ((lane * 37 + column * 11 + lane * column) % (1 << F::BITS)) as u8)
        };
        let mut sub = vec![0; 16 * F::BITS * SUB / 8];
        (0..16).for_each(|lane| pack::<F>(&codes(lane), &mut sub, lane));
        for lane in 0..16 {
            let mut unpacked = [0; SUB];
            unpack::<F>(&sub, lane, &mut unpacked);
            assert_eq!(unpacked, codes(lane), "{} bits, lane {lane}", F::BITS);
        }
    }

    #[test]
    fn fields_of_all_lanes_fill_a_sub_block_without_touching_each_other() {
        check::<Q4_0>();
        check::<Q5_0>();
        check::<Q6K>();
    }
}
