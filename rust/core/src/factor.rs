//! Cholesky factors of one small system after another, in the same memory.

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt;
use faer::{MatMut, Par};
use pulp::{Arch, Simd, WithSimd};

/// Columns start at multiples of this many numbers: whole registers of any instruction set.
const LANES: usize = 8;
/// Columns up to which a factor is found column by column; beyond, blocks of columns are worth their overhead.
const SMALL: usize = 96;

/// The factors of `A = L D^-1 L'`, D the diagonal of L, for a symmetric positive definite A.
#[derive(Debug, Clone, Default)]
pub struct Factor {
    k: usize,
    stride: usize,
    /// L below its diagonal, zeros elsewhere.
    below: Vec<f64>,
    /// Inverses of its diagonal.
    inverse: Vec<f64>,
    /// The right-hand side, padded.
    rhs: Vec<f64>,
}

/// Length of a column with its padding.
pub fn padded(k: usize) -> usize {
    k.next_multiple_of(LANES)
}

impl Factor {
    /// Factorises the k x k matrix whose columns `write` puts into place, on and below the diagonal. The smallest squared
    /// pivot in units of its own diagonal entry (1 for orthogonal columns, near 0 for dependent ones), `None` where one is
    /// not positive.
    pub fn refresh(&mut self, k: usize, mut write: impl FnMut(usize, &mut [f64])) -> Option<f64> {
        self.k = k;
        self.stride = padded(k);
        self.below.clear();
        self.below.resize(self.stride * k, 0.0);
        self.inverse.clear();
        for (j, column) in self.below.chunks_exact_mut(self.stride.max(1)).enumerate() {
            write(j, &mut column[..k]);
            self.inverse.push(column[j]);
        }
        if k > SMALL {
            self.factorise_in_blocks()
        } else {
            Arch::new().dispatch(Factorise { below: &mut self.below, inverse: &mut self.inverse, stride: self.stride })
        }
    }

    /// With the diagonal of the matrix in `inverse`.
    fn factorise_in_blocks(&mut self) -> Option<f64> {
        let k = self.k;
        let mut memory = MemBuffer::new(llt::factor::cholesky_in_place_scratch::<f64>(k, Par::Seq, Default::default()));
        let matrix = MatMut::from_column_major_slice_with_stride_mut(&mut self.below, k, k, self.stride);
        let stack = MemStack::new(&mut memory);
        llt::factor::cholesky_in_place(matrix, Default::default(), Par::Seq, stack, Default::default()).ok()?;
        let mut smallest: f64 = 1.0;
        for (j, column) in self.below.chunks_exact_mut(self.stride).enumerate() {
            // from L L' to L D^-1 L'
            let root = column[j];
            let pivot = root * root;
            column[..=j].fill(0.0);
            column[j + 1..].iter_mut().for_each(|v| *v *= root);
            let share = pivot / self.inverse[j];
            self.inverse[j] = pivot.recip();
            if share.is_nan() || share <= 0.0 {
                return None;
            }
            smallest = smallest.min(share);
        }
        Some(smallest)
    }

    /// Replaces `rhs` by the solution.
    pub fn solve(&mut self, rhs: &mut [f64]) {
        self.rhs.clear();
        self.rhs.extend_from_slice(rhs);
        self.rhs.resize(self.stride, 0.0);
        let Self { below, inverse, rhs: x, stride, .. } = self;
        Arch::new().dispatch(Solve { below, inverse, x, stride: *stride });
        rhs.copy_from_slice(&self.rhs[..rhs.len()]);
    }
}

/// Column by column, the products of each taken from all that follow it. Rows above the diagonal, which share a register with
/// those below, get numbers that nobody reads.
struct Factorise<'a> {
    below: &'a mut [f64],
    /// On the way in the diagonal of the matrix.
    inverse: &'a mut [f64],
    stride: usize,
}

