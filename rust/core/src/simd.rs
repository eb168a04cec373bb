//! Vector kernels, compiled for every instruction set that pulp knows and dispatched at run time.

use pulp::{Arch, Simd, WithSimd};

/// `a' b`.
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    debug_assert_eq!(a.len(), b.len());
    Arch::new().dispatch(Dot(a, b))
}

/// `(x' a, x' b)` in one pass over x.
pub fn dot_pair(x: &[f64], a: &[f64], b: &[f64]) -> (f64, f64) {
    debug_assert!(x.len() == a.len() && x.len() == b.len());
    Arch::new().dispatch(DotPair(x, a, b))
}

/// `y += alpha x`.
pub fn axpy(alpha: f64, x: &[f64], y: &mut [f64]) {
    debug_assert_eq!(x.len(), y.len());
    Arch::new().dispatch(Axpy(alpha, x, y));
}

/// `(x - m)' a`.
pub fn dot_about(x: &[f64], m: f64, a: &[f64]) -> f64 {
    if m == 0.0 { dot(x, a) } else { dot_pair_about(x, m, a, a).0 }
}

/// `((x - m)' a, (x - m)' b)` in one pass over x.
pub fn dot_pair_about(x: &[f64], m: f64, a: &[f64], b: &[f64]) -> (f64, f64) {
    debug_assert!(x.len() == a.len() && x.len() == b.len());
    Arch::new().dispatch(DotPairAbout(x, m, a, b))
}

/// `y += alpha (x - m)`.
pub fn axpy_about(alpha: f64, x: &[f64], m: f64, y: &mut [f64]) {
    debug_assert_eq!(x.len(), y.len());
    Arch::new().dispatch(AxpyAbout(alpha, x, m, y));
}

/// `out = alpha (x - m)`.
pub fn scale_about(alpha: f64, x: &[f64], m: f64, out: &mut [f64]) {
    debug_assert_eq!(x.len(), out.len());
    Arch::new().dispatch(ScaleAbout(alpha, x, m, out));
}

/// `(sum w (x - m), sum w (x - m)^2)`.
pub fn moments_about(x: &[f64], m: f64, w: &[f64]) -> (f64, f64) {
    debug_assert_eq!(x.len(), w.len());
    Arch::new().dispatch(MomentsAbout(x, m, w))
}

/// `out = a * b`, entry by entry.
pub fn multiply(a: &[f64], b: &[f64], out: &mut [f64]) {
    debug_assert!(a.len() == b.len() && b.len() == out.len());
    Arch::new().dispatch(Multiply(a, b, out));
}

/// Sum of all entries.
pub fn sum(values: &[f64]) -> f64 {
    Arch::new().dispatch(Fold(values, false))
}

/// Sum of all magnitudes.
pub fn sum_abs(values: &[f64]) -> f64 {
    Arch::new().dispatch(Fold(values, true))
}

/// Largest magnitude, of entries that are no NaN.
pub fn largest(values: &[f64]) -> f64 {
    Arch::new().dispatch(Largest(values))
}

struct Dot<'a>(&'a [f64], &'a [f64]);

impl WithSimd for Dot<'_> {
    type Output = f64;

    /// Four running sums hide the latency of the multiply-add.
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f64 {
        let (a, a_tail) = S::as_simd_f64s(self.0);
        let (b, b_tail) = S::as_simd_f64s(self.1);
        let (a4, a_rest) = a.as_chunks::<4>();
        let (b4, b_rest) = b.as_chunks::<4>();
        let zero = simd.splat_f64s(0.0);
        let (mut s0, mut s1, mut s2, mut s3) = (zero, zero, zero, zero);
        for (a, b) in a4.iter().zip(b4) {
            s0 = simd.mul_add_e_f64s(a[0], b[0], s0);
            s1 = simd.mul_add_e_f64s(a[1], b[1], s1);
            s2 = simd.mul_add_e_f64s(a[2], b[2], s2);
            s3 = simd.mul_add_e_f64s(a[3], b[3], s3);
        }
        for (a, b) in a_rest.iter().zip(b_rest) {
            s0 = simd.mul_add_e_f64s(*a, *b, s0);
        }
        let mut sum = simd.reduce_sum_f64s(simd.add_f64s(simd.add_f64s(s0, s1), simd.add_f64s(s2, s3)));
        for (a, b) in a_tail.iter().zip(b_tail) {
            sum += a * b;
        }
        sum
    }
}

