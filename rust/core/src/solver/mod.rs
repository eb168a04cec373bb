//! Which solver for which problem.
//!
//! | problem | fitter | how a step is found |
//! |---|---|---|
//! | squared loss, dense tables of up to [`GRAM_LIMIT`] columns | [`Gaussian`] on merged fold moments | [`Quadratic`]: a factorisation, with active sets of columns and blocks |
//! | the same with far fewer rows than columns, by itself or a few strengths under a kink; where moments lack digits | [`Glm`] on the rows | by singular values where the penalty is smooth, else as below |
//! | losses with a derivative; the squared loss otherwise | [`Glm`] on the rows | (proximal) Newton: [`Quadratic`] on a working set, line search |
//! | logistic loss, more than 2 classes | [`Softmax`] on the rows | the same on the coefficients of all classes; conjugate gradients where these are many and the penalty is L2 |
//! | pinball loss | [`Pinball`] on the rows | [`interior_point`] |
//! | any of these with a folded concave penalty | [`Continuation`] over it | convex problems with the penalty's tangents, along a path of strengths |
//!
//! Each [`Model`] meets [`newton::fit`], the one loop: gradient, certificate, working set, quadratic problem, step. A path
//! knows [`Fitter`]s alone.

use crate::error::{Error, Result};
use crate::loss::LossKind;
use crate::penalty::{Directions, Penalty, ScaledPenalty};

mod block;
mod continuation;
mod coordinate;
mod dense;
mod fitter;
mod gaussian;
mod glm;
mod inexact;
pub mod interior_point;
mod least_squares;
pub mod newton;
mod pass;
mod pinball;
mod rows;
mod separable;
mod softmax;
mod spectrum;
mod sums;
mod sweeps;
mod turned;
mod working_set;

pub use continuation::{Concave, Continuation};
pub use coordinate::Quadratic;
pub use fitter::Fitter;
pub use gaussian::{Curvature, Gaussian};
pub use glm::{Glm, Null};
pub use least_squares::{ridge_by_svd, shorten_fit};
pub use pass::FUSED;
pub use pinball::Pinball;
pub use softmax::Softmax;

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

impl Solver {
    /// The solvers that serve a loss with a penalty, the automatic choice first.
    pub fn serving(loss: LossKind, n_classes: usize, penalty: &Penalty) -> &'static [Solver] {
        let smooth = penalty.is_smooth();
        match loss {
            _ if !penalty.kind.is_convex() => &[Solver::Auto, Solver::Continuation],
            LossKind::Quantile(_) => &[Solver::Auto, Solver::InteriorPoint],
            LossKind::Squared(_) if n_classes == 1 && smooth => {
                &[Solver::Auto, Solver::Cholesky, Solver::Svd, Solver::Newton]
            }
            LossKind::Squared(_) if n_classes == 1 => {
                &[Solver::Auto, Solver::CoordinateDescent, Solver::ProximalNewton]
            }
            _ if smooth => &[Solver::Auto, Solver::Newton],
            _ => &[Solver::Auto, Solver::ProximalNewton],
        }
    }

    /// Its public name.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, solver)| *solver == self).map_or("auto", |(name, _)| name)
    }

    /// Refuses a solver that does not serve the pair.
    pub fn check(self, loss: LossKind, n_classes: usize, penalty: &Penalty) -> Result<()> {
        let serving = Self::serving(loss, n_classes, penalty);
        if serving.contains(&self) {
            return Ok(());
        }
        let names: Vec<&str> = serving.iter().map(|solver| solver.name()).collect();
        let message = format!(
            "{} does not serve the {} loss with this penalty: take one of {}",
            self.name(),
            loss.name(),
            names.join(", ")
        );
        Err(Error::invalid("solver", message))
    }
}

/// Columns up to which the squared loss keeps the whole Gram matrix of a training set.
pub const GRAM_LIMIT: usize = 1500;

/// Below this squared pivot (columns of unit norm) a Gram matrix has lost too many digits to be trusted.
const PIVOT_FLOOR: f64 = 1e-11;

/// Part of the largest move of a linear prediction below which another one counts as none.
const NEGLIGIBLE_MOVE: f64 = 1e-6;

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

    /// Where the local model plus a penalty on the columns of `set` is least, and the negative gradient at the position
    /// `start`, if that costs less without a Hessian: until moves are about the part `accuracy` of the first ones. Like
    /// `newton_system`, it prepares for `aim`.
    fn descend(
        &mut self,
        _set: &[usize],
        _penalty: &ScaledPenalty,
        _start: &[f64],
        _accuracy: f64,
    ) -> Option<(Vec<f64>, Vec<f64>)> {
        None
    }

    /// Whether its local model is the loss itself.
    fn is_quadratic(&self) -> bool {
        false
    }

    /// Says by how much each column is expected to move in the next fit.
    fn expect(&mut self, _moves: impl Iterator<Item = f64>) {}

    /// Leaves all columns but those of `set` out until it is widened again, so that steps need no pass over them; false
    /// where it cannot.
    fn narrow(&mut self, _set: &[usize]) -> bool {
        false
    }

    /// Takes all columns in again.
    fn widen(&mut self) {}

    /// Prepares a move along `direction` on `set` (and the intercept's answer to it); needs the last
    /// `newton_system` to have been on the same set. The position is undefined until `advance`.
    fn aim(&mut self, set: &[usize], direction: &[f64]);

    /// Share of the prepared move with which a line search begins.
    fn first_share(&self) -> f64 {
        1.0
    }

    /// Mean loss after the share `t` of the prepared move.
    fn loss_at(&mut self, t: f64) -> f64;

    /// Carries the share `t` of the prepared move out.
    fn advance(&mut self, t: f64);

    /// Minimises loss plus penalty from the position `b` at once, to a gap well below `tol`, where loss and penalty are such
    /// that the model can; whether the columns were independent.
    fn leap(&mut self, _penalty: &ScaledPenalty, _b: &mut [f64], _tol: f64) -> Option<bool> {
        None
    }

    /// Duality gap at the position `b` where it takes none of what follows; the penalty's share alone where that is beyond
    /// `far`.
    fn short_gap(&self, _penalty: &ScaledPenalty, _b: &[f64], _far: f64) -> Option<f64> {
        None
    }

    /// Dual point: the residuals with the unpenalised directions (`free` ones, intercept) projected out.
    fn dual(&mut self, free: &Directions) -> Option<Dual>;

    /// Share of the gap that the loss makes with the dual point scaled by `s`.
    fn loss_gap(&self, dual: &Dual, s: f64) -> f64;

    /// The intercept, 0 without one.
    fn intercept(&self) -> f64;

    /// The intercepts, one for each class where there are more than 2; their sum is 0 then.
    fn intercepts(&self) -> Vec<f64> {
        vec![self.intercept()]
    }

    /// Negative derivative of the mean loss with respect to the intercept, in absolute value (the largest of all classes).
    fn intercept_slope(&self) -> f64 {
        0.0
    }

    /// Whether the position lies beyond what the loss can be computed for.
    fn overflows(&self) -> bool {
        false
    }

    /// Whether the last prepared move is a direction along which no row's loss ever rises, while some row's falls.
    fn recedes(&self) -> bool {
        false
    }

    /// Size of the rounding in a slope.
    fn rounding(&self) -> f64 {
        1e-15
    }

    /// What the loss changes by, to an order of magnitude, when eta moves by its own size: a loss within rounding of its
    /// least value is a tiny part of that.
    fn size(&self) -> f64 {
        0.0
    }

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