impl WithSimd for Factorise<'_> {
    type Output = Option<f64>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Option<f64> {
        let stride = self.stride;
        let mut smallest: f64 = 1.0;
        let mut rest = self.below;
        for (j, diagonal) in self.inverse.iter_mut().enumerate() {
            let (column, after) = rest.split_at_mut(stride);
            let pivot = column[j];
            let share = pivot / *diagonal;
            if pivot.is_nan() || pivot <= 0.0 || share.is_nan() {
                return None;
            }
            smallest = smallest.min(share);
            *diagonal = pivot.recip();
            let start = j / LANES * LANES;
            let values = S::as_simd_f64s(&column[start..]).0;
            for (next, out) in column[j + 1..].iter().zip(after.chunks_exact_mut(stride)) {
                let scale = simd.splat_f64s(-next * *diagonal);
                for (o, v) in S::as_mut_simd_f64s(&mut out[start..]).0.iter_mut().zip(values) {
                    *o = simd.mul_add_e_f64s(scale, *v, *o);
                }
            }
            column[start..start + LANES].iter_mut().take(j + 1 - start).for_each(|v| *v = 0.0);
            rest = after;
        }
        Some(smallest)
    }
}

/// Forward with columns of L, backward with rows of its transpose.
struct Solve<'a> {
    below: &'a [f64],
    inverse: &'a [f64],
    x: &'a mut [f64],
    stride: usize,
}

impl WithSimd for Solve<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let columns = || self.below.chunks_exact(self.stride.max(1)).zip(self.inverse).enumerate();
        for (j, (column, inverse)) in columns() {
            let start = j / LANES * LANES;
            let value = self.x[j] * inverse;
            let scale = simd.splat_f64s(-value);
            let rows = S::as_simd_f64s(&column[start..]).0.iter();
            for (x, l) in S::as_mut_simd_f64s(&mut self.x[start..]).0.iter_mut().zip(rows) {
                *x = simd.mul_add_e_f64s(scale, *l, *x);
            }
            self.x[j] = value;
        }
        for (j, (column, inverse)) in columns().rev() {
            let start = j / LANES * LANES;
            let mut sum = simd.splat_f64s(0.0);
            for (x, l) in S::as_simd_f64s(&self.x[start..]).0.iter().zip(S::as_simd_f64s(&column[start..]).0) {
                sum = simd.mul_add_e_f64s(*x, *l, sum);
            }
            self.x[j] -= simd.reduce_sum_f64s(sum) * inverse;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `A = B B' + I` with B of k rows.
    fn matrix(k: usize) -> Vec<f64> {
        let b = |i: usize, c: usize| ((i * 7 + c * 13) % 11) as f64 / 11.0 - 0.5;
        let entry = |i: usize, j: usize| (0..k).map(|c| b(i, c) * b(j, c)).sum::<f64>() + f64::from(u8::from(i == j));
        (0..k * k).map(|at| entry(at / k, at % k)).collect()
    }

    #[test]
    fn every_size_is_solved() {
        let mut factor = Factor::default();
        for k in (0..40).chain([64, 96, 97, 130]) {
            let a = matrix(k);
            let write = |j: usize, column: &mut [f64]| column[j..].copy_from_slice(&a[j * k + j..(j + 1) * k]);
            let pivot = factor.refresh(k, write).unwrap();
            assert!(pivot > 0.01 && pivot <= 1.0);
            let mut x: Vec<f64> = (0..k).map(|i| a[i * k..(i + 1) * k].iter().sum()).collect();
            factor.solve(&mut x);
            assert!(x.iter().all(|x| (x - 1.0).abs() < 1e-12), "{k}: {x:?}");
        }
    }

    #[test]
    fn dependent_columns_have_no_pivot() {
        let a = [1.0, 2.0, 2.0, 4.0];
        let pivot = Factor::default().refresh(2, |j, column| column.copy_from_slice(&a[2 * j..2 * j + 2]));
        assert!(pivot.is_none_or(|pivot| pivot < 1e-15));
    }
}
