//! Quantile regression: a primal-dual interior-point method for the pinball loss with any convex penalty.
//!
//! With residuals `r = t - A x`, A the columns and the constant, `rho(r) = level r+ + (1 - level) r-` and multipliers
//! theta in `[level - 1, level]`, the problem and its optimality conditions are
//!
//! ```text
//! min_x  sum_i omega_i rho(r_i)  +  pen(x)
//! r = u - v,  u >= 0,  v >= 0          u_i a_i = 0,  a = level - theta >= 0
//! A' Omega theta = grad pen(x)         v_i b_i = 0,  b = theta + 1 - level >= 0
//! ```
//!
//! `l1 |x_j|` is a row more: `2 l1 rho_{1/2}(0 - x_j)`. A bound has a slack and a multiplier, a group norm `weight |S x|` a
//! pair of points of the second-order cone ([`cone`]). All products are driven to `mu` times a share (omega for a row, so that an
//! integer weight is a repeated row, also on the way), and mu to 0: Newton's method on these equations, the pairs
//! eliminated, leaves
//!
//! ```text
//! [A' Omega D A + H] dx = ...,    D_i = 1 / (u_i / a_i + v_i / b_i)
//! ```
//!
//! with H the quadratic terms, bounds and cones: one matrix per step, factorised once and used twice as in Mehrotra
//! (1992), "On the implementation of a primal-dual interior point method", for the predictor that aims at mu = 0, and for the corrector that aims at the mu which the
//! predictor's success allows and takes its products into account. For quantile regression see Portnoy and Koenker
//! (1997), "The Gaussian hare and the Laplacian tortoise".
//!
//! The steps end when a certificate ([`certificate`]) says so, not when mu does. At the end the sets that mu has told apart (rows met
//! exactly, coefficients at 0 or at a bound) are taken at their word ([`polish`]); what a certificate shows to be worse is dropped.

mod certificate;
mod cone;
mod iterate;
mod polish;
mod problem;
mod system;
#[cfg(test)]
mod tests;

use std::sync::atomic::Ordering;

use super::newton::Stop;
use crate::columns::{Column, combine};
use crate::penalty::ScaledPenalty;
use certificate::Certified;
use iterate::Iterate;
use problem::{Frame, Problem};
use system::System;

/// A quantile regression with its certificate.
#[derive(Debug, Clone)]
pub struct PinballFit {
    /// Coefficients.
    pub b: Vec<f64>,
    /// Intercept, 0 without one.
    pub intercept: f64,
    /// Dual point of the certificate: feasible, the unpenalised directions projected out.
    pub theta: Vec<f64>,
    /// Duality gap.
    pub gap: f64,
    /// Mean loss, without the penalty.
    pub loss: f64,
    /// Gap that the rounding of the residuals explains: all that is left of a fit that meets every row.
    pub rounding: f64,
    /// Steps taken.
    pub n_iter: usize,
    /// Whether unpenalised columns depend on each other.
    pub singular: bool,
}

/// Relative gap that rounding cannot be told from.
const FLOOR: f64 = 1e-13;
/// Steps that may pass without progress before the floor counts as reached.
const STALLS: usize = 6;
/// Part of the gap or of the products that a step has to leave behind to count as progress.
const PROGRESS: f64 = 0.9;
/// Part of the floor below which the products have nothing more to give.
const SPENT: f64 = 1e-3;
/// Relative gap at which the sets have been told apart as a rule.
const SETTLED: f64 = 1e-9;
/// How far above the tolerance the gap of the central path may be for the sets to be told apart already.
const NEAR: f64 = 1e3;

