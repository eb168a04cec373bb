//! Cholesky factors of one small system after another, in the same memory.

use std::ops::Range;

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt;
use faer::{MatMut, Par};
use pulp::{Arch, Simd, WithSimd};

use crate::simd::{dot, multiply};

/// Columns start at multiples of this many numbers: whole registers of any instruction set.
const LANES: usize = 8;
/// Columns that are brought up to date together.
const PANEL: usize = 4;
/// Columns up to which a factor is found here; beyond, blocks of columns are worth their overhead.
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
    /// Its diagonal in units of that of the matrix: 1 for orthogonal columns, near 0 for dependent ones.
    shares: Vec<f64>,
    /// Right-hand sides, padded.
    rhs: Vec<f64>,
    /// One of them by the diagonal of L.
    scaled: Vec<f64>,
}

/// Length of a column with its padding.
pub fn padded(k: usize) -> usize {
    k.next_multiple_of(LANES)
}

impl Factor {
    /// Number of columns.
    pub fn len(&self) -> usize {
        self.k
    }

    /// Smallest squared pivot in units of its own diagonal entry.
    pub fn smallest_pivot(&self) -> f64 {
        self.shares.iter().copied().fold(1.0, f64::min)
    }

    /// How many columns come before the first one whose squared pivot is at most `floor`.
    pub fn regular(&self, floor: f64) -> usize {
        self.shares.iter().position(|share| *share <= floor).unwrap_or(self.k)
    }

    /// Factorises the k x k matrix whose columns `write` puts into place, on and below the diagonal; false where a pivot is
    /// not positive: some columns before it are kept then. Up to `capacity` columns can be there in the end.
    pub fn refresh(&mut self, k: usize, capacity: usize, mut write: impl FnMut(usize, &mut [f64])) -> bool {
        self.k = k;
        self.stride = padded(capacity);
        self.below.clear();
        self.below.resize(self.stride * k.next_multiple_of(PANEL), 0.0);
        self.inverse.clear();
        self.shares.clear();
        for (j, column) in self.below.chunks_exact_mut(self.stride.max(1)).take(k).enumerate() {
            write(j, &mut column[..k]);
            self.inverse.push(column[j]);
        }
        let whole = if k > SMALL {
            self.factorise_in_blocks()
        } else {
            let Self { below, inverse, shares, stride, .. } = self;
            Arch::new().dispatch(Factorise { below, inverse, shares, stride: *stride, rows: padded(k) })
        };
        self.below.truncate(k * self.stride);
        self.truncate(self.shares.len());
        whole
    }

    /// Takes some more columns of the matrix, of which `write` puts the entries at the columns before and on the diagonal
    /// into place; false, and none taken, if a pivot is not positive.
    pub fn extend(&mut self, count: usize, mut write: impl FnMut(usize, &mut [f64])) -> bool {
        let (k, stride) = (self.k, self.stride);
        let mut columns = std::mem::take(&mut self.rhs);
        columns.clear();
        columns.resize(count * stride, 0.0);
        columns.chunks_exact_mut(stride).enumerate().for_each(|(q, column)| write(q, &mut column[..=k + q]));
        let Self { below, inverse, .. } = self;
        Arch::new().dispatch(Forward { below, inverse, x: &mut columns, stride });
        let whole = (0..count).all(|q| {
            let (before, rest) = columns.split_at_mut(q * stride);
            self.take(before, &mut rest[..=k + q])
        });
        if whole {
            self.write_rows(k, &columns);
        } else {
            self.truncate(k);
        }
        self.rhs = columns;
        whole
    }

    /// Puts the rows of the columns that have been taken from the k-th on into place, all of them at once: the columns lie
    /// far apart in memory.
    fn write_rows(&mut self, k: usize, rows: &[f64]) {
        let stride = self.stride;
        self.below.resize(self.k * stride, 0.0);
        for (p, column) in self.below.chunks_exact_mut(stride).enumerate() {
            let out = column[k.max(p + 1)..self.k].iter_mut();
            out.zip(rows.chunks_exact(stride).skip((p + 1).saturating_sub(k))).for_each(|(out, row)| *out = row[p]);
        }
    }

    /// Takes a column that has met all but the last ones, which are those `before`.
    fn take(&mut self, before: &[f64], column: &mut [f64]) -> bool {
        let (at, stride) = (self.k, self.stride);
        let first = at - before.len() / stride;
        for (p, other) in (first..at).zip(before.chunks_exact(stride)) {
            column[p] -= self.product(&other[..p], &column[..p]);
        }
        let pivot = column[at] - self.product(&column[..at], &column[..at]);
        if pivot.is_nan() || pivot <= 0.0 {
            return false;
        }
        self.shares.push(pivot / column[at]);
        self.inverse.push(pivot.recip());
        self.k = at + 1;
        true
    }

