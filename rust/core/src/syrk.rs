//! Gram matrices `X' diag(s^2) X` by register tiles.
//!
//! Rows are taken in blocks. A block's columns are written, scaled, into a buffer that stays in cache, each padded with
//! zeros to a whole number of vectors; a tile of 3 x 4 of their inner products stays in registers while it runs down the
//! block. Twelve multiply-adds meet seven loads, so the multiply-adds are the limit on a core that can do two of each.

// loops of constant length over several arrays at once, which the compiler unrolls
#![allow(clippy::needless_range_loop)]

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

/// Bytes of a block's buffer: within the L2 cache.
const BLOCK_BYTES: usize = 192 * 1024;
/// Rows of a block. The seven columns of a tile stay in the L1 cache; sums across lanes, at the end of a block, are few.
const ROWS: Range<usize> = 256..512;
/// Columns on the left of a tile that are kept in the L2 cache, where there are many.
const PANEL: usize = 96;
/// Numbers in the longest vector.
const LANES: usize = 8;
/// Tile: columns on the left, and on the right.
const LEFT: usize = 3;
const RIGHT: usize = 4;

/// Rows that a block of k columns holds.
pub fn rows_of_block(k: usize, n: usize) -> usize {
    (BLOCK_BYTES / (8 * k.max(1))).clamp(ROWS.start, ROWS.end).min(n.max(1))
}

/// Adds to the lower triangle of `gram` (k x k, column-major) the products of k columns over `rows`; `write` puts some
/// rows of a column into a buffer.
pub fn add_gram(gram: &mut [f64], k: usize, rows: Range<usize>, write: &impl Fn(usize, Range<usize>, &mut [f64])) {
    if k == 0 {
        return;
    }
    let size = rows_of_block(k, rows.len());
    let stride = size.next_multiple_of(LANES);
    let mut buffer = vec![0.0; stride * k];
    for start in rows.clone().step_by(size) {
        let count = size.min(rows.end - start);
        for (j, out) in buffer.chunks_exact_mut(stride).enumerate() {
            let (values, padding) = out.split_at_mut(count);
            write(j, start..start + count, values);
            padding.fill(0.0);
        }
        let columns: Vec<&[f64]> = buffer.chunks_exact(stride).collect();
        Arch::new().dispatch(Products { sums: gram, left: &columns, right: &columns, first: 0 });
    }
}

/// Adds to `sums` (a row for each column on the left, column-major) the products of columns of the same whole number of
/// vectors: those on the left, which are numbered from `first` on, with those on the right of no larger number.
pub(crate) struct Products<'a> {
    pub(crate) sums: &'a mut [f64],
    pub(crate) left: &'a [&'a [f64]],
    pub(crate) right: &'a [&'a [f64]],
    pub(crate) first: usize,
}

impl WithSimd for Products<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let (height, width) = (self.first + self.left.len(), self.right.len());
        for panel in (self.first..height).step_by(PANEL) {
            let end = (panel + PANEL).min(height);
            for right in (0..end.min(width)).step_by(RIGHT) {
                let first = right.max(panel);
                for left in (first..end).step_by(LEFT) {
                    self.any_tile(simd, left, (end - left).min(LEFT), right, (width - right).min(RIGHT));
                }
            }
        }
    }
}

impl Products<'_> {
    #[inline(always)]
    fn any_tile<S: Simd>(&mut self, simd: S, left: usize, n_left: usize, right: usize, n_right: usize) {
        match (n_left, n_right) {
            (3, 4) => self.tile::<S, 3, 4>(simd, left, right),
            (3, 3) => self.tile::<S, 3, 3>(simd, left, right),
            (3, 2) => self.tile::<S, 3, 2>(simd, left, right),
            (3, 1) => self.tile::<S, 3, 1>(simd, left, right),
            (2, 4) => self.tile::<S, 2, 4>(simd, left, right),
            (2, 3) => self.tile::<S, 2, 3>(simd, left, right),
            (2, 2) => self.tile::<S, 2, 2>(simd, left, right),
            (2, 1) => self.tile::<S, 2, 1>(simd, left, right),
            (1, 4) => self.tile::<S, 1, 4>(simd, left, right),
            (1, 3) => self.tile::<S, 1, 3>(simd, left, right),
            (1, 2) => self.tile::<S, 1, 2>(simd, left, right),
            _ => self.tile::<S, 1, 1>(simd, left, right),
        }
    }

    /// Adds the products of columns left.. and right..; those above the diagonal are left out.
    #[inline(always)]
    fn tile<S: Simd, const L: usize, const R: usize>(&mut self, simd: S, left: usize, right: usize) {
        let at = left - self.first;
        let mut a = [S::as_simd_f64s(self.left[at]).0; L];
        let mut b = [S::as_simd_f64s(self.right[right]).0; R];
        for i in 1..L {
            a[i] = S::as_simd_f64s(self.left[at + i]).0;
        }
        for j in 1..R {
            b[j] = S::as_simd_f64s(self.right[right + j]).0;
        }
        let sums = products(simd, a, b);
        for i in 0..L {
            for j in 0..R {
                if right + j <= left + i {
                    self.sums[(right + j) * self.left.len() + at + i] += simd.reduce_sum_f64s(sums[i][j]);
                }
            }
        }
    }
}

/// Inner products, lane by lane, of columns of the same length.
#[inline(always)]
pub(crate) fn products<S: Simd, const L: usize, const R: usize>(
    simd: S,
    mut a: [&[S::f64s]; L],
    mut b: [&[S::f64s]; R],
) -> [[S::f64s; R]; L] {
    let n = a[0].len();
    // equal lengths, said once, spare the loop its checks
    for i in 0..L {
        a[i] = &a[i][..n];
    }
    for j in 0..R {
        b[j] = &b[j][..n];
    }
    let mut sums = [[simd.splat_f64s(0.0); R]; L];
    for row in 0..n {
        let mut left = [simd.splat_f64s(0.0); L];
        for i in 0..L {
            left[i] = a[i][row];
        }
        // one number from the right at a time: with twelve sums that leaves no register unused
        for j in 0..R {
            let right = b[j][row];
            for i in 0..L {
                sums[i][j] = simd.mul_add_e_f64s(left[i], right, sums[i][j]);
            }
        }
    }
    sums
}
