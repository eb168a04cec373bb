use super::bregman::relative_entropy;
use super::{Kind, Loss, LossSpec, Terms, largest_scale, log_of};
use crate::metric::Rows;
use crate::registry::Spec;

/// `L(y, eta) = y exp(-eta) + eta` for y > 0.
///
/// The least value is `1 + log y`, at `t = y exp(-eta) = 1`; with `D(a, t) = t - a + a log(a / t)`
///
/// ```text
/// L - min L                       =  t - 1 - log t  =  D(1, t)
/// L(eta) + L*(-theta) + theta eta =  D(a, t),   a = 1 + theta >= 0,   a - t = theta - r
/// ```
///
/// since `L + theta eta = y exp(-eta) + a eta` is least at `t = a`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gamma;

impl Loss for Gamma {
    const SPEC: LossSpec = LossSpec {
        spec: Spec {
            name: "gamma",
            class: "Gamma",
            summary: "Negative gamma log-likelihood with log link, ``L = y exp(-eta) + eta``: positive amounts whose \
                      spread grows with their mean.",
            notes: "Any y above 0. The prediction is the mean of y given x, ``exp(eta)``. McCullagh and Nelder (1989), \
                    Generalized Linear Models, chapter 8.",
            parameters: &[],
        },
        kind: Kind::Regression,
        domain: "numbers above 0",
        score: "mean_gamma_deviance",
        scores: &["mean_gamma_deviance", "d2_tweedie_score", "mean_squared_error", "r2_score"],
        has_probabilities: false,
        is_multinomial: false,
    };

    fn new(_parameters: &[f64]) -> Self {
        Self
    }

    #[inline(always)]
    fn terms(self, y: f64, eta: f64) -> Terms {
        let t = y * (-eta).exp();
        let residual = t - 1.0;
        Terms { value: relative_entropy(1.0, t, -residual, || y.ln() - eta), residual, curvature: t }
    }

    #[inline(always)]
    fn value(self, y: f64, eta: f64) -> f64 {
        let t = y * (-eta).exp();
        relative_entropy(1.0, t, 1.0 - t, || y.ln() - eta)
    }

    fn least(self, y: f64) -> f64 {
        1.0 + y.ln()
    }

    fn fenchel(self, y: f64, eta: f64, residual: f64, theta: f64) -> f64 {
        let a = 1.0 + theta;
        let t = y * (-eta).exp();
        if a < 0.0 { f64::INFINITY } else { relative_entropy(a, t, theta - residual, || y.ln() - eta) }
    }

    fn feasible_scale(self, _y: f64, theta: f64) -> f64 {
        largest_scale(-theta, 1.0)
    }

    fn longest_step(self) -> f64 {
        // from above, Newton's step is 1 / t - 1 and overshoots; from below it comes back by 1 at a time
        5.0
    }

    fn largest_eta(self) -> f64 {
        700.0
    }

    fn mean(self, eta: f64) -> f64 {
        eta.exp()
    }

    fn null_range(self, _y: &[f64], mean: f64) -> (f64, f64) {
        log_of(mean)
    }

    fn admits(self, y: f64) -> bool {
        y > 0.0
    }

    fn scores(self, rows: &Rows<'_>) -> Vec<f64> {
        [rows.deviances(self), rows.squares(f64::exp)].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::tests::{ETA, WEIGHTS, Y, assert_scores};

    #[test]
    fn value_above_the_least_is_the_textbook_loss() {
        for y in [0.01, 0.3, 1.0, 7.0] {
            for eta in [-3.0, -0.2, 0.0, 1.9, 4.0f64] {
                let textbook: f64 = y * (-eta).exp() + eta;
                let value = Gamma.value(y, eta) + Gamma.least(y);
                assert!((value - textbook).abs() < 1e-13 * (1.0 + textbook.abs()), "{y}, {eta}");
            }
        }
    }

    #[test]
    fn scores_are_those_of_scikit_learn() {
        // mean_gamma_deviance(y, mu, sample_weight=w), d2_tweedie_score(y, mu, sample_weight=w, power=2),
        // mean_squared_error(y, mu, sample_weight=w), r2_score(y, mu, sample_weight=w) with mu = exp(eta)
        let known = [0.10515312799750746, 0.669559086281544, 0.5723302300161687, 0.4446391299034481];
        assert_scores(Gamma, &Y.map(|y| y + 0.5), &ETA, &WEIGHTS, &known);
        let scores = Gamma.scores(&Rows::new(&Y, &ETA, &WEIGHTS).unwrap());
        assert!(scores[0].is_nan() && scores[1].is_nan());
    }
}
