use super::{Kind, Loss, LossSpec, Terms};
use crate::metric::Rows;
use crate::registry::Spec;

/// `L(y, eta) = (y - eta)^2 / 2`; `L*(y, u) = u^2 / 2 + u y`.
///
/// The bracket is `(r - theta)^2 / 2` with `r = y - eta`; every theta is feasible.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Squared;

impl Loss for Squared {
    const SPEC: LossSpec = LossSpec {
        spec: Spec {
            name: "squared",
            class: "Squared",
            summary: "Half the squared error, ``L = (y - eta)^2 / 2``: the mean of y given x.",
            notes: "Any y. The prediction is eta.",
            parameters: &[],
        },
        kind: Kind::Regression,
        domain: "numbers",
        score: "mean_squared_error",
        scores: &["mean_squared_error", "r2_score"],
        has_probabilities: false,
        is_multinomial: false,
    };
    const IS_SQUARE: bool = true;

    fn new(_parameters: &[f64]) -> Self {
        Self
    }

    #[inline(always)]
    fn terms(self, y: f64, eta: f64) -> Terms {
        let residual = y - eta;
        Terms { value: 0.5 * residual * residual, residual, curvature: 1.0 }
    }

    #[inline(always)]
    fn value(self, y: f64, eta: f64) -> f64 {
        0.5 * (y - eta) * (y - eta)
    }

    #[inline(always)]
    fn fenchel(self, _y: f64, _eta: f64, residual: f64, theta: f64) -> f64 {
        0.5 * (residual - theta) * (residual - theta)
    }

    fn feasible_scale(self, _y: f64, _theta: f64) -> f64 {
        1.0
    }

    fn mean(self, eta: f64) -> f64 {
        eta
    }

    fn null_range(self, _y: &[f64], mean: f64) -> (f64, f64) {
        (mean, mean)
    }

    fn scores(self, rows: &Rows<'_>) -> Vec<f64> {
        rows.squares(|eta| eta).to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::tests::{ETA, WEIGHTS, Y, assert_scores};

    #[test]
    fn scores_are_those_of_scikit_learn() {
        // mean_squared_error(y, eta, sample_weight=w), r2_score(y, eta, sample_weight=w)
        assert_scores(Squared, &Y, &ETA, &WEIGHTS, &[1.2229166666666667, -0.18665768194070087]);
    }
}