struct DotPair<'a>(&'a [f64], &'a [f64], &'a [f64]);

impl WithSimd for DotPair<'_> {
    type Output = (f64, f64);

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> (f64, f64) {
        let (x, x_tail) = S::as_simd_f64s(self.0);
        let (a, a_tail) = S::as_simd_f64s(self.1);
        let (b, b_tail) = S::as_simd_f64s(self.2);
        let (x2, x_rest) = x.as_chunks::<2>();
        let (a2, a_rest) = a.as_chunks::<2>();
        let (b2, b_rest) = b.as_chunks::<2>();
        let zero = simd.splat_f64s(0.0);
        let (mut a0, mut a1, mut b0, mut b1) = (zero, zero, zero, zero);
        for ((x, a), b) in x2.iter().zip(a2).zip(b2) {
            a0 = simd.mul_add_e_f64s(x[0], a[0], a0);
            b0 = simd.mul_add_e_f64s(x[0], b[0], b0);
            a1 = simd.mul_add_e_f64s(x[1], a[1], a1);
            b1 = simd.mul_add_e_f64s(x[1], b[1], b1);
        }
        for ((x, a), b) in x_rest.iter().zip(a_rest).zip(b_rest) {
            a0 = simd.mul_add_e_f64s(*x, *a, a0);
            b0 = simd.mul_add_e_f64s(*x, *b, b0);
        }
        let mut sums = (simd.reduce_sum_f64s(simd.add_f64s(a0, a1)), simd.reduce_sum_f64s(simd.add_f64s(b0, b1)));
        for ((x, a), b) in x_tail.iter().zip(a_tail).zip(b_tail) {
            sums.0 += x * a;
            sums.1 += x * b;
        }
        sums
    }
}

/// Of magnitudes if so told.
struct Fold<'a>(&'a [f64], bool);

impl WithSimd for Fold<'_> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f64 {
        let (values, tail) = S::as_simd_f64s(self.0);
        let (values4, rest) = values.as_chunks::<4>();
        let zero = simd.splat_f64s(0.0);
        let mut sums = [zero; 4];
        for values in values4 {
            for (sum, v) in sums.iter_mut().zip(values) {
                let v = if self.1 { simd.max_f64s(*v, simd.sub_f64s(zero, *v)) } else { *v };
                *sum = simd.add_f64s(*sum, v);
            }
        }
        for (sum, v) in sums.iter_mut().zip(rest) {
            let v = if self.1 { simd.max_f64s(*v, simd.sub_f64s(zero, *v)) } else { *v };
            *sum = simd.add_f64s(*sum, v);
        }
        let sum = simd.add_f64s(simd.add_f64s(sums[0], sums[1]), simd.add_f64s(sums[2], sums[3]));
        tail.iter().fold(simd.reduce_sum_f64s(sum), |sum, v| sum + if self.1 { v.abs() } else { *v })
    }
}

struct Largest<'a>(&'a [f64]);

impl WithSimd for Largest<'_> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f64 {
        let (values, tail) = S::as_simd_f64s(self.0);
        let zero = simd.splat_f64s(0.0);
        let mut most = zero;
        for v in values {
            most = simd.max_f64s(simd.max_f64s(*v, simd.sub_f64s(zero, *v)), most);
        }
        tail.iter().fold(simd.reduce_max_f64s(most), |most, v| most.max(v.abs()))
    }
}

struct Axpy<'a>(f64, &'a [f64], &'a mut [f64]);

impl WithSimd for Axpy<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        add_scaled(simd, self.0, self.1, self.2);
    }
}

/// `y += alpha x`, within a loop that has been dispatched.
///
/// The last entries go through the same multiply-add: equal rows keep equal predictions wherever they stand, and tied
/// scores stay tied.
#[inline(always)]
pub(crate) fn add_scaled<S: Simd>(simd: S, alpha: f64, x: &[f64], y: &mut [f64]) {
    let factor = simd.splat_f64s(alpha);
    let (x, x_tail) = S::as_simd_f64s(x);
    let (y, y_tail) = S::as_mut_simd_f64s(y);
    for (y, x) in y.iter_mut().zip(x) {
        *y = simd.mul_add_e_f64s(factor, *x, *y);
    }
    // columns that are padded have no tail
    if !x_tail.is_empty() {
        let last = simd.mul_add_e_f64s(factor, simd.partial_load_f64s(x_tail), simd.partial_load_f64s(y_tail));
        simd.partial_store_f64s(y_tail, last);
    }
}

