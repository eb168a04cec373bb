//! Quadratic problems with a separable penalty over a box.
//!
//! A column is *held* where the penalty has a kink or the box an end: at 0 with an L1 weight, at a bound. Between kinks the
//! problem is a linear system. Coordinate descent finds which columns are held, a factorisation solves for the others.

mod packed;
mod updates;

use pulp::Arch;

use super::PIVOT_FLOOR;
use crate::factor::Factor;
use crate::linalg::solve_singular;
use crate::penalty::ScaledPenalty;
use crate::simd::{axpy, dot, largest};

pub(super) use self::packed::Packed;
use self::updates::{SlopeAt, Sweeps, Wake};

/// Squared pivot (columns of unit norm) below which a system has no digits left.
pub(super) const SINGULAR: f64 = 1e-15;
/// Rounds of sweeps and active-set steps.
pub(super) const MAX_ROUNDS: usize = 60;
/// Sweeps within a round.
pub(super) const MAX_SWEEPS: usize = 50;
/// Columns up to which a factor is found anew for every penalty.
const CHEAP: usize = 64;
/// Columns that are not held, for each one that wants to move, from which on none of them is swept over.
const WAKING: usize = 4;
/// Rounds that may begin with waking columns alone.
const WAKES: usize = 10;
/// Columns that a factor takes up one by one, whatever its size.
const FEW: usize = 8;
/// Part of its L1 weight from which on a slope calls a column in: it may want to move at the next solution.
const NEAR: f64 = 0.9;
/// Part of what was left that a step may leave to be worth another one.
const SLOW: f64 = 0.25;
/// Part of a floor below which steps that have not looked at G stop: rounding is not to lift what is left above it.
const ENOUGH: f64 = 0.5;
/// Part of the largest entry of c below which a slope is rounding.
const ROUNDING: f64 = 1e-15;

/// `b' G b / 2 - c' b`.
#[derive(Clone, Copy)]
pub(super) struct Form<'a> {
    /// Number of columns.
    pub k: usize,
    /// Numbers from one column of G to the next.
    pub stride: usize,
    /// Symmetric matrix G.
    pub gram: &'a [f64],
    /// Vector c, which may be padded with zeros as the columns of G are.
    pub linear: &'a [f64],
}

/// Where a problem with one form after another, or one penalty after another, stands.
#[derive(Debug, Clone, Default)]
pub(super) struct Descent {
    /// `c - G b`.
    pub slope: Vec<f64>,
    /// Diagonal of G.
    diagonal: Vec<f64>,
    /// `1 / (G_jj + l2_j)`, 0 for a column without curvature.
    inverse: Vec<f64>,
    /// Columns of the factor: those that were not held.
    active: Vec<usize>,
    is_active: Vec<bool>,
    /// What the factor has beside G on the diagonal: the penalty's squares when each column came.
    squares: Vec<f64>,
    /// Whether each column is not held.
    is_free: Vec<bool>,
    /// Whether the factor is one of G alone.
    is_plain: bool,
    /// Whether it may be one of another penalty's squares.
    is_stale: bool,
    /// Columns of a sweep.
    swept: Vec<usize>,
    step: Vec<f64>,
    factor: Factor,
}

impl<'a> Form<'a> {
    pub(super) fn column(&self, j: usize) -> &'a [f64] {
        &self.gram[j * self.stride..][..self.linear.len()]
    }
}

/// What counts as no slope where the part `accuracy` of the largest entry of c does.
fn slope_floor(form: Form<'_>, accuracy: f64) -> f64 {
    accuracy.max(ROUNDING) * largest(form.linear)
}

/// Whether column j stands at a kink or at an end of its box.
#[inline(always)]
pub(super) fn is_held(penalty: &ScaledPenalty, j: usize, b: f64) -> bool {
    (b == 0.0 && penalty.l1[j] > 0.0) || b <= penalty.lower[j] || b >= penalty.upper[j]
}

/// First kink on the way of column j from `from` (not held) to `to`, which may lie at the end of the way.
pub(super) fn kink_between(penalty: &ScaledPenalty, j: usize, from: f64, to: f64) -> Option<f64> {
    let crosses = penalty.l1[j] > 0.0 && from * to <= 0.0;
    if crosses {
        Some(0.0)
    } else if to >= penalty.upper[j] {
        Some(penalty.upper[j])
    } else if to <= penalty.lower[j] {
        Some(penalty.lower[j])
    } else {
        None
    }
}

