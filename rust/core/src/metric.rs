//! Held-out scores, named and defined as in `sklearn.metrics`: what the losses make theirs of, and the softmax's.

// loops of constant length over several arrays at once, which the compiler unrolls
#![allow(clippy::needless_range_loop)]

use pulp::{Arch, Simd, WithSimd};

use crate::loss::{Loss, LossKind};
use crate::math::exp;

/// Largest log loss of a row: scikit-learn clips probabilities at the machine epsilon.
pub const LOG_LOSS_CEILING: f64 = 52.0 * std::f64::consts::LN_2;

/// Names of the scores of a loss, in the order of [`score`].
pub fn names(loss: LossKind) -> &'static [&'static str] {
    loss.spec().scores
}

/// Scores of the linear predictions `eta`; NaN where a score is undefined or there are no rows.
pub fn score(loss: LossKind, y: &[f64], eta: &[f64], weights: &[f64]) -> Vec<f64> {
    match Rows::new(y, eta, weights) {
        Some(rows) => loss.scores(&rows),
        None => vec![f64::NAN; names(loss).len()],
    }
}

/// Names of the scores of more than two classes, in the order of [`softmax_scores`].
pub fn softmax_names() -> &'static [&'static str] {
    &["log_loss", "brier_score_loss", "accuracy_score", "roc_auc_score"]
}

/// Scores of more than two classes: `y` holds their codes, `eta` the linear predictions of class 0, then of class 1 and
/// so on. The AUC is the mean of those of each class against the rest.
pub fn softmax_scores(y: &[f64], eta: &[f64], n_classes: usize, weights: &[f64]) -> Vec<f64> {
    if Rows::new(y, eta, weights).is_none() {
        return vec![f64::NAN; softmax_names().len()];
    }
    let n = y.len();
    let rows: Vec<Vec<f64>> = (0..n).map(|i| (0..n_classes).map(|k| eta[k * n + i]).collect()).collect();
    let mean = |of: &dyn Fn(&[f64], f64) -> f64| {
        let values: Vec<f64> = rows.iter().zip(y).map(|(row, y)| of(row, *y)).collect();
        Rows::new(y, &values, weights).map_or(f64::NAN, |rows| rows.mean(|_, value| value))
    };
    let log_loss = mean(&|row, y| softmax_log_loss(row, y).min(LOG_LOSS_CEILING));
    vec![log_loss, mean(&softmax_brier), mean(&softmax_hit), one_against_rest(y, &rows, n_classes, weights)]
}

/// `log sum_k exp(eta_k)`.
fn log_sum_exp(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let largest = values.clone().fold(f64::NEG_INFINITY, f64::max);
    largest + values.map(|v| exp(v - largest)).sum::<f64>().ln()
}

/// NaN for a code without a class.
fn softmax_log_loss(row: &[f64], y: f64) -> f64 {
    let own = row.iter().enumerate().find(|(k, _)| y == *k as f64);
    log_sum_exp(row.iter().copied()) - own.map_or(f64::NAN, |(_, eta)| *eta)
}

fn softmax_brier(row: &[f64], y: f64) -> f64 {
    let total = log_sum_exp(row.iter().copied());
    row.iter().enumerate().map(|(k, eta)| (exp(eta - total) - indicator(y == k as f64)).powi(2)).sum()
}

/// The first of several largest ones is the predicted class.
fn softmax_hit(row: &[f64], y: f64) -> f64 {
    let best = (1..row.len()).fold(0, |best, k| if row[k] > row[best] { k } else { best });
    indicator(y == best as f64)
}

fn one_against_rest(y: &[f64], rows: &[Vec<f64>], n_classes: usize, weights: &[f64]) -> f64 {
    let odds: Vec<Vec<f64>> = rows.iter().map(|row| log_odds(row)).collect();
    let of_class = |k: usize| {
        let is_class: Vec<f64> = y.iter().map(|y| indicator(*y == k as f64)).collect();
        let odds: Vec<f64> = odds.iter().map(|odds| odds[k]).collect();
        Rows::new(&is_class, &odds, weights).map_or(f64::NAN, |rows| rows.roc_auc())
    };
    (0..n_classes).map(of_class).sum::<f64>() / n_classes as f64
}

/// Each class's log odds, which rise with its probability and do not round to 1. All but the largest class have the same
/// exponentials, about that one.
fn log_odds(row: &[f64]) -> Vec<f64> {
    let mode = (1..row.len()).fold(0, |best, k| if row[k] > row[best] { k } else { best });
    let terms: Vec<f64> = row.iter().map(|eta| exp(eta - row[mode])).collect();
    let others = |k: usize| terms[..k].iter().chain(&terms[k + 1..]).sum::<f64>().ln();
    let of_mode = || log_sum_exp((0..row.len()).filter(|k| *k != mode).map(|k| row[k]));
    let odds = |k: usize| if k == mode { row[k] - of_mode() } else { (row[k] - row[mode]) - others(k) };
    (0..row.len()).map(odds).collect()
}

