//! Losses `L(y, eta)`: what the solvers and the certificates need of each, and the closed list of them.

mod logistic;
mod squared;

pub use logistic::Logistic;
pub use squared::Squared;

use crate::error::{Error, Result};

/// Value and derivatives of a loss at one row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Terms {
    /// `L(y, eta)`.
    pub value: f64,
    /// `-dL/deta`.
    pub residual: f64,
    /// `d2L/deta2`.
    pub curvature: f64,
}

/// A convex, twice differentiable loss with `min_eta L = 0`.
pub trait Loss: Copy + Send + Sync {
    /// Value, negative derivative and curvature.
    fn terms(self, y: f64, eta: f64) -> Terms;

    /// `L(y, eta)` alone.
    fn value(self, y: f64, eta: f64) -> f64;

    /// `L(eta) + L*(-theta) + theta eta`, at least 0, infinite outside the conjugate's domain.
    ///
    /// `residual` is `-L'(eta)`: the bracket is 0 where `theta` equals it, and rounding is least when the
    /// difference of the two is taken first.
    fn fenchel(self, y: f64, eta: f64, residual: f64, theta: f64) -> f64;

    /// Largest `s` in \[0, 1\] with `-s theta` in the domain of `L*(y, .)`.
    fn feasible_scale(self, y: f64, theta: f64) -> f64;

    /// Whether some eta has a loss of 0; without one, a loss that falls towards 0 has no minimiser.
    fn attains_zero(self) -> bool;

    /// How far eta may move in one Newton step, unless it is further out already.
    fn longest_step(self) -> f64;

    /// The prediction that belongs to `eta`: a mean, or the probability of the second class.
    fn mean(self, eta: f64) -> f64;

    /// Intercept at which `sum_i w_i L(y_i, b)` is least, given the weighted mean of y.
    fn null_intercept(self, mean: f64) -> f64;
}

/// The closed list of losses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LossKind {
    /// `(y - eta)^2 / 2`.
    Squared,
    /// `log(1 + exp(eta)) - y eta` for y in {0, 1}.
    Logistic,
}

impl LossKind {
    /// Every loss with its public name.
    pub const ALL: [(&'static str, LossKind); 2] = [("squared", LossKind::Squared), ("logistic", LossKind::Logistic)];

    /// The loss of that name.
    pub fn from_name(name: &str) -> Result<Self> {
        let found = Self::ALL.iter().find(|(known, _)| *known == name);
        found.map(|(_, kind)| *kind).ok_or_else(|| Error::invalid("loss", format!("no loss is called {name:?}")))
    }

    /// Why these training targets cannot be fitted, if so.
    pub fn refuses(self, y: &[f64]) -> Option<String> {
        match self {
            LossKind::Squared => None,
            LossKind::Logistic => Logistic::refuses(y),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check<L: Loss>(loss: L, y: f64, eta: f64, theta: f64) {
        let h = 1e-5;
        let at = |e: f64| loss.terms(y, e);
        let (low, here, high) = (at(eta - h), at(eta), at(eta + h));
        assert_eq!(here.value, loss.value(y, eta));
        assert!(((high.value - low.value) / (2.0 * h) + here.residual).abs() < 1e-6 * (1.0 + here.residual.abs()));
        assert!(((high.residual - low.residual) / (2.0 * h) + here.curvature).abs() < 1e-6);
        assert!(loss.fenchel(y, eta, here.residual, here.residual).abs() < 1e-12);
        let s = loss.feasible_scale(y, theta);
        let bracket = loss.fenchel(y, eta, here.residual, s * theta);
        assert!(bracket >= 0.0 && bracket.is_finite());
        // Fenchel-Young: L*(-theta) >= -theta e - L(e) for every e, so the bracket bounds each of these
        for step in -40..=40 {
            let e = f64::from(step) * 0.5;
            let bound = here.value + s * theta * (eta - e) - loss.value(y, e);
            assert!(bracket >= bound - 1e-9 * (1.0 + bound.abs()));
        }
    }

    proptest! {
        #[test]
        fn derivatives_and_conjugates(y in -3.0..3.0f64, eta in -15.0..15.0f64, theta in -2.0..2.0f64) {
            check(Squared, y, eta, theta);
            check(Logistic, if y > 0.0 { 1.0 } else { 0.0 }, eta, theta);
        }
    }

    #[test]
    fn a_probability_that_rounds_to_one_has_a_finite_gap() {
        let eta = 800.0;
        let residual = Logistic.terms(0.0, eta).residual;
        // q = 1/2 against p = 1 - exp(-800): log(1/2) + 800/2
        let bracket = Logistic.fenchel(0.0, eta, residual, -0.5);
        assert!((bracket - (400.0 + 0.5f64.ln())).abs() < 1e-12 * bracket);
    }

    #[test]
    fn a_dual_point_of_zero_certifies_nothing_but_the_objective() {
        for theta in [0.0, -0.0] {
            for y in [0.0, 1.0] {
                assert_eq!(Logistic.feasible_scale(y, theta), 1.0);
                let terms = Logistic.terms(y, 0.7);
                assert!((Logistic.fenchel(y, 0.7, terms.residual, theta) - terms.value).abs() < 1e-15);
            }
        }
        assert!(Logistic.fenchel(1.0, 0.7, 0.3, f64::NAN).is_nan());
    }

    #[test]
    fn names_resolve() {
        for (name, kind) in LossKind::ALL {
            assert_eq!(LossKind::from_name(name), Ok(kind));
        }
        assert!(LossKind::from_name("nonsense").is_err());
    }
}
