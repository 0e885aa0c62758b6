//! Muon's update as launches; [`crate::muon`] says what it computes.

use super::Cuda;
use super::driver::{Element, Factor, Product};
use super::launches::arguments;
use super::memory::{DeviceSlice, Storage};
use crate::device::PlacedMatrix;
use crate::muon::{COEFFICIENTS, ITERATIONS, MOMENTUM, step};

/// Sums of squares of a matrix, one a block; a block of `divide_by_norm` adds them up.
const SUMS: usize = 256;

/// A matrix of f32 in scratch memory, stored by rows.
#[derive(Clone, Copy)]
struct Floats {
    pointer: u64,
    rows: usize,
    columns: usize,
}

impl Floats {
    fn len(self) -> usize {
        self.rows * self.columns
    }

    fn factor(self, transposed: bool) -> Factor {
        Factor { pointer: self.pointer, stride: self.columns, transposed }
    }
}

impl<T: Storage> Cuda<T> {
    /// The momentum's update; then the update's direction is [`Self::orthogonalize`]d and taken.
    pub(super) fn muon_matrix(
        &self,
        [masters, values]: [u64; 2],
        momentum: &DeviceSlice<f32>,
        gradient: &DeviceSlice<f32>,
        matrix: &PlacedMatrix,
        [lr, decay]: [f32; 2],
    ) {
        let ([rows, columns], n) = (matrix.shape, matrix.range.len());
        let side = rows.min(columns);
        let scratch = self.scratch(2 * n + 2 * side * side + SUMS);
        let part = |start, rows, columns| Floats { pointer: scratch.at(start), rows, columns };
        let (direction, next) = (part(0, rows, columns), part(n, rows, columns));
        let (gram, polynomial) = (part(2 * n, side, side), part(2 * n + side * side, side, side));
        let sums = scratch.at(2 * n + 2 * side * side);
        let (momentum, gradient) = (momentum.at(matrix.range.start), gradient.at(matrix.range.start));
        self.each("muon_momentum", n, arguments![direction.pointer, momentum, gradient, n, MOMENTUM]);
        self.blocks("sum_of_squares", SUMS, arguments![sums, direction.pointer, n]);
        self.each("divide_by_norm", n, arguments![direction.pointer, sums, SUMS as u32, n]);
        let direction = self.orthogonalize(direction, next, [gram, polynomial]);
        let (shrink, step) = (lr * decay, step(matrix.shape, lr));
        self.each("muon_update", n, arguments![masters, values, direction.pointer, n, shrink, step]);
    }

    /// Newton-Schulz iterations, on the shorter side. Returns which of the two holds the result.
    fn orthogonalize(&self, mut x: Floats, mut next: Floats, [gram, polynomial]: [Floats; 2]) -> Floats {
        let [a, b, c] = COEFFICIENTS;
        let is_wide = x.rows <= x.columns;
        for _ in 0..ITERATIONS {
            self.float_product(gram, x.factor(!is_wide), x.factor(is_wide), x.rows.max(x.columns), 1.0, false);
            self.scale(polynomial, gram, b);
            self.float_product(polynomial, gram.factor(false), gram.factor(false), gram.rows, c, true);
            self.scale(next, x, a);
            let (left, right) = if is_wide { (polynomial, x) } else { (x, polynomial) };
            self.float_product(next, left.factor(false), right.factor(false), gram.rows, 1.0, true);
            std::mem::swap(&mut x, &mut next);
        }
        x
    }

    fn scale(&self, out: Floats, x: Floats, by: f32) {
        self.each("scale", x.len(), arguments![out.pointer, x.pointer, x.len(), by]);
    }

    fn float_product(&self, out: Floats, a: Factor, b: Factor, inner: usize, scale: f32, is_added: bool) {
        let (rows, columns) = (out.rows, out.columns);
        let (factors, product, out) = (Element::F32, Element::F32, out.factor(false));
        self.multiply(&Product { a, b, factors, out, product, rows, columns, inner, scale, is_added });
    }
}
