//! Held-out scores, named and defined as in `sklearn.metrics`.

use crate::loss::{Logistic, Loss, LossKind};

/// Names of the scores of a loss, in the order of [`score`].
pub fn names(loss: LossKind) -> &'static [&'static str] {
    loss.spec().scores
}

/// Scores of the linear predictions `eta`; NaN where a score is undefined or there are no rows.
pub fn score(loss: LossKind, y: &[f64], eta: &[f64], weights: &[f64]) -> Vec<f64> {
    let total: f64 = weights.iter().sum();
    if total == 0.0 {
        return vec![f64::NAN; names(loss).len()];
    }
    match loss {
        LossKind::Squared(_) => squared(y, eta, weights, total),
        LossKind::Logistic(_) => logistic(y, eta, weights, total),
    }
}

fn mean(values: impl Iterator<Item = f64>, weights: &[f64], total: f64) -> f64 {
    values.zip(weights).map(|(v, w)| v * w).sum::<f64>() / total
}

fn squared(y: &[f64], eta: &[f64], weights: &[f64], total: f64) -> Vec<f64> {
    let error = mean(y.iter().zip(eta).map(|(y, e)| (y - e).powi(2)), weights, total);
    let center = mean(y.iter().copied(), weights, total);
    let spread = mean(y.iter().map(|y| (y - center).powi(2)), weights, total);
    vec![error, r2(error, spread, y.len())]
}

/// 1 - error / spread; for a constant target 1 if it is met and 0 if not; undefined for a single row.
fn r2(error: f64, spread: f64, rows: usize) -> f64 {
    match (rows < 2, spread == 0.0, error == 0.0) {
        (true, _, _) => f64::NAN,
        (_, true, true) => 1.0,
        (_, true, false) => 0.0,
        _ => 1.0 - error / spread,
    }
}

fn logistic(y: &[f64], eta: &[f64], weights: &[f64], total: f64) -> Vec<f64> {
    // scikit-learn clips probabilities at the machine epsilon
    let ceiling = -f64::EPSILON.ln();
    let rows = || y.iter().zip(eta);
    let log_loss = mean(rows().map(|(y, e)| Logistic.value(*y, *e).min(ceiling)), weights, total);
    let brier = mean(rows().map(|(y, e)| (y - Logistic.mean(*e)).powi(2)), weights, total);
    let hit = |(y, e): (&f64, &f64)| f64::from(u8::from((*e > 0.0) == (*y > 0.5)));
    vec![log_loss, brier, mean(rows().map(hit), weights, total), roc_auc(y, eta, weights)]
}

/// Weighted share of (positive, negative) pairs in the right order, ties counting one half.
fn roc_auc(y: &[f64], eta: &[f64], weights: &[f64]) -> f64 {
    let mut order: Vec<usize> = (0..y.len()).filter(|&i| weights[i] > 0.0).collect();
    order.sort_unstable_by(|&a, &b| eta[a].total_cmp(&eta[b]));
    let (mut below, mut positives, mut ordered) = (0.0, 0.0, 0.0);
    for tie in order.chunk_by(|&a, &b| eta[a] == eta[b]) {
        let of = |class: bool| tie.iter().filter(|&&i| (y[i] > 0.5) == class).map(|&i| weights[i]).sum::<f64>();
        let (negative, positive) = (of(false), of(true));
        ordered += positive * (below + 0.5 * negative);
        below += negative;
        positives += positive;
    }
    if below == 0.0 || positives == 0.0 { f64::NAN } else { ordered / (below * positives) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::Squared;

    #[test]
    fn auc_counts_pairs() {
        let (y, eta) = ([0.0, 1.0, 0.0, 1.0, 1.0], [0.1, 0.4, 0.4, 0.8, 0.0]);
        let mut pairs = 0.0;
        for i in 0..5 {
            for j in 0..5 {
                if y[i] > y[j] {
                    pairs += if eta[i] > eta[j] {
                        1.0
                    } else if eta[i] == eta[j] {
                        0.5
                    } else {
                        0.0
                    };
                }
            }
        }
        assert!((roc_auc(&y, &eta, &[1.0; 5]) - pairs / 6.0).abs() < 1e-15);
        assert!(roc_auc(&[1.0, 1.0], &[0.0, 1.0], &[1.0; 2]).is_nan());
    }

    #[test]
    fn a_constant_target_has_an_r2() {
        assert_eq!(score(LossKind::Squared(Squared), &[2.0, 2.0], &[2.0, 2.0], &[1.0; 2]), [0.0, 1.0]);
        assert_eq!(score(LossKind::Squared(Squared), &[2.0, 2.0], &[1.0, 3.0], &[1.0; 2]), [1.0, 0.0]);
        assert!(score(LossKind::Squared(Squared), &[2.0], &[1.0], &[1.0])[1].is_nan());
    }
}
