/// `sum_j l1_j |b_j| + l2_j b_j^2 / 2` in solver coordinates: columns scaled, centre moved to 0.
#[derive(Debug, Clone, Default)]
pub struct Separable {
    /// Weight of `|b_j|`.
    pub l1: Vec<f64>,
    /// Weight of `b_j^2 / 2`.
    pub l2: Vec<f64>,
}

/// Moves `z` towards 0 by `t`, at most to 0: the proximal operator of `t |.|`.
#[inline(always)]
pub fn soft_threshold(z: f64, t: f64) -> f64 {
    if z > t {
        z - t
    } else if z < -t {
        z + t
    } else {
        0.0
    }
}

impl Separable {
    /// Value at `b`.
    pub fn value(&self, b: &[f64]) -> f64 {
        b.iter().enumerate().map(|(j, b)| self.l1[j] * b.abs() + 0.5 * self.l2[j] * b * b).sum()
    }

    /// Whether column j carries no penalty at all.
    pub fn is_free(&self, j: usize) -> bool {
        self.l1[j] == 0.0 && self.l2[j] == 0.0
    }

    /// Minimiser of `a b^2 / 2 - z b + l1 |b| + l2 b^2 / 2`.
    #[inline(always)]
    pub fn prox(&self, j: usize, z: f64, a: f64) -> f64 {
        soft_threshold(z, self.l1[j]) / (a + self.l2[j])
    }

    /// Largest `s` in \[0, 1\] with `s u` in the domain of the conjugate; free columns are the caller's.
    pub fn feasible_scale(&self, u: &[f64]) -> f64 {
        let bound = |(j, u): (usize, &f64)| match self.l2[j] == 0.0 && self.l1[j] > 0.0 && u.abs() > self.l1[j] {
            true => self.l1[j] / u.abs(),
            false => 1.0,
        };
        u.iter().enumerate().map(bound).fold(1.0, f64::min)
    }

    /// `Omega(b) + Omega*(s u) - s u' b`, each column's share at least 0.
    ///
    /// With `t = soft_threshold(u, l1)` the share is `l1 |b| - (u - t) b + (l2 b - t)^2 / (2 l2)`.
    pub fn fenchel(&self, b: &[f64], u: &[f64], s: f64) -> f64 {
        (0..b.len()).filter(|&j| !self.is_free(j)).map(|j| self.share(j, b[j], s * u[j])).sum()
    }

    fn share(&self, j: usize, b: f64, u: f64) -> f64 {
        let t = soft_threshold(u, self.l1[j]);
        let linear = (self.l1[j] * b.abs() - (u - t) * b).max(0.0);
        // without a square the domain ends at l1: what is beyond by rounding of s is no distance
        if self.l2[j] == 0.0 { linear } else { linear + (self.l2[j] * b - t).powi(2) / (2.0 * self.l2[j]) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn prox_is_the_minimiser(z in -5.0..5.0f64, a in 0.1..4.0f64, l1 in 0.0..3.0f64, l2 in 0.0..3.0f64) {
            let p = Separable { l1: vec![l1], l2: vec![l2] };
            let f = |b: f64| 0.5 * a * b * b - z * b + p.value(&[b]);
            let best = p.prox(0, z, a);
            for step in [-1e-3, -1e-5, 1e-5, 1e-3] {
                prop_assert!(f(best) <= f(best + step) + 1e-14);
            }
        }

        #[test]
        fn brackets_bound_the_conjugate(b in -5.0..5.0f64, u in -5.0..5.0f64, l1 in 0.01..3.0f64, l2 in 0.0..3.0f64) {
            let l2 = if l2 < 0.5 { 0.0 } else { l2 };
            let p = Separable { l1: vec![l1], l2: vec![l2] };
            let s = p.feasible_scale(&[u]);
            let bracket = p.fenchel(&[b], &[u], s);
            prop_assert!(bracket >= 0.0);
            for step in -50..=50 {
                let c = f64::from(step) * 0.2;
                prop_assert!(bracket >= p.value(&[b]) - p.value(&[c]) + s * u * (c - b) - 1e-9);
            }
        }
    }
}
