//! Ridge problems of many strengths and many targets by one decomposition of their matrix.

use pulp::{Arch, Simd, WithSimd};

use crate::factor::padded;
use crate::linalg::eigen;
use crate::penalty::ScaledPenalty;
use crate::simd::{add_scaled, dot};

/// Least part of the largest eigenvalue that the least one may be: below, a factorisation says how dependent the columns
/// are.
const CONDITION: f64 = 1e-9;

/// `M'GM = diag(values)` and `M'LM = I`, for a symmetric G and the squares `L = diag(unit)` of a penalty:
/// `(G + alpha L)^-1 = M diag(values + alpha)^-1 M'`.
pub struct Spectrum {
    k: usize,
    /// Columns of M, each [`padded`].
    vectors: Vec<f64>,
    values: Vec<f64>,
    unit: Vec<f64>,
}

impl Spectrum {
    /// Of a k x k matrix whose columns are [`padded`]; `None` where a column has no square.
    pub fn new(k: usize, gram: &[f64], unit: &[f64]) -> Option<Self> {
        let scale: Vec<f64> = unit.iter().map(|l2| l2.sqrt().recip()).collect();
        if scale.iter().any(|s| !s.is_finite()) {
            return None;
        }
        let stride = padded(k);
        let scaled: Vec<f64> =
            (0..k * k).map(|at| gram[at / k * stride + at % k] * scale[at / k] * scale[at % k]).collect();
        let (values, orthogonal) = eigen(&scaled, k)?;
        let mut vectors = vec![0.0; k * stride];
        for (out, vector) in vectors.chunks_exact_mut(stride).zip(orthogonal.chunks_exact(k)) {
            out.iter_mut().zip(vector.iter().zip(&scale)).for_each(|(o, (v, s))| *o = v * s);
        }
        Some(Self { k, vectors, values, unit: unit.to_vec() })
    }

    fn vectors(&self) -> impl Iterator<Item = &[f64]> {
        self.vectors.chunks_exact(padded(self.k))
    }

    /// The strength of a penalty of these squares, if it is one at which few digits are lost.
    pub fn strength_of(&self, penalty: &ScaledPenalty) -> Option<f64> {
        let alpha = penalty.l2[0] / self.unit[0];
        let is_multiple = |(l2, unit): (&f64, &f64)| (l2 - alpha * unit).abs() <= 4.0 * f64::EPSILON * l2;
        let extent = |(low, high): (f64, f64), v: &f64| (low.min(v + alpha), high.max(v + alpha));
        let (low, high) = self.values.iter().fold((f64::INFINITY, 0.0), extent);
        let serves = low > CONDITION * high && penalty.l2.iter().zip(&self.unit).all(is_multiple);
        serves.then_some(alpha)
    }

    /// `M'c`.
    pub fn project(&self, c: &[f64]) -> Vec<f64> {
        self.vectors().map(|vector| dot(&vector[..self.k], c)).collect()
    }

    /// Adds `(G + alpha L)^-1 c` to b, given the projection of c.
    pub fn add_solution(&self, alpha: f64, projected: &[f64], b: &mut [f64]) {
        let mut sum = vec![0.0; padded(self.k)];
        Arch::new().dispatch(Combine { spectrum: self, alpha, projected, sum: &mut sum });
        b.iter_mut().zip(&sum).for_each(|(b, s)| *b += s);
    }
}

/// `M diag(values + alpha)^-1 projected`.
struct Combine<'a> {
    spectrum: &'a Spectrum,
    alpha: f64,
    projected: &'a [f64],
    sum: &'a mut [f64],
}

impl WithSimd for Combine<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let entries = self.spectrum.values.iter().zip(self.projected);
        for (vector, (value, c)) in self.spectrum.vectors().zip(entries) {
            add_scaled(simd, c / (value + self.alpha), vector, self.sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn solves_for_every_strength() {
        let k = 9;
        let entry = |i: usize, j: usize| 1.0 / (1.0 + i as f64 + j as f64) + f64::from(u8::from(i == j));
        let gram: Vec<f64> =
            (0..k).flat_map(|j| (0..padded(k)).map(move |i| if i < k { entry(i, j) } else { 0.0 })).collect();
        let unit: Vec<f64> = (0..k).map(|j| 0.5 + j as f64).collect();
        let spectrum = Spectrum::new(k, &gram, &unit).unwrap();
        for alpha in [1e-3, 1.0, 1e3] {
            let penalty = ScaledPenalty::separable(vec![0.0; k], unit.iter().map(|u| alpha * u).collect());
            let c: Vec<f64> = (0..k).map(|j| (0..k).map(|i| entry(i, j)).sum::<f64>() + penalty.l2[j]).collect();
            let mut b = vec![1.0; k];
            spectrum.add_solution(spectrum.strength_of(&penalty).unwrap(), &spectrum.project(&c), &mut b);
            assert!(b.iter().all(|b| (b - 2.0).abs() < 1e-13), "{alpha}: {b:?}");
        }
        assert!(spectrum.strength_of(&ScaledPenalty::separable(vec![0.0; k], vec![1.0; k])).is_none());
    }

    #[test]
    fn declines_what_loses_digits() {
        let gram: Vec<f64> = (0..2).flat_map(|_| (0..padded(2)).map(|i| if i < 2 { 1.0 } else { 0.0 })).collect();
        let spectrum = Spectrum::new(2, &gram, &[1.0; 2]).unwrap();
        for (alpha, serves) in [(1e-3, true), (1e-11, false), (0.0, false)] {
            let penalty = ScaledPenalty::separable(vec![0.0; 2], vec![alpha; 2]);
            assert_eq!(spectrum.strength_of(&penalty).is_some(), serves);
        }
        assert!(Spectrum::new(2, &gram, &[1.0, 0.0]).is_none());
    }
}
