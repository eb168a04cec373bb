use pulp::Simd;

use super::rows::{FEW, Few};
use super::{Kind, Loss, LossSpec, Terms, outside, single_class};
use crate::math;
use crate::metric::{LOG_LOSS_CEILING, Rows, hit};
use crate::registry::Spec;

/// `L(y, eta) = log(1 + exp(eta)) - y eta` for y in {0, 1}.
///
/// With `p = 1 / (1 + exp(-eta))` and `q = y - theta` the bracket is the Kullback-Leibler divergence of the
/// Bernoulli distribution of `q` from that of `p`; theta is feasible where q lies in \[0, 1\].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Logistic;

/// Probabilities of the second and of the first class given `small = exp(-|eta|)`; both keep their digits near 0.
#[inline(always)]
fn probabilities(eta: f64, small: f64) -> (f64, f64) {
    let near_one = 1.0 / (1.0 + small);
    let near_zero = small * near_one;
    if eta >= 0.0 { (near_one, near_zero) } else { (near_zero, near_one) }
}

/// `log(1 + exp(eta)) - y eta`, without overflow, given `exp(-|eta|)`.
#[inline(always)]
fn value(y: f64, eta: f64, small: f64) -> f64 {
    let signed = if y > 0.5 { -eta } else { eta };
    signed.max(0.0) + math::ln_1p(small)
}

/// Terms of rows in whole vectors, and the sum of their values: of the logarithms, which lie between 0 and log 2, it is the
/// logarithm of a product. None where that says little, nearly all rows being far on their class's side.
#[inline(always)]
fn terms_together<S: Simd>(simd: S, rows: &mut Few<'_>) -> Option<f64> {
    // a factor is rounded to 1 part in 2^53, and so is each product
    const LITTLE: f64 = 1.0 / 16.0;
    let mut store = [0.0; FEW];
    let small = &mut store[..rows.y.len()];
    for (small, eta) in small.iter_mut().zip(rows.eta) {
        let far = -eta.abs();
        *small = if S::IS_SCALAR { math::decay::<false>(far) } else { math::decay::<true>(far) };
    }
    let (zero, one) = (simd.splat_f64s(0.0), simd.splat_f64s(1.0));
    let (mut product, mut hinges) = (one, zero);
    let given = S::as_simd_f64s(rows.y).0.iter().zip(S::as_simd_f64s(rows.eta).0).zip(S::as_simd_f64s(small).0);
    let (residual, curvature) = (S::as_mut_simd_f64s(rows.residual).0, S::as_mut_simd_f64s(rows.curvature).0);
    for (((y, eta), small), (residual, curvature)) in given.zip(residual.iter_mut().zip(curvature)) {
        // 1 for the second class, -1 for the first
        let side = simd.sub_f64s(simd.add_f64s(*y, *y), one);
        let against = simd.sub_f64s(zero, simd.mul_f64s(side, *eta));
        let factor = simd.add_f64s(one, *small);
        let near_one = simd.div_f64s(one, factor);
        let near_zero = simd.mul_f64s(*small, near_one);
        let off = simd.select_f64s(simd.less_than_f64s(zero, against), near_one, near_zero);
        *residual = simd.mul_f64s(side, off);
        *curvature = simd.mul_f64s(near_one, near_zero);
        product = simd.mul_f64s(product, factor);
        hinges = simd.add_f64s(hinges, simd.max_f64s(against, zero));
    }
    let logarithms = simd.reduce_product_f64s(product).ln();
    (logarithms >= LITTLE * rows.y.len() as f64).then(|| logarithms + simd.reduce_sum_f64s(hinges))
}

/// Log loss, Brier score and accuracy.
#[inline(always)]
fn row_scores(y: f64, eta: f64) -> [f64; 3] {
    let small = math::exp(-eta.abs());
    let off = y - probabilities(eta, small).0;
    [value(y, eta, small).min(LOG_LOSS_CEILING), off * off, hit(y, eta)]
}

impl Loss for Logistic {
    const SPEC: LossSpec = LossSpec {
        spec: Spec {
            name: "logistic",
            class: "Logistic",
            summary: "Negative Bernoulli log-likelihood, ``L = log(1 + exp(eta)) - y eta`` with y in {0, 1}.",
            notes: "Two classes. The prediction is the probability of the second class, ``1 / (1 + exp(-eta))``. More \
                    than two classes take the symmetric softmax form, ``L = log sum_k exp(eta_k) - eta_y``, with a \
                    coefficient for each class and feature.",
            parameters: &[],
        },
        kind: Kind::Classification,
        domain: "0 and 1",
        score: "log_loss",
        scores: &["log_loss", "brier_score_loss", "accuracy_score", "roc_auc_score"],
        has_probabilities: true,
        is_multinomial: true,
    };

