//! Losses `L(y, eta)`: what the solvers and the certificates need of each, and the closed list of them.
//!
//! A loss is one file: its formulas in a doc comment, a [`Spec`] for the public class, an `impl Loss`. Its line in the
//! registry below enrols it in the tests of this module, in the public API and in the tests there.

mod bregman;
mod gamma;
mod huber;
mod logistic;
mod poisson;
mod quantile;
pub(crate) mod rows;
mod squared;
mod squared_hinge;
#[cfg(test)]
mod tests;
mod tweedie;

pub use gamma::Gamma;
pub use huber::Huber;
pub use logistic::Logistic;
pub use poisson::Poisson;
pub use quantile::Quantile;
pub use squared::Squared;
pub use squared_hinge::SquaredHinge;
pub use tweedie::Tweedie;

use pulp::Simd;

use self::rows::Few;
use crate::metric::Rows;
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
    /// What every y has to be, in words.
    pub domain: &'static str,
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

    /// Whether its curvature is 1 everywhere.
    const IS_SQUARE: bool = false;

    /// The loss that was told `parameters`, in the order of the description and within its ranges.
    fn new(parameters: &[f64]) -> Self;

    /// Value above the least, negative derivative, curvature.
    fn terms(self, y: f64, eta: f64) -> Terms;

    /// Terms of a few rows, within a loop that has been dispatched; returns the weighted sum of the values.
    #[inline(always)]
    fn terms_of<S: Simd>(self, _simd: S, rows: Few<'_>) -> f64 {
        rows.one_by_one(self)
    }

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

    /// Whether some eta has `L(y, eta) = min L(y, .)`; where none has, a fit may run away.
    fn attains_least(self, _y: f64) -> bool {
        true
    }

    /// Whether `L(y, eta + t d)` never rises as t grows: what a row must say of a direction in which the classes are
    /// separable. `d` is 0 or of the order of 1.
    fn recedes(self, _y: f64, d: f64) -> bool {
        d == 0.0
    }

    /// Whether for `|shift| <= 1/2` the point `theta = r - shift W`, W the curvature, lies in the domain of the conjugate
    /// and `fenchel` there is at most `shift^2 W`.
    ///
    /// `fenchel` is the Bregman divergence of the conjugate between `theta` and `r`, whose second derivative is `1 / W`
    /// at r: a divergence of that kind is at most the square of Pearson's for probabilities and for means of counts.
    fn has_chi_square_bound(self) -> bool {
        false
    }

    /// By what to multiply the first Newton step from `eta = center` on all rows, which moves it by a mean square of
    /// `spread`, and by how much to shift eta besides. A guess: the line search has the last word.
    fn first_move(self, _center: f64, _spread: f64) -> (f64, f64) {
        (1.0, 0.0)
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

    /// Whether y lies in the domain of the loss. Only such y reach the other functions.
    fn admits(self, _y: f64) -> bool {
        true
    }

    /// Why these training targets cannot be fitted, if so. `unpenalised`: whether an intercept is fitted.
    fn refuses(self, y: &[f64], _unpenalised: bool) -> Option<String> {
        outside(self, y)
    }

    /// Held-out scores, in the order of the description; NaN where one is undefined. There is a row of positive weight.
    fn scores(self, rows: &Rows<'_>) -> Vec<f64>;
}

/// Says which y is outside the domain of the loss, if one is.
fn outside<L: Loss>(loss: L, y: &[f64]) -> Option<String> {
    let bad = y.iter().find(|y| !loss.admits(**y))?;
    let LossSpec { spec, domain, .. } = L::SPEC;
    Some(format!("y holds {bad}, the {} loss wants {domain}", spec.name))
}

fn single_class(y: &[f64]) -> Option<String> {
    let first = y.first()?;
    y.iter().all(|v| v == first).then(|| "the training rows hold a single class".to_owned())
}

/// With a log link and an intercept, what is 0 everywhere has no finite fit.
fn all_zero(y: &[f64], unpenalised: bool) -> Option<String> {
    let refused = unpenalised && y.iter().all(|v| *v == 0.0);
    refused.then(|| "y is 0 on every row: the fit is at minus infinity".to_owned())
}

/// Largest s in \[0, 1\] with `s size <= limit`, for a limit of at least 0, rounding included.
fn largest_scale(size: f64, limit: f64) -> f64 {
    if size <= limit {
        return 1.0;
    }
    let s = limit / size;
    if s * size > limit { s.next_down() } else { s }
}

/// The interval of the log of a mean, which tiny weights may have rounded to 0.
fn log_of(mean: f64) -> (f64, f64) {
    let log = mean.max(f64::MIN_POSITIVE).ln();
    (log, log)
}

fn extremes(values: &[f64]) -> (f64, f64) {
    values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(*v), high.max(*v)))
}

registry! { $,
    /// The closed list of losses.
    LossKind, with_loss, "loss", LossSpec: Squared, Logistic, Poisson, Gamma, Tweedie, Huber, Quantile, SquaredHinge
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

    /// Held-out scores, in the order of the description.
    pub fn scores(self, rows: &Rows<'_>) -> Vec<f64> {
        with_loss!(self, loss => loss.scores(rows))
    }
}
