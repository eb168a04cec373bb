//! Gram matrices of dense and sparse columns.

use std::borrow::Cow;

use super::{Column, WRITTEN_OUT, correlate, stored_dot, total};
use crate::blocks;
use crate::linalg::{mirror, shifted_gram, weighted_gram};

/// `sum_i weight_i z_i z_i'`, both triangles, column-major; weights at least 0.
pub fn gram(columns: &[Column<'_>], weights: &[f64]) -> Vec<f64> {
    products(columns, weights, false)
}

/// `sum_i weight_i (z_i - m)(z_i - m)'` with m the weighted means, which is what eliminating an intercept leaves.
pub fn centred_gram(columns: &[Column<'_>], weights: &[f64]) -> Vec<f64> {
    products(columns, weights, true)
}

/// Either of the two. With `z = x - s` a sparse column of stored values x with weighted mean `m`, `W` the sum of the
/// weights and `mean z = m - s`,
///
/// ```text
/// sum w (z - mean z)(z' - mean z')  =  sum w x x' - W m m'            both sparse
///                                   =  sum w (z - mean z) x'          z dense
/// sum w z z'                        =  that + W (mean z)(mean z')
/// ```
///
/// Shifts are in no product, so that a column whose stored rows have hardly any weight left keeps all its digits. What
/// is subtracted is `W m m'`: the first line has an error of eps times the root mean squares of x and x'. A column whose
/// stored rows hold the share q of the weights has `m^2 <= q mean(x^2)`, so against the product of the spreads the
/// error is about `eps / (1 - q)`. Columns that would lose more than the digit of [`HEAVY`] are written out and centred
/// first, as many as [`WRITTEN_OUT`] numbers hold; beyond that the Hessian is poor, while slopes and certificates,
/// which do not come from here, are not.
fn products(columns: &[Column<'_>], weights: &[f64], centred: bool) -> Vec<f64> {
    let parts = Parts::new(columns, weights, centred);
    let among_dense = parts.among_dense(weights, centred);
    if parts.sparse.is_empty() {
        return among_dense;
    }
    let (k, m) = (columns.len(), parts.dense.len());
    let mut lower = vec![0.0; k * k];
    for (a, first) in parts.dense.iter().enumerate() {
        parts.dense.iter().enumerate().skip(a).for_each(|(b, z)| lower[first.at * k + z.at] = among_dense[a * m + b]);
        parts.across(first, weights, &mut lower, k);
    }
    parts.among_sparse(weights, &mut lower, k);
    mirror(&mut lower, k);
    lower
}

/// Share of the weights on its stored rows from which a sparse column is written out.
const HEAVY: f64 = 0.9;

/// The columns by how they are multiplied.
struct Parts<'a> {
    dense: Vec<Full<'a>>,
    sparse: Vec<Stored<'a>>,
    /// Sum of the weights.
    weight: f64,
}

struct Full<'a> {
    /// Its place among all columns.
    at: usize,
    /// `z = (value - shift) / scale`.
    values: Cow<'a, [f64]>,
    shift: f64,
    scale: f64,
    /// Weighted mean of z, where it is subtracted.
    mean: f64,
}

impl Full<'_> {
    fn column(&self) -> Column<'_> {
        if (self.shift, self.scale) == (0.0, 1.0) {
            return Column::Dense(&self.values);
        }
        Column::Raw { values: &self.values, mean: self.shift, scale: self.scale }
    }

    /// What a value of mean z is.
    fn center(&self) -> f64 {
        self.shift + self.scale * self.mean
    }
}

struct Stored<'a> {
    /// Its place among all columns.
    at: usize,
    rows: &'a [u32],
    values: &'a [f64],
    /// Weighted mean of the values, zeros included.
    mean: f64,
    /// That of the column where it is not to be centred about the weights, else 0.
    rest: f64,
}

