//! Quadratic problems on the rows of dense columns: descent over columns and blocks without their Gram matrix.
//!
//! With q the columns, centred where an intercept has been eliminated and times the roots of the rows' weights, the
//! Hessian is `q'q`, and an update costs two passes over the unit's columns. A block is kept in the eigenvectors of its own
//! part of the Hessian, where its minimiser is known up to one number.

use std::sync::Arc;

use super::block::length;
use super::rows::Local;
use super::separable::is_held;
use super::sweeps::{Sweeps, descend};
use super::turned::{Turned, members_of};
use crate::columns::Column;
use crate::panel::Panel;
use crate::penalty::ScaledPenalty;
use crate::simd::{axpy, dot, sum};

/// The rows of a block's columns in its turned coordinates.
#[derive(Debug)]
pub(super) struct TurnedRows {
    turned: Turned,
    rows: Panel,
}

impl TurnedRows {
    /// None where the columns have no curvature at all.
    pub(super) fn new(columns: &[Column<'_>], scale: Vec<f64>, weights: &[f64], centred: bool) -> Option<Self> {
        let mut rooted: Vec<Vec<f64>> = columns.iter().map(|column| root_rows(column, weights, centred)).collect();
        rooted.iter_mut().zip(&scale).for_each(|(q, s)| q.iter_mut().for_each(|q| *q /= s));
        let gram: Vec<f64> = rooted.iter().flat_map(|a| rooted.iter().map(move |b| dot(a, b))).collect();
        let turned = Turned::new(&gram, scale)?;
        let mut rows = vec![0.0; columns.len() * weights.len()];
        for (out, vector) in rows.chunks_exact_mut(weights.len()).zip(turned.vectors()) {
            vector.iter().zip(&rooted).for_each(|(v, q)| axpy(*v, q, out));
        }
        Some(Self { turned, rows: Panel::new(weights.len(), rows) })
    }

    /// Number of columns.
    pub(super) fn len(&self) -> usize {
        self.turned.len()
    }
}

/// `sqrt w (z - mean z)`, the mean weighted, and 0 without an intercept.
fn root_rows(column: &Column<'_>, weights: &[f64], centred: bool) -> Vec<f64> {
    let z = column.to_dense(weights.len());
    let mean = if centred { dot(&z, weights) / sum(weights) } else { 0.0 };
    z.iter().zip(weights).map(|(z, w)| w.sqrt() * (z - mean)).collect()
}

/// What is minimised over at once.
enum Unit {
    Column { j: usize, rows: Vec<f64>, curvature: f64 },
    Block { members: Vec<usize>, weight: f64, turned: Arc<TurnedRows> },
}

/// Descent under L1 weights and the norms of whole blocks.
pub(super) struct DenseDescent<'a> {
    local: Local<'a>,
    units: Vec<Unit>,
    /// Where the coordinates of each unit begin.
    first: Vec<usize>,
    n_coordinates: usize,
    /// Slopes at the start, and the start, in the units' coordinates.
    linear: Vec<f64>,
    start: Vec<f64>,
    /// Coordinates, and the rows `q d`.
    position: Vec<f64>,
}

/// Whether every column has an L1 weight, or belongs to a block that has nothing else.
pub(super) fn is_served(penalty: &ScaledPenalty) -> bool {
    let inside = penalty.in_block();
    let is_plain = |j: usize| penalty.l1[j] == 0.0 && penalty.l2[j] == 0.0 && !penalty.is_bounded(j);
    penalty.metric.is_none() && (0..inside.len()).all(|j| if inside[j] { is_plain(j) } else { penalty.l1[j] > 0.0 })
}

