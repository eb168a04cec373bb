//! Ridge and least squares by the singular value decomposition of the rows, for Gram matrices that lost their digits.

use crate::columns::{Column, WRITTEN_OUT, centred_gram, combine, correlate, gram};
use crate::design::Design;
use crate::linalg::{LeastSquares, eigen, least_squares, row_space};
use crate::penalty::ScaledPenalty;
use crate::simd::{axpy, dot};

/// Minimiser of `sum_i omega_i (t_i - z_i'b)^2 / 2` plus a smooth penalty with the least `sum_j (norm_j b_j)^2`,
/// and whether the columns are dependent. `target` is `y - offset` less its mean where there is an intercept.
pub fn ridge_by_svd(
    design: &Design,
    columns: &[usize],
    target: &[f64],
    penalty: &ScaledPenalty,
    norm: &[f64],
) -> Option<(Vec<f64>, bool)> {
    let columns: Vec<Column<'_>> = columns.iter().map(|&j| design.column(j)).collect();
    let penalty = Some(penalty);
    let regression = Regression { columns: &columns, weights: &design.omega, penalty, centred: false };
    let LeastSquares { mut x, null } = regression.solve(target.to_vec())?;
    let dependent = !null.is_empty();
    if dependent {
        shorten(&mut x, &null, norm)?;
    }
    Some((x, dependent))
}

/// Moves a fit along the directions that change no prediction to where `sum_j (norm_j b_j)^2` is least over `columns`.
/// False where there are no such directions: the columns are independent.
///
/// With `A = Z D^-1`, D the norm's weights, that fit is `D^-1 P D b`, P the projection on the row space of A.
pub fn shorten_fit(design: &Design, columns: &[usize], b: &mut [f64], norm: &[f64]) -> bool {
    let columns: Vec<Column<'_>> = columns.iter().map(|&j| design.column(j)).collect();
    let Some(rows) = scaled_row_space(&columns, design, norm).filter(|rows| rows.len() < b.len()) else { return false };
    let long: Vec<f64> = b.iter().zip(norm).map(|(b, norm)| b * norm).collect();
    let mut short = vec![0.0; b.len()];
    for row in rows {
        axpy(dot(&row, &long), &row, &mut short);
    }
    b.iter_mut().zip(short.iter().zip(norm)).for_each(|(b, (short, norm))| *b = short / norm);
    true
}

/// An orthonormal basis of the row space of `Z D^-1`: of the rows written out, or of the Gram matrix (see
/// [`Regression`]) where that would be too much.
fn scaled_row_space(columns: &[Column<'_>], design: &Design, norm: &[f64]) -> Option<Vec<Vec<f64>>> {
    let (n, k) = (design.n_rows(), columns.len());
    if n * k > WRITTEN_OUT && columns.iter().any(Column::is_sparse) {
        let mut gram = gram(columns, &design.omega);
        gram.iter_mut().enumerate().for_each(|(at, g)| *g /= norm[at / k] * norm[at % k]);
        let Spectrum { values, vectors } = Spectrum::of(&gram, k, n)?;
        return Some(values.into_iter().zip(vectors).filter(|(value, _)| *value > 0.0).map(|(_, v)| v).collect());
    }
    let scaled =
        columns.iter().zip(norm).flat_map(|(z, norm)| z.to_dense(n).iter().map(|z| z / norm).collect::<Vec<_>>());
    row_space(&scaled.collect::<Vec<f64>>(), n, k)
}

/// `min_b sum_i weight_i (t_i - z_i'b)^2 / 2` plus a smooth penalty for columns that may depend on each other.
pub(super) struct Regression<'a> {
    pub(super) columns: &'a [Column<'a>],
    pub(super) weights: &'a [f64],
    /// The penalty, if any.
    pub(super) penalty: Option<&'a ScaledPenalty>,
    /// Whether t and z are less their weighted means.
    pub(super) centred: bool,
}

