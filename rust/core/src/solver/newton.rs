//! The one loop: gradient, certificate, working set, quadratic problem, step.

use std::sync::atomic::{AtomicBool, Ordering};

use super::{Model, Quadratic};
use crate::certificate::duality_gap;
use crate::penalty::ScaledPenalty;

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
/// Steps without progress after which the loop gives up.
const STALLS: usize = 3;
/// Columns that join a working set at once, at least.
const JOINING: usize = 100;

impl Stop<'_> {
    fn at(&self, tol: f64, objective: f64) -> f64 {
        tol * objective.max(1e-4 * self.null_objective)
    }

    fn allowed(&self, objective: f64) -> f64 {
        self.at(self.tol.max(FLOOR), objective)
    }
}

/// Minimises mean loss plus penalty from the model's position `b`.
pub fn fit(model: &mut impl Model, penalty: &ScaledPenalty, b: &mut [f64], stop: Stop<'_>) -> Report {
    let may_run_away = !model.attains_least() && !penalty.directions(b).is_empty();
    let mut progress = Progress::default();
    let mut ill_conditioned = false;
    let mut n_iter = 0;
    loop {
        let objective = model.loss() + penalty.value(b);
        let gap = duality_gap(model, penalty, b);
        progress.record(gap, objective);
        // the classes are separable in unpenalised directions: coefficients would grow for ever
        let runs_away = may_run_away && objective <= VANISHING * stop.null_objective;
        let out_of_steps = n_iter >= stop.max_iter || stop.cancel.load(Ordering::Relaxed);
        if out_of_steps || runs_away || progress.is_over(gap, &stop) {
            let converged = !runs_away && progress.has_converged(gap, objective, &stop);
            let status = if converged { Status::Converged } else { Status::MaxIter };
            return Report { status, gap, objective, n_iter, ill_conditioned };
        }
        progress.polished |= gap <= stop.allowed(objective);
        let set = working_set(&model.gradient(), penalty, b);
        // of the last step only: far from the solution a problem may be flat without columns that depend on others
        ill_conditioned = !step(model, penalty, b, &set);
        n_iter += 1;
    }
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
        let at_floor = stop.tol <= FLOOR && self.stalled > STALLS;
        let tol = if at_floor { ROUNDING } else { stop.tol.max(FLOOR) };
        gap.is_finite() && objective.is_finite() && gap <= stop.at(tol, objective)
    }

    fn is_over(&self, gap: f64, stop: &Stop<'_>) -> bool {
        let allowed = stop.allowed(self.objective);
        let enough = stop.tol > FLOOR && (gap <= POLISH * allowed || (gap <= allowed && self.polished));
        enough || gap == 0.0 || self.stalled > STALLS || !self.objective.is_finite()
    }
}

/// Fits the unpenalised columns and the intercept with all others at the centre.
pub fn fit_null(model: &mut impl Model, free: &[usize], b: &mut [f64], max_iter: usize) {
    let nothing = ScaledPenalty::none(b.len());
    for _ in 0..max_iter.min(100) {
        let before = model.loss();
        step(model, &nothing, b, free);
        let gained = before - model.loss();
        if gained.is_nan() || gained <= 4.0 * f64::EPSILON * before {
            break;
        }
    }
}

/// Active and unpenalised columns, and those whose slope exceeds their L1 weight: the steepest of these where
/// there are many more than the active ones.
fn working_set(slope: &[f64], penalty: &ScaledPenalty, b: &[f64]) -> Vec<usize> {
    let excess = |j: usize| slope[j].abs() - penalty.l1[j];
    let (mut set, outside): (Vec<usize>, Vec<usize>) = (0..b.len()).partition(|&j| b[j] != 0.0 || penalty.l1[j] == 0.0);
    let mut joining: Vec<usize> = outside.into_iter().filter(|&j| excess(j) > 0.0).collect();
    let room = JOINING.max(set.len());
    if joining.len() > room {
        joining.sort_by(|&i, &j| excess(j).total_cmp(&excess(i)).then(i.cmp(&j)));
        joining.truncate(room);
    }
    set.extend(joining);
    set.sort_unstable();
    set
}

/// One Newton step on `set`, with line search; false where the quadratic problem was too dependent.
fn step(model: &mut impl Model, penalty: &ScaledPenalty, b: &mut [f64], set: &[usize]) -> bool {
    let (gram, slope) = model.newton_system(set);
    let local = penalty.restrict(set);
    let start: Vec<f64> = set.iter().map(|&j| b[j]).collect();
    // slope + G b turns the local model about b into one about 0
    let mut linear = slope.clone();
    for (j, b) in start.iter().enumerate() {
        crate::simd::axpy(*b, &gram[j * set.len()..(j + 1) * set.len()], &mut linear);
    }
    let mut goal = start.clone();
    let quadratic = Quadratic { k: set.len(), gram: &gram, linear: &linear, penalty: &local };
    let regular = quadratic.minimise(&mut goal);
    let direction: Vec<f64> = goal.iter().zip(&start).map(|(g, s)| g - s).collect();
    if direction.iter().all(|d| d.is_finite()) {
        model.aim(set, &direction);
        let t = line_search(model, &local, &start, &direction, &slope);
        model.advance(t);
        for ((&j, s), (d, g)) in set.iter().zip(&start).zip(direction.iter().zip(&goal)) {
            b[j] = if t == 1.0 { *g } else { s + t * d };
        }
    }
    regular
}

/// Halves the step until the objective falls by a part of what the local model promises; 0 if it never does.
fn line_search(
    model: &mut impl Model,
    penalty: &ScaledPenalty,
    start: &[f64],
    direction: &[f64],
    slope: &[f64],
) -> f64 {
    let moved = |t: f64| -> Vec<f64> { start.iter().zip(direction).map(|(s, d)| s + t * d).collect() };
    let (loss, value) = (model.loss(), penalty.value(start));
    let promised = penalty.value(&moved(1.0)) - value - crate::simd::dot(slope, direction);
    let rounding = SUM_ROUNDING * (loss.abs() + value.abs());
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
