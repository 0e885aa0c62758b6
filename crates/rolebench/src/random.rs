/// SplitMix64 (Steele, Lea, Flood 2014): small, and the same on every platform.
#[derive(Clone, Debug)]
pub struct SplitMix64(pub u64);

impl SplitMix64 {
    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, by the high bits of a product; the bias is below `bound` in 2^64.
    pub fn below(&mut self, bound: usize) -> usize {
        let bits = self.bits();
        match u32::try_from(bound) {
            // The same number from products of 64 bits, which WebAssembly has.
            Ok(bound) => {
                let [high, low] = [bits >> 32, bits & 0xffff_ffff].map(|half| half * u64::from(bound));
                ((high + (low >> 32)) >> 32) as usize
            }
            Err(_) => ((u128::from(bits) * bound as u128) >> 64) as usize,
        }
    }
}

/// Places of `count` of `rows` rows, drawn without replacement and in ascending order; all where there are no more.
///
/// The same seed draws the same rows on every platform, and a larger count draws these and others.
pub fn draw(rows: usize, count: usize, seed: u64) -> Vec<usize> {
    let mut random = SplitMix64(seed);
    let mut places: Vec<usize> = (0..rows).collect();
    let count = count.min(rows);
    for drawn in 0..count {
        places.swap(drawn, drawn + random.below(rows - drawn));
    }
    places.truncate(count);
    places.sort_unstable();
    places
}
