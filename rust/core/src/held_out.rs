//! Held-out rows, and their squared errors.

use std::sync::{Arc, OnceLock};

use pulp::{Arch, Simd, WithSimd};

use crate::matrix::Matrix;
use crate::metric::{Baseline, Rows};

/// Held-out rows, missing values not yet replaced.
pub(crate) struct HeldOut {
    pub(crate) x: Arc<Matrix>,
    pub(crate) y: Vec<f64>,
    pub(crate) offset: Vec<f64>,
    pub(crate) weights: Vec<f64>,
    /// What all squared errors of these rows are compared with, once it is asked for.
    pub(crate) baseline: OnceLock<Option<Baseline>>,
}

/// Fits of a path whose errors are found together.
const TOGETHER: usize = 4;
/// Registers of rows that meet one column after another.
const REGISTERS: usize = 2;

/// `mean_squared_error` and `r2_score` of fits (coefficients of all columns, intercept), in their order, on dense rows
/// without missing values.
pub(crate) fn squared_scores(rows: &HeldOut, x: &[f64], fits: &[(&[f64], f64)]) -> Vec<[f64; 2]> {
    let baseline = rows.baseline.get_or_init(|| Some(Rows::new(&rows.y, &rows.y, &rows.weights)?.baseline()));
    let Some(baseline) = baseline else { return vec![[f64::NAN; 2]; fits.len()] };
    let errors =
        if fits.len() == 1 { squared_errors::<1>(rows, x, fits) } else { squared_errors::<TOGETHER>(rows, x, fits) };
    let scores = |error: f64| [error / baseline.total, baseline.explained(error / baseline.total)];
    errors.into_iter().take(fits.len()).map(scores).collect()
}

/// Weighted sums of squared errors, A fits at a time; after them those of fits that are not there.
fn squared_errors<const A: usize>(rows: &HeldOut, x: &[f64], fits: &[(&[f64], f64)]) -> Vec<f64> {
    let n_columns = x.len() / rows.y.len();
    let take = |some: &[(&[f64], f64)]| {
        let mut negated = vec![[0.0; A]; n_columns];
        let mut shifts = [0.0; A];
        for (a, (coef, intercept)) in some.iter().enumerate() {
            negated.iter_mut().zip(*coef).for_each(|(out, w)| out[a] = -w);
            shifts[a] = *intercept;
        }
        Abreast { negated, shifts }
    };
    let fits: Vec<Abreast<A>> = fits.chunks(A).map(take).collect();
    Arch::new().dispatch(SquaredErrors { rows, x, fits: &fits })
}

/// Coefficients, negated, and intercepts of A fits, side by side.
struct Abreast<const A: usize> {
    negated: Vec<[f64; A]>,
    shifts: [f64; A],
}

/// Rows a panel at a time, packed so that all fits find it in cache.
struct SquaredErrors<'a, const A: usize> {
    rows: &'a HeldOut,
    x: &'a [f64],
    fits: &'a [Abreast<A>],
}

impl<const A: usize> WithSimd for SquaredErrors<'_, A> {
    type Output = Vec<f64>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Vec<f64> {
        let Self { rows, x, fits } = self;
        let (n, wide) = (rows.y.len(), REGISTERS * S::F64_LANES);
        let mut panel = vec![0.0; x.len() / n * wide];
        let mut own = vec![0.0; 3 * wide];
        let mut sums = vec![[simd.splat_f64s(0.0); A]; fits.len()];
        for start in (0..n).step_by(wide) {
            let here = start..n.min(start + wide);
            let columns = x.chunks_exact(n).zip(panel.chunks_exact_mut(wide));
            let of_rows = [&rows.y, &rows.offset, &rows.weights].into_iter().zip(own.chunks_exact_mut(wide));
            // rows beyond the last have weight 0
            for (values, out) in columns.chain(of_rows.map(|(values, out)| (values.as_slice(), out))) {
                out[..here.len()].copy_from_slice(&values[here.clone()]);
                out[here.len()..].fill(0.0);
            }
            let (panel, own) = (S::as_simd_f64s(&panel).0.as_chunks().0, S::as_simd_f64s(&own).0.as_chunks().0);
            for (fits, sums) in fits.iter().zip(&mut sums) {
                add_squares(simd, panel, own, fits, sums);
            }
        }
        let mut errors = Vec::with_capacity(A * sums.len());
        for sums in &sums {
            for sum in sums {
                errors.push(simd.reduce_sum_f64s(*sum));
            }
        }
        errors
    }
}

/// Adds the squared errors of some rows, given their columns, and their targets, offsets and weights; a row of weight 0 has
/// none.
// loops of constant length over several arrays at once
#[allow(clippy::needless_range_loop)]
#[inline(always)]
fn add_squares<S: Simd, const A: usize>(
    simd: S,
    columns: &[[S::f64s; REGISTERS]],
    own: &[[S::f64s; REGISTERS]],
    fits: &Abreast<A>,
    sums: &mut [S::f64s; A],
) {
    let [y, offset, weights] = own else { return };
    let zero = simd.splat_f64s(0.0);
    let mut rest = [[zero; REGISTERS]; A];
    for a in 0..A {
        let shift = simd.splat_f64s(fits.shifts[a]);
        for r in 0..REGISTERS {
            rest[a][r] = simd.sub_f64s(y[r], simd.add_f64s(offset[r], shift));
        }
    }
    for (column, w) in columns.iter().zip(&fits.negated) {
        if *w == [0.0; A] {
            continue;
        }
        for a in 0..A {
            let factor = simd.splat_f64s(w[a]);
            for r in 0..REGISTERS {
                rest[a][r] = simd.mul_add_e_f64s(factor, column[r], rest[a][r]);
            }
        }
    }
    for r in 0..REGISTERS {
        let is_none = simd.equal_f64s(weights[r], zero);
        for a in 0..A {
            let square = simd.mul_f64s(weights[r], simd.mul_f64s(rest[a][r], rest[a][r]));
            sums[a] = simd.add_f64s(sums[a], simd.select_f64s(is_none, zero, square));
        }
    }
}
