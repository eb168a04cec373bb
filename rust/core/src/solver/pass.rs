//! One pass over the rows: where a move leads, the loss and its derivatives there, and what a step and a certificate need
//! of their products with the columns. Dense rows are taken a few at a time and meet all of that while they are in cache;
//! from memory they are read once.

use std::cell::RefCell;
use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

use super::sums::Sums;
use crate::blocks;
use crate::columns::{Column, combine, correlate_pair};
use crate::loss::rows::{FEW, Few};
use crate::loss::{Loss, rows};
use crate::simd::{largest, multiply, sum, sum_abs};
use crate::syrk::Products;

/// Rows at a time. Their number is in the rounding of every sum, and must not depend on what else is computed.
const ROWS: usize = FEW;
/// Columns up to which one pass serves all products. Of more most do not move, and are left out of the step.
pub const FUSED: usize = 500;
/// Numbers in the longest vector.
const LANES: usize = 8;

/// What the rows are and where they go.
pub struct Pass<'a, L> {
    pub loss: L,
    pub columns: &'a [Column<'a>],
    pub y: &'a [f64],
    pub omega: &'a [f64],
    /// Where eta starts from.
    pub origin: &'a [f64],
    /// What the step is made of, a coefficient a column and a shift; `None` if it is there already.
    pub direction: Option<(&'a [f64], f64)>,
    /// The share of the step that is taken.
    pub share: f64,
    /// Whether `Z' Omega W Z` is wanted; of sparse columns it never is.
    pub with_gram: bool,
}

/// Step, eta, residuals and curvatures, a value a row.
pub type Out<'a> = [&'a mut [f64]; 4];

impl<L: Loss> Pass<'_, L> {
    /// Goes over all rows.
    pub fn run(&self, out: Out<'_>) -> Sums {
        let is_wide = self.columns.len() > FUSED && !self.with_gram;
        if is_wide || self.columns.iter().any(Column::is_sparse) {
            return self.run_apart(out);
        }
        let parts = blocks::fill_all(out, |start, out| self.run_block(start, out));
        let mut parts = parts.into_iter();
        let mut sums = parts.next().unwrap_or_else(|| Sums::none(self.columns.len(), self.with_gram));
        parts.for_each(|part| sums.add(&part));
        sums
    }

    /// One product after the other.
    fn run_apart(&self, [step, eta, residual, curvature]: Out<'_>) -> Sums {
        if let Some((direction, shift)) = self.direction {
            step.fill(shift);
            let all: Vec<usize> = (0..direction.len()).collect();
            combine(self.columns, &all, direction, step);
        }
        eta.copy_from_slice(self.origin);
        crate::simd::axpy(self.share, step, eta);
        let value = mean_terms(self.loss, (self.y, self.omega), eta, [&mut *residual, &mut *curvature]);
        let (mut pull, mut weights) = (vec![0.0; eta.len()], vec![0.0; eta.len()]);
        multiply(residual, self.omega, &mut pull);
        multiply(curvature, self.omega, &mut weights);
        let (slope, cross) = correlate_pair(self.columns, &pull, &weights);
        let k = slope.len();
        let mut sums = Sums {
            value,
            pull: sum(&pull),
            pull_size: sum_abs(&pull),
            weight: sum(&weights),
            largest_eta: largest(eta),
            largest_step: largest(step),
            ..Sums::none(k, false)
        };
        for (column, (cross, slope)) in sums.products.chunks_exact_mut(2).zip(cross.iter().zip(&slope)) {
            column.copy_from_slice(&[*cross, *slope]);
        }
        sums
    }

    fn run_block(&self, start: usize, out: Out<'_>) -> Sums {
        ROOM.with_borrow_mut(|room| self.run_block_in(room, start, out))
    }

    fn run_block_in(&self, room: &mut Room, start: usize, mut out: Out<'_>) -> Sums {
        let mut sums = Sums::none(self.columns.len(), self.with_gram);
        let n = out[0].len();
        for at in (0..n).step_by(ROWS) {
            let whole = at + (n - at).min(ROWS) / LANES * LANES;
            let end = n.min(at + ROWS);
            if whole > at {
                let here = out.each_mut().map(|out| &mut out[at..whole]);
                self.run_some(start + at, here, room, &mut sums);
            }
            if end > whole {
                let here = out.each_mut().map(|out| &mut out[whole..end]);
                self.run_last(start + whole, here, room, &mut sums);
            }
        }
        sums
    }

    /// A whole number of vectors.
    fn run_some(&self, start: usize, out: Out<'_>, room: &mut Room, sums: &mut Sums) {
        let rows = start..start + out[0].len();
        let [y, omega, origin] = [self.y, self.omega, self.origin].map(|values| &values[rows.clone()]);
        room.make(self.columns.len(), rows.len());
        let columns = room.dense.write(self.columns, &rows, rows.len());
        let chunk = Chunk { pass: self, columns: &columns, y, omega, origin, out, weighted: &mut room.weighted, sums };
        Arch::new().dispatch(chunk);
    }

    /// Fewer rows than a vector: filled up with the first of them, which weighs nothing there.
    fn run_last(&self, start: usize, mut out: Out<'_>, room: &mut Room, sums: &mut Sums) {
        let rows = start..start + out[0].len();
        let padded = |values: &[f64]| {
            let mut all = [values[0]; LANES];
            all[..values.len()].copy_from_slice(values);
            all
        };
        let [y, mut omega, origin] = [self.y, self.omega, self.origin].map(|values| padded(&values[rows.clone()]));
        omega[rows.len()..].fill(0.0);
        let mut all = out.each_ref().map(|out| padded(out));
        room.make(self.columns.len(), LANES);
        let columns = room.dense.write(self.columns, &rows, LANES);
        Arch::new().dispatch(Chunk {
            pass: self,
            columns: &columns,
            y: &y,
            omega: &omega,
            origin: &origin,
            out: all.each_mut().map(|all| &mut all[..]),
            weighted: &mut room.weighted,
            sums,
        });
        out.iter_mut().zip(&all).for_each(|(out, all)| out.copy_from_slice(&all[..rows.len()]));
    }
}

