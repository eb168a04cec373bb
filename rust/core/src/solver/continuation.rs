//! Folded concave penalties: a stationary point, reached along a fixed path of strengths.
//!
//! At `b_k` the penalty `pen(|b|)` lies below its tangent in |b|, a weighted L1 penalty with weights `pen'(|b_k|)` (local
//! linear approximation, Zou and Li 2008). Each such problem is convex and lowers the objective; a point that solves its own
//! problem is stationary. Between these problems Newton steps with the true curvature `pen''` bring quadratic convergence.
//!
//! The strengths walked through are `alpha_max 0.8^k` whatever strengths are asked for, so that a fit depends on its own
//! strength alone.

use super::Fitter;
use super::newton::{Report, Status, Stop};
use crate::penalty::{Curve, ScaledPenalty};

/// Ratio of one strength of the path to the one before.
const RATIO: f64 = 0.8;
/// Part of alpha_max at which the path ends.
const END: f64 = 1e-4;
/// Convex problems a strength may take.
const MAX_PROBLEMS: usize = 500;
/// Relative gap of the convex problems that still leaves Newton's method something to gain.
const TIGHTEST: f64 = 2e-13;
/// Part of the steepest slope below which a violation is rounding.
const FLOOR: f64 = 1e-12;

/// A folded concave penalty in solver coordinates.
pub struct Concave<'a> {
    /// Its curve at a strength and a coordinate.
    pub curve: &'a dyn Fn(f64, usize, f64) -> Curve,
    /// The box and, as weights, anything but the curve; its L1 weights are replaced.
    pub bounds: ScaledPenalty,
    /// Steepest slope with all penalised coordinates at 0.
    pub steepest: f64,
}

/// The path: where it stands, and the fit there.
pub struct Continuation<F> {
    fitter: F,
    b: Vec<f64>,
    alpha: f64,
    end: f64,
}

impl<F: Fitter> Continuation<F> {
    /// Starts at `alpha_max`, where `fitter` stands at `b` with all penalised coordinates at 0.
    pub fn new(fitter: F, b: Vec<f64>, alpha_max: f64) -> Self {
        Self { fitter, b, alpha: alpha_max, end: END * alpha_max }
    }

    /// The fit at `alpha`, not above one asked for before: fitter, position, report.
    pub fn fit(&mut self, penalty: &Concave<'_>, alpha: f64, stop: Stop<'_>) -> (F, Vec<f64>, Report) {
        while self.alpha * RATIO > alpha.max(self.end) {
            self.alpha *= RATIO;
            settle(&mut self.fitter, &mut self.b, penalty, self.alpha, Stop { tol: stop.tol.max(1e-8), ..stop });
        }
        let (mut fitter, mut b) = (self.fitter.clone(), self.b.clone());
        let report = settle(&mut fitter, &mut b, penalty, alpha, stop);
        (fitter, b, report)
    }
}

/// Weighted L1 problems until one is solved by its own starting point.
fn settle<F: Fitter>(fitter: &mut F, b: &mut [f64], penalty: &Concave<'_>, alpha: f64, stop: Stop<'_>) -> Report {
    let curve = |j: usize, b: f64| (penalty.curve)(alpha, j, b);
    let tangent = |b: &[f64]| {
        let mut tangent = penalty.bounds.clone();
        b.iter().enumerate().for_each(|(j, b)| tangent.l1[j] = curve(j, *b).slope);
        tangent
    };
    let allowed = (penalty.steepest * stop.tol.max(FLOOR)).max(fitter.slope_rounding());
    // a gap falls with the square of the violation
    let mut tol = if stop.tol > 0.0 { (0.01 * stop.tol * stop.tol).max(TIGHTEST) } else { 0.0 };
    let mut n_iter = 0;
    let mut best = f64::INFINITY;
    let mut status = Status::MaxIter;
    let mut ill_conditioned = false;
    for _ in 0..MAX_PROBLEMS {
        let left = Stop { max_iter: stop.max_iter.saturating_sub(n_iter), tol, ..stop };
        let report = fitter.minimise(&tangent(b), b, left);
        n_iter += report.n_iter;
        ill_conditioned = report.ill_conditioned;
        fitter.polish(&curve, &penalty.bounds, b);
        let off = tangent(b).violations(b, &fitter.slope()).into_iter().fold(fitter.intercept_slope(), f64::max);
        if matches!(report.status, Status::Separated | Status::Overflow) {
            // beyond its end a folded concave penalty no longer holds a coefficient back
            status = report.status;
            break;
        }
        if off <= allowed {
            status = Status::Local;
        } else if report.n_iter == 0 {
            // the gap is below what was asked for, the violation is not
            tol = 0.0;
        }
        // below what is allowed it goes on as long as that gains digits
        let done = status == Status::Local && off >= 0.1 * best;
        if done || off == 0.0 || left.max_iter == 0 || stop.cancel.load(std::sync::atomic::Ordering::Relaxed) {
            break;
        }
        best = best.min(off);
    }
    let value: f64 = b.iter().enumerate().map(|(j, b)| curve(j, *b).value).sum();
    Report { status, gap: f64::INFINITY, objective: fitter.mean_loss() + value, n_iter, ill_conditioned }
}
