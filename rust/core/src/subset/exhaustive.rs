//! Mean held-out squared error of every column subset, by ridge on the training moments of each fold.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};

use super::tree::{Root, Subtree, least_columns, packed};
use crate::batch::fill_chunks;
use crate::error::{Error, Result};
use crate::loss::{LossKind, Squared};
use crate::moments::Moments;
use crate::penalty::{L2, Penalty, PenaltyKind};
use crate::problem::{Cell, Recipe, Settings, Split, Table};
use crate::solver::Solver;
use crate::{Path, Plan};

/// Columns up to which all subsets can be asked for: their errors take 8 GiB.
pub const MOST_COLUMNS: usize = 30;
/// Columns of the subtree that one thread works on at a time.
const TASK: usize = 16;
/// Part of the error without any column below which moments leave too few digits of a subset's.
const DIGITS: f64 = 1e-7;
/// Subsets that are fitted on their own at a time, between which little memory is held.
const AT_ONCE: usize = 1024;

/// The squared loss with the penalty `alpha |w|^2 / 2`.
#[derive(Debug, Clone, Copy)]
pub struct Ridge {
    /// The strength.
    pub alpha: f64,
    /// Whether to fit the intercept.
    pub fit_intercept: bool,
    /// Whether the penalty acts on columns scaled to unit standard deviation over the training rows.
    pub standardize: bool,
}

/// All column subsets of one table, each fitted on the training rows of all splits and scored on their held-out ones.
pub struct Exhaustive {
    table: Arc<Table>,
    splits: Vec<Split>,
    ridge: Ridge,
    n_threads: Option<usize>,
}

impl Exhaustive {
    /// Checks the request.
    pub fn new(table: Arc<Table>, splits: Vec<Split>, ridge: Ridge, n_threads: Option<usize>) -> Result<Self> {
        let p = table.n_columns();
        if p > MOST_COLUMNS {
            return Err(Error::invalid("X", format!("has {p} columns, all subsets are had of at most {MOST_COLUMNS}")));
        }
        let request = Self { table, splits, ridge, n_threads };
        request.plan(&[0])?;
        if request.splits.is_empty() {
            return Err(Error::invalid("folds", "is empty"));
        }
        match request
            .splits
            .iter()
            .position(|split| ![&split.train, &split.test].iter().all(|rows| request.weighs(rows)))
        {
            Some(fold) => Err(Error::invalid("folds", format!("fold {fold} has no weight on one of its sides"))),
            None => Ok(request),
        }
    }

    fn weighs(&self, rows: &[usize]) -> bool {
        rows.iter().any(|&i| self.table.weight(i) > 0.0)
    }

    /// Columns of the tree: at least those that it needs.
    fn depth(&self) -> usize {
        self.table.n_columns().max(least_columns())
    }

    fn n_subtrees(&self) -> usize {
        1 << self.depth().saturating_sub(TASK)
    }

    /// Units of progress.
    pub fn n_steps(&self) -> usize {
        self.n_subtrees()
    }

    /// Bytes of the answer.
    pub fn answer_bytes(&self) -> usize {
        size_of::<f64>() << self.depth()
    }

    /// Errors by the mask of the columns; `done` counts steps, `cancel` stops early.
    pub fn run(&self, cancel: &AtomicBool, done: &AtomicUsize) -> Result<Vec<f64>> {
        let roots = self.roots()?;
        let floor = DIGITS * roots.iter().map(|root| root.test[0]).sum::<f64>();
        let (depth, chunk) = (self.depth(), 1 << self.depth().min(TASK));
        let mut errors = vec![0.0; 1 << depth];
        let work = |number: usize, errors: &mut [f64]| {
            Subtree { roots: &roots, n_columns: depth, number, errors }.add_errors();
            doubtful(errors, floor).into_iter().map(|mask| number * chunk + mask).collect::<Vec<usize>>()
        };
        let doubtful = fill_chunks(&mut errors, chunk, self.n_threads, (cancel, done), work)?;
        errors.truncate(1 << self.table.n_columns());
        let doubtful: Vec<usize> = doubtful.into_iter().flatten().filter(|mask| *mask < errors.len()).collect();
        for masks in doubtful.chunks(AT_ONCE) {
            for (mask, error) in masks.iter().zip(self.fit(masks, cancel)?) {
                errors[*mask] = error;
            }
        }
        Ok(errors)
    }

