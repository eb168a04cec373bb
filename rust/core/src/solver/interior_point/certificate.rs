//! The duality gap of a point and a theta.
//!
//! theta loses what it has of the unpenalised directions B: `theta - D A B c` with `B' A' Omega D A B c = B' A' Omega
//! theta`, D the diagonal of the last step, so that rows at an end of their interval stay there. Scaled by the largest
//! feasible `s <= 1`, with `u = Z' Omega theta`,
//!
//! ```text
//! gap = sum_i omega_i [ r_i+ (level - s theta_i) + r_i- (s theta_i + 1 - level) ]  +  [ pen(x) + pen*(s u) - s u'x ]
//! ```

use super::problem::{Problem, mean_loss};
use super::system::{System, ridged_factor};
use crate::columns::combine;
use crate::penalty::Directions;

/// Part of a direction's reach that may be left of theta after the projection.
const LEFT: f64 = 1e-12;
/// Part of it that is rounding.
const ROUNDING: f64 = 1e-16;
/// Projections, each of which takes away what the last one left by rounding.
const PROJECTIONS: usize = 3;

/// A point with its gap.
#[derive(Debug, Clone)]
pub struct Certified {
    /// Columns and intercept.
    pub x: Vec<f64>,
    /// Feasible dual point.
    pub theta: Vec<f64>,
    /// Duality gap; infinite where theta could not be made feasible.
    pub gap: f64,
    /// Mean loss and penalty.
    pub objective: f64,
}

impl Certified {
    /// The constant fit, without a certificate.
    pub fn nothing(problem: &Problem<'_>) -> Self {
        let objective = mean_loss(&problem.target[..problem.n], &problem.weight, problem.level);
        Self { x: vec![0.0; problem.width()], theta: vec![0.0; problem.n], gap: f64::INFINITY, objective }
    }

    /// Of a point whose columns are as they come, brought into the box.
    pub fn new(problem: &Problem<'_>, x: Vec<f64>, theta: &[f64], system: &System) -> Self {
        Self::holding(problem, x, theta, system, &[])
    }

    /// Of a point whose columns are at 0 where they are to stay there: the slope of all others with an L1 weight is
    /// brought to that weight, which a weight near the rounding of theta needs.
    pub fn rounded(problem: &Problem<'_>, x: Vec<f64>, theta: &[f64], system: &System) -> Self {
        let inside = |&&j: &&usize| {
            x[j] != 0.0
                && x[j] > problem.penalty.lower[j]
                && x[j] < problem.penalty.upper[j]
                && problem.penalty.l2[j] == 0.0
        };
        let in_block = problem.penalty.in_block();
        let held: Vec<usize> = problem.l1_columns.iter().filter(inside).copied().filter(|&j| !in_block[j]).collect();
        Self::holding(problem, x, theta, system, &held)
    }

    fn holding(problem: &Problem<'_>, mut x: Vec<f64>, theta: &[f64], system: &System, held: &[usize]) -> Self {
        let ends = problem.penalty.lower.iter().zip(&problem.penalty.upper);
        x.iter_mut().zip(ends).for_each(|(x, (low, high))| *x = x.clamp(*low, *high));
        let fitted = problem.times(&x);
        let residual: Vec<f64> = (0..problem.n).map(|i| problem.target[i] - fitted[i]).collect();
        let b = &x[..problem.k];
        let objective = mean_loss(&residual, &problem.weight, problem.level) + problem.penalty.value(b);
        let free = problem.penalty.directions(b);
        let Some((mut theta, u)) = project(problem, &Demands::new(problem, b, &free, held), theta, system) else {
            return Self { x, theta: theta.to_vec(), gap: f64::INFINITY, objective };
        };
        let s = row_scale(&theta, problem.level).min(problem.penalty.feasible_scale(&u, &free, ROUNDING));
        theta.iter_mut().for_each(|theta| *theta *= s);
        let gap = loss_gap(&residual, &theta, problem) + problem.penalty.fenchel(b, &u, s, &free, ROUNDING);
        Self { x, theta, gap: if gap.is_nan() { f64::INFINITY } else { gap }, objective }
    }
}

fn loss_gap(residual: &[f64], theta: &[f64], problem: &Problem<'_>) -> f64 {
    let bracket = |i: usize| {
        let end = if residual[i] > 0.0 { problem.level } else { problem.level - 1.0 };
        (residual[i] * (end - theta[i])).max(0.0)
    };
    (0..theta.len()).map(|i| problem.weight[i] * bracket(i)).sum()
}

/// Largest `s <= 1` with `s theta` in `[level - 1, level]`.
fn row_scale(theta: &[f64], level: f64) -> f64 {
    let (low, high) = theta.iter().fold((0.0, 0.0), |(l, h): (f64, f64), t| (l.min(*t), h.max(*t)));
    let above = if high > level { level / high } else { 1.0 };
    let below = if low < level - 1.0 { (level - 1.0) / low } else { 1.0 };
    above.min(below)
}

/// What the slopes of theta have to be along some directions.
struct Demands {
    /// Directions of columns and intercept, as lists of entries.
    basis: Vec<Vec<(usize, f64)>>,
    /// The slope along each.
    goals: Vec<f64>,
    /// The largest that it can be.
    reach: Vec<f64>,
    /// Directions, the first ones, that cannot do without.
    n_free: usize,
}

