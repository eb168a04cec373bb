//! The problem in units of its own: t centred and of size 1, columns that are fixed left out.

use std::sync::Arc;

use super::PinballFit;
use crate::columns::{Column, combine, correlate};
use crate::linalg::Cholesky;
use crate::penalty::{Block, Metric, ScaledPenalty};

/// Squared pivot below which unpenalised columns count as dependent.
const PIVOT_FLOOR: f64 = 1e-11;

/// What takes the problem to its own units and back.
pub struct Frame {
    /// Columns of the request.
    pub n_columns: usize,
    /// Columns that can move.
    pub kept: Vec<usize>,
    /// Taken from t; the quantile of t where there is an intercept.
    pub centre: f64,
    /// Mean size of what is left: t and x are divided by it.
    pub unit: f64,
    /// Level of the quantile.
    pub level: f64,
    /// Whether there is an intercept.
    pub fit_intercept: bool,
}

impl Frame {
    pub fn new(
        columns: &[Column<'_>],
        t: &[f64],
        omega: &[f64],
        fit_intercept: bool,
        level: f64,
        penalty: &ScaledPenalty,
    ) -> Self {
        let centre = if fit_intercept { quantile(t, omega, level) } else { 0.0 };
        let unit = t.iter().zip(omega).map(|(t, w)| w * (t - centre).abs()).sum();
        let moves = |&j: &usize| {
            let pinned = penalty.lower[j] == 0.0 && penalty.upper[j] == 0.0;
            !pinned && (penalty.metric.is_some() || columns[j].dot_abs(omega) > 0.0)
        };
        let kept = (0..columns.len()).filter(moves).collect();
        Self { n_columns: columns.len(), kept, centre, unit, level, fit_intercept }
    }

    /// Whether no column can move, or a constant meets every row.
    pub fn is_constant(&self) -> bool {
        self.kept.is_empty() || self.unit == 0.0
    }

    /// The fit with all columns at 0; certified where nothing else is asked for.
    pub fn constant(&self, t: &[f64], omega: &[f64]) -> PinballFit {
        let residual: Vec<f64> = t.iter().map(|t| t - self.centre).collect();
        let (mut theta, mut met, mut pull) = (vec![0.0; t.len()], 0.0, 0.0);
        for (i, r) in residual.iter().enumerate() {
            if *r == 0.0 {
                met += omega[i];
            } else {
                theta[i] = if *r > 0.0 { self.level } else { self.level - 1.0 };
                pull += omega[i] * theta[i];
            }
        }
        let share = if self.fit_intercept { (-pull / met).clamp(self.level - 1.0, self.level) } else { 0.0 };
        residual.iter().zip(&mut theta).filter(|(r, _)| **r == 0.0).for_each(|(_, theta)| *theta = share);
        PinballFit {
            b: vec![0.0; self.n_columns],
            intercept: self.centre,
            theta,
            gap: if self.is_constant() { 0.0 } else { f64::INFINITY },
            rounding: f64::EPSILON * self.unit,
            loss: mean_loss(&residual, omega, self.level),
            n_iter: 0,
            singular: false,
        }
    }
}

/// Mean pinball loss of residuals.
pub fn mean_loss(residual: &[f64], omega: &[f64], level: f64) -> f64 {
    residual.iter().zip(omega).map(|(r, w)| w * (level * r).max((level - 1.0) * r)).sum()
}

/// The least t up to which the weights make up `level`, but for the rounding of their sum.
fn quantile(t: &[f64], omega: &[f64], level: f64) -> f64 {
    let rounding = t.len() as f64 * f64::EPSILON;
    let mut order: Vec<usize> = (0..t.len()).collect();
    order.sort_unstable_by(|&i, &j| t[i].total_cmp(&t[j]));
    let mut below = 0.0;
    let reaches = |&&i: &&usize| {
        below += omega[i];
        below >= level - rounding
    };
    order.iter().find(reaches).or(order.last()).map_or(0.0, |&i| t[i])
}

/// The problem: rows of the loss first, then one for every column with an L1 weight.
pub struct Problem<'a> {
    /// Columns that can move, then the constant of an intercept.
    pub columns: Vec<Column<'a>>,
    /// Number of rows of the loss.
    pub n: usize,
    /// Number of columns that can move.
    pub k: usize,
    /// Target of every row.
    pub target: Vec<f64>,
    /// Weight of every row.
    pub weight: Vec<f64>,
    /// Columns of the L1 rows, in their order.
    pub l1_columns: Vec<usize>,
    /// Level of the rows of the loss.
    pub level: f64,
    /// Penalty on the columns that can move.
    pub penalty: ScaledPenalty,
    /// `sum_i omega_i |z_i|` of every column: the largest slope that the loss can have.
    pub reach: Vec<f64>,
}

