use super::bregman::{divergence, log_ratio, relative_entropy};
use super::{Kind, Loss, LossSpec, Terms, all_zero, largest_scale, log_of, outside};
use crate::metric::Rows;
use crate::registry::{Parameter, Spec};

/// `L(y, eta) = A / a + B / c` with `A = exp(a eta)`, `B = y exp(-c eta)`, `a = 2 - power`, `c = power - 1`, y >= 0.
///
/// `L' = A - B` and `L'' = a A + c B`. With `D(q, mu) = mu - q + q log(q / mu)` the divergence that belongs to L,
/// `L(eta) - L(e) - L'(e) (eta - e)`, is a sum without cancellation,
///
/// ```text
/// D(A_e, A) / a  +  D(B_e, B) / c,     log(A / A_e) = a (eta - e),   log(B / B_e) = -c (eta - e)
/// ```
///
/// It is `L - min L` for `e = log y`, where `A_e = B_e = y^a`, and the bracket of theta for the e at which
/// `L'(e) = -theta`. There is one for every theta if y > 0. If y = 0 what is left is the loss `exp(a eta) / a`, whose
/// least value 0 is not attained and whose bracket is `D(q, A) / a` with `q = -theta >= 0`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tweedie {
    /// Power of the mean that the variance is proportional to, between 1 and 2.
    pub power: f64,
}

impl Tweedie {
    /// `a`, `c`, `A` and `B`.
    #[inline(always)]
    fn parts(self, y: f64, eta: f64) -> (f64, f64, f64, f64) {
        let (a, c) = (2.0 - self.power, self.power - 1.0);
        let falling = if y > 0.0 { y * (-c * eta).exp() } else { 0.0 };
        (a, c, (a * eta).exp(), falling)
    }

    #[inline(always)]
    fn above_least(self, y: f64, eta: f64, (a, c, rising, falling): (f64, f64, f64, f64)) -> f64 {
        if y == 0.0 {
            return rising / a;
        }
        let mu = eta.exp();
        let u = log_ratio(y, mu, y - mu, || eta);
        let least = (a * y.ln()).exp();
        divergence(least, rising, a * u) / a + divergence(least, falling, -c * u) / c
    }
}

/// `log(1 - x / b)` with its sign turned, infinite from b on.
fn log_short(x: f64, b: f64) -> f64 {
    if x < b { -(-x / b).ln_1p() } else { f64::INFINITY }
}

/// The k > 0 with `g(k) = A (e^(a k) - 1) + B (1 - e^(-c k)) = d`, for d > 0; `rising` is (a, A), `falling` is (c, B).
///
/// Both terms rise from 0: at the root none exceeds d, and where none exceeds d / 2 the root lies further out. Within
/// these bounds Newton's method, or else halving.
fn reach((a, rising): (f64, f64), (c, falling): (f64, f64), d: f64) -> f64 {
    let bound = |d: f64| ((d / rising).ln_1p() / a).min(log_short(d, falling) / c);
    let (mut low, mut high) = (bound(0.5 * d), bound(d) * (1.0 + 4.0 * f64::EPSILON));
    let mut k = low;
    for _ in 0..100 {
        let miss = rising * (a * k).exp_m1() - falling * (-c * k).exp_m1() - d;
        if miss < 0.0 {
            low = k
        } else {
            high = k
        }
        let newton = k - miss / (a * rising * (a * k).exp() + c * falling * (-c * k).exp());
        let next = if newton >= low && newton <= high { newton } else { 0.5 * (low + high) };
        if (next - k).abs() <= 2.0 * f64::EPSILON * k {
            break;
        }
        k = next;
    }
    k
}

impl Loss for Tweedie {
    const SPEC: LossSpec = LossSpec {
        spec: Spec {
            name: "tweedie",
            class: "Tweedie",
            summary: "Half the Tweedie deviance with log link, ``L = mu^(2-p) / (2-p) - y mu^(1-p) / (1-p)`` with \
                      mu = exp(eta) and p = power: amounts that are often exactly 0.",
            notes: "Any y from 0 on. The prediction is the mean of y given x, ``exp(eta)``; the variance is \
                    proportional to its p-th power. Jorgensen (1987), Exponential dispersion models. JRSS B 49, \
                    127-162.",
            parameters: &[Parameter {
                name: "power",
                default: Some(1.5),
                low: 1.0,
                high: 2.0,
                open: true,
                doc: "From close to 1 (as Poisson) to close to 2 (as Gamma).",
            }],
        },
        kind: Kind::Regression,
        domain: "numbers of at least 0",
        score: "mean_tweedie_deviance",
        scores: &["mean_tweedie_deviance", "d2_tweedie_score", "mean_squared_error", "r2_score"],
        has_probabilities: false,
        is_multinomial: false,
    };

    fn new(parameters: &[f64]) -> Self {
        Self { power: parameters[0] }
    }

    #[inline(always)]
    fn terms(self, y: f64, eta: f64) -> Terms {
        let parts = self.parts(y, eta);
        let (a, c, rising, falling) = parts;
        let value = self.above_least(y, eta, parts);
        Terms { value, residual: falling - rising, curvature: a * rising + c * falling }
    }

