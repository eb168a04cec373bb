//! Bregman divergences of the exponential, which the losses with a log link are made of.
//!
//! ```text
//! D(q, mu)  =  mu - q + q log(q / mu)  =  q (e^u - 1 - u)  >= 0,   u = log(mu / q)
//! ```
//!
//! The first form cancels where q is close to mu, the second does not.

/// `|u|` below which the second form is taken; at least log 2, where [`log_ratio`] stops taking the difference.
const CLOSE: f64 = 0.7;

/// `1 / k` for k from 3 to 18.
const INVERSES: [f64; 16] = {
    let mut inverses = [0.0; 16];
    let mut k = 0;
    while k < 16 {
        inverses[k] = 1.0 / (k + 3) as f64;
        k += 1;
    }
    inverses
};

/// `e^u - 1 - u` for `|u| < CLOSE`: Taylor's series, cut where terms fall below a tenth of the rounding.
#[inline(always)]
fn excess(u: f64) -> f64 {
    0.5 * u * u * INVERSES.iter().rev().fold(1.0, |sum, inverse| 1.0 + u * inverse * sum)
}

/// `log(mu / q)` for q, mu > 0, from `delta = q - mu` where that is small.
#[inline(always)]
pub(super) fn log_ratio(q: f64, mu: f64, delta: f64, log_mu: impl FnOnce() -> f64) -> f64 {
    let ratio = q / mu;
    if is_small(delta, mu) {
        -(delta / mu).ln_1p()
    } else if ratio.is_normal() {
        -ratio.ln()
    } else {
        log_mu() - q.ln()
    }
}

#[inline(always)]
fn is_small(delta: f64, mu: f64) -> bool {
    delta.abs() < 0.5 * mu
}

/// `D(q, mu)` given `u = log(mu / q)`.
#[inline(always)]
pub(super) fn divergence(q: f64, mu: f64, u: f64) -> f64 {
    if u.abs() < CLOSE { q * excess(u) } else { (mu - q) - q * u }
}

/// `D(q, mu)` for q >= 0 given `delta = q - mu`, which has digits that q may have lost.
#[inline(always)]
pub(super) fn relative_entropy(q: f64, mu: f64, delta: f64, log_mu: impl FnOnce() -> f64) -> f64 {
    let q = if is_small(delta, mu) { mu + delta } else { q };
    if q == 0.0 { mu } else { divergence(q, mu, log_ratio(q, mu, delta, log_mu)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_arguments_keep_their_digits() {
        // Decimal(u).exp() - 1 - Decimal(u) with 60 digits
        let known = [
            (-0.7, 0.19658530379140948),
            (-0.3, 0.040818220681717865),
            (-1e-3, 4.998333749916681e-07),
            (1e-9, 5.000000001666667e-19),
            (0.01, 5.016708416805754e-05),
            (0.25, 0.034025416687741485),
            (0.6999, 0.3136513422681574),
        ];
        for (u, wanted) in known {
            assert!((excess(u) / wanted - 1.0).abs() < 4.0 * f64::EPSILON, "{u}");
        }
    }

    #[test]
    fn the_two_forms_meet() {
        for u in [-CLOSE, CLOSE] {
            let (near, far) = (divergence(3.0, 3.0 * u.exp(), 0.999_999_999 * u), divergence(3.0, 3.0 * u.exp(), u));
            assert!((near - far).abs() < 1e-8);
        }
    }
}
