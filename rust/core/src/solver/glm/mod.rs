//! A loss on the rows of a design.

mod dual;
mod intercept;
mod wide;

use std::borrow::Cow;
use std::ops::Range;

use self::intercept::{InterceptSystem, best_intercept};
use self::wide::Wide;
use super::pass::{Pass, mean_terms};
use super::sums::Sums;
use super::{Dual, GRAM_LIMIT, Model, NEGLIGIBLE_MOVE};
use crate::blocks;
use crate::columns::{Column, centred_gram, correlate, gram};
use crate::loss::{Loss, rows};
use crate::penalty::{Directions, ScaledPenalty};
use crate::simd::{axpy, dot, largest, multiply, sum};

/// Mean curvature below which its digits are gone.
const SMALLEST_CURVATURE: f64 = 1e-150;

/// Part of the loss that the square of a Newton step makes, in the metric of the curvature, where the next one is too
/// small to matter.
const NEAR: f64 = 1e-6;

/// Mean loss of `eta = base + b + Z w` over rows with weights `omega` (sum 1).
#[derive(Clone)]
pub struct Glm<'a, L> {
    loss: L,
    columns: Vec<Column<'a>>,
    y: &'a [f64],
    omega: &'a [f64],
    fit_intercept: bool,
    intercept: f64,
    eta: Vec<f64>,
    residual: Vec<f64>,
    curvature: Vec<f64>,
    /// Sums over the rows where they stand; of products with columns only if `is_correlated`.
    sums: Sums,
    is_correlated: bool,
    system: InterceptSystem,
    /// Whether steps take the majorising parabola in place of the curvature.
    majorising: bool,
    /// The prepared move of eta, where it starts, and the share of it that the rows stand at.
    step: Vec<f64>,
    origin: Vec<f64>,
    share: f64,
    intercept_step: f64,
    /// `max |eta|` where the prepared move starts.
    furthest: f64,
    /// Whether all columns stand at 0, and the intercept where it is best for that.
    is_null: bool,
    /// Whether all columns will move at once, towards a place where nothing holds them.
    moves_freely: bool,
    wide: Wide<'a>,
}

/// A position with all columns at 0, and sums for these columns, from which models of some of them start.
#[derive(Clone)]
pub struct Null {
    intercept: f64,
    eta: Vec<f64>,
    residual: Vec<f64>,
    curvature: Vec<f64>,
    sums: Sums,
}

impl Null {
    /// With nothing known but the intercept.
    fn unknown(intercept: f64, n_rows: usize) -> Self {
        let [eta, residual, curvature] = [(); 3].map(|()| vec![0.0; n_rows]);
        Self { intercept, eta, residual, curvature, sums: Sums::default() }
    }
}

impl<'a, L: Loss> Glm<'a, L> {
    /// Starts at 0 on the columns and at the best intercept for that; `intercept` holds the best one without `base`.
    /// `moves_freely` for penalties that are smooth on all of space.
    pub fn new(
        loss: L,
        columns: Vec<Column<'a>>,
        (y, omega): (&'a [f64], &'a [f64]),
        base: Vec<f64>,
        intercept: Option<(f64, f64)>,
        moves_freely: bool,
    ) -> Self {
        let start = intercept.map_or(0.0, |null| best_intercept(loss, y, omega, &base, null));
        let mut model =
            Self::at((loss, intercept.is_some()), columns, (y, omega), Null::unknown(start, y.len()), moves_freely);
        model.origin = base;
        model.pass(Some((&[], start)), 1.0, moves_freely && model.columns.len() <= GRAM_LIMIT);
        model
    }

    /// The position that a model has just started at.
    pub fn into_null(self) -> Null {
        let Self { intercept, eta, residual, curvature, sums, .. } = self;
        Null { intercept, eta, residual, curvature, sums }
    }

