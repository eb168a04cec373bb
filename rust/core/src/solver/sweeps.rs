//! Descent on a quadratic problem by sweeps over its columns or blocks, whatever keeps its rows.
//!
//! Sweeps alone converge as slowly as the columns depend on each other. Close to the end they are an affine map of the
//! position, and the combination of a few positions in a row whose next move is shortest lies much further on (Anderson's
//! extrapolation; Bertrand and Massias 2021). It is taken where it lowers the objective.

use crate::linalg::Cholesky;
use crate::simd::{axpy, dot};

/// Sweeps at most.
const MAX_SWEEPS: usize = 200;
/// Moves that an extrapolation looks back on.
const MEMORY: usize = 5;

/// A problem whose units (columns, blocks) are minimised over one after another.
pub(super) trait Sweeps {
    /// Number of units.
    fn n_units(&self) -> usize;

    /// Minimises over one unit; how far it moved, in units of the quadratic form.
    fn update(&mut self, unit: usize) -> f64;

    /// Whether a kink or an end of its box holds the unit.
    fn is_idle(&self, unit: usize) -> bool;

    /// Objective at the position, infinite outside the box.
    fn objective(&self) -> f64;

    /// Coordinates, and after them what is linear in them.
    fn position(&mut self) -> &mut Vec<f64>;

    /// How many of these are coordinates.
    fn n_coordinates(&self) -> usize;
}

/// Sweeps until one moves no unit by more than the part `accuracy` of the first sweep's longest move. After that one it goes
/// on from the position that is `guessed`, if that is the lower one.
pub(super) fn descend(problem: &mut impl Sweeps, accuracy: f64, guessed: Option<Vec<f64>>) {
    let all: Vec<usize> = (0..problem.n_units()).collect();
    let enough = accuracy * sweep(problem, &all);
    if let Some(guessed) = guessed {
        lower(problem, guessed);
    }
    let mut left = MAX_SWEEPS;
    loop {
        let active: Vec<usize> = all.iter().copied().filter(|&unit| !problem.is_idle(unit)).collect();
        let mut past = vec![problem.position().clone()];
        while left > 0 && sweep(problem, &active) > enough {
            left -= 1;
            past.push(problem.position().clone());
            if past.len() > MEMORY {
                extrapolate(problem, &past);
                past = vec![problem.position().clone()];
            }
        }
        left = left.saturating_sub(1);
        if left == 0 || sweep(problem, &all) <= enough {
            return;
        }
    }
}

/// One update of each listed unit; the longest move.
fn sweep(problem: &mut impl Sweeps, units: &[usize]) -> f64 {
    units.iter().fold(0.0, |longest: f64, &unit| longest.max(problem.update(unit)))
}

fn extrapolate(problem: &mut impl Sweeps, past: &[Vec<f64>]) {
    if let Some(further) = combine(past, problem.n_coordinates()) {
        lower(problem, further);
    }
}

/// Moves to another position, unless that is a higher one.
fn lower(problem: &mut impl Sweeps, other: Vec<f64>) {
    let before = problem.objective();
    let here = std::mem::replace(problem.position(), other);
    let after = problem.objective();
    if after.is_nan() || after >= before {
        *problem.position() = here;
    }
}

/// `sum_i c_i x_{i+1}` with sum c = 1 and `|sum_i c_i (x_{i+1} - x_i)|`, over the coordinates, least.
fn combine(past: &[Vec<f64>], n_coordinates: usize) -> Option<Vec<f64>> {
    /// Part of the largest square that keeps dependent moves apart.
    const RIDGE: f64 = 1e-12;
    let difference = |pair: &[Vec<f64>]| {
        let coordinates = pair[1].iter().zip(&pair[0]).take(n_coordinates);
        coordinates.map(|(after, before)| after - before).collect::<Vec<f64>>()
    };
    let moves: Vec<Vec<f64>> = past.windows(2).map(difference).collect();
    let m = moves.len();
    let mut gram: Vec<f64> = moves.iter().flat_map(|a| moves.iter().map(move |b| dot(a, b))).collect();
    let ridge = RIDGE * gram.iter().fold(0.0, |a: f64, v| a.max(*v));
    (0..m).for_each(|i| gram[i * m + i] += ridge);
    let mut share = vec![1.0; m];
    Cholesky::new(&gram, m)?.solve(&mut share);
    let total: f64 = share.iter().sum();
    let mut out = vec![0.0; past[0].len()];
    share.iter().zip(&past[1..]).for_each(|(share, point)| axpy(share / total, point, &mut out));
    // what has not moved stays, at its bound to the last bit
    for (j, out) in out.iter_mut().enumerate().filter(|(j, _)| past.iter().all(|point| point[*j] == past[0][*j])) {
        *out = past[0][j];
    }
    out.iter().all(|v| v.is_finite()).then_some(out)
}
