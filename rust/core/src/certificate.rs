//! Duality gaps: how far, at most, a fit's objective lies above the least one.
//!
//! For a dual point `theta = s t`, `t` the residuals with the unpenalised directions projected out and `s` the
//! largest feasible scale up to 1, and `u = X' Omega_v theta`,
//!
//! ```text
//! gap = sum_i omega_i [ L(eta_i) + L*(-theta_i) + theta_i eta_i ] + [ alpha Omega(w) + (alpha Omega)*(u) - u'w ]
//! ```
//!
//! Each bracket is at least 0 (Fenchel and Young), so no digits cancel. Offset and centre add no terms: the model
//! carries them in eta.

use crate::penalty::ScaledPenalty;
use crate::solver::Model;

/// Gap of the model's position `b`; infinite where no dual point is feasible. Where the share of the penalty alone is
/// beyond `far`, that share: it costs no pass over the rows.
pub fn duality_gap(model: &mut impl Model, penalty: &ScaledPenalty, b: &[f64], far: f64) -> f64 {
    if let Some(gap) = model.short_gap(penalty, b, far) {
        return if gap.is_nan() { f64::INFINITY } else { gap };
    }
    let free = penalty.directions(b);
    let Some(dual) = model.dual(&free) else { return f64::INFINITY };
    let rounding = model.rounding();
    let s = dual.scale.min(penalty.feasible_scale(&dual.correlation, &free, rounding));
    let of_penalty = penalty.fenchel(b, &dual.correlation, s, &free, rounding);
    let gap = if of_penalty > far { of_penalty } else { model.loss_gap(&dual, s) + of_penalty };
    if gap.is_nan() { f64::INFINITY } else { gap }
}
