//! One cell: a path of strengths from the largest to the smallest, each fit starting from the last.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::design::Design;
use crate::frame::Frame;
use crate::held_out::{HeldOut, squared_scores};
use crate::loss::{Loss, LossKind, Quantile, Squared, with_loss};
use crate::matrix::Matrix;
use crate::metric::score;
use crate::penalty::{ScaledPenalty, Shares};
use crate::problem::{Cell, Recipe, Settings};
use crate::shared::{Shared, SplitData};
use crate::solver::newton::{Report, Status, Stop};
use crate::solver::{
    Concave, Continuation, FUSED, Fitter, GRAM_LIMIT, Glm, Null, Pinball, Softmax, Solver, ridge_by_svd, shorten_fit,
};
use crate::stations::{self, Station, Way};

/// Part of the size of a loss (the mean square of `y - o` for the squared one) below which an objective is rounding.
const ROUNDING: f64 = 1e-16;
/// Part of it below which the moments, which hold it with about 16 digits, leave too few for a certificate.
const DIGITS: f64 = 1e-5;

/// Strengths from which on one decomposition of the moments costs less than a factorisation for each of them.
const MANY_STRENGTHS: usize = 16;

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
    /// Mean square of `y - o` for the squared loss, below whose rounding a loss counts as 0; else 0.
    target_square: f64,
    /// Mean of the least losses, which the solvers leave out.
    least: f64,
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
    if let Some(reason) = data.refusal(&cell.recipe) {
        return failed(cell, data, settings, &reason);
    }
    let work = |frame, target_square, least| Work {
        cell,
        data,
        settings,
        cancel,
        frame,
        target_square,
        least,
        held_out: (!data.split.test.is_empty()).then(|| data.held_out(shared)),
    };
    if takes_moments(cell, data) {
        let moments = data.moments(shared);
        let target = moments.n_columns();
        let (mean, variance) = (moments.mean_of(target), moments.cross_of(target, target) / moments.weight());
        let sd = unit_if_zero(variance.sqrt(), cell);
        let work = work(Frame::new(cell, &moments.columns.stats(), sd), variance + mean * mean, 0.0);
        let curvature = shared.curvature(cell, data, || work.frame.curvature(&moments.columns));
        let mut fitter = work.frame.gaussian(&moments, curvature);
        if cell.alphas.len() >= MANY_STRENGTHS {
            fitter.diagonalise(&work.frame.penalty(1.0));
        }
        return work.path(fitter);
    }
    let design = data.design(cell.fit_intercept);
    let moves_freely = cell.penalty.is_smooth();
    let start = data.start(cell, moves_freely, &design);
    let (mean, variance) = start.target;
    let sd = unit_if_zero(variance.sqrt(), cell);
    let square = if matches!(cell.loss, LossKind::Squared(_)) { variance + mean * mean } else { 0.0 };
    let work = work(Frame::new(cell, &design.stats, sd), square, start.least);
    if cell.n_classes > 1 {
        return work.path(work.softmax(&design));
    }
    if let LossKind::Quantile(Quantile { level }) = cell.loss {
        return work.path(work.pinball(level, &design));
    }
    with_loss!(cell.loss, loss => work.path(work.glm(loss, &design, start.null.as_ref())))
}

/// Whether the squared loss is solved on moments.
fn takes_moments(cell: &Cell, data: &SplitData<'_>) -> bool {
    let fits = match cell.solver {
        Solver::Newton | Solver::ProximalNewton => false,
        Solver::Cholesky | Solver::CoordinateDescent => true,
        Solver::Auto if prefers_rows(cell, data) => false,
        _ => data.table.n_columns() <= GRAM_LIMIT,
    };
    // the moments of a sparse table are dense, and to centre its columns for them would write them out
    matches!(cell.loss, LossKind::Squared(_)) && fits && !data.table.is_sparse()
}