    #[inline(always)]
    fn value(self, y: f64, eta: f64) -> f64 {
        self.above_least(y, eta, self.parts(y, eta))
    }

    fn least(self, y: f64) -> f64 {
        let (a, c) = (2.0 - self.power, self.power - 1.0);
        if y > 0.0 { y.powf(a) / (a * c) } else { 0.0 }
    }

    fn fenchel(self, y: f64, eta: f64, residual: f64, theta: f64) -> f64 {
        let (a, c, rising, falling) = self.parts(y, eta);
        let d = residual - theta;
        if y == 0.0 {
            let q = -theta;
            return if q < 0.0 { f64::INFINITY } else { relative_entropy(q, rising, d, || a * eta) / a };
        }
        // A_e - A + B - B_e = d for e = eta + k; NaN, which certifies nothing, where B has vanished and d wants it back
        let k = match d {
            d if d > 0.0 => reach((a, rising), (c, falling), d),
            d if d < 0.0 => -reach((c, falling), (a, rising), -d),
            d => d,
        };
        let at = |exponent: f64, part: f64| divergence(part * exponent.exp(), part, -exponent);
        at(a * k, rising) / a + at(-c * k, falling) / c
    }

    fn feasible_scale(self, y: f64, theta: f64) -> f64 {
        if y > 0.0 { 1.0 } else { largest_scale(theta, 0.0) }
    }

    fn attains_least(self, y: f64) -> bool {
        y > 0.0
    }

    fn recedes(self, y: f64, d: f64) -> bool {
        d == 0.0 || (y == 0.0 && d < 0.0)
    }

    fn longest_step(self) -> f64 {
        // neither part grows by more than e^5
        5.0 / (2.0 - self.power).max(self.power - 1.0)
    }

    fn largest_eta(self) -> f64 {
        700.0
    }

    fn mean(self, eta: f64) -> f64 {
        eta.exp()
    }

    fn null_range(self, _y: &[f64], mean: f64) -> (f64, f64) {
        // L' = exp(-c eta) (mu - y): the root is the log of the mean
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
        let (p, mu) = (1.3, f64::exp);
        let loss = Tweedie { power: p };
        for y in [0.0, 0.3, 1.0, 7.0] {
            for eta in [-3.0, -0.2, 0.0, 1.9, 4.0f64] {
                let textbook: f64 = mu(eta).powf(2.0 - p) / (2.0 - p) - y * mu(eta).powf(1.0 - p) / (1.0 - p);
                let value = loss.value(y, eta) + loss.least(y);
                assert!((value - textbook).abs() < 1e-13 * (1.0 + textbook.abs()), "{y}, {eta}");
            }
        }
    }

    #[test]
    fn the_root_is_one_in_every_regime() {
        let sizes = [1e-9, 1e-3, 1.0, 40.0, 1e6];
        for a in [0.03, 0.5, 0.9] {
            for (rising, falling) in sizes.iter().flat_map(|r| sizes.map(|f| (*r, f))) {
                for d in [1e-12, 1e-4, 0.7, 30.0, 1e5] {
                    let k = reach((a, rising), (1.0 - a, falling), d);
                    let parts = (rising * (a * k).exp_m1(), -falling * ((a - 1.0) * k).exp_m1());
                    // the root is exact up to the rounding of k, which moves g by k g'
                    let slope = a * (rising + parts.0) + (1.0 - a) * (falling - parts.1);
                    let rounding = 8.0 * f64::EPSILON * (d + k * slope);
                    assert!((parts.0 + parts.1 - d).abs() <= rounding, "{a} {rising} {falling} {d}");
                }
            }
        }
    }

    #[test]
    fn the_bracket_keeps_its_digits_near_its_root() {
        let (loss, eta, small) = (Tweedie { power: 1.6 }, 0.4, f64::exp2(-25.0));
        let Terms { residual, curvature, .. } = loss.terms(3.0, eta);
        let bracket = loss.fenchel(3.0, eta, residual, residual - small);
        assert!((bracket / (0.5 * small * small / curvature) - 1.0).abs() < 1e-6);
    }

    #[test]
    fn scores_are_those_of_scikit_learn() {
        // k = dict(sample_weight=w), mu = exp(eta): mean_tweedie_deviance(y, mu, power=1.3, **k),
        // d2_tweedie_score(y, mu, power=1.3, **k), mean_squared_error(y, mu, **k), r2_score(y, mu, **k)
        let known = [0.41354315660930435, 0.5232571800534906, 0.7107171880707672, 0.31035528920356814];
        assert_scores(Tweedie { power: 1.3 }, &Y, &ETA, &WEIGHTS, &known);
    }

    #[test]
    fn targets_that_are_all_0_have_scores() {
        let scores = Tweedie { power: 1.3 }.scores(&Rows::new(&[0.0; 2], &[-1.0, 0.0], &[1.0; 2]).unwrap());
        assert_eq!((scores[1], scores[3]), (0.0, 0.0));
        assert!(scores[0] > 0.0);
    }
}
