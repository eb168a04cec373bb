//! The pinball loss on the rows of a design: every fit is one run of the interior-point method.

use super::Fitter;
use super::interior_point::{null_objective, pinball};
use super::newton::{Report, Status, Stop};
use crate::columns::{Column, correlate};
use crate::penalty::ScaledPenalty;
use crate::simd::{dot, multiply};

/// Steps that a fit may take.
const MAX_STEPS: usize = 60;

/// Mean pinball loss of `target - intercept - Z b` over rows with weights `omega` (sum 1).
#[derive(Clone)]
pub struct Pinball<'a> {
    columns: Vec<Column<'a>>,
    target: Vec<f64>,
    omega: &'a [f64],
    fit_intercept: bool,
    level: f64,
    intercept: f64,
    loss: f64,
    /// `Z' Omega theta` and `1' Omega theta` at the dual point of the last fit.
    slope: Vec<f64>,
    along: f64,
}

impl<'a> Pinball<'a> {
    /// Columns of a design, `y - base`, row weights, and the level of the quantile.
    pub fn new(columns: Vec<Column<'a>>, target: Vec<f64>, omega: &'a [f64], fit_intercept: bool, level: f64) -> Self {
        let slope = vec![0.0; columns.len()];
        Self { columns, target, omega, fit_intercept, level, intercept: 0.0, loss: 0.0, slope, along: 0.0 }
    }

    fn run(&mut self, penalty: &ScaledPenalty, b: &mut [f64], stop: Stop<'_>) -> Report {
        let stop = Stop { max_iter: stop.max_iter.min(MAX_STEPS), ..stop };
        let fit = pinball(&self.columns, &self.target, self.omega, self.fit_intercept, self.level, penalty, stop);
        b.copy_from_slice(&fit.b);
        self.intercept = fit.intercept;
        self.loss = fit.loss;
        let mut weighted = vec![0.0; fit.theta.len()];
        multiply(&fit.theta, self.omega, &mut weighted);
        self.slope = correlate(&self.columns, &weighted);
        self.along = dot(&fit.theta, self.omega).abs();
        let objective = fit.loss + penalty.value(b);
        let met = fit.gap <= fit.rounding || stop.is_met(fit.gap, objective);
        let status = if met { Status::Converged } else { Status::MaxIter };
        Report { status, gap: fit.gap, objective, n_iter: fit.n_iter, ill_conditioned: fit.singular }
    }
}

impl Fitter for Pinball<'_> {
    fn n_coordinates(&self) -> usize {
        self.columns.len()
    }

    fn slope_rounding(&self) -> f64 {
        1e-13
    }

    fn loss_size(&self) -> f64 {
        0.0
    }

    fn minimise(&mut self, penalty: &ScaledPenalty, b: &mut [f64], stop: Stop<'_>) -> Report {
        self.run(penalty, b, stop)
    }

    /// With penalised columns fixed at 0, the dual point is that of the intercept and the unpenalised columns.
    fn minimise_null(&mut self, penalty: &ScaledPenalty, b: &mut [f64], stop: Stop<'_>) {
        let Self { columns, target, omega, fit_intercept, level, .. } = self;
        self.loss = null_objective(columns, target, omega, *fit_intercept, *level, penalty, stop);
        let unpenalised = penalty.unpenalised();
        let mut fixed = ScaledPenalty::none(b.len());
        fixed.lower.clone_from(&penalty.lower);
        fixed.upper.clone_from(&penalty.upper);
        for j in (0..b.len()).filter(|&j| !unpenalised[j]) {
            (fixed.lower[j], fixed.upper[j]) = (0.0, 0.0);
        }
        let loss = self.loss;
        self.run(&fixed, b, Stop { tol: 1e-10, null_objective: loss, ..stop });
        self.loss = loss;
    }

    fn mean_loss(&self) -> f64 {
        self.loss
    }

    fn slope(&mut self) -> Vec<f64> {
        self.slope.clone()
    }

    fn intercept_slope(&self) -> f64 {
        if self.fit_intercept { self.along } else { 0.0 }
    }

    fn intercepts(&self) -> Vec<f64> {
        vec![self.intercept]
    }
}