impl Descent {
    /// A place with this slope.
    pub(super) fn at(slope: Vec<f64>) -> Self {
        Self { slope, ..Self::default() }
    }

    /// Replaces `b`, at which the slope has been taken, by the minimiser; false where the columns are too dependent for a
    /// factorisation. Coordinate descent finds the support, a factorisation on it the exact solution; whichever of the two
    /// cannot move any more hands over to the other.
    /// Slopes are those of the penalty up to the part `floor` of the largest entry of c in the end.
    pub(super) fn minimise(&mut self, form: Form<'_>, penalty: &ScaledPenalty, b: &mut [f64], floor: f64) -> bool {
        if penalty.is_smooth() {
            return self.settle(form, penalty, b, floor).1 > PIVOT_FLOOR;
        }
        self.invert(form, penalty);
        let mut accuracy: f64 = 1.0;
        let mut regular = true;
        for round in 0..MAX_ROUNDS {
            let woken = round < WAKES && self.wakes_few(form, penalty, b, floor);
            let still = if woken {
                Arch::new().dispatch(Wake { form, penalty, b, state: self });
                false
            } else {
                Arch::new().dispatch(Sweeps { form, penalty, accuracy, b, state: self })
            };
            let (settled, pivot) = self.settle(form, penalty, b, floor);
            // which of dependent columns are to be held, sweeps over all of them find
            if woken && pivot <= PIVOT_FLOOR {
                continue;
            }
            regular &= pivot > PIVOT_FLOOR;
            if settled {
                return regular;
            }
            if still && accuracy < 1e-15 {
                break;
            }
            accuracy = (accuracy * 0.1).max(1e-16);
        }
        regular
    }

    /// Whether only few held columns want to move, next to those that are not held; lists them. On a path of strengths this
    /// is what is new at most of them, and sweeps over all columns would find nothing else.
    fn wakes_few(&mut self, form: Form<'_>, penalty: &ScaledPenalty, b: &[f64], floor: f64) -> bool {
        let floor = slope_floor(form, floor);
        let Self { slope, swept, .. } = self;
        swept.clear();
        let wants = |j: usize| penalty.off_at(j, b[j], slope[j] - penalty.l2[j] * b[j]) > floor;
        swept.extend((0..b.len()).filter(|&j| is_held(penalty, j, b[j]) && wants(j)));
        let awake = (0..b.len()).filter(|&j| !is_held(penalty, j, b[j])).count();
        WAKING * swept.len() <= awake
    }

    fn invert(&mut self, form: Form<'_>, penalty: &ScaledPenalty) {
        self.diagonal.clear();
        self.diagonal.extend((0..form.k).map(|j| form.gram[j * form.stride + j]));
        self.inverse.clear();
        let inverse = |(g, l2): (&f64, &f64)| if *g > 0.0 { (g + l2).recip() } else { 0.0 };
        self.inverse.extend(self.diagonal.iter().zip(&penalty.l2).map(inverse));
    }

    /// Takes the slope at `b`.
    pub(super) fn place(&mut self, form: Form<'_>, b: &[f64]) {
        Arch::new().dispatch(SlopeAt { form, b, out: &mut self.slope });
    }

    /// Solves the linear system of the columns that are not held, with their signs, walks there as far as none meets
    /// a kink, and looks whether a held column wants to move. With the smallest squared pivot met: a small one costs
    /// digits, but its direction still serves where coordinate descent would take for ever.
    fn settle(&mut self, form: Form<'_>, penalty: &ScaledPenalty, b: &mut [f64], accuracy: f64) -> (bool, f64) {
        let floor = slope_floor(form, accuracy);
        let mut smallest: f64 = 1.0;
        for _ in 0..=b.len() {
            self.note_free(penalty, b);
            if !self.update(form, penalty) {
                self.renew(form, penalty);
            }
            if self.pivot() == 0.0 && self.leave_dependence(form, penalty, b) {
                continue;
            }
            let Some(crossed) = self.refine(form, penalty, b, floor) else { return (false, 0.0) };
            smallest = smallest.min(self.pivot());
            if !crossed {
                return (self.is_optimal(penalty, b, floor), smallest);
            }
        }
        (false, smallest)
    }

