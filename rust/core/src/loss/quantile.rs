use super::{Kind, Loss, LossSpec, Terms, extremes, largest_scale};
use crate::metric::Rows;
use crate::registry::{Parameter, Spec};

/// `L(y, eta) = level r^+ + (1 - level) r^-` with `r = y - eta = r^+ - r^-`, the pinball loss.
///
/// L* is 0 on its domain, so that for theta in \[level - 1, level\]
///
/// ```text
/// L + L*(-theta) + theta eta  =  L - theta r  =  r^+ (level - theta) + r^- (theta + 1 - level)
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quantile {
    /// Which quantile: the part of y that lies below it.
    pub level: f64,
}

/// `|r|` below which the parabola that touches there is not made any narrower.
const NARROWEST: f64 = 1e-150;

impl Loss for Quantile {
    const SPEC: LossSpec = LossSpec {
        spec: Spec {
            name: "quantile",
            class: "Quantile",
            summary: "Pinball loss of ``r = y - eta``, ``L = max(level r, (level - 1) r)``: a quantile of y given x.",
            notes: "Any y. The prediction is the quantile, eta. Koenker and Bassett (1978), Regression quantiles. \
                    Econometrica 46, 33-50.",
            parameters: &[Parameter {
                name: "level",
                default: Some(0.5),
                low: 0.0,
                high: 1.0,
                open: true,
                doc: "The part of y that lies below the quantile; 0.5 for the median.",
            }],
        },
        kind: Kind::Regression,
        domain: "numbers",
        score: "mean_pinball_loss",
        scores: &["mean_pinball_loss", "d2_pinball_score", "mean_squared_error", "r2_score"],
        has_probabilities: false,
        is_multinomial: false,
    };

    fn new(parameters: &[f64]) -> Self {
        Self { level: parameters[0] }
    }

    /// The residual at `r = 0` is the subgradient 0.
    #[inline(always)]
    fn terms(self, y: f64, eta: f64) -> Terms {
        let residual = match y - eta {
            r if r > 0.0 => self.level,
            r if r < 0.0 => self.level - 1.0,
            r => r,
        };
        Terms { value: self.value(y, eta), residual, curvature: 0.0 }
    }

    #[inline(always)]
    fn value(self, y: f64, eta: f64) -> f64 {
        let r = y - eta;
        if r > 0.0 { self.level * r } else { (self.level - 1.0) * r }
    }

    fn majorant(self, y: f64, eta: f64) -> f64 {
        // L is |r| / 2 and a linear term, and |r| <= r^2 / (2 s) + s / 2, which touch at |r| = s
        0.5 / (y - eta).abs().max(NARROWEST)
    }

    fn fenchel(self, y: f64, eta: f64, _residual: f64, theta: f64) -> f64 {
        let (above, below) = (self.level - theta, theta - (self.level - 1.0));
        if above < 0.0 || below < 0.0 {
            return f64::INFINITY;
        }
        let r = y - eta;
        if r > 0.0 { r * above } else { -r * below }
    }

    fn feasible_scale(self, _y: f64, theta: f64) -> f64 {
        if theta > 0.0 { largest_scale(theta, self.level) } else { largest_scale(-theta, 1.0 - self.level) }
    }

    fn mean(self, eta: f64) -> f64 {
        eta
    }

    fn null_range(self, y: &[f64], _mean: f64) -> (f64, f64) {
        extremes(y)
    }

    fn scores(self, rows: &Rows<'_>) -> Vec<f64> {
        let loss = rows.mean(|y, eta| self.value(y, eta));
        // of the quantiles of y, which may be an interval, one is as good as another
        let quantile = rows.quantile(self.level);
        let d2 = rows.explained(loss, rows.mean(|y, _| self.value(y, quantile)));
        [[loss, d2], rows.squares(|eta| eta)].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::tests::{ETA, WEIGHTS, Y, assert_scores};

    #[test]
    fn the_kink_has_a_subgradient_that_is_feasible() {
        for level in [0.1, 0.5, 0.9] {
            let loss = Quantile { level };
            assert_eq!(loss.terms(2.0, 2.0), Terms { value: 0.0, residual: 0.0, curvature: 0.0 });
            assert_eq!(loss.fenchel(2.0, 2.0, 0.0, level), 0.0);
            assert!(loss.majorant(2.0, 2.0).is_finite());
            assert_eq!((loss.value(3.0, 1.0), loss.value(1.0, 3.0)), (2.0 * level, 2.0 * (1.0 - level)));
        }
    }

    #[test]
    fn scores_are_those_of_scikit_learn() {
        // k = dict(sample_weight=w): mean_pinball_loss(y, eta, alpha=level, **k),
        // d2_pinball_score(y, eta, alpha=level, **k), mean_squared_error(y, eta, **k), r2_score(y, eta, **k)
        let squares = [1.2229166666666667, -0.18665768194070087];
        let known =
            [(0.5, 0.475, -0.5405405405405403), (0.9, 0.855, -2.664285714285715), (0.2, 0.19, -0.036363636363636376)];
        for (level, loss, d2) in known {
            assert_scores(Quantile { level }, &Y, &ETA, &WEIGHTS, &[loss, d2, squares[0], squares[1]]);
        }
        // an interval of medians: d2_pinball_score(y[:4], eta[:4], alpha=0.5)
        let scores = Quantile { level: 0.5 }.scores(&Rows::new(&Y[..4], &ETA[..4], &[1.0; 4]).unwrap());
        assert!((scores[0] - 0.65625).abs() < 1e-15 && (scores[1] - 0.045454545454545414).abs() < 1e-15);
    }
}
