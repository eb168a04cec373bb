//! The softmax loss of many rows at once: loops over classes outside, over some rows inside, without branches.

// several arrays at the same row
#![allow(clippy::needless_range_loop)]

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

use crate::columns::Part;
use crate::math::{exp, ln, ln_1p};

/// Rows of a pass: what is known of each stays in the L1 cache.
const FEW: usize = 64;

/// What is kept of every row; of those with a value for every class, class by class.
pub(super) struct Rows<'r> {
    pub labels: &'r [usize],
    pub eta: &'r [f64],
    pub probability: &'r mut [f64],
    pub missing: &'r mut [f64],
    pub top: &'r mut [f64],
    pub log_sum: &'r mut [f64],
}

/// `0..n_rows`, some rows at a time.
#[inline(always)]
fn passes(rows: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    rows.clone().step_by(FEW).map(move |start| start..(start + FEW).min(rows.end))
}

impl WithSimd for Rows<'_> {
    type Output = Vec<f64>;

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, _simd: S) -> Vec<f64> {
        let mut values = vec![0.0; self.labels.len()];
        for rows in passes(0..values.len()) {
            self.refresh_few(rows.clone(), &mut values[rows]);
        }
        values
    }
}

impl Rows<'_> {
    /// Takes all terms at eta; the loss of every row.
    pub fn refresh(self) -> Vec<f64> {
        Arch::new().dispatch(self)
    }

    #[inline(always)]
    fn refresh_few(&mut self, rows: Range<usize>, values: &mut [f64]) {
        let (n, m) = (self.labels.len(), rows.len());
        let n_classes = self.eta.len() / n;
        let of_class = |k: usize| k * n + rows.start..k * n + rows.start + m;
        let labels = &self.labels[rows.clone()][..m];
        // slices of the same length, said once, spare the loops their checks
        let (mut mode, mut top, mut own) = ([0; FEW], [f64::NEG_INFINITY; FEW], [0.0; FEW]);
        let (mut others, mut missing) = ([0.0; FEW], [0.0; FEW]);
        let (mode, top, own) = (&mut mode[..m], &mut top[..m], &mut own[..m]);
        let (others, missing) = (&mut others[..m], &mut missing[..m]);
        for k in 0..n_classes {
            let eta = &self.eta[of_class(k)][..m];
            for i in 0..m {
                mode[i] = if eta[i] > top[i] { k } else { mode[i] };
                top[i] = if eta[i] > top[i] { eta[i] } else { top[i] };
                own[i] = if labels[i] == k { eta[i] } else { own[i] };
            }
        }
        for k in 0..n_classes {
            let (eta, out) = (&self.eta[of_class(k)][..m], &mut self.probability[of_class(k)][..m]);
            for i in 0..m {
                let odds = exp(eta[i] - top[i]);
                out[i] = odds;
                others[i] += if mode[i] == k { 0.0 } else { odds };
                missing[i] += if labels[i] == k { 0.0 } else { odds };
            }
        }
        let (log_sum, values) = (&mut self.log_sum[rows.clone()][..m], &mut values[..m]);
        for i in 0..m {
            let is_wide = others[i] > 1.0;
            let (wide, narrow) = (ln(1.0 + others[i]), ln_1p(if is_wide { 0.0 } else { others[i] }));
            log_sum[i] = if is_wide { wide } else { narrow };
            values[i] = (top[i] - own[i]) + log_sum[i];
        }
        self.top[rows.clone()].copy_from_slice(top);
        let share = top;
        for i in 0..m {
            share[i] = 1.0 / (1.0 + others[i]);
            missing[i] *= share[i];
        }
        self.missing[rows.clone()].copy_from_slice(missing);
        for k in 0..n_classes {
            let out = &mut self.probability[of_class(k)][..m];
            for i in 0..m {
                out[i] *= share[i];
            }
        }
    }
}

/// The curvature of every row, or a bound of it.
pub(super) struct Bend<'r> {
    pub labels: &'r [usize],
    /// Weights of the rows.
    pub omega: &'r [f64],
    /// Weights of the classes in a row, class by class.
    pub probability: &'r [f64],
    /// Whether it is `(I - 1 1' / K) / 2` in place of `diag(p) - p p'`.
    pub majorised: bool,
}

