//! Elementary functions without branches or calls, so that loops over rows become vector code.
//!
//! Only sums, products and divisions occur. Where none of them is fused all instruction sets give the same bits.

/// log 2 in two parts; the first has 32 bits, so that its products with small integers are exact.
const LN_2: (f64, f64) = (f64::from_bits(0x3FE6_2E42_FEE0_0000), 1.908_214_929_270_587_7e-10);
/// Added and taken away again this leaves the nearest integer.
const ROUND: f64 = 6_755_399_441_055_744.0;
/// Beyond these the exponential is 0 and infinite.
const UNDERFLOW: f64 = -745.2;
const OVERFLOW: f64 = 709.782_712_893_384;
/// About where the exponential leaves the normal numbers.
const LOWEST: f64 = -708.0;

/// `1 / k!` for k from 2 to 13: Taylor's series is exact to rounding for `|r| <= log(2) / 2`.
const INVERSE_FACTORIALS: [f64; 12] = {
    let mut out = [0.0; 12];
    let mut factorial = 1.0;
    let mut k = 0;
    while k < 12 {
        factorial *= (k + 2) as f64;
        out[k] = 1.0 / factorial;
        k += 1;
    }
    out
};

/// `1 / (2 k + 1)` for k from 1 to 11: the series of the area tangent, exact to rounding for `s^2 <= 0.0295`.
const ODD_INVERSES: [f64; 11] = {
    let mut out = [0.0; 11];
    let mut k = 0;
    while k < 11 {
        out[k] = 1.0 / (2 * k + 3) as f64;
        k += 1;
    }
    out
};

/// `e^x`, to 1 unit in the last place; 0 below the least positive number, infinite above the largest.
#[inline(always)]
pub fn exp(x: f64) -> f64 {
    let within = x.clamp(UNDERFLOW, OVERFLOW);
    let shifted = within * std::f64::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let (high, low) = (within - n * LN_2.0, n * LN_2.1);
    let r = high - low;
    let mut series = INVERSE_FACTORIALS[11];
    for inverse in INVERSE_FACTORIALS[..11].iter().rev() {
        series = series * r + inverse;
    }
    // what the difference lost comes back with the small terms
    let lost = (high - r) - low;
    let mantissa = 1.0 + (r + (r * r * series + lost));
    // 2^n in two factors, so that neither leaves the range where the product does not
    let k = shifted.to_bits().wrapping_sub(ROUND.to_bits()) as i64;
    let half = k >> 1;
    let out = mantissa * power_of_two(half) * power_of_two(k - half);
    if x > OVERFLOW {
        f64::INFINITY
    } else if x < UNDERFLOW {
        0.0
    } else {
        out
    }
}

