//! Dense columns next to each other, multiplied by register tiles.

// loops of constant length over several arrays at once, which the compiler unrolls
#![allow(clippy::needless_range_loop)]

use pulp::{Arch, Simd, WithSimd};

/// Columns that are taken together: a vector is loaded, or stored, once for all of them.
const TILE: usize = 5;

/// Columns of the same length.
#[derive(Debug)]
pub(crate) struct Panel {
    n_rows: usize,
    values: Vec<f64>,
}

impl Panel {
    /// Columns of `n_rows` values, one after another.
    pub(crate) fn new(n_rows: usize, values: Vec<f64>) -> Self {
        Self { n_rows, values }
    }

    /// `Q' v`.
    pub(crate) fn correlate(&self, v: &[f64]) -> Vec<f64> {
        let mut out = vec![0.0; self.values.len() / self.n_rows.max(1)];
        Arch::new().dispatch(Correlate { panel: self, v, out: &mut out });
        out
    }

    /// `v += Q d`.
    pub(crate) fn add(&self, d: &[f64], v: &mut [f64]) {
        Arch::new().dispatch(Add { panel: self, d, v });
    }

    /// Some columns from `first` on.
    #[inline(always)]
    fn columns<const N: usize>(&self, first: usize) -> [&[f64]; N] {
        std::array::from_fn(|a| &self.values[(first + a) * self.n_rows..][..self.n_rows])
    }
}

struct Correlate<'a> {
    panel: &'a Panel,
    v: &'a [f64],
    out: &'a mut [f64],
}

impl WithSimd for Correlate<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { panel, v, out } = self;
        let (tiles, rest) = out.as_chunks_mut::<TILE>();
        let first = TILE * tiles.len();
        for (at, out) in tiles.iter_mut().enumerate() {
            *out = dots(simd, panel.columns(TILE * at), v);
        }
        for (at, out) in rest.iter_mut().enumerate() {
            [*out] = dots(simd, panel.columns(first + at), v);
        }
    }
}

/// Products of some columns with `v`, by two running sums each.
#[inline(always)]
fn dots<S: Simd, const N: usize>(simd: S, columns: [&[f64]; N], v: &[f64]) -> [f64; N] {
    let (v, v_tail) = S::as_simd_f64s(v);
    let (pairs, odd) = v.as_chunks::<2>();
    let mut sums = [[simd.splat_f64s(0.0); 2]; N];
    let mut tails = [0.0; N];
    let mut of_pairs = [&pairs[..0]; N];
    for a in 0..N {
        let (column, tail) = S::as_simd_f64s(columns[a]);
        of_pairs[a] = &column.as_chunks::<2>().0[..pairs.len()];
        for (z, v) in column[2 * pairs.len()..].iter().zip(odd) {
            sums[a][0] = simd.mul_add_e_f64s(*z, *v, sums[a][0]);
        }
        tails[a] = tail.iter().zip(v_tail).map(|(z, v)| z * v).sum();
    }
    for (at, v) in pairs.iter().enumerate() {
        for a in 0..N {
            let z = of_pairs[a][at];
            sums[a][0] = simd.mul_add_e_f64s(z[0], v[0], sums[a][0]);
            sums[a][1] = simd.mul_add_e_f64s(z[1], v[1], sums[a][1]);
        }
    }
    // not by a closure, which would not be compiled for this instruction set
    for a in 0..N {
        tails[a] += simd.reduce_sum_f64s(simd.add_f64s(sums[a][0], sums[a][1]));
    }
    tails
}

struct Add<'a> {
    panel: &'a Panel,
    d: &'a [f64],
    v: &'a mut [f64],
}

impl WithSimd for Add<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { panel, d, v } = self;
        let (tiles, rest) = d.as_chunks::<TILE>();
        let first = TILE * tiles.len();
        for (at, d) in tiles.iter().enumerate() {
            add_some(simd, panel.columns(TILE * at), *d, v);
        }
        for (at, d) in rest.iter().enumerate() {
            add_some(simd, panel.columns(first + at), [*d], v);
        }
    }
}

#[inline(always)]
fn add_some<S: Simd, const N: usize>(simd: S, columns: [&[f64]; N], d: [f64; N], v: &mut [f64]) {
    let (v, v_tail) = S::as_mut_simd_f64s(v);
    let mut vectors = [S::as_simd_f64s(columns[0]).0; N];
    let mut factors = [simd.splat_f64s(0.0); N];
    for a in 0..N {
        let (column, tail) = S::as_simd_f64s(columns[a]);
        vectors[a] = &column[..v.len()];
        factors[a] = simd.splat_f64s(d[a]);
        v_tail.iter_mut().zip(tail).for_each(|(v, z)| *v += d[a] * z);
    }
    for (row, v) in v.iter_mut().enumerate() {
        let mut sum = *v;
        for a in 0..N {
            sum = simd.mul_add_e_f64s(factors[a], vectors[a][row], sum);
        }
        *v = sum;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{axpy, dot};

    #[test]
    fn products_of_tiles_are_those_of_single_columns() {
        for (n, k) in [(1, 1), (3, 4), (8, 5), (21, 6), (64, 13), (101, 10)] {
            let values: Vec<f64> = (0..n * k).map(|i| ((i * 37 + 11) % 101) as f64 / 50.0 - 1.0).collect();
            let v: Vec<f64> = (0..n).map(|i| ((i * 29 + 5) % 31) as f64 / 15.0 - 1.0).collect();
            let d: Vec<f64> = (0..k).map(|j| 0.3 - (j % 4) as f64 / 7.0).collect();
            let panel = Panel::new(n, values.clone());
            let (mut sum, mut wanted) = (v.clone(), v.clone());
            panel.add(&d, &mut sum);
            values.chunks_exact(n).zip(&d).for_each(|(column, d)| axpy(*d, column, &mut wanted));
            assert!(sum.iter().zip(&wanted).all(|(a, b)| (a - b).abs() < 1e-14), "{n} x {k}");
            let products = panel.correlate(&v);
            assert!(products.iter().zip(values.chunks_exact(n)).all(|(p, z)| (p - dot(z, &v)).abs() < 1e-13));
        }
    }
}
