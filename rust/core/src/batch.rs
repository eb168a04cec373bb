//! The plan over tables, splits, subsets, penalties and strengths; the only file that knows threads.
//!
//! What the cells of a split share (training moments, the design, held-out rows) is made once, by whichever cell
//! comes first, and dropped after the last. A cell's numbers come from its own table, split and request alone. Each is
//! solved by one thread, or, where cells are fewer than threads and rows very many, one after another in [`blocks`] that
//! the threads share: the numbers have the same bits for any number of threads.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::blocks;
use crate::design::Design;
use crate::error::{Error, Result};
use crate::matrix::Matrix;
use crate::metric::Baseline;
use crate::moments::{Centred, ColumnMoments, FoldColumns, FoldTargets, Moments};
use crate::partition::{Membership, Partition, find_partitions};
use crate::path::{Path, solve_path};
use crate::problem::{Cell, Settings, Split, Table};
use crate::solver::Curvature;
use crate::start::{Key, Start};

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
        let (shared, solved) = (self.shared(), Solved::new(self));
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

    /// Whether threads share the rows of a cell rather than the cells.
    fn shares_blocks(&self) -> bool {
        let most = self.settings.n_threads.unwrap_or_else(available_threads);
        self.cells.len() < most && self.largest_split() > blocks::BLOCK
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
        let shared = self.shared();
        shared.splits.iter().map(|data| data.moments(&shared)).collect()
    }

    fn shared(&self) -> Shared<'_> {
        let (partitions, memberships) = find_partitions(&self.splits);
        let alike = find_alike(&self.tables);
        let place = |rows: &Arc<[usize]>| (Arc::as_ptr(rows).cast::<usize>() as usize, rows.len());
        let mut table_of = vec![0; partitions.len()];
        let members = memberships.iter().zip(&self.splits);
        members.for_each(|(m, split)| _ = m.map(|m| table_of[m.partition] = alike[split.table]));
        let of_folds = |p: usize| (table_of[p], Arc::as_ptr(&partitions[p].folds).cast::<u8>() as usize);
        let of_split = |(split, member): (&Split, &Option<Membership>)| {
            let fold = member.map(|m| (of_folds(m.partition), m.fold));
            (alike[split.table], place(&split.train), place(&split.test), fold)
        };
        let (folds, fold_counts) = numbered((0..partitions.len()).map(of_folds));
        let (columns, column_counts) = numbered(self.splits.iter().zip(&memberships).map(of_split));
        let splits = self.splits.iter().zip(memberships.iter().zip(&columns));
        let partition = |(partition, folds)| PartitionData {
            partition,
            folds,
            waiting: AtomicUsize::new(0),
            moments: Slot::default(),
        };
        let fold =
            |count: &usize| FoldData { is_shared: *count > 1, waiting: AtomicUsize::new(0), columns: Slot::default() };
        let shared = Shared {
            splits: splits
                .map(|(split, (member, at))| SplitData::new(split, &self.tables[split.table], *member, *at))
                .collect(),
            partitions: partitions.into_iter().zip(folds).map(partition).collect(),
            columns: column_counts.iter().map(|count| ColumnData::new(*count > 1)).collect(),
            folds: fold_counts.iter().map(fold).collect(),
        };
        self.cells.iter().map(|cell| &shared.splits[cell.split]).for_each(|data| {
            shared.waiting(data).chain([&data.waiting]).for_each(|n| _ = n.fetch_add(1, Ordering::Relaxed));
        });
        shared
    }

    fn solve_cell(&self, cell: &Cell, shared: &Shared<'_>, cancel: &AtomicBool) -> Path {
        let data = &shared.splits[cell.split];
        let path = solve_path(cell, data, shared, &self.settings, cancel);
        shared.release(data);
        path
    }
}

/// Numbers of keys in the order in which they first come, and how often each comes.
fn numbered<K: Hash + Eq>(keys: impl Iterator<Item = K>) -> (Vec<usize>, Vec<usize>) {
    let (mut known, mut counts) = (HashMap::new(), Vec::new());
    let number = |key| {
        let number = *known.entry(key).or_insert(counts.len());
        counts.resize(counts.len().max(number + 1), 0);
        counts[number] += 1;
        number
    };
    let numbers = keys.map(number).collect();
    (numbers, counts)
}