impl Regression<'_> {
    /// The minimiser of least norm.
    pub(super) fn solve(&self, mut target: Vec<f64>) -> Option<LeastSquares> {
        let mean = self.mean(dot(&target, self.weights));
        target.iter_mut().for_each(|t| *t -= mean);
        let size = self.weights.len() * self.columns.len();
        let fits = size <= WRITTEN_OUT || !self.columns.iter().any(Column::is_sparse);
        if fits { self.by_singular_values(&target) } else { self.by_eigenvalues(&target) }
    }

    /// The mean that belongs to a weighted sum, 0 where nothing is centred.
    fn mean(&self, sum: f64) -> f64 {
        if self.centred { sum / self.weights.iter().sum::<f64>() } else { 0.0 }
    }

    fn means(&self) -> Vec<f64> {
        correlate(self.columns, self.weights).into_iter().map(|sum| self.mean(sum)).collect()
    }

    /// On the weighted rows themselves, written out, with the ridge as rows of its own.
    fn by_singular_values(&self, target: &[f64]) -> Option<LeastSquares> {
        let (n, k) = (self.weights.len(), self.columns.len());
        // the square root of the penalty's matrix, as rows below those of the data
        let root = self.penalty.map_or_else(Vec::new, ScaledPenalty::quadratic_root);
        let below = root.len() / k.max(1);
        let rows = n + below;
        let means = self.means();
        let roots: Vec<f64> = self.weights.iter().map(|w| w.sqrt()).collect();
        let mut a = vec![0.0; rows * k];
        for (j, (column, out)) in self.columns.iter().zip(a.chunks_exact_mut(rows)).enumerate() {
            let column = column.to_dense(n);
            out.iter_mut().zip(column.iter().zip(&roots)).for_each(|(o, (z, root))| *o = (z - means[j]) * root);
            out[n..].copy_from_slice(&root[j * below..(j + 1) * below]);
        }
        let mut b = vec![0.0; rows];
        crate::simd::multiply(target, &roots, &mut b[..n]);
        least_squares(&a, rows, k, &b)
    }

    /// On the Gram matrix, for sparse columns too many to be written out.
    ///
    /// Eigenvalues are squares of singular values: directions below about 1e-7 of the largest singular value cannot be
    /// told from null ones, where the rows themselves show 1e-13. What the others lose in the Gram matrix comes back in
    /// one step of iterative refinement, with residuals taken on the rows.
    fn by_eigenvalues(&self, target: &[f64]) -> Option<LeastSquares> {
        let spectrum = Spectrum::of(&self.gram(), self.columns.len(), self.weights.len())?;
        let means = self.means();
        let mut x = spectrum.solve(&self.slope(target, &means, &vec![0.0; means.len()]));
        let correction = spectrum.solve(&self.slope(target, &means, &x));
        axpy(1.0, &correction, &mut x);
        Some(LeastSquares { x, null: spectrum.null() })
    }

    fn gram(&self) -> Vec<f64> {
        let gram = if self.centred { centred_gram } else { gram };
        let mut gram = gram(self.columns, self.weights);
        if let Some(penalty) = self.penalty {
            penalty.add_quadratic_to(&mut gram);
        }
        gram
    }

    /// `sum_i weight_i (z_i - mean) (t_i - (z_i - mean)'x)` less the slope of the penalty.
    fn slope(&self, target: &[f64], means: &[f64], x: &[f64]) -> Vec<f64> {
        let all: Vec<usize> = (0..x.len()).collect();
        let back: Vec<f64> = x.iter().map(|x| -x).collect();
        let shift = dot(means, x);
        let mut rest: Vec<f64> = target.iter().map(|t| t + shift).collect();
        combine(self.columns, &all, &back, &mut rest);
        rest.iter_mut().zip(self.weights).for_each(|(r, w)| *r *= w);
        let mut slope = correlate(self.columns, &rest);
        axpy(-rest.iter().sum::<f64>(), means, &mut slope);
        if let Some(penalty) = self.penalty {
            axpy(-1.0, &penalty.quadratic_slope(x), &mut slope);
        }
        slope
    }
}

/// Eigenvalues and eigenvectors of a Gram matrix; what rounding cannot be told from counts as 0.
struct Spectrum {
    values: Vec<f64>,
    vectors: Vec<Vec<f64>>,
}

impl Spectrum {
    /// Of a k x k matrix of sums over n rows, whose rounding grows like the root of n.
    fn of(gram: &[f64], k: usize, n: usize) -> Option<Self> {
        let (mut values, vectors) = eigen(gram, k)?;
        let largest = values.iter().fold(0.0, |a: f64, v| a.max(*v));
        let cutoff = (k as f64 + (n as f64).sqrt()) * f64::EPSILON * largest;
        values.iter_mut().filter(|v| **v <= cutoff).for_each(|v| *v = 0.0);
        Some(Self { values, vectors: vectors.chunks_exact(k.max(1)).map(<[f64]>::to_vec).collect() })
    }