impl<'a> DenseDescent<'a> {
    /// `turn` finds the rows of a block's members with a scale.
    pub(super) fn new(
        local: Local<'a>,
        mut turn: impl FnMut(&[usize], Vec<f64>) -> Option<Arc<TurnedRows>>,
    ) -> Option<Self> {
        let Local { columns, weights, centred, slope, penalty, start, .. } = local;
        let inside = penalty.in_block();
        let mut this = Self {
            local,
            units: vec![],
            first: vec![],
            n_coordinates: 0,
            linear: vec![],
            start: vec![],
            position: vec![],
        };
        for j in (0..columns.len()).filter(|&j| !inside[j]) {
            let rows = root_rows(&columns[j], weights, centred);
            let curvature = dot(&rows, &rows);
            this.push(Unit::Column { j, rows, curvature }, vec![slope[j]], vec![start[j]]);
        }
        for block in penalty.blocks.iter().filter(|block| block.is_active()) {
            let (members, scale) = members_of(block);
            let turned = turn(&members, scale)?;
            let linear = turned.turned.slope(members.iter().map(|&j| slope[j]));
            let here = turned.turned.position(members.iter().map(|&j| start[j]));
            this.push(Unit::Block { members, weight: block.weight, turned }, linear, here);
        }
        this.position = this.start.clone();
        this.position.resize(this.n_coordinates + weights.len(), 0.0);
        Some(this)
    }

    fn push(&mut self, unit: Unit, linear: Vec<f64>, start: Vec<f64>) {
        self.first.push(self.n_coordinates);
        self.n_coordinates += start.len();
        self.units.push(unit);
        self.linear.extend(linear);
        self.start.extend(start);
    }

    /// The minimiser, until moves are about the part `accuracy` of the first ones.
    pub(super) fn goal(mut self, accuracy: f64) -> Vec<f64> {
        let guessed = self.guessed();
        descend(&mut self, accuracy, guessed);
        let mut goal = self.local.start.to_vec();
        for (unit, &first) in self.units.iter().zip(&self.first) {
            match unit {
                Unit::Column { j, .. } => goal[*j] = self.position[first],
                Unit::Block { members, turned, .. } => {
                    let b = turned.turned.back(&self.position[first..first + turned.len()]);
                    members.iter().zip(b).for_each(|(&j, b)| goal[j] = b);
                }
            }
        }
        goal
    }

    fn update_block(&mut self, unit: usize) -> f64 {
        let first = self.first[unit];
        let Unit::Block { weight, turned, .. } = &self.units[unit] else { return 0.0 };
        let (coordinates, rows) = self.position.split_at_mut(self.n_coordinates);
        let c = &mut coordinates[first..first + turned.len()];
        let slope = self.linear[first..].iter().zip(turned.rows.correlate(rows)).map(|(l, q)| l - q);
        let values = turned.turned.values();
        let pull: Vec<f64> = slope.zip(values.iter().zip(&*c)).map(|(s, (h, c))| s + h * c).collect();
        let goal = turned.turned.minimiser(&pull, *weight);
        let moves: Vec<f64> = goal.iter().zip(&*c).map(|(goal, c)| goal - c).collect();
        let longest = moves.iter().zip(values).fold(0.0, |a: f64, (moved, h)| a.max(moved.abs() * h.sqrt()));
        if longest > 0.0 {
            turned.rows.add(&moves, rows);
            c.copy_from_slice(&goal);
        }
        longest
    }

    /// The position that is expected.
    fn guessed(&self) -> Option<Vec<f64>> {
        if self.local.expected.is_empty() {
            return None;
        }
        let mut position = self.position.clone();
        let (c, rows) = position.split_at_mut(self.n_coordinates);
        for (unit, &first) in self.units.iter().zip(&self.first) {
            match unit {
                Unit::Column { j, rows: q, .. } => {
                    let moved = self.local.guess(*j) - std::mem::replace(&mut c[first], self.local.guess(*j));
                    axpy(moved, q, rows);
                }
                Unit::Block { members, turned, .. } => {
                    let moves = turned.turned.position(members.iter().map(|&j| self.local.expected[j]));
                    let c = &mut c[first..first + moves.len()];
                    if c.iter().any(|c| *c != 0.0) {
                        turned.rows.add(&moves, rows);
                        axpy(1.0, &moves, c);
                    }
                }
            }
        }
        Some(position)
    }
}

