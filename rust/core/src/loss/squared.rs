use super::{Loss, Terms};

/// `L(y, eta) = (y - eta)^2 / 2`; `L*(y, u) = u^2 / 2 + u y`.
///
/// The bracket is `(r - theta)^2 / 2` with `r = y - eta`; every theta is feasible.
#[derive(Debug, Clone, Copy)]
pub struct Squared;

impl Loss for Squared {
    #[inline(always)]
    fn terms(self, y: f64, eta: f64) -> Terms {
        let residual = y - eta;
        Terms { value: 0.5 * residual * residual, residual, curvature: 1.0 }
    }

    #[inline(always)]
    fn value(self, y: f64, eta: f64) -> f64 {
        0.5 * (y - eta) * (y - eta)
    }

    #[inline(always)]
    fn fenchel(self, _y: f64, _eta: f64, residual: f64, theta: f64) -> f64 {
        0.5 * (residual - theta) * (residual - theta)
    }

    fn feasible_scale(self, _y: f64, _theta: f64) -> f64 {
        1.0
    }

    fn attains_zero(self) -> bool {
        true
    }

    fn longest_step(self) -> f64 {
        f64::INFINITY
    }

    fn mean(self, eta: f64) -> f64 {
        eta
    }

    fn null_intercept(self, mean: f64) -> f64 {
        mean
    }
}
