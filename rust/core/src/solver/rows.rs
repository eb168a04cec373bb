//! Quadratic problems on the rows of sparse columns: coordinate descent without their Gram matrix.
//!
//! With stored values x, weights w of sum W, `q = sqrt w * x` and `mean_j = x_j' w`, the columns of a Hessian from which an
//! intercept has been eliminated multiply as `G d = q' (q d) - mean (mean' d) / W`, whatever their shifts; without an
//! intercept there are no shifts and `G d = q' (q d)`. An update of a column costs two passes over its stored values.

use super::separable::{is_held, kink_between};
use super::sweeps::{Sweeps, descend};
use crate::columns::{Column, stored_dot};
use crate::penalty::ScaledPenalty;
use crate::simd::dot;

/// Part of a column's mean square below which its curvature has lost digits.
const DIGITS: f64 = 0.1;

/// `min_b (b - a)' G (b - a) / 2 - slope' (b - a)` plus a penalty, where G belongs to columns on rows of some weights.
#[derive(Clone, Copy)]
pub(super) struct Local<'a> {
    /// The columns.
    pub columns: &'a [Column<'a>],
    /// Weights of the rows.
    pub weights: &'a [f64],
    /// Whether an intercept is eliminated.
    pub centred: bool,
    /// Negative gradient at the start.
    pub slope: &'a [f64],
    /// The penalty on these columns.
    pub penalty: &'a ScaledPenalty,
    /// The start a.
    pub start: &'a [f64],
    /// The move from there that is expected of each column; empty where none is.
    pub expected: &'a [f64],
}

impl Local<'_> {
    /// Where column j may be, between the kinks next to its start.
    pub(super) fn guess(&self, j: usize) -> f64 {
        let (start, to) = (self.start[j], self.start[j] + self.expected[j]);
        if is_held(self.penalty, j, start) {
            return start;
        }
        kink_between(self.penalty, j, start, to).unwrap_or(to)
    }
}

/// A column on the rows with their weights.
#[derive(Clone, Copy)]
struct Stored<'a> {
    rows: &'a [u32],
    /// Where its q begins.
    first: usize,
    mean: f64,
    curvature: f64,
}

/// Coordinate descent under a separable penalty.
pub(super) struct RowDescent<'a> {
    local: Local<'a>,
    columns: Vec<Stored<'a>>,
    /// q, column after column.
    rooted: Vec<f64>,
    /// `1 / W` where an intercept is eliminated, else 0.
    inverse: f64,
    /// `b`, `q d` and `mean' d`.
    position: Vec<f64>,
}

impl<'a> RowDescent<'a> {
    /// None where a column is dense, or its curvature the small difference of large numbers.
    pub(super) fn new(local: Local<'a>) -> Option<Self> {
        let Local { columns, weights, centred, start, .. } = local;
        let inverse = if centred { weights.iter().sum::<f64>().recip() } else { 0.0 };
        let roots: Vec<f64> = weights.iter().map(|w| w.sqrt()).collect();
        let mut rooted = vec![];
        let stored = |column: &Column<'a>| {
            let Column::Sparse { rows, values, shift } = *column else { return None };
            let first = rooted.len();
            rooted.extend(rows.iter().zip(values).map(|(&i, x)| roots[i as usize] * x));
            let q = &rooted[first..];
            let (mean, square) = (stored_dot(rows, q, &roots), dot(q, q));
            let curvature = square - inverse * mean * mean;
            let is_sound = curvature > DIGITS * square && (centred || shift == 0.0);
            is_sound.then_some(Stored { rows, first, mean, curvature })
        };
        let columns = columns.iter().map(stored).collect::<Option<Vec<_>>>()?;
        let mut position = start.to_vec();
        position.resize(start.len() + weights.len() + 1, 0.0);
        Some(Self { local, columns, rooted, inverse, position })
    }

    /// The minimiser, until moves are about the part `accuracy` of the first ones.
    pub(super) fn goal(mut self, accuracy: f64) -> Vec<f64> {
        descend(&mut self, accuracy, None);
        self.position.truncate(self.columns.len());
        self.position
    }
}

