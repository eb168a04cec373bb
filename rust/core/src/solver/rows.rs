//! Quadratic problems on the rows of sparse columns: coordinate descent without their Gram matrix.
//!
//! With stored values x, weights w of sum W, `t = w * X d` and `mean_j = x_j' w`, the columns of a Hessian from which an
//! intercept has been eliminated multiply as `G d = X' t - mean (mean' d) / W`, whatever their shifts; without an intercept
//! there are no shifts and `G d = X' t`. An update of a column costs two passes over its stored values.

use super::separable::is_held;
use crate::columns::{Column, stored_dot};
use crate::penalty::ScaledPenalty;

/// Part of a column's mean square below which its curvature has lost digits.
const DIGITS: f64 = 0.1;
/// Sweeps at most.
const MAX_SWEEPS: usize = 200;

/// A column on the rows with their weights.
#[derive(Clone, Copy)]
struct Stored<'a> {
    rows: &'a [u32],
    values: &'a [f64],
    /// Where its weighted values begin.
    first: usize,
    mean: f64,
    curvature: f64,
}

/// `min_b (b - a)' G (b - a) / 2 - slope' (b - a)` plus a separable penalty, a the start.
pub(super) struct RowDescent<'a> {
    columns: Vec<Stored<'a>>,
    /// Values times the weights of their rows, column after column.
    weighted: Vec<f64>,
    /// `1 / W` where an intercept is eliminated, else 0.
    inverse: f64,
    /// `w * X d` and `mean' d`.
    t: Vec<f64>,
    along: f64,
}

impl<'a> RowDescent<'a> {
    /// None where a column is dense, or its curvature the small difference of large numbers.
    pub(super) fn new(columns: &[Column<'a>], weights: &[f64], centred: bool) -> Option<Self> {
        let inverse = if centred { weights.iter().sum::<f64>().recip() } else { 0.0 };
        let mut weighted = vec![];
        let stored = |column: &Column<'a>| {
            let Column::Sparse { rows, values, shift } = *column else { return None };
            let first = weighted.len();
            weighted.extend(rows.iter().zip(values).map(|(&i, x)| weights[i as usize] * x));
            let pairs = || weighted[first..].iter().zip(values);
            let (mean, square) = pairs().fold((0.0, 0.0), |(m, s), (wx, x)| (m + wx, s + wx * x));
            let curvature = square - inverse * mean * mean;
            let is_sound = curvature > DIGITS * square && (centred || shift == 0.0);
            is_sound.then_some(Stored { rows, values, first, mean, curvature })
        };
        let columns = columns.iter().map(stored).collect::<Option<Vec<_>>>()?;
        Some(Self { columns, weighted, inverse, t: vec![0.0; weights.len()], along: 0.0 })
    }

    /// Moves `b` until a sweep moves no column by more than the part `accuracy` of the first sweep's longest move.
    pub(super) fn minimise(&mut self, slope: &[f64], penalty: &ScaledPenalty, b: &mut [f64], accuracy: f64) {
        let all: Vec<usize> = (0..b.len()).collect();
        let longest = self.sweep(&all, slope, penalty, b);
        let enough = accuracy * longest;
        let mut left = MAX_SWEEPS;
        loop {
            let active: Vec<usize> = all.iter().copied().filter(|&j| !is_held(penalty, j, b[j])).collect();
            while left > 0 && self.sweep(&active, slope, penalty, b) > enough {
                left -= 1;
            }
            left = left.saturating_sub(1);
            if left == 0 || self.sweep(&all, slope, penalty, b) <= enough {
                return;
            }
        }
    }

    /// One update of each listed column; the longest move in units of the quadratic form.
    fn sweep(&mut self, set: &[usize], slope: &[f64], penalty: &ScaledPenalty, b: &mut [f64]) -> f64 {
        set.iter().fold(0.0, |a: f64, &j| a.max(self.update(j, slope[j], penalty, b)))
    }

    fn update(&mut self, j: usize, slope: f64, penalty: &ScaledPenalty, b: &mut [f64]) -> f64 {
        let Stored { rows, values, first, mean, curvature } = self.columns[j];
        let now = slope - stored_dot(rows, values, &self.t) + self.inverse * mean * self.along;
        let moved = penalty.prox(j, now + curvature * b[j], curvature) - b[j];
        if moved == 0.0 {
            return 0.0;
        }
        b[j] += moved;
        self.along += mean * moved;
        let weighted = &self.weighted[first..];
        rows.iter().zip(weighted).for_each(|(&i, wx)| self.t[i as usize] += moved * wx);
        moved.abs() * curvature.sqrt()
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
            let mut b = vec![0.0; slope.len()];
            b[3] = 0.2;
            let start = b.clone();
            let mut descent = RowDescent::new(&columns, &weights, centred).unwrap();
            descent.minimise(&slope, &penalty, &mut b, 1e-13);
            let mut rest = slope.clone();
            let moves = b.iter().zip(&start).map(|(b, a)| b - a);
            moves.zip(gram.chunks_exact(slope.len())).for_each(|(d, column)| axpy(-d, column, &mut rest));
            assert!(penalty.violations(&b, &rest).iter().all(|off| *off < 1e-11));
            assert!(b.contains(&0.0) && b.iter().any(|b| *b != 0.0));
        }
    }
}
