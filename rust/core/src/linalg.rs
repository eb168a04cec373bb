//! The few dense kernels the solvers need, on top of faer. Matrices are column-major slices.

use std::ops::Range;

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt;
use faer::{MatMut, MatRef, Par, Side};

use crate::simd::{axpy, dot, multiply};
use crate::syrk::add_gram;

/// Gram matrix `sum_i scale_i^2 z_i z_i'` of the given columns, both triangles filled.
pub fn weighted_gram(columns: &[&[f64]], scale: &[f64]) -> Vec<f64> {
    let scaled = |j: usize, rows: Range<usize>, out: &mut [f64]| multiply(&columns[j][rows.clone()], &scale[rows], out);
    gram_of_blocks(columns.len(), scale.len(), scaled)
}

/// The same of columns less one number each.
pub fn shifted_gram(columns: &[&[f64]], shifts: &[f64], scale: &[f64]) -> Vec<f64> {
    let scaled = |j: usize, rows: Range<usize>, out: &mut [f64]| {
        let values = columns[j][rows.clone()].iter().zip(&scale[rows]);
        out.iter_mut().zip(values).for_each(|(o, (z, s))| *o = (z - shifts[j]) * s);
    };
    gram_of_blocks(columns.len(), scale.len(), scaled)
}

/// Gram matrix of k columns over n rows. `write` puts some rows of a column into a buffer: blocks of rows are
/// multiplied while they are in cache.
fn gram_of_blocks(k: usize, n: usize, write: impl Fn(usize, Range<usize>, &mut [f64])) -> Vec<f64> {
    let mut gram = vec![0.0; k * k];
    add_gram(&mut gram, k, 0..n, &write);
    mirror(&mut gram, k);
    gram
}

/// Copies the lower triangle into the upper one.
pub(crate) fn mirror(gram: &mut [f64], k: usize) {
    for j in 0..k {
        for i in j + 1..k {
            gram[i * k + j] = gram[j * k + i];
        }
    }
}

/// Cholesky factor of a symmetric positive definite matrix, equilibrated to a unit diagonal first so that
/// its pivots measure how dependent the columns are whatever their units.
pub struct Cholesky {
    k: usize,
    factor: Vec<f64>,
    scale: Vec<f64>,
}

impl Cholesky {
    /// Factorises the k x k matrix `a`; `None` where a pivot is not positive.
    pub fn new(a: &[f64], k: usize) -> Option<Self> {
        let scale: Vec<f64> = (0..k).map(|j| a[j * k + j].sqrt().recip()).collect();
        if scale.iter().any(|s| !s.is_finite()) {
            return None;
        }
        let mut factor = vec![0.0; k * k];
        for j in 0..k {
            for i in j..k {
                factor[j * k + i] = a[j * k + i] * scale[i] * scale[j];
            }
        }
        let mut memory = MemBuffer::new(llt::factor::cholesky_in_place_scratch::<f64>(k, Par::Seq, Default::default()));
        llt::factor::cholesky_in_place(
            MatMut::from_column_major_slice_mut(&mut factor, k, k),
            Default::default(),
            Par::Seq,
            MemStack::new(&mut memory),
            Default::default(),
        )
        .ok()?;
        factor.iter().all(|v| v.is_finite()).then_some(Self { k, factor, scale })
    }

    /// Smallest squared pivot: 1 for orthogonal columns, near 0 for dependent ones.
    pub fn smallest_pivot(&self) -> f64 {
        (0..self.k).map(|j| self.factor[j * self.k + j].powi(2)).fold(1.0, f64::min)
    }

    /// Replaces `rhs` by the solution.
    pub fn solve(&self, rhs: &mut [f64]) {
        for (r, s) in rhs.iter_mut().zip(&self.scale) {
            *r *= s;
        }
        llt::solve::solve_in_place(
            MatRef::from_column_major_slice(&self.factor, self.k, self.k),
            MatMut::from_column_major_slice_mut(rhs, self.k, 1),
            Par::Seq,
            MemStack::new(&mut []),
        );
        for (r, s) in rhs.iter_mut().zip(&self.scale) {
            *r *= s;
        }
    }
}

/// Eigenvalues and eigenvectors (one after another) of a symmetric k x k matrix.
pub fn eigen(matrix: &[f64], k: usize) -> Option<(Vec<f64>, Vec<f64>)> {
    if k == 0 {
        return Some((vec![], vec![]));
    }
    let decomposed = MatRef::from_column_major_slice(matrix, k, k).self_adjoint_eigen(Side::Lower).ok()?;
    let values = decomposed.S().column_vector().iter().copied().collect();
    let vectors = (0..k).flat_map(|i| (0..k).map(move |j| (j, i))).map(|(j, i)| decomposed.U()[(j, i)]).collect();
    Some((values, vectors))
}

/// Solution of least norm (columns scaled to a unit diagonal) of a symmetric positive semidefinite system. Eigenvalues below
/// `k eps` of the largest count as zero.
pub fn solve_singular(matrix: &[f64], rhs: &[f64]) -> Option<Vec<f64>> {
    let k = rhs.len();
    let root = |d: f64| if d > 0.0 { d.sqrt().recip() } else { 0.0 };
    let scale: Vec<f64> = (0..k).map(|j| root(matrix[j * k + j])).collect();
    let scaled: Vec<f64> = (0..k * k).map(|at| matrix[at] * scale[at / k] * scale[at % k]).collect();
    let (values, vectors) = eigen(&scaled, k)?;
    let cutoff = 4.0 * k as f64 * f64::EPSILON * values.iter().fold(0.0, |a: f64, v| a.max(*v));
    let target: Vec<f64> = rhs.iter().zip(&scale).map(|(r, s)| r * s).collect();
    let mut x = vec![0.0; k];
    for (value, vector) in values.iter().zip(vectors.chunks_exact(k)).filter(|(value, _)| **value > cutoff) {
        axpy(dot(vector, &target) / value, vector, &mut x);
    }
    x.iter_mut().zip(&scale).for_each(|(x, s)| *x *= s);
    x.iter().all(|v| v.is_finite()).then_some(x)
}

