//! Muon (Jordan et al., 2024): the momentum of a matrix, made orthogonal, is its update.

use crate::cpu::kernels;
use crate::cpu::matmul::{Matrix, MatrixMut, matmul};
use crate::device::Write;

/// Decay of the momentum.
pub(crate) const MOMENTUM: f32 = 0.95;
/// Newton-Schulz iterations, and the coefficients of their odd polynomial. They push all singular values to about
/// 1, which suffices; they do not converge.
pub(crate) const ITERATIONS: usize = 5;
pub(crate) const COEFFICIENTS: [f32; 3] = [3.4445, -4.7750, 2.0315];
/// Root mean square of AdamW's usual updates, which the updates are scaled to (Liu et al., 2025), so that one
/// learning rate serves both optimizers.
const UPDATE_RMS: f32 = 0.2;

/// One update of a matrix `[rows, columns]` and its momentum; `decay` is decoupled as in AdamW.
pub fn update(
    weights: &mut [f32],
    momentum: &mut [f32],
    gradient: &[f32],
    [rows, columns]: [usize; 2],
    lr: f32,
    decay: f32,
) {
    for (m, g) in momentum.iter_mut().zip(gradient) {
        *m = MOMENTUM * *m + (1.0 - MOMENTUM) * g;
    }
    let nesterov = momentum.iter().zip(gradient).map(|(m, g)| MOMENTUM * m + (1.0 - MOMENTUM) * g);
    // The iteration squares the shorter side.
    let direction = if rows <= columns {
        orthogonalize(nesterov.collect(), rows, columns)
    } else {
        transpose(
            &orthogonalize(transpose(&nesterov.collect::<Vec<f32>>(), rows, columns), columns, rows),
            columns,
            rows,
        )
    };
    let step = step([rows, columns], lr);
    for (w, d) in weights.iter_mut().zip(&direction) {
        *w = *w - lr * decay * *w - step * d;
    }
}

/// How far a matrix of this shape goes along its direction.
pub(crate) fn step([rows, columns]: [usize; 2], lr: f32) -> f32 {
    lr * UPDATE_RMS * (rows.max(columns) as f32).sqrt()
}

/// An approximation of `U V^T` for `x = U S V^T`; `rows <= columns`.
fn orthogonalize(mut x: Vec<f32>, rows: usize, columns: usize) -> Vec<f32> {
    let [a, b, c] = COEFFICIENTS;
    let norm = kernels::sum_of_squares(&x).sqrt() as f32 + 1e-30;
    x.iter_mut().for_each(|v| *v /= norm);
    let mut gram = vec![0.0; rows * rows];
    let mut polynomial = vec![0.0; rows * rows];
    let mut next = vec![0.0; rows * columns];
    for _ in 0..ITERATIONS {
        let view = Matrix::new(&x, rows, columns, columns);
        matmul(MatrixMut::new(&mut gram, rows, rows, rows), Write::Replace, 1.0, view, view.t());
        polynomial.iter_mut().zip(&gram).for_each(|(p, g)| *p = b * g);
        let square = Matrix::new(&gram, rows, rows, rows);
        matmul(MatrixMut::new(&mut polynomial, rows, rows, rows), Write::Add, c, square, square);
        next.iter_mut().zip(&x).for_each(|(n, x)| *n = a * x);
        let factor = Matrix::new(&polynomial, rows, rows, rows);
        matmul(MatrixMut::new(&mut next, rows, columns, columns), Write::Add, 1.0, factor, view);
        std::mem::swap(&mut x, &mut next);
    }
    x
}

fn transpose(x: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(x.len());
    for column in 0..columns {
        out.extend((0..rows).map(|row| x[row * columns + column]));
    }
    out
}
