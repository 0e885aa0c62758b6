use std::fmt;

/// A ggml tensor type, as numbered in GGUF files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TensorType(pub(crate) u32);

/// Id, name, elements per block and bytes per block of one ggml type.
struct Row(u32, &'static str, u64, u64);

/// Every type that ggml numbers; a block of 0 bytes has no kernel here.
const TYPES: &[Row] = &[
    Row(0, "F32", 1, 4),
    Row(1, "F16", 1, 2),
    Row(2, "Q4_0", 32, 18),
    Row(3, "Q4_1", 32, 20),
    Row(6, "Q5_0", 32, 22),
    Row(7, "Q5_1", 32, 24),
    Row(8, "Q8_0", 32, 34),
    Row(9, "Q8_1", 32, 0),
    Row(10, "Q2_K", 256, 84),
    Row(11, "Q3_K", 256, 110),
    Row(12, "Q4_K", 256, 144),
    Row(13, "Q5_K", 256, 176),
    Row(14, "Q6_K", 256, 210),
    Row(15, "Q8_K", 256, 0),
    Row(16, "IQ2_XXS", 256, 0),
    Row(17, "IQ2_XS", 256, 0),
    Row(18, "IQ3_XXS", 256, 0),
    Row(19, "IQ1_S", 256, 0),
    Row(20, "IQ4_NL", 32, 0),
    Row(21, "IQ3_S", 256, 0),
    Row(22, "IQ2_S", 256, 0),
    Row(23, "IQ4_XS", 256, 0),
    Row(24, "I8", 1, 0),
    Row(25, "I16", 1, 0),
    Row(26, "I32", 1, 0),
    Row(27, "I64", 1, 0),
    Row(28, "F64", 1, 0),
    Row(29, "IQ1_M", 256, 0),
    Row(30, "BF16", 1, 2),
    Row(34, "TQ1_0", 256, 0),
    Row(35, "TQ2_0", 256, 0),
    Row(39, "MXFP4", 32, 0),
];

impl TensorType {
    pub(crate) const F32: Self = Self(0);
    pub(crate) const F16: Self = Self(1);
    pub(crate) const Q4_0: Self = Self(2);
    pub(crate) const Q4_1: Self = Self(3);
    pub(crate) const Q5_0: Self = Self(6);
    pub(crate) const Q5_1: Self = Self(7);
    pub(crate) const Q8_0: Self = Self(8);
    pub(crate) const Q2_K: Self = Self(10);
    pub(crate) const Q3_K: Self = Self(11);
    pub(crate) const Q4_K: Self = Self(12);
    pub(crate) const Q5_K: Self = Self(13);
    pub(crate) const Q6_K: Self = Self(14);
    pub(crate) const BF16: Self = Self(30);

    fn row(self) -> Option<&'static Row> {
        TYPES.iter().find(|row| row.0 == self.0)
    }

    /// Whether this decoder has a kernel for the type.
    pub fn is_supported(self) -> bool {
        self.row().is_some_and(|row| row.3 > 0)
    }

    /// Elements per block; 1 for plain types.
    pub fn block_size(self) -> Option<u64> {
        self.row().map(|row| row.2)
    }

    /// Bytes that `elements` take; `None` for types without a kernel, partial blocks and overflow.
    pub fn bytes(self, elements: u64) -> Option<u64> {
        let &Row(_, _, block, bytes) = self.row().filter(|row| row.3 > 0)?;
        if !elements.is_multiple_of(block) {
            return None;
        }
        (elements / block).checked_mul(bytes)
    }
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.row() {
            Some(row) => f.write_str(row.1),
            None => write!(f, "ggml type {}", self.0),
        }
    }
}
