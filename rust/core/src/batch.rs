//! The plan over tables, splits, subsets, penalties and strengths; the only file that knows threads.
//!
//! A cell's numbers come from its own table, split and request alone; what cells have in common is [`Shared`]. Each is
//! solved by one thread, or, where cells are fewer than threads and rows very many, one after another in [`blocks`] that
//! the threads share: the numbers have the same bits for any number of threads.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::blocks;
use crate::error::{Error, Result};
use crate::moments::Moments;
use crate::path::{Path, solve_path};
use crate::problem::{Cell, Settings, Split, Table};
use crate::shared::Shared;
use crate::solver::FUSED;

/// Tables, splits and cells of one call.
pub struct Plan {
    tables: Vec<Arc<Table>>,
    splits: Vec<Split>,
    cells: Vec<Cell>,
    settings: Settings,
}

impl Plan {
    /// Checks that the parts fit together.
    pub fn new(tables: Vec<Arc<Table>>, splits: Vec<Split>, cells: Vec<Cell>, settings: Settings) -> Result<Self> {
        splits.iter().try_for_each(|split| check_split(split, &tables))?;
        for (c, cell) in cells.iter().enumerate() {
            check_cell(cell, c.checked_sub(1).map(|before| &cells[before]), &splits, &tables)?;
        }
        if !settings.impute {
            tables.iter().try_for_each(check_complete)?;
        }
        Ok(Self { tables, splits, cells, settings })
    }

    /// Number of cells.
    pub fn n_cells(&self) -> usize {
        self.cells.len()
    }

    /// Bytes of the answer: figures of each fit, and its coefficients with the copy that goes out.
    pub fn answer_bytes(&self) -> usize {
        const FIGURES: usize = 400;
        let of_cell = |cell: &Cell| {
            let width =
                if self.settings.keep_coef { self.tables[self.splits[cell.split].table].n_columns() } else { 0 };
            let coef = width.saturating_mul(cell.n_classes).saturating_mul(2 * size_of::<f64>());
            cell.alphas.len().saturating_mul(coef.saturating_add(FIGURES))
        };
        self.cells.iter().map(of_cell).fold(0, usize::saturating_add)
    }

    /// Rough number of floating-point operations, to tell a call that deserves threads from one that does not.
    fn work(&self) -> f64 {
        let of_cell = |cell: &Cell| {
            let split = &self.splits[cell.split];
            let table = &self.tables[split.table];
            let k = cell.columns.as_ref().map_or(table.n_columns(), |columns| columns.len()) as f64;
            let stored = table.n_stored() as f64 / (table.n_rows() * table.n_columns()).max(1) as f64;
            let of_row = (k * stored + 10.0) * k.min(50.0);
            (split.train.len() + split.test.len()) as f64 * of_row * cell.alphas.len().max(1) as f64
        };
        self.cells.iter().map(of_cell).sum()
    }

    /// Whether the call is over sooner than threads are woken and signals looked at.
    pub fn is_small(&self) -> bool {
        const FEW_OPERATIONS: f64 = 2e6;
        self.work() < FEW_OPERATIONS
    }

    /// Training rows of the split that has most.
    fn largest_split(&self) -> usize {
        self.splits.iter().map(|split| split.train.len()).max().unwrap_or(0)
    }

    /// Solves every cell; `done` counts finished cells, `cancel` stops early.
    pub fn run(&self, cancel: &AtomicBool, done: &AtomicUsize) -> Result<Vec<Path>> {
        let (shared, solved) = (Shared::new(&self.tables, &self.splits, &self.cells), Solved::new(self));
        let mut order: Vec<usize> = (0..self.cells.len()).collect();
        order.sort_by_key(|&c| self.place(c, &shared));
        let one = |c: usize| {
            if cancel.load(Ordering::Relaxed) {
                return Err(Error::Cancelled);
            }
            let path = self.solve_cell(&self.cells[c], &shared, cancel);
            done.fetch_add(1, Ordering::Relaxed);
            // a cell that the wish to stop cut short has no result
            if cancel.load(Ordering::Relaxed) {
                return Err(Error::Cancelled);
            }
            solved.put(c, path);
            Ok(())
        };
        match self.threads() {
            0 | 1 => order.into_iter().try_for_each(one)?,
            n if self.shares_blocks() => {
                pool(n)?.install(|| blocks::shared(|| order.into_iter().try_for_each(one)))?;
            }
            n => pool(n)?.install(|| order.into_par_iter().with_max_len(1).try_for_each(one))?,
        }
        Ok(solved.into_paths())
    }