/// Residuals and curvatures of every row at eta; returns the mean loss.
pub fn mean_terms<L: Loss>(loss: L, (y, omega): (&[f64], &[f64]), eta: &[f64], out: [&mut [f64]; 2]) -> f64 {
    let values = blocks::fill_all(out, |start, [residual, curvature]| {
        let rows = start..start + residual.len();
        rows::terms(loss, &y[rows.clone()], &eta[rows.clone()], &omega[rows], residual, curvature)
    });
    values.iter().sum()
}

thread_local! {
    /// Of each thread, which goes from pass to pass.
    static ROOM: RefCell<Room> = RefCell::default();
}

/// Memory for a few rows.
#[derive(Default)]
struct Room {
    dense: Dense,
    /// Columns times the weights of the rows, these weights, and the residuals times `omega`.
    weighted: Vec<f64>,
}

impl Room {
    fn make(&mut self, k: usize, n_rows: usize) {
        if self.weighted.len() < (k + 2) * n_rows {
            self.weighted.resize((k + 2) * n_rows, 0.0);
        }
    }
}

/// Columns that are written down.
#[derive(Default)]
struct Dense(Vec<f64>);

impl Dense {
    /// Some rows of all columns, `length` values of each: the first again at the end where there are fewer rows.
    fn write<'s>(&'s mut self, columns: &'s [Column<'s>], rows: &Range<usize>, length: usize) -> Vec<&'s [f64]> {
        let is_written = |column: &Column<'_>| matches!(column, Column::Raw { .. }) || rows.len() < length;
        let count = columns.iter().filter(|column| is_written(column)).count();
        if self.0.len() < count * length {
            self.0.resize(count * length, 0.0);
        }
        let mut places = self.0.chunks_exact_mut(length);
        let put = |column: &Column<'s>| {
            if let (Column::Dense(z), false) = (column, is_written(column)) {
                return &z[rows.clone()];
            }
            let place = places.next().unwrap_or_default();
            let (there, padding) = place.split_at_mut(rows.len());
            column.write(rows.clone(), there);
            padding.fill(there[0]);
            &*place
        };
        columns.iter().map(put).collect()
    }
}

/// Some rows on their way.
struct Chunk<'a, 'p, L> {
    pass: &'a Pass<'p, L>,
    columns: &'a [&'a [f64]],
    y: &'a [f64],
    omega: &'a [f64],
    origin: &'a [f64],
    out: Out<'a>,
    weighted: &'a mut [f64],
    sums: &'a mut Sums,
}

impl<L: Loss> WithSimd for Chunk<'_, '_, L> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        self.go(simd);
        self.evaluate(simd);
        self.multiply(simd);
    }
}

