//! Dual points: residuals whose correlation with unpenalised directions is projected out.

use super::Glm;
use crate::columns::{Column, combine, correlate, correlate_pair};
use crate::linalg::{Cholesky, solve_singular};
use crate::loss::Loss;
use crate::penalty::Directions;
use crate::simd::dot;
use crate::solver::least_squares::Regression;
use crate::solver::{Dual, PIVOT_FLOOR};

impl<'a, L: Loss> Glm<'a, L> {
    /// The dual point of the position: its residuals, projected. Where the curvature cannot project (rows on the flat or straight part of a loss), the majorant can.
    pub(super) fn projected(&mut self, free: &Directions) -> Option<Dual> {
        let mut store = vec![];
        let columns: Vec<Column<'a>> = if free.is_empty() { vec![] } else { self.columns.clone() };
        let directions = free_columns(&columns, self.y.len(), free, &mut store);
        let weights = self.weighted(&self.curvature);
        let curvature = std::mem::take(&mut self.curvature);
        let by_curvature = self.project(&directions, &curvature, &weights);
        self.curvature = curvature;
        let by_curvature = by_curvature.filter(|theta| self.is_projected(&directions, theta));
        let (theta, correlation) = match by_curvature {
            // Z' Omega (r - shift W 1), without another pass over the rows
            Some(theta) if directions.is_empty() => {
                let shift = if self.fit_intercept { self.system.answer(&[]) } else { 0.0 };
                (theta, self.correlation(shift))
            }
            Some(theta) => {
                let correlation = correlate(&self.columns, &self.weighted(&theta));
                (theta, correlation)
            }
            None => {
                let majorants = self.majorants();
                let weights = self.weighted(&majorants);
                let theta =
                    self.project(&directions, &majorants, &weights).filter(|t| self.is_projected(&directions, t))?;
                let correlation = correlate(&self.columns, &self.weighted(&theta));
                (theta, correlation)
            }
        };
        let scales = self.y.iter().zip(&theta).map(|(y, t)| self.loss.feasible_scale(*y, *t));
        let scale = scales.fold(1.0, f64::min);
        Some(Dual { theta, correlation, scale, squares: (0.0, 0.0) })
    }

    /// `theta = r - W Z c` with `Z' Omega W Z c = Z' Omega r` for curvatures W and `weights` Omega W, Z the columns given and the intercept.
    fn project(&mut self, free: &[Column<'_>], curvature: &[f64], weights: &[f64]) -> Option<Vec<f64>> {
        let (slope, cross) = correlate_pair(free, &self.weighted(&self.residual), weights);
        let (hessian, mut c) = self.condense(free, weights, slope, cross);
        if self.fit_intercept && self.system.curvature == 0.0 {
            return None;
        }
        if !free.is_empty() {
            match Cholesky::new(&hessian, free.len()).filter(|factor| factor.smallest_pivot() > PIVOT_FLOOR) {
                Some(factor) => factor.solve(&mut c),
                // rows without curvature have no working target
                None if curvature.iter().any(|h| *h <= 0.0) => c = solve_singular(&hessian, &c)?,
                None => c = self.project_by_svd(free, curvature)?,
            }
        }
        let shift = if self.fit_intercept { self.system.answer(&c) } else { 0.0 };
        if free.is_empty() {
            return Some(self.residual.iter().zip(curvature).map(|(r, w)| r - w * shift).collect());
        }
        let mut fitted = vec![shift; self.y.len()];
        let all: Vec<usize> = (0..free.len()).collect();
        combine(free, &all, &c, &mut fitted);
        let rows = self.residual.iter().zip(curvature.iter().zip(&fitted));
        Some(rows.map(|(r, (w, f))| r - w * f).collect())
    }

    /// Coefficients of that projection by singular values, for dependent columns.
    fn project_by_svd(&self, free: &[Column<'_>], curvature: &[f64]) -> Option<Vec<f64>> {
        let weights = self.weighted(curvature);
        let working: Vec<f64> = self.residual.iter().zip(curvature).map(|(r, h)| r / h).collect();
        let regression = Regression { columns: free, weights: &weights, penalty: None, centred: self.fit_intercept };
        regression.solve(working).map(|fit| fit.x).filter(|c| c.iter().all(|v| v.is_finite()))
    }

    /// Whether nothing of the residuals' correlation with the unpenalised directions is left in `theta`: no more than a
    /// part `LEFT` of what each of them takes part in, and than what a few roundings of eta do to the residuals (where a
    /// column's rows are fitted exactly there is nothing else).
    fn is_projected(&self, free: &[Column<'_>], theta: &[f64]) -> bool {
        const LEFT: f64 = 1e-8;
        const ROUNDINGS: f64 = 5.0 * f64::EPSILON;
        let rounding = ROUNDINGS / LEFT * self.sums.largest_eta;
        let total = self.sums.pull_size + rounding * self.sums.weight;
        let of_intercept = !self.fit_intercept || dot(self.omega, theta).abs() <= LEFT * total;
        if free.is_empty() {
            return of_intercept;
        }
        let rows = self.omega.iter().zip(self.residual.iter().zip(&self.curvature));
        let size: Vec<f64> = rows.map(|(omega, (r, w))| (omega * r).abs() + rounding * (omega * w)).collect();
        let left = correlate(free, &self.weighted(theta));
        of_intercept && free.iter().zip(&left).all(|(column, left)| left.abs() <= LEFT * column.dot_abs(&size))
    }
}

/// Columns of the free directions; combinations are written into `store`.
fn free_columns<'s>(
    columns: &[Column<'s>],
    n_rows: usize,
    free: &Directions,
    store: &'s mut Vec<Vec<f64>>,
) -> Vec<Column<'s>> {
    let all: Vec<usize> = (0..columns.len()).collect();
    for direction in &free.combined {
        let mut column = vec![0.0; n_rows];
        combine(columns, &all, direction, &mut column);
        store.push(column);
    }
    let single = free.columns.iter().map(|&j| columns[j]);
    single.chain(store.iter().map(|column| Column::Dense(column))).collect()
}