impl Demands {
    /// 0 along the free directions and the constant, `l1 sign(b)` on the held columns.
    fn new(problem: &Problem<'_>, b: &[f64], free: &Directions, held: &[usize]) -> Self {
        let mut basis = free_basis(problem, b, free);
        let n_free = basis.len();
        let mut goals = vec![0.0; n_free];
        for &j in held {
            basis.push(vec![(j, 1.0)]);
            goals.push(problem.penalty.l1[j] * b[j].signum());
        }
        let reach = basis.iter().map(|d| d.iter().map(|(j, c)| c.abs() * problem.reach[*j]).sum()).collect();
        Self { basis, goals, reach, n_free }
    }

    fn excess(&self, slope: &[f64]) -> Vec<f64> {
        let along = self.basis.iter().map(|d| d.iter().map(|(j, c)| c * slope[*j]).sum::<f64>());
        along.zip(&self.goals).map(|(along, goal)| along - goal).collect()
    }

    fn are_met(&self, excess: &[f64], share: f64) -> bool {
        excess.iter().zip(&self.reach).all(|(e, reach)| e.abs() <= share * reach)
    }
}

/// Directions that theta has to be orthogonal to.
fn free_basis(problem: &Problem<'_>, b: &[f64], free: &Directions) -> Vec<Vec<(usize, f64)>> {
    let unpenalised = problem.penalty.unpenalised();
    // between two bounds the conjugate is finite, but a slope that is 0 costs nothing
    let between = |&j: &usize| {
        let (low, high) = (problem.penalty.lower[j], problem.penalty.upper[j]);
        unpenalised[j] && low.is_finite() && high.is_finite() && b[j] > low && b[j] < high
    };
    let single = free.columns.iter().copied().chain((0..problem.k).filter(between)).chain(problem.k..problem.width());
    let combined = free.combined.iter().map(|direction| direction.iter().copied().enumerate().collect());
    single.map(|j| vec![(j, 1.0)]).chain(combined).collect()
}

/// theta moved to where the demands are met, and `Z' Omega theta`; `None` where the free directions keep a part.
fn project(problem: &Problem<'_>, demands: &Demands, theta: &[f64], system: &System) -> Option<(Vec<f64>, Vec<f64>)> {
    let mut theta = theta.to_vec();
    let mut slope = rows_slope(problem, &theta);
    let mut projector = None;
    for _ in 0..PROJECTIONS {
        let mut excess = demands.excess(&slope);
        if demands.are_met(&excess, ROUNDING) {
            break;
        }
        let projector = projector.get_or_insert_with(|| Projector::new(&demands.basis, system));
        projector.remove(problem, &mut excess, &mut theta)?;
        slope = rows_slope(problem, &theta);
    }
    let left = demands.excess(&slope);
    slope.truncate(problem.k);
    demands.are_met(&left[..demands.n_free], LEFT).then_some((theta, slope))
}

fn rows_slope(problem: &Problem<'_>, theta: &[f64]) -> Vec<f64> {
    let weighted: Vec<f64> = theta.iter().zip(&problem.weight).map(|(t, w)| t * w).collect();
    crate::columns::correlate(&problem.columns, &weighted)
}

/// Takes away parts along a basis.
struct Projector<'s> {
    basis: &'s [Vec<(usize, f64)>],
    factor: Option<crate::linalg::Cholesky>,
    stiffness: &'s [f64],
}

impl<'s> Projector<'s> {
    fn new(basis: &'s [Vec<(usize, f64)>], system: &'s System) -> Self {
        let width = system.width();
        let image = |direction: &Vec<(usize, f64)>| {
            let mut out = vec![0.0; width];
            direction
                .iter()
                .for_each(|(j, c)| crate::simd::axpy(*c, &system.gram[j * width..(j + 1) * width], &mut out));
            out
        };
        let images: Vec<Vec<f64>> = basis.iter().map(image).collect();
        let entry = |image: &Vec<f64>, d: &Vec<(usize, f64)>| d.iter().map(|(j, c)| c * image[*j]).sum();
        let matrix: Vec<f64> =
            images.iter().flat_map(|image| basis.iter().map(move |d| (image, d))).map(|(i, d)| entry(i, d)).collect();
        Self { basis, factor: ridged_factor(&matrix, basis.len()), stiffness: &system.stiffness }
    }

    /// Takes the parts `c` away from theta.
    fn remove(&self, problem: &Problem<'_>, c: &mut [f64], theta: &mut [f64]) -> Option<()> {
        self.factor.as_ref()?.solve(c);
        let mut shift = vec![0.0; problem.width()];
        for (direction, c) in self.basis.iter().zip(c.iter()) {
            direction.iter().for_each(|(j, entry)| shift[*j] += c * entry);
        }
        let all: Vec<usize> = (0..shift.len()).collect();
        let mut fitted = vec![0.0; theta.len()];
        combine(&problem.columns, &all, &shift, &mut fitted);
        for ((theta, d), f) in theta.iter_mut().zip(self.stiffness).zip(&fitted) {
            *theta -= d * f;
        }
        Some(())
    }
}