    /// Walks from where active columns depend on each other, along the direction that changes no prediction, downhill to the
    /// first kink, which then holds a column; at a lasso's solution the active columns are independent. False where the
    /// penalty says nothing on that direction, or where there is no such direction.
    fn leave_dependence(&mut self, form: Form<'_>, penalty: &ScaledPenalty, b: &mut [f64]) -> bool {
        /// Part of the penalty's pulls along a direction below which their sum is rounding.
        const NO_PULL: f64 = 1e-9;
        if !self.is_plain {
            return false;
        }
        let Some(dependent) = self.take_regular(form) else { return false };
        // G v = 0 for v = 1 at that column and -G_RR^-1 g at the regular ones
        let (at, column) = (self.factor.len(), form.column(dependent));
        self.step.clear();
        self.step.extend(self.active[..at].iter().map(|&i| -column[i]));
        self.factor.solve(&mut self.step);
        self.step.push(1.0);
        let pulls = self.active.iter().zip(&self.step).map(|(&j, v)| v * (penalty.l1[j] * sign(b[j]) - self.slope[j]));
        let (pull, size) = pulls.fold((0.0, 0.0), |(sum, size), pull: f64| (sum + pull, size + pull.abs()));
        if pull > 0.0 {
            self.step.iter_mut().for_each(|v| *v = -*v);
        }
        let kink = self.first_kink(penalty, b, f64::INFINITY).filter(|(share, ..)| share.is_finite());
        let Some(kink) = kink.filter(|_| pull.abs() > NO_PULL * size) else { return false };
        self.go(Some(kink), b);
        self.active.truncate(at);
        self.squares.truncate(at);
        self.place(form, b);
        true
    }

    /// Has the factor hold as many of the first active columns as are independent; the next one, if any.
    fn take_regular(&mut self, form: Form<'_>) -> Option<usize> {
        let Self { active, factor, .. } = self;
        factor.truncate(factor.regular(SINGULAR));
        while let Some(&next) = active.get(factor.len()) {
            let column = form.column(next);
            let whole = factor.extend(1, |_, out| out.iter_mut().zip(&*active).for_each(|(o, &i)| *o = column[i]));
            if !whole || factor.regular(SINGULAR) < factor.len() {
                factor.truncate(factor.regular(SINGULAR));
                return Some(next);
            }
        }
        None
    }

    /// Newton steps with the factor until the active columns' slopes are those of the penalty up to `floor`, or one meets
    /// a kink (true).
    fn refine(&mut self, form: Form<'_>, penalty: &ScaledPenalty, b: &mut [f64], floor: f64) -> Option<bool> {
        let mut left = self.rest(penalty, b);
        loop {
            if !self.solve(form, penalty, floor) {
                return None;
            }
            let crossed = self.walk(penalty, b);
            self.place(form, b);
            let now = self.rest(penalty, b);
            if crossed || now <= floor {
                return Some(crossed);
            }
            if now.is_nan() || now > SLOW * left {
                if !self.is_stale {
                    return Some(false);
                }
                self.renew(form, penalty);
                self.rest(penalty, b);
            }
            left = now;
        }
    }

    /// Turns what is left into the Newton step by conjugate gradients, with the factor of `M = A + diag(d)` of another
    /// penalty as their preconditioner: a direction p is made of steps `M^-1 r`, so that `A p = M p - d p` needs no look at
    /// G. As far as `floor`, or as they get on. The conjugate gradients of `inexact` know neither the `M p` that comes with
    /// a direction nor a stop that spares the solve after the last step, and solves are what this costs.
    fn run_on(&mut self, penalty: &ScaledPenalty, floor: f64) {
        let more: Vec<f64> = self.active.iter().zip(&self.squares).map(|(&j, square)| square - penalty.l2[j]).collect();
        let mut rest = std::mem::take(&mut self.step);
        let mut step = vec![0.0; rest.len()];
        let mut left = largest(&rest);
        // a direction and M times it
        let (mut along, mut image) = (rest.clone(), rest.clone());
        self.factor.solve(&mut along);
        let mut size = dot(&rest, &along);
        loop {
            let products = image.iter().zip(along.iter().zip(&more)).map(|(m, (p, d))| m - d * p);
            let products: Vec<f64> = products.collect();
            let share = size / dot(&along, &products);
            if !share.is_finite() || share <= 0.0 {
                break;
            }
            axpy(share, &along, &mut step);
            axpy(-share, &products, &mut rest);
            let now = largest(&rest);
            if now.is_nan() || now <= ENOUGH * floor || now > SLOW * left {
                break;
            }
            left = now;
            let mut next = rest.clone();
            self.factor.solve(&mut next);
            let turn = dot(&rest, &next) / size;
            size *= turn;
            along.iter_mut().zip(&next).for_each(|(p, z)| *p = z + turn * *p);
            image.iter_mut().zip(&rest).for_each(|(m, r)| *m = r + turn * *m);
        }
        self.step = step;
    }

