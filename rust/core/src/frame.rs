//! How the columns of one cell meet a solver: which may move, in which units, about which centre.

use crate::columns::{Column, combine};
use crate::design::{Design, solver_scale};
use crate::moments::{ColumnStats, Moments};
use crate::penalty::ScaledPenalty;
use crate::problem::Cell;
use crate::solver::Gaussian;

/// Solver coordinates `b_j = (w_j - w0_j) d_j` of the columns that may move.
///
/// `d` is the root mean square that the design divides by, so one matrix serves penalties on raw and on
/// standardised coefficients: the penalised quantity is `w_j s_j` with `s` the standard deviation or 1, hence its
/// weights take the factor `s_j / d_j`.
pub struct Frame {
    /// Columns of the table that may move.
    pub free: Vec<usize>,
    /// Weights at alpha = 1.
    unit: ScaledPenalty,
    scale: Vec<f64>,
    /// Root of each column's share in the norm that a vanishing ridge leaves: `s_j / d_j` times the root of its factor.
    norm: Vec<f64>,
    /// Columns with a centre other than 0.
    center: Vec<(usize, f64)>,
    fit_intercept: bool,
    mean: Vec<f64>,
}

impl Frame {
    /// `target_sd` multiplies the L1 part: minimising over y / sd with weight alpha is minimising over y with
    /// alpha sd on `|w|` and alpha on `w^2`.
    pub fn new(cell: &Cell, stats: &ColumnStats, target_sd: f64) -> Self {
        let all: Vec<usize> = (0..stats.mean.len()).collect();
        let allowed = cell.columns.as_ref().unwrap_or(&all);
        // an unpenalised column is not drawn to its centre: to start there could only be far from the solution
        let has_center = |j: usize| cell.penalty.factor(j) > 0.0 || stats.constant[j];
        let center = allowed.iter().filter(|&&j| has_center(j)).map(|&j| (j, cell.penalty.center_of(j)));
        let center = center.filter(|(_, c)| *c != 0.0);
        let mut frame = Self {
            free: vec![],
            unit: ScaledPenalty::default(),
            scale: vec![],
            norm: vec![],
            center: center.collect(),
            fit_intercept: cell.fit_intercept,
            mean: stats.mean.clone(),
        };
        for &j in allowed {
            frame.admit(j, cell, stats, target_sd);
        }
        frame
    }

    /// Lets column j move unless its factor pins it, or it cannot be told from the intercept or from 0.
    fn admit(&mut self, j: usize, cell: &Cell, stats: &ColumnStats, target_sd: f64) {
        let factor = cell.penalty.factor(j);
        let spread = if stats.constant[j] { 0.0 } else { stats.sd[j] };
        let shift = if self.fit_intercept { 0.0 } else { stats.mean[j] };
        let flat = spread == 0.0 && (cell.standardize || shift == 0.0);
        if flat || factor == f64::INFINITY {
            return;
        }
        let scale = solver_scale(stats.sd[j], shift);
        let unit = if cell.standardize { spread } else { 1.0 } / scale;
        let ratio = cell.penalty.l1_ratio();
        self.free.push(j);
        self.scale.push(scale);
        self.norm.push(unit * if factor > 0.0 { factor.sqrt() } else { 1.0 });
        self.unit.l1.push(ratio * factor * unit * target_sd);
        self.unit.l2.push((1.0 - ratio) * factor * unit * unit);
    }

    /// Weights of the norm that is least among equally good unpenalised fits.
    pub fn norm(&self) -> &[f64] {
        &self.norm
    }

    /// Penalty weights at one strength.
    pub fn penalty(&self, alpha: f64) -> ScaledPenalty {
        let times = |unit: &[f64]| unit.iter().map(|u| alpha * u).collect();
        ScaledPenalty::separable(times(&self.unit.l1), times(&self.unit.l2))
    }

    /// Local numbers of the columns with factor 0.
    pub fn unpenalised(&self) -> Vec<usize> {
        (0..self.free.len()).filter(|&j| self.unit.l1[j] == 0.0 && self.unit.l2[j] == 0.0).collect()
    }

    /// Least strength at which all penalised columns stay at the centre, given the slopes there. A pure L2
    /// penalty has none: its L1 share is floored at 1e-3, as glmnet does.
    pub fn alpha_max(&self, slope: &[f64], cell: &Cell, target_sd: f64) -> f64 {
        const FLOOR: f64 = 1e-3;
        let ratio = cell.penalty.l1_ratio();
        let weight = |j: usize| match ratio >= FLOOR {
            true => self.unit.l1[j],
            // the L2 weight holds the square of s / d
            false => FLOOR * (self.unit.l2[j] * cell.penalty.factor(self.free[j]) / (1.0 - ratio)).sqrt() * target_sd,
        };
        let needed = (0..slope.len())
            .filter(|&j| !(self.unit.l1[j] == 0.0 && self.unit.l2[j] == 0.0))
            .map(|j| slope[j].abs() / weight(j));
        needed.fold(0.0, f64::max)
    }

    /// Coefficients of all columns in original units.
    pub fn coef(&self, b: &[f64]) -> Vec<f64> {
        let mut coef = vec![0.0; self.mean.len()];
        self.center.iter().for_each(|&(j, center)| coef[j] = center);
        for ((&j, scale), b) in self.free.iter().zip(&self.scale).zip(b) {
            coef[j] += b / scale;
        }
        coef
    }

    /// Intercept in original units from that of centred columns.
    pub fn intercept(&self, centred: f64, coef: &[f64]) -> f64 {
        if self.fit_intercept { centred - crate::simd::dot(&self.mean, coef) } else { 0.0 }
    }

    /// Training mean of column j, which stands for its missing values.
    pub fn mean_of(&self, j: usize) -> f64 {
        self.mean[j]
    }

    /// `o_i + (x_i - mean)' w0` on the rows of a design.
    pub fn base(&self, design: &Design) -> Vec<f64> {
        let mut base = design.offset.clone();
        let columns: Vec<Column<'_>> = self.center.iter().map(|(j, _)| design.column(*j)).collect();
        let moves: Vec<f64> = self.center.iter().map(|(j, center)| center * design.scale[*j]).collect();
        let all: Vec<usize> = (0..columns.len()).collect();
        combine(&columns, &all, &moves, &mut base);
        base
    }

    /// The squared loss of these columns on moments.
    pub fn gaussian(&self, moments: &Moments) -> Gaussian {
        let target = moments.n_columns();
        let shift = |j: usize| if self.fit_intercept { 0.0 } else { moments.mean[j] };
        let product = |i: usize, j: usize| moments.cross_of(i, j) / moments.weight + shift(i) * shift(j);
        // cross-product of a column with y - o - X w0
        let residual = |i: usize| product(i, target) - self.center.iter().map(|(j, c)| product(i, *j) * c).sum::<f64>();
        let square = residual(target) - self.center.iter().map(|(j, c)| residual(*j) * c).sum::<f64>();
        let linear = self.free.iter().zip(&self.scale).map(|(&j, d)| residual(j) / d).collect();
        let mut gram = Vec::with_capacity(self.free.len().pow(2));
        for (&j, dj) in self.free.iter().zip(&self.scale) {
            gram.extend(self.free.iter().zip(&self.scale).map(|(&i, di)| product(i, j) / (di * dj)));
        }
        Gaussian::new(gram, linear, square.max(0.0))
    }
}
