//! A quadratic penalty `b' M b / 2` whose matrix is no diagonal.

use crate::linalg::eigen;

/// A symmetric positive semidefinite matrix with its eigenvectors.
#[derive(Debug, Clone)]
pub struct Metric {
    k: usize,
    matrix: Vec<f64>,
    values: Vec<f64>,
    vectors: Vec<f64>,
}

/// Part of the terms of a slope that is rounding.
const ROUNDING: f64 = 1e-12;
/// Part of the largest eigenvalue below which another one is 0.
const ZERO: f64 = 1e-12;

impl Metric {
    /// Decomposes a symmetric k x k matrix, column-major; `None` where that fails. Eigenvalues within rounding of 0 become
    /// 0.
    pub fn new(matrix: Vec<f64>, k: usize) -> Option<Self> {
        let (mut values, vectors) = eigen(&matrix, k)?;
        let cutoff = ZERO * values.iter().fold(0.0, |a: f64, v| a.max(v.abs()));
        values.iter_mut().filter(|v| **v <= cutoff).for_each(|v| *v = 0.0);
        Some(Self { k, matrix, values, vectors })
    }

    /// Number of columns.
    pub fn n_columns(&self) -> usize {
        self.k
    }

    /// Entry (i, j).
    pub fn entry(&self, i: usize, j: usize) -> f64 {
        self.matrix[j * self.k + i]
    }

    /// `M b`.
    pub fn times(&self, b: &[f64]) -> Vec<f64> {
        let mut out = vec![0.0; self.k];
        for (column, b) in self.matrix.chunks_exact(self.k.max(1)).zip(b).filter(|(_, b)| **b != 0.0) {
            crate::simd::axpy(*b, column, &mut out);
        }
        out
    }

    /// `b' M b`.
    pub fn form(&self, b: &[f64]) -> f64 {
        crate::simd::dot(b, &self.times(b)).max(0.0)
    }

    /// Adds `alpha M` to a matrix of the same shape.
    pub fn add_to(&self, gram: &mut [f64], alpha: f64) {
        crate::simd::axpy(alpha, &self.matrix, gram);
    }

    /// A matrix R, column-major, with `R'R = alpha M`.
    pub fn root(&self, alpha: f64) -> Vec<f64> {
        let entry = |j: usize, i: usize| (alpha * self.values[i]).sqrt() * self.vector(i)[j];
        (0..self.k).flat_map(|j| (0..self.k).map(move |i| (j, i))).map(|(j, i)| entry(j, i)).collect()
    }

    /// The matrix on some columns.
    pub fn restrict(&self, set: &[usize]) -> Self {
        let matrix =
            set.iter().flat_map(|&j| set.iter().map(move |&i| (i, j))).map(|(i, j)| self.entry(i, j)).collect();
        // decomposed when asked for: steps need the entries alone
        Self { k: set.len(), matrix, values: vec![], vectors: vec![] }
    }

    /// The metric of the first `m` columns, decomposed.
    pub fn leading(&self, m: usize) -> Option<Self> {
        let set: Vec<usize> = (0..m).collect();
        Self::new(self.restrict(&set).matrix, m)
    }

    /// An orthonormal basis of the directions without `held` columns that cost nothing.
    pub fn null_space(&self, held: &[bool]) -> Vec<Vec<f64>> {
        let set: Vec<usize> = (0..self.k).filter(|&j| !held[j]).collect();
        let inside =
            if set.len() == self.k { Some(self.clone()) } else { Self::new(self.restrict(&set).matrix, set.len()) };
        let Some(inside) = inside else { return vec![] };
        let null = (0..set.len()).filter(|&i| inside.values[i] == 0.0);
        null.map(|i| {
            let mut direction = vec![0.0; self.k];
            set.iter().zip(inside.vector(i)).for_each(|(&j, v)| direction[j] = *v);
            direction
        })
        .collect()
    }

    fn vector(&self, i: usize) -> &[f64] {
        &self.vectors[i * self.k..(i + 1) * self.k]
    }

    /// `Omega(b) + Omega*(u) - u'b` for `Omega = alpha b' M b / 2` on a box, null directions projected out of u.
    ///
    /// Without bounds it is `(alpha M b - u)' M^+ (alpha M b - u) / (2 alpha)`. With them, for every c,
    /// `Omega*(u) <= alpha c' M c / 2 + sup_box (u - alpha M c)' b`, and equal at the c of the box where `u'c - Omega(c)`
    /// is largest.
    ///
    /// A slope of size `rounding` towards an end at infinity is none.
    pub fn fenchel(&self, alpha: f64, b: &[f64], u: &[f64], ends: (&[f64], &[f64]), rounding: f64) -> f64 {
        let (lower, upper) = ends;
        let slope: Vec<f64> = self.times(b).iter().zip(u).map(|(mb, u)| alpha * mb - u).collect();
        if lower.iter().chain(upper).all(|end| end.is_infinite()) {
            let share = |i: usize| crate::simd::dot(self.vector(i), &slope).powi(2) / (2.0 * alpha * self.values[i]);
            return (0..self.k).filter(|&i| self.values[i] > 0.0).map(share).sum();
        }
        let c = self.largest(alpha, b, u, lower, upper);
        let beyond: Vec<f64> = self.times(&c).iter().zip(u).map(|(mc, u)| u - alpha * mc).collect();
        let noise = |j: usize| {
            let terms: f64 = (0..self.k).map(|i| (self.entry(i, j) * b[i]).abs()).sum();
            u.iter().fold(rounding + ROUNDING * alpha * terms, |a, u| a.max(ROUNDING * u.abs()))
        };
        let support = |j: usize| {
            let end = if beyond[j] > 0.0 { upper[j] } else { lower[j] };
            let end = if end.is_infinite() && beyond[j].abs() <= noise(j) { b[j] } else { end };
            if beyond[j] == 0.0 { 0.0 } else { beyond[j] * (end - b[j]) }
        };
        // alpha (c'Mc + b'Mb) / 2 - alpha b'Mc = alpha (b - c)' M (b - c) / 2, and (u - alpha M c)'(end - b)
        let apart: Vec<f64> = b.iter().zip(&c).map(|(b, c)| b - c).collect();
        0.5 * alpha * self.form(&apart) + (0..self.k).map(support).sum::<f64>().max(0.0)
    }

    /// The point of the box where `u'c - alpha c'Mc / 2` is largest, by the solver for quadratic problems.
    fn largest(&self, alpha: f64, start: &[f64], u: &[f64], lower: &[f64], upper: &[f64]) -> Vec<f64> {
        let gram: Vec<f64> = self.matrix.iter().map(|m| alpha * m).collect();
        let mut penalty = super::ScaledPenalty::none(self.k);
        penalty.lower = lower.to_vec();
        penalty.upper = upper.to_vec();
        let mut c = start.to_vec();
        crate::solver::Quadratic { k: self.k, gram: &gram, linear: u, penalty: &penalty }.minimise(&mut c);
        c
    }
}