    /// `a' D^-1 b`.
    fn product(&mut self, a: &[f64], b: &[f64]) -> f64 {
        self.scaled.resize(a.len(), 0.0);
        multiply(a, &self.inverse[..a.len()], &mut self.scaled);
        dot(&self.scaled, b)
    }

    /// Forgets all columns from the k-th on.
    pub fn truncate(&mut self, k: usize) {
        if k == self.k {
            return;
        }
        self.below.truncate(k * self.stride);
        self.inverse.truncate(k);
        self.shares.truncate(k);
        self.below.chunks_exact_mut(self.stride.max(1)).for_each(|column| column[k..].fill(0.0));
        self.k = k;
    }

    /// With the diagonal of the matrix in `inverse`.
    fn factorise_in_blocks(&mut self) -> bool {
        let k = self.k;
        let mut memory = MemBuffer::new(llt::factor::cholesky_in_place_scratch::<f64>(k, Par::Seq, Default::default()));
        let matrix = MatMut::from_column_major_slice_with_stride_mut(&mut self.below, k, k, self.stride);
        let stack = MemStack::new(&mut memory);
        if llt::factor::cholesky_in_place(matrix, Default::default(), Par::Seq, stack, Default::default()).is_err() {
            return false;
        }
        for (j, column) in self.below.chunks_exact_mut(self.stride).take(k).enumerate() {
            // from L L' to L D^-1 L'
            let root = column[j];
            column[..=j].fill(0.0);
            column[j + 1..].iter_mut().for_each(|v| *v *= root);
            self.shares.push(root * root / self.inverse[j]);
            self.inverse[j] = (root * root).recip();
        }
        let whole = self.shares.iter().all(|share| *share > 0.0);
        if !whole {
            self.shares.clear();
        }
        whole
    }

    /// Replaces `rhs` by the solution.
    pub fn solve(&mut self, rhs: &mut [f64]) {
        self.rhs.clear();
        self.rhs.extend_from_slice(rhs);
        self.rhs.resize(self.stride, 0.0);
        let Self { below, inverse, rhs: x, stride, .. } = self;
        Arch::new().dispatch(Forward { below, inverse, x: &mut *x, stride: *stride });
        x.iter_mut().zip(&*inverse).for_each(|(x, inverse)| *x *= inverse);
        Arch::new().dispatch(Backward { below, inverse, x, stride: *stride });
        rhs.copy_from_slice(&self.rhs[..rhs.len()]);
    }
}

/// Panel by panel: what all columns before take from it, then what its own columns take from each other. Rows above the
/// diagonal, which share a register with those below, get numbers that nobody reads.
struct Factorise<'a> {
    /// Columns, padded to whole panels.
    below: &'a mut [f64],
    /// On the way in the diagonal of the matrix.
    inverse: &'a mut [f64],
    shares: &'a mut Vec<f64>,
    stride: usize,
    /// Rows that are there.
    rows: usize,
}

impl WithSimd for Factorise<'_> {
    type Output = bool;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> bool {
        let (stride, k) = (self.stride, self.inverse.len());
        let mut multipliers = [[0.0; PANEL]; SMALL];
        for first in (0..k).step_by(PANEL) {
            let rows = first / LANES * LANES..self.rows;
            let (before, rest) = self.below.split_at_mut(first * stride);
            let panel = &mut rest[..PANEL * stride];
            for ((of, column), inverse) in multipliers.iter_mut().zip(before.chunks_exact(stride)).zip(&*self.inverse) {
                (0..PANEL).for_each(|q| of[q] = -column[first + q] * inverse);
            }
            take_products(simd, before, &multipliers, panel, stride, rows.clone());
            for j in first..k.min(first + PANEL) {
                let (own, after) = panel[(j - first) * stride..].split_at_mut(stride);
                let pivot = own[j];
                if pivot.is_nan() || pivot <= 0.0 {
                    return false;
                }
                self.shares.push(pivot / self.inverse[j]);
                self.inverse[j] = pivot.recip();
                for (next, out) in own[j + 1..].iter().zip(after.chunks_exact_mut(stride)) {
                    let scale = simd.splat_f64s(-next * self.inverse[j]);
                    let values = S::as_simd_f64s(&own[rows.clone()]).0;
                    for (o, v) in S::as_mut_simd_f64s(&mut out[rows.clone()]).0.iter_mut().zip(values) {
                        *o = simd.mul_add_e_f64s(scale, *v, *o);
                    }
                }
                own[rows.start..rows.start + LANES].iter_mut().take(j + 1 - rows.start).for_each(|v| *v = 0.0);
            }
        }
        true
    }
}