    /// Starts with some of the columns that a null position has sums for, `set` of them.
    pub fn at_null(
        kind: (L, bool),
        (columns, set): (Vec<Column<'a>>, &[usize]),
        rows: (&'a [f64], &'a [f64]),
        null: &Null,
        moves_freely: bool,
    ) -> Self {
        let sums = null.sums.on(set, moves_freely && null.sums.has_gram);
        Self::at(kind, columns, rows, Null { sums, ..null.clone() }, moves_freely)
    }

    /// At a position whose sums are those of the columns.
    fn at(
        (loss, fit_intercept): (L, bool),
        columns: Vec<Column<'a>>,
        (y, omega): (&'a [f64], &'a [f64]),
        null: Null,
        moves_freely: bool,
    ) -> Self {
        let Null { intercept, eta, residual, curvature, sums } = null;
        let n = y.len();
        Self {
            loss,
            columns,
            y,
            omega,
            fit_intercept,
            intercept,
            eta,
            residual,
            curvature,
            sums,
            is_correlated: true,
            system: InterceptSystem::default(),
            majorising: false,
            step: vec![0.0; n],
            origin: vec![0.0; n],
            share: 1.0,
            intercept_step: 0.0,
            is_null: true,
            moves_freely,
            furthest: 0.0,
            wide: Wide::default(),
        }
    }

    /// Moves from 0 to `b` on the columns, and to the local model's best intercept for it.
    pub fn place(&mut self, b: &[f64]) {
        let all: Vec<usize> = (0..b.len()).collect();
        self.is_null = false;
        if self.fit_intercept {
            let cross = all.iter().map(|&j| self.sums.cross(j)).collect();
            self.eliminate(self.sums.weight, cross, &mut self.sums.slopes());
        }
        self.aim(&all, b);
        self.advance(1.0);
    }

    /// Hessian and slope on `columns` for rows that weigh `weights`, with the intercept eliminated; remembers what that
    /// left behind.
    fn condense(
        &mut self,
        columns: &[Column<'_>],
        weights: &[f64],
        mut slope: Vec<f64>,
        cross: Vec<f64>,
    ) -> (Vec<f64>, Vec<f64>) {
        let (mut weights, mut curvature) = (Cow::Borrowed(weights), sum(weights));
        // where every row's curvature has underflowed, the slope is all that is known of a direction
        if curvature < SMALLEST_CURVATURE {
            weights = self.omega.iter().map(|omega| omega * SMALLEST_CURVATURE).collect();
            curvature = sum(&weights);
        }
        if !self.fit_intercept {
            return (gram(columns, &weights), slope);
        }
        self.eliminate(curvature, cross, &mut slope);
        (centred_gram(columns, &weights), slope)
    }

    /// Hessian on the columns of `set`, the intercept eliminated, from the sums of the last pass; none where these lack
    /// the digits, or were not asked for.
    fn summed_hessian(&self, set: &[usize]) -> Option<Vec<f64>> {
        /// Part of a column's square that has to be left when its mean is taken away.
        const LEFT: f64 = 0.1;
        let sums = &self.sums;
        if !sums.has_gram || sums.weight < SMALLEST_CURVATURE {
            return None;
        }
        let share = if self.fit_intercept { sums.weight.recip() } else { 0.0 };
        let m = set.len();
        let mut hessian = vec![0.0; m * m];
        for (b, &j) in set.iter().enumerate() {
            let mean = share * sums.cross(j);
            for (a, &i) in set.iter().enumerate().skip(b) {
                let entry = sums.gram(i, j) - sums.cross(i) * mean;
                (hessian[b * m + a], hessian[a * m + b]) = (entry, entry);
            }
            if hessian[b * m + b] < LEFT * sums.gram(j, j) {
                return None;
            }
        }
        Some(hessian)
    }

    /// Takes the intercept's part from a slope.
    fn eliminate(&mut self, curvature: f64, cross: Vec<f64>, slope: &mut [f64]) {
        let along = self.sums.pull;
        if curvature > 0.0 {
            axpy(-along / curvature, &cross, slope);
        }
        self.system = InterceptSystem { cross, curvature, slope: along };
    }

    fn majorants(&self) -> Vec<f64> {
        self.y.iter().zip(&self.eta).map(|(y, eta)| self.loss.majorant(*y, *eta)).collect()
    }

    /// Takes the rows to a share of a step from their origin: of the one made of this direction, or of the prepared one.
    fn pass(&mut self, direction: Option<(&[f64], f64)>, share: f64, with_gram: bool) {
        let Self { loss, columns, y, omega, origin, step, eta, residual, curvature, fit_intercept, .. } = self;
        let with_cross = *fit_intercept;
        let pass = Pass { loss: *loss, columns, y, omega, origin, direction, share, with_gram, with_cross };
        self.sums = pass.run([step, eta, residual, curvature]);
        (self.share, self.is_correlated) = (share, true);
    }

    /// Terms of every row at the present eta, without products with columns.
    fn refresh(&mut self) {
        let out = [&mut self.residual[..], &mut self.curvature];
        self.sums.value = mean_terms(self.loss, (self.y, self.omega), &self.eta, out);
        self.is_correlated = false;
    }

    /// Share of a step with which to begin, and by how much more to move eta.
    fn first_move(&self, direction: &[f64]) -> (f64, f64) {
        if !(self.is_null && self.moves_freely && self.sums.has_gram) || direction.len() != self.columns.len() {
            return (1.0, 0.0);
        }
        let spread = self.square_of(direction) / self.sums.weight;
        let center = dot(self.omega, &self.eta);
        let (share, shift) = self.loss.first_move(center, spread);
        (share, if self.fit_intercept { shift } else { 0.0 })
    }

    /// Whether a Newton step leads so close to the solution that it will be the last.
    fn is_near(&self, direction: &[f64]) -> bool {
        self.sums.has_gram && self.square_of(direction) < NEAR * self.sums.value
    }

    /// `Z' Omega (r - shift W 1)`.
    fn correlation(&self, shift: f64) -> Vec<f64> {
        (0..self.columns.len()).map(|j| self.sums.slope(j) - shift * self.sums.cross(j)).collect()
    }

    /// `(Z d + s)' Omega W (Z d + s)` for the move d of all columns and the step s of the intercept.
    fn square_of(&self, d: &[f64]) -> f64 {
        let (sums, s) = (&self.sums, self.intercept_step);
        let of_column = |j: usize| {
            let before: f64 = (0..j).map(|i| 2.0 * sums.gram(i, j) * d[i]).sum();
            d[j] * (before + sums.gram(j, j) * d[j] + 2.0 * s * sums.cross(j))
        };
        s * s * sums.weight + (0..d.len()).map(of_column).sum::<f64>()
    }

    fn weighted(&self, values: &[f64]) -> Vec<f64> {
        let mut out = vec![0.0; values.len()];
        multiply(values, self.omega, &mut out);
        out
    }
}

impl<'a, L: Loss> Model for Glm<'a, L> {
    fn n_columns(&self) -> usize {
        self.columns.len()
    }

    fn loss(&self) -> f64 {
        self.sums.value
    }

    fn gradient(&mut self) -> Vec<f64> {
        self.sums.slopes()
    }

    fn newton_system(&mut self, set: &[usize]) -> (Vec<f64>, Vec<f64>) {
        let columns: Vec<Column<'_>> = set.iter().map(|&j| self.columns[j]).collect();
        let mut slope: Vec<f64> = set.iter().map(|&j| self.sums.slope(j)).collect();
        if self.majorising {
            let weights = self.weighted(&self.majorants());
            let cross = correlate(&columns, &weights);
            return self.condense(&columns, &weights, slope, cross);
        }
        let cross = set.iter().map(|&j| self.sums.cross(j)).collect();
        if let Some(hessian) = self.summed_hessian(set) {
            if self.fit_intercept {
                self.eliminate(self.sums.weight, cross, &mut slope);
            }
            return (hessian, slope);
        }
        let weights = self.weighted(&self.curvature);
        self.condense(&columns, &weights, slope, cross)
    }

    fn descend(
        &mut self,
        set: &[usize],
        penalty: &ScaledPenalty,
        start: &[f64],
        accuracy: f64,
    ) -> Option<(Vec<f64>, Vec<f64>)> {
        self.descend_on_rows(set, penalty, start, accuracy)
    }

    fn is_quadratic(&self) -> bool {
        L::IS_SQUARE
    }

    fn leap(&mut self, penalty: &ScaledPenalty, b: &mut [f64], _tol: f64) -> Option<bool> {
        self.leap_on_pack(penalty, b)
    }

    fn expect(&mut self, moves: impl Iterator<Item = f64>) {
        self.note_expected(moves);
    }

    fn narrow(&mut self, set: &[usize]) -> bool {
        self.keep_only(set)
    }

    fn widen(&mut self) {
        self.take_back();
    }

    /// The rows go where the line search will begin: mostly it ends there.
    fn aim(&mut self, set: &[usize], direction: &[f64]) {
        self.intercept_step = if self.fit_intercept { self.system.answer(direction) } else { 0.0 };
        let (share, shift) = self.first_move(direction);
        self.intercept_step += shift / share;
        let mut of_all = vec![0.0; self.columns.len()];
        set.iter().zip(direction).for_each(|(&j, d)| of_all[j] = *d);
        let (k, is_constant) = (self.columns.len(), L::IS_SQUARE);
        let moves_most = 4 * set.len() > 3 * k && k <= GRAM_LIMIT;
        let with_gram = moves_most && !is_constant && !self.majorising && !self.is_near(&of_all);
        self.furthest = self.sums.largest_eta;
        std::mem::swap(&mut self.origin, &mut self.eta);
        self.pass(Some((&of_all, self.intercept_step)), share, with_gram);
    }

    fn first_share(&self) -> f64 {
        let (longest, allowed) = (self.sums.largest_step, self.loss.longest_step().max(2.0 * self.furthest));
        if self.share * longest > allowed { allowed / longest } else { self.share }
    }

    fn loss_at(&mut self, t: f64) -> f64 {
        if self.share != t {
            self.eta.clone_from(&self.origin);
            axpy(t, &self.step, &mut self.eta);
            self.share = t;
            self.refresh();
        }
        self.sums.value
    }

    fn advance(&mut self, t: f64) {
        if self.share != t || !self.is_correlated {
            self.pass(None, t, false);
        }
        self.intercept += t * self.intercept_step;
        self.is_null = false;
    }

    /// With `theta = r - shift W` the rows' share of the gap is at most `shift^2 1' Omega W 1`, see
    /// [`Loss::has_chi_square_bound`]. Where that is nothing to the loss, there is no need for a pass over them.
    fn short_gap(&self, penalty: &ScaledPenalty, b: &[f64], far: f64) -> Option<f64> {
        const NOTHING: f64 = 1e-13;
        let weight = self.sums.weight;
        if !self.loss.has_chi_square_bound() || weight < SMALLEST_CURVATURE {
            return None;
        }
        let shift = if self.fit_intercept { self.sums.pull / weight } else { 0.0 };
        if shift.abs() > 0.5 {
            return None;
        }
        let (scale, of_penalty) = penalty.plain_fenchel(b, &self.correlation(shift), self.rounding())?;
        let of_rows = shift * shift * weight;
        (scale == 1.0 && (of_penalty > far || of_rows <= NOTHING * self.sums.value)).then_some(of_penalty + of_rows)
    }

    fn dual(&mut self, free: &Directions) -> Option<Dual> {
        self.projected(free)
    }

    fn loss_gap(&self, dual: &Dual, s: f64) -> f64 {
        let of_block = |block: Range<usize>| {
            let [y, eta, omega, residual, theta] =
                [self.y, &self.eta, self.omega, &self.residual, &dual.theta].map(|values| &values[block.clone()]);
            rows::gap(self.loss, y, eta, omega, residual, theta, s)
        };
        blocks::blocks(self.y.len(), of_block).iter().sum()
    }

    fn intercept(&self) -> f64 {
        self.intercept
    }

    fn intercept_slope(&self) -> f64 {
        if self.fit_intercept { self.sums.pull.abs() } else { 0.0 }
    }

    /// That of sums of residuals, and what the rounding of eta moves them by.
    fn rounding(&self) -> f64 {
        1e-13 * self.sums.pull_size + 4.0 * f64::EPSILON * self.sums.largest_eta * self.sums.weight
    }

    /// `sum_i omega_i W_i eta_i^2 / 2`, with `1 + eta_i^2` under a log link, where eta has no units.
    fn size(&self) -> f64 {
        let floor = if self.loss.largest_eta().is_finite() { 1.0 } else { 0.0 };
        let row = |i: usize| 0.5 * self.omega[i] * self.curvature[i] * (floor + self.eta[i] * self.eta[i]);
        (0..self.y.len()).map(row).sum()
    }

    fn overflows(&self) -> bool {
        let largest = self.loss.largest_eta();
        !self.sums.value.is_finite() || self.eta.iter().any(|eta| eta.abs() > largest)
    }

    fn majorise(&mut self, on: bool) {
        self.majorising = on;
    }

    fn attains_least(&self) -> bool {
        self.y.iter().all(|y| self.loss.attains_least(*y))
    }

    fn recedes(&self) -> bool {
        let largest = largest(&self.step);
        let unit = |d: f64| if d.abs() < NEGLIGIBLE_MOVE * largest { 0.0 } else { d / largest };
        let rows = || (0..self.y.len()).filter(|&i| largest > 0.0 && self.omega[i] > 0.0);
        let falls = |i: usize| {
            let (y, eta) = (self.y[i], self.origin[i]);
            self.loss.value(y, eta + unit(self.step[i])) < self.loss.value(y, eta)
        };
        rows().all(|i| self.loss.recedes(self.y[i], unit(self.step[i]))) && rows().any(falls)
    }
}
