//! Weighted means and centred cross-products of sets of rows, and how training sets are put together from folds.
//!
//! Each fold's moments are taken about its own mean. The moments of a training set *merge* those of the other
//! folds (Chan, Golub and LeVeque 1983) through prefix and suffix sums; a fold is never subtracted from a total,
//! which would leak its rounding into the fit and lose digits.

use std::sync::Arc;

use crate::linalg::weighted_gram;
use crate::matrix::Values;
use crate::problem::Table;
use crate::simd::{axpy, dot};

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

/// How much weight some rows have, and where the columns of X lie over them.
#[derive(Debug, Clone)]
struct Center {
    /// Sum of the row weights.
    weight: f64,
    /// Weighted means.
    mean: Vec<f64>,
}

/// Moments of the columns of X over some rows: tables that differ in their targets share them.
#[derive(Debug, Clone)]
pub struct ColumnMoments {
    center: Center,
    /// `sum_i v_i (x_i - mean)(x_i - mean)'`, p x p.
    cross: Vec<f64>,
    low: Vec<f64>,
    high: Vec<f64>,
}

/// Moments of `t = y - offset` over some rows.
#[derive(Debug, Clone)]
pub struct TargetMoments {
    mean: f64,
    /// `sum_i v_i (x_i - mean)(t_i - mean)`.
    cross: Vec<f64>,
    /// `sum_i v_i (t_i - mean)^2`.
    square: f64,
}

/// Moments of the columns of X and of `y - offset`, which counts as column p.
#[derive(Debug, Clone)]
pub struct Moments {
    /// Those of X.
    pub columns: Arc<ColumnMoments>,
    /// Those of the target.
    pub target: TargetMoments,
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

/// Some rows of X of positive weight, each column less its mean; a missing value is 0.
pub struct Centred {
    rows: Vec<usize>,
    weights: Vec<f64>,
    /// Columns, one after another.
    values: Vec<f64>,
    mean: Vec<f64>,
    low: Vec<f64>,
    high: Vec<f64>,
}

impl Centred {
    /// Gathers some rows of a table. Columns are written out: a sparse table is fitted on its
    /// [`Design`](crate::design::Design) instead.
    pub fn new(table: &Table, rows: &[usize]) -> Self {
        let rows = weighted_rows(table, rows);
        let (weights, p) = (weights_of(table, &rows), table.n_columns());
        let values = Vec::with_capacity(rows.len() * p);
        let mut centred = Self { rows, weights, values, mean: Vec::with_capacity(p), low: vec![], high: vec![] };
        (0..p).for_each(|j| centred.push(table.column(j)));
        centred
    }

    fn push(&mut self, column: Values<'_>) {
        let start = self.values.len();
        column.pick_into(&self.rows, &mut self.values);
        let values = &mut self.values[start..];
        let center = mean_observed(values, &self.weights);
        let (lowest, highest) = range(values);
        values.iter_mut().for_each(|v| *v = if v.is_nan() { 0.0 } else { *v - center });
        self.mean.push(center);
        self.low.push(lowest);
        self.high.push(highest);
    }

    fn columns(&self) -> impl Iterator<Item = &[f64]> {
        let n = self.rows.len();
        (0..self.mean.len()).map(move |j| &self.values[j * n..(j + 1) * n])
    }

    fn center(&self) -> Center {
        Center { weight: self.weights.iter().sum(), mean: self.mean.clone() }
    }

    /// Their moments.
    pub fn moments(&self) -> ColumnMoments {
        let roots: Vec<f64> = self.weights.iter().map(|v| v.sqrt()).collect();
        let columns: Vec<&[f64]> = self.columns().collect();
        ColumnMoments {
            center: self.center(),
            cross: weighted_gram(&columns, &roots),
            low: self.low.clone(),
            high: self.high.clone(),
        }
    }