/// The same with some columns one after another: y is loaded and stored once for all of them, and their values come from
/// several places of memory at a time.
// loops of constant length over several arrays at once
#[allow(clippy::needless_range_loop)]
#[inline(always)]
pub(crate) fn add_scaled_each<S: Simd, const N: usize>(simd: S, alpha: [f64; N], x: [&[f64]; N], y: &mut [f64]) {
    let (y, y_tail) = S::as_mut_simd_f64s(y);
    let mut vectors = [&[][..]; N];
    let mut factors = [simd.splat_f64s(0.0); N];
    for a in 0..N {
        let (whole, tail) = S::as_simd_f64s(x[a]);
        vectors[a] = &whole[..y.len()];
        factors[a] = simd.splat_f64s(alpha[a]);
        if !tail.is_empty() {
            let last = simd.mul_add_e_f64s(factors[a], simd.partial_load_f64s(tail), simd.partial_load_f64s(y_tail));
            simd.partial_store_f64s(y_tail, last);
        }
    }
    for (at, y) in y.iter_mut().enumerate() {
        let mut sum = *y;
        for a in 0..N {
            sum = simd.mul_add_e_f64s(factors[a], vectors[a][at], sum);
        }
        *y = sum;
    }
}

struct DotPairAbout<'a>(&'a [f64], f64, &'a [f64], &'a [f64]);

impl WithSimd for DotPairAbout<'_> {
    type Output = (f64, f64);

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> (f64, f64) {
        let Self(x, m, a, b) = self;
        let (x, x_tail) = S::as_simd_f64s(x);
        let (a, a_tail) = S::as_simd_f64s(a);
        let (b, b_tail) = S::as_simd_f64s(b);
        let (x2, x_rest) = x.as_chunks::<2>();
        let (a2, a_rest) = a.as_chunks::<2>();
        let (b2, b_rest) = b.as_chunks::<2>();
        let (zero, center) = (simd.splat_f64s(0.0), simd.splat_f64s(m));
        let (mut a0, mut a1, mut b0, mut b1) = (zero, zero, zero, zero);
        for ((x, a), b) in x2.iter().zip(a2).zip(b2) {
            let (x0, x1) = (simd.sub_f64s(x[0], center), simd.sub_f64s(x[1], center));
            a0 = simd.mul_add_e_f64s(x0, a[0], a0);
            b0 = simd.mul_add_e_f64s(x0, b[0], b0);
            a1 = simd.mul_add_e_f64s(x1, a[1], a1);
            b1 = simd.mul_add_e_f64s(x1, b[1], b1);
        }
        for ((x, a), b) in x_rest.iter().zip(a_rest).zip(b_rest) {
            let x = simd.sub_f64s(*x, center);
            a0 = simd.mul_add_e_f64s(x, *a, a0);
            b0 = simd.mul_add_e_f64s(x, *b, b0);
        }
        let mut sums = (simd.reduce_sum_f64s(simd.add_f64s(a0, a1)), simd.reduce_sum_f64s(simd.add_f64s(b0, b1)));
        for ((x, a), b) in x_tail.iter().zip(a_tail).zip(b_tail) {
            sums.0 += (x - m) * a;
            sums.1 += (x - m) * b;
        }
        sums
    }
}

struct AxpyAbout<'a>(f64, &'a [f64], f64, &'a mut [f64]);

impl WithSimd for AxpyAbout<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self(alpha, x, m, y) = self;
        let (factor, center) = (simd.splat_f64s(alpha), simd.splat_f64s(m));
        let (x, x_tail) = S::as_simd_f64s(x);
        let (y, y_tail) = S::as_mut_simd_f64s(y);
        for (y, x) in y.iter_mut().zip(x) {
            *y = simd.mul_add_e_f64s(factor, simd.sub_f64s(*x, center), *y);
        }
        let last = simd.sub_f64s(simd.partial_load_f64s(x_tail), center);
        simd.partial_store_f64s(y_tail, simd.mul_add_e_f64s(factor, last, simd.partial_load_f64s(y_tail)));
    }
}

struct ScaleAbout<'a>(f64, &'a [f64], f64, &'a mut [f64]);

impl WithSimd for ScaleAbout<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        let Self(alpha, x, m, out) = self;
        for (out, x) in out.iter_mut().zip(x) {
            *out = alpha * (x - m);
        }
    }
}

struct MomentsAbout<'a>(&'a [f64], f64, &'a [f64]);