    /// Smallest squared pivot of the factor, 0 for a singular matrix.
    fn pivot(&self) -> f64 {
        let pivot = self.factor.smallest_pivot();
        if self.factor.len() == self.active.len() && pivot > SINGULAR { pivot } else { 0.0 }
    }

    /// Looks which columns are held.
    fn note_free(&mut self, penalty: &ScaledPenalty, b: &[f64]) {
        let held = |((b, l1), (low, high)): ((&f64, &f64), (&f64, &f64))| {
            ((*b == 0.0) & (*l1 > 0.0)) | (b <= low) | (b >= high)
        };
        let columns = b.iter().zip(&penalty.l1).zip(penalty.lower.iter().zip(&penalty.upper));
        self.is_free.clear();
        self.is_free.extend(columns.map(|column| !held(column)));
    }

    /// Factorises `G + diag l2` on the columns that are not held.
    fn renew(&mut self, form: Form<'_>, penalty: &ScaledPenalty) {
        self.is_stale = false;
        self.active.clear();
        self.active.extend((0..form.k).filter(|&j| self.is_free[j]));
        self.is_plain = self.active.iter().all(|&j| penalty.l2[j] == 0.0);
        self.squares.clear();
        self.squares.extend(self.active.iter().map(|&j| penalty.l2[j]));
        let active = &self.active;
        self.factor.refresh(active.len(), form.stride, |a, out| {
            let column = form.column(active[a]);
            out[a..].iter_mut().zip(&active[a..]).for_each(|(o, &i)| *o = column[i]);
            out[a] += penalty.l2[active[a]];
        });
    }

    /// Brings the last factor up to date where its columns are the same but for a few: those before the first that has left
    /// stay. False where too many are not, or where a new one costs less than steps with that of another strength.
    fn update(&mut self, form: Form<'_>, penalty: &ScaledPenalty) -> bool {
        let kept = self.active.iter().take_while(|&&j| self.is_free[j]).count();
        let count = self.is_free.iter().filter(|is_free| **is_free).count();
        let is_plain = self.is_plain && penalty.l2.iter().zip(&self.is_free).all(|(l2, free)| *l2 == 0.0 || !free);
        let is_there = self.factor.len() == self.active.len() && kept > 0;
        if !is_there || count - kept > FEW + kept / 16 || !(is_plain || kept > CHEAP) {
            return false;
        }
        self.factor.truncate(kept);
        self.active.truncate(kept);
        (self.is_plain, self.is_stale) = (is_plain, !is_plain);
        self.is_active.clear();
        self.is_active.resize(form.k, false);
        self.active.iter().for_each(|&j| self.is_active[j] = true);
        self.active.extend((0..form.k).filter(|&j| self.is_free[j] && !self.is_active[j]));
        self.squares.truncate(kept);
        self.squares.extend(self.active[kept..].iter().map(|&j| penalty.l2[j]));
        let Self { active, factor, .. } = self;
        factor.extend(active.len() - kept, |q, out| {
            let column = form.column(active[kept + q]);
            out.iter_mut().zip(&*active).for_each(|(o, &i)| *o = column[i]);
            out[kept + q] += penalty.l2[active[kept + q]];
        })
    }

    /// What the active columns' slopes lack of the penalty's, into `step`; the largest.
    fn rest(&mut self, penalty: &ScaledPenalty, b: &[f64]) -> f64 {
        self.step.clear();
        let of = |j: usize| self.slope[j] - penalty.l2[j] * b[j] - penalty.l1[j] * sign(b[j]);
        self.step.extend(self.active.iter().map(|&j| of(j)));
        self.step.iter().fold(0.0, |a: f64, r| a.max(r.abs()))
    }

