//! The one loop: gradient, certificate, working set, quadratic problem, step.

use std::sync::atomic::{AtomicBool, Ordering};

use super::working_set::working_set;
use super::{Model, NEGLIGIBLE_MOVE, Quadratic};
use crate::certificate::duality_gap;
use crate::penalty::ScaledPenalty;
use crate::simd::dot;

/// How a fit ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// `gap <= tol * max(P, 1e-4 P0)`; for a tol up to 1e-13, stalled with a gap of at most 1e-10 of that.
    Converged,
    /// The steps were used up, or none improved, before the gap was small enough.
    MaxIter,
    /// The loss falls for ever along an unpenalised direction: classes are separable there; the fit was stopped.
    Separated,
    /// Unpenalised columns depend on each other; the fit is one of several equally good ones.
    RankDeficient,
    /// A stationary point of a penalty that is not convex.
    Local,
    /// Linear predictions beyond what the loss can be computed for.
    Overflow,
    /// There is no fit, for this reason.
    Failed(String),
}

/// How a fit ended, with its figures.
#[derive(Debug, Clone)]
pub struct Report {
    /// Why the loop stopped.
    pub status: Status,
    /// Duality gap.
    pub gap: f64,
    /// Mean loss plus penalty.
    pub objective: f64,
    /// Steps taken.
    pub n_iter: usize,
    /// Whether a quadratic problem was too dependent to be factorised.
    pub ill_conditioned: bool,
}

/// When to stop.
#[derive(Clone, Copy)]
pub struct Stop<'a> {
    /// Relative gap.
    pub tol: f64,
    /// Steps.
    pub max_iter: usize,
    /// Objective at the centre with only unpenalised directions fitted.
    pub null_objective: f64,
    /// The caller's wish to stop.
    pub cancel: &'a AtomicBool,
}

/// Relative gap that rounding cannot be told from.
const FLOOR: f64 = 1e-13;
/// Relative gap that rounding can leave where a dual point has to be scaled to become feasible.
const ROUNDING: f64 = 1e-10;
/// Part of the null objective below which a loss that never reaches 0 is on its way there.
const VANISHING: f64 = 1e-10;
/// Part of the tolerance above which a converged fit takes one more step: Newton squares the error, so this
/// polish brings coefficients from the root of the tolerance to about the tolerance itself.
const POLISH: f64 = 1e-3;
/// Relative rounding of a mean loss: close to the optimum it hides what a step gains, which is no reason to refuse it.
const SUM_ROUNDING: f64 = 1e-13;
/// Part of the objective by which a step on a singular model has to lower it to be worth another one.
const FELL: f64 = 1e-9;
/// Steps without progress after which the loop gives up.
const STALLS: usize = 3;
/// What a descent on a local model leaves of its first moves: Newton's method squares what it is given. The last one leaves
/// what the gap asks for, within these bounds.
const COARSE: f64 = 5e-2;
const FINEST: f64 = 1e-6;
/// Descents after which these creep along correlated columns, so that a factorisation is tried, as after one that does not
/// improve anything; where it fails, descents have their turn again.
const PATIENCE: usize = 20;
/// Columns from which on a fit is narrowed to some of them, and how many times more than these they have to be.
const WIDE: usize = 500;
const NARROW: usize = 3;
/// Part of its weight from which on a slope counts as close to it.
const NEAR: f64 = 0.9;
/// Part of the gap that the first narrowed fit leaves before all columns are looked at, where these are at most so many times
/// more than the few: steps beyond are for nothing if others are called in, and to look costs some sweeps over the few.
const GLANCE: f64 = 0.03;
const LOOKS: usize = 20;

impl Stop<'_> {
    /// What is left after some steps.
    pub fn after(&self, n_iter: usize) -> Self {
        Self { max_iter: self.max_iter.saturating_sub(n_iter), ..*self }
    }

    /// Whether there are to be no steps after some.
    fn is_over(&self, n_iter: usize) -> bool {
        n_iter >= self.max_iter || self.cancel.load(Ordering::Relaxed)
    }

    /// What a descent leaves that takes a fit from this gap to one that needs no polish: a gap falls with the square of the
    /// moves.
    fn fine(&self, gap: f64, objective: f64) -> f64 {
        /// Part of what would do if all moves were as far as the longest.
        const SURE: f64 = 0.3;
        let left = POLISH * self.allowed(objective) / gap;
        (SURE * left.sqrt()).clamp(FINEST, COARSE)
    }

    fn at(&self, tol: f64, objective: f64) -> f64 {
        tol * objective.max(1e-4 * self.null_objective)
    }

    fn allowed(&self, objective: f64) -> f64 {
        self.at(self.tol.max(FLOOR), objective)
    }

    /// Whether a method that has gone on until nothing improved may call its fit converged.
    pub fn is_met(&self, gap: f64, objective: f64) -> bool {
        let tol = if self.tol <= FLOOR { ROUNDING } else { self.tol };
        gap.is_finite() && objective.is_finite() && gap <= self.at(tol, objective)
    }
}