#[inline(always)]
fn indicator(holds: bool) -> f64 {
    f64::from(u8::from(holds))
}

/// What the errors on some rows are compared with, whatever the predictions.
#[derive(Debug, Clone, Copy)]
pub struct Baseline {
    /// Sum of the weights.
    pub total: f64,
    n_rows: usize,
    /// Whether all y are the same.
    constant: bool,
    /// Mean error of the best constant prediction.
    spread: f64,
}

impl Baseline {
    /// Part of the spread about a constant prediction that is explained: `1 - error / spread`. For a constant target 1
    /// if it is met and 0 if not; undefined for a single row.
    pub fn explained(&self, error: f64) -> f64 {
        if self.n_rows < 2 || error.is_nan() {
            f64::NAN
        } else if self.constant || self.spread == 0.0 {
            indicator(error == 0.0)
        } else {
            1.0 - error / self.spread
        }
    }
}

/// Held-out rows with their linear predictions, some of them with a positive weight.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    y: &'a [f64],
    eta: &'a [f64],
    weights: &'a [f64],
    total: f64,
}

impl<'a> Rows<'a> {
    /// `None` without any weight.
    pub fn new(y: &'a [f64], eta: &'a [f64], weights: &'a [f64]) -> Option<Self> {
        let total: f64 = weights.iter().sum();
        (total != 0.0).then_some(Self { y, eta, weights, total })
    }

    /// Rows of positive weight, as (y, eta, weight).
    fn iter(&self) -> impl Iterator<Item = (f64, f64, f64)> + use<'a> {
        let rows = self.y.iter().zip(self.eta).zip(self.weights);
        rows.map(|((y, eta), w)| (*y, *eta, *w)).filter(|(_, _, w)| *w != 0.0)
    }

    /// Weighted mean of a function of y and eta.
    pub fn mean(&self, of: impl Fn(f64, f64) -> f64) -> f64 {
        self.iter().map(|(y, eta, w)| of(y, eta) * w).sum::<f64>() / self.total
    }

    /// Weighted means of several functions of y and eta, compiled for every instruction set that pulp knows.
    pub fn means<const N: usize>(&self, of: impl Fn(f64, f64) -> [f64; N]) -> [f64; N] {
        let sums = Arch::new().dispatch(Means { rows: *self, of });
        sums.map(|sum| sum / self.total)
    }

    /// The value that all y share, if they do.
    fn constant(&self) -> Option<f64> {
        let (first, ..) = self.iter().next()?;
        self.iter().all(|(y, ..)| y == first).then_some(first)
    }

    /// See [`Baseline::explained`].
    pub fn explained(&self, error: f64, spread: f64) -> f64 {
        self.compared_with(spread).explained(error)
    }

    fn compared_with(&self, spread: f64) -> Baseline {
        Baseline { total: self.total, n_rows: self.y.len(), constant: self.constant().is_some(), spread }
    }

    /// What squared errors are compared with: the spread about the mean.
    pub fn baseline(&self) -> Baseline {
        let center = self.mean(|y, _| y);
        self.compared_with(self.mean(|y, _| (y - center).powi(2)))
    }

    /// `mean_squared_error` and `r2_score` of predictions that belong to eta.
    pub fn squares(&self, predict: impl Fn(f64) -> f64) -> [f64; 2] {
        let error = self.mean(|y, eta| (y - predict(eta)).powi(2));
        [error, self.baseline().explained(error)]
    }

    /// Mean deviance, `2 (L - min L)`, and its explained part (D2), for a loss with log link; NaN where a y is outside
    /// the domain.
    pub fn deviances<L: Loss>(&self, loss: L) -> [f64; 2] {
        let deviance = |y, eta| if loss.admits(y) { 2.0 * loss.value(y, eta) } else { f64::NAN };
        let center = self.mean(|y, _| y).ln();
        let error = self.mean(deviance);
        [error, self.explained(error, self.mean(|y, _| deviance(y, center)))]
    }

    /// The least y with at least this part of the weight at or below it.
    pub fn quantile(&self, level: f64) -> f64 {
        let mut order: Vec<(f64, f64)> = self.iter().map(|(y, _, w)| (y, w)).collect();
        order.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let mut below = 0.0;
        let reached = order.iter().find(|(_, w)| {
            below += w;
            below >= level * self.total
        });
        reached.or(order.last()).map_or(f64::NAN, |(y, _)| *y)
    }

    /// Part of the rows with eta on the side of 0 of their class.
    pub fn accuracy(&self) -> f64 {
        self.mean(hit)
    }

    /// Weighted share of (positive, negative) pairs in the right order, ties counting one half.
    pub fn roc_auc(&self) -> f64 {
        if self.weights.iter().all(|w| *w == self.weights[0]) && !self.eta.iter().any(|eta| eta.is_nan()) {
            return self.unweighted_auc();
        }
        let mut order: Vec<(f64, f64, f64)> = self.iter().collect();
        order.sort_unstable_by(|a, b| a.1.total_cmp(&b.1));
        let (mut below, mut positives, mut ordered) = (0.0, 0.0, 0.0);
        for tie in order.chunk_by(|a, b| a.1 == b.1) {
            let of = |class: bool| tie.iter().filter(|row| (row.0 > 0.5) == class).map(|row| row.2).sum::<f64>();
            let (negative, positive) = (of(false), of(true));
            ordered += positive * (below + 0.5 * negative);
            below += negative;
            positives += positive;
        }
        if below == 0.0 || positives == 0.0 { f64::NAN } else { ordered / (below * positives) }
    }

    /// The same for rows of equal weights: each class is sorted for itself, and pairs are counted.
    fn unweighted_auc(&self) -> f64 {
        let sorted = |class: bool| {
            let rows = self.iter().filter(|row| (row.0 > 0.5) == class);
            let mut keys: Vec<i64> = rows.map(|row| sort_key(row.1.to_bits() as i64)).collect();
            keys.sort_unstable();
            keys.into_iter().map(|key| f64::from_bits(sort_key(key) as u64)).collect::<Vec<f64>>()
        };
        let (negative, positive) = (sorted(false), sorted(true));
        let (mut below, mut up_to, mut twice) = (0, 0, 0);
        for eta in &positive {
            below += negative[below..].iter().take_while(|other| *other < eta).count();
            up_to = up_to.max(below);
            up_to += negative[up_to..].iter().take_while(|other| *other <= eta).count();
            twice += below + up_to;
        }
        // 0 / 0 where a class is missing
        0.5 * twice as f64 / (negative.len() as f64 * positive.len() as f64)
    }
}

