//! A loss on the rows of a design.

use super::{Dual, Model, PIVOT_FLOOR};
use crate::linalg::{Cholesky, least_squares, weighted_gram};
use crate::loss::{Loss, Terms};
use crate::simd::{axpy, dot, dot_pair, multiply};

/// Mean curvature below which its digits are gone.
const SMALLEST_CURVATURE: f64 = 1e-150;

/// Mean loss of `eta = base + b + Z w` over rows with weights `omega` (sum 1).
pub struct Glm<'a, L> {
    loss: L,
    columns: Vec<&'a [f64]>,
    y: &'a [f64],
    omega: &'a [f64],
    fit_intercept: bool,
    intercept: f64,
    eta: Vec<f64>,
    residual: Vec<f64>,
    curvature: Vec<f64>,
    value: f64,
    /// `Z' Omega r` and `Z' Omega W 1` at the position.
    slope: Vec<f64>,
    cross: Vec<f64>,
    system: InterceptSystem,
    /// The prepared move of eta, where it starts, and the share of it that the rows stand at.
    step: Vec<f64>,
    origin: Vec<f64>,
    share: f64,
    intercept_step: f64,
}

/// What eliminating the intercept left behind: `Z' Omega W 1`, `1' Omega W 1` and `1' Omega r`.
#[derive(Default)]
struct InterceptSystem {
    cross: Vec<f64>,
    curvature: f64,
    slope: f64,
}

impl InterceptSystem {
    /// The intercept's best answer to a move of the columns.
    fn answer(&self, direction: &[f64]) -> f64 {
        if self.curvature > 0.0 { (self.slope - dot(&self.cross, direction)) / self.curvature } else { 0.0 }
    }
}

impl<'a, L: Loss> Glm<'a, L> {
    /// Starts at 0 on the columns and at the best intercept for that; `intercept` is the best one without `base`.
    pub fn new(
        loss: L,
        columns: Vec<&'a [f64]>,
        y: &'a [f64],
        omega: &'a [f64],
        base: Vec<f64>,
        intercept: Option<f64>,
    ) -> Self {
        let n = y.len();
        let start = intercept.map_or(0.0, |null| best_intercept(loss, y, omega, &base, null));
        let mut model = Self {
            loss,
            columns,
            y,
            omega,
            fit_intercept: intercept.is_some(),
            intercept: start,
            eta: base.iter().map(|o| o + start).collect(),
            residual: vec![0.0; n],
            curvature: vec![0.0; n],
            value: 0.0,
            slope: vec![],
            cross: vec![],
            system: InterceptSystem::default(),
            step: vec![0.0; n],
            origin: vec![0.0; n],
            share: 0.0,
            intercept_step: 0.0,
        };
        model.refresh();
        model.correlate_terms();
        model
    }

    /// Moves from 0 to `b` on the columns, and to the local model's best intercept for it.
    pub fn place(&mut self, b: &[f64]) {
        let all: Vec<usize> = (0..b.len()).collect();
        self.newton_system(&all);
        self.aim(&all, b);
        self.advance(1.0);
    }

    /// Least-squares coefficients of the residuals on free columns by singular values, for dependent ones.
    fn project_by_svd(&self, free: &[usize]) -> Option<Vec<f64>> {
        let n = self.y.len();
        let weights = self.weighted(&self.curvature);
        let total: f64 = weights.iter().sum();
        let centre = |values: &[f64]| if self.fit_intercept { dot(values, &weights) / total } else { 0.0 };
        let mut a = Vec::with_capacity(n * free.len());
        for &j in free {
            let mean = centre(self.columns[j]);
            a.extend(self.columns[j].iter().zip(&weights).map(|(z, w)| (z - mean) * w.sqrt()));
        }
        let working: Vec<f64> = self.residual.iter().zip(&self.curvature).map(|(r, h)| r / h).collect();
        let mean = centre(&working);
        let b: Vec<f64> = working.iter().zip(&weights).map(|(t, w)| (t - mean) * w.sqrt()).collect();
        least_squares(&a, n, free.len(), &b).map(|fit| fit.x).filter(|c| c.iter().all(|v| v.is_finite()))
    }

