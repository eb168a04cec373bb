//! Quadratic problems with group norms: block descent finds which groups are at 0, Newton's method does the rest.
//!
//! One block, all others fixed, is solved in the coordinates `c = scale b` of its norm: where the matrix there is diagonal
//! with entries h, the minimiser is `c_j = clip(soft_threshold(z_j, l1_j) / (h_j + weight / r))` at the r that equals its own
//! norm, and 0 where `|soft_threshold(z, l1)| <= weight`. A norm looks the same from all sides, so a block without L1 weights
//! and bounds is turned to its eigenvectors; another one is met through a parabola with the curvature
//! `h = max_i sum_j |G_ij|`, which lies above it. Away from 0 the norm is smooth: on the columns that are not held (see
//! [`Quadratic`]) Newton's method converges quadratically.

use super::coordinate::solve_refined;
use super::separable::{MAX_ROUNDS, MAX_SWEEPS, is_held, kink_between, sign};
use super::turned::{Turned, members_of};
use super::{PIVOT_FLOOR, Quadratic};
use crate::penalty::{Block, ScaledPenalty, soft_threshold};
use crate::simd::{axpy, dot};

/// Columns from which on descent goes further before the first factorisation.
const MANY: usize = 64;
/// Newton steps a round may take.
const MAX_STEPS: usize = 50;

/// A block whose coordinates may be turned.
struct TurnedBlock {
    members: Vec<usize>,
    weight: f64,
    turned: Turned,
}

impl TurnedBlock {
    /// Its minimiser, where its members stand at `b` with that slope of everything but the norm.
    fn goal(&self, b: &[f64], slope: &[f64]) -> Vec<f64> {
        let here = self.turned.position(b.iter().copied());
        let slope = self.turned.slope(slope.iter().copied());
        let rows = slope.iter().zip(here.iter().zip(self.turned.values()));
        let pull: Vec<f64> = rows.map(|(g, (c, h))| g + h * c).collect();
        self.turned.back(&self.turned.minimiser(&pull, self.weight))
    }
}

/// `min_c sum_j h_j c_j^2 / 2 - z_j c_j + l1_j |c_j| + weight |c|` over a box, one entry a member.
struct BlockProblem {
    h: Vec<f64>,
    z: Vec<f64>,
    l1: Vec<f64>,
    lower: Vec<f64>,
    upper: Vec<f64>,
    weight: f64,
}

impl BlockProblem {
    fn minimise(&self) -> Vec<f64> {
        let pull: Vec<f64> = self.z.iter().zip(&self.l1).map(|(z, l1)| soft_threshold(*z, *l1)).collect();
        let can_move = |j: usize| (pull[j] > 0.0 && self.upper[j] > 0.0) || (pull[j] < 0.0 && self.lower[j] < 0.0);
        let strength = length((0..pull.len()).filter(|&j| can_move(j)).map(|j| pull[j]));
        if strength <= self.weight {
            return vec![0.0; pull.len()];
        }
        self.at(&pull, self.radius(&pull))
    }

    fn at(&self, pull: &[f64], r: f64) -> Vec<f64> {
        let one = |j: usize| (pull[j] / (self.h[j] + self.weight / r)).clamp(self.lower[j], self.upper[j]);
        (0..pull.len()).map(one).collect()
    }

    /// The r with `|c(r)| = r`: `|c(r)| / r` falls in r, from above 1 to below.
    fn radius(&self, pull: &[f64]) -> f64 {
        let excess = |r: f64| length(self.at(pull, r).into_iter()) - r;
        let mut high = length(pull.iter().zip(&self.h).map(|(p, h)| p / h));
        let mut low = 0.0;
        let mut r = unbounded_radius(pull, &self.h, self.weight, high);
        // without bounds that is the answer; with them it is where the search begins
        for _ in 0..200 {
            let off = excess(r);
            if off.abs() <= 2.0 * f64::EPSILON * r {
                break;
            }
            if off > 0.0 {
                low = r
            } else {
                high = r
            }
            let middle = 0.5 * (low + high);
            if middle <= low || middle >= high {
                break;
            }
            r = middle;
        }
        r
    }
}

/// Norm of the minimiser of `sum_j h_j c_j^2 / 2 - pull_j c_j + weight |c|`.
pub(super) fn radius(pull: &[f64], h: &[f64], weight: f64) -> f64 {
    if length(pull.iter().copied()) <= weight {
        return 0.0;
    }
    unbounded_radius(pull, h, weight, length(pull.iter().zip(h).map(|(p, h)| p / h)))
}

