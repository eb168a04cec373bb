//! The intercept: the best one for given rows, and what taking it out of a Newton system leaves behind.

use crate::loss::Loss;
use crate::simd::dot;

/// What eliminating the intercept left behind: `Z' Omega W 1`, `1' Omega W 1` and `1' Omega r`.
#[derive(Default, Clone)]
pub(super) struct InterceptSystem {
    pub cross: Vec<f64>,
    pub curvature: f64,
    pub slope: f64,
}

impl InterceptSystem {
    /// The intercept's best answer to a move of the columns.
    pub(super) fn answer(&self, direction: &[f64]) -> f64 {
        if self.curvature > 0.0 { (self.slope - dot(&self.cross, direction)) / self.curvature } else { 0.0 }
    }
}

/// Root of `sum_i omega_i L'(y_i, base_i + b)`, which rises in b.
///
/// Newton's method within a bracket: with roots for base 0 within `null`, all predictions lie above a root at
/// `null.1 - min(base)` and below it at `null.0 - max(base)`.
pub(super) fn best_intercept<L: Loss>(loss: L, y: &[f64], omega: &[f64], base: &[f64], null: (f64, f64)) -> f64 {
    let (lowest, highest) = base.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), b| (l.min(*b), h.max(*b)));
    let (mut low, mut high) = (null.0 - highest, null.1 - lowest);
    let mut b = 0.5 * (null.0 + null.1) - dot(omega, base);
    for _ in 0..200 {
        if high - low <= 4.0 * f64::EPSILON * b.abs().max(1.0) {
            break;
        }
        let (mut slope, mut curvature) = (0.0, 0.0);
        for ((y, omega), base) in y.iter().zip(omega).zip(base) {
            let terms = loss.terms(*y, base + b);
            slope += omega * terms.residual;
            curvature += omega * terms.curvature;
        }
        if slope > 0.0 {
            low = b
        } else {
            high = b
        }
        let newton = b + slope / curvature;
        let inside = newton > low && newton < high;
        let next = if inside { newton } else { 0.5 * (low + high) };
        if (next - b).abs() <= 4.0 * f64::EPSILON * b.abs() {
            break;
        }
        b = next;
    }
    b
}