    /// Turns that into the Newton step: of a singular system, the shortest one. False where there is none.
    fn solve(&mut self, form: Form<'_>, penalty: &ScaledPenalty, floor: f64) -> bool {
        if self.pivot() > 0.0 {
            if self.is_stale {
                self.run_on(penalty, floor);
            } else {
                self.factor.solve(&mut self.step);
            }
            return true;
        }
        let active = &self.active;
        let entry = |&j: &usize, &i: &usize| form.column(j)[i] + if i == j { penalty.l2[j] } else { 0.0 };
        let hessian: Vec<f64> = active.iter().flat_map(|j| active.iter().map(move |i| entry(j, i))).collect();
        let step = solve_singular(&hessian, &self.step);
        step.map(|step| self.step = step).is_some()
    }

    /// Moves `b` by the step, or to the first place where a column meets a kink or an end of its box, which then holds
    /// it. The objective falls all the way since it is convex.
    fn walk(&self, penalty: &ScaledPenalty, b: &mut [f64]) -> bool {
        let first = self.first_kink(penalty, b, 1.0);
        self.go(first, b);
        first.is_some()
    }

    /// The first kink that a column meets within `reach` steps: how many, which column, and where.
    fn first_kink(&self, penalty: &ScaledPenalty, b: &[f64], reach: f64) -> Option<(f64, usize, f64)> {
        let mut first: Option<(f64, usize, f64)> = None;
        for (&j, step) in self.active.iter().zip(&self.step) {
            if let Some(kink) = kink_between(penalty, j, b[j], b[j] + reach * step) {
                let share = if *step == 0.0 { 0.0 } else { (kink - b[j]) / step };
                first = first.filter(|(least, ..)| *least <= share).or(Some((share, j, kink)));
            }
        }
        first
    }

    /// Moves `b` to a kink, or by the whole step.
    fn go(&self, kink: Option<(f64, usize, f64)>, b: &mut [f64]) {
        let share = kink.map_or(1.0, |(share, ..)| share);
        self.active.iter().zip(&self.step).for_each(|(&j, step)| b[j] += share * step);
        if let Some((_, j, kink)) = kink {
            b[j] = kink;
        }
    }

    fn is_optimal(&self, penalty: &ScaledPenalty, b: &[f64], floor: f64) -> bool {
        let off = |j: usize| penalty.off_at(j, b[j], self.slope[j] - penalty.l2[j] * b[j]);
        (0..b.len()).all(|j| self.is_free[j] || off(j) <= floor)
    }
}

pub(super) fn sign(b: f64) -> f64 {
    if b == 0.0 { 0.0 } else { b.signum() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::factor::padded;

    #[test]
    fn dependent_columns_leave_downhill() {
        // the third column is the sum of the others: it does the work of both at half their price
        let columns = [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]];
        let (k, stride) = (3, padded(3));
        let product = |i: usize, j: usize| columns[i][0] * columns[j][0] + columns[i][1] * columns[j][1];
        let pad = |entry: &dyn Fn(usize) -> f64| (0..stride).map(|i| if i < k { entry(i) } else { 0.0 }).collect();
        let gram: Vec<f64> = (0..k).flat_map(|j| -> Vec<f64> { pad(&|i| product(i, j)) }).collect();
        let linear: Vec<f64> = pad(&|j| 5.0 * columns[j][0] + 4.0 * columns[j][1]);
        let form = Form { k, stride, gram: &gram, linear: &linear };
        let penalty = ScaledPenalty::separable(vec![0.1; k], vec![0.0; k]);
        let mut b = [2.0, 1.0, 3.0];
        let mut descent = Descent::default();
        descent.place(form, &b);
        descent.note_free(&penalty, &b);
        descent.renew(form, &penalty);
        let before = descent.slope.clone();
        assert!(descent.leave_dependence(form, &penalty, &mut b));
        assert!(b.iter().zip([1.0, 0.0, 4.0]).all(|(b, wanted)| (b - wanted).abs() < 1e-12), "{b:?}");
        assert!(before.iter().zip(&descent.slope).all(|(a, b)| (a - b).abs() < 1e-12));
    }
}
