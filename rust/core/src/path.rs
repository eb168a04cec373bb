//! One cell: a path of strengths from the largest to the smallest, each fit starting from the last.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use crate::batch::{HeldOut, Shared, SplitData};
use crate::design::Design;
use crate::frame::Frame;
use crate::loss::{Loss, LossKind, Squared, with_loss};
use crate::metric::score;
use crate::penalty::ScaledPenalty;
use crate::problem::{Cell, Settings};
use crate::solver::newton::{Report, Status, Stop, fit, fit_null};
use crate::solver::{GRAM_LIMIT, Glm, Model, are_dependent, ridge_by_svd};

/// Part of the mean square of `y - o` below which a null objective counts as 0: residuals that rounding leaves of an
/// exact fit have a gap of about 1e-31 of it, which is to pass at 1e-4 of the null objective and 1e-10 of that.
const ROUNDING: f64 = 1e-14;
/// Part of it below which the moments, which hold it with about 16 digits, leave too few for a certificate.
const DIGITS: f64 = 1e-6;

/// One fit.
#[derive(Debug, Clone)]
pub struct Fit {
    /// How it ended, with gap, objective and steps.
    pub report: Report,
    /// Seconds it took, without what it shares with others.
    pub seconds: f64,
    /// Coefficients of all columns in original units; empty if not kept.
    pub coef: Vec<f64>,
    /// Intercept in original units, of each class where there are more than 2.
    pub intercept: Vec<f64>,
    /// Largest distance of the slope of the loss from the subdifferential of the penalty, in the coordinates that are
    /// penalised.
    pub kkt: f64,
    /// Held-out scores in the order of [`crate::metric::names`]; empty without held-out rows.
    pub scores: Vec<f64>,
}

/// The fits of one cell.
#[derive(Debug, Clone)]
pub struct Path {
    /// Least strength that keeps all penalised columns at their centre.
    pub alpha_max: f64,
    /// Strengths, in the order of the request.
    pub alphas: Vec<f64>,
    /// Fits, in the same order.
    pub fits: Vec<Fit>,
}

/// A cell with all that its fits share.
struct Work<'a> {
    cell: &'a Cell,
    data: &'a SplitData<'a>,
    settings: &'a Settings,
    cancel: &'a AtomicBool,
    frame: Frame,
    target_sd: f64,
    /// Mean of `y - o` over the training rows where the model is centred and keeps no intercept itself.
    target_mean: f64,
    /// Mean square of `y - o`, below whose rounding a loss counts as 0.
    target_square: f64,
    held_out: Option<Arc<HeldOut>>,
}

/// Solves the path of one cell.
pub(crate) fn solve_path(
    cell: &Cell,
    data: &SplitData<'_>,
    shared: &Shared<'_>,
    settings: &Settings,
    cancel: &AtomicBool,
) -> Path {
    let rows = || data.split.train.iter().filter(|&&i| data.table.weight(i) > 0.0);
    let y: Vec<f64> = rows().map(|&i| data.table.y[i]).collect();
    if y.is_empty() {
        return failed(cell, data, settings, "no training row has a positive weight");
    }
    if let Some(reason) = cell.loss.refuses(&y, cell.fit_intercept) {
        return failed(cell, data, settings, &reason);
    }
    let work = |frame, target_sd, target_mean, target_square| Work {
        cell,
        data,
        settings,
        cancel,
        frame,
        target_sd,
        target_mean,
        target_square,
        held_out: (!data.split.test.is_empty()).then(|| data.held_out()),
    };
    // the moments of a sparse table are dense, and to centre its columns for them would write them out
    let has_moments = !data.table.is_sparse() && data.table.n_columns() <= GRAM_LIMIT;
    if matches!(cell.loss, LossKind::Squared(_)) && has_moments {
        let moments = data.moments(shared);
        let target = moments.n_columns();
        let (mean, variance) = (moments.mean[target], moments.cross_of(target, target) / moments.weight);
        let sd = unit_if_zero(variance.sqrt(), cell);
        // without an intercept the model is not centred, and there is no mean to add to its predictions
        let shift = if cell.fit_intercept { mean } else { 0.0 };
        let work = work(Frame::new(cell, &moments.stats(), sd), sd, shift, variance + mean * mean);
        return work.path(&mut work.frame.gaussian(&moments));
    }
    let design = data.design(cell.fit_intercept);
    let (mean, variance) = target_moments(&design);
    let sd = unit_if_zero(variance.sqrt(), cell);
    let square = if matches!(cell.loss, LossKind::Squared(_)) { variance + mean * mean } else { 0.0 };
    let work = work(Frame::new(cell, &design.stats, sd), sd, 0.0, square);
    with_loss!(cell.loss, loss => work.path(&mut work.glm(loss, &design)))
}