/// The number of a table with the same X and row weights, for each table.
fn find_alike(tables: &[Arc<Table>]) -> Vec<usize> {
    let mut last_on: HashMap<usize, usize> = HashMap::new();
    let first_alike = |(t, table): (usize, &Arc<Table>)| {
        let last = last_on.entry(Arc::as_ptr(table.features()) as usize).or_insert(t);
        if tables[*last].weights != table.weights {
            *last = t;
        }
        *last
    };
    tables.iter().enumerate().map(first_alike).collect()
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

/// A value made on first use and dropped on demand.
struct Slot<T>(Mutex<Option<Arc<T>>>);

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T> Slot<T> {
    fn get(&self, make: impl FnOnce() -> T) -> Arc<T> {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        slot.get_or_insert_with(|| Arc::new(make())).clone()
    }

    fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// What cells of a call share.
pub(crate) struct Shared<'a> {
    splits: Vec<SplitData<'a>>,
    partitions: Vec<PartitionData>,
    columns: Vec<ColumnData>,
    folds: Vec<FoldData>,
}

/// What the cells on the folds of one partition share.
struct PartitionData {
    partition: Partition,
    /// Place among the [`FoldData`].
    folds: usize,
    waiting: AtomicUsize,
    moments: Slot<(Arc<FoldColumns>, FoldTargets)>,
}

/// What the partitions of tables with the same X and weights into the same folds share.
struct FoldData {
    is_shared: bool,
    waiting: AtomicUsize,
    columns: Slot<FoldColumns>,
}

/// What the same split of tables with the same X and weights shares.
struct ColumnData {
    is_shared: bool,
    waiting: AtomicUsize,
    rows: Slot<Centred>,
    moments: Slot<ColumnMoments>,
    held_out: Slot<Matrix>,
    curvatures: Mutex<Vec<Known>>,
}

/// A curvature by the places of recipe and columns, which outlive the call.
type Known = ([usize; 2], Arc<OnceLock<Arc<Curvature>>>);

impl ColumnData {
    fn new(is_shared: bool) -> Self {
        let waiting = AtomicUsize::new(0);
        let (rows, moments, held_out) = (Slot::default(), Slot::default(), Slot::default());
        Self { is_shared, waiting, rows, moments, held_out, curvatures: Mutex::default() }
    }

    /// Training moments from the rows.
    fn moments_of_rows(&self, data: &SplitData<'_>) -> Moments {
        if !self.is_shared {
            return Moments::of_rows(data.table, &data.split.train);
        }
        let rows = self.rows.get(|| Centred::new(data.table, &data.split.train));
        Moments { columns: self.moments.get(|| rows.moments()), target: rows.target(data.table) }
    }

    fn curvature(&self, cell: &Cell, n_columns: usize, make: impl FnOnce() -> Curvature) -> Arc<Curvature> {
        if !self.is_shared {
            return Arc::new(make());
        }
        let subset = cell.columns.as_ref().map_or(0, |columns| Arc::as_ptr(columns).cast::<usize>() as usize);
        let k = cell.columns.as_ref().map_or(n_columns, |columns| columns.len());
        let slot = self.slot([Arc::as_ptr(&cell.recipe) as usize, subset], k);
        match slot {
            Some(slot) => slot.get_or_init(|| Arc::new(make())).clone(),
            None => Arc::new(make()),
        }
    }

    /// Where the curvature of k columns is or will be; nowhere once too much is kept.
    fn slot(&self, place: [usize; 2], k: usize) -> Option<Arc<OnceLock<Arc<Curvature>>>> {
        const MOST_NUMBERS: usize = 1 << 23;
        const MOST_KNOWN: usize = 1000;
        let mut known = self.curvatures.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, found)) = known.iter().find(|(of, _)| *of == place) {
            return Some(found.clone());
        }
        if known.len() >= MOST_KNOWN.min(MOST_NUMBERS / (k * k).max(1)) {
            return None;
        }
        let slot = Arc::new(OnceLock::new());
        known.push((place, slot.clone()));
        Some(slot)
    }

    fn release(&self) {
        self.rows.clear();
        self.moments.clear();
        self.held_out.clear();
        self.curvatures.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl PartitionData {
    fn moments(&self, table: &Table, folds: &FoldData) -> Arc<(Arc<FoldColumns>, FoldTargets)> {
        self.moments.get(|| {
            let mut own = None;
            let columns = folds.columns.get(|| {
                let (columns, targets) = FoldColumns::new(table, &self.partition.folds, folds.is_shared);
                own = Some(targets);
                columns
            });
            let targets = own.unwrap_or_else(|| columns.targets(table));
            (columns, targets)
        })
    }
}

impl Shared<'_> {
    /// The partition that a split is part of, and which fold it leaves out.
    fn partition_of(&self, data: &SplitData<'_>) -> Option<(&PartitionData, usize)> {
        data.membership.map(|Membership { partition, fold }| (&self.partitions[partition], fold))
    }

    /// The columns that may move in solver coordinates, which tables with the same X and weights share.
    pub(crate) fn curvature(
        &self,
        cell: &Cell,
        data: &SplitData<'_>,
        make: impl FnOnce() -> Curvature,
    ) -> Arc<Curvature> {
        self.columns[data.columns].curvature(cell, data.table.n_columns(), make)
    }

    /// All that waits for the cells of a split.
    fn waiting(&self, data: &SplitData<'_>) -> impl Iterator<Item = &AtomicUsize> {
        let partition = self.partition_of(data).map(|(partition, _)| partition);
        let folds = partition.map(|partition| &self.folds[partition.folds].waiting);
        let columns = [&self.columns[data.columns].waiting];
        columns.into_iter().chain(partition.map(|partition| &partition.waiting)).chain(folds)
    }

    /// Drops what no other cell waits for.
    fn release(&self, data: &SplitData<'_>) {
        let is_last = |waiting: &AtomicUsize| waiting.fetch_sub(1, Ordering::AcqRel) == 1;
        if is_last(&data.waiting) {
            data.release();
        }
        if is_last(&self.columns[data.columns].waiting) {
            self.columns[data.columns].release();
        }
        let Some((partition, _)) = self.partition_of(data) else { return };
        if is_last(&partition.waiting) {
            partition.moments.clear();
        }
        if is_last(&self.folds[partition.folds].waiting) {
            self.folds[partition.folds].columns.clear();
        }
    }
}

