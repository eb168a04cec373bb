//! Columns of a design in solver coordinates, and the products over rows that every model is made of.

use crate::linalg::weighted_gram;
use crate::simd::{axpy, dot, dot_pair};

/// One column z over the training rows.
#[derive(Debug, Clone, Copy)]
pub enum Column<'a> {
    /// A value for every row.
    Dense(&'a [f64]),
}

impl Column<'_> {
    /// `z' v`.
    pub fn dot(&self, v: &[f64]) -> f64 {
        match self {
            Column::Dense(z) => dot(z, v),
        }
    }

    /// `sum_i |z_i| v_i`, of which rounding in `z' v` is a part.
    pub fn dot_abs(&self, v: &[f64]) -> f64 {
        match self {
            Column::Dense(z) => z.iter().zip(v).map(|(z, v)| z.abs() * v).sum(),
        }
    }

    /// All values.
    pub fn to_dense(self) -> Vec<f64> {
        match self {
            Column::Dense(z) => z.to_vec(),
        }
    }
}

/// `Z' v`.
pub fn correlate(columns: &[Column<'_>], v: &[f64]) -> Vec<f64> {
    columns.iter().map(|column| column.dot(v)).collect()
}

/// `(Z' a, Z' b)` in one pass.
pub fn correlate_pair(columns: &[Column<'_>], a: &[f64], b: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let pair = |column: &Column<'_>| match column {
        Column::Dense(z) => dot_pair(z, a, b),
    };
    columns.iter().map(pair).unzip()
}

/// `out += sum_a d_a z_{set_a}`.
pub fn combine(columns: &[Column<'_>], set: &[usize], d: &[f64], out: &mut [f64]) {
    for (&j, d) in set.iter().zip(d).filter(|(_, d)| **d != 0.0) {
        match columns[j] {
            Column::Dense(z) => axpy(*d, z, out),
        }
    }
}

/// `sum_i weight_i z_i z_i'`, both triangles, column-major; weights at least 0.
pub fn gram(columns: &[Column<'_>], weights: &[f64]) -> Vec<f64> {
    let roots: Vec<f64> = weights.iter().map(|w| w.sqrt()).collect();
    let dense: Vec<&[f64]> = columns
        .iter()
        .map(|column| match column {
            Column::Dense(z) => *z,
        })
        .collect();
    weighted_gram(&dense, &roots)
}