/// An orthonormal basis of the row space of an m x k matrix. Singular values below `max(m, k) eps` of the largest count as
/// zero.
pub fn row_space(a: &[f64], m: usize, k: usize) -> Option<Vec<Vec<f64>>> {
    let svd = MatRef::from_column_major_slice(a, m, k).thin_svd().ok()?;
    let values = svd.S().column_vector();
    let cutoff = m.max(k) as f64 * f64::EPSILON * values.iter().fold(0.0, |a: f64, v| a.max(*v));
    let kept = values.iter().enumerate().filter(|(_, value)| **value > cutoff);
    Some(kept.map(|(i, _)| (0..k).map(|j| svd.V()[(j, i)]).collect()).collect())
}

/// Solution of a least-squares problem by the singular value decomposition.
pub struct LeastSquares {
    /// The solution of least norm.
    pub x: Vec<f64>,
    /// Orthonormal directions that change nothing, k values each.
    pub null: Vec<f64>,
}

/// Least squares with an m x k matrix (m >= k). Singular values below `m eps` of the largest count as zero.
pub fn least_squares(a: &[f64], m: usize, k: usize, b: &[f64]) -> Option<LeastSquares> {
    let svd = MatRef::from_column_major_slice(a, m, k).thin_svd().ok()?;
    let values = svd.S().column_vector();
    let cutoff = m.max(k) as f64 * f64::EPSILON * values.iter().fold(0.0, |a: f64, v| a.max(*v));
    let projected = svd.U().transpose() * MatRef::from_column_major_slice(b, m, 1);
    let (mut x, mut null) = (vec![0.0; k], vec![]);
    for (i, value) in values.iter().enumerate() {
        let direction = (0..k).map(|j| svd.V()[(j, i)]);
        if *value > cutoff {
            let weight = projected[(i, 0)] / value;
            x.iter_mut().zip(direction).for_each(|(x, v)| *x += weight * v);
        } else {
            null.extend(direction);
        }
    }
    Some(LeastSquares { x, null })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matrix(k: usize, n: usize, values: &[f64]) -> Vec<Vec<f64>> {
        (0..k).map(|j| (0..n).map(|i| values[(i * k + j) % values.len()] + (j * i % 7) as f64).collect()).collect()
    }

    proptest! {
        #[test]
        fn gram_equals_naive_sums(n in 1usize..70, k in 1usize..14, values in prop::collection::vec(-3.0..3.0f64, 40)) {
            let columns = matrix(k, n, &values);
            let scale: Vec<f64> = (0..n).map(|i| 0.1 + values[i % 40].abs()).collect();
            let views: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
            let gram = weighted_gram(&views, &scale);
            for a in 0..k {
                for b in 0..k {
                    let naive: f64 = (0..n).map(|i| scale[i].powi(2) * columns[a][i] * columns[b][i]).sum();
                    prop_assert!((gram[a * k + b] - naive).abs() <= 1e-11 * (1.0 + naive.abs()));
                }
            }
        }

        #[test]
        fn cholesky_solves(k in 1usize..12, values in prop::collection::vec(-3.0..3.0f64, 40)) {
            let columns = matrix(k, 30, &values);
            let views: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
            let mut gram = weighted_gram(&views, &[1.0; 30]);
            (0..k).for_each(|j| gram[j * k + j] += 1.0);
            let mut x = vec![1.0; k];
            Cholesky::new(&gram, k).unwrap().solve(&mut x);
            for i in 0..k {
                prop_assert!((dot(&gram[i * k..(i + 1) * k], &x) - 1.0).abs() < 1e-9);
            }
        }
    }

    /// More rows than a block holds, more columns than a panel.
    #[test]
    fn large_grams_equal_naive_sums() {
        for (n, k) in [(1500, 5), (530, 101), (257, 199)] {
            let columns = matrix(k, n, &[0.3, -1.2, 0.7, 2.0, -0.4, 0.9, 1.1]);
            let views: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
            let gram = weighted_gram(&views, &vec![0.5; n]);
            for (a, b) in (0..k).flat_map(|a| (0..k).map(move |b| (a, b))) {
                let naive: f64 = (0..n).map(|i| 0.25 * columns[a][i] * columns[b][i]).sum();
                assert!((gram[a * k + b] - naive).abs() <= 1e-12 * (1.0 + naive.abs()), "{n} {k} {a} {b}");
            }
        }
    }

    #[test]
    fn dependent_columns_show_in_the_pivots_and_the_rank() {
        let a = [1.0, 2.0, 3.0, 2.0, 4.0, 6.0];
        let LeastSquares { x, null } = least_squares(&a, 3, 2, &[5.0, 10.0, 15.0]).unwrap();
        assert_eq!(null.len(), 2);
        assert!((null[0] + 2.0 * null[1]).abs() < 1e-14);
        assert!((x[0] - 1.0).abs() < 1e-14 && (x[1] - 2.0).abs() < 1e-14);
        assert!(Cholesky::new(&[1.0, 1.0, 1.0, 1.0], 2).is_none_or(|c| c.smallest_pivot() < 1e-14));
    }
}