impl<L: Loss> Chunk<'_, '_, L> {
    /// Step and eta.
    #[inline(always)]
    fn go<S: Simd>(&mut self, simd: S) {
        let [step, eta, ..] = &mut self.out;
        if let Some((direction, shift)) = self.pass.direction {
            combine_some(simd, self.columns, direction, shift, step);
        }
        let (zero, share) = (simd.splat_f64s(0.0), simd.splat_f64s(self.pass.share));
        let (step, eta) = (S::as_simd_f64s(step).0, S::as_mut_simd_f64s(eta).0);
        let mut most = [zero; 2];
        for ((eta, step), origin) in eta.iter_mut().zip(step).zip(S::as_simd_f64s(self.origin).0) {
            *eta = simd.mul_add_e_f64s(share, *step, *origin);
            for (most, value) in most.iter_mut().zip([*eta, *step]) {
                *most = simd.max_f64s(simd.max_f64s(value, simd.sub_f64s(zero, value)), *most);
            }
        }
        self.sums.largest_eta = self.sums.largest_eta.max(simd.reduce_max_f64s(most[0]));
        self.sums.largest_step = self.sums.largest_step.max(simd.reduce_max_f64s(most[1]));
    }

    /// Loss, residuals and curvatures.
    #[inline(always)]
    fn evaluate<S: Simd>(&mut self, simd: S) {
        let [_, eta, residual, curvature] = &mut self.out;
        let rows = Few { y: self.y, eta, omega: self.omega, residual, curvature };
        self.sums.value += self.pass.loss.terms_of(simd, rows);
    }

    /// Products with the columns.
    #[inline(always)]
    fn multiply<S: Simd>(&mut self, simd: S) {
        let (n, k) = (self.y.len(), self.columns.len());
        let [_, _, residual, curvature] = &self.out;
        let (of_columns, of_rows) = self.weighted[..(k + 2) * n].split_at_mut(k * n);
        let (weights, pull) = of_rows.split_at_mut(n);
        times(simd, curvature, self.omega, weights);
        times(simd, residual, self.omega, pull);
        self.sums.weight += sum(weights);
        self.sums.pull += sum(pull);
        self.sums.pull_size += sum_abs(pull);
        if self.pass.with_gram {
            // not by a closure, which would not be compiled for this instruction set
            for (out, column) in of_columns.chunks_exact_mut(n).zip(self.columns) {
                times(simd, column, weights, out);
            }
        }
        let first = if self.pass.with_gram { 0 } else { k };
        let left: Vec<&[f64]> = self.weighted.chunks_exact(n).take(k + 2).skip(first).collect();
        Products { sums: &mut self.sums.products, left: &left, right: self.columns, first }.with_simd(simd);
    }
}

/// `out = a * b`, of whole vectors.
#[inline(always)]
fn times<S: Simd>(simd: S, a: &[f64], b: &[f64], out: &mut [f64]) {
    let (a, b) = (S::as_simd_f64s(a).0, S::as_simd_f64s(b).0);
    for ((out, a), b) in S::as_mut_simd_f64s(out).0.iter_mut().zip(a).zip(b) {
        *out = simd.mul_f64s(*a, *b);
    }
}

/// `shift + sum_j d_j z_j`. Every row takes the same sums in the same order: equal rows keep equal predictions.
#[inline(always)]
fn combine_some<S: Simd>(simd: S, columns: &[&[f64]], direction: &[f64], shift: f64, out: &mut [f64]) {
    let (many, rest) = S::as_mut_simd_f64s(out).0.as_chunks_mut::<8>();
    let done = 8 * many.len();
    for (at, out) in many.iter_mut().enumerate() {
        *out = combine_at::<S, 8>(simd, columns, direction, shift, 8 * at);
    }
    for (at, out) in rest.iter_mut().enumerate() {
        *out = combine_at::<S, 1>(simd, columns, direction, shift, done + at)[0];
    }
}

