//! Dual points of the softmax loss.

use super::Softmax;
use super::hessian::System;
use crate::columns::correlate;
use crate::linalg::{Cholesky, least_squares};
use crate::penalty::Directions;
use crate::simd::{axpy, dot, multiply};
use crate::solver::{Model, PIVOT_FLOOR};

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
        let theta = self.residuals_less(&field, majorised);
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
    fn residuals_less(&self, field: &[f64], majorised: bool) -> Vec<f64> {
        let n = self.labels.len();
        let mut theta = vec![0.0; field.len()];
        for (i, &y) in self.labels.iter().enumerate() {
            let entries = || (i..field.len()).step_by(n);
            let weight = |e: usize| if majorised { 1.0 / self.n_classes as f64 } else { self.probability[e] };
            // W f = p (f - sum p f) for the other classes, f taken about y's entry: where p_y is near 1 nothing cancels
            let own = field[y * n + i];
            let mean: f64 = entries().map(|e| weight(e) * (field[e] - own)).sum();
            let mut rest = 0.0;
            for e in entries().filter(|e| *e != y * n + i) {
                let scale = if majorised { 0.5 } else { self.probability[e] };
                theta[e] = -self.probability[e] - scale * ((field[e] - own) - mean);
                rest += theta[e];
            }
            theta[y * n + i] = -rest;
        }
        theta
    }

    /// `Z' Omega theta`.
    fn correlation(&self, theta: &[f64]) -> Vec<f64> {
        let mut weighted = vec![0.0; self.labels.len()];
        let mut correlation = Vec::with_capacity(self.n_columns());
        for k in 0..self.n_classes {
            multiply(&theta[self.rows_of(k)], self.omega, &mut weighted);
            correlation.extend(correlate(&self.columns, &weighted));
        }
        correlation
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
        let n = self.labels.len();
        let mut scale: f64 = 1.0;
        for (e, theta) in theta.iter().enumerate().filter(|(_, theta)| **theta > 0.0) {
            let is_own = self.labels[e % n] == e / n;
            scale = scale.min(if is_own { theta.recip() } else { 0.0 });
        }
        scale
    }

    /// Kullback-Leibler divergence of `q = e_y - s theta` from p in row i.
    pub(super) fn divergence(&self, theta: &[f64], s: f64, i: usize) -> f64 {
        let n = self.labels.len();
        let share = |k: usize| {
            let e = k * n + i;
            let q = if self.labels[i] == k { 1.0 - s * theta[e] } else { -s * theta[e] };
            let log_p = (self.eta[e] - self.top[i]) - self.log_sum[i];
            relative_entropy(q, self.probability[e], self.residual(k, i) - s * theta[e], log_p)
        };
        (0..self.n_classes).map(share).sum()
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

/// `q log(q / p) - q + p` with `q = p + delta`, at least 0; summed over the classes of two distributions it is their
/// divergence, without the cancellation of its first-order terms.
pub(super) fn relative_entropy(q: f64, p: f64, delta: f64, log_p: f64) -> f64 {
    let ratio = delta / p;
    let share = if q == 0.0 {
        p
    } else if ratio.abs() < 0.5 {
        p * excess(ratio)
    } else {
        // from log p, since p may have been rounded to 0
        q * (q.ln() - log_p) - delta
    };
    // not `max`, which would turn NaN into a certificate
    if share < 0.0 { 0.0 } else { share }
}

/// `(1 + x) log(1 + x) - x`.
fn excess(x: f64) -> f64 {
    if x.abs() < 0.01 {
        // the terms x^n (-1)^n / (n (n - 1)) up to n = 8
        let tail = 1.0 / 20.0 - x * (1.0 / 30.0 - x * (1.0 / 42.0 - x / 56.0));
        x * x * (0.5 - x * (1.0 / 6.0 - x * (1.0 / 12.0 - x * tail)))
    } else {
        (1.0 + x) * x.ln_1p() - x
    }
}
