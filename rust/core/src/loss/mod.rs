//! Losses `L(y, eta)`: what the solvers and the certificates need of each, and the closed list of them.
//!
//! A loss is one file: its formulas in a doc comment, a [`Spec`] for the public class, an `impl Loss`. Its line in the
//! registry below enrols it in the tests of this module, in the public API and in the tests there.

mod logistic;
mod squared;

pub use logistic::Logistic;
pub use squared::Squared;

use crate::registry::{Spec, registry};

/// Value and derivatives of a loss at one row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Terms {
    /// `L(y, eta) - min L(y, .)`, at least 0.
    pub value: f64,
    /// `-dL/deta`.
    pub residual: f64,
    /// `d2L/deta2`; where there is none, of the side that holds a parabola.
    pub curvature: f64,
}

/// What kind of task a loss serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Targets are numbers.
    Regression,
    /// Targets are classes, 0 and 1 (or more, for a loss that has a form for them).
    Classification,
}

/// Description of a loss.
#[derive(Debug, Clone, Copy)]
pub struct LossSpec {
    /// Name, documentation, parameters.
    pub spec: Spec,
    /// The tasks that it serves.
    pub kind: Kind,
    /// Name of the held-out score, lower is better, that fits are compared by. One of `scores`.
    pub score: &'static str,
    /// Names of its held-out scores, as in `sklearn.metrics` where that has them.
    pub scores: &'static [&'static str],
    /// Whether `mean` is the probability of the second class.
    pub has_probabilities: bool,
    /// Whether more than two classes are served (by the softmax form).
    pub is_multinomial: bool,
}

impl LossSpec {
    pub(crate) const fn spec(&self) -> &Spec {
        &self.spec
    }
}

/// A convex loss. Values are those above the least one, `L - min_eta L`, so that they keep their digits near it and
/// the convergence test has a scale; `least` is what is left out.
pub trait Loss: Copy + Send + Sync {
    /// Its description.
    const SPEC: LossSpec;

    /// The loss that was told `parameters`, in the order of the description and within its ranges.
    fn new(parameters: &[f64]) -> Self;

    /// Value above the least, negative derivative, curvature.
    fn terms(self, y: f64, eta: f64) -> Terms;

    /// `L(y, eta) - min L(y, .)`.
    fn value(self, y: f64, eta: f64) -> f64;

    /// `min_eta L(y, eta)` (an infimum).
    fn least(self, _y: f64) -> f64 {
        0.0
    }

    /// Curvature of a parabola that touches L at `eta` and lies above it; where no such parabola exists, the curvature.
    /// Positive wherever the loss is not flat.
    fn majorant(self, y: f64, eta: f64) -> f64 {
        self.terms(y, eta).curvature
    }

    /// `L(eta) + L*(-theta) + theta eta`, at least 0, infinite outside the conjugate's domain.
    ///
    /// `residual` is `-L'(eta)`: the bracket is 0 where `theta` equals it, and rounding is least when the
    /// difference of the two is taken first.
    fn fenchel(self, y: f64, eta: f64, residual: f64, theta: f64) -> f64;

    /// Largest `s` in \[0, 1\] with `-s theta` in the domain of `L*(y, .)`.
    fn feasible_scale(self, y: f64, theta: f64) -> f64;

    /// Whether every y has some eta with `L(y, eta) = min L(y, .)`; without one, a fit may run away.
    fn attains_least(self) -> bool {
        true
    }

    /// Whether `L(y, eta + t d)` never rises as t grows: what a row must say of a direction in which the classes are
    /// separable. `d` is 0 or of the order of 1.
    fn recedes(self, _y: f64, d: f64) -> bool {
        d == 0.0
    }

    /// How far eta may move in one Newton step, unless it is further out already.
    fn longest_step(self) -> f64 {
        f64::INFINITY
    }

    /// Largest `|eta|` at which all terms are finite.
    fn largest_eta(self) -> f64 {
        f64::INFINITY
    }

    /// The prediction that belongs to `eta`: a mean, a quantile, or the probability of the second class.
    fn mean(self, eta: f64) -> f64;

    /// An interval that holds the b at which `sum_i w_i L(y_i, b)` is least; its ends may be equal. `mean` is the
    /// weighted mean of `y`.
    fn null_range(self, y: &[f64], mean: f64) -> (f64, f64);

    /// Why these training targets cannot be fitted, if so. `unpenalised`: whether an intercept is fitted.
    fn refuses(self, _y: &[f64], _unpenalised: bool) -> Option<String> {
        None
    }
}

registry! { $,
    /// The closed list of losses.
    LossKind, with_loss, "loss", LossSpec: Squared, Logistic
}

impl LossKind {
    /// Description of the loss.
    pub fn spec(self) -> &'static LossSpec {
        Self::SPECS.iter().find(|s| s.spec.name == self.name()).unwrap_or(&Self::SPECS[0])
    }

    /// Its public name.
    pub fn name(self) -> &'static str {
        fn of<L: Loss>(_: L) -> &'static str {
            L::SPEC.spec.name
        }
        with_loss!(self, loss => of(loss))
    }

    /// `min_eta L(y, eta)`.
    pub fn least(self, y: f64) -> f64 {
        with_loss!(self, loss => loss.least(y))
    }

    /// The predictions that belong to linear predictions.
    pub fn means(self, eta: impl Iterator<Item = f64>) -> Vec<f64> {
        with_loss!(self, loss => eta.map(|e| loss.mean(e)).collect())
    }

    /// Why these training targets cannot be fitted, if so.
    pub fn refuses(self, y: &[f64], unpenalised: bool) -> Option<String> {
        with_loss!(self, loss => loss.refuses(y, unpenalised))
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
        for spec in LossKind::SPECS {
            let parameters: Vec<f64> = spec.spec.parameters.iter().map(|p| p.default.unwrap_or(0.5)).collect();
            assert_eq!(LossKind::named(spec.spec.name, &parameters).unwrap().name(), spec.spec.name);
        }
        assert!(LossKind::named("nonsense", &[]).is_err());
    }
}