impl Sweeps for DenseDescent<'_> {
    fn n_units(&self) -> usize {
        self.units.len()
    }

    fn update(&mut self, unit: usize) -> f64 {
        let Unit::Column { j, rows: q, curvature } = &self.units[unit] else { return self.update_block(unit) };
        let first = self.first[unit];
        let (coordinates, rows) = self.position.split_at_mut(self.n_coordinates);
        let b = &mut coordinates[first];
        let slope = self.linear[first] - dot(q, rows);
        // a column without curvature stays: it has no slope but rounding
        let goal = if *curvature > 0.0 { self.local.penalty.prox(*j, slope + curvature * *b, *curvature) } else { *b };
        let moved = goal - *b;
        if moved != 0.0 {
            *b = goal;
            axpy(moved, q, rows);
        }
        moved.abs() * curvature.sqrt()
    }

    fn is_idle(&self, unit: usize) -> bool {
        let at = self.first[unit];
        match &self.units[unit] {
            Unit::Column { j, .. } => is_held(self.local.penalty, *j, self.position[at]),
            Unit::Block { turned, .. } => self.position[at..at + turned.len()].iter().all(|c| *c == 0.0),
        }
    }

    fn objective(&self) -> f64 {
        let (c, rows) = self.position.split_at(self.n_coordinates);
        let value = |(unit, &at): (&Unit, &usize)| match unit {
            Unit::Column { j, .. } => self.local.penalty.bounded_value(*j, c[at]),
            Unit::Block { weight, turned, .. } => weight * length(c[at..at + turned.len()].iter().copied()),
        };
        let penalty: f64 = self.units.iter().zip(&self.first).map(value).sum();
        0.5 * dot(rows, rows) - (dot(&self.linear, c) - dot(&self.linear, &self.start)) + penalty
    }

    fn position(&mut self) -> &mut Vec<f64> {
        &mut self.position
    }

    fn n_coordinates(&self) -> usize {
        self.n_coordinates
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::columns::centred_gram;
    use crate::loss::{Logistic, Loss, Squared};
    use crate::penalty::Block;
    use crate::solver::newton::{Status, Stop};
    use crate::solver::{Fitter, Glm};

    /// Columns that share a factor, and a target of every tenth one.
    fn table(n: usize, k: usize) -> (Vec<Vec<f64>>, Vec<f64>) {
        let mut state = (n * k) as u64;
        let mut draw = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1u64 << 53) as f64 - 0.5
        };
        let factor: Vec<f64> = (0..n).map(|_| draw()).collect();
        let columns: Vec<Vec<f64>> = (0..k).map(|_| factor.iter().map(|f| draw() + 0.3 * f).collect()).collect();
        let mut target: Vec<f64> = (0..n).map(|_| draw()).collect();
        columns.iter().step_by(10).for_each(|column| axpy(2.0 * draw(), column, &mut target));
        (columns, target)
    }

    fn penalty(k: usize, group: usize, alpha: f64) -> ScaledPenalty {
        if group == 1 {
            return ScaledPenalty::separable(vec![alpha; k], vec![0.0; k]);
        }
        let mut penalty = ScaledPenalty::none(k);
        let blocks = (0..k).step_by(group).map(|first| Block {
            weight: alpha,
            members: (first..first + group).collect(),
            scale: vec![1.0; group],
        });
        penalty.blocks = blocks.collect();
        penalty
    }

    #[test]
    fn descent_on_rows_meets_the_conditions_of_the_gram_matrix() {
        let (n, k) = (30, 14);
        let (columns, target) = table(n, k);
        let columns: Vec<Column<'_>> = columns.iter().map(|column| Column::Dense(column)).collect();
        let weights: Vec<f64> = (0..n).map(|i| (1 + i % 4) as f64 / 100.0).collect();
        let slope: Vec<f64> = columns.iter().map(|column| 0.1 * column.dot(&target)).collect();
        let gram = centred_gram(&columns, &weights);
        let mut penalty = penalty(k, 1, 0.05);
        penalty.upper[0] = 0.1;
        for (first, scale) in [(4, 0.5), (8, 2.0)] {
            let members: Vec<usize> = (first..first + 4).collect();
            members.iter().for_each(|&j| penalty.l1[j] = 0.0);
            penalty.blocks.push(Block { weight: 0.1, members, scale: vec![1.0, scale, 1.0, 1.0] });
        }
        let start: Vec<f64> = (0..k).map(|j| if j % 3 == 0 { 0.05 } else { 0.0 }).collect();
        let (columns, weights) = (columns.as_slice(), weights.as_slice());
        let (slope, expected) = (slope.as_slice(), slope.as_slice());
        let local = Local { columns, weights, centred: true, slope, penalty: &penalty, start: &start, expected };
        let turn = |members: &[usize], scale: Vec<f64>| {
            let columns: Vec<Column<'_>> = members.iter().map(|&j| columns[j]).collect();
            TurnedRows::new(&columns, scale, weights, true).map(Arc::new)
        };
        let b = DenseDescent::new(local, turn).unwrap().goal(1e-13);
        let mut rest = slope.to_vec();
        let moves = b.iter().zip(&start).map(|(b, a)| b - a);
        moves.zip(gram.chunks_exact(k)).for_each(|(d, column)| axpy(-d, column, &mut rest));
        assert!(penalty.violations(&b, &rest).iter().all(|off| *off < 1e-11), "{:?}", penalty.violations(&b, &rest));
        assert!(b.contains(&0.0) && b.iter().any(|b| *b != 0.0));
    }

    /// Narrowed fits, the kept Gram matrix, descent on rows: a fit that comes after others is the one that starts anew.
    fn a_path_equals_cold_fits<L: Loss>(loss: L, n: usize, k: usize, group: usize, intercept: bool) {
        let (columns, target) = table(n, k);
        let y: Vec<f64> = target.iter().map(|t| if L::IS_SQUARE { *t } else { f64::from(*t > 0.0) }).collect();
        let omega = vec![1.0 / n as f64; n];
        let columns: Vec<Column<'_>> = columns.iter().map(|column| Column::Dense(column)).collect();
        let mean = dot(&omega, &y);
        let null = intercept.then(|| loss.null_range(&y, mean));
        let cold = || Glm::new(loss, columns.clone(), (&y, &omega), vec![0.0; n], null, false);
        let cancel = AtomicBool::new(false);
        let slope = cold().slope();
        let top = slope.chunks_exact(group).map(|of| length(of.iter().copied())).fold(0.0, f64::max);
        let (mut warm, mut b) = (cold(), vec![0.0; k]);
        for step in 0..8 {
            let penalty = penalty(k, group, top * 0.7_f64.powi(step));
            let stop = Stop { tol: 1e-12, max_iter: 200, null_objective: cold().mean_loss(), cancel: &cancel };
            let report = warm.minimise(&penalty, &mut b, stop);
            let mut alone = vec![0.0; k];
            cold().minimise(&penalty, &mut alone, stop);
            let size = alone.iter().fold(1e-3, |a: f64, b| a.max(b.abs()));
            let apart = alone.iter().zip(&b).fold(0.0, |a: f64, (x, y)| a.max((x - y).abs()));
            assert_eq!(report.status, Status::Converged, "{n} x {k}, step {step}: {report:?}");
            assert!(apart <= 1e-8 * size, "{n} x {k}, step {step}: {apart} of {size}");
            let off = penalty.largest_violation(&b, &warm.slope(), |_| 1.0);
            assert!(off <= 1e-8 * top, "{n} x {k}, step {step}: {off} of {top}");
        }
    }

    #[test]
    fn wide_paths_equal_cold_fits() {
        a_path_equals_cold_fits(Squared, 40, 1600, 1, false);
        a_path_equals_cold_fits(Squared, 40, 1600, 1, true);
        a_path_equals_cold_fits(Logistic, 60, 700, 1, false);
        a_path_equals_cold_fits(Logistic, 60, 700, 1, true);
        a_path_equals_cold_fits(Squared, 60, 1000, 5, true);
        a_path_equals_cold_fits(Logistic, 60, 1000, 5, true);
    }
}