    fn new(_parameters: &[f64]) -> Self {
        Self
    }

    fn admits(self, y: f64) -> bool {
        y == 0.0 || y == 1.0
    }

    fn refuses(self, y: &[f64], _unpenalised: bool) -> Option<String> {
        outside(self, y).or_else(|| single_class(y))
    }

    fn majorant(self, _y: f64, eta: f64) -> f64 {
        // Jaakkola and Jordan (2000): tanh(eta / 2) / (2 eta)
        if eta.abs() < 1e-3 { 0.25 - eta * eta / 48.0 } else { 0.5 * (0.5 * eta).tanh() / eta }
    }

    fn recedes(self, y: f64, d: f64) -> bool {
        (2.0 * y - 1.0) * d >= 0.0
    }

    #[inline(always)]
    fn terms(self, y: f64, eta: f64) -> Terms {
        let small = math::exp(-eta.abs());
        let (p, q) = probabilities(eta, small);
        let residual = if y > 0.5 { q } else { -p };
        Terms { value: value(y, eta, small), residual, curvature: p * q }
    }

    #[inline(always)]
    fn terms_of<S: Simd>(self, simd: S, mut rows: Few<'_>) -> f64 {
        let is_whole = S::as_simd_f64s(rows.y).1.is_empty();
        // not by closures, which would not be compiled for this instruction set
        if let (Some(weight), true) = (rows.weight(), is_whole)
            && let Some(sum) = terms_together(simd, &mut rows)
        {
            return weight * sum;
        }
        rows.one_by_one(self)
    }

    #[inline(always)]
    fn value(self, y: f64, eta: f64) -> f64 {
        value(y, eta, math::exp(-eta.abs()))
    }

    #[inline(always)]
    fn fenchel(self, y: f64, eta: f64, residual: f64, theta: f64) -> f64 {
        let small = math::exp(-eta.abs());
        let (p, not_p) = probabilities(eta, small);
        let (q, not_q) = (y - theta, (1.0 - y) + theta);
        // q - p without cancellation: y - theta - p = residual - theta
        let delta = residual - theta;
        let beyond = math::ln_1p(small);
        let divergence = relative_entropy(q, p, delta, (-eta).max(0.0) + beyond)
            + relative_entropy(not_q, not_p, -delta, eta.max(0.0) + beyond);
        if q < 0.0 || not_q < 0.0 {
            f64::INFINITY
        } else if divergence < 0.0 {
            // not `max`, which would turn NaN into a certificate
            0.0
        } else {
            divergence
        }
    }

    fn feasible_scale(self, y: f64, theta: f64) -> f64 {
        let room = if y > 0.5 { theta } else { -theta };
        match room {
            // also for a zero with a minus sign, whose inverse is not the upper end of anything
            0.0 => 1.0,
            room if room < 0.0 => 0.0,
            room => room.recip().min(1.0),
        }
    }

    fn attains_least(self, _y: f64) -> bool {
        false
    }

    fn has_chi_square_bound(self) -> bool {
        true
    }

    /// For normal `x'w` of variance v and the normal curve that has the slope of the logistic one at 0,
    /// `E L'(b + x'w)` is that of `b / f` and `E L''` that of `b / f` over f, `f^2 = 1 + v pi / 8`. By Stein's identity
    /// `E x (y - p) = 0` where `w = f d` and `b = f center`, d the Newton step: `v = f^2 spread`.
    fn first_move(self, center: f64, spread: f64) -> (f64, f64) {
        const LARGEST: f64 = 0.8;
        let f = (1.0 - (spread * std::f64::consts::PI / 8.0).min(LARGEST)).sqrt().recip();
        (f, (f - 1.0) * center)
    }

    fn longest_step(self) -> f64 {
        // from one end of the curve to its middle; the local model knows nothing of what lies beyond
        30.0
    }

    fn mean(self, eta: f64) -> f64 {
        probabilities(eta, math::exp(-eta.abs())).0
    }

    fn null_range(self, _y: &[f64], mean: f64) -> (f64, f64) {
        // rare classes of tiny weight leave a mean that rounds to 0 or 1
        let mean = mean.clamp(f64::MIN_POSITIVE, 1.0 - f64::EPSILON);
        let logit = (mean / (1.0 - mean)).ln();
        (logit, logit)
    }