/// What the cells of one split share.
pub(crate) struct SplitData<'a> {
    pub(crate) split: &'a Split,
    pub(crate) table: &'a Table,
    membership: Option<Membership>,
    /// Place among the [`ColumnData`].
    columns: usize,
    waiting: AtomicUsize,
    moments: Slot<Moments>,
    centred: Slot<Design>,
    uncentred: Slot<Design>,
    held_out: Slot<HeldOut>,
    starts: Mutex<Vec<Arc<Start>>>,
}

/// Held-out rows, missing values not yet replaced.
pub(crate) struct HeldOut {
    pub(crate) x: Arc<Matrix>,
    pub(crate) y: Vec<f64>,
    pub(crate) offset: Vec<f64>,
    pub(crate) weights: Vec<f64>,
    /// What all squared errors of these rows are compared with, once it is asked for.
    pub(crate) baseline: OnceLock<Option<Baseline>>,
}

impl<'a> SplitData<'a> {
    fn new(split: &'a Split, table: &'a Table, membership: Option<Membership>, columns: usize) -> Self {
        let waiting = AtomicUsize::new(0);
        let (moments, held_out) = (Slot::default(), Slot::default());
        let (centred, uncentred) = (Slot::default(), Slot::default());
        let starts = Mutex::default();
        Self { split, table, membership, columns, waiting, moments, centred, uncentred, held_out, starts }
    }

    /// Training moments: merged from folds where the splits of the call form a partition and nothing is imputed
    /// (an imputed value changes with the training set), from the rows otherwise.
    pub(crate) fn moments(&self, shared: &Shared<'_>) -> Arc<Moments> {
        let own = &shared.columns[self.columns];
        self.moments.get(|| match shared.partition_of(self) {
            Some((partition, fold)) if !self.table.has_missing() => {
                let sums = partition.moments(self.table, &shared.folds[partition.folds]);
                let (columns, targets) = &*sums;
                let target = columns.target_without(targets, fold);
                Moments { columns: own.moments.get(|| columns.without(fold)), target }
            }
            _ => own.moments_of_rows(self),
        })
    }

    /// Training rows in solver coordinates.
    pub(crate) fn design(&self, centred: bool) -> Arc<Design> {
        let slot = if centred { &self.centred } else { &self.uncentred };
        slot.get(|| Design::new(self.table, &self.split.train, centred))
    }

    pub(crate) fn held_out(&self, shared: &Shared<'_>) -> Arc<HeldOut> {
        self.held_out.get(|| {
            let (table, rows) = (self.table, &self.split.test);
            HeldOut {
                x: shared.columns[self.columns].held_out.get(|| table.pick(rows)),
                y: rows.iter().map(|&i| table.y[i]).collect(),
                offset: rows.iter().map(|&i| table.offset_of(i)).collect(),
                weights: rows.iter().map(|&i| table.weight(i)).collect(),
                baseline: OnceLock::new(),
            }
        })
    }

    /// What cells with this loss begin with.
    pub(crate) fn start(&self, cell: &Cell, moves_freely: bool, design: &Design) -> Arc<Start> {
        let key = Key::new(cell, moves_freely);
        let mut starts = self.starts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = starts.iter().find(|start| start.is_of(key)) {
            return known.clone();
        }
        let start = Arc::new(Start::new(key, cell, design, self.waiting.load(Ordering::Relaxed)));
        starts.push(start.clone());
        start
    }

    fn release(&self) {
        self.moments.clear();
        self.centred.clear();
        self.uncentred.clear();
        self.held_out.clear();
        self.starts.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