    /// Whether nothing of the residuals' correlation with the unpenalised directions is left in `theta`.
    fn is_projected(&self, free: &[usize], theta: &[f64], correlation: &[f64]) -> bool {
        const LEFT: f64 = 1e-8;
        let size: Vec<f64> = self.residual.iter().zip(self.omega).map(|(r, w)| w * r.abs()).collect();
        let of_column = |j: usize| self.columns[j].iter().zip(&size).map(|(z, s)| z.abs() * s).sum::<f64>();
        let of_intercept = !self.fit_intercept || dot(self.omega, theta).abs() <= LEFT * size.iter().sum::<f64>();
        of_intercept && free.iter().all(|&j| correlation[j].abs() <= LEFT * of_column(j))
    }

    /// Terms of every row at the present eta.
    fn refresh(&mut self) {
        // sums of sums of blocks, whose rounding does not grow with the number of rows
        const BLOCK: usize = 256;
        let mut total = 0.0;
        for start in (0..self.y.len()).step_by(BLOCK) {
            let mut sum = 0.0;
            for i in start..(start + BLOCK).min(self.y.len()) {
                let Terms { value, residual, curvature } = self.loss.terms(self.y[i], self.eta[i]);
                sum += self.omega[i] * value;
                self.residual[i] = residual;
                self.curvature[i] = curvature;
            }
            total += sum;
        }
        self.value = total;
    }

    /// What every step and certificate at the position needs of the columns.
    fn correlate_terms(&mut self) {
        let (residual, curvature) = (self.weighted(&self.residual), self.weighted(&self.curvature));
        let pairs = self.columns.iter().map(|column| dot_pair(column, &residual, &curvature));
        (self.slope, self.cross) = pairs.unzip();
    }

    fn weighted(&self, values: &[f64]) -> Vec<f64> {
        let mut out = vec![0.0; values.len()];
        multiply(values, self.omega, &mut out);
        out
    }

    fn correlate(&self, values: &[f64]) -> Vec<f64> {
        self.columns.iter().map(|column| dot(column, values)).collect()
    }

    /// `Z d` on a set of columns.
    fn combine(&self, set: &[usize], direction: &[f64], out: &mut [f64]) {
        for (&j, d) in set.iter().zip(direction).filter(|(_, d)| **d != 0.0) {
            axpy(*d, self.columns[j], out);
        }
    }
}

