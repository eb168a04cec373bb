use super::{Kind, Loss, LossSpec, Terms, extremes, largest_scale};
use crate::metric::Rows;
use crate::registry::{Parameter, Spec};

/// `L(y, eta) = r^2 / 2` for `|r| <= delta`, `delta |r| - delta^2 / 2` beyond, with `r = y - eta`.
///
/// `-L'` is r clipped to \[-delta, delta\], written c here; theta is feasible within the same interval. There
/// `L + L*(-theta) + theta eta = L - theta r + theta^2 / 2`, which is
///
/// ```text
/// (c - theta)^2 / 2  +  (r - c) (c - theta)
/// ```
///
/// where both terms are at least 0: `r - c` is 0 or has the sign of `c = +-delta`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Huber {
    /// Error from which the loss goes on along a straight line, in units of y.
    pub delta: f64,
}

impl Loss for Huber {
    const SPEC: LossSpec = LossSpec {
        spec: Spec {
            name: "huber",
            class: "Huber",
            summary: "Huber's loss of ``r = y - eta``, ``L = r^2 / 2`` for ``|r| <= delta`` and \
                      ``delta |r| - delta^2 / 2`` beyond: a mean that outliers do not move far.",
            notes: "Any y. The prediction is eta. Huber (1964), Robust estimation of a location parameter. Annals of \
                    Mathematical Statistics 35, 73-101.",
            parameters: &[Parameter {
                name: "delta",
                default: Some(1.35),
                low: 0.0,
                high: f64::INFINITY,
                open: true,
                doc: "Error from which the loss is a straight line, in units of y.",
            }],
        },
        kind: Kind::Regression,
        domain: "numbers",
        score: "huber_loss",
        scores: &["huber_loss", "mean_squared_error", "r2_score"],
        has_probabilities: false,
        is_multinomial: false,
    };

    fn new(parameters: &[f64]) -> Self {
        Self { delta: parameters[0] }
    }

    #[inline(always)]
    fn terms(self, y: f64, eta: f64) -> Terms {
        let residual = (y - eta).clamp(-self.delta, self.delta);
        let curvature = f64::from(u8::from((y - eta).abs() <= self.delta));
        Terms { value: self.value(y, eta), residual, curvature }
    }

    #[inline(always)]
    fn value(self, y: f64, eta: f64) -> f64 {
        let r = (y - eta).abs();
        if r <= self.delta { 0.5 * r * r } else { self.delta * (r - 0.5 * self.delta) }
    }

    fn majorant(self, y: f64, eta: f64) -> f64 {
        // the parabola about y itself with the slope of L at eta
        (self.delta / (y - eta).abs()).min(1.0)
    }

    fn fenchel(self, y: f64, eta: f64, residual: f64, theta: f64) -> f64 {
        if theta.abs() > self.delta {
            return f64::INFINITY;
        }
        let miss = residual - theta;
        0.5 * miss * miss + ((y - eta) - residual) * miss
    }

    fn feasible_scale(self, _y: f64, theta: f64) -> f64 {
        largest_scale(theta.abs(), self.delta)
    }

    fn mean(self, eta: f64) -> f64 {
        eta
    }

    fn null_range(self, y: &[f64], _mean: f64) -> (f64, f64) {
        extremes(y)
    }

    fn scores(self, rows: &Rows<'_>) -> Vec<f64> {
        let [error, r2] = rows.squares(|eta| eta);
        vec![rows.mean(|y, eta| self.value(y, eta)), error, r2]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::tests::{ETA, WEIGHTS, Y, assert_scores};

    #[test]
    fn the_two_parts_are_joined() {
        let loss = Huber { delta: 1.5 };
        for (r, wanted) in
            [(0.0, 0.0), (1.0, 0.5), (1.5, 1.125), (-1.5, 1.125), (4.0, 6.0 - 1.125), (-4.0, 6.0 - 1.125)]
        {
            assert_eq!(loss.value(2.0 + r, 2.0), wanted);
            assert_eq!(loss.terms(2.0 + r, 2.0).residual, r.clamp(-1.5, 1.5));
        }
    }

    #[test]
    fn scores_are_those_of_scikit_learn() {
        // np.average(np.where(abs(r) <= 1.35, r**2 / 2, 1.35 * abs(r) - 1.35**2 / 2), weights=w) with r = y - eta,
        // mean_squared_error(y, eta, sample_weight=w), r2_score(y, eta, sample_weight=w)
        let known = [0.5207083333333334, 1.2229166666666667, -0.18665768194070087];
        assert_scores(Huber { delta: 1.35 }, &Y, &ETA, &WEIGHTS, &known);
    }
}
