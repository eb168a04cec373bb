//! Models of many columns: narrowed to few of them, descended on rows, or solved on a Gram matrix that is kept.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Glm, SMALLEST_CURVATURE};
use crate::columns::Column;
use crate::loss::Loss;
use crate::penalty::ScaledPenalty;
use crate::solver::dense::{DenseDescent, TurnedRows, is_served};
use crate::solver::rows::{Local, RowDescent};
use crate::solver::separable::Packed;
use crate::solver::{FUSED, GRAM_LIMIT, Model};

/// What a model of many columns keeps.
#[derive(Clone, Default)]
pub(super) struct Wide<'a> {
    /// All columns and the places of those that the model is narrowed to, if it is.
    outside: Option<(Vec<Column<'a>>, Vec<usize>)>,
    /// Under a loss of curvature 1: Gram matrix of the columns that were ever wanted, and blocks by their first column.
    pack: Packed,
    /// The move of each column that the next descent is told to expect.
    expected: Vec<f64>,
    turned: BTreeMap<usize, Arc<TurnedRows>>,
}

impl<'a, L: Loss> Glm<'a, L> {
    /// The minimiser of the local model by descent on rows, where that costs less than a Gram matrix, and the slope.
    pub(super) fn descend_on_rows(
        &mut self,
        set: &[usize],
        penalty: &ScaledPenalty,
        start: &[f64],
        accuracy: f64,
    ) -> Option<(Vec<f64>, Vec<f64>)> {
        let columns: Vec<Column<'a>> = set.iter().map(|&j| self.columns[j]).collect();
        if self.majorising || !rows_are_cheap(&columns) || !is_served(penalty) {
            return None;
        }
        let weights = self.weighted(&self.curvature);
        let total = weights.iter().sum::<f64>();
        if total < SMALLEST_CURVATURE {
            return None;
        }
        let mut slope: Vec<f64> = set.iter().map(|&j| self.sums.slope(j)).collect();
        if self.fit_intercept {
            self.eliminate(total, set.iter().map(|&j| self.sums.cross(j)).collect(), &mut slope);
        }
        let expected = self.expected_on(set);
        let (columns, weights, centred) = (columns.as_slice(), weights.as_slice(), self.fit_intercept);
        let local = Local { columns, weights, centred, slope: &slope, penalty, start, expected: &expected };
        let goal = if columns.iter().all(Column::is_sparse) {
            if !penalty.is_descended() {
                return None;
            }
            RowDescent::new(local)?.goal(accuracy)
        } else {
            DenseDescent::new(local, |members, scale| self.turn(set, members, scale, local))?.goal(accuracy)
        };
        Some((goal, slope))
    }

    /// To the minimiser under a loss of curvature 1, by the Gram matrix of the columns that were ever wanted.
    pub(super) fn leap_on_pack(&mut self, penalty: &ScaledPenalty, b: &mut [f64]) -> Option<bool> {
        let is_wide = self.wide.outside.is_none() && b.len() > GRAM_LIMIT;
        let is_sparse = || self.columns.iter().any(Column::is_sparse);
        if !L::IS_SQUARE || !is_wide || self.majorising || !penalty.is_descended() || is_sparse() {
            return None;
        }
        let (mut slope, cross) = (self.sums.slopes(), self.sums.crosses());
        if self.fit_intercept {
            self.eliminate(self.sums.weight, cross.clone(), &mut slope);
        }
        let Self { wide, columns, omega, fit_intercept, .. } = self;
        let (mut of, mut weighted) = (usize::MAX, vec![]);
        let product = |i: usize, j: usize| {
            if of != j {
                of = j;
                weighted = columns[j].to_dense(omega.len());
                weighted.iter_mut().zip(*omega).for_each(|(z, w)| *z *= w);
            }
            columns[i].dot(&weighted) - if *fit_intercept { cross[i] * cross[j] } else { 0.0 }
        };
        let mut goal = b.to_vec();
        let regular = wide.pack.minimise_by(GRAM_LIMIT, &slope, penalty, &mut goal, product)?;
        let set = wide.pack.columns().to_vec();
        let direction: Vec<f64> = set.iter().map(|&j| goal[j] - b[j]).collect();
        if direction.iter().any(|d| !d.is_finite()) {
            return None;
        }
        if *fit_intercept {
            self.system.cross = set.iter().map(|&j| cross[j]).collect();
        }
        self.aim(&set, &direction);
        self.advance(1.0);
        b.copy_from_slice(&goal);
        Some(regular)
    }

    /// Takes a note of the moves that a fit is expected to begin with, where it has many columns.
    pub(super) fn note_expected(&mut self, moves: impl Iterator<Item = f64>) {
        self.wide.expected.clear();
        if self.columns.len() > FUSED {
            self.wide.expected.extend(moves);
        }
    }

    /// The moves that are expected of columns of `set`, once.
    fn expected_on(&mut self, set: &[usize]) -> Vec<f64> {
        let expected = std::mem::take(&mut self.wide.expected);
        let of = |&j: &usize| expected[self.place_of(j)];
        if expected.is_empty() { expected } else { set.iter().map(of).collect() }
    }

    /// Number of a column among all of them.
    fn place_of(&self, j: usize) -> usize {
        self.wide.outside.as_ref().map_or(j, |(_, places)| places[j])
    }

    /// The rows of a block of columns of `set`; once for a path where their weights do not change.
    fn turn(&mut self, set: &[usize], members: &[usize], scale: Vec<f64>, local: Local<'_>) -> Option<Arc<TurnedRows>> {
        let first = self.place_of(set[members[0]]);
        let kept = self.wide.turned.get(&first).filter(|kept| L::IS_SQUARE && kept.len() == members.len());
        if let Some(kept) = kept {
            return Some(kept.clone());
        }
        let columns: Vec<Column<'_>> = members.iter().map(|&j| local.columns[j]).collect();
        let turned = Arc::new(TurnedRows::new(&columns, scale, local.weights, local.centred)?);
        if L::IS_SQUARE {
            self.wide.turned.insert(first, turned.clone());
        }
        Some(turned)
    }

    /// Narrows the model to some columns; false if it is narrowed already.
    pub(super) fn keep_only(&mut self, set: &[usize]) -> bool {
        if self.wide.outside.is_some() {
            return false;
        }
        let columns = set.iter().map(|&j| self.columns[j]).collect();
        self.wide.outside = Some((std::mem::replace(&mut self.columns, columns), set.to_vec()));
        self.sums = self.sums.on(set, false);
        true
    }

    /// Takes all columns back.
    pub(super) fn take_back(&mut self) {
        if let Some((columns, _)) = self.wide.outside.take() {
            self.columns = columns;
            std::mem::swap(&mut self.origin, &mut self.eta);
            self.pass(Some((&[], 0.0)), 1.0, false);
        }
    }
}

/// Whether sweeps over the stored values of columns cost less than a factorisation of their Gram matrix.
fn rows_are_cheap(columns: &[Column<'_>]) -> bool {
    /// Operations on a stored value, by an estimate of how many sweeps there are.
    const SWEEPS: usize = 60;
    let stored: usize = columns.iter().map(Column::n_stored).sum();
    let is_sparse = columns.iter().all(Column::is_sparse);
    let is_mixed = !is_sparse && columns.iter().any(Column::is_sparse);
    SWEEPS * stored < columns.len().saturating_pow(3) && !is_mixed
}
