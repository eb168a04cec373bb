//! The symmetric softmax loss on the rows of a design.

mod dual;
mod hessian;
mod inexact;
mod laplacian;
mod rows;

use std::ops::Range;
use std::sync::Arc;

use self::hessian::System;
use self::inexact::Diagonal;
use self::laplacian::centre;
use self::rows::{Divergence, Rows};
use super::{Dual, Model, NEGLIGIBLE_MOVE};
use crate::columns::{Column, Many, combine, correlate};
use crate::penalty::{Directions, ScaledPenalty};
use crate::simd::{axpy, dot, sum};

/// How far the differences of eta may move in one step, unless they are further out already.
const LONGEST_STEP: f64 = 30.0;
/// Relative rounding of a mean loss.
const SUM_ROUNDING: f64 = 1e-13;

/// Mean of `log sum_k exp(eta_k) - eta_y` over rows with weights `omega` (sum 1), `eta_k = base_k + a_k + Z b_k`.
///
/// Coefficients are numbered class by class, `k p + j` for class k and column j, and so is all that has a value for
/// every class and row. The loss does not see a move that is the same in all classes: intercepts have the sum 0.
///
/// With probabilities p and `r = e_y - p` the curvature of a row is `W = diag(p) - p p'`, the Laplacian of a graph that
/// joins every two classes by an edge `p_k p_l`: `f'Wf = sum_{k<l} p_k p_l (f_k - f_l)^2`. Hessians are added up edge by
/// edge, so that neither small probabilities nor those near 1 cost digits.
#[derive(Clone)]
pub struct Softmax<'a> {
    n_classes: usize,
    columns: Vec<Column<'a>>,
    /// The same and, with intercepts, a column of ones, where none is sparse.
    many: Option<Arc<Many<'a>>>,
    labels: Vec<usize>,
    omega: &'a [f64],
    fit_intercept: bool,
    intercepts: Vec<f64>,
    eta: Vec<f64>,
    probability: Vec<f64>,
    /// `1 - p_y`, largest eta and `log sum_k exp(eta_k - top)` of every row.
    missing: Vec<f64>,
    top: Vec<f64>,
    log_sum: Vec<f64>,
    value: f64,
    /// `Z' Omega r` and `1' Omega r` at the position.
    slope: Vec<f64>,
    along: Vec<f64>,
    /// The last Newton system, if the position is still that.
    system: Option<System>,
    majorising: bool,
    /// Whether steps are found by conjugate gradients where the penalty allows it: with what, and the intercepts' move.
    inexact: bool,
    diagonal: Option<Diagonal>,
    intercept_goal: Option<Vec<f64>>,
    /// The prepared move of eta, where it starts, and the share of it that the rows stand at.
    step: Vec<f64>,
    origin: Vec<f64>,
    share: f64,
    intercept_step: Vec<f64>,
}

impl<'a> Softmax<'a> {
    /// Starts at 0 on the columns and at the best intercepts for that. `y` holds the numbers of classes from 0,
    /// `base` a value for every class and row, class by class.
    pub fn new(
        n_classes: usize,
        columns: Vec<Column<'a>>,
        y: &[f64],
        omega: &'a [f64],
        base: Vec<f64>,
        fit_intercept: bool,
    ) -> Self {
        let (n, size) = (y.len(), base.len());
        let many = Many::new(&columns, fit_intercept, n).map(Arc::new);
        let inexact = many.is_some() && takes_gradients(n, columns.len(), n_classes);
        let mut model = Self {
            n_classes,
            columns,
            many,
            labels: y.iter().map(|y| *y as usize).collect(),
            omega,
            fit_intercept,
            intercepts: vec![0.0; n_classes],
            eta: base,
            probability: vec![0.0; size],
            missing: vec![0.0; n],
            top: vec![0.0; n],
            log_sum: vec![0.0; n],
            value: 0.0,
            slope: vec![],
            along: vec![0.0; n_classes],
            system: None,
            majorising: false,
            inexact,
            diagonal: None,
            intercept_goal: None,
            step: vec![0.0; size],
            origin: vec![],
            share: 0.0,
            intercept_step: vec![0.0; n_classes],
        };
        model.start();
        model
    }

    fn start(&mut self) {
        if self.fit_intercept {
            self.intercepts = self.first_intercepts();
            for (eta, a) in self.eta.chunks_exact_mut(self.labels.len().max(1)).zip(&self.intercepts) {
                eta.iter_mut().for_each(|eta| *eta += a);
            }
            self.refresh();
            self.settle_intercepts();
        } else {
            self.refresh();
        }
        self.correlate_residuals();
    }

    /// Logarithms of the class frequencies, less each class's mean of the base: the best ones where that is constant.
    fn first_intercepts(&self) -> Vec<f64> {
        let mut frequencies = vec![0.0; self.n_classes];
        self.labels.iter().zip(self.omega).for_each(|(&y, omega)| frequencies[y] += omega);
        let log = |f: &f64| f.max(f64::MIN_POSITIVE).ln();
        let means = (0..self.n_classes).map(|k| dot(self.omega, &self.eta[self.rows_of(k)]));
        let mut intercepts: Vec<f64> = frequencies.iter().zip(means).map(|(f, mean)| log(f) - mean).collect();
        centre(&mut intercepts);
        intercepts
    }

