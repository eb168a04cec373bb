//! Dual points of the softmax loss.

use super::Softmax;
use super::hessian::System;
use super::rows::Bend;
use crate::linalg::{Cholesky, least_squares};
use crate::penalty::Directions;
use crate::simd::{axpy, dot, multiply};
use crate::solver::PIVOT_FLOOR;

/// Part of the residuals' size that may be left of their correlation with a direction that was projected out.
const LEFT: f64 = 1e-8;

impl Softmax<'_> {
    /// `theta = r - W Z c` with `Z' Omega W Z c = Z' Omega r`, Z the directions given and the intercepts, and
    /// `Z' Omega theta` of all coefficients; `None` unless nothing is left of the directions in it.
    pub(super) fn project(&mut self, free: &Directions, majorised: bool) -> Option<(Vec<f64>, Vec<f64>)> {
        let set = support(free);
        let system = self.system_on(&set, majorised);
        let direction = self.solve(free, &system);
        let answer = direction.as_ref().map(|c| system.answer(&self.along, c));
        self.system = Some(system);
        let mut field = vec![0.0; self.eta.len()];
        self.field(&set, &direction?, &answer?, &mut field);
        let theta = self.residuals_less(field, majorised);
        let correlation = self.correlation(&theta);
        self.is_projected(free, &set, &theta, &correlation).then_some((theta, correlation))
    }

    /// Coefficients of the projection on the system's set. The system is singular where a direction moves all classes
    /// alike; any of its solutions leads to the same theta.
    fn solve(&self, free: &Directions, system: &System) -> Option<Vec<f64>> {
        if !free.combined.is_empty() {
            return solve_combined(free, system);
        }
        let m = system.set.len();
        let kept = self.grounded(system);
        let hessian: Vec<f64> =
            kept.iter().flat_map(|&b| kept.iter().map(move |&a| system.hessian[b * m + a])).collect();
        let slope: Vec<f64> = kept.iter().map(|&a| system.slope[a]).collect();
        let mut direction = vec![0.0; m];
        let solution = solve_semidefinite(&hessian, &slope)?;
        kept.iter().zip(solution).for_each(|(&a, c)| direction[a] = c);
        Some(direction)
    }

    /// Entries of the system without one class of each column that has all of them: that of the largest curvature, which
    /// leaves the rest best conditioned.
    fn grounded(&self, system: &System) -> Vec<usize> {
        let (p, m) = (self.columns.len(), system.set.len());
        let mut counts = vec![0; p];
        system.set.iter().for_each(|index| counts[index % p] += 1);
        let mut ground: Vec<Option<usize>> = vec![None; p];
        let curvature = |a: usize| system.hessian[a * m + a];
        for (a, index) in system.set.iter().enumerate().filter(|(_, index)| counts[**index % p] == self.n_classes) {
            let best = &mut ground[index % p];
            *best = best.filter(|&b| curvature(b) >= curvature(a)).or(Some(a));
        }
        (0..m).filter(|&a| ground[system.set[a] % p] != Some(a)).collect()
    }

    /// `r - W f`; over the classes it has the sum 0, y's entry being the others' sum.
    fn residuals_less(&self, mut field: Vec<f64>, majorised: bool) -> Vec<f64> {
        Bend { labels: &self.labels, omega: self.omega, probability: &self.probability, majorised }.rest(&mut field);
        field
    }

    /// `Z' Omega theta`.
    fn correlation(&self, theta: &[f64]) -> Vec<f64> {
        let mut weighted = vec![0.0; theta.len()];
        let n = self.labels.len().max(1);
        let classes = theta.chunks_exact(n).zip(weighted.chunks_exact_mut(n));
        classes.for_each(|(theta, out)| multiply(theta, self.omega, out));
        self.correlate_classes(&weighted).0
    }

    /// Whether nothing of the residuals' correlation with the directions is left in `theta`.
    fn is_projected(&self, free: &Directions, set: &[usize], theta: &[f64], correlation: &[f64]) -> bool {
        let mut sizes = vec![0.0; correlation.len()];
        for (k, members) in self.members(set).iter().enumerate() {
            let size: Vec<f64> = self.weighted_residuals(k).iter().map(|r| r.abs()).collect();
            let left = dot(self.omega, &theta[self.rows_of(k)]).abs();
            if self.fit_intercept && (left > LEFT * size.iter().sum::<f64>() || left.is_nan()) {
                return false;
            }
            for &j in &members.columns {
                sizes[k * self.columns.len() + j] = self.columns[j].dot_abs(&size);
            }
        }
        let is_gone = |direction: &Vec<f64>| {
            let size: f64 = direction.iter().zip(&sizes).map(|(d, s)| d.abs() * s).sum();
            dot(direction, correlation).abs() <= LEFT * size
        };
        free.columns.iter().all(|&j| correlation[j].abs() <= LEFT * sizes[j]) && free.combined.iter().all(is_gone)
    }

    /// Largest `s <= 1` with `e_y - s theta` a distribution in every row.
    pub(super) fn feasible_scale(&self, theta: &[f64]) -> f64 {
        let mut scale: f64 = 1.0;
        for (k, theta) in theta.chunks_exact(self.labels.len().max(1)).enumerate() {
            for (label, theta) in self.labels.iter().zip(theta).filter(|(_, theta)| **theta > 0.0) {
                scale = scale.min(if *label == k { theta.recip() } else { 0.0 });
            }
        }
        scale
    }
}