impl WithSimd for MomentsAbout<'_> {
    type Output = (f64, f64);

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) -> (f64, f64) {
        let Self(x, m, w) = self;
        let (x, x_tail) = x.as_chunks::<8>();
        let (w, w_tail) = w.as_chunks::<8>();
        let (mut first, mut second) = ([0.0; 8], [0.0; 8]);
        for (x, w) in x.iter().zip(w) {
            for i in 0..8 {
                let (off, weighted) = (x[i] - m, w[i] * (x[i] - m));
                first[i] += weighted;
                second[i] += weighted * off;
            }
        }
        let mut sums = (first.iter().sum::<f64>(), second.iter().sum::<f64>());
        for (x, w) in x_tail.iter().zip(w_tail) {
            sums.0 += w * (x - m);
            sums.1 += w * (x - m) * (x - m);
        }
        sums
    }
}

struct Multiply<'a>(&'a [f64], &'a [f64], &'a mut [f64]);

impl WithSimd for Multiply<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (a, a_tail) = S::as_simd_f64s(self.0);
        let (b, b_tail) = S::as_simd_f64s(self.1);
        let (out, out_tail) = S::as_mut_simd_f64s(self.2);
        for ((o, a), b) in out.iter_mut().zip(a).zip(b) {
            *o = simd.mul_f64s(*a, *b);
        }
        for ((o, a), b) in out_tail.iter_mut().zip(a_tail).zip(b_tail) {
            *o = a * b;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_equals_the_plain_loop() {
        let a: Vec<f64> = (0..70).map(|i| f64::from(i) * 0.37 - 9.0).collect();
        let b: Vec<f64> = a.iter().map(|v| 1.0 / (v + 0.1)).collect();
        for n in 0..70 {
            let (a, b) = (&a[..n], &b[..n]);
            let plain: f64 = a.iter().zip(b).map(|(a, b)| a * b).sum();
            assert!((dot(a, b) - plain).abs() < 1e-11 * (1.0 + plain.abs()));
            let magnitudes = a.iter().fold((0.0, 0.0), |(s, m): (f64, f64), v| (s + v.abs(), m.max(v.abs())));
            assert!((sum(a) - a.iter().sum::<f64>()).abs() < 1e-11);
            assert!((sum_abs(a) - magnitudes.0).abs() < 1e-11);
            assert_eq!(largest(a), magnitudes.1);
            let pair = dot_pair(a, b, a);
            assert!((pair.0 - plain).abs() < 1e-11 * (1.0 + plain.abs()));
            assert!((pair.1 - dot(a, a)).abs() < 1e-11 * (1.0 + pair.1));
            let about: f64 = a.iter().zip(b).map(|(a, b)| (a - 0.5) * b).sum();
            assert!((dot_about(a, 0.5, b) - about).abs() < 1e-11 * (1.0 + about.abs()));
            let mut moved = b.to_vec();
            axpy_about(2.5, a, 0.5, &mut moved);
            let wanted = |i: usize| b[i] + 2.5 * (a[i] - 0.5);
            assert!((0..n).all(|i| (moved[i] - wanted(i)).abs() < 1e-12));
            let mut scaled = vec![0.0; n];
            scale_about(2.5, a, 0.5, &mut scaled);
            assert!((0..n).all(|i| (scaled[i] - 2.5 * (a[i] - 0.5)).abs() < 1e-12));
            let (first, second) = moments_about(a, 0.5, b);
            let square: f64 = a.iter().zip(b).map(|(a, b)| (a - 0.5).powi(2) * b).sum();
            assert!((first - about).abs() < 1e-11 * (1.0 + about.abs()));
            assert!((second - square).abs() < 1e-10 * (1.0 + square.abs()));
            let (mut sums, mut products) = (b.to_vec(), vec![0.0; n]);
            axpy(2.5, a, &mut sums);
            multiply(a, b, &mut products);
            for i in 0..n {
                assert!((sums[i] - (b[i] + 2.5 * a[i])).abs() < 1e-12);
                assert_eq!(products[i], a[i] * b[i]);
            }
        }
    }

    #[test]
    fn equal_entries_stay_equal_wherever_they_stand() {
        for n in 1..20 {
            let mut y = vec![0.1; n];
            axpy(0.3, &vec![1.0 / 3.0; n], &mut y);
            axpy_about(0.3, &vec![1.0 / 3.0; n], 0.7, &mut y);
            assert!(y.iter().all(|v| *v == y[0]), "{y:?}");
        }
    }
}