    /// Newton's method with line search on the intercepts, until steps gain less than rounding and shrink no more.
    fn settle_intercepts(&mut self) {
        let mut last = f64::INFINITY;
        for _ in 0..200 {
            self.along = (0..self.n_classes).map(|k| sum(&self.weighted_residuals(k))).collect();
            self.system = Some(self.system_on(&[], false));
            self.aim(&[], &[]);
            let promised = dot(&self.along, &self.intercept_step);
            if promised.is_nan() || (promised <= SUM_ROUNDING * self.value && promised >= 0.25 * last) {
                break;
            }
            let t = self.downhill(promised);
            self.move_by(t);
            if t == 0.0 {
                break;
            }
            last = promised;
        }
    }

    /// Share of the prepared move at which the loss has fallen by a part of what its slope, `-promised`, says.
    fn downhill(&mut self, promised: f64) -> f64 {
        let before = self.value;
        let mut t = self.first_share();
        for _ in 0..60 {
            if self.loss_at(t) - before <= SUM_ROUNDING * before - 1e-4 * t * promised {
                return t;
            }
            t *= 0.5;
        }
        0.0
    }

    fn move_by(&mut self, t: f64) {
        if self.share != t {
            self.loss_at(t);
        }
        axpy(t, &self.intercept_step, &mut self.intercepts);
    }

    /// Where the values of class k stand among those of all classes and rows.
    fn rows_of(&self, k: usize) -> Range<usize> {
        let n = self.labels.len();
        k * n..(k + 1) * n
    }

    /// Terms of every row at the present eta.
    fn refresh(&mut self) {
        // sums of sums of blocks, whose rounding does not grow with the number of rows
        const BLOCK: usize = 256;
        let Self { labels, eta, probability, missing, top, log_sum, .. } = self;
        let values = Rows { labels, eta, probability, missing, top, log_sum }.refresh();
        self.value = values.chunks(BLOCK).zip(self.omega.chunks(BLOCK)).map(|(v, omega)| dot(v, omega)).sum();
        self.system = None;
    }

    fn weighted_residuals(&self, k: usize) -> Vec<f64> {
        let rows = self.labels.iter().zip(&self.missing).zip(&self.probability[self.rows_of(k)]);
        let residual = |((label, missing), p): ((&usize, &f64), &f64)| if *label == k { *missing } else { -p };
        rows.zip(self.omega).map(|(row, omega)| omega * residual(row)).collect()
    }

    /// What every step and certificate at the position needs of the columns.
    fn correlate_residuals(&mut self) {
        let residuals: Vec<f64> = (0..self.n_classes).flat_map(|k| self.weighted_residuals(k)).collect();
        (self.slope, self.along) = self.correlate_classes(&residuals);
    }

    /// `Z' v` and `1' v` of each class.
    fn correlate_classes(&self, values: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let classes = || values.chunks_exact(self.labels.len().max(1));
        let along = classes().map(sum).collect();
        let Some(many) = &self.many else {
            return (classes().flat_map(|class| correlate(&self.columns, class)).collect(), along);
        };
        let sums = many.correlate(values);
        let p = self.columns.len();
        (sums.chunks_exact(many.len()).flat_map(|class| &class[..p]).copied().collect(), along)
    }

    /// Move of eta for a move of the coefficients on `set` and of the intercepts.
    fn field(&self, set: &[usize], direction: &[f64], intercepts: &[f64], out: &mut [f64]) {
        if let Some(many) = self.many.as_ref().filter(|_| 2 * set.len() > self.n_columns()) {
            return many.combine(&self.spread(set, direction, intercepts), out);
        }
        for (k, members) in self.members(set).iter().enumerate() {
            let class = &mut out[self.rows_of(k)];
            class.fill(intercepts[k]);
            let own: Vec<f64> = members.entries.iter().map(|&a| direction[a]).collect();
            combine(&self.columns, &members.columns, &own, class);
        }
    }

    /// Coefficients of all columns, those of ones among them, class after class.
    fn spread(&self, set: &[usize], direction: &[f64], intercepts: &[f64]) -> Vec<f64> {
        let p = self.columns.len();
        let stride = p + usize::from(self.fit_intercept);
        let mut spread = vec![0.0; self.n_classes * stride];
        set.iter().zip(direction).for_each(|(index, d)| spread[index / p * stride + index % p] = *d);
        if self.fit_intercept {
            spread.iter_mut().skip(p).step_by(stride).zip(intercepts).for_each(|(out, a)| *out = *a);
        }
        spread
    }
}

