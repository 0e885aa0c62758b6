// Rows are whole units: plain numbers are padded with zeros.
fn units() -> u32 {
    return (matrix.columns + 7u) / 8u;
}