impl Sweeps for RowDescent<'_> {
    fn n_units(&self) -> usize {
        self.columns.len()
    }

    fn update(&mut self, j: usize) -> f64 {
        let Stored { rows, first, mean, curvature } = self.columns[j];
        let q = &self.rooted[first..first + rows.len()];
        let (b, fitted) = self.position.split_at_mut(self.columns.len());
        let (fitted, along) = fitted.split_at_mut(self.local.weights.len());
        let now = self.local.slope[j] - stored_dot(rows, q, fitted) + self.inverse * mean * along[0];
        let moved = self.local.penalty.prox(j, now + curvature * b[j], curvature) - b[j];
        if moved == 0.0 {
            return 0.0;
        }
        b[j] += moved;
        along[0] += mean * moved;
        rows.iter().zip(q).for_each(|(&i, q)| fitted[i as usize] += moved * q);
        moved.abs() * curvature.sqrt()
    }

    fn is_idle(&self, j: usize) -> bool {
        is_held(self.local.penalty, j, self.position[j])
    }

    /// `d' G d = |q d|^2 - (mean' d)^2 / W`.
    fn objective(&self) -> f64 {
        let Local { slope, penalty, start, .. } = self.local;
        let (b, rest) = self.position.split_at(self.columns.len());
        let (fitted, along) = rest.split_at(rest.len() - 1);
        let linear = dot(slope, b) - dot(slope, start);
        let value: f64 = (0..b.len()).map(|j| penalty.bounded_value(j, b[j])).sum();
        0.5 * (dot(fitted, fitted) - self.inverse * along[0] * along[0]) - linear + value
    }

    fn position(&mut self) -> &mut Vec<f64> {
        &mut self.position
    }

    fn n_coordinates(&self) -> usize {
        self.columns.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::{centred_gram, gram};
    use crate::simd::axpy;

    #[test]
    fn descent_on_rows_meets_the_conditions_of_the_gram_matrix() {
        let (n, k) = (60u32, 12);
        let rows: Vec<Vec<u32>> = (0..k).map(|j| (0..n).filter(|i| (i * (j + 1) + j) % 13 < 3).collect()).collect();
        let value = |i: &u32, j: usize| 0.2 + f64::from((i * 7 + j as u32 * 13) % 11) / 11.0;
        let values: Vec<Vec<f64>> =
            rows.iter().enumerate().map(|(j, r)| r.iter().map(|i| value(i, j)).collect()).collect();
        let weights: Vec<f64> = (0..n).map(|i| f64::from(1 + i % 4) / 100.0).collect();
        let slope: Vec<f64> = (0..k as usize).map(|j| 0.1 * (j as f64 - 5.5)).collect();
        let mut penalty = ScaledPenalty::separable(vec![0.15; slope.len()], vec![0.01; slope.len()]);
        (penalty.upper[9], penalty.lower[0]) = (0.4, -0.3);
        for centred in [false, true] {
            let shift = if centred { 0.3 } else { 0.0 };
            let columns: Vec<Column<'_>> =
                rows.iter().zip(&values).map(|(rows, values)| Column::Sparse { rows, values, shift }).collect();
            let gram = if centred { centred_gram(&columns, &weights) } else { gram(&columns, &weights) };
            let mut start = vec![0.0; slope.len()];
            start[3] = 0.2;
            let local = Local {
                columns: &columns,
                weights: &weights,
                centred,
                slope: &slope,
                penalty: &penalty,
                start: &start,
                expected: &[],
            };
            let b = RowDescent::new(local).unwrap().goal(1e-13);
            let mut rest = slope.clone();
            let moves = b.iter().zip(&start).map(|(b, a)| b - a);
            moves.zip(gram.chunks_exact(slope.len())).for_each(|(d, column)| axpy(-d, column, &mut rest));
            assert!(penalty.violations(&b, &rest).iter().all(|off| *off < 1e-11));
            assert!(b.contains(&0.0) && b.iter().any(|b| *b != 0.0));
        }
    }
}
