//! Which solver for which problem.
//!
//! | problem | model | how a step is found |
//! |---|---|---|
//! | squared loss, tables of up to [`GRAM_LIMIT`] columns | [`Gaussian`] on merged fold moments | exact: Cholesky without L1, active-set coordinate descent with it |
//! | the same where moments lack digits: dependent columns, a loss near 0, a gap that stays | [`Glm`] on the rows | without L1 by singular values, of least norm; with it as below |
//! | squared loss, more columns or a sparse table; logistic loss | [`Glm`] on the rows | Newton / proximal Newton with line search on a working set |
//!
//! Each model meets [`newton::fit`], the one loop: gradient, certificate, working set, quadratic problem, step.

use crate::error::{Error, Result};
use crate::penalty::Directions;

mod coordinate;
mod gaussian;
mod glm;
mod least_squares;
pub mod newton;

pub use coordinate::Quadratic;
pub use gaussian::Gaussian;
pub use glm::Glm;
pub use least_squares::{are_dependent, ridge_by_svd};

/// Solvers by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Solver {
    /// The one that suits the problem.
    Auto,
    /// Squared loss, smooth penalty: a factorisation of the moments.
    Cholesky,
    /// Squared loss, L2: singular values of the rows.
    Svd,
    /// Squared loss, other convex penalties: coordinate and block descent on the moments.
    CoordinateDescent,
    /// Differentiable loss, smooth penalty: Newton's method on the rows.
    Newton,
    /// Differentiable loss, other convex penalties: proximal Newton on the rows.
    ProximalNewton,
    /// Pinball loss.
    InteriorPoint,
    /// Folded concave penalties.
    Continuation,
}

impl Solver {
    /// Every solver with its public name.
    pub const ALL: [(&'static str, Solver); 8] = [
        ("auto", Solver::Auto),
        ("cholesky", Solver::Cholesky),
        ("svd", Solver::Svd),
        ("coordinate_descent", Solver::CoordinateDescent),
        ("newton", Solver::Newton),
        ("proximal_newton", Solver::ProximalNewton),
        ("interior_point", Solver::InteriorPoint),
        ("continuation", Solver::Continuation),
    ];

    /// The solver of that name.
    pub fn named(name: &str) -> Result<Self> {
        let found = Self::ALL.iter().find(|(known, _)| *known == name);
        found
            .map(|(_, solver)| *solver)
            .ok_or_else(|| Error::invalid("solver", format!("there is none called {name:?}")))
    }
}

/// Columns up to which the squared loss keeps the whole Gram matrix of a training set.
pub const GRAM_LIMIT: usize = 1500;

/// Below this squared pivot (columns of unit norm) a Gram matrix has lost too many digits to be trusted.
const PIVOT_FLOOR: f64 = 1e-11;

/// A smooth loss at a position `b` (solver coordinates, centre at 0), with its intercept kept by the model itself.
pub trait Model {
    /// Number of columns.
    fn n_columns(&self) -> usize;

    /// Mean loss at the position.
    fn loss(&self) -> f64;

    /// Negative gradient of the mean loss with respect to the columns.
    fn gradient(&mut self) -> Vec<f64>;

    /// Hessian and negative gradient on the columns of `set`, the intercept eliminated.
    fn newton_system(&mut self, set: &[usize]) -> (Vec<f64>, Vec<f64>);

    /// Prepares a move along `direction` on `set` (and the intercept's answer to it); needs the last
    /// `newton_system` to have been on the same set.
    fn aim(&mut self, set: &[usize], direction: &[f64]);

    /// Share of the prepared move with which a line search begins.
    fn first_share(&self) -> f64 {
        1.0
    }

    /// Mean loss after the share `t` of the prepared move; the position is undefined until `advance`.
    fn loss_at(&mut self, t: f64) -> f64;

    /// Carries the share `t` of the prepared move out.
    fn advance(&mut self, t: f64);

    /// Dual point: the residuals with the unpenalised directions (`free` ones, intercept) projected out.
    fn dual(&mut self, free: &Directions) -> Option<Dual>;

    /// Share of the gap that the loss makes with the dual point scaled by `s`.
    fn loss_gap(&self, dual: &Dual, s: f64) -> f64;

    /// The intercept, 0 without one.
    fn intercept(&self) -> f64;

    /// Whether steps take a parabola above the loss in place of its curvature: they are shorter, and always downhill.
    fn majorise(&mut self, _on: bool) {}

    /// Whether the loss can be least at a finite position.
    fn attains_least(&self) -> bool {
        true
    }

    /// Whether the model keeps sums over rows instead of the rows, and with them only part of their digits.
    fn is_condensed(&self) -> bool {
        false
    }
}

/// A dual point before scaling.
pub struct Dual {
    /// Its rows, where the model has rows.
    pub theta: Vec<f64>,
    /// `X' Omega_v theta`.
    pub correlation: Vec<f64>,
    /// Largest scale in \[0, 1\] that the conjugate of the loss allows.
    pub scale: f64,
    /// Mean squares of the projected residuals and of what the projection took away, for models without rows.
    pub squares: (f64, f64),
}