/// Adds multiples of the columns `before` to the four of a panel, a register of rows at a time.
#[inline(always)]
fn take_products<S: Simd>(
    simd: S,
    before: &[f64],
    multipliers: &[[f64; PANEL]],
    panel: &mut [f64],
    stride: usize,
    rows: Range<usize>,
) {
    let mut columns = panel.chunks_exact_mut(stride).map(|column| S::as_mut_simd_f64s(&mut column[rows.clone()]).0);
    let [Some(p0), Some(p1), Some(p2), Some(p3)] = std::array::from_fn(|_| columns.next()) else { return };
    for (r, (((p0, p1), p2), p3)) in p0.iter_mut().zip(p1).zip(p2).zip(p3).enumerate() {
        let (mut s0, mut s1, mut s2, mut s3) = (*p0, *p1, *p2, *p3);
        for (column, of) in before.chunks_exact(stride).zip(multipliers) {
            let x = S::as_simd_f64s(&column[rows.clone()]).0[r];
            s0 = simd.mul_add_e_f64s(simd.splat_f64s(of[0]), x, s0);
            s1 = simd.mul_add_e_f64s(simd.splat_f64s(of[1]), x, s1);
            s2 = simd.mul_add_e_f64s(simd.splat_f64s(of[2]), x, s2);
            s3 = simd.mul_add_e_f64s(simd.splat_f64s(of[3]), x, s3);
        }
        (*p0, *p1, *p2, *p3) = (s0, s1, s2, s3);
    }
}

/// `x = D L^-1 x` for one vector after another, with columns of L: four of them are read for all vectors at once.
struct Forward<'a> {
    below: &'a [f64],
    inverse: &'a [f64],
    x: &'a mut [f64],
    stride: usize,
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (k, stride) = (self.inverse.len(), self.stride.max(1));
        for first in (0..k).step_by(PANEL) {
            let columns = &self.below[first * stride..k.min(first + PANEL) * stride];
            let inverse = &self.inverse[first..k.min(first + PANEL)];
            self.x.chunks_exact_mut(stride).for_each(|x| forward(simd, columns, inverse, &mut x[..padded(k)], first));
        }
    }
}

/// Solves for the entries of x that stand beside the diagonal of a panel, before which L has `first` columns, and takes
/// from the others what they take.
#[inline(always)]
fn forward<S: Simd>(simd: S, columns: &[f64], inverse: &[f64], x: &mut [f64], first: usize) {
    let (m, rows) = (inverse.len(), first / LANES * LANES..x.len());
    let stride = columns.len() / m;
    let mut scale = [0.0; PANEL];
    for a in 0..m {
        scale[a] = -x[first + a] * inverse[a];
        (a + 1..m).for_each(|b| x[first + b] += scale[a] * columns[a * stride + first + b]);
    }
    let mut solved = [0.0; PANEL];
    solved[..m].copy_from_slice(&x[first..first + m]);
    let below = |a: usize| S::as_simd_f64s(&columns[a * stride..][rows.clone()]).0;
    let rest = S::as_mut_simd_f64s(&mut x[rows.clone()]).0;
    if m == PANEL {
        let scale = scale.map(|s| simd.splat_f64s(s));
        let values = below(0).iter().zip(below(1)).zip(below(2).iter().zip(below(3)));
        for (x, ((a, b), (c, d))) in rest.iter_mut().zip(values) {
            let two = simd.mul_add_e_f64s(scale[1], *b, simd.mul_add_e_f64s(scale[0], *a, *x));
            *x = simd.mul_add_e_f64s(scale[3], *d, simd.mul_add_e_f64s(scale[2], *c, two));
        }
    } else {
        for a in 0..m {
            let scale = simd.splat_f64s(scale[a]);
            rest.iter_mut().zip(below(a)).for_each(|(x, l)| *x = simd.mul_add_e_f64s(scale, *l, *x));
        }
    }
    x[first..first + m].copy_from_slice(&solved[..m]);
}

/// `x = (L D^-1)'^-1 x`, with rows of the transpose of L.
struct Backward<'a> {
    below: &'a [f64],
    inverse: &'a [f64],
    x: &'a mut [f64],
    stride: usize,
}

impl WithSimd for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (k, stride) = (self.inverse.len(), self.stride.max(1));
        for first in (0..k).step_by(PANEL).rev() {
            let columns = &self.below[first * stride..k.min(first + PANEL) * stride];
            let inverse = &self.inverse[first..k.min(first + PANEL)];
            backward(simd, columns, inverse, &mut self.x[..padded(k)], first);
        }
    }
}

