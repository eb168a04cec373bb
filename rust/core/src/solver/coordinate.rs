//! Quadratic problems with a penalty, to the floating-point floor.
//!
//! A column is *held* where the penalty has a kink or the box an end: at 0 with an L1 weight, at a bound. Between kinks the
//! problem is a linear system. Coordinate descent finds which columns are held, a factorisation solves for the others.

use super::PIVOT_FLOOR;
use crate::linalg::{Cholesky, solve_singular};
use crate::penalty::{Block, ScaledPenalty};
use crate::simd::axpy;

/// `min_b b' G b / 2 - c' b` plus a penalty over its box; a metric of the penalty has been added to G.
pub struct Quadratic<'a> {
    /// Number of columns.
    pub k: usize,
    /// Symmetric k x k matrix G.
    pub gram: &'a [f64],
    /// Vector c.
    pub linear: &'a [f64],
    /// The penalty on these columns.
    pub penalty: &'a ScaledPenalty,
}

/// Squared pivot (columns of unit norm) below which a system has no digits left.
const SINGULAR: f64 = 1e-15;
/// Rounds of sweeps and active-set steps.
pub(super) const MAX_ROUNDS: usize = 60;
/// Sweeps within a round.
pub(super) const MAX_SWEEPS: usize = 50;

impl Quadratic<'_> {
    /// Replaces `b` by the minimiser; false where the columns are too dependent for a factorisation.
    pub fn minimise(&self, b: &mut [f64]) -> bool {
        if self.k == 0 {
            return true;
        }
        if self.penalty.is_smooth() {
            self.smooth(b)
        } else if self.penalty.blocks.iter().any(Block::is_active) {
            self.with_blocks(b)
        } else {
            self.active_set(b)
        }
    }

    fn smooth(&self, b: &mut [f64]) -> bool {
        let all: Vec<usize> = (0..self.k).collect();
        match self.solve_on(&all, self.linear, b) {
            Some((solution, pivot)) => {
                b.copy_from_slice(&solution);
                pivot > PIVOT_FLOOR
            }
            None => false,
        }
    }

    /// Coordinate descent finds the support, a factorisation on it the exact solution; whichever of the two
    /// cannot move any more hands over to the other.
    fn active_set(&self, b: &mut [f64]) -> bool {
        let mut slope = self.slope(b);
        let mut accuracy = 1e-2;
        let mut regular = true;
        for _ in 0..MAX_ROUNDS {
            let still = self.descend(b, &mut slope, accuracy);
            let (settled, pivot) = self.settle(b, &mut slope);
            regular &= pivot > PIVOT_FLOOR;
            if settled {
                return regular;
            }
            if still && accuracy < 1e-15 {
                break;
            }
            accuracy = (accuracy * 0.1).max(1e-16);
        }
        regular
    }

    /// `c - G b`.
    pub(super) fn slope(&self, b: &[f64]) -> Vec<f64> {
        let mut slope = self.linear.to_vec();
        for (j, b) in b.iter().enumerate().filter(|(_, b)| **b != 0.0) {
            axpy(-b, self.column(j), &mut slope);
        }
        slope
    }

    pub(super) fn column(&self, j: usize) -> &[f64] {
        &self.gram[j * self.k..(j + 1) * self.k]
    }

    /// Sweeps over all columns, then over the active ones, until moves are small against the largest so far.
    /// True if nothing moved at all.
    fn descend(&self, b: &mut [f64], slope: &mut [f64], accuracy: f64) -> bool {
        let all: Vec<usize> = (0..self.k).collect();
        let first = self.sweep(&all, b, slope);
        let mut largest = first;
        for _ in 0..MAX_SWEEPS {
            let active: Vec<usize> = (0..self.k).filter(|&j| !self.is_held(j, b[j])).collect();
            let moved = self.sweep(&active, b, slope);
            largest = largest.max(moved);
            if moved <= accuracy * largest {
                break;
            }
        }
        first == 0.0
    }

    /// Whether column j stands at a kink or at an end of its box.
    pub(super) fn is_held(&self, j: usize, b: f64) -> bool {
        let penalty = self.penalty;
        (b == 0.0 && penalty.l1[j] > 0.0) || b <= penalty.lower[j] || b >= penalty.upper[j]
    }

    /// One update of each listed column; the largest move in units of the quadratic form.
    pub(super) fn sweep(&self, columns: &[usize], b: &mut [f64], slope: &mut [f64]) -> f64 {
        let mut largest: f64 = 0.0;
        for &j in columns {
            let curvature = self.gram[j * self.k + j];
            if curvature <= 0.0 {
                continue;
            }
            let moved = self.penalty.prox(j, slope[j] + curvature * b[j], curvature) - b[j];
            if moved != 0.0 {
                b[j] += moved;
                axpy(-moved, self.column(j), slope);
                largest = largest.max(moved.abs() * curvature.sqrt());
            }
        }
        largest
    }

    /// Solves the linear system of the columns that are not held, with their signs, walks there as far as none meets
    /// a kink, and looks whether a held column wants to move. With the smallest squared pivot met: a small one costs
    /// digits, but its direction still serves where coordinate descent would take for ever.
    fn settle(&self, b: &mut [f64], slope: &mut Vec<f64>) -> (bool, f64) {
        let mut smallest: f64 = 1.0;
        for _ in 0..=self.k {
            let active: Vec<usize> = (0..self.k).filter(|&j| !self.is_held(j, b[j])).collect();
            let target = self.target(&active, b);
            let Some((goal, pivot)) = self.solve_on(&active, &target, b) else { return (false, 0.0) };
            smallest = smallest.min(pivot);
            let crossed = self.walk(&active, &goal, b);
            *slope = self.slope(b);
            if !crossed {
                return (self.is_optimal(b, slope), smallest);
            }
        }
        (false, smallest)
    }

    /// Right-hand side of that system: `c - l1 sign(b)` less what held columns away from 0 take.
    fn target(&self, active: &[usize], b: &[f64]) -> Vec<f64> {
        let mut linear = self.linear.to_vec();
        for j in (0..self.k).filter(|&j| b[j] != 0.0 && self.is_held(j, b[j])) {
            axpy(-b[j], self.column(j), &mut linear);
        }
        active.iter().map(|&j| linear[j] - self.penalty.l1[j] * sign(b[j])).collect()
    }

    /// Moves `b` to `goal`, or to the first place where a column meets a kink or an end of its box, which then holds
    /// it. The objective falls all the way since it is convex.
    fn walk(&self, active: &[usize], goal: &[f64], b: &mut [f64]) -> bool {
        let meets = active.iter().zip(goal).filter_map(|(&j, &goal)| {
            let kink = self.kink_between(j, b[j], goal)?;
            Some(((b[j] - kink) / (b[j] - goal), j, kink))
        });
        let first = meets.min_by(|a, b| a.0.total_cmp(&b.0));
        let share = first.map_or(1.0, |(share, ..)| share);
        for (&j, goal) in active.iter().zip(goal) {
            b[j] = if first.is_none() { *goal } else { b[j] + share * (goal - b[j]) };
        }
        if let Some((_, j, kink)) = first {
            b[j] = kink;
        }
        first.is_some()
    }

    /// First kink on the way of column j from `from` (not held) to `to`, which may lie at the end of the way.
    pub(super) fn kink_between(&self, j: usize, from: f64, to: f64) -> Option<f64> {
        let crosses = self.penalty.l1[j] > 0.0 && from * to <= 0.0;
        if crosses {
            Some(0.0)
        } else if to >= self.penalty.upper[j] {
            Some(self.penalty.upper[j])
        } else if to <= self.penalty.lower[j] {
            Some(self.penalty.lower[j])
        } else {
            None
        }
    }

    fn is_optimal(&self, b: &[f64], slope: &[f64]) -> bool {
        let largest = self.linear.iter().fold(0.0, |a: f64, c| a.max(c.abs()));
        let off = |j: usize| self.penalty.off_at(j, b[j], slope[j] - self.penalty.l2[j] * b[j]);
        (0..self.k).all(|j| !self.is_held(j, b[j]) || off(j) <= 1e-15 * largest)
    }

    /// Solves `(G + diag l2) x = rhs` on some columns, once refined; with the smallest squared pivot. Of a singular system
    /// the solution nearest to b.
    fn solve_on(&self, set: &[usize], rhs: &[f64], b: &[f64]) -> Option<(Vec<f64>, f64)> {
        let hessian = self.hessian_on(set);
        let solved = solve_refined(&hessian, rhs).filter(|(_, pivot)| *pivot > SINGULAR);
        solved.or_else(|| {
            let mut x: Vec<f64> = set.iter().map(|&j| b[j]).collect();
            let mut rest = rhs.to_vec();
            x.iter().zip(hessian.chunks_exact(set.len().max(1))).for_each(|(x, column)| axpy(-x, column, &mut rest));
            axpy(1.0, &solve_singular(&hessian, &rest)?, &mut x);
            Some((x, 0.0))
        })
    }

    /// `G + diag l2` on some columns.
    pub(super) fn hessian_on(&self, set: &[usize]) -> Vec<f64> {
        let m = set.len();
        let mut matrix = Vec::with_capacity(m * m);
        for &j in set {
            matrix.extend(set.iter().map(|&i| self.gram[j * self.k + i]));
        }
        for (a, &j) in set.iter().enumerate() {
            matrix[a * m + a] += self.penalty.l2[j];
        }
        matrix
    }
}

