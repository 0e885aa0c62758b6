//! Longest common subsequences, 64 rows of the table at a time (Crochemore 2001; Hyyrö 2004).
//!
//! Column j of the table is kept as a bit vector in which bit i is 0 where the length grows from row i to row i + 1.

/// Longest common subsequences of one reference with any number of predictions.
#[derive(Debug)]
pub struct Lcs {
    /// The reference's length.
    rows: usize,
    /// `positions[starts[id]..starts[id + 1]]` are the rows that hold token `id`.
    starts: Vec<usize>,
    positions: Vec<usize>,
}

/// Whose token an alignment leaves out where either choice is as long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tie {
    /// The prediction's, as the package `rouge` does.
    Prediction,
    /// The reference's, as `rouge_score` does.
    Reference,
}

/// One column of the table, and a mask of the rows that match.
struct Column {
    bits: Vec<u64>,
    mask: Vec<u64>,
}

impl Lcs {
    /// Indexes a reference by its tokens.
    pub fn new(reference: &[u32]) -> Lcs {
        let ids = reference.iter().max().map_or(0, |&id| id as usize + 1);
        let mut starts = vec![0; ids + 1];
        for &id in reference {
            starts[id as usize + 1] += 1;
        }
        for id in 0..ids {
            starts[id + 1] += starts[id];
        }
        let mut next = starts.clone();
        let mut positions = vec![0; reference.len()];
        for (row, &id) in reference.iter().enumerate() {
            positions[next[id as usize]] = row;
            next[id as usize] += 1;
        }
        Lcs { rows: reference.len(), starts, positions }
    }

    /// The length of the longest common subsequence.
    pub fn length(&self, prediction: &[u32]) -> usize {
        let mut column = Column::first(self.rows);
        for &token in prediction {
            column.advance(self.rows_of(token));
        }
        column.length(self.rows)
    }

    /// One longest common subsequence: pairs of (place in the reference, place in the prediction), ascending.
    ///
    /// Among equals it is the one that is found from the ends backwards by leaving out a token of the text that `tie`
    /// names wherever that costs nothing. Memory grows with the square root of the prediction: every so many columns one
    /// is kept, and the stretch between two is computed again on the way back.
    pub fn matches(&self, prediction: &[u32], tie: Tie) -> Vec<(usize, usize)> {
        let stride = prediction.len().isqrt().max(1);
        let mut column = Column::first(self.rows);
        let mut kept = Vec::with_capacity(prediction.len() / stride + 1);
        for (at, &token) in prediction.iter().enumerate() {
            if at % stride == 0 {
                kept.push(column.bits.clone());
            }
            column.advance(self.rows_of(token));
        }
        let mut pairs = Vec::with_capacity(column.length(self.rows));
        let mut row = self.rows;
        for (stretch, bits) in kept.into_iter().enumerate().rev() {
            if row == 0 {
                break;
            }
            let first = stretch * stride;
            let tokens = &prediction[first..prediction.len().min(first + stride)];
            row = self.walk_back(row, first, tokens, bits, tie, &mut pairs);
        }
        pairs.reverse();
        pairs
    }

    /// Walks from `row` of the last column back to the first column of a stretch; returns the row reached.
    fn walk_back(
        &self,
        mut row: usize,
        first: usize,
        tokens: &[u32],
        bits: Vec<u64>,
        tie: Tie,
        pairs: &mut Vec<(usize, usize)>,
    ) -> usize {
        let mut column = Column { mask: vec![0; bits.len()], bits };
        let mut columns = vec![column.bits.clone()];
        for &token in tokens {
            column.advance(self.rows_of(token));
            columns.push(column.bits.clone());
        }
        let mut at = tokens.len();
        let mut length = length_to(&columns[at], row);
        while row > 0 && at > 0 && length > 0 {
            if self.rows_of(tokens[at - 1]).binary_search(&(row - 1)).is_ok() {
                (row, at, length) = (row - 1, at - 1, length - 1);
                pairs.push((row, first + at));
                continue;
            }
            let from_reference = match tie {
                Tie::Prediction => length_to(&columns[at - 1], row) < length,
                Tie::Reference => length_to(&columns[at], row - 1) == length,
            };
            if from_reference {
                row -= 1;
            } else {
                at -= 1;
            }
        }
        if length == 0 { 0 } else { row }
    }

    fn rows_of(&self, token: u32) -> &[usize] {
        match self.starts.get(token as usize..token as usize + 2) {
            Some(&[start, end]) => &self.positions[start..end],
            _ => &[],
        }
    }
}

impl Column {
    fn first(rows: usize) -> Column {
        let words = rows.div_ceil(64);
        Column { bits: vec![u64::MAX; words], mask: vec![0; words] }
    }

    /// The next column, for a token that stands in these rows of the reference.
    fn advance(&mut self, rows: &[usize]) {
        let Some(first) = rows.first() else { return };
        for row in rows {
            self.mask[row / 64] |= 1 << (row % 64);
        }
        let mut carry = false;
        for (bits, mask) in self.bits.iter_mut().zip(&mut self.mask).skip(first / 64) {
            let matching = *bits & *mask;
            let (sum, over) = bits.overflowing_add(matching);
            let (sum, over_carry) = sum.overflowing_add(u64::from(carry));
            *bits = sum | (*bits & !*mask);
            carry = over || over_carry;
            *mask = 0;
        }
    }

    fn length(&self, rows: usize) -> usize {
        length_to(&self.bits, rows)
    }
}

/// The common length at a row of a column: the zeros above it.
fn length_to(bits: &[u64], row: usize) -> usize {
    let whole: u32 = bits[..row / 64].iter().map(|word| word.count_zeros()).sum();
    let part = match row % 64 {
        0 => 0,
        rest => (!bits[row / 64] & ((1 << rest) - 1)).count_ones(),
    };
    (whole + part) as usize
}
