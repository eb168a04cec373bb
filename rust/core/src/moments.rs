//! Weighted means and centred cross-products of sets of rows, and how training sets are put together from folds.
//!
//! Each fold's moments are taken about its own mean. The moments of a training set *merge* those of the other
//! folds (Chan, Golub and LeVeque 1983) through prefix and suffix sums; a fold is never subtracted from a total,
//! which would leak its rounding into the fit and lose digits.

use crate::linalg::weighted_gram;
use crate::matrix::Values;
use crate::problem::Table;
use crate::simd::dot;

/// Where each column lies and how far it spreads over a set of rows. Missing values count as the mean.
#[derive(Debug, Clone)]
pub struct ColumnStats {
    /// Weighted means of the observed values.
    pub mean: Vec<f64>,
    /// Weighted standard deviations, divisor `sum v`.
    pub sd: Vec<f64>,
    /// Whether all observed values are equal.
    pub constant: Vec<bool>,
}

/// Moments of the columns of X and, last, of `y - offset`.
#[derive(Debug, Clone)]
pub struct Moments {
    /// Sum of the row weights.
    pub weight: f64,
    /// Weighted means, p + 1 of them.
    pub mean: Vec<f64>,
    /// `sum_i v_i (z_i - mean)(z_i - mean)'`, (p + 1) x (p + 1).
    pub cross: Vec<f64>,
    low: Vec<f64>,
    high: Vec<f64>,
}

/// Values of one column at some rows, and their weighted mean without the missing ones (0 if all are missing).
pub(crate) fn gather(column: Values<'_>, rows: &[usize], weights: &[f64]) -> (Vec<f64>, f64) {
    let values = column.pick(rows);
    let mean = mean_observed(&values, weights);
    (values, mean)
}

pub(crate) fn mean_observed(values: &[f64], weights: &[f64]) -> f64 {
    let rough = dot(values, weights) / weights.iter().sum::<f64>();
    if rough.is_nan() {
        return mean_without_missing(values, weights);
    }
    corrected(rough, values.iter().zip(weights))
}

fn mean_without_missing(values: &[f64], weights: &[f64]) -> f64 {
    let observed = || values.iter().zip(weights).filter(|(v, _)| !v.is_nan());
    let total: f64 = observed().map(|(_, w)| w).sum();
    if total == 0.0 {
        return 0.0;
    }
    corrected(observed().map(|(v, w)| v * w).sum::<f64>() / total, observed())
}

/// A second pass removes the rounding of the first, which matters where the mean dwarfs the spread.
fn corrected<'a>(rough: f64, rows: impl Iterator<Item = (&'a f64, &'a f64)>) -> f64 {
    let (rest, total) = rows.fold((0.0, 0.0), |(rest, total), (v, w)| (rest + (v - rough) * w, total + w));
    rough + rest / total
}

fn range(values: &[f64]) -> (f64, f64) {
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    for v in values {
        low = if *v < low { *v } else { low };
        high = if *v > high { *v } else { high };
    }
    (low, high)
}

/// Weights of some rows in the table's unit.
pub(crate) fn weights_of(table: &Table, rows: &[usize]) -> Vec<f64> {
    rows.iter().map(|&i| table.weight(i) / table.weight_unit).collect()
}

/// Rows with a positive weight: a row of weight 0 is a deleted row.
pub(crate) fn weighted_rows(table: &Table, rows: &[usize]) -> Vec<usize> {
    rows.iter().copied().filter(|&i| table.weight(i) > 0.0).collect()
}

impl Moments {
    /// Moments of some rows of a table; missing values are replaced by the mean of these rows. Columns are written
    /// out: a sparse table is fitted on its [`Design`](crate::design::Design) instead.
    pub fn of_rows(table: &Table, rows: &[usize]) -> Self {
        let rows = weighted_rows(table, rows);
        let weights = weights_of(table, &rows);
        let roots: Vec<f64> = weights.iter().map(|v| v.sqrt()).collect();
        let target: Vec<f64> = rows.iter().map(|&i| table.y[i] - table.offset_of(i)).collect();
        let (n, p) = (rows.len(), table.n_columns());
        let (mut mean, mut low, mut high) = (Vec::with_capacity(p + 1), vec![], vec![]);
        let mut centred = Vec::with_capacity(n * (p + 1));
        for j in 0..=p {
            let start = centred.len();
            if j < p {
                table.column(j).pick_into(&rows, &mut centred)
            } else {
                centred.extend_from_slice(&target)
            }
            let values = &mut centred[start..];
            let center = mean_observed(values, &weights);
            let (lowest, highest) = range(values);
            values.iter_mut().for_each(|v| *v = if v.is_nan() { 0.0 } else { *v - center });
            mean.push(center);
            low.push(lowest);
            high.push(highest);
        }
        let views: Vec<&[f64]> = if n == 0 { vec![&[]; p + 1] } else { centred.chunks_exact(n).collect() };
        Self { weight: weights.iter().sum(), mean, cross: weighted_gram(&views, &roots), low, high }
    }

