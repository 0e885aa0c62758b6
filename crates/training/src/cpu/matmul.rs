//! Matrix products over strided views.

use crate::device::Write;
use gemm::{Parallelism, gemm};
use std::cell::Cell;

thread_local! {
    /// Threads that share a product of this thread.
    static THREADS: Cell<usize> = const { Cell::new(1) };
}

/// A matrix of f32 in someone else's buffer.
#[derive(Clone, Copy)]
pub struct Matrix<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

/// A matrix of f32 to write to, stored by rows.
pub struct MatrixMut<'a> {
    data: &'a mut [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
}

impl<'a> Matrix<'a> {
    /// `rows` rows of `columns` values, each row `stride` values after the one before.
    pub fn new(data: &'a [f32], rows: usize, columns: usize, stride: usize) -> Matrix<'a> {
        assert!(extent(rows, columns, stride) <= data.len(), "{rows} x {columns} by {stride} in {}", data.len());
        Matrix { data, rows, columns, row_stride: stride, column_stride: 1 }
    }

    /// The transpose.
    pub fn t(self) -> Matrix<'a> {
        Matrix {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }
}

impl<'a> MatrixMut<'a> {
    /// `rows` rows of `columns` values, each row `stride` values after the one before.
    pub fn new(data: &'a mut [f32], rows: usize, columns: usize, stride: usize) -> MatrixMut<'a> {
        assert!(columns <= stride && extent(rows, columns, stride) <= data.len(), "{rows} x {columns} by {stride}");
        MatrixMut { data, rows, columns, row_stride: stride }
    }
}

fn extent(rows: usize, columns: usize, stride: usize) -> usize {
    if rows == 0 || columns == 0 { 0 } else { (rows - 1) * stride + columns }
}

/// Lets `threads` share each large product that `run` makes on this thread. No bit depends on it: a value's terms are added
/// in the same order.
pub fn with_threads<R>(threads: usize, run: impl FnOnce() -> R) -> R {
    let before = THREADS.replace(threads);
    let result = run();
    THREADS.set(before);
    result
}

/// `out = scale * a * b`, or `out += scale * a * b`.
pub fn matmul(out: MatrixMut<'_>, write: Write, scale: f32, a: Matrix<'_>, b: Matrix<'_>) {
    let MatrixMut { data, rows, columns, row_stride } = out;
    assert!(
        a.rows == rows && b.columns == columns && a.columns == b.rows,
        "{} x {} times {} x {} into {} x {}",
        a.rows,
        a.columns,
        b.rows,
        b.columns,
        rows,
        columns
    );
    let parallelism = match THREADS.get() {
        1 => Parallelism::None,
        threads => Parallelism::Rayon(threads),
    };
    // SAFETY: the constructors checked that every view lies within its slice; `out` was borrowed mutably, so it
    // overlaps neither `a` nor `b`.
    unsafe {
        gemm(
            rows,
            columns,
            a.columns,
            data.as_mut_ptr(),
            1,
            row_stride as isize,
            write == Write::Add,
            a.data.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            1.0,
            scale,
            false,
            false,
            false,
            parallelism,
        );
    }
}
