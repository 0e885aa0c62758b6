use super::{Cpu, format::SUB, isa::InputRow};

/// Activation rows rounded to 8 bits, once for all the matrices that read them: blocks of 32 with a scale each.
#[derive(Default)]
pub struct Activations {
    rows: usize,
    columns: usize,
    bytes: Vec<i8>,
    words: Vec<i16>,
    scales: Vec<f32>,
    sums: Vec<i32>,
    scaled_sums: Vec<f32>,
}

/// Adding and subtracting this rounds an `f32` below 2^22 to a whole number.
const ROUNDER: f32 = 12_582_912.0;

impl Activations {
    /// Makes room for `rows` of `columns`; each is then written by [`Self::set_row`].
    pub fn resize(&mut self, cpu: Cpu, rows: usize, columns: usize) {
        // Quantized weights have whole blocks only; other weights want the values as they are.
        let columns = if columns.is_multiple_of(SUB) { columns } else { 0 };
        (self.rows, self.columns) = (rows, columns);
        self.bytes.resize(rows * columns, 0);
        self.words.resize(if cpu.wants_words() { rows * columns } else { 0 }, 0);
        self.scales.resize(rows * columns / SUB, 0.0);
        self.sums.resize(rows * columns / (SUB / 2), 0);
        self.scaled_sums.resize(rows * columns / SUB, 0.0);
    }

    /// Quantizes one row.
    #[inline(always)]
    pub fn set_row(&mut self, row: usize, values: &[f32]) {
        if self.columns == 0 {
            return;
        }
        let first = row * self.columns / SUB;
        for (block, values) in
            values.as_chunks::<SUB>().0.iter().enumerate().map(|(index, values)| (first + index, values))
        {
            let mut largest = [0.0f32; 8];
            for eight in values.as_chunks::<8>().0 {
                for (largest, value) in largest.iter_mut().zip(eight) {
                    let value = value.abs();
                    *largest = if value > *largest { value } else { *largest };
                }
            }
            let largest = largest.into_iter().fold(0.0f32, |a, b| if b > a { b } else { a });
            let scale = largest / 127.0;
            let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
            let mut rounded = [0i32; SUB];
            for (rounded, value) in rounded.iter_mut().zip(values) {
                *rounded = ((value * inverse + ROUNDER).to_bits() as i32).wrapping_sub(ROUNDER.to_bits() as i32);
            }
            let bytes = &mut self.bytes[block * SUB..][..SUB];
            for (byte, rounded) in bytes.iter_mut().zip(rounded) {
                *byte = rounded as i8;
            }
            if !self.words.is_empty() {
                let words = &mut self.words[block * SUB..][..SUB];
                for (words, four) in words.as_chunks_mut::<4>().0.iter_mut().zip(rounded.as_chunks::<4>().0) {
                    *words = [four[0] as i16, four[2] as i16, four[1] as i16, four[3] as i16];
                }
            }
            let (low, high) = (rounded[..16].iter().sum::<i32>(), rounded[16..].iter().sum::<i32>());
            self.scales[block] = scale;
            self.sums[2 * block] = -low;
            self.sums[2 * block + 1] = -high;
            self.scaled_sums[block] = -scale * (low + high) as f32;
        }
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    pub fn row(&self, row: usize) -> InputRow {
        let blocks = self.columns / SUB;
        let words = self.words.get(row * self.columns..).unwrap_or_default();
        InputRow {
            bytes: self.bytes[row * self.columns..].as_ptr(),
            words: words.as_ptr(),
            scales: self.scales[row * blocks..].as_ptr(),
            sums: self.sums[2 * row * blocks..].as_ptr(),
            scaled_sums: self.scaled_sums[row * blocks..].as_ptr(),
        }
    }
}