/// Solves for the entries of x that stand beside the diagonal of a panel, given those below it.
#[inline(always)]
fn backward<S: Simd>(simd: S, columns: &[f64], inverse: &[f64], x: &mut [f64], first: usize) {
    let (m, rows) = (inverse.len(), first / LANES * LANES..x.len());
    let stride = columns.len() / m;
    let mut own = [0.0; PANEL];
    own[..m].copy_from_slice(&x[first..first + m]);
    x[first..first + m].fill(0.0);
    let rest = S::as_simd_f64s(&x[rows.clone()]).0;
    let mut sums = [simd.splat_f64s(0.0); PANEL];
    // of a panel that is not whole the last column stands for those that are not there
    let [l0, l1, l2, l3] = std::array::from_fn(|a| S::as_simd_f64s(&columns[a.min(m - 1) * stride..][rows.clone()]).0);
    for ((x, (a, b)), (c, d)) in rest.iter().zip(l0.iter().zip(l1)).zip(l2.iter().zip(l3)) {
        sums[0] = simd.mul_add_e_f64s(*a, *x, sums[0]);
        sums[1] = simd.mul_add_e_f64s(*b, *x, sums[1]);
        sums[2] = simd.mul_add_e_f64s(*c, *x, sums[2]);
        sums[3] = simd.mul_add_e_f64s(*d, *x, sums[3]);
    }
    for a in (0..m).rev() {
        let beside: f64 = (a + 1..m).map(|b| columns[a * stride + first + b] * x[first + b]).sum();
        x[first + a] = own[a] - (simd.reduce_sum_f64s(sums[a]) + beside) * inverse[a];
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
            assert!(factor.refresh(k, k, write));
            assert!(factor.smallest_pivot() > 0.01 && factor.smallest_pivot() <= 1.0);
            assert_solves(&mut factor, &a, k);
        }
    }

    #[test]
    fn columns_come_and_go() {
        let (k, a) = (21, matrix(21));
        let mut factor = Factor::default();
        assert!(factor.refresh(3, k, |j, column| column.copy_from_slice(&a[j * k..j * k + 3])));
        for least in [3, 0, 8, 17] {
            factor.truncate(least);
            let write = |q: usize, column: &mut [f64]| {
                let at = (least + q) * k;
                column.copy_from_slice(&a[at..=at + least + q]);
            };
            assert!(factor.extend(k - least, write));
            assert_solves(&mut factor, &a, k);
            factor.truncate(least);
            for j in least..k {
                assert!(factor.extend(1, |_, column| column.copy_from_slice(&a[j * k..=j * k + j])));
            }
            assert_solves(&mut factor, &a, k);
        }
        let twin: Vec<f64> = (0..=k).map(|i| a[if i == k { 0 } else { i }]).collect();
        factor = Factor::default();
        assert!(factor.refresh(k, k + 1, |j, column| column.copy_from_slice(&a[j * k..(j + 1) * k])));
        let whole = factor.extend(1, |_, column| column.copy_from_slice(&twin));
        assert!(!whole || factor.smallest_pivot() < 1e-14);
    }

    fn assert_solves(factor: &mut Factor, a: &[f64], k: usize) {
        let mut x: Vec<f64> = (0..k).map(|i| a[i * k..(i + 1) * k].iter().sum()).collect();
        factor.solve(&mut x);
        assert!(x.iter().all(|x| (x - 1.0).abs() < 1e-12), "{k}: {x:?}");
    }

    #[test]
    fn columns_before_a_dependent_one_stay() {
        // the sixth column is the first again
        let (k, twin, a) = (9, 5, matrix(9));
        let place = |i: usize| if i == twin { 0 } else { i };
        let entry = |i: usize, j: usize| a[place(j) * k + place(i)];
        let mut factor = Factor::default();
        factor.refresh(k, k, |j, column| (j..k).for_each(|i| column[i] = entry(i, j)));
        assert_eq!(factor.regular(1e-14), twin);
        factor.truncate(twin);
        assert!(
            !factor.extend(1, |_, column| (0..=twin).for_each(|i| column[i] = entry(i, twin)))
                || factor.regular(1e-14) == twin
        );
        factor.truncate(twin);
        let regular: Vec<f64> = (0..twin * twin).map(|at| entry(at % twin, at / twin)).collect();
        assert_solves(&mut factor, &regular, twin);
    }

    #[test]
    fn dependent_columns_have_no_pivot() {
        let a = [1.0, 2.0, 2.0, 4.0];
        let mut factor = Factor::default();
        let whole = factor.refresh(2, 2, |j, column| column.copy_from_slice(&a[2 * j..2 * j + 2]));
        assert!(!whole || factor.smallest_pivot() < 1e-15);
    }
}
