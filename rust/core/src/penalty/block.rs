//! The norm of a group of columns.

use super::scaled::{ScaledPenalty, soft_threshold};

/// One group norm `weight |(scale_a b_{members_a})_a|`. A scale of 0 leaves a member out.
#[derive(Debug, Clone)]
pub struct Block {
    /// Weight of the norm.
    pub weight: f64,
    /// Columns, ascending.
    pub members: Vec<usize>,
    /// What each member's coefficient is multiplied by within the norm.
    pub scale: Vec<f64>,
}

impl Block {
    /// Whether it penalises anything.
    pub fn is_active(&self) -> bool {
        self.weight > 0.0 && self.scale.iter().any(|s| *s > 0.0)
    }

    /// `|scale b|`.
    pub fn norm(&self, b: &[f64]) -> f64 {
        let largest = self.coordinates(b).fold(0.0, |a: f64, c| a.max(c.abs()));
        if largest == 0.0 {
            0.0
        } else {
            largest * self.coordinates(b).map(|c| (c / largest).powi(2)).sum::<f64>().sqrt()
        }
    }

    fn coordinates<'a>(&'a self, b: &'a [f64]) -> impl Iterator<Item = f64> + 'a {
        self.members.iter().zip(&self.scale).map(|(&j, s)| s * b[j])
    }

    pub(super) fn value(&self, b: &[f64]) -> f64 {
        self.weight * self.norm(b)
    }

    pub(super) fn restrict(&self, place: &[usize]) -> Option<Self> {
        let kept = || (0..self.members.len()).filter(|&a| place[self.members[a]] != usize::MAX);
        let members: Vec<usize> = kept().map(|a| place[self.members[a]]).collect();
        let scale = kept().map(|a| self.scale[a]).collect();
        (!members.is_empty()).then_some(Self { weight: self.weight, members, scale })
    }

    /// Entries of `u` in the coordinates of the norm, with their L1 weights, of the members for which `keep` holds of the
    /// end of their box on the side where u points.
    fn slopes(&self, u: &[f64], penalty: &ScaledPenalty, keep: impl Fn(f64) -> bool) -> Vec<(f64, f64)> {
        let end = |j: usize| if u[j] > 0.0 { penalty.upper[j] } else { penalty.lower[j] };
        let members = self.members.iter().zip(&self.scale).filter(|(j, s)| **s > 0.0 && keep(end(**j)));
        members.map(|(&j, s)| (u[j] / s, penalty.l1[j] / s)).collect()
    }

    /// Largest `s <= 1` with `|soft_threshold(s u, l1)| <= weight` over the members that may move freely.
    pub(super) fn feasible_scale(&self, u: &[f64], penalty: &ScaledPenalty) -> f64 {
        largest_scale(&self.slopes(u, penalty, f64::is_infinite), self.weight)
    }

    /// Least alpha at which a block with slope `u` stays at 0 under alpha times the weights.
    pub fn least_strength(&self, u: &[f64], penalty: &ScaledPenalty) -> f64 {
        let slopes = self.slopes(u, penalty, |end| end != 0.0);
        let excess = |alpha: f64| {
            slopes.iter().map(|(u, l1)| soft_threshold(*u, alpha * l1).powi(2)).sum::<f64>().sqrt()
                - alpha * self.weight
        };
        let top = slopes.iter().map(|(u, _)| u * u).sum::<f64>().sqrt() / self.weight;
        bisect(excess, 0.0, top)
    }

    pub(super) fn share(&self, b: &[f64], scaled: &[f64], penalty: &ScaledPenalty) -> f64 {
        let inside: Vec<usize> = (0..self.members.len()).filter(|&a| self.scale[a] > 0.0).collect();
        let l1: f64 = inside.iter().map(|&a| penalty.l1[self.members[a]] * b[self.members[a]].abs()).sum();
        let linear: f64 = inside.iter().map(|&a| scaled[self.members[a]] * b[self.members[a]]).sum();
        (self.value(b) + l1 - linear + self.conjugate(scaled, penalty)).max(0.0)
    }