impl Bend<'_> {
    /// Turns fields f on some rows into `Omega W f`.
    pub fn weigh(&self, part: Part<'_>) {
        self.apply(part, |_, bent, omega| omega * bent);
    }

    /// Turns fields f on all rows into `r - W f`.
    pub fn rest(&self, field: &mut [f64]) {
        let n = self.labels.len();
        self.apply(Part { rows: 0..n, stride: n.max(1), values: field }, |p, bent, _| -p - bent);
    }

    /// Turns fields into `out(p, W f, omega)` for all classes but a row's own, whose entry is what brings the sum to 0.
    /// Fields are taken about that entry, so that nothing cancels where its probability is near 1.
    fn apply(&self, part: Part<'_>, out: impl Fn(f64, f64, f64) -> f64) {
        Arch::new().dispatch(Apply { bend: self, part, out });
    }

    #[inline(always)]
    fn apply_few(
        &self,
        start: usize,
        rows: Range<usize>,
        stride: usize,
        field: &mut [f64],
        out: &impl Fn(f64, f64, f64) -> f64,
    ) {
        let (n, m, first) = (self.labels.len(), rows.len(), start + rows.start);
        let (labels, weights) = (&self.labels[first..][..m], &self.omega[first..][..m]);
        let even = stride as f64 / field.len() as f64;
        let (mut own, mut mean, mut rest) = ([0.0; FEW], [0.0; FEW], [0.0; FEW]);
        let (own, mean, rest) = (&mut own[..m], &mut mean[..m], &mut rest[..m]);
        for (k, f) in field.chunks_exact(stride).enumerate() {
            let f = &f[rows.start..][..m];
            for i in 0..m {
                own[i] = if labels[i] == k { f[i] } else { own[i] };
            }
        }
        for (k, f) in field.chunks_exact(stride).enumerate() {
            let (f, p) = (&f[rows.start..][..m], &self.probability[k * n + first..][..m]);
            for i in 0..m {
                mean[i] += if self.majorised { even } else { p[i] } * (f[i] - own[i]);
            }
        }
        for (k, f) in field.chunks_exact_mut(stride).enumerate() {
            let (f, p) = (&mut f[rows.start..][..m], &self.probability[k * n + first..][..m]);
            for i in 0..m {
                let bent = if self.majorised { 0.5 } else { p[i] } * ((f[i] - own[i]) - mean[i]);
                let entry = if labels[i] == k { 0.0 } else { out(p[i], bent, weights[i]) };
                f[i] = entry;
                rest[i] += entry;
            }
        }
        for (k, f) in field.chunks_exact_mut(stride).enumerate() {
            let f = &mut f[rows.start..][..m];
            for i in 0..m {
                f[i] = if labels[i] == k { -rest[i] } else { f[i] };
            }
        }
    }
}

struct Apply<'r, 'p, F> {
    bend: &'r Bend<'r>,
    part: Part<'p>,
    out: F,
}

impl<F: Fn(f64, f64, f64) -> f64> WithSimd for Apply<'_, '_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        let Self { bend, part, out } = self;
        for rows in passes(0..part.rows.len()) {
            bend.apply_few(part.rows.start, rows, part.stride, part.values, &out);
        }
    }
}

/// The distribution of every row beside another one.
pub(super) struct Divergence<'r> {
    pub labels: &'r [usize],
    pub eta: &'r [f64],
    pub top: &'r [f64],
    pub log_sum: &'r [f64],
    pub probability: &'r [f64],
    pub missing: &'r [f64],
}

impl Divergence<'_> {
    /// Kullback-Leibler divergence of `q = e_y - s theta` from p in every row.
    pub fn rows(&self, theta: &[f64], s: f64) -> Vec<f64> {
        Arch::new().dispatch(Beside { rows: self, theta, s })
    }

    #[inline(always)]
    fn add_few(&self, rows: Range<usize>, theta: &[f64], s: f64, out: &mut [f64]) {
        let (n, m) = (self.labels.len(), rows.len());
        let (labels, missing) = (&self.labels[rows.clone()][..m], &self.missing[rows.clone()][..m]);
        let (top, log_sum) = (&self.top[rows.clone()][..m], &self.log_sum[rows.clone()][..m]);
        let mut sums = [0.0; FEW];
        let sums = &mut sums[..m];
        for k in 0..theta.len() / n {
            let first = k * n + rows.start;
            let (eta, p, theta) = (&self.eta[first..][..m], &self.probability[first..][..m], &theta[first..][..m]);
            for i in 0..m {
                let is_own = labels[i] == k;
                let residual = if is_own { missing[i] } else { -p[i] };
                let q = if is_own { 1.0 } else { 0.0 } - s * theta[i];
                sums[i] += relative_entropy(q, p[i], residual - s * theta[i], (eta[i] - top[i]) - log_sum[i]);
            }
        }
        out.copy_from_slice(sums);
    }
}

struct Beside<'r> {
    rows: &'r Divergence<'r>,
    theta: &'r [f64],
    s: f64,
}

impl WithSimd for Beside<'_> {
    type Output = Vec<f64>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) -> Vec<f64> {
        let mut sums = vec![0.0; self.rows.labels.len()];
        for rows in passes(0..sums.len()) {
            self.rows.add_few(rows.clone(), self.theta, self.s, &mut sums[rows]);
        }
        sums
    }
}

/// `q log(q / p) - q + p` with `q = p + delta`, at least 0; summed over the classes of two distributions it is their
/// divergence, without the cancellation of its first-order terms.
#[inline(always)]
pub(super) fn relative_entropy(q: f64, p: f64, delta: f64, log_p: f64) -> f64 {
    let ratio = delta / p;
    let is_near = ratio.abs() < 0.5;
    let by_ratio = p * excess(if is_near { ratio } else { 0.0 });
    // from log p, since p may have been rounded to 0
    let by_logs = q * (ln(if q > 0.0 { q } else { 1.0 }) - log_p) - delta;
    let share = if q == 0.0 { p } else { by_logs };
    let share = if is_near { by_ratio } else { share };
    // not `max`, which would turn NaN into a certificate
    let share = if share < 0.0 { 0.0 } else { share };
    if q < 0.0 { f64::NAN } else { share }
}

/// `(1 + x) log(1 + x) - x` for x in \[-1/2, 1/2\].
#[inline(always)]
fn excess(x: f64) -> f64 {
    // the terms x^n (-1)^n / (n (n - 1)) up to n = 8
    let tail = 1.0 / 20.0 - x * (1.0 / 30.0 - x * (1.0 / 42.0 - x / 56.0));
    let series = x * x * (0.5 - x * (1.0 / 6.0 - x * (1.0 / 12.0 - x * tail)));
    let plain = (1.0 + x) * ln_1p(x) - x;
    if x.abs() < 0.01 { series } else { plain }
}
