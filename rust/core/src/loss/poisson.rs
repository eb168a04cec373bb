use super::bregman::relative_entropy;
use super::{Kind, Loss, LossSpec, Terms, all_zero, largest_scale, log_of, outside};
use crate::metric::Rows;
use crate::registry::Spec;

/// `L(y, eta) = exp(eta) - y eta` for y >= 0, `mu = exp(eta)`.
///
/// The least value is `y - y log y`, at `mu = y`; with `D(q, mu) = mu - q + q log(q / mu)`
///
/// ```text
/// L - min L                       =  D(y, mu)
/// L(eta) + L*(-theta) + theta eta =  D(q, mu),   q = y - theta >= 0,   q - mu = r - theta
/// ```
///
/// since `L + theta eta = exp(eta) - q eta` is the loss of q in place of y.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Poisson;

impl Loss for Poisson {
    const SPEC: LossSpec = LossSpec {
        spec: Spec {
            name: "poisson",
            class: "Poisson",
            summary: "Negative Poisson log-likelihood with log link, ``L = exp(eta) - y eta``: counts and rates.",
            notes: "Any y from 0 on. The prediction is the mean of y given x, ``exp(eta)``. With weights that are \
                    exposures and y that is a count by exposure it is the model of rates. McCullagh and Nelder (1989), \
                    Generalized Linear Models, chapter 6.",
            parameters: &[],
        },
        kind: Kind::Regression,
        domain: "numbers of at least 0",
        score: "mean_poisson_deviance",
        scores: &["mean_poisson_deviance", "d2_tweedie_score", "mean_squared_error", "r2_score"],
        has_probabilities: false,
        is_multinomial: false,
    };

    fn new(_parameters: &[f64]) -> Self {
        Self
    }

    #[inline(always)]
    fn terms(self, y: f64, eta: f64) -> Terms {
        let mu = eta.exp();
        let residual = y - mu;
        Terms { value: relative_entropy(y, mu, residual, || eta), residual, curvature: mu }
    }

    #[inline(always)]
    fn value(self, y: f64, eta: f64) -> f64 {
        let mu = eta.exp();
        relative_entropy(y, mu, y - mu, || eta)
    }

    fn least(self, y: f64) -> f64 {
        if y > 0.0 { y - y * y.ln() } else { 0.0 }
    }

    fn fenchel(self, y: f64, eta: f64, residual: f64, theta: f64) -> f64 {
        let q = y - theta;
        if q < 0.0 { f64::INFINITY } else { relative_entropy(q, eta.exp(), residual - theta, || eta) }
    }

    fn feasible_scale(self, y: f64, theta: f64) -> f64 {
        largest_scale(theta, y)
    }

    fn attains_least(self, y: f64) -> bool {
        y > 0.0
    }

    fn recedes(self, y: f64, d: f64) -> bool {
        d == 0.0 || (y == 0.0 && d < 0.0)
    }

    fn has_chi_square_bound(self) -> bool {
        true
    }

    /// For normal `x'w` of variance v the mean of `exp(x'w)` is `exp(v / 2)`, and by Stein's identity the Newton step is
    /// right.
    fn first_move(self, _center: f64, spread: f64) -> (f64, f64) {
        (1.0, -0.5 * spread.min(1.0))
    }

    fn longest_step(self) -> f64 {
        // from below, Newton's step is y / mu - 1 and overshoots; from above it comes back by 1 at a time
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
        y >= 0.0
    }

    fn refuses(self, y: &[f64], unpenalised: bool) -> Option<String> {
        outside(self, y).or_else(|| all_zero(y, unpenalised))
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
        for y in [0.0, 0.3, 1.0, 7.0] {
            for eta in [-3.0, -0.2, 0.0, 1.9, 4.0f64] {
                let textbook: f64 = eta.exp() - y * eta;
                let value = Poisson.value(y, eta) + Poisson.least(y);
                assert!((value - textbook).abs() < 1e-13 * (1.0 + textbook.abs()), "{y}, {eta}");
            }
        }
    }

    #[test]
    fn the_value_keeps_its_digits_near_the_least() {
        // y (e^u - 1 - u) with u = 2^-30 and y = 1
        let u = f64::exp2(-30.0);
        let exact = 0.5 * u * u * (1.0 + u / 3.0);
        // eta is exact, mu is rounded: a relative error of eps / u at least
        assert!((Poisson.value(1.0, u) / exact - 1.0).abs() < 4.0 * f64::EPSILON / u);
        let mu = 5.0;
        let eta = f64::ln(mu);
        let bracket = Poisson.fenchel(8.0, eta, 3.0, 3.0 * (1.0 - u));
        assert!((bracket / (0.5 * (3.0 * u).powi(2) / mu) - 1.0).abs() < 1e-8);
    }
    #[test]
    fn scores_are_those_of_scikit_learn() {
        // mean_poisson_deviance(y, mu, sample_weight=w), d2_tweedie_score(y, mu, sample_weight=w, power=1),
        // mean_squared_error(y, mu, sample_weight=w), r2_score(y, mu, sample_weight=w) with mu = exp(eta)
        let known = [0.3627154864848405, 0.5565409632559289, 0.7107171880707672, 0.31035528920356814];
        assert_scores(Poisson, &Y, &ETA, &WEIGHTS, &known);
    }

    #[test]
    fn a_held_out_target_outside_the_domain_has_no_deviance() {
        let rows = [[0.5, -1.0], [0.0, 0.0]];
        let scores = Poisson.scores(&Rows::new(&rows[0], &rows[1], &[1.0, 1.0]).unwrap());
        assert!(scores[0].is_nan() && scores[1].is_nan() && scores[2].is_finite());
        // a weight of 0 is a row that is not there
        let scores = Poisson.scores(&Rows::new(&rows[0], &rows[1], &[1.0, 0.0]).unwrap());
        assert!((scores[0] - 2.0 * Poisson.value(0.5, 0.0)).abs() < 1e-15);
    }
}
