//! Products of dense columns with several vectors at once, by register tiles.
//!
//! Rows are taken in blocks that stay in the L2 cache. A tile of `Z d` holds four vectors of rows for up to three `d`, one
//! of `Z' v` three columns for up to four `v`: twelve multiply-adds meet seven loads, and a column is read once for all
//! vectors of its tile.

// loops of constant length over several arrays at once, which the compiler unrolls
#![allow(clippy::needless_range_loop)]

use std::borrow::Cow;
use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

use super::{Column, WRITTEN_OUT};
use crate::blocks;
use crate::simd::multiply;
use crate::syrk::{add_gram, products};

/// Rows of a block; few where columns are many.
const ROWS: Range<usize> = 64..256;
/// Numbers of a block: within the L2 cache.
const SIZE: usize = 20_000;
/// Numbers in the longest vector.
const LANES: usize = 8;
/// Columns of a tile of `Z' v`: their number is padded to a multiple with columns of zeros.
const LEFT: usize = 3;

/// Dense columns, ready for products with several vectors: coefficients and sums follow each other vector by vector.
#[derive(Debug)]
pub struct Many<'a> {
    columns: Vec<Column<'a>>,
    /// Whether a column of ones follows.
    with_ones: bool,
    n_rows: usize,
    /// Rows of a block, a multiple of [`LANES`]; the last one is padded with zeros.
    rows: usize,
    /// All blocks, where they are small enough to be kept.
    kept: Vec<f64>,
}

/// Values on some rows, vector by vector, each of them padded.
pub struct Part<'p> {
    /// The rows.
    pub rows: Range<usize>,
    /// Numbers from one vector to the next.
    pub stride: usize,
    /// The values.
    pub values: &'p mut [f64],
}

impl<'a> Many<'a> {
    /// The columns and, if so told, one of ones behind them; `None` where one is sparse, or there are none.
    pub fn new(columns: &[Column<'a>], with_ones: bool, n_rows: usize) -> Option<Self> {
        if columns.is_empty() || columns.iter().any(Column::is_sparse) {
            return None;
        }
        let few = SIZE / (columns.len() + 1);
        let rows = (1 << few.max(1).ilog2()).clamp(ROWS.start, ROWS.end).min(n_rows.max(1).next_multiple_of(LANES));
        let mut many = Self { columns: columns.to_vec(), with_ones, n_rows, rows, kept: vec![] };
        if many.width() * n_rows.next_multiple_of(rows) <= WRITTEN_OUT {
            many.kept = (0..n_rows).step_by(rows).flat_map(|start| many.write(start)).collect();
        }
        Some(many)
    }

    /// Number of columns, that of ones among them.
    pub fn len(&self) -> usize {
        self.columns.len() + usize::from(self.with_ones)
    }

    fn width(&self) -> usize {
        self.len().next_multiple_of(LEFT)
    }

    fn rows_from(&self, start: usize) -> Range<usize> {
        start..(start + self.rows).min(self.n_rows)
    }

    fn write(&self, start: usize) -> Vec<f64> {
        let rows = self.rows_from(start);
        let mut out = vec![0.0; self.width() * self.rows];
        for (j, place) in out.chunks_exact_mut(self.rows).take(self.len()).enumerate() {
            let place = &mut place[..rows.len()];
            match self.columns.get(j) {
                Some(column) => column.write(rows.clone(), place),
                None => place.fill(1.0),
            }
        }
        out
    }

    fn block(&self, start: usize) -> Cow<'_, [f64]> {
        if self.kept.is_empty() {
            return Cow::Owned(self.write(start));
        }
        let size = self.width() * self.rows;
        Cow::Borrowed(&self.kept[start / self.rows * size..][..size])
    }

    /// `Z d` of each `d`.
    pub fn combine(&self, d: &[f64], out: &mut [f64]) {
        let count = d.len() / self.len();
        let of_rows = |rows: Range<usize>| {
            let mut values = vec![0.0; count * self.rows];
            let mut done = vec![0.0; count * rows.len()];
            for start in rows.clone().step_by(self.rows) {
                let part = self.rows_from(start);
                self.combine_block(&self.block(start), d, &mut values);
                for (of_d, values) in done.chunks_exact_mut(rows.len()).zip(values.chunks_exact(self.rows)) {
                    of_d[start - rows.start..][..part.len()].copy_from_slice(&values[..part.len()]);
                }
            }
            done
        };
        let mut start = 0;
        for done in blocks::blocks(self.n_rows, of_rows) {
            let size = done.len() / count.max(1);
            for (out, done) in out.chunks_exact_mut(self.n_rows.max(1)).zip(done.chunks_exact(size.max(1))) {
                out[start..start + size].copy_from_slice(done);
            }
            start += size;
        }
    }