/// Coefficients that some directions involve.
fn support(free: &Directions) -> Vec<usize> {
    let combined = free.combined.iter().flat_map(|d| (0..d.len()).filter(|&index| d[index] != 0.0));
    let mut set: Vec<usize> = free.columns.iter().copied().chain(combined).collect();
    set.sort_unstable();
    set.dedup();
    set
}

/// Coefficients of the projection where some directions are combined: a solution within the span of all of them.
fn solve_combined(free: &Directions, system: &System) -> Option<Vec<f64>> {
    let m = system.set.len();
    let single = free.columns.iter().map(|j| system.set.iter().map(|index| f64::from(index == j)).collect());
    let combined = free.combined.iter().map(|d| system.set.iter().map(|&index| d[index]).collect());
    let basis: Vec<Vec<f64>> = single.chain(combined).collect();
    let images: Vec<Vec<f64>> =
        basis.iter().map(|d| (0..m).map(|a| dot(&system.hessian[a * m..(a + 1) * m], d)).collect()).collect();
    let hessian: Vec<f64> = images.iter().flat_map(|image| basis.iter().map(move |d| dot(image, d))).collect();
    let slope: Vec<f64> = basis.iter().map(|d| dot(d, &system.slope)).collect();
    let mut direction = vec![0.0; m];
    for (c, d) in solve_semidefinite(&hessian, &slope)?.iter().zip(&basis) {
        axpy(*c, d, &mut direction);
    }
    Some(direction)
}

/// A solution of a system with a positive semidefinite matrix: by its factor, or of least norm (about a unit diagonal)
/// where it is singular.
fn solve_semidefinite(matrix: &[f64], rhs: &[f64]) -> Option<Vec<f64>> {
    let k = rhs.len();
    let mut x = rhs.to_vec();
    if k == 0 {
        return Some(x);
    }
    if let Some(factor) = Cholesky::new(matrix, k).filter(|factor| factor.smallest_pivot() > PIVOT_FLOOR) {
        factor.solve(&mut x);
        return Some(x);
    }
    let unit = |j: usize| if matrix[j * k + j] > 0.0 { matrix[j * k + j].sqrt().recip() } else { 0.0 };
    let scale: Vec<f64> = (0..k).map(unit).collect();
    let scaled: Vec<f64> = matrix.iter().enumerate().map(|(e, v)| v * scale[e / k] * scale[e % k]).collect();
    x.iter_mut().zip(&scale).for_each(|(x, s)| *x *= s);
    let fit = least_squares(&scaled, k, k, &x)?;
    let x: Vec<f64> = fit.x.iter().zip(&scale).map(|(x, s)| x * s).collect();
    x.iter().all(|x| x.is_finite()).then_some(x)
}