    fn threads(&self) -> usize {
        let most = self.settings.n_threads.unwrap_or_else(available_threads);
        if self.is_small() {
            1
        } else if self.shares_blocks() {
            most
        } else {
            most.min(self.cells.len())
        }
    }

    /// Whether threads share the rows, or the columns, of a cell rather than the cells.
    fn shares_blocks(&self) -> bool {
        /// Stored values of a table whose products are worth sharing.
        const LARGE: usize = 1 << 20;
        let most = self.settings.n_threads.unwrap_or_else(available_threads);
        let is_large = || self.tables.iter().any(|table| table.n_columns() > FUSED && table.n_stored() > LARGE);
        self.cells.len() < most && (self.largest_split() > blocks::BLOCK || is_large())
    }

    /// Where a cell stands in the order of work: by rows and split, so that what cells share is made and dropped once.
    /// Those that are compared come first, so that few paths wait for them with all their coefficients.
    fn place(&self, c: usize, shared: &Shared<'_>) -> (usize, bool, usize) {
        let split = self.cells[c].split;
        match self.settings.best_of {
            Some(rivals) => (self.splits[split].table, c.is_multiple_of(rivals), split),
            None => (shared.splits[split].columns, false, split),
        }
    }

    /// Training moments of every split.
    pub(crate) fn training_moments(&self) -> Vec<Arc<Moments>> {
        let shared = Shared::new(&self.tables, &self.splits, &self.cells);
        shared.splits.iter().map(|data| data.moments(&shared)).collect()
    }

    fn solve_cell(&self, cell: &Cell, shared: &Shared<'_>, cancel: &AtomicBool) -> Path {
        let data = &shared.splits[cell.split];
        let path = solve_path(cell, data, shared, &self.settings, cancel);
        shared.release(data);
        path
    }
}

/// Has `work` fill the chunks of `values`, told their numbers, and returns its answers in their order. What a chunk gets
/// must depend on its number alone; `done` counts chunks.
pub(crate) fn fill_chunks<T: Send>(
    values: &mut [f64],
    length: usize,
    n_threads: Option<usize>,
    (cancel, done): (&AtomicBool, &AtomicUsize),
    work: impl Fn(usize, &mut [f64]) -> T + Sync,
) -> Result<Vec<T>> {
    let one = |(number, chunk): (usize, &mut [f64])| {
        if cancel.load(Ordering::Relaxed) {
            return Err(Error::Cancelled);
        }
        let answer = work(number, chunk);
        done.fetch_add(1, Ordering::Relaxed);
        Ok(answer)
    };
    let threads = n_threads.unwrap_or_else(available_threads).min(values.len().div_ceil(length));
    match threads {
        0 | 1 => values.chunks_mut(length).enumerate().map(one).collect(),
        _ => pool(threads)?.install(|| values.par_chunks_mut(length).with_max_len(1).enumerate().map(one).collect()),
    }
}

/// Asked once: the answer comes from files.
fn available_threads() -> usize {
    static THREADS: OnceLock<usize> = OnceLock::new();
    *THREADS.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from))
}

/// Paths by cell. Where only the best is kept, a path waits with its coefficients for the last of its rivals.
struct Solved<'a> {
    plan: &'a Plan,
    paths: Vec<Mutex<Option<Path>>>,
    /// Rivals that are not there yet, of each group.
    waiting: Vec<AtomicUsize>,
}

impl<'a> Solved<'a> {
    fn new(plan: &'a Plan) -> Self {
        let rivals = plan.settings.best_of.unwrap_or(0);
        let groups = plan.cells.len().checked_div(rivals).unwrap_or(0);
        let paths = plan.cells.iter().map(|_| Mutex::new(None)).collect();
        Self { plan, paths, waiting: (0..groups).map(|_| AtomicUsize::new(rivals)).collect() }
    }

    fn slot(&self, c: usize) -> MutexGuard<'_, Option<Path>> {
        self.paths[c].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, c: usize, mut path: Path) {
        let Some(rivals) = self.plan.settings.best_of else {
            *self.slot(c) = Some(path);
            return;
        };
        if !c.is_multiple_of(rivals) {
            path.fits.iter_mut().for_each(|fit| fit.coef = vec![]);
        }
        *self.slot(c) = Some(path);
        if self.waiting.get(c / rivals).is_some_and(|n| n.fetch_sub(1, Ordering::AcqRel) == 1) {
            self.choose(c / rivals * rivals, rivals);
        }
    }

    /// Leaves the first of some cells the coefficients of its best fit only.
    fn choose(&self, first: usize, rivals: usize) {
        let score = self.plan.cells[first].score();
        let losses: Vec<Vec<f64>> = (first + 1..first + rivals)
            .filter_map(|c| self.slot(c).as_ref().map(|path| path.fits.iter().map(|fit| fit.scores[score]).collect()))
            .collect();
        let best = least_mean(&losses).unwrap_or(0);
        if let Some(path) = self.slot(first).as_mut() {
            let rest = path.fits.iter_mut().enumerate().filter(|(i, _)| *i != best);
            rest.for_each(|(_, fit)| fit.coef = vec![]);
        }
    }

    fn into_paths(self) -> Vec<Path> {
        self.paths.into_iter().filter_map(|slot| slot.into_inner().unwrap_or_else(PoisonError::into_inner)).collect()
    }
}

