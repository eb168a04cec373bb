//! Columns of a design in solver coordinates, and the products over rows that every model is made of.

mod gram;
mod many;

pub use gram::{centred_gram, gram};
pub use many::{Many, Part};

use std::ops::Range;

use crate::blocks;
use crate::simd::{axpy, axpy_about, dot, dot_about, dot_pair, dot_pair_about, scale_about};

/// Numbers that sparse columns may be written out into where digits ask for it.
pub(crate) const WRITTEN_OUT: usize = 4_000_000;

/// One column z over the training rows.
#[derive(Debug, Clone, Copy)]
pub enum Column<'a> {
    /// A value for every row.
    Dense(&'a [f64]),
    /// `z_i = (value - mean) / scale`: a column of a large table that is not written down again. What is far from 0 is
    /// subtracted before anything is multiplied, as in [`Column::Dense`].
    Raw {
        /// Values in original units.
        values: &'a [f64],
        /// What is subtracted.
        mean: f64,
        /// What is divided by.
        scale: f64,
    },
    /// `z_i = value - shift` at some rows, `-shift` at all others: a column is centred without being written out.
    Sparse {
        /// Rows of the values, each at most once.
        rows: &'a [u32],
        /// Values, already divided by the column's scale.
        values: &'a [f64],
        /// What is subtracted on every row.
        shift: f64,
    },
}

impl Column<'_> {
    /// `z' v`.
    pub fn dot(&self, v: &[f64]) -> f64 {
        self.dot_given(v, if self.is_shifted() { total(v) } else { 0.0 })
    }

    /// `z' v` where `sum` is that of `v`, if the column is shifted.
    fn dot_given(&self, v: &[f64], sum: f64) -> f64 {
        match self {
            Column::Dense(z) => dot(z, v),
            Column::Raw { values, mean, scale } => dot_about(values, *mean, v) / scale,
            Column::Sparse { rows, values, shift } => stored_dot(rows, values, v) - shift * sum,
        }
    }

    /// `(z' a, z' b)` where `sums` are those of a and b, if the column is shifted.
    fn dot_pair_given(&self, a: &[f64], b: &[f64], sums: (f64, f64)) -> [f64; 2] {
        match self {
            Column::Dense(z) => dot_pair(z, a, b).into(),
            Column::Raw { values, mean, scale } => {
                let (of_a, of_b) = dot_pair_about(values, *mean, a, b);
                [of_a / scale, of_b / scale]
            }
            Column::Sparse { rows, values, shift } => {
                let (of_a, of_b) = stored_dot_pair(rows, values, a, b);
                [of_a - shift * sums.0, of_b - shift * sums.1]
            }
        }
    }

    /// `sum_i |z_i| v_i`, of which rounding in `z' v` is a part.
    pub fn dot_abs(&self, v: &[f64]) -> f64 {
        match self {
            Column::Dense(z) => z.iter().zip(v).map(|(z, v)| z.abs() * v).sum(),
            Column::Raw { values, mean, scale } => {
                values.iter().zip(v).map(|(x, v)| (x - mean).abs() * v).sum::<f64>() / scale
            }
            Column::Sparse { rows, values, shift } => {
                let beyond = |z: f64| (z - shift).abs() - shift.abs();
                let stored: f64 = rows.iter().zip(*values).map(|(&i, z)| beyond(*z) * v[i as usize]).sum();
                stored + if self.is_shifted() { shift.abs() * total(v) } else { 0.0 }
            }
        }
    }

    /// All values; `n_rows` of them.
    pub fn to_dense(self, n_rows: usize) -> Vec<f64> {
        match self {
            Column::Dense(z) => z.to_vec(),
            Column::Raw { values, mean, scale } => values.iter().map(|x| (x - mean) / scale).collect(),
            Column::Sparse { rows, values, shift } => {
                let mut out = vec![-shift; n_rows];
                rows.iter().zip(values).for_each(|(&i, z)| out[i as usize] += z);
                out
            }
        }
    }

    /// Puts the values of some rows into `out`.
    pub(crate) fn write(&self, rows: Range<usize>, out: &mut [f64]) {
        match self {
            Column::Dense(z) => out.copy_from_slice(&z[rows]),
            Column::Raw { values, mean, scale } => {
                scale_about(scale.recip(), &values[rows], *mean, out);
            }
            Column::Sparse { rows: stored, values, shift } => {
                out.fill(-shift);
                let here = stored.iter().map(|&i| i as usize).zip(*values).filter(|(i, _)| rows.contains(i));
                here.for_each(|(i, z)| out[i - rows.start] += z);
            }
        }
    }

    /// Its rows in this range; a sparse column has to be asked for all.
    fn on(&self, rows: Range<usize>) -> Self {
        match *self {
            Column::Dense(z) => Column::Dense(&z[rows]),
            Column::Raw { values, mean, scale } => Column::Raw { values: &values[rows], mean, scale },
            sparse => sparse,
        }
    }

    /// Whether not every row has a value of its own.
    pub fn is_sparse(&self) -> bool {
        matches!(self, Column::Sparse { .. })
    }

    /// Number of values kept.
    pub fn n_stored(&self) -> usize {
        match self {
            Column::Dense(values) | Column::Raw { values, .. } | Column::Sparse { values, .. } => values.len(),
        }
    }

    fn is_shifted(&self) -> bool {
        matches!(self, Column::Sparse { shift, .. } if *shift != 0.0)
    }
}