impl<L: Loss> Model for Glm<'_, L> {
    fn n_columns(&self) -> usize {
        self.columns.len()
    }

    fn loss(&self) -> f64 {
        self.value
    }

    fn gradient(&mut self) -> Vec<f64> {
        self.slope.clone()
    }

    fn newton_system(&mut self, set: &[usize]) -> (Vec<f64>, Vec<f64>) {
        let columns: Vec<&[f64]> = set.iter().map(|&j| self.columns[j]).collect();
        let mut weights = self.weighted(&self.curvature);
        // where every row's curvature has underflowed, the slope is all that is known of a direction
        if weights.iter().sum::<f64>() < SMALLEST_CURVATURE {
            weights = self.omega.iter().map(|omega| omega * SMALLEST_CURVATURE).collect();
        }
        let roots: Vec<f64> = weights.iter().map(|w| w.sqrt()).collect();
        let mut gram = weighted_gram(&columns, &roots);
        let mut linear: Vec<f64> = set.iter().map(|&j| self.slope[j]).collect();
        if self.fit_intercept {
            let cross: Vec<f64> = set.iter().map(|&j| self.cross[j]).collect();
            let (curvature, slope) = (weights.iter().sum::<f64>(), dot(self.omega, &self.residual));
            if curvature > 0.0 {
                for (j, share) in cross.iter().map(|c| c / curvature).enumerate() {
                    axpy(-share, &cross, &mut gram[j * set.len()..(j + 1) * set.len()]);
                    linear[j] -= share * slope;
                }
            }
            self.system = InterceptSystem { cross, curvature, slope };
        }
        (gram, linear)
    }

    fn aim(&mut self, set: &[usize], direction: &[f64]) {
        self.intercept_step = if self.fit_intercept { self.system.answer(direction) } else { 0.0 };
        let mut step = std::mem::take(&mut self.step);
        step.fill(self.intercept_step);
        self.combine(set, direction, &mut step);
        self.step = step;
        self.origin.clone_from(&self.eta);
        self.share = 0.0;
    }

    fn first_share(&self) -> f64 {
        let largest = |values: &[f64]| values.iter().fold(0.0, |a: f64, v| a.max(v.abs()));
        let (longest, allowed) = (largest(&self.step), self.loss.longest_step().max(2.0 * largest(&self.eta)));
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
        if self.share != t {
            self.loss_at(t);
        }
        self.intercept += t * self.intercept_step;
        self.correlate_terms();
    }

    /// `theta = r - W Z c` with `Z' Omega W Z c = Z' Omega r`.
    fn dual(&mut self, free: &[usize]) -> Option<Dual> {
        let (gram, mut c) = self.newton_system(free);
        if self.fit_intercept && self.system.curvature == 0.0 {
            return None;
        }
        if !free.is_empty() {
            match Cholesky::new(&gram, free.len()).filter(|factor| factor.smallest_pivot() > PIVOT_FLOOR) {
                Some(factor) => factor.solve(&mut c),
                None => c = self.project_by_svd(free)?,
            }
        }
        let shift = if self.fit_intercept { self.system.answer(&c) } else { 0.0 };
        let mut fitted = vec![shift; self.y.len()];
        self.combine(free, &c, &mut fitted);
        let rows = self.residual.iter().zip(self.curvature.iter().zip(&fitted));
        let theta: Vec<f64> = rows.map(|(r, (w, f))| r - w * f).collect();
        let correlation = match free {
            // Z' Omega (r - shift W 1), without another pass over the rows
            [] => self.slope.iter().zip(&self.cross).map(|(s, c)| s - shift * c).collect(),
            _ => self.correlate(&self.weighted(&theta)),
        };
        if !self.is_projected(free, &theta, &correlation) {
            return None;
        }
        let scales = self.y.iter().zip(&theta).map(|(y, t)| self.loss.feasible_scale(*y, *t));
        let scale = scales.fold(1.0, f64::min);
        Some(Dual { theta, correlation, scale, squares: (0.0, 0.0) })
    }

    fn loss_gap(&self, dual: &Dual, s: f64) -> f64 {
        let bracket = |i: usize| self.loss.fenchel(self.y[i], self.eta[i], self.residual[i], s * dual.theta[i]);
        (0..self.y.len()).map(|i| self.omega[i] * bracket(i)).sum()
    }

    fn intercept(&self) -> f64 {
        self.intercept
    }

    fn attains_zero(&self) -> bool {
        self.loss.attains_zero()
    }
}

/// Root of `sum_i omega_i L'(y_i, base_i + b)`, which rises in b.
///
/// Newton's method within a bracket: with `null` the root for base 0, all predictions lie above those of `null` at
/// `null - min(base)` and below them at `null - max(base)`.
fn best_intercept<L: Loss>(loss: L, y: &[f64], omega: &[f64], base: &[f64], null: f64) -> f64 {
    let (lowest, highest) = base.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), b| (l.min(*b), h.max(*b)));
    let (mut low, mut high) = (null - highest, null - lowest);
    let mut b = null - dot(omega, base);
    for _ in 0..200 {
        if high - low <= 4.0 * f64::EPSILON * b.abs().max(1.0) {
            break;
        }
        let (mut slope, mut curvature) = (0.0, 0.0);
        for ((y, omega), base) in y.iter().zip(omega).zip(base) {
            let terms = loss.terms(*y, base + b);
            slope += omega * terms.residual;
            curvature += omega * terms.curvature;
        }
        if slope > 0.0 {
            low = b
        } else {
            high = b
        }
        let newton = b + slope / curvature;
        let inside = newton > low && newton < high;
        let next = if inside { newton } else { 0.5 * (low + high) };
        if (next - b).abs() <= 4.0 * f64::EPSILON * b.abs() {
            break;
        }
        b = next;
    }
    b
}