    /// `Z' v` of each `v`.
    pub fn correlate(&self, v: &[f64]) -> Vec<f64> {
        self.sums(v.len() / self.n_rows.max(1), |_, part| {
            for (place, v) in part.values.chunks_exact_mut(part.stride).zip(v.chunks_exact(self.n_rows)) {
                place[..part.rows.len()].copy_from_slice(&v[part.rows.clone()]);
            }
        })
    }

    /// `Z' v` with `v` what `map` makes of `Z d`, one block of rows after another.
    pub fn through(&self, d: &[f64], map: impl Fn(Part<'_>) + Sync) -> Vec<f64> {
        self.sums(d.len() / self.len(), |block, part| {
            self.combine_block(block, d, part.values);
            map(part);
        })
    }

    /// `Z' diag(weights) Z`, the lower triangle.
    pub fn gram(&self, weights: &[f64]) -> Vec<f64> {
        let k = self.len();
        blocks::sums(self.n_rows, |rows| {
            let mut gram = vec![0.0; k * k];
            let roots: Vec<f64> = weights[rows.clone()].iter().map(|w| w.sqrt()).collect();
            let write = |j: usize, part: Range<usize>, out: &mut [f64]| {
                let roots = &roots[part.start - rows.start..part.end - rows.start];
                match self.columns.get(j).map(|column| column.on(part)) {
                    Some(Column::Dense(z)) => multiply(z, roots, out),
                    Some(column) => multiply(&column.to_dense(roots.len()), roots, out),
                    None => out.copy_from_slice(roots),
                }
            };
            add_gram(&mut gram, k, rows.clone(), &write);
            gram
        })
    }

    fn combine_block(&self, block: &[f64], d: &[f64], out: &mut [f64]) {
        Arch::new().dispatch(Combine { block, stride: self.rows, d, len: self.len(), out });
    }

    fn sums(&self, count: usize, fill: impl Fn(&[f64], Part<'_>) + Sync) -> Vec<f64> {
        blocks::sums(self.n_rows, |rows| {
            let mut total = vec![0.0; count * self.len()];
            let mut values = vec![0.0; count * self.rows];
            for start in rows.step_by(self.rows) {
                let block = self.block(start);
                fill(&block, Part { rows: self.rows_from(start), stride: self.rows, values: &mut values });
                let (len, stride) = (self.len(), self.rows);
                Arch::new().dispatch(Correlate { block: &block, stride, values: &values, len, total: &mut total });
            }
            total
        })
    }
}

/// Numbers from 0 to `count` in ranges of nearly equal length, at most `most`.
#[inline(always)]
fn evenly(count: usize, most: usize) -> impl Iterator<Item = Range<usize>> {
    let parts = count.div_ceil(most);
    (0..parts).map(move |part| part * count / parts..(part + 1) * count / parts)
}

struct Combine<'c> {
    block: &'c [f64],
    stride: usize,
    d: &'c [f64],
    len: usize,
    out: &'c mut [f64],
}

impl WithSimd for Combine<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        for group in evenly(self.d.len() / self.len, 3) {
            match group.len() {
                3 => self.group::<S, 3>(simd, group.start),
                2 => self.group::<S, 2>(simd, group.start),
                _ => self.group::<S, 1>(simd, group.start),
            }
        }
    }
}

impl Combine<'_> {
    #[inline(always)]
    fn group<S: Simd, const C: usize>(&mut self, simd: S, first: usize) {
        const TALL: usize = 4;
        let vectors = self.stride / S::F64_LANES;
        let tall = vectors - vectors % TALL;
        (0..tall).step_by(TALL).for_each(|row| self.tile::<S, TALL, C>(simd, row, first));
        (tall..vectors).for_each(|row| self.tile::<S, 1, C>(simd, row, first));
    }

    #[inline(always)]
    fn tile<S: Simd, const R: usize, const C: usize>(&mut self, simd: S, row: usize, first: usize) {
        let vectors = self.stride / S::F64_LANES;
        let columns = S::as_simd_f64s(self.block).0.chunks_exact(vectors);
        let mut d = [&self.d[first * self.len..(first + 1) * self.len]; C];
        for c in 1..C {
            d[c] = &self.d[(first + c) * self.len..(first + c + 1) * self.len];
        }
        let mut sums = [[simd.splat_f64s(0.0); C]; R];
        for (j, column) in columns.take(self.len).enumerate() {
            let z = &column[row..row + R];
            for c in 0..C {
                let factor = simd.splat_f64s(d[c][j]);
                for r in 0..R {
                    sums[r][c] = simd.mul_add_e_f64s(z[r], factor, sums[r][c]);
                }
            }
        }
        let out = S::as_mut_simd_f64s(self.out).0;
        for c in 0..C {
            for r in 0..R {
                out[(first + c) * vectors + row + r] = sums[r][c];
            }
        }
    }
}

