//! Losses of many rows at once, compiled for every instruction set that pulp knows: what a loss computes without
//! branches runs on whole vectors.

use pulp::{Arch, Simd, WithSimd};

use super::{Loss, Terms};
use crate::simd::dot;

/// Rows at a time, whose values are summed apart: the rounding of a sum does not grow with the number of rows.
pub(crate) const FEW: usize = 256;

/// At most [`FEW`] rows, and what becomes of them.
pub struct Few<'a> {
    pub y: &'a [f64],
    pub eta: &'a [f64],
    pub omega: &'a [f64],
    pub residual: &'a mut [f64],
    pub curvature: &'a mut [f64],
}

impl Few<'_> {
    /// Residuals and curvatures of each row; returns the weighted sum of the values.
    #[inline(always)]
    pub fn one_by_one<L: Loss>(self, loss: L) -> f64 {
        let mut values = [0.0; FEW];
        let rows = self.y.iter().zip(self.eta);
        let out = values.iter_mut().zip(self.residual).zip(self.curvature);
        for ((y, eta), ((v, r), c)) in rows.zip(out) {
            let Terms { value, residual, curvature } = loss.terms(*y, *eta);
            (*v, *r, *c) = (value, residual, curvature);
        }
        dot(self.omega, &values[..self.y.len()])
    }

    /// The weight that all rows share, if they do.
    #[inline(always)]
    pub fn weight(&self) -> Option<f64> {
        let first = *self.omega.first()?;
        self.omega.iter().fold(true, |same, omega| same & (*omega == first)).then_some(first)
    }
}

/// Writes residuals and curvatures of rows with weights `omega`; returns their mean value.
pub(crate) fn terms<L: Loss>(
    loss: L,
    y: &[f64],
    eta: &[f64],
    omega: &[f64],
    residual: &mut [f64],
    curvature: &mut [f64],
) -> f64 {
    let mut total = 0.0;
    for start in (0..y.len()).step_by(FEW) {
        let rows = start..(start + FEW).min(y.len());
        let (residual, curvature) = (&mut residual[rows.clone()], &mut curvature[rows.clone()]);
        let few = Few { y: &y[rows.clone()], eta: &eta[rows.clone()], omega: &omega[rows], residual, curvature };
        total += Arch::new().dispatch(OfRows { loss, few });
    }
    total
}

struct OfRows<'a, L> {
    loss: L,
    few: Few<'a>,
}

impl<L: Loss> WithSimd for OfRows<'_, L> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f64 {
        self.loss.terms_of(simd, self.few)
    }
}

/// `sum_i omega_i [ L(eta_i) + L*(-s theta_i) + s theta_i eta_i ]`, given the residuals at eta.
pub(crate) fn gap<L: Loss>(
    loss: L,
    y: &[f64],
    eta: &[f64],
    omega: &[f64],
    residual: &[f64],
    theta: &[f64],
    s: f64,
) -> f64 {
    let mut total = 0.0;
    let mut brackets = [0.0; FEW];
    for start in (0..y.len()).step_by(FEW) {
        let rows = start..(start + FEW).min(y.len());
        let part = Brackets {
            loss,
            y: &y[rows.clone()],
            eta: &eta[rows.clone()],
            residual: &residual[rows.clone()],
            theta: &theta[rows.clone()],
            s,
            bracket: &mut brackets[..rows.len()],
        };
        Arch::new().dispatch(part);
        total += dot(&omega[rows.clone()], &brackets[..rows.len()]);
    }
    total
}

struct Brackets<'a, L> {
    loss: L,
    y: &'a [f64],
    eta: &'a [f64],
    residual: &'a [f64],
    theta: &'a [f64],
    s: f64,
    bracket: &'a mut [f64],
}

impl<L: Loss> WithSimd for Brackets<'_, L> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        let rows = self.y.iter().zip(self.eta).zip(self.residual.iter().zip(self.theta));
        for (((y, eta), (r, theta)), bracket) in rows.zip(self.bracket) {
            *bracket = self.loss.fenchel(*y, *eta, *r, self.s * theta);
        }
    }
}