/// Whether the rows cost less than moments that would fit: there are far fewer of them than columns, so that moments are
/// singular and, close to interpolation, short of digits. A path of many strengths under a kink pays for its moments once.
fn prefers_rows(cell: &Cell, data: &SplitData<'_>) -> bool {
    /// Columns for a row beyond which the rows do.
    const WIDE: usize = 2;
    let Shares { l1, l2, norm } = cell.penalty.kind.shares();
    let is_plain = norm == 0.0 && cell.penalty.metric.is_none() && cell.penalty.kind.is_convex();
    let pays = if l1 > 0.0 { cell.alphas.len() < MANY_STRENGTHS } else { l2 > 0.0 && cell.penalty.is_smooth() };
    is_plain && pays && data.table.n_columns() > WIDE * data.split.train.len()
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
    let scores = if data.split.test.is_empty() { 0 } else { cell.score_names().len() };
    let fit = Fit {
        report,
        seconds: 0.0,
        coef: if settings.keep_coef { vec![nan; cell.n_classes * data.table.n_columns()] } else { vec![] },
        intercept: vec![nan; cell.n_classes],
        kkt: nan,
        scores: vec![nan; scores],
    };
    let alphas = if cell.of_max { vec![nan; cell.alphas.len()] } else { cell.alphas.to_vec() };
    Path { alpha_max: nan, alphas, fits: vec![fit; cell.alphas.len()] }
}