    /// How far the slopes of a block at 0 exceed its dual ball: 0 where the block stays there.
    pub fn excess(&self, u: &[f64], penalty: &ScaledPenalty) -> f64 {
        pull(&self.slopes(u, penalty, |end| end != 0.0)) - self.weight
    }

    /// `sup_c u'c - l1 |c|_1 - weight |c|` over the box: 0 where nothing is bounded and u is feasible.
    ///
    /// The maximiser is `c_a = clip(soft_threshold(u_a, l1_a) r / weight)` at the r that equals its norm.
    fn conjugate(&self, u: &[f64], penalty: &ScaledPenalty) -> f64 {
        let slopes = self.slopes(u, penalty, |_| true);
        if pull(&slopes) <= self.weight || !self.members.iter().any(|&j| penalty.is_bounded(j)) {
            return 0.0;
        }
        let inside = self.members.iter().zip(&self.scale).filter(|(_, s)| **s > 0.0);
        let boxes: Vec<(f64, f64)> = inside.map(|(&j, s)| (penalty.lower[j] * s, penalty.upper[j] * s)).collect();
        let at = |r: f64| -> Vec<f64> {
            let point = slopes.iter().zip(&boxes);
            point.map(|((u, l1), (low, high))| (soft_threshold(*u, *l1) * r / self.weight).clamp(*low, *high)).collect()
        };
        let length = |c: &[f64]| c.iter().map(|c| c * c).sum::<f64>().sqrt();
        let mut top = 1.0;
        while length(&at(top)) > top && top < 1e300 {
            top *= 2.0;
        }
        let c = at(bisect(|r| length(&at(r)) - r, f64::MIN_POSITIVE, top));
        let linear: f64 = slopes.iter().zip(&c).map(|((u, l1), c)| u * c - l1 * c.abs()).sum();
        (linear - self.weight * length(&c)).max(0.0)
    }

    /// Takes the norm's gradient from `rest`, or, where the norm is 0, the part of `rest` that its dual ball holds.
    pub(super) fn subtract_slope(&self, b: &[f64], rest: &mut [f64], penalty: &ScaledPenalty) {
        let norm = self.norm(b);
        let length = pull(&self.slopes(rest, penalty, |end| end != 0.0));
        let left = if length > self.weight { 1.0 - self.weight / length } else { 0.0 };
        for (&j, s) in self.members.iter().zip(&self.scale).filter(|(_, s)| **s > 0.0) {
            if norm > 0.0 {
                rest[j] -= self.weight * s * s * b[j] / norm;
            } else {
                // the L1 part is taken away afterwards, column by column
                let l1 = penalty.l1[j].min(rest[j].abs()) * rest[j].signum();
                rest[j] = l1 + left * soft_threshold(rest[j], penalty.l1[j]);
            }
        }
    }
}

/// `|soft_threshold(u, l1)|` over pairs (u, l1).
fn pull(slopes: &[(f64, f64)]) -> f64 {
    slopes.iter().map(|(u, l1)| soft_threshold(*u, *l1).powi(2)).sum::<f64>().sqrt()
}

/// Largest `s <= 1` with `|soft_threshold(s u, l1)| <= weight`.
fn largest_scale(slopes: &[(f64, f64)], weight: f64) -> f64 {
    let length = |s: f64| pull(&slopes.iter().map(|(u, l1)| (s * u, *l1)).collect::<Vec<_>>());
    if length(1.0) <= weight {
        return 1.0;
    }
    if slopes.iter().all(|(_, l1)| *l1 == 0.0) {
        return weight / length(1.0);
    }
    1.0 / bisect(|inverse| length(1.0 / inverse) - weight, 1.0, f64::INFINITY)
}

/// Where a falling function crosses 0, from the side on which it is at most 0: `low` has a value above 0.
fn bisect(f: impl Fn(f64) -> f64, low: f64, high: f64) -> f64 {
    let (mut low, mut high) = (low, high);
    if high.is_infinite() {
        high = 2.0 * low;
        while f(high) > 0.0 {
            (low, high) = (high, 2.0 * high);
        }
    }
    loop {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            return high;
        }
        if f(middle) > 0.0 { low = middle } else { high = middle }
    }
}