/// From the bits of a number to an integer of the same order, and back: those of negative ones fall as these rise.
fn sort_key(bits: i64) -> i64 {
    bits ^ ((bits >> 63) & i64::MAX)
}

/// Whether eta is on the side of 0 of its class, as 1 or 0.
#[inline(always)]
pub fn hit(y: f64, eta: f64) -> f64 {
    indicator((eta > 0.0) == (y > 0.5))
}

/// Sums of several functions of y and eta over rows with weights, a row of weight 0 left out.
struct Means<'a, F> {
    rows: Rows<'a>,
    of: F,
}

impl<const N: usize, F: Fn(f64, f64) -> [f64; N]> WithSimd for Means<'_, F> {
    type Output = [f64; N];

    /// A few rows at a time, so that the functions run on whole vectors.
    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) -> [f64; N] {
        const FEW: usize = 64;
        let Rows { y, eta, weights, .. } = self.rows;
        let mut sums = [0.0; N];
        for ((y, eta), weights) in y.chunks(FEW).zip(eta.chunks(FEW)).zip(weights.chunks(FEW)) {
            let mut values = [[0.0; FEW]; N];
            for i in 0..y.len() {
                let of_row = (self.of)(y[i], eta[i]);
                for k in 0..N {
                    values[k][i] = if weights[i] == 0.0 { 0.0 } else { weights[i] * of_row[k] };
                }
            }
            for k in 0..N {
                sums[k] += crate::simd::sum(&values[k][..y.len()]);
            }
        }
        sums
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::loss::Squared;

    /// Rows on which the losses compare their scores with scikit-learn's.
    pub(crate) const Y: [f64; 5] = [0.0, 1.0, 4.0, 2.5, 0.75];
    pub(crate) const ETA: [f64; 5] = [-0.5, 0.25, 1.0, 1.5, -0.125];
    pub(crate) const CLASSES: [f64; 5] = [0.0, 1.0, 1.0, 0.0, 1.0];
    pub(crate) const MARGINS: [f64; 5] = [-2.0, 0.25, -0.75, 0.25, 3.0];
    pub(crate) const WEIGHTS: [f64; 5] = [1.0, 2.0, 0.5, 1.0, 3.0];

    pub(crate) fn assert_scores<L: Loss>(loss: L, y: &[f64], eta: &[f64], weights: &[f64], known: &[f64]) {
        assert_close(&loss.scores(&Rows::new(y, eta, weights).unwrap()), known);
    }

    fn assert_close(scores: &[f64], known: &[f64]) {
        assert_eq!(scores.len(), known.len());
        for (score, known) in scores.iter().zip(known) {
            assert!((score - known).abs() < 1e-14 * (1.0 + known.abs()), "{scores:?}");
        }
    }

    /// Six rows of three classes, class after class.
    const SOFTMAX: [f64; 18] =
        [1.0, 0.5, 0.0, 1.0, -40.0, 0.0, 0.0, 0.5, 2.0, -0.5, 0.0, 1.0, 0.5, 0.5, -1.0, 0.25, 50.0, 0.75];

    #[test]
    fn softmax_scores_are_those_of_scikit_learn() {
        let (y, weights) = ([0.0, 2.0, 1.0, 1.0, 2.0, 0.0], [1.0, 2.0, 0.5, 1.0, 3.0, 0.25]);
        // with eta of shape (6, 3) and p = scipy.special.softmax(eta, axis=1): log_loss(y, p, sample_weight=w),
        // brier_score_loss(y, p, sample_weight=w), accuracy_score(y, np.argmax(eta, axis=1), sample_weight=w),
        // roc_auc_score(y, p, multi_class="ovr", sample_weight=w)
        let known = [0.7008224055972554, 0.40825685371055326, 0.5806451612903226, 0.8005283605283605];
        assert_close(&softmax_scores(&y, &SOFTMAX, 3, &weights), &known);
        assert_eq!(softmax_names().len(), known.len());
    }

    #[test]
    fn softmax_scores_without_a_class_or_without_rows() {
        let scores = softmax_scores(&[0.0, 1.0, 1.0, 0.0, 1.0, 0.0], &SOFTMAX, 3, &[1.0; 6]);
        assert!(scores[3].is_nan() && scores[..3].iter().all(|s| s.is_finite()));
        assert!(softmax_scores(&[0.0; 6], &SOFTMAX, 3, &[0.0; 6]).iter().all(|s| s.is_nan()));
        // a probability of 0 costs as much as one of the machine epsilon
        let scores = softmax_scores(&[0.0, 0.0], &[-900.0, 0.0, 900.0, 0.0, 0.0, 0.0], 3, &[1.0, 0.0]);
        assert!((scores[0] + f64::EPSILON.ln()).abs() < 1e-13);
    }

    #[test]
    fn auc_counts_pairs() {
        let (y, eta) = ([0.0, 1.0, 0.0, 1.0, 1.0], [0.1, 0.4, 0.4, 0.8, 0.0]);
        let order = |i: usize, j: usize| match eta[i].partial_cmp(&eta[j]) {
            Some(std::cmp::Ordering::Greater) => 1.0,
            Some(std::cmp::Ordering::Equal) => 0.5,
            _ => 0.0,
        };
        let pairs = (0..25).map(|pair| (pair / 5, pair % 5)).filter(|(i, j)| y[*i] > y[*j]);
        let ordered: f64 = pairs.map(|(i, j)| order(i, j)).sum();
        assert!((Rows::new(&y, &eta, &[1.0; 5]).unwrap().roc_auc() - ordered / 6.0).abs() < 1e-15);
        assert!(Rows::new(&[1.0, 1.0], &[0.0, 1.0], &[1.0; 2]).unwrap().roc_auc().is_nan());
    }

    #[test]
    fn a_constant_target_has_an_r2() {
        let squared = LossKind::Squared(Squared);
        assert_eq!(score(squared, &[2.0, 2.0], &[2.0, 2.0], &[1.0; 2]), [0.0, 1.0]);
        assert_eq!(score(squared, &[2.0, 2.0], &[1.0, 3.0], &[1.0; 2]), [1.0, 0.0]);
        // the mean of 0.1, 0.1, 0.1 is not 0.1
        assert_eq!(score(squared, &[0.1; 3], &[0.1; 3], &[1.0; 3]), [0.0, 1.0]);
        assert!(score(squared, &[2.0], &[1.0], &[1.0])[1].is_nan());
        assert!(score(squared, &[2.0], &[1.0], &[0.0]).iter().all(|s| s.is_nan()));
    }

    #[test]
    fn quantiles_are_weighted() {
        let rows = |weights: &[f64; 4], level: f64| {
            Rows::new(&[3.0, 1.0, 2.0, 9.0], &[0.0; 4], weights).unwrap().quantile(level)
        };
        assert_eq!(rows(&[1.0; 4], 0.5), 2.0);
        assert_eq!(rows(&[1.0, 5.0, 1.0, 0.0], 0.5), 1.0);
        assert_eq!(rows(&[1.0, 5.0, 1.0, 0.0], 0.999_999), 3.0);
    }
}