/// Solves a symmetric positive definite system, once refined; with the smallest squared pivot.
pub(super) fn solve_refined(matrix: &[f64], rhs: &[f64]) -> Option<(Vec<f64>, f64)> {
    let m = rhs.len();
    let factor = Cholesky::new(matrix, m)?;
    let mut x = rhs.to_vec();
    factor.solve(&mut x);
    let mut rest = rhs.to_vec();
    for (j, x) in x.iter().enumerate() {
        axpy(-x, &matrix[j * m..(j + 1) * m], &mut rest);
    }
    factor.solve(&mut rest);
    axpy(1.0, &rest, &mut x);
    Some((x, factor.smallest_pivot()))
}

pub(super) fn sign(b: f64) -> f64 {
    if b == 0.0 { 0.0 } else { b.signum() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::weighted_gram;
    use crate::simd::dot;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn stationary(
            k in 1usize..9,
            values in prop::collection::vec(-3.0..3.0f64, 120),
            l1 in prop::collection::vec(0.0..2.0f64, 9),
            l2 in 0.0..1.0f64,
            ends in prop::collection::vec(0.0..1.0f64, 17),
        ) {
            let columns: Vec<Vec<f64>> = (0..k).map(|j| (0..12).map(|i| values[j * 12 + i]).collect()).collect();
            let views: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
            let gram = weighted_gram(&views, &[1.0; 12]);
            let linear: Vec<f64> = columns.iter().map(|c| dot(c, &values[108..])).collect();
            let l1: Vec<f64> = (0..k).map(|j| if l1[j] < 0.3 { 0.0 } else { l1[j] }).collect();
            let mut penalty = ScaledPenalty::separable(l1, vec![l2; k]);
            for j in 0..k {
                if ends[j] < 0.5 {
                    penalty.upper[j] = ends[j];
                }
                if ends[8 + j] < 0.5 {
                    penalty.lower[j] = -ends[8 + j].max(0.0);
                }
            }
            let q = Quadratic { k, gram: &gram, linear: &linear, penalty: &penalty };
            let mut b = vec![0.0; k];
            if q.minimise(&mut b) {
                let slope = q.slope(&b);
                for (j, off) in penalty.violations(&b, &slope).iter().enumerate() {
                    prop_assert!(*off < 1e-9, "column {} is off by {}", j, off);
                }
            }
        }
    }
}