    /// Moments of each fold, the ridge applied.
    fn roots(&self) -> Result<Vec<Root>> {
        let training = self.plan(&[])?.training_moments();
        let folds = training.iter().zip(&self.splits);
        Ok(folds.map(|(train, split)| self.root(train, &Moments::of_rows(&self.table, &split.test))).collect())
    }

    /// Training moments by their weight with the ridge, columns scaled to a unit diagonal; held-out ones in the same units,
    /// about the training means if there is an intercept, so that entry 0 is the fold's part of the mean error.
    ///
    /// A column that no fit can use, and one that only fills the tree up, meets no other: its coefficient is 0.
    fn root(&self, train: &Moments, test: &Moments) -> Root {
        let (p, stats) = (self.table.n_columns(), train.columns.stats());
        let origin = |j: usize| if self.ridge.fit_intercept { train.mean_of(j) } else { 0.0 };
        let about = |m: &Moments, i: usize, k: usize| {
            m.cross_of(i, k) / m.weight() + (m.mean_of(i) - origin(i)) * (m.mean_of(k) - origin(k))
        };
        let diagonal = |j: usize| {
            let sd = if stats.constant[j] { 0.0 } else { stats.sd[j] };
            let penalty = self.ridge.alpha * if self.ridge.standardize { sd * sd } else { 1.0 };
            let flat = sd == 0.0 && (self.ridge.standardize || origin(j) == train.mean_of(j));
            (!flat).then_some(about(train, j, j) + penalty)
        };
        // the target comes first in the tree, and last in the moments
        let place = |i: usize| if i == 0 { p } else { i - 1 };
        let scale = |i: usize| match i {
            0 => Some(1.0),
            i if i > p => None,
            i => diagonal(i - 1).map(|square| square.sqrt().recip()),
        };
        let scales: Vec<Option<f64>> = (0..=self.depth()).map(scale).collect();
        let share = (self.splits.len() as f64).recip();
        let mut root = Root { train: vec![0.0; packed(scales.len(), 0)], test: vec![0.0; packed(scales.len(), 0)] };
        for i in 0..scales.len() {
            for k in 0..=i {
                if let (Some(a), Some(b)) = (scales[i], scales[k]) {
                    root.train[packed(i, k)] = about(train, place(i), place(k)) * a * b;
                    root.test[packed(i, k)] = about(test, place(i), place(k)) * a * b * share;
                }
            }
            root.train[packed(i, i)] = 1.0;
        }
        root
    }

    /// Errors of some subsets, each fitted on its own by the route that the condition of its columns asks for.
    fn fit(&self, masks: &[usize], cancel: &AtomicBool) -> Result<Vec<f64>> {
        let paths = self.plan(masks)?.run(cancel, &AtomicUsize::new(0))?;
        let error = |path: &Path| path.fits[0].scores[0];
        let n_folds = self.splits.len();
        Ok(paths.chunks(n_folds).map(|folds| folds.iter().map(error).sum::<f64>() / n_folds as f64).collect())
    }

    /// The splits of each subset, one subset after another.
    fn plan(&self, masks: &[usize]) -> Result<Plan> {
        let recipe = Arc::new(Recipe {
            loss: LossKind::Squared(Squared),
            penalty: Penalty::plain(PenaltyKind::L2(L2)),
            n_classes: 1,
            solver: Solver::Auto,
            of_max: false,
            fit_intercept: self.ridge.fit_intercept,
            standardize: self.ridge.standardize,
            scale_y: false,
        });
        let alphas: Arc<[f64]> = Arc::new([self.ridge.alpha]);
        let subsets =
            masks.iter().map(|mask| (0..self.table.n_columns()).filter(move |j| mask >> j & 1 == 1).collect());
        let cells = subsets.flat_map(|columns: Arc<[usize]>| {
            let (recipe, alphas) = (recipe.clone(), alphas.clone());
            (0..self.splits.len()).map(move |split| Cell {
                split,
                columns: Some(columns.clone()),
                alphas: alphas.clone(),
                recipe: recipe.clone(),
            })
        });
        let settings = Settings { keep_coef: false, n_threads: self.n_threads, ..Settings::default() };
        Plan::new(vec![self.table.clone()], self.splits.clone(), cells.collect(), settings)
    }
}

/// Positions of errors that are no numbers, or too small to have kept their digits.
fn doubtful(errors: &[f64], floor: f64) -> Vec<usize> {
    let is_doubtful = |error: &f64| error.is_nan() || *error < floor;
    if errors.iter().filter(|error| is_doubtful(error)).count() == 0 {
        return vec![];
    }
    (0..errors.len()).filter(|at| is_doubtful(&errors[*at])).collect()
}
