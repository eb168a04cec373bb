//! What the cells of a split begin with, where they have the loss in common: the target's moments, and the rows with all
//! columns at 0.

use crate::design::Design;
use crate::loss::{LossKind, with_loss};
use crate::problem::Cell;
use crate::solver::{Glm, Null};

/// Columns up to which the null position is worth having with the products of all of them.
const MOST_COLUMNS: usize = 512;

/// What cells with the same loss begin with on one split.
pub(crate) struct Start {
    key: Key,
    /// Mean and variance of `y - o`.
    pub(crate) target: (f64, f64),
    /// Mean of the least losses, which the solvers leave out.
    pub(crate) least: f64,
    /// The position with all columns at 0, with sums for every column of the design: if several cells want it.
    pub(crate) null: Option<Null>,
}

/// What a start depends on.
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct Key {
    loss: LossKind,
    n_classes: usize,
    fit_intercept: bool,
    moves_freely: bool,
}

impl Key {
    pub(crate) fn new(cell: &Cell, moves_freely: bool) -> Self {
        Self { loss: cell.loss, n_classes: cell.n_classes, fit_intercept: cell.fit_intercept, moves_freely }
    }
}

impl Start {
    /// For a cell and as many others as are still to come.
    pub(crate) fn new(key: Key, cell: &Cell, design: &Design, n_cells: usize) -> Self {
        let rows = design.y.iter().zip(&design.omega);
        let least = if cell.n_classes > 1 { 0.0 } else { rows.map(|(y, w)| w * cell.loss.least(*y)).sum() };
        let p = design.scale.len();
        let k = cell.columns.as_ref().map_or(p, |columns| columns.len());
        let is_shared = n_cells > 1 && n_cells.saturating_mul(k * k) >= p * p && p <= MOST_COLUMNS;
        let has_null = is_shared && cell.n_classes == 1 && !matches!(cell.loss, LossKind::Quantile(_));
        Self { key, target: target_moments(design), least, null: has_null.then(|| null(key, design)) }
    }

    pub(crate) fn is_of(&self, key: Key) -> bool {
        self.key == key
    }
}

fn null(key: Key, design: &Design) -> Null {
    let columns = (0..design.scale.len()).map(|j| design.column(j)).collect();
    let base = design.offset.clone();
    let Design { y, omega, .. } = design;
    let mean = crate::simd::dot(omega, y);
    with_loss!(key.loss, loss => {
        let intercept = key.fit_intercept.then(|| crate::loss::Loss::null_range(loss, y, mean));
        Glm::start(loss, columns, y, omega, base, intercept, key.moves_freely).into_null()
    })
}

/// Mean and variance of `y - o`.
fn target_moments(design: &Design) -> (f64, f64) {
    let rows = || design.omega.iter().zip(design.y.iter().zip(&design.offset)).map(|(w, (y, o))| (w, y - o));
    let mean: f64 = rows().map(|(w, t)| w * t).sum();
    (mean, rows().map(|(w, t)| w * (t - mean).powi(2)).sum())
}