impl<'a> Problem<'a> {
    /// `None` where there is nothing to solve, or a metric that cannot be decomposed.
    pub fn new(
        frame: &Frame,
        columns: &[Column<'a>],
        ones: &'a [f64],
        t: &[f64],
        omega: &[f64],
        penalty: &ScaledPenalty,
    ) -> Option<Self> {
        if frame.is_constant() {
            return None;
        }
        let constant = frame.fit_intercept.then_some(Column::Dense(ones));
        let columns: Vec<Column<'a>> = frame.kept.iter().map(|&j| columns[j]).chain(constant).collect();
        let penalty = in_units(penalty, &frame.kept, frame.unit)?;
        let reach: Vec<f64> = columns.iter().map(|column| column.dot_abs(omega)).collect();
        let l1_columns: Vec<usize> = (0..frame.kept.len()).filter(|&j| penalty.l1[j] > 0.0).collect();
        // twice the reach keeps a coefficient at 0 as surely as any larger weight
        let l1_weights = l1_columns.iter().map(|&j| 2.0 * penalty.l1[j].min(2.0 * reach[j]));
        Some(Self {
            n: t.len(),
            k: frame.kept.len(),
            target: t.iter().map(|t| (t - frame.centre) / frame.unit).chain(l1_columns.iter().map(|_| 0.0)).collect(),
            weight: omega.iter().copied().chain(l1_weights).collect(),
            level: frame.level,
            columns,
            l1_columns,
            penalty,
            reach,
        })
    }

    /// Number of unknowns: columns and intercept.
    pub fn width(&self) -> usize {
        self.columns.len()
    }

    /// Level of a row.
    pub fn level_of(&self, i: usize) -> f64 {
        if i < self.n { self.level } else { 0.5 }
    }

    /// `A x` over all rows.
    pub fn times(&self, x: &[f64]) -> Vec<f64> {
        let mut out = vec![0.0; self.n];
        let all: Vec<usize> = (0..x.len()).collect();
        combine(&self.columns, &all, x, &mut out);
        out.extend(self.l1_columns.iter().map(|&j| x[j]));
        out
    }

    /// `A' Omega v` over all rows.
    pub fn correlate(&self, v: &[f64]) -> Vec<f64> {
        let weighted: Vec<f64> = v.iter().zip(&self.weight).map(|(v, w)| v * w).collect();
        let mut out = correlate(&self.columns, &weighted[..self.n]);
        self.l1_columns.iter().zip(&weighted[self.n..]).for_each(|(&j, v)| out[j] += v);
        out
    }

    /// Gradient of the quadratic terms.
    pub fn quadratic_slope(&self, x: &[f64]) -> Vec<f64> {
        let mut slope = self.penalty.quadratic_slope(&x[..self.k]);
        slope.resize(self.width(), 0.0);
        slope
    }

    /// Adds the quadratic terms to a matrix over columns and intercept.
    pub fn add_quadratic(&self, matrix: &mut [f64]) {
        let d = self.width();
        (0..self.k).for_each(|j| matrix[j * d + j] += self.penalty.l2[j]);
        if let Some((strength, metric)) = &self.penalty.metric {
            for j in 0..self.k {
                (0..self.k).for_each(|i| matrix[j * d + i] += strength * metric.entry(i, j));
            }
        }
    }

    /// Whether there are quadratic terms, which tie dual steps to primal ones.
    pub fn is_quadratic(&self) -> bool {
        self.penalty.metric.is_some() || self.penalty.l2.iter().any(|l2| *l2 > 0.0)
    }

    /// Whether unpenalised unbounded columns (with the constant) depend on each other, judged by a Gram matrix with
    /// positive weights.
    pub fn is_dependent(&self, gram: &[f64]) -> bool {
        let unpenalised = self.penalty.unpenalised();
        let free = |&j: &usize| j >= self.k || (unpenalised[j] && !self.penalty.is_bounded(j));
        let set: Vec<usize> = (0..self.width()).filter(free).collect();
        let part: Vec<f64> = set
            .iter()
            .flat_map(|&j| set.iter().map(move |&i| (i, j)))
            .map(|(i, j)| gram[j * self.width() + i])
            .collect();
        !set.is_empty() && Cholesky::new(&part, set.len()).is_none_or(|factor| factor.smallest_pivot() < PIVOT_FLOOR)
    }

    /// Active blocks on the columns that can move, their weights no larger than what keeps them at 0 for sure.
    pub fn blocks(&self) -> Vec<Block> {
        let mut blocks = self.penalty.blocks.clone();
        blocks.retain(Block::is_active);
        for block in &mut blocks {
            let slopes = block.members.iter().zip(&block.scale).filter(|(_, s)| **s > 0.0);
            let reach = slopes.map(|(&j, s)| (self.reach[j] / s).powi(2)).sum::<f64>().sqrt();
            block.weight = block.weight.min(2.0 * reach);
        }
        blocks
    }
}

/// The penalty of `x = b / unit` divided by `unit`, on some columns; `None` where its metric cannot be decomposed.
fn in_units(penalty: &ScaledPenalty, kept: &[usize], unit: f64) -> Option<ScaledPenalty> {
    let mut scaled = penalty.restrict(kept);
    scaled.l2.iter_mut().for_each(|l2| *l2 *= unit);
    scaled.lower.iter_mut().chain(&mut scaled.upper).for_each(|end| *end /= unit);
    if let Some((strength, metric)) = &penalty.metric {
        scaled.metric = Some((strength * unit, decomposed(metric, kept)?));
    }
    Some(scaled)
}

/// A restricted metric knows its entries alone, a certificate needs its null space.
fn decomposed(metric: &Arc<Metric>, kept: &[usize]) -> Option<Arc<Metric>> {
    if kept.len() == metric.n_columns() {
        return Some(metric.clone());
    }
    let entries = kept.iter().flat_map(|&j| kept.iter().map(move |&i| metric.entry(i, j))).collect();
    Metric::new(entries, kept.len()).map(Arc::new)
}