/// Mean and variance of `y - o`.
fn target_moments(design: &Design) -> (f64, f64) {
    let rows = || design.omega.iter().zip(design.y.iter().zip(&design.offset)).map(|(w, (y, o))| (w, y - o));
    let mean: f64 = rows().map(|(w, t)| w * t).sum();
    (mean, rows().map(|(w, t)| w * (t - mean).powi(2)).sum())
}

fn unit_if_zero(sd: f64, cell: &Cell) -> f64 {
    if cell.scale_y && sd > 0.0 { sd } else { 1.0 }
}

/// A path without fits, for this reason.
fn failed(cell: &Cell, data: &SplitData<'_>, settings: &Settings, reason: &str) -> Path {
    let nan = f64::NAN;
    let report = Report {
        status: Status::Failed(reason.to_owned()),
        gap: f64::INFINITY,
        objective: nan,
        n_iter: 0,
        ill_conditioned: false,
    };
    let scores = if data.split.test.is_empty() { 0 } else { crate::metric::names(cell.loss).len() };
    let fit = Fit {
        report,
        seconds: 0.0,
        coef: if settings.keep_coef { vec![nan; cell.n_classes * data.table.n_columns()] } else { vec![] },
        intercept: vec![nan; cell.n_classes],
        kkt: nan,
        scores: vec![nan; scores],
    };
    let alphas = if cell.of_max { vec![nan; cell.alphas.len()] } else { cell.alphas.clone() };
    Path { alpha_max: nan, alphas, fits: vec![fit; cell.alphas.len()] }
}

