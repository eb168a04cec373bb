//! What the cells of a call share (moments, designs, held-out rows, where fits start): made once, by whichever cell comes
//! first, and dropped after the last. It holds the same bits whoever makes it.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::design::Design;
use crate::held_out::HeldOut;
use crate::matrix::Matrix;
use crate::moments::{Centred, ColumnMoments, FoldColumns, FoldTargets, Moments};
use crate::partition::{Membership, Partition, find_partitions};
use crate::problem::{Cell, Recipe, Split, Table};
use crate::solver::Curvature;
use crate::start::{Key, Start};

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
    pub(crate) splits: Vec<SplitData<'a>>,
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

impl<'a> Shared<'a> {
    /// For the cells of a call.
    pub(crate) fn new(tables: &'a [Arc<Table>], splits: &'a [Split], cells: &[Cell]) -> Self {
        let (partitions, memberships) = find_partitions(splits);
        let alike = find_alike(tables);
        let place = |rows: &Arc<[usize]>| (Arc::as_ptr(rows).cast::<usize>() as usize, rows.len());
        let mut table_of = vec![0; partitions.len()];
        let members = memberships.iter().zip(splits);
        members.for_each(|(m, split)| _ = m.map(|m| table_of[m.partition] = alike[split.table]));
        let of_folds = |p: usize| (table_of[p], Arc::as_ptr(&partitions[p].folds).cast::<u8>() as usize);
        let of_split = |(split, member): (&Split, &Option<Membership>)| {
            let fold = member.map(|m| (of_folds(m.partition), m.fold));
            (alike[split.table], place(&split.train), place(&split.test), fold)
        };
        let (folds, fold_counts) = numbered((0..partitions.len()).map(of_folds));
        let (columns, column_counts) = numbered(splits.iter().zip(&memberships).map(of_split));
        let members = splits.iter().zip(memberships.iter().zip(&columns));
        let partition = |(partition, folds)| PartitionData {
            partition,
            folds,
            waiting: AtomicUsize::new(0),
            moments: Slot::default(),
        };
        let fold =
            |count: &usize| FoldData { is_shared: *count > 1, waiting: AtomicUsize::new(0), columns: Slot::default() };
        let shared = Self {
            splits: members
                .map(|(split, (member, at))| SplitData::new(split, &tables[split.table], *member, *at))
                .collect(),
            partitions: partitions.into_iter().zip(folds).map(partition).collect(),
            columns: column_counts.iter().map(|count| ColumnData::new(*count > 1)).collect(),
            folds: fold_counts.iter().map(fold).collect(),
        };
        cells.iter().map(|cell| &shared.splits[cell.split]).for_each(|data| {
            shared.waiting(data).chain([&data.waiting]).for_each(|n| _ = n.fetch_add(1, Ordering::Relaxed));
        });
        shared
    }

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
    pub(crate) fn release(&self, data: &SplitData<'_>) {
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
    /// Place among the [`ColumnData`]: the same for the same split of tables with the same X and weights.
    pub(crate) columns: usize,
    waiting: AtomicUsize,
    moments: Slot<Moments>,
    centred: Slot<Design>,
    uncentred: Slot<Design>,
    held_out: Slot<HeldOut>,
    starts: Mutex<Vec<Arc<Start>>>,
    /// Of the last recipe, by its place, which outlives the call.
    refusal: Mutex<Option<(usize, Option<String>)>>,
}

impl<'a> SplitData<'a> {
    fn new(split: &'a Split, table: &'a Table, membership: Option<Membership>, columns: usize) -> Self {
        let waiting = AtomicUsize::new(0);
        let (moments, held_out) = (Slot::default(), Slot::default());
        let (centred, uncentred) = (Slot::default(), Slot::default());
        let (starts, refusal) = (Mutex::default(), Mutex::default());
        Self { split, table, membership, columns, waiting, moments, centred, uncentred, held_out, starts, refusal }
    }

    /// Why there is no fit of a recipe to the training rows, if so.
    pub(crate) fn refusal(&self, recipe: &Arc<Recipe>) -> Option<String> {
        let place = Arc::as_ptr(recipe) as usize;
        let mut last = self.refusal.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some((of, refusal)) if *of == place => refusal.clone(),
            _ => last.insert((place, self.find_refusal(recipe))).1.clone(),
        }
    }

    fn find_refusal(&self, recipe: &Recipe) -> Option<String> {
        let rows = self.split.train.iter().filter(|&&i| self.table.weight(i) > 0.0);
        let y: Vec<f64> = rows.map(|&i| self.table.y[i]).collect();
        if y.is_empty() {
            return Some("no training row has a positive weight".to_owned());
        }
        recipe.refuses(&y)
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