/// Newton's method from the left on `sum_j (pull_j / (h_j r + weight))^2 = 1`, whose left side is convex and falls.
fn unbounded_radius(pull: &[f64], h: &[f64], weight: f64, top: f64) -> f64 {
    let steepest = h.iter().fold(0.0, |a: f64, h| a.max(*h));
    let mut r = ((length(pull.iter().copied()) - weight) / steepest).clamp(0.0, top);
    for _ in 0..60 {
        let (mut value, mut fall) = (0.0, 0.0);
        for (p, h) in pull.iter().zip(h) {
            let below = h * r + weight;
            value += (p / below).powi(2);
            fall += 2.0 * (p / below).powi(2) * h / below;
        }
        let step = (value - 1.0) / fall;
        if step.is_nan() || step <= 1e-16 * r {
            break;
        }
        r = (r + step).min(top);
    }
    r.max(f64::MIN_POSITIVE)
}

pub(super) fn length(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|v| v * v).sum::<f64>().sqrt()
}

impl Quadratic<'_> {
    /// Rounds of block descent and Newton steps until no column wants to move.
    pub(super) fn with_blocks(&self, b: &mut [f64]) -> bool {
        let single: Vec<usize> = self.outside_blocks();
        let turned: Vec<Option<TurnedBlock>> = self.blocks().map(|block| self.turn(block)).collect();
        let mut slope = self.slope(b);
        // a factorisation costs as much as many sweeps where columns are many
        let mut accuracy: f64 = if self.k > MANY { 1e-4 } else { 1e-2 };
        let mut regular = true;
        let mut best = f64::INFINITY;
        let largest = self.linear.iter().fold(0.0, |a: f64, c| a.max(c.abs()));
        // the rounding of slopes, sums over all columns, grows with their number
        let floor = 1e-16 * largest * (self.k as f64).max(10.0);
        for _ in 0..MAX_ROUNDS {
            self.descend_blocks(&single, &turned, b, &mut slope, accuracy);
            regular = self.newton_steps(b, &mut slope);
            let off = self.penalty.violations(b, &slope).into_iter().fold(0.0, f64::max);
            // at the floor where nothing is gained any more
            if off <= floor || (off <= 1e-12 * largest && off >= 0.5 * best && accuracy < 1e-15) {
                return regular;
            }
            best = best.min(off);
            accuracy = (accuracy * 0.1).max(1e-16);
        }
        regular
    }

    fn blocks(&self) -> impl Iterator<Item = &Block> {
        self.penalty.blocks.iter().filter(|g| g.is_active())
    }

    fn outside_blocks(&self) -> Vec<usize> {
        let inside = self.penalty.in_block();
        (0..self.k).filter(|&j| !inside[j]).collect()
    }

    /// The block in its eigenvectors, if it has neither L1 weights nor bounds.
    fn turn(&self, block: &Block) -> Option<TurnedBlock> {
        let penalty: &ScaledPenalty = self.penalty;
        let (members, scale) = members_of(block);
        if members.iter().any(|&j| penalty.l1[j] > 0.0 || penalty.is_bounded(j)) {
            return None;
        }
        let mut matrix = self.hessian_on(&members);
        let m = members.len();
        matrix.iter_mut().enumerate().for_each(|(at, entry)| *entry /= scale[at / m] * scale[at % m]);
        let turned = Turned::new(&matrix, scale)?;
        Some(TurnedBlock { members, weight: block.weight, turned })
    }

    fn descend_blocks(
        &self,
        single: &[usize],
        turned: &[Option<TurnedBlock>],
        b: &mut [f64],
        slope: &mut [f64],
        accuracy: f64,
    ) {
        let mut largest: f64 = 0.0;
        for _ in 0..MAX_SWEEPS {
            let mut moved = self.sweep(single, b, slope);
            for (block, turned) in self.blocks().zip(turned) {
                let by = match turned {
                    Some(turned) => self.update_turned(turned, b, slope),
                    None => self.update_block(block, b, slope),
                };
                moved = moved.max(by);
            }
            largest = largest.max(moved);
            if moved <= accuracy * largest {
                return;
            }
        }
    }

    /// One update of a turned block; the largest move in units of the quadratic form.
    fn update_turned(&self, block: &TurnedBlock, b: &mut [f64], slope: &mut [f64]) -> f64 {
        let here: Vec<f64> = block.members.iter().map(|&j| b[j]).collect();
        let rest: Vec<f64> = block.members.iter().map(|&j| slope[j] - self.penalty.l2[j] * b[j]).collect();
        let pull = || block.turned.slope_size(rest.iter().copied());
        if here.iter().all(|b| *b == 0.0) && pull() <= block.weight {
            return 0.0;
        }
        let mut largest: f64 = 0.0;
        for (&j, goal) in block.members.iter().zip(block.goal(&here, &rest)) {
            largest = largest.max(self.move_to(j, goal, b, slope) * self.gram[j * self.k + j].sqrt());
        }
        largest
    }

    /// Carries column j to its goal; how far that was.
    fn move_to(&self, j: usize, goal: f64, b: &mut [f64], slope: &mut [f64]) -> f64 {
        let moved = goal - b[j];
        if moved != 0.0 {
            b[j] = goal;
            axpy(-moved, self.column(j), slope);
        }
        moved.abs()
    }

    /// One update of a block; the largest move in units of the quadratic form.
    fn update_block(&self, block: &Block, b: &mut [f64], slope: &mut [f64]) -> f64 {
        let (members, scale) = members_of(block);
        let members: Vec<(usize, f64)> = members.into_iter().zip(scale).collect();
        let row = |j: usize| members.iter().map(|(i, _)| self.gram[j * self.k + i].abs()).sum::<f64>();
        let h = members.iter().map(|(j, _)| row(*j) + self.penalty.l2[*j]).fold(0.0, f64::max);
        if h <= 0.0 {
            return 0.0;
        }
        let pick = |f: &dyn Fn(usize, f64) -> f64| members.iter().map(|(j, s)| f(*j, *s)).collect::<Vec<f64>>();
        let problem = BlockProblem {
            h: pick(&|_, s| h / (s * s)),
            z: pick(&|j, s| (slope[j] - self.penalty.l2[j] * b[j] + h * b[j]) / s),
            l1: pick(&|j, s| self.penalty.l1[j] / s),
            lower: pick(&|j, s| self.penalty.lower[j] * s),
            upper: pick(&|j, s| self.penalty.upper[j] * s),
            weight: block.weight,
        };
        let mut largest: f64 = 0.0;
        for ((j, s), c) in members.iter().zip(problem.minimise()) {
            let goal = (c / s).clamp(self.penalty.lower[*j], self.penalty.upper[*j]);
            largest = largest.max(self.move_to(*j, goal, b, slope) * h.sqrt());
        }
        largest
    }

    /// Newton steps on the columns that are not held and whose block is not 0, until they gain nothing. False where the
    /// last system was too dependent.
    fn newton_steps(&self, b: &mut [f64], slope: &mut Vec<f64>) -> bool {
        let mut last = f64::INFINITY;
        for _ in 0..MAX_STEPS {
            *slope = self.slope(b);
            let active = self.active(b);
            let gradient = self.manifold_slope(&active, b, slope);
            let steepest = gradient.iter().fold(0.0, |a: f64, g| a.max(g.abs()));
            if steepest == 0.0 {
                return true;
            }
            let Some((direction, pivot)) = solve_refined(&self.manifold_hessian(&active, b), &gradient) else {
                return false;
            };
            let crossed = self.step(&active, &direction, dot(&gradient, &direction), b, slope);
            *slope = self.slope(b);
            if crossed.is_none() || (crossed == Some(false) && steepest >= 0.5 * last) {
                return pivot > PIVOT_FLOOR;
            }
            last = if crossed == Some(true) { f64::INFINITY } else { steepest };
        }
        true
    }

    fn active(&self, b: &[f64]) -> Vec<usize> {
        let mut asleep = vec![false; self.k];
        for block in self.blocks().filter(|g| g.norm(b) == 0.0) {
            block.members.iter().zip(&block.scale).for_each(|(&j, s)| asleep[j] = *s > 0.0);
        }
        (0..self.k).filter(|&j| !asleep[j] && !is_held(self.penalty, j, b[j])).collect()
    }

    /// `-` gradient of the whole objective on active columns.
    fn manifold_slope(&self, active: &[usize], b: &[f64], slope: &[f64]) -> Vec<f64> {
        let mut norm = vec![0.0; self.k];
        for block in self.blocks() {
            let size = block.norm(b);
            for (&j, s) in block.members.iter().zip(&block.scale).filter(|_| size > 0.0) {
                norm[j] = block.weight * s * s * b[j] / size;
            }
        }
        let one = |j: usize| slope[j] - self.penalty.l2[j] * b[j] - self.penalty.l1[j] * sign(b[j]) - norm[j];
        active.iter().map(|&j| one(j)).collect()
    }

    /// `G + diag l2` plus `weight (S / r - S b b' S / r^3)` of every block, S the squared scales and r its norm.
    fn manifold_hessian(&self, active: &[usize], b: &[f64]) -> Vec<f64> {
        let m = active.len();
        let mut place = vec![usize::MAX; self.k];
        active.iter().enumerate().for_each(|(a, &j)| place[j] = a);
        let mut hessian = self.hessian_on(active);
        for block in self.blocks() {
            let r = block.norm(b);
            let members: Vec<(usize, usize, f64)> = block
                .members
                .iter()
                .zip(&block.scale)
                .filter(|(j, s)| place[**j] != usize::MAX && **s > 0.0)
                .map(|(&j, s)| (place[j], j, s * s))
                .collect();
            for &(a, i, si) in &members {
                hessian[a * m + a] += block.weight * si / r;
                for &(c, j, sj) in &members {
                    hessian[c * m + a] -= block.weight * (si * b[i] / r) * (sj * b[j] / r) / r;
                }
            }
        }
        hessian
    }

    /// Moves along a direction as far as no column meets a kink and the objective falls. `Some(true)` if a column met
    /// one, `None` if no step helps.
    fn step(&self, active: &[usize], direction: &[f64], promised: f64, b: &mut [f64], slope: &[f64]) -> Option<bool> {
        let start = b.to_vec();
        let meets = active.iter().zip(direction).filter_map(|(&j, d)| {
            let kink = kink_between(self.penalty, j, b[j], b[j] + d)?;
            Some(((kink - b[j]) / d, j, kink))
        });
        let first = meets.min_by(|a, b| a.0.total_cmp(&b.0));
        let curvature = self.form(active, direction);
        let along: f64 = active.iter().zip(direction).map(|(&j, d)| slope[j] * d).sum();
        let value = self.penalty.value(&start);
        let mut t = first.map_or(1.0, |(t, ..)| t);
        for halvings in 0..40 {
            active.iter().zip(direction).for_each(|(&j, d)| b[j] = start[j] + t * d);
            if let Some((_, j, kink)) = first.filter(|_| halvings == 0) {
                b[j] = kink;
            }
            let change = 0.5 * t * t * curvature - t * along + (self.penalty.value(b) - value);
            if change <= -1e-4 * t * promised + 1e-15 * value.abs() {
                return Some(first.is_some() && halvings == 0);
            }
            t *= 0.5;
        }
        b.copy_from_slice(&start);
        None
    }

    /// `d' G d` for a direction on some columns.
    fn form(&self, active: &[usize], direction: &[f64]) -> f64 {
        let row = |&j: &usize| active.iter().zip(direction).map(|(i, d)| self.gram[j * self.k + i] * d).sum::<f64>();
        active.iter().zip(direction).map(|(j, d)| d * row(j)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::weighted_gram;
    use crate::penalty::ScaledPenalty;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn stationary(
            values in prop::collection::vec(-3.0..3.0f64, 120),
            l1 in prop::collection::vec(0.0..1.0f64, 8),
            weights in prop::collection::vec(0.0..4.0f64, 3),
            scale in prop::collection::vec(0.1..2.0f64, 8),
            ends in prop::collection::vec(0.0..1.0f64, 16),
            with_l1: bool,
            with_box: bool,
        ) {
            let k = 8;
            let columns: Vec<Vec<f64>> = (0..k).map(|j| values[j * 12..(j + 1) * 12].to_vec()).collect();
            let views: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
            let gram = weighted_gram(&views, &[0.3; 12]);
            let linear: Vec<f64> = columns.iter().map(|c| 0.09 * dot(c, &values[108..])).collect();
            let mut penalty = ScaledPenalty::separable(if with_l1 { l1 } else { vec![0.0; k] }, vec![0.0; k]);
            for j in (0..k).filter(|_| with_box) {
                penalty.upper[j] = if ends[j] < 0.5 { ends[j] } else { f64::INFINITY };
                penalty.lower[j] = if ends[8 + j] < 0.5 { -ends[8 + j] } else { f64::NEG_INFINITY };
            }
            // column 7 stands alone
            for (members, weight) in [vec![0, 1], vec![2, 3, 4], vec![5, 6]].into_iter().zip(weights) {
                let scale = members.iter().map(|&j: &usize| scale[j]).collect();
                penalty.blocks.push(Block { weight, members, scale });
            }
            let q = Quadratic { k, gram: &gram, linear: &linear, penalty: &penalty };
            let mut b = vec![0.0; k];
            if q.minimise(&mut b) {
                let off = penalty.violations(&b, &q.slope(&b)).into_iter().fold(0.0, f64::max);
                prop_assert!(off < 1e-10, "off by {}", off);
            }
        }
    }
}