impl Work<'_> {
    fn glm<'d, L: Loss>(&self, loss: L, design: &'d Design) -> Glm<'d, L> {
        let columns = self.frame.free.iter().map(|&j| design.column(j)).collect();
        let mean = crate::simd::dot(&design.omega, &design.y);
        let start = self.cell.fit_intercept.then(|| loss.null_range(&design.y, mean));
        Glm::new(loss, columns, &design.y, &design.omega, self.frame.base(design), start)
    }

    fn path(&self, model: &mut impl Model) -> Path {
        let mut b = vec![0.0; model.n_columns()];
        fit_null(model, &self.frame.unpenalised(), &mut b, self.settings.max_iter);
        let null_objective = model.loss().max(ROUNDING * self.target_square);
        let alpha_max = self.frame.alpha_max(&model.gradient(), self.cell, self.target_sd);
        let unit = if self.cell.of_max { alpha_max } else { 1.0 };
        let alphas: Vec<f64> = self.cell.alphas.iter().map(|a| a * unit).collect();
        let mut order: Vec<usize> = (0..alphas.len()).collect();
        order.sort_by(|&i, &j| alphas[j].total_cmp(&alphas[i]));
        let mut fits: Vec<Option<Fit>> = vec![None; alphas.len()];
        for i in order {
            fits[i] = Some(self.fit_at(model, &mut b, alphas[i], null_objective));
        }
        Path { alpha_max, alphas, fits: fits.into_iter().flatten().collect() }
    }

    fn fit_at(&self, model: &mut impl Model, b: &mut [f64], alpha: f64, null_objective: f64) -> Fit {
        let start = Instant::now();
        let penalty = self.frame.penalty(alpha);
        let Settings { tol, max_iter, .. } = *self.settings;
        let stop = Stop { tol, max_iter, null_objective, cancel: self.cancel };
        let mut report = fit(model, &penalty, b, stop);
        let unsure = report.status == Status::MaxIter;
        if model.is_condensed() && (report.ill_conditioned || unsure || model.loss() < DIGITS * self.target_square) {
            let left = Stop { max_iter: max_iter - report.n_iter, ..stop };
            return self.fit_on_rows(&penalty, b, &left, start);
        }
        if self.wants_singular_values(model, &report, &penalty, b) {
            return self.fit_on_rows(&penalty, b, &Stop { max_iter: max_iter - report.n_iter, ..stop }, start);
        }
        let dependent = report.ill_conditioned && !penalty.directions(b).is_empty();
        if dependent && report.status == Status::Converged {
            report.status = Status::RankDeficient;
        }
        self.finish(report, b, model.intercept() + self.target_mean, start)
    }

    /// Whether the rows' Gram matrix is too dependent for a ridge of the squared loss. A fit that starts at a solution
    /// takes no step that would have shown it.
    fn wants_singular_values(
        &self,
        model: &mut impl Model,
        report: &Report,
        penalty: &ScaledPenalty,
        b: &[f64],
    ) -> bool {
        if !matches!(self.cell.loss, LossKind::Squared(_)) || penalty.l1.iter().any(|l| *l > 0.0) {
            return false;
        }
        let free = penalty.directions(b).columns;
        report.ill_conditioned || are_dependent(&model.newton_system(&free).0, free.len())
    }

    /// The squared loss on the rows themselves, from where the moments have led: their digits were not enough, for
    /// the solution or for its certificate.
    fn fit_on_rows(&self, penalty: &ScaledPenalty, b: &[f64], stop: &Stop<'_>, start: Instant) -> Fit {
        let design = self.data.design(self.cell.fit_intercept);
        let mut model = self.glm(Squared, &design);
        let mut b = b.to_vec();
        let is_ridge = penalty.l1.iter().all(|l| *l == 0.0);
        let by_svd = if is_ridge { self.ridge(&design, penalty) } else { None };
        let dependent = by_svd.as_ref().is_some_and(|(_, dependent)| *dependent);
        if let Some((solution, _)) = by_svd {
            b = solution;
        }
        model.place(&b);
        // steps go through the Gram matrix again: none from a solution by singular values that needs none
        let mut report = fit(&mut model, penalty, &mut b, Stop { max_iter: 0, ..*stop });
        if report.status == Status::MaxIter && !dependent {
            report = fit(&mut model, penalty, &mut b, *stop);
        }
        if dependent {
            report.status = Status::RankDeficient;
        }
        self.finish(report, &b, model.intercept(), start)
    }

    fn ridge(&self, design: &Design, penalty: &ScaledPenalty) -> Option<(Vec<f64>, bool)> {
        let base = self.frame.base(design);
        let mut target: Vec<f64> = design.y.iter().zip(&base).map(|(y, o)| y - o).collect();
        let shift = if self.cell.fit_intercept { crate::simd::dot(&design.omega, &target) } else { 0.0 };
        target.iter_mut().for_each(|t| *t -= shift);
        ridge_by_svd(design, &self.frame.free, &target, &penalty.l2, self.frame.norm())
    }

    fn finish(&self, report: Report, b: &[f64], centred_intercept: f64, start: Instant) -> Fit {
        let coef = self.frame.coef(b);
        let intercept = self.frame.intercept(centred_intercept, &coef);
        let seconds = start.elapsed().as_secs_f64();
        let scores = self.held_out.as_ref().map_or_else(Vec::new, |rows| self.score(rows, &coef, intercept));
        let coef = if self.settings.keep_coef { coef } else { vec![] };
        Fit { report, seconds, coef, intercept: vec![intercept], kkt: f64::NAN, scores }
    }

    fn score(&self, rows: &HeldOut, coef: &[f64], intercept: f64) -> Vec<f64> {
        let mut eta: Vec<f64> = rows.offset.iter().map(|o| o + intercept).collect();
        for (j, w) in coef.iter().enumerate().filter(|(_, w)| **w != 0.0) {
            let missing = self.data.table.has_missing.then(|| self.frame.mean_of(j));
            rows.x.column(j).add_to(*w, missing, &mut eta);
        }
        score(self.cell.loss, &rows.y, &eta, &rows.weights)
    }
}