impl Work<'_> {
    fn glm<'d, L: Loss>(&self, loss: L, design: &'d Design, null: Option<&Null>) -> Glm<'d, L> {
        let columns = self.frame.free.iter().map(|&j| design.column(j)).collect();
        let (y, omega, moves_freely) = (&design.y, &design.omega, self.cell.penalty.is_smooth());
        if let Some(null) = null.filter(|_| !self.frame.has_origin()) {
            let kind = (loss, self.cell.fit_intercept);
            return Glm::at_null(kind, (columns, &self.frame.free), (y, omega), null, moves_freely);
        }
        let mean = crate::simd::dot(omega, y);
        let start = self.cell.fit_intercept.then(|| loss.null_range(y, mean));
        Glm::new(loss, columns, (y, omega), self.frame.base(design), start, moves_freely)
    }

    fn pinball<'d>(&self, level: f64, design: &'d Design) -> Pinball<'d> {
        let columns = self.frame.free.iter().map(|&j| design.column(j)).collect();
        let target = design.y.iter().zip(self.frame.base(design)).map(|(y, o)| y - o).collect();
        Pinball::new(columns, target, &design.omega, self.cell.fit_intercept, level)
    }

    fn softmax<'d>(&self, design: &'d Design) -> Softmax<'d> {
        let columns = self.frame.free.iter().map(|&j| design.column(j)).collect();
        let base = self.frame.base(design);
        let Recipe { n_classes, fit_intercept, .. } = **self.cell;
        Softmax::new(n_classes, columns, &design.y, &design.omega, base, fit_intercept)
    }

    fn stop(&self, null_objective: f64) -> Stop<'_> {
        Stop { tol: self.settings.tol, max_iter: self.settings.max_iter, null_objective, cancel: self.cancel }
    }

    /// Whether nobody waits for the fits any more: those that are missing then are thrown away with the others.
    fn is_cancelled(&self) -> bool {
        self.cancel.load(Ordering::Relaxed)
    }

    fn path(&self, mut fitter: impl Fitter) -> Path {
        let mut b = vec![0.0; fitter.n_coordinates()];
        let unit = self.frame.penalty(1.0);
        fitter.minimise_null(&unit, &mut b, self.stop(0.0));
        let null_objective = fitter.mean_loss().max(ROUNDING * self.target_square.max(fitter.loss_size()));
        let slope = fitter.slope();
        let alpha_max = self.frame.alpha_max(&slope);
        let largest = if self.cell.of_max { alpha_max } else { 1.0 };
        let alphas: Vec<f64> = self.cell.alphas.iter().map(|a| a * largest).collect();
        let is_led = self.is_led() && alpha_max.is_finite();
        let stations = if is_led { stations::led(&alphas, alpha_max) } else { stations::asked(&alphas) };
        let stop = self.stop(null_objective);
        let mut fits = if self.cell.penalty.kind.is_convex() {
            self.convex_path(fitter, b, &unit, &stations, &stop)
        } else {
            self.concave_path(fitter, b, alpha_max, &slope, &stations, &stop)
        };
        self.score_together(&mut fits);
        Path { alpha_max, alphas, fits }
    }

    fn convex_path(
        &self,
        mut fitter: impl Fitter,
        mut b: Vec<f64>,
        unit: &ScaledPenalty,
        stations: &[Station],
        stop: &Stop<'_>,
    ) -> Vec<Fit> {
        let mut fits: Vec<Option<Fit>> = vec![None; self.cell.alphas.len()];
        let mut penalty = unit.clone();
        let mut before = b.clone();
        let mut way = Way::default();
        for (at, station) in stations.iter().enumerate().take_while(|_| !self.is_cancelled()) {
            // coefficients are nearly linear in the strength as long as none reaches or leaves 0
            if let [earlier, last, now] = stations[at.saturating_sub(2)..=at] {
                let ratio = (now.alpha - last.alpha) / (last.alpha - earlier.alpha);
                let expected = |(b, before): (&f64, &f64)| ratio * (b - before);
                fitter.expect(b.iter().zip(&before).filter(|_| ratio.is_finite()).map(expected));
            }
            before.copy_from_slice(&b);
            penalty.scale_from(unit, station.alpha);
            let left = stop.after(way.n_iter);
            match station.asked {
                Some(i) => fits[i] = Some(way.end(self.fit_at(&mut fitter, &mut b, &penalty, &left))),
                None => {
                    way.go(|| fitter.minimise(&penalty, &mut b, Stop { tol: stop.tol.max(stations::COARSE), ..left }))
                }
            }
        }
        fits.into_iter().flatten().collect()
    }

    /// Whether the fits of a path are led from one to the next: kinks, more columns than rows and more than a few, and a
    /// solver that goes by its start.
    fn is_led(&self) -> bool {
        let by_start = !matches!(self.cell.loss, LossKind::Quantile(_));
        let rows = self.data.split.train.len();
        self.frame.free.len() > rows.max(FUSED) && by_start && !self.cell.penalty.is_smooth()
    }

    #[allow(clippy::too_many_arguments)]
    fn concave_path(
        &self,
        fitter: impl Fitter,
        b: Vec<f64>,
        alpha_max: f64,
        slope: &[f64],
        stations: &[Station],
        stop: &Stop<'_>,
    ) -> Vec<Fit> {
        let concave = Concave {
            curve: &|alpha, at, b| self.frame.curve(alpha, at, b),
            bounds: self.frame.penalty(0.0),
            steepest: slope.iter().fold(0.0, |a: f64, s| a.max(s.abs())),
        };
        let mut path = Continuation::new(fitter, b, alpha_max);
        let mut fits: Vec<Option<Fit>> = vec![None; self.cell.alphas.len()];
        for &Station { alpha, asked } in stations.iter().take_while(|_| !self.is_cancelled()) {
            // the continuation has a way of its own
            let Some(i) = asked else { continue };
            let start = Instant::now();
            let (mut fitter, b, report) = path.fit(&concave, alpha, *stop);
            let mut tangent = concave.bounds.clone();
            b.iter().enumerate().for_each(|(at, b)| tangent.l1[at] = self.frame.curve(alpha, at, *b).slope);
            fits[i] = Some(self.finish(report, &tangent, &b, &mut fitter, start));
        }
        fits.into_iter().flatten().collect()
    }

    fn fit_at(&self, fitter: &mut impl Fitter, b: &mut [f64], penalty: &ScaledPenalty, stop: &Stop<'_>) -> Fit {
        let start = Instant::now();
        if self.cell.solver == Solver::Svd {
            return self.fit_on_rows(penalty, b, stop, start);
        }
        let mut report = fitter.minimise(penalty, b, *stop);
        self.level(penalty, b);
        let unsure = report.status == Status::MaxIter;
        let few_digits = fitter.mean_loss() < DIGITS * self.target_square;
        if fitter.is_condensed() && !self.is_cancelled() && (report.ill_conditioned || unsure || few_digits) {
            return self.fit_on_rows(penalty, b, &stop.after(report.n_iter), start);
        }
        let squared = matches!(self.cell.loss, LossKind::Squared(_)) && b.len() <= GRAM_LIMIT;
        if squared && report.ill_conditioned && penalty.is_smooth() {
            return self.fit_on_rows(penalty, b, &stop.after(report.n_iter), start);
        }
        // a fit that starts at a solution takes no step that would have shown dependent columns
        let may_depend = report.ill_conditioned || report.n_iter == 0;
        if may_depend && report.status == Status::Converged && self.shorten(penalty, b) {
            report.status = Status::RankDeficient;
        }
        self.finish(report, penalty, b, fitter, start)
    }

    /// The squared loss on the rows themselves, from where the moments have led: their digits were not enough, for
    /// the solution or for its certificate.
    fn fit_on_rows(&self, penalty: &ScaledPenalty, b: &[f64], stop: &Stop<'_>, start: Instant) -> Fit {
        let design = self.data.design(self.cell.fit_intercept);
        let mut model = self.glm(Squared, &design, None);
        let mut b = b.to_vec();
        let by_svd = if penalty.is_smooth() { self.ridge(&design, penalty) } else { None };
        let dependent = by_svd.as_ref().is_some_and(|(_, dependent)| *dependent);
        if let Some((solution, _)) = by_svd {
            b = solution;
        }
        model.place(&b);
        // steps go through the Gram matrix again: none from a solution by singular values that needs none
        let mut report = model.minimise(penalty, &mut b, Stop { max_iter: 0, ..*stop });
        if report.status == Status::MaxIter && !dependent {
            report = model.minimise(penalty, &mut b, *stop);
        }
        if dependent && (report.status == Status::Converged || stop.is_met(report.gap, report.objective)) {
            report.status = Status::RankDeficient;
        }
        self.finish(report, penalty, &b, &mut model, start)
    }

    /// Takes out what more than two classes share along directions that cost nothing in any of them, which the loss does
    /// not see: the coefficients of a column without penalty and bounds get the sum 0.
    fn level(&self, penalty: &ScaledPenalty, b: &mut [f64]) {
        let (m, n_classes) = (self.frame.free.len(), self.cell.n_classes);
        if n_classes == 1 || m == 0 {
            return;
        }
        let shared: Vec<f64> = (0..m).map(|a| b.iter().skip(a).step_by(m).sum::<f64>() / n_classes as f64).collect();
        for direction in self.shared_directions(penalty) {
            let share = crate::simd::dot(&direction, &shared);
            b.chunks_exact_mut(m).for_each(|class| crate::simd::axpy(-share, &direction, class));
        }
    }

    /// Orthonormal directions of one class's columns that are neither penalised nor bounded in any class.
    fn shared_directions(&self, penalty: &ScaledPenalty) -> Vec<Vec<f64>> {
        let (m, size) = (self.frame.free.len(), penalty.n_columns());
        let bounded: Vec<bool> = (0..m).map(|a| (a..size).step_by(m).any(|at| penalty.is_bounded(at))).collect();
        if let Some((_, metric)) = &penalty.metric {
            return metric.leading(m).map_or_else(Vec::new, |of_class| of_class.null_space(&bounded));
        }
        let none = penalty.unpenalised();
        let open = |a: &usize| !bounded[*a] && (*a..size).step_by(m).all(|at| none[at]);
        let unit = |a: usize| (0..m).map(|j| if j == a { 1.0 } else { 0.0 }).collect();
        (0..m).filter(open).map(unit).collect()
    }

    /// Makes the least norm of a fit whose unpenalised columns depend on each other; false if they do not.
    fn shorten(&self, penalty: &ScaledPenalty, b: &mut [f64]) -> bool {
        let (m, none) = (self.frame.free.len(), penalty.unpenalised());
        let is_free = |a: &usize| (0..self.cell.n_classes).all(|class| none[class * m + a]);
        let local: Vec<usize> = (0..m).filter(is_free).collect();
        if local.is_empty() {
            return false;
        }
        let columns: Vec<usize> = local.iter().map(|&a| self.frame.free[a]).collect();
        let norm: Vec<f64> = local.iter().map(|&a| self.frame.norm()[a]).collect();
        let is_bounded = (0..b.len()).any(|at| none[at] && penalty.is_bounded(at));
        let design = self.data.design(self.cell.fit_intercept);
        let mut dependent = false;
        for class in 0..self.cell.n_classes {
            let mut part: Vec<f64> = local.iter().map(|a| b[class * m + a]).collect();
            dependent |= shorten_fit(&design, &columns, &mut part, &norm);
            // within a box any of the equally good fits will do
            local.iter().zip(&part).filter(|_| !is_bounded).for_each(|(a, value)| b[class * m + a] = *value);
        }
        dependent
    }

    fn ridge(&self, design: &Design, penalty: &ScaledPenalty) -> Option<(Vec<f64>, bool)> {
        let base = self.frame.base(design);
        let mut target: Vec<f64> = design.y.iter().zip(&base).map(|(y, o)| y - o).collect();
        let shift = if self.cell.fit_intercept { crate::simd::dot(&design.omega, &target) } else { 0.0 };
        target.iter_mut().for_each(|t| *t -= shift);
        ridge_by_svd(design, &self.frame.free, &target, penalty, &self.frame.norm())
    }

    fn finish(
        &self,
        mut report: Report,
        penalty: &ScaledPenalty,
        b: &[f64],
        fitter: &mut impl Fitter,
        start: Instant,
    ) -> Fit {
        let coef = self.frame.coef(b);
        let intercept = self.frame.intercepts(&fitter.intercepts(), &coef);
        let off = penalty.largest_violation(b, &fitter.slope(), |at| self.frame.unit_of(at));
        let kkt = off.max(fitter.intercept_slope());
        report.objective += self.least;
        let seconds = start.elapsed().as_secs_f64();
        let waits = self.scored_together().is_some();
        let rows = self.held_out.as_ref().filter(|_| !waits);
        let scores = rows.map_or_else(Vec::new, |rows| self.score(rows, &coef, &intercept));
        let coef = if self.settings.keep_coef || waits { coef } else { vec![] };
        Fit { report, seconds, coef, intercept, kkt, scores }
    }

    /// Held-out rows, and their values, on which the squared errors of all fits are found at once.
    fn scored_together(&self) -> Option<(&HeldOut, &[f64])> {
        let rows = self.held_out.as_deref()?;
        match (self.cell.loss, &*rows.x) {
            (LossKind::Squared(_), Matrix::Dense { values, .. }) if !self.data.table.has_missing() => {
                Some((rows, values))
            }
            _ => None,
        }
    }

    /// Scores fits that have waited for each other with their coefficients.
    fn score_together(&self, fits: &mut [Fit]) {
        let Some((rows, x)) = self.scored_together() else { return };
        let of: Vec<(&[f64], f64)> = fits.iter().map(|fit| (fit.coef.as_slice(), fit.intercept[0])).collect();
        let scores = squared_scores(rows, x, &of);
        for (fit, scores) in fits.iter_mut().zip(scores) {
            fit.scores = scores.to_vec();
            if !self.settings.keep_coef {
                fit.coef = vec![];
            }
        }
    }

    fn score(&self, rows: &HeldOut, coef: &[f64], intercept: &[f64]) -> Vec<f64> {
        let n = rows.y.len();
        let mut eta: Vec<f64> = intercept.iter().flat_map(|b| rows.offset.iter().map(move |o| o + b)).collect();
        let p = self.data.table.n_columns();
        for (at, w) in coef.iter().enumerate().filter(|(_, w)| **w != 0.0) {
            let (class, j) = (at / p, at % p);
            let missing = self.data.table.has_missing().then(|| self.frame.mean_of(j));
            rows.x.column(j).add_to(*w, missing, &mut eta[class * n..(class + 1) * n]);
        }
        if self.cell.n_classes > 1 {
            return crate::metric::softmax_scores(&rows.y, &eta, self.cell.n_classes, &rows.weights);
        }
        score(self.cell.loss, &rows.y, &eta, &rows.weights)
    }
}