/// Sum of all entries, by sums of blocks so that rounding does not grow with their number.
fn total(v: &[f64]) -> f64 {
    v.chunks(256).map(|block| block.iter().sum::<f64>()).sum()
}

/// `sum_s values_s v_{rows_s}`. Four running sums hide the latency of the addition.
pub(crate) fn stored_dot(rows: &[u32], values: &[f64], v: &[f64]) -> f64 {
    let (rows4, rows_rest) = rows.as_chunks::<4>();
    let (values4, values_rest) = values.as_chunks::<4>();
    let mut sums = [0.0; 4];
    for (rows, values) in rows4.iter().zip(values4) {
        (0..4).for_each(|a| sums[a] += values[a] * v[rows[a] as usize]);
    }
    let rest: f64 = rows_rest.iter().zip(values_rest).map(|(&i, z)| z * v[i as usize]).sum();
    (sums[0] + sums[1]) + (sums[2] + sums[3]) + rest
}

fn stored_dot_pair(rows: &[u32], values: &[f64], a: &[f64], b: &[f64]) -> (f64, f64) {
    rows.iter().zip(values).fold((0.0, 0.0), |(of_a, of_b), (&i, z)| {
        let i = i as usize;
        (of_a + z * a[i], of_b + z * b[i])
    })
}