/// Minimises mean loss plus penalty from the model's position `b`.
pub fn fit(model: &mut impl Model, penalty: &ScaledPenalty, b: &mut [f64], stop: Stop<'_>) -> Report {
    fit_from(model, penalty, b, stop, Progress::default())
}

fn fit_from(
    model: &mut impl Model,
    penalty: &ScaledPenalty,
    b: &mut [f64],
    stop: Stop<'_>,
    mut progress: Progress,
) -> Report {
    let may_run_away = !model.attains_least() && !penalty.directions(b).is_empty();
    let mut running = false;
    // where a leap goes all the way nobody needs to know how far it is
    let leapt = if stop.is_over(0) { None } else { model.leap(penalty, b, stop.tol) };
    let mut ill_conditioned = leapt == Some(false);
    let mut n_iter = usize::from(leapt.is_some());
    let mut patience = PATIENCE;
    loop {
        let objective = model.loss() + penalty.value(b);
        let allowed = stop.allowed(objective);
        let gap = duality_gap(model, penalty, b, allowed);
        progress.record(gap, objective);
        // a loss on its way to a least value that no coefficients attain
        let vanishes = may_run_away && objective <= VANISHING * stop.null_objective;
        if stop.is_over(n_iter) || vanishes || progress.is_over(gap, &stop) {
            let gap = if gap > allowed { duality_gap(model, penalty, b, f64::INFINITY) } else { gap };
            let status = if model.overflows() {
                Status::Overflow
            } else if vanishes || running {
                Status::Separated
            } else if progress.has_converged(gap, objective, &stop) {
                Status::Converged
            } else {
                Status::MaxIter
            };
            return Report { status, gap, objective, n_iter, ill_conditioned };
        }
        progress.polished |= gap <= allowed;
        let glance = (n_iter == 0 && gap.is_finite()).then(|| GLANCE * gap / stop.at(1.0, objective));
        let taken = match model.leap(penalty, b, stop.tol) {
            Some(regular) => Taken { regular, share: 1.0, moved: true, runs_away: false },
            None => match fit_narrowed(model, penalty, b, &stop.after(n_iter), glance) {
                Some((report, polished)) => {
                    n_iter += report.n_iter - 1;
                    progress.polished = polished;
                    Taken { regular: !report.ill_conditioned, share: 1.0, moved: true, runs_away: false }
                }
                None => {
                    let set = working_set(&model.gradient(), penalty, b);
                    let is_last = progress.polished || model.is_quadratic();
                    let accuracy = if is_last { stop.fine(gap, objective) } else { COARSE };
                    step(model, penalty, b, &set, (patience > 0).then_some(accuracy))
                }
            },
        };
        // a loss with straight or flat parts has places without curvature; a parabola above it leads away from them
        model.majorise(!taken.is_good());
        running = may_run_away && taken.runs_away;
        // of the last step only: far from the solution a problem may be flat without columns that depend on others
        ill_conditioned = !taken.regular;
        patience = match taken.regular {
            false => PATIENCE,
            true if progress.stalled > 0 => 0,
            true => patience.saturating_sub(1),
        };
        n_iter += 1;
    }
}

/// The same on the few columns that may differ from 0 at the solution; None, and nothing changed, where they are not few or
/// nothing was to be done on them.
///
/// A column whose slope comes close to its weight may be called in by the moves of the others: with these among the few,
/// most fits need one pass over all columns.
///
/// With a tolerance for a glance it may go only as far as that, without a polish; says if it had one.
fn fit_narrowed(
    model: &mut impl Model,
    penalty: &ScaledPenalty,
    b: &mut [f64],
    stop: &Stop<'_>,
    glance: Option<f64>,
) -> Option<(Report, bool)> {
    if b.len() < WIDE || !penalty.directions(b).is_empty() {
        return None;
    }
    let mut near = penalty.clone();
    near.scale_from(penalty, NEAR);
    let set = working_set(&model.gradient(), &near, b);
    if NARROW * set.len() > b.len() || !model.narrow(&set) {
        return None;
    }
    let mut inner = values_on(&set, b);
    let restricted = penalty.restrict(&set);
    let glance = glance.filter(|tol| *tol > stop.tol && LOOKS * set.len() > b.len() && !model.is_quadratic());
    let glanced = glance.and_then(|tol| {
        let progress = Progress { polished: true, ..Progress::default() };
        let report = fit_from(model, &restricted, &mut inner, Stop { tol, ..*stop }, progress);
        (report.n_iter > 0).then_some(report)
    });
    let glances = glanced.is_some();
    let report = glanced.unwrap_or_else(|| fit(model, &restricted, &mut inner, *stop));
    model.majorise(false);
    model.widen();
    set.iter().zip(inner).for_each(|(&j, value)| b[j] = value);
    let polished = !glances && report.status == Status::Converged;
    (report.n_iter > 0).then_some((report, polished))
}

