//! The normal equations of a step.

use super::iterate::Iterate;
use super::problem::Problem;
use crate::columns::gram;
use crate::linalg::Cholesky;
use crate::simd::{axpy, dot};

/// Ridges, in units of the diagonal, tried one after another: a direction that nothing holds any more (within a set of
/// solutions, or along dependent columns) stays where it is.
const RIDGES: [f64; 5] = [1e-14, 1e-12, 1e-10, 1e-8, 1e-6];

/// The matrix `A' Omega D A + H` with its factor.
pub struct System {
    /// `D`, of all rows.
    pub stiffness: Vec<f64>,
    /// `A' Omega D A` over the rows of the loss.
    pub gram: Vec<f64>,
    matrix: Vec<f64>,
    factor: Option<Cholesky>,
    width: usize,
}

impl System {
    pub fn new(problem: &Problem<'_>, iterate: &Iterate) -> Self {
        let stiffness = iterate.stiffness();
        let width = problem.width();
        let weights: Vec<f64> = stiffness.iter().zip(&problem.weight).map(|(d, w)| d * w).collect();
        let gram = gram(&problem.columns, &weights[..problem.n]);
        let mut matrix = gram.clone();
        problem.l1_columns.iter().zip(&weights[problem.n..]).for_each(|(&j, w)| matrix[j * width + j] += w);
        problem.add_quadratic(&mut matrix);
        iterate.add_barriers(&mut matrix, width);
        let factor = ridged_factor(&matrix, width);
        Self { stiffness, gram, matrix, factor, width }
    }

    /// Number of unknowns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Solution, refined as long as that helps; `None` where the matrix has no factor.
    pub fn solve(&self, rhs: &[f64]) -> Option<Vec<f64>> {
        let factor = self.factor.as_ref()?;
        let mut x = vec![0.0; self.width];
        let (mut rest, mut left) = (rhs.to_vec(), f64::INFINITY);
        for _ in 0..3 {
            let mut change = rest.clone();
            factor.solve(&mut change);
            let refined: Vec<f64> = x.iter().zip(&change).map(|(x, c)| x + c).collect();
            let residual = self.residual(rhs, &refined);
            let size = dot(&residual, &residual);
            if size.is_nan() || size >= left {
                break;
            }
            (x, rest, left) = (refined, residual, size);
        }
        (left < f64::INFINITY).then_some(x)
    }

    fn residual(&self, rhs: &[f64], x: &[f64]) -> Vec<f64> {
        let mut rest = rhs.to_vec();
        for (j, x) in x.iter().enumerate() {
            axpy(-x, &self.matrix[j * self.width..(j + 1) * self.width], &mut rest);
        }
        rest
    }
}

/// Factor of a positive semidefinite matrix with the least ridge that shows in its pivots.
pub fn ridged_factor(matrix: &[f64], width: usize) -> Option<Cholesky> {
    RIDGES.iter().find_map(|ridge| {
        let mut ridged = matrix.to_vec();
        for j in 0..width {
            let diagonal = &mut ridged[j * width + j];
            *diagonal = if *diagonal > 0.0 { *diagonal * (1.0 + ridge) } else { 1.0 };
        }
        Cholesky::new(&ridged, width).filter(|factor| factor.smallest_pivot() >= 0.25 * ridge)
    })
}