/// Sum of `v`, where one of the columns asks for it.
fn shared_total(columns: &[Column<'_>], v: &[f64]) -> f64 {
    if columns.iter().any(Column::is_shifted) { total(v) } else { 0.0 }
}

fn any_is_sparse(columns: &[Column<'_>]) -> bool {
    columns.iter().any(Column::is_sparse)
}

/// Columns that are a piece of work.
const PIECE: usize = 256;

/// Sums over rows: by blocks of rows where these are many and no column is sparse, else by pieces of the columns.
fn summed(
    columns: &[Column<'_>],
    n_rows: usize,
    of: impl Fn(&[Column<'_>], Range<usize>) -> Vec<f64> + Sync,
) -> Vec<f64> {
    if n_rows <= blocks::BLOCK || any_is_sparse(columns) {
        let pieces: Vec<&[Column<'_>]> = columns.chunks(PIECE).collect();
        return blocks::each(pieces.len(), |piece| of(pieces[piece], 0..n_rows)).concat();
    }
    blocks::sums(n_rows, |rows| {
        let part: Vec<Column<'_>> = columns.iter().map(|column| column.on(rows.clone())).collect();
        of(&part, rows)
    })
}

/// `Z' v`.
pub fn correlate(columns: &[Column<'_>], v: &[f64]) -> Vec<f64> {
    let sum = shared_total(columns, v);
    summed(columns, v.len(), |columns, rows| {
        let v = &v[rows];
        columns.iter().map(|column| column.dot_given(v, sum)).collect()
    })
}

/// `(Z' a, Z' b)` in one pass.
pub fn correlate_pair(columns: &[Column<'_>], a: &[f64], b: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let sums = (shared_total(columns, a), shared_total(columns, b));
    let both = summed(columns, a.len(), |columns, rows| {
        let (a, b) = (&a[rows.clone()], &b[rows]);
        columns.iter().flat_map(|column| column.dot_pair_given(a, b, sums)).collect()
    });
    both.as_chunks::<2>().0.iter().map(|[of_a, of_b]| (*of_a, *of_b)).unzip()
}

/// `out += sum_a d_a z_{set_a}`.
pub fn combine(columns: &[Column<'_>], set: &[usize], d: &[f64], out: &mut [f64]) {
    if any_is_sparse(columns) {
        return combine_block(columns, set, d, 0..out.len(), out);
    }
    blocks::fill(out, |rows, out| combine_block(columns, set, d, rows, out));
}

fn combine_block(columns: &[Column<'_>], set: &[usize], d: &[f64], block: Range<usize>, out: &mut [f64]) {
    let mut shifted = 0.0;
    for (&j, d) in set.iter().zip(d).filter(|(_, d)| **d != 0.0) {
        match columns[j].on(block.clone()) {
            Column::Dense(z) => axpy(*d, z, out),
            Column::Raw { values, mean, scale } => axpy_about(d / scale, values, mean, out),
            Column::Sparse { rows, values, shift } => {
                rows.iter().zip(values).for_each(|(&i, z)| out[i as usize] += d * z);
                shifted += d * shift;
            }
        }
    }
    if shifted != 0.0 {
        out.iter_mut().for_each(|o| *o -= shifted);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A column by its stored values; `None` for one that is dense.
    #[derive(Debug, Clone)]
    struct Given {
        rows: Option<Vec<u32>>,
        values: Vec<f64>,
        shift: f64,
    }

    impl Given {
        fn column(&self) -> Column<'_> {
            match &self.rows {
                Some(rows) => Column::Sparse { rows, values: &self.values, shift: self.shift },
                None => Column::Dense(&self.values),
            }
        }

        fn plain(&self, n: usize) -> Vec<f64> {
            let Some(rows) = &self.rows else { return self.values.clone() };
            let stored = |i: usize| rows.iter().position(|r| *r as usize == i).map_or(0.0, |at| self.values[at]);
            (0..n).map(|i| stored(i) - self.shift).collect()
        }
    }

    fn given(n: usize) -> impl Strategy<Value = Given> {
        let cells = prop::collection::vec((prop::bool::weighted(0.3), -3.0..3.0f64), n);
        (cells, prop::bool::weighted(0.7), prop_oneof![Just(0.0), -2.0..2.0f64]).prop_map(
            |(cells, is_sparse, shift)| {
                if !is_sparse {
                    return Given { rows: None, values: cells.iter().map(|(_, v)| *v).collect(), shift: 0.0 };
                }
                let mut stored: Vec<(u32, f64)> =
                    (0..).zip(&cells).filter(|(_, (is_stored, _))| *is_stored).map(|(i, (_, v))| (i, *v)).collect();
                // repeated and permuted training rows leave stored rows in any order
                stored.reverse();
                Given {
                    rows: Some(stored.iter().map(|(i, _)| *i).collect()),
                    values: stored.iter().map(|(_, v)| *v).collect(),
                    shift,
                }
            },
        )
    }

    #[derive(Debug, Clone)]
    struct Case {
        columns: Vec<Given>,
        a: Vec<f64>,
        weights: Vec<f64>,
    }

    fn case() -> impl Strategy<Value = Case> {
        (1usize..40, 0usize..9).prop_flat_map(|(n, k)| {
            let weights = prop::collection::vec(prop_oneof![1 => Just(0.0), 4 => 0.0..2.0f64], n);
            (prop::collection::vec(given(n), k), prop::collection::vec(-3.0..3.0f64, n), weights)
                .prop_map(|(columns, a, weights)| Case { columns, a, weights })
        })
    }

    fn close(x: f64, y: f64) -> bool {
        (x - y).abs() <= 1e-12 * (1.0 + y.abs())
    }

    proptest! {
        #[test]
        fn a_sparse_column_is_the_dense_one_of_the_same_numbers(Case { columns, a, weights } in case()) {
            let n = a.len();
            let plain: Vec<Vec<f64>> = columns.iter().map(|c| c.plain(n)).collect();
            let columns: Vec<Column<'_>> = columns.iter().map(Given::column).collect();
            let naive = |z: &[f64], v: &[f64]| z.iter().zip(v).map(|(z, v)| z * v).sum::<f64>();
            let (of_a, of_w) = correlate_pair(&columns, &a, &weights);
            let alone = correlate(&columns, &a);
            for (j, (column, z)) in columns.iter().zip(&plain).enumerate() {
                prop_assert!(column.to_dense(n).iter().zip(z).all(|(x, y)| close(*x, *y)));
                prop_assert!(close(column.dot(&a), naive(z, &a)));
                prop_assert!(close(alone[j], naive(z, &a)));
                prop_assert!(close(of_a[j], naive(z, &a)) && close(of_w[j], naive(z, &weights)));
                let size: Vec<f64> = z.iter().map(|z| z.abs()).collect();
                prop_assert!(close(column.dot_abs(&weights), naive(&size, &weights)));
            }
            // every other column, the last first
            let set: Vec<usize> = (0..columns.len()).rev().step_by(2).collect();
            let d: Vec<f64> = set.iter().map(|j| *j as f64 - 1.0).collect();
            let mut out = a.clone();
            combine(&columns, &set, &d, &mut out);
            for i in 0..n {
                let wanted = a[i] + set.iter().zip(&d).map(|(j, d)| d * plain[*j][i]).sum::<f64>();
                prop_assert!(close(out[i], wanted));
            }
        }

        #[test]
        fn gram_of_any_mixture_equals_naive_sums(Case { columns, weights, .. } in case()) {
            let (n, k) = (weights.len(), columns.len());
            let plain: Vec<Vec<f64>> = columns.iter().map(|c| c.plain(n)).collect();
            let columns: Vec<Column<'_>> = columns.iter().map(Given::column).collect();
            let weight: f64 = weights.iter().sum();
            let mean = |z: &[f64]| dot(z, &weights) / if weight > 0.0 { weight } else { 1.0 };
            let (gram, centred) = (gram(&columns, &weights), centred_gram(&columns, &weights));
            for a in 0..k {
                for b in 0..k {
                    let (u, v) = (&plain[a], &plain[b]);
                    let naive: f64 = (0..n).map(|i| weights[i] * u[i] * v[i]).sum();
                    prop_assert!((gram[a * k + b] - naive).abs() <= 1e-11 * (1.0 + naive.abs()));
                    let about: f64 = (0..n).map(|i| weights[i] * (u[i] - mean(u)) * (v[i] - mean(v))).sum();
                    prop_assert!((centred[a * k + b] - about).abs() <= 1e-11 * (1.0 + naive.abs()));
                }
            }
        }
    }
}