impl Model for Softmax<'_> {
    fn n_columns(&self) -> usize {
        self.n_classes * self.columns.len()
    }

    fn loss(&self) -> f64 {
        self.value
    }

    fn gradient(&mut self) -> Vec<f64> {
        self.slope.clone()
    }

    fn newton_system(&mut self, set: &[usize]) -> (Vec<f64>, Vec<f64>) {
        let system = self.system_on(set, self.majorising);
        let (mut hessian, slope) = (system.hessian.clone(), system.slope.clone());
        self.system = Some(system);
        self.intercept_goal = None;
        self.regularise(set, &mut hessian);
        (hessian, slope)
    }

    fn descend(
        &mut self,
        set: &[usize],
        penalty: &ScaledPenalty,
        start: &[f64],
        accuracy: f64,
    ) -> Option<(Vec<f64>, Vec<f64>)> {
        if !self.inexact || self.majorising || set.len() < self.n_columns() {
            return None;
        }
        let goal = self.approach(penalty, start, accuracy)?;
        Some((goal, self.slope.clone()))
    }

    fn aim(&mut self, set: &[usize], direction: &[f64]) {
        let by_system = || self.system.as_ref().map(|system| system.answer(&self.along, direction));
        let answer = self.intercept_goal.clone().or_else(by_system);
        self.intercept_step = answer.unwrap_or_else(|| vec![0.0; self.n_classes]);
        let mut step = std::mem::take(&mut self.step);
        self.field(set, direction, &self.intercept_step, &mut step);
        self.step = step;
        self.intercept_goal = None;
        self.origin.clone_from(&self.eta);
        self.share = 0.0;
    }

    fn first_share(&self) -> f64 {
        let n = self.labels.len();
        let (longest, allowed) = (widest(&self.step, n), LONGEST_STEP.max(2.0 * widest(&self.eta, n)));
        if longest > allowed { allowed / longest } else { 1.0 }
    }

    fn loss_at(&mut self, t: f64) -> f64 {
        self.eta.clone_from(&self.origin);
        axpy(t, &self.step, &mut self.eta);
        self.share = t;
        self.refresh();
        self.value
    }

    fn advance(&mut self, t: f64) {
        self.move_by(t);
        self.correlate_residuals();
    }

    /// Where the curvature cannot project (probabilities of 0 and 1), its bound can.
    fn dual(&mut self, free: &Directions) -> Option<Dual> {
        let projected = self.project(free, false).or_else(|| self.project(free, true));
        projected.map(|(theta, correlation)| {
            let scale = self.feasible_scale(&theta);
            Dual { theta, correlation, scale, squares: (0.0, 0.0) }
        })
    }

    fn loss_gap(&self, dual: &Dual, s: f64) -> f64 {
        let Self { labels, eta, top, log_sum, probability, missing, .. } = self;
        let rows = Divergence { labels, eta, top, log_sum, probability, missing }.rows(&dual.theta, s);
        dot(self.omega, &rows)
    }

    /// 0, the mean of the intercepts.
    fn intercept(&self) -> f64 {
        0.0
    }

    fn intercepts(&self) -> Vec<f64> {
        self.intercepts.clone()
    }

    fn majorise(&mut self, on: bool) {
        self.majorising = on;
    }

    fn attains_least(&self) -> bool {
        false
    }

    /// No row's loss rises where no class gains on the row's own.
    fn recedes(&self) -> bool {
        let n = self.labels.len();
        let gain = |e: usize| self.step[e] - self.step[self.labels[e % n] * n + e % n];
        let gains = || (0..self.step.len()).filter(|e| self.omega[e % n] > 0.0).map(gain);
        let negligible = NEGLIGIBLE_MOVE * gains().fold(0.0, |a: f64, g| a.max(g.abs()));
        gains().all(|g| g <= negligible) && gains().any(|g| g < -negligible)
    }
}

/// Largest difference between two classes in any row.
fn widest(values: &[f64], n_rows: usize) -> f64 {
    let (mut low, mut high) = (vec![f64::INFINITY; n_rows], vec![f64::NEG_INFINITY; n_rows]);
    for class in values.chunks_exact(n_rows.max(1)) {
        low.iter_mut().zip(class).for_each(|(low, v)| *low = low.min(*v));
        high.iter_mut().zip(class).for_each(|(high, v)| *high = high.max(*v));
    }
    low.iter().zip(&high).map(|(low, high)| high - low).fold(0.0, f64::max)
}

/// Whether conjugate gradients cost less than a Newton system of the coefficients of all classes.
fn takes_gradients(n_rows: usize, n_columns: usize, n_classes: usize) -> bool {
    /// Products with the Hessian, by an estimate of how many a step takes.
    const PRODUCTS: f64 = 10.0;
    /// What the passes over the rows of a class cost beside its columns.
    const PASSES: f64 = 8.0;
    let [n, p, k] = [n_rows, n_columns, n_classes].map(|count| count as f64);
    let of_row = (p + PASSES) * k;
    let system = n * of_row.powi(2) / 2.0 + (p * k).powi(3) / 3.0;
    system > PRODUCTS * 4.0 * n * of_row
}

#[cfg(test)]
mod tests;