impl<'a> Parts<'a> {
    fn new(columns: &[Column<'a>], weights: &[f64], centred: bool) -> Self {
        let mut parts = Self { dense: vec![], sparse: vec![], weight: total(weights) };
        let mut room = WRITTEN_OUT;
        for (at, column) in columns.iter().enumerate() {
            match *column {
                Column::Dense(z) => parts.push_dense(at, Cow::Borrowed(z), 0.0, 1.0),
                Column::Raw { values, mean, scale } => parts.push_dense(at, Cow::Borrowed(values), mean, scale),
                Column::Sparse { rows, shift, .. }
                    if (centred || shift != 0.0) && room >= weights.len() && parts.is_heavy(rows, weights) =>
                {
                    room -= weights.len();
                    parts.push_dense(at, Cow::Owned(column.to_dense(weights.len())), 0.0, 1.0);
                }
                Column::Sparse { rows, values, shift } => {
                    let mean = parts.mean_of(stored_dot(rows, values, weights));
                    let rest = if centred { 0.0 } else { mean - shift };
                    parts.sparse.push(Stored { at, rows, values, mean, rest });
                }
            }
        }
        if centred || !parts.sparse.is_empty() {
            let dense: Vec<Column<'_>> = parts.dense.iter().map(Full::column).collect();
            let means: Vec<f64> = correlate(&dense, weights).iter().map(|sum| parts.mean_of(*sum)).collect();
            parts.dense.iter_mut().zip(means).for_each(|(z, mean)| z.mean = mean);
        }
        parts
    }

    fn push_dense(&mut self, at: usize, values: Cow<'a, [f64]>, shift: f64, scale: f64) {
        self.dense.push(Full { at, values, shift, scale, mean: 0.0 });
    }

    fn mean_of(&self, sum: f64) -> f64 {
        if self.weight > 0.0 { sum / self.weight } else { 0.0 }
    }

    fn is_heavy(&self, rows: &[u32], weights: &[f64]) -> bool {
        rows.iter().map(|&i| weights[i as usize]).sum::<f64>() > HEAVY * self.weight
    }

    fn among_dense(&self, weights: &[f64], centred: bool) -> Vec<f64> {
        let shifts: Vec<f64> = self.dense.iter().map(|z| if centred { z.center() } else { z.shift }).collect();
        let is_shifted = shifts.iter().any(|shift| *shift != 0.0);
        let mut gram = blocks::sums(weights.len(), |rows| {
            let roots: Vec<f64> = weights[rows.clone()].iter().map(|w| w.sqrt()).collect();
            let columns: Vec<&[f64]> = self.dense.iter().map(|z| &z.values[rows.clone()]).collect();
            if is_shifted { shifted_gram(&columns, &shifts, &roots) } else { weighted_gram(&columns, &roots) }
        });
        let m = self.dense.len();
        if self.dense.iter().any(|z| z.scale != 1.0) {
            let scale = |at: usize| self.dense[at / m].scale * self.dense[at % m].scale;
            gram.iter_mut().enumerate().for_each(|(at, product)| *product /= scale(at));
        }
        gram
    }

    /// Products of a dense column with all sparse ones.
    fn across(&self, z: &Full<'_>, weights: &[f64], lower: &mut [f64], k: usize) {
        let weighted: Vec<f64> = z.values.iter().zip(weights).map(|(v, w)| w * ((v - z.center()) / z.scale)).collect();
        for column in &self.sparse {
            let product = stored_dot(column.rows, column.values, &weighted) + self.weight * z.mean * column.rest;
            lower[z.at.min(column.at) * k + z.at.max(column.at)] = product;
        }
    }

    /// Products of the sparse columns: each stored value meets those that later columns store in the same row, so the
    /// cost is the sum of squares of the rows' numbers of stored values, whatever the number of columns.
    fn among_sparse(&self, weights: &[f64], lower: &mut [f64], k: usize) {
        let (starts, entries) = self.by_rows(weights.len());
        let mut next = starts.clone();
        for (b, column) in self.sparse.iter().enumerate() {
            let products = &mut lower[column.at * k..(column.at + 1) * k];
            for (&i, x) in column.rows.iter().zip(column.values) {
                let i = i as usize;
                let weighted = weights[i] * x;
                for (at, x) in &entries[next[i]..starts[i + 1]] {
                    products[*at as usize] += weighted * x;
                }
                next[i] += 1;
            }
            for other in &self.sparse[b..] {
                products[other.at] += self.weight * (column.rest * other.rest - column.mean * other.mean);
            }
        }
    }

    /// `(place of the column, value)` of sparse columns row after row, columns ascending within a row; and where each
    /// row starts.
    fn by_rows(&self, n_rows: usize) -> (Vec<usize>, Vec<(u32, f64)>) {
        let mut starts = vec![0; n_rows + 1];
        self.sparse.iter().flat_map(|column| column.rows).for_each(|&i| starts[i as usize + 1] += 1);
        (0..n_rows).for_each(|i| starts[i + 1] += starts[i]);
        let mut next = starts.clone();
        let mut entries = vec![(0, 0.0); starts[n_rows]];
        for column in &self.sparse {
            for (&i, x) in column.rows.iter().zip(column.values) {
                entries[next[i as usize]] = (column.at as u32, *x);
                next[i as usize] += 1;
            }
        }
        (starts, entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_whose_rows_have_no_weight_left_keeps_its_digits() {
        let column = Column::Sparse { rows: &[1, 2], values: &[3.0, 5.0], shift: 0.8 };
        let weights = [0.5, 1e-40, 2e-40, 0.5];
        // m = 13e-40, whose square is nothing
        assert!((centred_gram(&[column], &weights)[0] / 59e-40 - 1.0).abs() < 1e-14);
        let dense = column.to_dense(4);
        assert!((centred_gram(&[Column::Dense(&dense)], &weights)[0] / 59e-40 - 1.0).abs() < 1e-14);
    }

    #[test]
    fn columns_whose_rows_hold_nearly_all_weight_keep_their_digits() {
        let n = 1000u32;
        // two stored columns that nearly equal a constant wherever the weights are
        let rows: Vec<u32> = (0..n).filter(|i| i % 2 == 0).collect();
        let first: Vec<f64> = rows.iter().map(|i| 1.0 + 1e-3 * f64::from(i % 7)).collect();
        let second: Vec<f64> = rows.iter().map(|i| 1.0 - 1e-3 * f64::from(i % 5)).collect();
        for outside in [1.0, 1e-1, 1e-2, 1e-6, 1e-12] {
            let weights: Vec<f64> = (0..n).map(|i| if i % 2 == 0 { 1.0 } else { outside }).collect();
            let columns = [&first, &second].map(|values| Column::Sparse { rows: &rows, values, shift: 0.5 });
            let gram = centred_gram(&columns, &weights);
            // about the value that most rows are near to, all terms are small
            let dense = columns.map(|column| column.to_dense(n as usize).iter().map(|z| z - 0.5).collect::<Vec<f64>>());
            let sum = |values: &dyn Fn(usize) -> f64| (0..n as usize).map(|i| weights[i] * values(i)).sum::<f64>();
            let weight = sum(&|_| 1.0);
            let exact = |a: usize, b: usize| {
                sum(&|i| dense[a][i] * dense[b][i]) - sum(&|i| dense[a][i]) * sum(&|i| dense[b][i]) / weight
            };
            // worst rounding of a sum of n terms; columns multiplied as they are stored would add eps / outside
            let bound = f64::from(n) * f64::EPSILON;
            let size = (exact(0, 0) * exact(1, 1)).sqrt();
            for (at, (a, b)) in [(0, (0, 0)), (1, (0, 1)), (2, (1, 0)), (3, (1, 1))] {
                assert!((gram[at] - exact(a, b)).abs() <= bound * size, "{outside} {} {}", gram[at], exact(a, b));
            }
        }
    }
}
