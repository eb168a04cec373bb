//! Quadratic problems with a penalty, to the floating-point floor.

use super::PIVOT_FLOOR;
use super::separable::{Descent, Form, SINGULAR};
use crate::factor::Factor;
use crate::linalg::solve_singular;
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

    fn active_set(&self, b: &mut [f64]) -> bool {
        let form = Form { k: self.k, stride: self.k, gram: self.gram, linear: self.linear };
        let mut descent = Descent::default();
        descent.place(form, b);
        descent.minimise(form, self.penalty, b, 0.0)
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
    let mut factor = Factor::default();
    if !factor.refresh(m, m, |j, out| out[j..].copy_from_slice(&matrix[j * m + j..(j + 1) * m])) {
        return None;
    }
    let mut x = rhs.to_vec();
    factor.solve(&mut x);
    let mut rest = rhs.to_vec();
    for (j, x) in x.iter().enumerate() {
        axpy(-x, &matrix[j * m..(j + 1) * m], &mut rest);
    }
    factor.solve(&mut rest);
    axpy(1.0, &rest, &mut x);
    x.iter().all(|x| x.is_finite()).then(|| (x, factor.smallest_pivot()))
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
