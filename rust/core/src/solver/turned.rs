//! A block in the eigenvectors of its matrix: there one number tells its minimiser.

use super::block::{length, radius};
use crate::linalg::eigen;
use crate::penalty::Block;
use crate::simd::{axpy, dot};

/// Part of a block's largest eigenvalue below which another one is rounding.
const FLAT: f64 = 1e-14;

/// Coordinates `V' (scale b)` of a block's members, with V the eigenvectors (one after another) of their matrix in the
/// coordinates `scale b` of the norm, which looks the same from all sides.
#[derive(Debug)]
pub(super) struct Turned {
    scale: Vec<f64>,
    values: Vec<f64>,
    vectors: Vec<f64>,
}

impl Turned {
    /// For the matrix in the coordinates of the norm; none where it has no curvature at all.
    pub(super) fn new(matrix: &[f64], scale: Vec<f64>) -> Option<Self> {
        let (mut values, vectors) = eigen(matrix, scale.len())?;
        let least = FLAT * values.iter().fold(0.0, |a: f64, v| a.max(*v));
        values.iter_mut().for_each(|v| *v = v.max(least));
        (least > 0.0).then_some(Self { scale, values, vectors })
    }

    /// Number of members.
    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    /// Eigenvalues, and eigenvectors in their order.
    pub(super) fn values(&self) -> &[f64] {
        &self.values
    }

    pub(super) fn vectors(&self) -> impl Iterator<Item = &[f64]> {
        self.vectors.chunks_exact(self.len())
    }

    /// Where the members stand at `b`.
    pub(super) fn position(&self, b: impl Iterator<Item = f64>) -> Vec<f64> {
        self.onto(b.zip(&self.scale).map(|(b, s)| b * s).collect())
    }

    /// Slopes, from those by b.
    pub(super) fn slope(&self, slope: impl Iterator<Item = f64>) -> Vec<f64> {
        self.onto(slope.zip(&self.scale).map(|(g, s)| g / s).collect())
    }

    /// Length of those: turned vectors keep it.
    pub(super) fn slope_size(&self, slope: impl Iterator<Item = f64>) -> f64 {
        length(slope.zip(&self.scale).map(|(g, s)| g / s))
    }

    fn onto(&self, v: Vec<f64>) -> Vec<f64> {
        self.vectors().map(|vector| dot(vector, &v)).collect()
    }

    /// The members' coefficients at these coordinates.
    pub(super) fn back(&self, c: &[f64]) -> Vec<f64> {
        let mut b = vec![0.0; c.len()];
        self.vectors().zip(c).for_each(|(vector, c)| axpy(*c, vector, &mut b));
        b.iter().zip(&self.scale).map(|(b, s)| b / s).collect()
    }

    /// The minimiser of `sum_a h_a c_a^2 / 2 - pull_a c_a + weight |c|` with the eigenvalues h.
    pub(super) fn minimiser(&self, pull: &[f64], weight: f64) -> Vec<f64> {
        let r = radius(pull, &self.values, weight);
        let at = |(p, h): (&f64, &f64)| if r > 0.0 { p / (h + weight / r) } else { 0.0 };
        pull.iter().zip(&self.values).map(at).collect()
    }
}

/// Members of a block that take part in its norm, and their scales.
pub(super) fn members_of(block: &Block) -> (Vec<usize>, Vec<f64>) {
    block.members.iter().zip(&block.scale).filter(|(_, s)| **s > 0.0).unzip()
}