    /// Moments of the target of a table on the same rows, with the same weights.
    pub fn target(&self, table: &Table) -> TargetMoments {
        let target: Vec<f64> = self.rows.iter().map(|&i| table.y[i] - table.offset_of(i)).collect();
        let mean = mean_observed(&target, &self.weights);
        let weighted: Vec<f64> = target.iter().zip(&self.weights).map(|(t, w)| w * (t - mean)).collect();
        let square = target.iter().zip(&weighted).map(|(t, w)| w * (t - mean)).sum();
        TargetMoments { mean, cross: self.columns().map(|column| dot(column, &weighted)).collect(), square }
    }
}

impl Center {
    /// The other set's share of the weight of both, and how far its means lie from these; `None` where one is empty.
    fn way_to(&self, other: &Self) -> Option<(f64, Vec<f64>)> {
        let is_there = self.weight != 0.0 && other.weight != 0.0;
        let gap = || self.mean.iter().zip(&other.mean).map(|(a, b)| b - a).collect();
        is_there.then(|| (other.weight / (self.weight + other.weight), gap()))
    }
}

impl ColumnMoments {
    /// Moments of the union of two disjoint sets of rows.
    fn merge(&self, other: &Self) -> Self {
        let Center { weight, mean } = &self.center;
        let Some((share, gap)) = self.center.way_to(&other.center) else {
            return if *weight == 0.0 { other.clone() } else { self.clone() };
        };
        let mut cross: Vec<f64> = self.cross.iter().zip(&other.cross).map(|(a, b)| a + b).collect();
        for (column, g) in cross.chunks_exact_mut(gap.len().max(1)).zip(&gap) {
            axpy(weight * share * g, &gap, column);
        }
        let mean = mean.iter().zip(&gap).map(|(m, g)| m + share * g).collect();
        Self {
            center: Center { weight: weight + other.center.weight, mean },
            cross,
            low: self.low.iter().zip(&other.low).map(|(a, b)| a.min(*b)).collect(),
            high: self.high.iter().zip(&other.high).map(|(a, b)| a.max(*b)).collect(),
        }
    }

    /// Sum of the row weights.
    pub fn weight(&self) -> f64 {
        self.center.weight
    }

    /// Weighted means.
    pub fn mean(&self) -> &[f64] {
        &self.center.mean
    }

    /// Centred cross-products of column j.
    pub fn products_of(&self, j: usize) -> &[f64] {
        let p = self.center.mean.len();
        &self.cross[j * p..(j + 1) * p]
    }

    /// Means, standard deviations and constancy.
    pub fn stats(&self) -> ColumnStats {
        let Center { weight, mean } = &self.center;
        let p = mean.len();
        ColumnStats {
            mean: mean.clone(),
            sd: (0..p).map(|j| (self.cross[j * p + j] / weight).sqrt()).collect(),
            // `low > high` where no value was observed
            constant: (0..p).map(|j| self.low[j] >= self.high[j]).collect(),
        }
    }
}

impl TargetMoments {
    /// Moments over the union of two disjoint sets of rows, on which the columns of X have these.
    fn merge(&self, own: &Center, other: &Self, theirs: &Center) -> Self {
        let Some((share, gap)) = own.way_to(theirs) else {
            return if own.weight == 0.0 { other.clone() } else { self.clone() };
        };
        let off = other.mean - self.mean;
        let weight = own.weight * share * off;
        let cross = self.cross.iter().zip(&other.cross).zip(&gap).map(|((a, b), g)| a + b + weight * g).collect();
        Self { mean: self.mean + share * off, cross, square: self.square + other.square + weight * off }
    }
}

impl Moments {
    /// Moments of some rows of a table; missing values are replaced by the mean of these rows.
    pub fn of_rows(table: &Table, rows: &[usize]) -> Self {
        let centred = Centred::new(table, rows);
        Self { columns: Arc::new(centred.moments()), target: centred.target(table) }
    }

    /// Number of columns of X.
    pub fn n_columns(&self) -> usize {
        self.columns.center.mean.len()
    }

    /// Sum of the row weights.
    pub fn weight(&self) -> f64 {
        self.columns.center.weight
    }

    /// Weighted mean of column j; column p is the target.
    pub fn mean_of(&self, j: usize) -> f64 {
        self.columns.center.mean.get(j).copied().unwrap_or(self.target.mean)
    }

    /// Centred cross-product of columns i and j.
    pub fn cross_of(&self, i: usize, j: usize) -> f64 {
        let p = self.n_columns();
        match (i < p, j < p) {
            (true, true) => self.columns.cross[j * p + i],
            (false, false) => self.target.square,
            _ => self.target.cross[i.min(j)],
        }
    }
}

/// Moments of folds that share no row, and of every union of all of them but one.
pub struct FoldColumns {
    /// The rows themselves, if another table is to come.
    rows: Vec<Centred>,
    centers: Vec<Center>,
    prefix: Vec<ColumnMoments>,
    suffix: Vec<ColumnMoments>,
}

/// Those of one table's target.
pub struct FoldTargets {
    prefix: Vec<TargetMoments>,
    suffix: Vec<TargetMoments>,
}

impl FoldColumns {
    /// Sums from the left and from the right over the folds' row sets (at least two), and those of this table's target.
    pub fn new(table: &Table, folds: &[Vec<usize>], is_shared: bool) -> (Self, FoldTargets) {
        let (mut rows, mut pieces, mut targets) = (vec![], vec![], vec![]);
        for fold in folds {
            let centred = Centred::new(table, fold);
            pieces.push(centred.moments());
            targets.push(centred.target(table));
            if is_shared {
                rows.push(centred);
            }
        }
        let columns = Self {
            rows,
            centers: pieces.iter().map(|piece| piece.center.clone()).collect(),
            prefix: running(pieces.iter(), |last, _, piece| last.merge(piece)),
            suffix: running(pieces.iter().rev(), |last, _, piece| last.merge(piece)),
        };
        let targets = columns.sums(&targets);
        (columns, targets)
    }

