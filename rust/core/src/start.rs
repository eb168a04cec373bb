//! What the cells of a split begin with, where they have the loss in common: the target's moments, and the rows with all
//! columns at 0.

use crate::design::Design;
use crate::loss::{LossKind, with_loss};
use crate::problem::Cell;
use crate::solver::{FUSED, Glm, Null};

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
        // sparse columns take another route, with other rounding, than those without any beside them
        let is_dense = (0..p).all(|j| !design.column(j).is_sparse());
        let is_shared = is_dense && n_cells > 1 && n_cells.saturating_mul(k * k) >= p * p && p <= FUSED;
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
        Glm::new(loss, columns, (y, omega), base, intercept, key.moves_freely).into_null()
    })
}

/// Mean and variance of `y - o`.
fn target_moments(design: &Design) -> (f64, f64) {
    let rows = || design.omega.iter().zip(design.y.iter().zip(&design.offset)).map(|(w, (y, o))| (w, y - o));
    let mean: f64 = rows().map(|(w, t)| w * t).sum();
    (mean, rows().map(|(w, t)| w * (t - mean).powi(2)).sum())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicUsize};

    use crate::loss::{Logistic, LossKind, Poisson};
    use crate::penalty::{L1, L2, Penalty, PenaltyKind};
    use crate::problem::Recipe;
    use crate::solver::Solver;
    use crate::{Cell, Path, Plan, Settings, Split, Table};

    fn run(table: &Arc<Table>, splits: &[Split], cells: &[Cell], n_threads: usize) -> Vec<Path> {
        let settings = Settings { n_threads: Some(n_threads), ..Settings::default() };
        let plan = Plan::new(vec![table.clone()], splits.to_vec(), cells.to_vec(), settings).unwrap();
        plan.run(&AtomicBool::new(false), &AtomicUsize::new(0)).unwrap()
    }

    #[test]
    fn a_cell_has_the_same_bits_with_and_without_others() {
        let (n, p) = (523, 6);
        let x: Vec<f64> = (0..n * p).map(|at| ((at * at + 7 * at) % 101) as f64 / 50.0 - 1.0).collect();
        let y = (0..n).map(|i| f64::from(u8::from(x[i] + 0.5 * x[n + i] + x[5 * n + i] > 0.1))).collect();
        let table = Arc::new(Table::new(n, p, x, y, None, None).unwrap());
        let splits = [
            Split { table: 0, train: (0..n).collect(), test: Arc::new([]) },
            Split { table: 0, train: (0..400).collect(), test: (400..n).collect() },
        ];
        let kinds = [PenaltyKind::L2(L2), PenaltyKind::L1(L1)];
        let losses = [LossKind::Logistic(Logistic), LossKind::Poisson(Poisson)];
        let recipes = losses.iter().flat_map(|loss| kinds.map(|kind| recipe(*loss, kind)));
        let mut cells = vec![];
        for (recipe, left_out) in recipes.flat_map(|recipe| (0..p).map(move |j| (recipe.clone(), j))) {
            let columns: Arc<[usize]> = (0..p).filter(|j| *j != left_out).collect();
            let alphas: Arc<[f64]> = Arc::new([1e-2, 1e-3]);
            cells.extend((0..2).map(|split| Cell {
                split,
                columns: Some(columns.clone()),
                alphas: alphas.clone(),
                recipe: recipe.clone(),
            }));
        }
        for n_threads in [1, 2, 8] {
            let together = run(&table, &splits, &cells, n_threads);
            for (cell, together) in cells.iter().zip(together) {
                let alone = &run(&table, &splits, std::slice::from_ref(cell), 1)[0];
                for (a, b) in together.fits.iter().zip(&alone.fits) {
                    assert_eq!((&a.coef, &a.intercept, &a.scores), (&b.coef, &b.intercept, &b.scores));
                    assert_eq!((a.report.gap, &a.report.status), (b.report.gap, &b.report.status));
                }
            }
        }
    }

    fn recipe(loss: LossKind, kind: PenaltyKind) -> Arc<Recipe> {
        Arc::new(Recipe {
            loss,
            penalty: Penalty::plain(kind),
            n_classes: 1,
            solver: Solver::Auto,
            of_max: false,
            fit_intercept: true,
            standardize: false,
            scale_y: false,
        })
    }
}