struct Correlate<'c> {
    block: &'c [f64],
    stride: usize,
    values: &'c [f64],
    len: usize,
    total: &'c mut [f64],
}

impl WithSimd for Correlate<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        for group in evenly(self.values.len() / self.stride, 4) {
            match group.len() {
                4 => self.group::<S, 4>(simd, group.start),
                3 => self.group::<S, 3>(simd, group.start),
                2 => self.group::<S, 2>(simd, group.start),
                _ => self.group::<S, 1>(simd, group.start),
            }
        }
    }
}

impl Correlate<'_> {
    #[inline(always)]
    fn group<S: Simd, const C: usize>(&mut self, simd: S, first: usize) {
        let mut right = [self.vector::<S>(self.values, first); C];
        for c in 1..C {
            right[c] = self.vector::<S>(self.values, first + c);
        }
        for start in (0..self.len).step_by(LEFT) {
            let mut left = [self.vector::<S>(self.block, start); LEFT];
            for i in 1..LEFT {
                left[i] = self.vector::<S>(self.block, start + i);
            }
            let sums = products(simd, left, right);
            for i in 0..LEFT.min(self.len - start) {
                for c in 0..C {
                    self.total[(first + c) * self.len + start + i] += simd.reduce_sum_f64s(sums[i][c]);
                }
            }
        }
    }

    #[inline(always)]
    fn vector<'v, S: Simd>(&self, values: &'v [f64], at: usize) -> &'v [S::f64s] {
        S::as_simd_f64s(&values[at * self.stride..(at + 1) * self.stride]).0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_equal_plain_sums() {
        for (n, p, count, with_ones) in [(1, 1, 1, true), (7, 3, 2, false), (300, 5, 10, true), (700, 70, 7, true)] {
            let value = |i: usize| ((i * 7919 + 13) % 1009) as f64 / 500.0 - 1.0;
            let store: Vec<Vec<f64>> = (0..p).map(|j| (0..n).map(|i| value(j * n + i)).collect()).collect();
            let columns: Vec<Column<'_>> =
                store.iter().map(|z| Column::Raw { values: z, mean: 0.3, scale: 1.0 }).collect();
            let many = Many::new(&columns, with_ones, n).unwrap();
            let z = |j: usize, i: usize| store.get(j).map_or(1.0, |z| z[i] - 0.3);
            let d: Vec<f64> = (0..count * many.len()).map(|i| value(3 * i + 1)).collect();
            let mut out = vec![0.0; count * n];
            many.combine(&d, &mut out);
            let plain = |k: usize, i: usize| (0..many.len()).map(|j| d[k * many.len() + j] * z(j, i)).sum::<f64>();
            assert!((0..count * n).all(|at| (out[at] - plain(at / n, at % n)).abs() < 1e-12));
            let sums = many.correlate(&out);
            let wanted = |k: usize, j: usize| (0..n).map(|i| z(j, i) * out[k * n + i]).sum::<f64>();
            let close = |at: usize| {
                let wanted = wanted(at / many.len(), at % many.len());
                (sums[at] - wanted).abs() < 1e-11 * (1.0 + wanted.abs())
            };
            assert!((0..sums.len()).all(close));
            let through = many.through(&d, |part| part.values.iter_mut().for_each(|v| *v *= 2.0));
            assert!(through.iter().zip(&sums).all(|(t, s)| (t - 2.0 * s).abs() < 1e-11 * (1.0 + s.abs())));
            let weights: Vec<f64> = (0..n).map(|i| value(i).abs()).collect();
            let gram = many.gram(&weights);
            for (b, a) in (0..many.len()).flat_map(|b| (b..many.len()).map(move |a| (b, a))) {
                let wanted: f64 = (0..n).map(|i| weights[i] * z(a, i) * z(b, i)).sum();
                assert!((gram[b * many.len() + a] - wanted).abs() < 1e-11 * (1.0 + wanted.abs()));
            }
        }
    }
}
