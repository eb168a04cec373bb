//! Which splits of a call are the folds of one partition, so that their training moments can be merged.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::problem::Split;

/// Row sets of one table that share no row and together make up the rows of some splits.
#[derive(Clone)]
pub struct Partition {
    /// Rows of each fold; the last may hold rows that no split tests. Tables with the same splits share them.
    pub folds: Arc<[Vec<usize>]>,
}

/// The place of a split: it trains on all folds of a partition but one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Membership {
    /// Index of the partition.
    pub partition: usize,
    /// The fold left out.
    pub fold: usize,
}

/// Partitions, and what of them each split leaves out.
pub type Found = (Vec<Partition>, Vec<Option<Membership>>);
/// Where a list of rows stands in memory, and its length.
type Place = (usize, usize);

struct Draft {
    split_of_fold: Vec<usize>,
    covered: Vec<usize>,
}

/// Groups splits over the same rows into partitions; splits that belong to none get `None`.
///
/// A split without held-out rows belongs to none: the fit on all rows has the same bits with and without folds. Tables
/// whose splits are the same lists of rows, as those of many tasks are, are looked at once.
pub fn find_partitions(splits: &[Split]) -> Found {
    let mut of_table: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    splits.iter().enumerate().for_each(|(s, split)| of_table.entry(split.table).or_default().push(s));
    let mut known: HashMap<Vec<[Place; 2]>, Found> = HashMap::new();
    let mut partitions = Vec::new();
    let mut memberships = vec![None; splits.len()];
    for numbers in of_table.into_values() {
        let place = |rows: &Arc<[usize]>| -> Place { (Arc::as_ptr(rows).cast::<usize>() as usize, rows.len()) };
        let lists = numbers.iter().map(|&s| [place(&splits[s].train), place(&splits[s].test)]).collect();
        let (found, members) = known.entry(lists).or_insert_with(|| partitions_of(splits, &numbers));
        let first = partitions.len();
        for (&s, member) in numbers.iter().zip(members) {
            memberships[s] = member.map(|m| Membership { partition: first + m.partition, ..m });
        }
        partitions.extend(found.iter().cloned());
    }
    (partitions, memberships)
}

/// The same for some splits of one table.
fn partitions_of(splits: &[Split], numbers: &[usize]) -> Found {
    let mut by_rows: BTreeMap<Vec<usize>, Vec<usize>> = BTreeMap::new();
    for (at, &s) in numbers.iter().enumerate() {
        if let Some(rows) = rows_of(&splits[s]).filter(|_| !splits[s].test.is_empty()) {
            by_rows.entry(rows).or_default().push(at);
        }
    }
    let mut partitions = Vec::new();
    let mut memberships = vec![None; numbers.len()];
    for (rows, members) in by_rows {
        let all: Vec<usize> = members.iter().map(|&at| numbers[at]).collect();
        for draft in drafts(splits, &all).into_iter().filter(|draft| draft.split_of_fold.len() > 1) {
            let partition = partitions.len();
            for (fold, s) in draft.split_of_fold.iter().enumerate() {
                let at = numbers.iter().position(|number| number == s);
                at.into_iter().for_each(|at| memberships[at] = Some(Membership { partition, fold }));
            }
            partitions.push(Partition { folds: folds(splits, &draft, &rows).into() });
        }
    }
    (partitions, memberships)
}

/// All rows of a split, ascending; `None` where one occurs twice.
fn rows_of(split: &Split) -> Option<Vec<usize>> {
    let mut rows: Vec<usize> = split.train.iter().chain(&*split.test).copied().collect();
    rows.sort_unstable();
    rows.windows(2).all(|w| w[0] < w[1]).then_some(rows)
}

/// Puts each split into the first draft whose folds it does not touch.
fn drafts(splits: &[Split], members: &[usize]) -> Vec<Draft> {
    let mut drafts: Vec<Draft> = Vec::new();
    for &s in members {
        let mut test = splits[s].test.to_vec();
        test.sort_unstable();
        match drafts.iter_mut().find(|d| test.iter().all(|row| d.covered.binary_search(row).is_err())) {
            Some(draft) => draft.add(s, test),
            None => drafts.push(Draft { split_of_fold: vec![s], covered: test }),
        }
    }
    drafts
}

impl Draft {
    fn add(&mut self, split: usize, test: Vec<usize>) {
        self.split_of_fold.push(split);
        self.covered.extend(test);
        self.covered.sort_unstable();
    }
}

/// Ascending rows of each fold and, last, the rows of no fold, so that every training set is a union of others.
fn folds(splits: &[Split], draft: &Draft, rows: &[usize]) -> Vec<Vec<usize>> {
    let mut folds: Vec<Vec<usize>> = draft.split_of_fold.iter().map(|&s| splits[s].test.to_vec()).collect();
    folds.iter_mut().for_each(|f| f.sort_unstable());
    let rest: Vec<usize> = rows.iter().copied().filter(|row| draft.covered.binary_search(row).is_err()).collect();
    if !rest.is_empty() {
        folds.push(rest);
    }
    folds
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(train: &[usize], test: &[usize]) -> Split {
        Split { table: 0, train: train.into(), test: test.into() }
    }

    #[test]
    fn k_folds_form_one_partition() {
        let splits =
            [split(&[0, 1, 2, 3], &[]), split(&[2, 3], &[0, 1]), split(&[0, 1], &[3, 2]), split(&[0, 1, 2], &[3])];
        let (partitions, members) = find_partitions(&splits);
        assert_eq!(partitions.len(), 1);
        assert_eq!(*partitions[0].folds, [vec![0, 1], vec![2, 3]]);
        assert_eq!(members[0], None, "the whole is solved alike with and without folds");
        assert_eq!(members[2], Some(Membership { partition: 0, fold: 1 }));
        assert_eq!(members[3], None, "a second partition of a single split is not worth making");
    }

    #[test]
    fn tables_with_the_same_lists_of_rows_have_partitions_of_their_own() {
        let folds = [split(&[2, 3], &[0, 1]), split(&[0, 1], &[2, 3])];
        let splits: Vec<Split> = (0..3).flat_map(|table| folds.clone().map(|fold| Split { table, ..fold })).collect();
        let (partitions, members) = find_partitions(&splits);
        assert_eq!(partitions.len(), 3);
        assert!(Arc::ptr_eq(&partitions[0].folds, &partitions[2].folds));
        assert_eq!(members[4], Some(Membership { partition: 2, fold: 0 }));
    }

    #[test]
    fn rows_that_no_split_tests_are_a_fold_of_their_own() {
        let splits = [split(&[1, 2, 3, 4], &[0]), split(&[0, 2, 3, 4], &[1])];
        let (partitions, _) = find_partitions(&splits);
        assert_eq!(*partitions[0].folds, [vec![0], vec![1], vec![2, 3, 4]]);
    }

    #[test]
    fn repeated_rows_and_growing_windows_stand_alone() {
        let splits = [split(&[0, 0, 1], &[2]), split(&[0], &[1]), split(&[0, 1], &[2])];
        assert!(find_partitions(&splits).0.is_empty());
    }
}