/// `e^x` for x up to 0, to 1 unit in the last place; below [`LOWEST`] what it is there. Half the work of [`exp`]: what is
/// below the normal numbers is left out, and products are fused with sums where the processor does that (`FUSED`).
#[inline(always)]
pub fn decay<const FUSED: bool>(x: f64) -> f64 {
    // in this order a NaN stays one
    let within = if LOWEST > x { LOWEST } else { x };
    let shifted = mul_add::<FUSED>(within, std::f64::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let high = within - n * LN_2.0;
    let r = mul_add::<FUSED>(-n, LN_2.1, high);
    let mut series = INVERSE_FACTORIALS[11];
    for inverse in INVERSE_FACTORIALS[..11].iter().rev() {
        series = mul_add::<FUSED>(series, r, *inverse);
    }
    let mantissa = 1.0 + mul_add::<FUSED>(r * r, series, r);
    // n stands in the last bits of what it was rounded with; from there it joins the exponent
    f64::from_bits(mantissa.to_bits().wrapping_add(shifted.to_bits() << 52))
}

/// `a b + c`, rounded once if fused.
#[inline(always)]
fn mul_add<const FUSED: bool>(a: f64, b: f64, c: f64) -> f64 {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}

/// `2^k` for k of a normal number.
#[inline(always)]
fn power_of_two(k: i64) -> f64 {
    f64::from_bits(((k + 1023) as u64) << 52)
}

/// `log(1 + t)` for t in \[-1/2, 1\], to 2 units in the last place.
#[inline(always)]
pub fn ln_1p(t: f64) -> f64 {
    // 1 + t = 2^e (1 + f) with 1 + f between the roots of 1/2 and 2; numerator f and denominator 2 + f, both times 2^e
    let (is_large, is_small) = (t > std::f64::consts::SQRT_2 - 1.0, t < std::f64::consts::FRAC_1_SQRT_2 - 1.0);
    let e = if is_large {
        1.0
    } else if is_small {
        -1.0
    } else {
        0.0
    };
    let (above, below) = if is_large {
        (t - 1.0, t + 3.0)
    } else if is_small {
        (2.0 * t + 1.0, 2.0 * t + 3.0)
    } else {
        (t, t + 2.0)
    };
    log_of_ratio(above, below, e)
}

/// `log(x)` of a positive finite number, to 2 units in the last place.
#[inline(always)]
pub fn ln(x: f64) -> f64 {
    // numbers below the normal ones have no exponent of their own
    let is_tiny = x < f64::MIN_POSITIVE;
    let bits = if is_tiny { x * TWO_54 } else { x }.to_bits();
    // counted from the root of 1/2, so that the mantissa lies between it and its double
    let shifted = bits.wrapping_sub(ROOT_BITS);
    let k = (shifted as i64) >> 52;
    let mantissa = f64::from_bits(bits.wrapping_sub((k as u64) << 52));
    let e = as_float(k) - if is_tiny { 54.0 } else { 0.0 };
    log_of_ratio(mantissa - 1.0, mantissa + 1.0, e)
}

const TWO_54: f64 = 18_014_398_509_481_984.0;
const ROOT_BITS: u64 = std::f64::consts::FRAC_1_SQRT_2.to_bits();

/// A small integer, by the sum that puts it into the mantissa: no instruction set before the latest converts vectors.
#[inline(always)]
fn as_float(k: i64) -> f64 {
    f64::from_bits(ROUND.to_bits().wrapping_add(k as u64)) - ROUND
}

/// `e log 2 + log(1 + f)` with `f = above`, `2 + f = below`, through `log((1 + s) / (1 - s)) = 2 s + 2 s^3 / 3 + ...`,
/// `s = f / (2 + f)`.
#[inline(always)]
fn log_of_ratio(above: f64, below: f64, e: f64) -> f64 {
    let s = above / below;
    let square = s * s;
    let mut series = ODD_INVERSES[10];
    for inverse in ODD_INVERSES[..10].iter().rev() {
        series = series * square + inverse;
    }
    let tail = 2.0 * s * square * series;
    e * LN_2.0 + (2.0 * s + (tail + e * LN_2.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Distance in units of the last place.
    fn ulps(a: f64, b: f64) -> f64 {
        (a.to_bits() as i64 - b.to_bits() as i64).abs() as f64
    }

    fn points(low: f64, high: f64) -> impl Iterator<Item = f64> {
        (0..200_001).map(move |i| low + (high - low) * f64::from(i) / 200_000.0)
    }

    #[test]
    fn the_exponential_is_that_of_the_standard_library() {
        let worst = |low, high| points(low, high).map(|x| ulps(exp(x), x.exp())).fold(0.0, f64::max);
        // which is itself correct to less than 1
        assert!(worst(-1.0, 1.0) <= 1.0, "{}", worst(-1.0, 1.0));
        assert!(worst(-708.0, 709.7) <= 1.0, "{}", worst(-708.0, 709.7));
        // subnormal results are rounded twice
        assert!(worst(-745.0, -708.0) <= 1.0, "{}", worst(-745.0, -708.0));
    }

    #[test]
    fn known_values_of_the_exponential() {
        // Decimal(x).exp() with 40 digits
        let known = [
            (1.0, std::f64::consts::E),
            (-1.0, 0.36787944117144233),
            (0.1, 1.1051709180756477),
            (50.5, 8.548_134_287_298_057e21),
            (-700.25, 7.678_723_813_110_872e-305),
            (1e-10, 1.000_000_000_1),
        ];
        for (x, wanted) in known {
            assert!(ulps(exp(x), wanted) <= 1.0, "{x}: {:e}", exp(x));
        }
    }

    #[test]
    fn the_ends_of_the_exponential() {
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(-0.0), 1.0);
        assert_eq!((exp(f64::INFINITY), exp(710.0)), (f64::INFINITY, f64::INFINITY));
        assert_eq!((exp(f64::NEG_INFINITY), exp(-746.0)), (0.0, 0.0));
        assert!(exp(709.78).is_finite() && exp(-745.0) > 0.0);
        assert!(exp(f64::NAN).is_nan());
    }

    #[test]
    fn a_decay_is_the_exponential() {
        for x in points(LOWEST, 0.0).chain(points(-1.0, 0.0)).chain(points(-1e-9, 0.0)) {
            let wanted = x.exp();
            assert!(ulps(decay::<false>(x), wanted) <= 1.0, "{x}: {:e}", decay::<false>(x));
            assert!(ulps(decay::<true>(x), wanted) <= 1.0, "{x}: {:e}", decay::<true>(x));
        }
        assert_eq!((decay::<true>(0.0), decay::<false>(-0.0)), (1.0, 1.0));
        for x in [-709.0, -1e300, f64::NEG_INFINITY] {
            assert_eq!(decay::<true>(x), decay::<true>(LOWEST));
        }
        assert!(decay::<true>(LOWEST) < 1e-307 && decay::<true>(f64::NAN).is_nan());
    }

    #[test]
    fn the_logarithm_is_that_of_the_standard_library() {
        let worst = |low, high| points(low, high).map(|t| ulps(ln_1p(t), t.ln_1p())).fold(0.0, f64::max);
        assert!(worst(-0.5, 1.0) <= 2.0, "{}", worst(-0.5, 1.0));
        assert!(worst(0.0, 1e-9) <= 1.0, "{}", worst(0.0, 1e-9));
        assert_eq!((ln_1p(0.0), ln_1p(1e-300)), (0.0, 1e-300));
        assert_eq!(ln_1p(1.0), std::f64::consts::LN_2);
        assert!(ln_1p(f64::NAN).is_nan());
        let worst = |low: f64, high: f64| {
            let of_exponents = |e: f64| ulps(ln(e.exp2()), e.exp2().ln());
            points(low, high).map(of_exponents).fold(0.0, f64::max)
        };
        assert!(worst(-1074.0, 1023.9) <= 2.0, "{}", worst(-1074.0, 1023.9));
        assert!(worst(-0.6, 0.6) <= 2.0, "{}", worst(-0.6, 0.6));
        assert_eq!(ln(1.0), 0.0);
    }
}
