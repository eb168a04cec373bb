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