    /// Moments of the union of two disjoint sets of rows.
    pub fn merge(&self, other: &Self) -> Self {
        if self.weight == 0.0 {
            return other.clone();
        }
        if other.weight == 0.0 {
            return self.clone();
        }
        let weight = self.weight + other.weight;
        let share = other.weight / weight;
        let gap: Vec<f64> = self.mean.iter().zip(&other.mean).map(|(a, b)| b - a).collect();
        let k = gap.len();
        let mut cross: Vec<f64> = self.cross.iter().zip(&other.cross).map(|(a, b)| a + b).collect();
        for j in 0..k {
            crate::simd::axpy(self.weight * share * gap[j], &gap, &mut cross[j * k..(j + 1) * k]);
        }
        Self {
            weight,
            mean: self.mean.iter().zip(&gap).map(|(m, g)| m + share * g).collect(),
            cross,
            low: self.low.iter().zip(&other.low).map(|(a, b)| a.min(*b)).collect(),
            high: self.high.iter().zip(&other.high).map(|(a, b)| a.max(*b)).collect(),
        }
    }

    /// Number of columns of X.
    pub fn n_columns(&self) -> usize {
        self.mean.len() - 1
    }

    /// Centred cross-product of columns i and j; column p is the target.
    pub fn cross_of(&self, i: usize, j: usize) -> f64 {
        self.cross[j * self.mean.len() + i]
    }

    /// Means, standard deviations and constancy of the columns of X.
    pub fn stats(&self) -> ColumnStats {
        let p = self.n_columns();
        ColumnStats {
            mean: self.mean[..p].to_vec(),
            sd: (0..p).map(|j| (self.cross_of(j, j) / self.weight).sqrt()).collect(),
            // `low > high` where no value was observed
            constant: (0..p).map(|j| self.low[j] >= self.high[j]).collect(),
        }
    }
}

/// Moments of folds that share no row, and of every union of all of them but one.
pub struct FoldMoments {
    prefix: Vec<Moments>,
    suffix: Vec<Moments>,
}

impl FoldMoments {
    /// Sums from the left and from the right over the folds' row sets (at least two).
    pub fn new(table: &Table, folds: &[Vec<usize>]) -> Self {
        let pieces: Vec<Moments> = folds.iter().map(|rows| Moments::of_rows(table, rows)).collect();
        Self { prefix: running(pieces.iter()), suffix: running(pieces.iter().rev()) }
    }

    /// Moments of all folds but fold `k`.
    pub fn without(&self, k: usize) -> Moments {
        let n = self.prefix.len();
        match k {
            0 => self.suffix[n - 2].clone(),
            k if k == n - 1 => self.prefix[n - 2].clone(),
            k => self.prefix[k - 1].merge(&self.suffix[n - 2 - k]),
        }
    }
}

fn running<'a>(pieces: impl Iterator<Item = &'a Moments>) -> Vec<Moments> {
    let mut sums: Vec<Moments> = Vec::new();
    for piece in pieces {
        sums.push(sums.last().map_or_else(|| piece.clone(), |last| last.merge(piece)));
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn table(values: &[f64], n: usize) -> Table {
        let x = (0..2 * n).map(|i| values[i % values.len()] + 1e4).collect();
        let y = (0..n).map(|i| values[(7 * i) % values.len()]).collect();
        let w = (0..n).map(|i| f64::from((i % 4) as u32)).collect();
        Table::new(n, 2, x, y, Some(w), None).unwrap()
    }

    proptest! {
        #[test]
        fn merged_folds_equal_the_rows_taken_at_once(n in 8usize..40, values in prop::collection::vec(-3.0..3.0f64, 23)) {
            let table = table(&values, n);
            let folds: Vec<Vec<usize>> = (0..4).map(|f| (0..n).filter(|i| i % 4 == f).collect()).collect();
            let merged = FoldMoments::new(&table, &folds);
            for left_out in 0..4 {
                let rows: Vec<usize> = (0..n).filter(|i| i % 4 != left_out).collect();
                let (a, b) = (merged.without(left_out), Moments::of_rows(&table, &rows));
                prop_assert!((a.weight - b.weight).abs() < 1e-12);
                for (x, y) in a.mean.iter().zip(&b.mean).chain(a.cross.iter().zip(&b.cross)) {
                    prop_assert!((x - y).abs() <= 1e-9 * (1.0 + y.abs()));
                }
                prop_assert_eq!(a.stats().constant, b.stats().constant);
            }
        }
    }

    #[test]
    fn a_missing_value_counts_as_the_mean() {
        let table = Table::new(3, 1, vec![1.0, f64::NAN, 3.0], vec![0.0; 3], None, None).unwrap();
        let moments = Moments::of_rows(&table, &[0, 1, 2]);
        assert_eq!(moments.mean[0], 2.0);
        assert_eq!(moments.cross_of(0, 0), 2.0);
    }
}
