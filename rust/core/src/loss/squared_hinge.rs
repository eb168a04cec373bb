use super::{Kind, Loss, LossSpec, Terms, largest_scale, outside, single_class};
use crate::metric::Rows;
use crate::registry::Spec;

/// `L(y, eta) = max(0, 1 - m)^2` with the margin `m = s eta`, `s = 2 y - 1` for y in {0, 1}.
///
/// With `t = s theta >= 0`, the least of `max(0, 1 - m)^2 + t m` is `t - t^2 / 4`, at `m = 1 - t / 2`, and
///
/// ```text
/// L + L*(-theta) + theta eta  =  (h - t / 2)^2 + t max(0, m - 1),   h = max(0, 1 - m) = s r / 2
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SquaredHinge;

/// `s`: the side of 0 on which eta should lie.
#[inline(always)]
fn side(y: f64) -> f64 {
    if y > 0.5 { 1.0 } else { -1.0 }
}

/// `max(0, x)`, but NaN stays NaN.
#[inline(always)]
fn positive(x: f64) -> f64 {
    if x < 0.0 { 0.0 } else { x }
}

impl Loss for SquaredHinge {
    const SPEC: LossSpec = LossSpec {
        spec: Spec {
            name: "squared_hinge",
            class: "SquaredHinge",
            summary: "Squared hinge loss of a linear support vector machine, ``L = max(0, 1 - s eta)^2`` with \
                      ``s = 2 y - 1``.",
            notes: "Two classes, y in {0, 1}. The prediction is eta: the second class where it is above 0. No \
                    probabilities. Cortes and Vapnik (1995), Support-vector networks. Machine Learning 20, 273-297.",
            parameters: &[],
        },
        kind: Kind::Classification,
        domain: "0 and 1",
        score: "squared_hinge_loss",
        scores: &["squared_hinge_loss", "hinge_loss", "accuracy_score", "roc_auc_score"],
        has_probabilities: false,
        is_multinomial: false,
    };

    fn new(_parameters: &[f64]) -> Self {
        Self
    }

    #[inline(always)]
    fn terms(self, y: f64, eta: f64) -> Terms {
        let s = side(y);
        let short = 1.0 - s * eta;
        let hinge = positive(short);
        Terms { value: hinge * hinge, residual: 2.0 * s * hinge, curvature: if short >= 0.0 { 2.0 } else { 0.0 } }
    }

    #[inline(always)]
    fn value(self, y: f64, eta: f64) -> f64 {
        positive(1.0 - side(y) * eta).powi(2)
    }

    fn majorant(self, _y: f64, _eta: f64) -> f64 {
        2.0
    }

    fn fenchel(self, y: f64, eta: f64, residual: f64, theta: f64) -> f64 {
        let s = side(y);
        let t = s * theta;
        if t < 0.0 {
            return f64::INFINITY;
        }
        let miss = 0.5 * (residual - theta);
        miss * miss + t * positive(s * eta - 1.0)
    }

    fn feasible_scale(self, y: f64, theta: f64) -> f64 {
        largest_scale(-side(y) * theta, 0.0)
    }

    fn recedes(self, y: f64, d: f64) -> bool {
        side(y) * d >= 0.0
    }

    fn mean(self, eta: f64) -> f64 {
        eta
    }

    fn null_range(self, _y: &[f64], _mean: f64) -> (f64, f64) {
        // 2 y - 1 averaged over the rows
        (-1.0, 1.0)
    }

    fn admits(self, y: f64) -> bool {
        y == 0.0 || y == 1.0
    }

    fn refuses(self, y: &[f64], _unpenalised: bool) -> Option<String> {
        outside(self, y).or_else(|| single_class(y))
    }

    fn scores(self, rows: &Rows<'_>) -> Vec<f64> {
        let hinge = rows.mean(|y, eta| positive(1.0 - side(y) * eta));
        vec![rows.mean(|y, eta| self.value(y, eta)), hinge, rows.accuracy(), rows.roc_auc()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::tests::{CLASSES, MARGINS, WEIGHTS, assert_scores};

    #[test]
    fn margins_of_1_and_more_cost_nothing() {
        for (y, eta, value, residual, curvature) in [
            (1.0, 2.0, 0.0, 0.0, 0.0),
            (1.0, 1.0, 0.0, 0.0, 2.0),
            (1.0, -0.5, 2.25, 3.0, 2.0),
            (0.0, 0.5, 2.25, -3.0, 2.0),
        ] {
            let terms = SquaredHinge.terms(y, eta);
            assert_eq!((terms.value, terms.residual.abs(), terms.curvature), (value, f64::abs(residual), curvature));
            assert!(terms.residual * residual >= 0.0);
        }
    }

    #[test]
    fn scores_are_those_of_scikit_learn() {
        // np.average(np.maximum(0, 1 - s * eta)**2, weights=w) with s = 2 * y - 1, hinge_loss(y, eta, sample_weight=w),
        // accuracy_score(y, eta > 0, sample_weight=w), roc_auc_score(y, eta, sample_weight=w)
        let known = [0.5625, 0.48333333333333334, 0.8, 0.8636363636363636];
        assert_scores(SquaredHinge, &CLASSES, &MARGINS, &WEIGHTS, &known);
    }
}