    /// Those of the target of another table with the same X and weights.
    pub fn targets(&self, table: &Table) -> FoldTargets {
        self.sums(&self.rows.iter().map(|rows| rows.target(table)).collect::<Vec<_>>())
    }

    fn sums(&self, targets: &[TargetMoments]) -> FoldTargets {
        let n = targets.len();
        let left = |last: &TargetMoments, at: usize, piece: &TargetMoments| {
            last.merge(&self.prefix[at - 1].center, piece, &self.centers[at])
        };
        let right = |last: &TargetMoments, at: usize, piece: &TargetMoments| {
            last.merge(&self.suffix[at - 1].center, piece, &self.centers[n - 1 - at])
        };
        FoldTargets { prefix: running(targets.iter(), left), suffix: running(targets.iter().rev(), right) }
    }

    /// Moments of all folds but fold `k`.
    pub fn without(&self, k: usize) -> ColumnMoments {
        match self.sides(k) {
            (Some(left), Some(right)) => self.prefix[left].merge(&self.suffix[right]),
            (Some(left), None) => self.prefix[left].clone(),
            (None, right) => self.suffix[right.unwrap_or(0)].clone(),
        }
    }

    /// Those of a target.
    pub fn target_without(&self, targets: &FoldTargets, k: usize) -> TargetMoments {
        match self.sides(k) {
            (Some(l), Some(r)) => {
                targets.prefix[l].merge(&self.prefix[l].center, &targets.suffix[r], &self.suffix[r].center)
            }
            (Some(left), None) => targets.prefix[left].clone(),
            (None, right) => targets.suffix[right.unwrap_or(0)].clone(),
        }
    }

    /// The sum from the left and the sum from the right that leave out fold `k` alone.
    fn sides(&self, k: usize) -> (Option<usize>, Option<usize>) {
        (k.checked_sub(1), (self.prefix.len() - 1 - k).checked_sub(1))
    }
}
/// Sums of the first 1, 2, ... pieces; `merge` is told how many went before.
fn running<'a, T: Clone + 'a>(pieces: impl Iterator<Item = &'a T>, merge: impl Fn(&T, usize, &T) -> T) -> Vec<T> {
    let mut sums: Vec<T> = Vec::new();
    for (at, piece) in pieces.enumerate() {
        sums.push(sums.last().map_or_else(|| piece.clone(), |last| merge(last, at, piece)));
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
            let (columns, own) = FoldColumns::new(&table, &folds, true);
            let other = table.y.iter().map(|y| 2.0 - y * y).collect();
            let other = Table::on(table.features().clone(), other, table.weights.clone(), None).unwrap();
            for (table, targets) in [(&table, own), (&other, columns.targets(&other))] {
                for left_out in 0..4 {
                    let rows: Vec<usize> = (0..n).filter(|i| i % 4 != left_out).collect();
                    let target = columns.target_without(&targets, left_out);
                    let a = Moments { columns: Arc::new(columns.without(left_out)), target };
                    let b = Moments::of_rows(table, &rows);
                    prop_assert!((a.weight() - b.weight()).abs() < 1e-12);
                    for (i, j) in (0..9).map(|at| (at / 3, at % 3)) {
                        for (x, y) in [(a.mean_of(i), b.mean_of(i)), (a.cross_of(i, j), b.cross_of(i, j))] {
                            prop_assert!((x - y).abs() <= 1e-9 * (1.0 + y.abs()));
                        }
                    }
                    prop_assert_eq!(a.columns.stats().constant, b.columns.stats().constant);
                }
            }
        }
    }

    #[test]
    fn a_missing_value_counts_as_the_mean() {
        let table = Table::new(3, 1, vec![1.0, f64::NAN, 3.0], vec![0.0; 3], None, None).unwrap();
        let moments = Moments::of_rows(&table, &[0, 1, 2]);
        assert_eq!(moments.mean_of(0), 2.0);
        assert_eq!(moments.cross_of(0, 0), 2.0);
    }
}