/// The first place where the sum over rows of losses is least; a row without any number takes no part.
fn least_mean(losses: &[Vec<f64>]) -> Option<usize> {
    let scored: Vec<&Vec<f64>> = losses.iter().filter(|row| !row.iter().all(|loss| loss.is_nan())).collect();
    let sum = |i: usize| scored.iter().map(|row| row[i]).sum::<f64>();
    let sums = (0..scored.first()?.len()).map(|i| (i, sum(i))).filter(|(_, sum)| !sum.is_nan());
    sums.reduce(|best, next| if next.1 < best.1 { next } else { best }).map(|(i, _)| i)
}

/// Pools of this process by number of threads. A forked child starts with none: the parent's threads are not in it.
static POOLS: Mutex<Vec<(u32, usize, Arc<ThreadPool>)>> = Mutex::new(Vec::new());

fn pool(threads: usize) -> Result<Arc<ThreadPool>> {
    let process = std::process::id();
    let mut pools = POOLS.lock().unwrap_or_else(PoisonError::into_inner);
    // another process's pool stays in the list unused: it has no threads here, and dropping it would wait for them
    if let Some((_, _, pool)) = pools.iter().find(|(owner, n, _)| *owner == process && *n == threads) {
        return Ok(pool.clone());
    }
    let built = ThreadPoolBuilder::new().num_threads(threads).thread_name(|i| format!("metafit-{i}")).build();
    let pool = Arc::new(built.map_err(|e| Error::invalid("n_threads", e.to_string()))?);
    pools.push((process, threads, pool.clone()));
    Ok(pool)
}

fn check_split(split: &Split, tables: &[Arc<Table>]) -> Result<()> {
    let n = match tables.get(split.table) {
        Some(table) => table.n_rows(),
        None => return Err(Error::invalid("splits", format!("names table {} of {}", split.table, tables.len()))),
    };
    match split.train.iter().chain(&*split.test).find(|i| **i >= n) {
        Some(row) => Err(Error::invalid("folds", format!("names row {row} of a table with {n} rows"))),
        None => Ok(()),
    }
}

/// Checks a cell; what the one `before` it shares has been.
fn check_cell(cell: &Cell, before: Option<&Cell>, splits: &[Split], tables: &[Arc<Table>]) -> Result<()> {
    let Some(split) = splits.get(cell.split) else {
        return Err(Error::invalid("cells", format!("names split {} of {}", cell.split, splits.len())));
    };
    let width = |cell: &Cell| tables[splits[cell.split].table].n_columns();
    let p = tables[split.table].n_columns();
    let before = before.filter(|before| width(before) == p);
    if !before.is_some_and(|before| Arc::ptr_eq(&before.recipe, &cell.recipe)) {
        cell.penalty.check(p, cell.n_classes)?;
        cell.solver.check(cell.loss, cell.n_classes, &cell.penalty)?;
    }
    if !before.is_some_and(|before| Arc::ptr_eq(&before.alphas, &cell.alphas)) {
        check_alphas(&cell.alphas)?;
    }
    let columns = cell.columns.as_deref().unwrap_or_default();
    if columns.iter().any(|j| *j >= p) || columns.windows(2).any(|w| w[0] >= w[1]) {
        return Err(Error::invalid("subsets", format!("wants ascending column numbers below {p}")));
    }
    Ok(())
}

fn check_alphas(alphas: &[f64]) -> Result<()> {
    match alphas.iter().find(|a| !(a.is_finite() && **a >= 0.0)) {
        Some(bad) => Err(Error::invalid("alphas", format!("holds {bad}, has to be finite and at least 0"))),
        None => Ok(()),
    }
}

fn check_complete(table: &Arc<Table>) -> Result<()> {
    match table.first_missing() {
        Some((row, column)) => Err(Error::NotFinite { argument: "X", row, column: Some(column) }),
        None => Ok(()),
    }
}