    /// The solution of least norm.
    fn solve(&self, rhs: &[f64]) -> Vec<f64> {
        let mut x = vec![0.0; rhs.len()];
        for (value, vector) in self.values.iter().zip(&self.vectors).filter(|(value, _)| **value > 0.0) {
            axpy(dot(vector, rhs) / value, vector, &mut x);
        }
        x
    }

    /// Directions with eigenvalue 0, one after another.
    fn null(&self) -> Vec<f64> {
        let null = self.values.iter().zip(&self.vectors).filter(|(value, _)| **value == 0.0);
        null.flat_map(|(_, vector)| vector.iter().copied()).collect()
    }
}

/// Moves `x` along the `null` directions to where `sum_j (norm_j x_j)^2` is least.
fn shorten(x: &mut [f64], null: &[f64], norm: &[f64]) -> Option<()> {
    let k = x.len();
    let scaled: Vec<f64> = null.iter().zip(norm.iter().cycle()).map(|(v, norm)| v * norm).collect();
    let target: Vec<f64> = x.iter().zip(norm).map(|(x, norm)| -x * norm).collect();
    let along = least_squares(&scaled, k, null.len() / k, &target)?.x;
    for (share, direction) in along.iter().zip(null.chunks_exact(k)) {
        axpy(*share, direction, x);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Columns with stored values on every third row or so; the last is the sum of the first two.
    fn stored(k: usize, n: u32, values: &[f64]) -> Vec<(Vec<u32>, Vec<f64>)> {
        let value = |j: usize, i: u32| values[(j * 37 + i as usize * 11) % values.len()];
        let single = |j: usize| -> Vec<(u32, f64)> {
            (0..n).filter(|i| (i * 7 + j as u32 * 5).is_multiple_of(3)).map(|i| (i, value(j, i))).collect()
        };
        let mut columns: Vec<Vec<(u32, f64)>> = (0..k).map(single).collect();
        let at = |column: &[(u32, f64)], i: u32| column.iter().find(|(row, _)| *row == i).map_or(0.0, |(_, v)| *v);
        columns.push((0..n).map(|i| (i, at(&columns[0], i) + at(&columns[1], i))).collect());
        columns.into_iter().map(|column| column.into_iter().unzip()).collect()
    }

    proptest! {
        #[test]
        fn eigenvalues_find_what_singular_values_find(
            values in prop::collection::vec(-2.0..2.0f64, 101),
            k in 2usize..6,
            is_dependent: bool,
            centred: bool,
            ridge in prop_oneof![Just(0.0), 0.01..1.0f64],
        ) {
            let n = 60;
            let stored = stored(k, n, &values);
            let count = if is_dependent { k + 1 } else { k };
            let column = |(rows, values)| Column::Sparse { rows, values, shift: 0.3 };
            let columns: Vec<Column<'_>> =
                stored[..count].iter().map(|(rows, values)| column((rows.as_slice(), values.as_slice()))).collect();
            let weights: Vec<f64> = (0..n as usize).map(|i| 0.1 + values[i].abs()).collect();
            let penalty = ScaledPenalty::separable(vec![0.0; count], vec![ridge; count]);
            let target: Vec<f64> = (0..n as usize).map(|i| 3.0 * values[(i * 3 + 1) % 101]).collect();
            let regression = Regression { columns: &columns, weights: &weights, penalty: Some(&penalty), centred };
            let (a, b) = (regression.by_singular_values(&target).unwrap(), regression.by_eigenvalues(&target).unwrap());
            // without a centre the shift tells the sum apart from its parts
            prop_assert_eq!(a.null.len(), if is_dependent && centred && ridge == 0.0 { count } else { 0 });
            prop_assert_eq!(b.null.len(), a.null.len());
            let size = a.x.iter().fold(1.0, |s: f64, x| s.max(x.abs()));
            prop_assert!(a.x.iter().zip(&b.x).all(|(a, b)| (a - b).abs() <= 1e-10 * size), "{:?}\n{:?}", a.x, b.x);
        }
    }
}