    fn scores(self, rows: &Rows<'_>) -> Vec<f64> {
        let [log_loss, brier, accuracy] = rows.means(row_scores);
        vec![log_loss, brier, accuracy, rows.roc_auc()]
    }
}

/// `q log(q / p)` with `q = p + delta` and `minus_log_p = -log p`, at least -1/e.
///
/// Both forms are computed, and one is taken, so that loops over rows have no branches.
#[inline(always)]
fn relative_entropy(q: f64, p: f64, delta: f64, minus_log_p: f64) -> f64 {
    let ratio = delta / p;
    let is_close = delta.abs() < 0.5 * p;
    let near = math::ln_1p(if is_close { ratio } else { 0.0 });
    // from eta, since p may have been rounded to 0
    let far = math::ln(if q > 0.0 { q } else { 1.0 }) + minus_log_p;
    let product = q * if is_close { near } else { far };
    if q == 0.0 { 0.0 } else { product }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::tests::{CLASSES, MARGINS, WEIGHTS, assert_scores};

    #[test]
    fn value_above_the_least_is_the_textbook_loss() {
        for y in [0.0, 1.0] {
            for eta in [-3.0, -0.2, 0.0, 1.9, 4.0f64] {
                let textbook: f64 = (1.0 + eta.exp()).ln() - y * eta;
                let value = Logistic.value(y, eta) + Logistic.least(y);
                assert!((value - textbook).abs() < 1e-13 * (1.0 + textbook.abs()), "{y}, {eta}");
            }
        }
    }

    #[test]
    fn rows_together_are_the_rows() {
        use crate::loss::rows::terms;
        for (scale, shift) in [(0.0, 0.0), (1.0, 0.2), (8.0, -3.0), (0.1, 30.0), (300.0, 5.0), (2000.0, 0.0)] {
            let n = 3 * FEW + 40;
            let draw = |i: usize| ((i * i + 31 * i) % 1009) as f64 / 504.5 - 1.0;
            let y: Vec<f64> = (0..n).map(|i| f64::from(u8::from(draw(i) + draw(7 * i + 3) > 0.1))).collect();
            let eta: Vec<f64> = (0..n).map(|i| (2.0 * y[i] - 1.0) * (scale * draw(3 * i) + shift)).collect();
            let omega = vec![1.0 / n as f64; n];
            let (mut residual, mut curvature) = (vec![0.0; n], vec![0.0; n]);
            let value = terms(Logistic, &y, &eta, &omega, &mut residual, &mut curvature);
            let each: Vec<Terms> = y.iter().zip(&eta).map(|(y, eta)| Logistic.terms(*y, *eta)).collect();
            // by few: one running sum of all rows is worse than what it is to judge
            let of_few = |few: &[Terms]| few.iter().map(|terms| terms.value).sum::<f64>();
            let wanted = each.chunks(32).map(of_few).sum::<f64>() / n as f64;
            assert!((value - wanted).abs() <= 4e-15 * wanted, "{scale}, {shift}: {value} {wanted}");
            for (terms, (r, c)) in each.iter().zip(residual.iter().zip(&curvature)) {
                assert!((terms.residual - r).abs() <= 4e-16 * r.abs() + 1e-307, "{r} {}", terms.residual);
                assert!((terms.curvature - c).abs() <= 8e-16 * c + 1e-307, "{c} {}", terms.curvature);
            }
        }
    }

    #[test]
    fn rows_without_a_number_have_no_value() {
        use crate::loss::rows::terms;
        let (mut residual, mut curvature) = ([0.0; 8], [0.0; 8]);
        for bad in [f64::NAN, f64::NEG_INFINITY] {
            let mut eta = [0.5; 8];
            eta[3] = bad;
            let value = terms(Logistic, &[1.0; 8], &eta, &[0.125; 8], &mut residual, &mut curvature);
            assert!(!value.is_finite(), "{value}");
        }
    }

    #[test]
    fn scores_are_those_of_scikit_learn() {
        // log_loss(y, p, sample_weight=w), brier_score_loss(y, p, sample_weight=w),
        // accuracy_score(y, eta > 0, sample_weight=w), roc_auc_score(y, eta, sample_weight=w) with p = expit(eta)
        let known = [0.3758591771277572, 0.12680267740890286, 0.8, 0.8636363636363636];
        assert_scores(Logistic, &CLASSES, &MARGINS, &WEIGHTS, &known);
    }
}