/// What the loop has reached so far.
struct Progress {
    gap: f64,
    objective: f64,
    /// Steps in a row that improved neither figure.
    stalled: usize,
    /// Whether a step was taken after the gap was small enough.
    polished: bool,
}

impl Default for Progress {
    fn default() -> Self {
        Self { gap: f64::INFINITY, objective: f64::INFINITY, stalled: 0, polished: false }
    }
}

impl Progress {
    fn record(&mut self, gap: f64, objective: f64) {
        let better = gap < 0.5 * self.gap || objective < self.objective * (1.0 - 1e-9);
        self.stalled = if better { 0 } else { self.stalled + 1 };
        self.gap = self.gap.min(gap);
        self.objective = self.objective.min(objective);
    }

    /// A fit that runs to the floor has reached it where it stalls with a gap that rounding explains.
    fn has_converged(&self, gap: f64, objective: f64, stop: &Stop<'_>) -> bool {
        let at_floor = self.stalled > STALLS;
        stop.is_met(gap, objective) && (at_floor || gap <= stop.allowed(objective))
    }

    fn is_over(&self, gap: f64, stop: &Stop<'_>) -> bool {
        let allowed = stop.allowed(self.objective);
        let enough = stop.tol > FLOOR && (gap <= POLISH * allowed || (gap <= allowed && self.polished));
        enough || gap == 0.0 || self.stalled > STALLS || !self.objective.is_finite()
    }
}

/// Fits the unpenalised directions and the intercept with all others at the centre; `penalty` is at any strength.
pub fn fit_null(model: &mut impl Model, penalty: &ScaledPenalty, b: &mut [f64], max_iter: usize) {
    let mut nothing = ScaledPenalty::none(b.len());
    nothing.lower.clone_from(&penalty.lower);
    nothing.upper.clone_from(&penalty.upper);
    let unpenalised = penalty.unpenalised();
    let columns: Vec<usize> = (0..b.len()).filter(|&j| unpenalised[j]).collect();
    let combined = penalty.unbounded_combinations();
    if columns.is_empty() && combined.is_empty() && model.intercept_slope() <= model.rounding() {
        return;
    }
    let mut majorised = false;
    for _ in 0..max_iter.min(100) {
        let before = model.loss();
        let is_good = if combined.is_empty() {
            step(model, &nothing, b, &columns, Some(FINEST)).is_good()
        } else {
            step_along(model, &combined, b);
            true
        };
        let gained = before - model.loss();
        let is_over = gained.is_nan() || gained <= 4.0 * f64::EPSILON * before;
        if is_over && (is_good || majorised) {
            break;
        }
        majorised = !is_good;
        model.majorise(majorised);
    }
    model.majorise(false);
}

/// One Newton step within the span of some directions.
fn step_along(model: &mut impl Model, directions: &[Vec<f64>], b: &mut [f64]) {
    let k = b.len();
    let all: Vec<usize> = (0..k).collect();
    let (hessian, slope) = model.newton_system(&all);
    let images: Vec<Vec<f64>> =
        directions.iter().map(|d| (0..k).map(|j| dot(&hessian[j * k..(j + 1) * k], d)).collect()).collect();
    let within: Vec<f64> = images.iter().flat_map(|image| directions.iter().map(move |d| dot(image, d))).collect();
    let linear: Vec<f64> = directions.iter().map(|d| dot(d, &slope)).collect();
    let free = ScaledPenalty::none(linear.len());
    let mut c = vec![0.0; linear.len()];
    Quadratic { k: linear.len(), gram: &within, linear: &linear, penalty: &free }.minimise(&mut c);
    let mut direction = vec![0.0; k];
    directions.iter().zip(&c).for_each(|(d, c)| crate::simd::axpy(*c, d, &mut direction));
    let t = line_search(model, &ScaledPenalty::none(k), &all, b, &direction, &slope);
    model.advance(t);
    crate::simd::axpy(t, &direction, b);
}

