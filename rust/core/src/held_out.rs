//! Held-out rows, and their squared errors.

use std::ops::Range;
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

/// `mean_squared_error` and `r2_score` of dense rows without missing values.
pub(crate) fn squared_scores(rows: &HeldOut, x: &[f64], coef: &[f64], intercept: f64) -> [f64; 2] {
    let baseline = rows.baseline.get_or_init(|| Some(Rows::new(&rows.y, &rows.y, &rows.weights)?.baseline()));
    let Some(baseline) = baseline else { return [f64::NAN; 2] };
    let error = Arch::new().dispatch(SquaredErrors { rows, x, coef, intercept }) / baseline.total;
    [error, baseline.explained(error)]
}

/// Weighted sum of squared errors. Some rows at a time meet one column after another in registers.
struct SquaredErrors<'a> {
    rows: &'a HeldOut,
    x: &'a [f64],
    coef: &'a [f64],
    intercept: f64,
}

impl WithSimd for SquaredErrors<'_> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f64 {
        const REGISTERS: usize = 4;
        let (n, wide) = (self.rows.y.len(), REGISTERS * S::F64_LANES);
        let whole = n - n % wide;
        let mut sums = [simd.splat_f64s(0.0); REGISTERS];
        for start in (0..whole).step_by(wide) {
            sums = self.add(simd, start..start + wide, sums);
        }
        for start in (whole..n).step_by(S::F64_LANES) {
            [sums[0]] = self.add(simd, start..n.min(start + S::F64_LANES), [sums[0]]);
        }
        let [a, b, c, d] = sums;
        simd.reduce_sum_f64s(simd.add_f64s(simd.add_f64s(a, b), simd.add_f64s(c, d)))
    }
}

impl SquaredErrors<'_> {
    /// Adds those of some rows, R registers of them; a row of weight 0 has none.
    // loops of constant length over several arrays at once
    #[allow(clippy::needless_range_loop)]
    #[inline(always)]
    fn add<S: Simd, const R: usize>(&self, simd: S, here: Range<usize>, mut sums: [S::f64s; R]) -> [S::f64s; R] {
        let (rows, n) = (self.rows, self.rows.y.len());
        let (y, offset, weights) = (&rows.y[here.clone()], &rows.offset[here.clone()], &rows.weights[here.clone()]);
        let (shift, zero) = (simd.splat_f64s(self.intercept), simd.splat_f64s(0.0));
        let mut rest = [zero; R];
        for r in 0..R {
            let fixed = simd.add_f64s(register(simd, offset, r), shift);
            rest[r] = simd.sub_f64s(register(simd, y, r), fixed);
        }
        for (column, w) in self.x.chunks_exact(n).zip(self.coef) {
            if *w != 0.0 {
                let (values, factor) = (&column[here.clone()], simd.splat_f64s(-w));
                for r in 0..R {
                    rest[r] = simd.mul_add_e_f64s(factor, register(simd, values, r), rest[r]);
                }
            }
        }
        for r in 0..R {
            let weight = register(simd, weights, r);
            let square = simd.mul_f64s(weight, simd.mul_f64s(rest[r], rest[r]));
            let is_none = simd.equal_f64s(weight, zero);
            sums[r] = simd.add_f64s(sums[r], simd.select_f64s(is_none, zero, square));
        }
        sums
    }
}

/// A whole register of values, or all of them where they are fewer.
#[inline(always)]
fn register<S: Simd>(simd: S, values: &[f64], r: usize) -> S::f64s {
    match S::as_simd_f64s(values).0.get(r) {
        Some(whole) => *whole,
        None => simd.partial_load_f64s(values),
    }
}