#[inline(always)]
fn combine_at<S: Simd, const N: usize>(
    simd: S,
    columns: &[&[f64]],
    direction: &[f64],
    shift: f64,
    at: usize,
) -> [S::f64s; N] {
    let mut sums = [simd.splat_f64s(shift); N];
    for (column, d) in columns.iter().zip(direction) {
        let (d, z) = (simd.splat_f64s(*d), &S::as_simd_f64s(column).0[at..at + N]);
        for (sum, z) in sums.iter_mut().zip(z) {
            *sum = simd.mul_add_e_f64s(d, *z, *sum);
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::{Logistic, Poisson, Terms};
    use proptest::prelude::*;

    #[test]
    fn what_fills_up_a_vector_has_no_say() {
        // far from where the rows are the exponential overflows
        let (n, shift) = (9, 720.0);
        let (y, omega, origin) = (vec![1.0; n], vec![1.0 / n as f64; n], vec![-shift; n]);
        let mut out = [vec![0.0; n], vec![0.0; n], vec![0.0; n], vec![0.0; n]];
        let pass = Pass {
            loss: Poisson,
            columns: &[],
            y: &y,
            omega: &omega,
            origin: &origin,
            direction: Some((&[], shift)),
            share: 1.0,
            with_gram: false,
        };
        let sums = pass.run(out.each_mut().map(|out| &mut out[..]));
        assert!((sums.value - Poisson.terms(1.0, 0.0).value).abs() < 1e-15 && sums.largest_eta == 0.0);
    }

    /// `z_j`, y and `omega` of n rows.
    fn rows(n: usize, k: usize, values: &[f64]) -> (Vec<Vec<f64>>, Vec<f64>, Vec<f64>) {
        let value = |at: usize| values[at % values.len()] + (at % 7) as f64 * 0.1;
        let columns = (0..k).map(|j| (0..n).map(|i| value(i * k + j)).collect()).collect();
        let y = (0..n).map(|i| f64::from(u8::from(value(3 * i) > 0.3))).collect();
        (columns, y, (0..n).map(|i| value(5 * i).abs() / n as f64).collect())
    }

    proptest! {
        #[test]
        fn a_pass_equals_naive_sums(
            n in 1usize..600,
            k in 0usize..9,
            is_raw in prop::collection::vec(any::<bool>(), 9),
            values in prop::collection::vec(-1.0..1.0f64, 101),
            is_even in any::<bool>(),
        ) {
            let (z, y, mut omega) = rows(n, k, &values);
            if is_even {
                omega.fill(1.0 / n as f64);
            }
            // x = 2 z + 3
            let x: Vec<Vec<f64>> = z.iter().map(|z| z.iter().map(|z| 2.0 * z + 3.0).collect()).collect();
            let column = |j: usize| match is_raw[j] {
                true => Column::Raw { values: &x[j], mean: 3.0, scale: 2.0 },
                false => Column::Dense(&z[j]),
            };
            let columns: Vec<Column<'_>> = (0..k).map(column).collect();
            let (origin, d) = (vec![0.2; n], &values[..k]);
            let mut out = [vec![0.0; n], vec![0.0; n], vec![0.0; n], vec![0.0; n]];
            let pass = Pass {
                loss: Logistic,
                columns: &columns,
                y: &y,
                omega: &omega,
                origin: &origin,
                direction: Some((d, 0.1)),
                share: 0.5,
                with_gram: true,
            };
            let sums = pass.run(out.each_mut().map(|out| &mut out[..]));
            let apart = pass.run_apart(out.clone().each_mut().map(|out| &mut out[..]));
            let close = |a: f64, b: f64| (a - b).abs() < 1e-12 * (1.0 + b.abs());
            let total = |of: &dyn Fn(usize) -> f64| (0..n).map(|i| omega[i] * of(i)).sum::<f64>();
            let eta: Vec<f64> =
                (0..n).map(|i| 0.2 + 0.5 * (0.1 + (0..k).map(|j| d[j] * z[j][i]).sum::<f64>())).collect();
            let terms: Vec<Terms> = y.iter().zip(&eta).map(|(y, eta)| Logistic.terms(*y, *eta)).collect();
            let [step, there, residual, curvature] = &out;
            for i in 0..n {
                prop_assert!(close(there[i], eta[i]) && close(step[i], 2.0 * (eta[i] - 0.2)));
                prop_assert!(close(residual[i], terms[i].residual) && close(curvature[i], terms[i].curvature));
            }
            for sums in [&sums, &apart] {
                prop_assert!(close(sums.value, total(&|i| terms[i].value)));
                prop_assert!(close(sums.pull, total(&|i| residual[i])));
                prop_assert!(close(sums.pull_size, total(&|i| residual[i].abs())));
                prop_assert!(close(sums.weight, total(&|i| curvature[i])));
                prop_assert!(close(sums.largest_eta, largest(&eta)) && close(sums.largest_step, largest(step)));
                for (j, z) in z.iter().enumerate() {
                    prop_assert!(close(sums.slope(j), total(&|i| residual[i] * z[i])));
                    prop_assert!(close(sums.cross(j), total(&|i| curvature[i] * z[i])));
                }
            }
            for (i, j) in (0..k).flat_map(|i| (0..k).map(move |j| (i, j))) {
                prop_assert!(close(sums.gram(i, j), total(&|r| curvature[r] * z[i][r] * z[j][r])));
            }
            // some of the columns alone: the same bits
            let set: Vec<usize> = (0..k).step_by(2).collect();
            let some: Vec<Column<'_>> = set.iter().map(|&j| columns[j]).collect();
            let pass = Pass { columns: &some, direction: None, ..pass };
            let alone = pass.run(out.each_mut().map(|out| &mut out[..]));
            prop_assert_eq!(sums.on(&set, true).products, alone.products);
        }
    }
}