/// What became of a step.
struct Taken {
    /// Whether the quadratic problem had independent columns.
    regular: bool,
    /// Share of the step that the line search took.
    share: f64,
    /// Whether the local model had a lower place, or its columns were independent and it says that there is none.
    moved: bool,
    /// Whether it went far along unpenalised columns in a direction in which no row's loss ever rises.
    runs_away: bool,
}

impl Taken {
    /// Whether the local model was worth following.
    fn is_good(&self) -> bool {
        self.moved && self.share > 1e-2
    }
}

/// One Newton step on `set`, with line search: to the least place of the local model, or as near as a descent of this
/// accuracy comes.
fn step(model: &mut impl Model, penalty: &ScaledPenalty, b: &mut [f64], set: &[usize], accuracy: Option<f64>) -> Taken {
    let local = penalty.restrict(set);
    let start = values_on(set, b);
    let Goal { at: goal, slope, regular } =
        match accuracy.and_then(|accuracy| model.descend(set, &local, &start, accuracy)) {
            Some((at, slope)) => Goal { at, slope, regular: true },
            None => exact_goal(model, &local, set, &start),
        };
    let direction: Vec<f64> = goal.iter().zip(&start).map(|(g, s)| g - s).collect();
    let before = model.loss() + local.value(&start);
    let mut share = 0.0;
    let mut runs_away = false;
    if direction.iter().all(|d| d.is_finite()) {
        share = line_search(model, &local, set, &start, &direction, &slope);
        model.advance(share);
        runs_away = is_free_move(&local, &direction) && model.recedes();
        for ((&j, s), (d, g)) in set.iter().zip(&start).zip(direction.iter().zip(&goal)) {
            b[j] = if share == 1.0 { *g } else { s + share * d };
        }
    }
    // a singular model knows of no way along the directions that it is flat in
    let fell = before - (model.loss() + local.value(&values_on(set, b)));
    let moved =
        set.is_empty() || if regular { direction.iter().any(|d| *d != 0.0) } else { fell > FELL * before.abs() };
    Taken { regular, share, moved, runs_away }
}

/// Where a local model is least, with the slope at the position.
struct Goal {
    at: Vec<f64>,
    slope: Vec<f64>,
    /// Whether its columns were independent.
    regular: bool,
}

fn exact_goal(model: &mut impl Model, local: &ScaledPenalty, set: &[usize], start: &[f64]) -> Goal {
    let (mut gram, slope) = model.newton_system(set);
    // slope + G b turns the local model about b into one about 0
    let mut linear = slope.clone();
    for (j, b) in start.iter().enumerate() {
        crate::simd::axpy(*b, &gram[j * set.len()..(j + 1) * set.len()], &mut linear);
    }
    if let Some((alpha, metric)) = &local.metric {
        metric.add_to(&mut gram, *alpha);
    }
    let mut at = start.to_vec();
    let quadratic = Quadratic { k: set.len(), gram: &gram, linear: &linear, penalty: local };
    let regular = quadratic.minimise(&mut at);
    Goal { at, slope, regular }
}

fn values_on(set: &[usize], b: &[f64]) -> Vec<f64> {
    set.iter().map(|&j| b[j]).collect()
}

/// Whether a move is long and, but for a negligible part, one of unpenalised columns.
fn is_free_move(penalty: &ScaledPenalty, direction: &[f64]) -> bool {
    const LONG: f64 = 0.05;
    let unpenalised = penalty.unpenalised();
    let longest = direction.iter().fold(0.0, |a: f64, d| a.max(d.abs()));
    let negligible = |(d, free): (&f64, &bool)| *free || d.abs() <= NEGLIGIBLE_MOVE * longest;
    longest >= LONG && direction.iter().zip(&unpenalised).all(negligible)
}

/// Aims along a direction on `set` and halves the step until the objective falls by a part of what the local model
/// promises; 0 if it never does.
fn line_search(
    model: &mut impl Model,
    penalty: &ScaledPenalty,
    set: &[usize],
    start: &[f64],
    direction: &[f64],
    slope: &[f64],
) -> f64 {
    let moved = |t: f64| -> Vec<f64> { start.iter().zip(direction).map(|(s, d)| s + t * d).collect() };
    let (loss, value) = (model.loss(), penalty.value(start));
    let promised = penalty.value(&moved(1.0)) - value - dot(slope, direction);
    let rounding = SUM_ROUNDING * (loss.abs() + value.abs());
    model.aim(set, direction);
    let mut t = model.first_share();
    for _ in 0..60 {
        let change = (model.loss_at(t) - loss) + (penalty.value(&moved(t)) - value);
        if change <= 1e-4 * t * promised.min(0.0) + rounding {
            return t;
        }
        t *= 0.5;
    }
    0.0
}