/// Minimises `sum_i omega_i rho_level(t_i - intercept - z_i'b) + penalty(b)`; `omega` positive, of sum 1.
pub fn pinball(
    columns: &[Column<'_>],
    t: &[f64],
    omega: &[f64],
    fit_intercept: bool,
    level: f64,
    penalty: &ScaledPenalty,
    stop: Stop<'_>,
) -> PinballFit {
    let frame = Frame::new(columns, t, omega, fit_intercept, level, penalty);
    let ones = vec![1.0; t.len()];
    let Some(problem) = Problem::new(&frame, columns, &ones, t, omega, penalty) else {
        return frame.constant(t, omega);
    };
    let mut search = Search::new(&problem, stop, frame.unit);
    search.run();
    frame.original(&search, t, omega, penalty)
}

/// Least mean loss with all penalised or bounded columns at 0: the P0 of the tolerance.
pub fn null_objective(
    columns: &[Column<'_>],
    t: &[f64],
    omega: &[f64],
    fit_intercept: bool,
    level: f64,
    penalty: &ScaledPenalty,
    stop: Stop<'_>,
) -> f64 {
    let all: Vec<usize> = (0..columns.len()).collect();
    let combination = |direction: &Vec<f64>| {
        let mut column = vec![0.0; t.len()];
        combine(columns, &all, direction, &mut column);
        column
    };
    let combined: Vec<Vec<f64>> = penalty.unbounded_combinations().iter().map(combination).collect();
    let unpenalised = penalty.unpenalised();
    let single = (0..columns.len()).filter(|&j| unpenalised[j] && !penalty.is_bounded(j)).map(|j| columns[j]);
    let kept: Vec<Column<'_>> = single.chain(combined.iter().map(|column| Column::Dense(column))).collect();
    pinball(&kept, t, omega, fit_intercept, level, &ScaledPenalty::none(kept.len()), stop).loss
}

/// The loop and the best of its iterates.
struct Search<'a> {
    problem: &'a Problem<'a>,
    stop: Stop<'a>,
    null_objective: f64,
    best: Certified,
    /// Least sum of products so far.
    products: f64,
    n_iter: usize,
    /// Steps in a row without progress of gap or products.
    stalled: usize,
    singular: bool,
}

impl<'a> Search<'a> {
    fn new(problem: &'a Problem<'a>, stop: Stop<'a>, unit: f64) -> Self {
        let best = Certified::nothing(problem);
        let null_objective = stop.null_objective / unit;
        Self { problem, stop, null_objective, best, products: f64::INFINITY, n_iter: 0, stalled: 0, singular: false }
    }

    fn run(&mut self) {
        let mut iterate = Iterate::start(self.problem);
        loop {
            let system = System::new(self.problem, &iterate);
            if self.n_iter == 0 {
                self.singular = self.problem.is_dependent(&system.gram);
            }
            self.certify(&iterate, &system);
            let out_of_steps = self.n_iter >= self.stop.max_iter || self.stop.cancel.load(Ordering::Relaxed);
            let is_last = out_of_steps || self.stalled > STALLS;
            if is_last || self.best.gap <= self.allowed().max(SETTLED * self.best.objective) {
                self.polish(&iterate, &system);
            }
            if is_last || self.best.gap <= self.allowed().max(self.rounding()) {
                return;
            }
            self.n_iter += 1;
            if iterate.advance(self.problem, &system).is_none() {
                return self.polish(&iterate, &system);
            }
        }
    }

    fn allowed(&self) -> f64 {
        self.stop.tol.max(FLOOR) * self.best.objective.max(1e-4 * self.null_objective)
    }

    /// Rounding of the mean residual.
    fn rounding(&self) -> f64 {
        let fitted: f64 = self.best.x.iter().zip(&self.problem.reach).map(|(x, reach)| x.abs() * reach).sum();
        f64::EPSILON * (1.0 + fitted)
    }

    /// The iterate as it stands and, where mu is small enough to tell the sets apart, rounded to them.
    fn certify(&mut self, iterate: &Iterate, system: &System) {
        let before = (self.best.gap, self.products);
        let theta = iterate.theta(self.problem);
        self.offer(Certified::new(self.problem, iterate.x.clone(), &theta, system));
        let near = iterate.path_gap() <= NEAR * self.allowed().max(SETTLED * self.best.objective);
        if near {
            self.offer(Certified::rounded(self.problem, iterate.rounded(self.problem), &theta, system));
        }
        let spent = SPENT * FLOOR * self.best.objective.max(1e-4 * self.null_objective);
        self.products = self.products.min(iterate.path_gap().max(spent));
        let is_better = self.best.gap < PROGRESS * before.0 || self.products < PROGRESS * before.1 || !near;
        self.stalled = if is_better { 0 } else { self.stalled + 1 };
    }

    fn offer(&mut self, candidate: Certified) {
        if candidate.gap < self.best.gap {
            self.best = candidate;
        }
    }

    /// Exact zeros and exactly met rows are worth having for any gap that is allowed.
    fn polish(&mut self, iterate: &Iterate, system: &System) {
        let Some(polished) = polish::settle(self.problem, iterate, system) else { return };
        if polished.gap <= self.best.gap.max(self.allowed()) {
            self.best = polished;
        }
    }
}

impl Frame {
    /// The best iterate in the units of the request.
    fn original(&self, search: &Search<'_>, t: &[f64], omega: &[f64], penalty: &ScaledPenalty) -> PinballFit {
        let (x, k) = (&search.best.x, self.kept.len());
        let mut b = vec![0.0; self.n_columns];
        self.kept.iter().zip(x).for_each(|(&j, x)| b[j] = self.within(*x, penalty.lower[j], penalty.upper[j]));
        let shift = if self.fit_intercept { x[k] * self.unit } else { 0.0 };
        let mut residual: Vec<f64> = t.iter().map(|t| (t - self.centre) - shift).collect();
        let (moved, opposite): (Vec<usize>, Vec<f64>) = self.kept.iter().map(|&j| -b[j]).enumerate().unzip();
        combine(&search.problem.columns, &moved, &opposite, &mut residual);
        PinballFit {
            b,
            intercept: self.centre + shift,
            theta: search.best.theta.clone(),
            gap: search.best.gap * self.unit,
            rounding: search.rounding() * self.unit,
            loss: problem::mean_loss(&residual, omega, self.level),
            n_iter: search.n_iter,
            singular: search.singular,
        }
    }

    /// A coefficient in the units of the request, on a bound where it was on one in those of the problem.
    fn within(&self, x: f64, lower: f64, upper: f64) -> f64 {
        let end = [lower, upper].into_iter().find(|end| end.is_finite() && x == end / self.unit);
        end.unwrap_or((x * self.unit).clamp(lower, upper))
    }
}
