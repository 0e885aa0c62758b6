use super::format::{self, Format, SUB};

/// Columns of a stripe: their activations stay in the nearest cache while all the weights above them stream by.
const STRIPE: usize = 1024;
const _: () = assert!(STRIPE.is_multiple_of(256), "a unit of the k-quants has 256 columns");

/// Where the units of a matrix lie, in the order in which a product reads them: stripes of columns; in a stripe, panel after panel of rows; in
/// a panel, unit after unit.
#[derive(Clone, Copy)]
pub struct Panels {
    /// Panels, the last one filled up with zeros.
    pub count: usize,
    columns: usize,
    unit_columns: usize,
    unit_bytes: usize,
}

/// Some columns of all panels.
#[derive(Clone, Copy)]
pub struct Stripe {
    pub first_column: usize,
    pub columns: usize,
    start: usize,
    panel_bytes: usize,
}

impl Panels {
    /// Of a matrix of `rows` × `columns`, `lanes` rows side by side.
    #[inline(always)]
    pub fn new<F: Format>(lanes: usize, rows: usize, columns: usize) -> Self {
        let unit_bytes = format::unit_bytes::<F>() * lanes;
        Self { count: rows.div_ceil(lanes), columns, unit_columns: SUB * F::SUBS, unit_bytes }
    }

    /// Bytes of them all, unless they are more than can be addressed.
    pub fn bytes(&self) -> Option<usize> {
        self.count.checked_mul(self.panel_bytes(self.columns))
    }

    #[inline(always)]
    fn panel_bytes(&self, columns: usize) -> usize {
        columns / self.unit_columns * self.unit_bytes
    }

    #[inline(always)]
    fn stripe(&self, first_column: usize) -> Stripe {
        let columns = STRIPE.min(self.columns - first_column);
        let start = self.count * self.panel_bytes(first_column);
        Stripe { first_column, columns, start, panel_bytes: self.panel_bytes(columns) }
    }

    #[inline(always)]
    pub fn stripes(self) -> impl Iterator<Item = Stripe> {
        (0..self.columns).step_by(STRIPE).map(move |first_column| self.stripe(first_column))
    }

    /// Where the unit of a panel begins that has a column.
    pub fn unit(&self, panel: usize, column: usize) -> usize {
        let stripe = self.stripe(column / STRIPE * STRIPE);
        stripe.panel(panel) + self.panel_bytes(column - stripe.first_column)
    }
}

impl Stripe {
    /// Where a panel of the stripe begins.
    #[inline(always)]
    pub fn panel(&self, index: usize) -> usize {
        self.start + index * self.panel_bytes
    }
}
