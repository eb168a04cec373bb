//! The sets that the last iterate tells apart, taken at their word.
//!
//! Rows that the fit meets have a theta inside the interval and a residual of 0, all others a theta at an end;
//! coefficients that vanish, or meet a bound, stay there. What is left, `x` on the moving columns and theta on the met
//! rows, solves square equations, linear but for the group norms:
//!
//! ```text
//! H dx - A' Omega dtheta = A' Omega theta - grad,    A dx = r
//! ```

use super::certificate::Certified;
use super::iterate::Iterate;
use super::problem::Problem;
use super::system::System;
use crate::linalg::least_squares;
use crate::penalty::Block;

/// Unknowns up to which their singular values are worth the time.
const LARGEST: usize = 200;
/// Newton steps; one is exact where there are no groups.
const STEPS: usize = 3;

/// The best point that the sets lead to.
pub fn settle(problem: &Problem<'_>, iterate: &Iterate, system: &System) -> Option<Certified> {
    let mut sets = Sets::new(problem, iterate, system)?;
    let mut best: Option<Certified> = None;
    for _ in 0..STEPS {
        sets.step(problem)?;
        let next = Certified::rounded(problem, sets.x.clone(), &sets.theta, system);
        if best.as_ref().is_some_and(|best| next.gap >= best.gap) {
            break;
        }
        best = Some(next);
    }
    best
}

struct Sets {
    x: Vec<f64>,
    theta: Vec<f64>,
    /// Columns (and intercept) that move.
    moving: Vec<usize>,
    /// Rows that are met.
    met: Vec<usize>,
}

impl Sets {
    fn new(problem: &Problem<'_>, iterate: &Iterate, system: &System) -> Option<Self> {
        let x = iterate.rounded(problem);
        let holds = |j: &usize| *j >= problem.k || x[*j] == iterate.x[*j];
        let moving: Vec<usize> = (0..problem.width()).filter(holds).collect();
        let met: Vec<usize> = (0..problem.n).filter(|&i| system.stiffness[i] > 1.0).collect();
        if moving.len() + met.len() > LARGEST {
            return None;
        }
        let middle = problem.level - 0.5;
        let end = |theta: f64| if theta > middle { problem.level } else { problem.level - 1.0 };
        let theta = iterate.theta(problem);
        let inside = |i: usize| if system.stiffness[i] > 1.0 { theta[i] } else { end(theta[i]) };
        Some(Self { x, theta: (0..problem.n).map(inside).collect(), moving, met })
    }

    fn step(&mut self, problem: &Problem<'_>) -> Option<()> {
        let (width, a) = (self.moving.len() + self.met.len(), self.moving.len());
        let (slope, curvature) = self.stationarity(problem);
        let fitted = problem.times(&self.x);
        let mut matrix = vec![0.0; width * width];
        for (q, &j) in self.moving.iter().enumerate() {
            let column = &mut matrix[q * width..(q + 1) * width];
            self.moving.iter().enumerate().for_each(|(p, &i)| column[p] = curvature[j * problem.width() + i]);
            let values = problem.columns[j].to_dense(problem.n);
            self.met.iter().enumerate().for_each(|(p, &i)| column[a + p] = values[i]);
        }
        for q in 0..self.met.len() {
            (0..a).for_each(|p| matrix[(a + q) * width + p] = -matrix[p * width + a + q]);
        }
        let mut rhs: Vec<f64> = self.moving.iter().map(|&j| slope[j]).collect();
        rhs.extend(self.met.iter().map(|&i| problem.target[i] - fitted[i]));
        let step = least_squares(&matrix, width, width, &rhs)?.x;
        self.moving.iter().zip(&step).for_each(|(&j, d)| self.x[j] += d);
        for (&i, d) in self.met.iter().zip(&step[a..]) {
            self.theta[i] = (self.theta[i] + d / problem.weight[i]).clamp(problem.level - 1.0, problem.level);
        }
        Some(())
    }

    /// `A' Omega theta` less the gradient of the penalty, and its Hessian, where x is not at a kink.
    fn stationarity(&self, problem: &Problem<'_>) -> (Vec<f64>, Vec<f64>) {
        let weighted: Vec<f64> = self.theta.iter().zip(&problem.weight).map(|(t, w)| t * w).collect();
        let mut slope = crate::columns::correlate(&problem.columns, &weighted);
        crate::simd::axpy(-1.0, &problem.quadratic_slope(&self.x), &mut slope);
        for &j in problem.l1_columns.iter().filter(|&&j| self.x[j] != 0.0) {
            slope[j] -= problem.penalty.l1[j] * self.x[j].signum();
        }
        let mut curvature = vec![0.0; problem.width().pow(2)];
        problem.add_quadratic(&mut curvature);
        for block in problem.penalty.blocks.iter().filter(|block| block.is_active()) {
            add_norm(block, &self.x, &mut slope, &mut curvature);
        }
        (slope, curvature)
    }
}

/// Subtracts a norm's gradient `weight S c / |c|`, `c = S x`, and adds its Hessian `weight S (I - c c' / |c|^2) S / |c|`.
fn add_norm(block: &Block, x: &[f64], slope: &mut [f64], curvature: &mut [f64]) {
    let norm = block.norm(x);
    if norm == 0.0 {
        return;
    }
    let unit: Vec<f64> = block.members.iter().zip(&block.scale).map(|(&j, s)| s * x[j] / norm).collect();
    for (a, &j) in block.members.iter().enumerate() {
        slope[j] -= block.weight * block.scale[a] * unit[a];
        for (b, &i) in block.members.iter().enumerate() {
            let same = if a == b { 1.0 } else { 0.0 };
            let share = block.scale[a] * block.scale[b] * (same - unit[a] * unit[b]);
            curvature[j * slope.len() + i] += block.weight * share / norm;
        }
    }
}
