//! A penalty at one strength in solver coordinates: columns scaled, centre moved to 0.

use std::sync::Arc;

use super::block::Block;
use super::metric::Metric;

/// `sum_j l1_j |b_j| + l2_j b_j^2 / 2  +  sum_g weight_g |scale b|_g  +  b' M b / 2` over the box `lower <= b <= upper`,
/// which holds 0.
#[derive(Debug, Clone, Default)]
pub struct ScaledPenalty {
    /// Weight of `|b_j|`.
    pub l1: Vec<f64>,
    /// Weight of `b_j^2 / 2`.
    pub l2: Vec<f64>,
    /// Lower bounds, at most 0.
    pub lower: Vec<f64>,
    /// Upper bounds, at least 0.
    pub upper: Vec<f64>,
    /// Group norms over disjoint columns.
    pub blocks: Vec<Block>,
    /// Strength and metric of the quadratic form M.
    pub metric: Option<(f64, Arc<Metric>)>,
}

/// Directions in which a penalty neither grows nor ends: they are projected out of the dual point.
#[derive(Debug, Clone, Default)]
pub struct Directions {
    /// Columns.
    pub columns: Vec<usize>,
    /// Combinations of columns, as vectors over all of them.
    pub combined: Vec<Vec<f64>>,
}

impl Directions {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty() && self.combined.is_empty()
    }
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

/// Part of the largest correlation below which another one is rounding.
const ROUNDING: f64 = 1e-13;

/// `l1 |b| - (u - t) b + (l2 b - t)^2 / (2 l2)`, the share of a column without bounds.
#[inline(always)]
fn open_share(b: f64, u: f64, l1: f64, l2: f64) -> f64 {
    let within = if u > l1 { l1 } else { u };
    let within = if within < -l1 { -l1 } else { within };
    let (t, linear) = (u - within, l1 * b.abs() - within * b);
    let off = l2 * b - t;
    // without a square the domain ends at l1: what is beyond by rounding of s is no distance
    let square = if l2 == 0.0 { 0.0 } else { off * off / (2.0 * l2) };
    square + if linear > 0.0 { linear } else { 0.0 }
}

/// Sum of a function of four entries of each column, in four running sums that fill a register.
#[inline(always)]
fn sum_by_column(of: [&[f64]; 4], value: impl Fn([f64; 4]) -> f64) -> f64 {
    pulp::Arch::new().dispatch(
        #[inline(always)]
        || {
            let k = of[0].len();
            let [a, b, c, d] = of.map(|values| values[..k].as_chunks::<4>());
            let mut sums = [0.0; 4];
            for ((a, b), (c, d)) in a.0.iter().zip(b.0).zip(c.0.iter().zip(d.0)) {
                for lane in 0..4 {
                    sums[lane] += value([a[lane], b[lane], c[lane], d[lane]]);
                }
            }
            let tail = (0..a.1.len()).map(|i| value([a.1[i], b.1[i], c.1[i], d.1[i]])).sum::<f64>();
            (sums[0] + sums[1]) + (sums[2] + sums[3]) + tail
        },
    )
}

#[inline(always)]
fn noise(u: &[f64], rounding: f64) -> f64 {
    u.iter().fold(rounding, |a: f64, v| a.max(ROUNDING * v.abs()))
}

impl ScaledPenalty {
    /// No penalty and no bounds on `k` columns.
    pub fn none(k: usize) -> Self {
        Self::separable(vec![0.0; k], vec![0.0; k])
    }

    /// An elastic net without bounds.
    pub fn separable(l1: Vec<f64>, l2: Vec<f64>) -> Self {
        let k = l1.len();
        Self { l1, l2, lower: vec![f64::NEG_INFINITY; k], upper: vec![f64::INFINITY; k], blocks: vec![], metric: None }
    }

    /// Becomes `alpha` times a penalty of the same shape; a metric that costs nothing is none.
    pub fn scale_from(&mut self, unit: &Self, alpha: f64) {
        let scale = |out: &mut Vec<f64>, values: &[f64]| out.iter_mut().zip(values).for_each(|(o, v)| *o = alpha * v);
        scale(&mut self.l1, &unit.l1);
        scale(&mut self.l2, &unit.l2);
        self.blocks.iter_mut().zip(&unit.blocks).for_each(|(block, unit)| block.weight = alpha * unit.weight);
        self.metric = unit.metric.as_ref().filter(|_| alpha > 0.0).map(|(one, metric)| (alpha * one, metric.clone()));
    }

    /// Number of columns.
    pub fn n_columns(&self) -> usize {
        self.l1.len()
    }

    /// Value at `b`.
    pub fn value(&self, b: &[f64]) -> f64 {
        self.separable_value(b) + self.blocks.iter().map(|g| g.value(b)).sum::<f64>() + self.quadratic_value(b)
    }

    fn separable_value(&self, b: &[f64]) -> f64 {
        sum_by_column([b, b, &self.l1, &self.l2], |[b, _, l1, l2]| l1 * b.abs() + 0.5 * l2 * b * b)
    }

    fn term(&self, j: usize, b: f64) -> f64 {
        self.l1[j] * b.abs() + 0.5 * self.l2[j] * b * b
    }

    /// The terms of column j alone, infinite outside its box.
    pub(crate) fn bounded_value(&self, j: usize, b: f64) -> f64 {
        if b < self.lower[j] || b > self.upper[j] { f64::INFINITY } else { self.term(j, b) }
    }

    fn quadratic_value(&self, b: &[f64]) -> f64 {
        self.metric.as_ref().map_or(0.0, |(alpha, metric)| 0.5 * alpha * metric.form(b))
    }

    /// A matrix R, column-major, with `R'R` the second derivatives of the quadratic terms.
    pub fn quadratic_root(&self) -> Vec<f64> {
        if let Some((alpha, metric)) = &self.metric {
            return metric.root(*alpha);
        }
        let k = self.n_columns();
        let mut root = vec![0.0; k * k];
        self.l2.iter().enumerate().for_each(|(j, l2)| root[j * k + j] = l2.sqrt());
        root
    }

    /// Adds the second derivatives of the quadratic terms to a matrix.
    pub fn add_quadratic_to(&self, gram: &mut [f64]) {
        let k = self.n_columns();
        self.l2.iter().enumerate().for_each(|(j, l2)| gram[j * k + j] += l2);
        if let Some((alpha, metric)) = &self.metric {
            metric.add_to(gram, *alpha);
        }
    }

    /// Gradient of the quadratic terms.
    pub fn quadratic_slope(&self, b: &[f64]) -> Vec<f64> {
        let mut slope: Vec<f64> = self.l2.iter().zip(b).map(|(l2, b)| l2 * b).collect();
        if let Some((alpha, metric)) = &self.metric {
            crate::simd::axpy(*alpha, &metric.times(b), &mut slope);
        }
        slope
    }

    /// Whether there is a bound on column j.
    pub fn is_bounded(&self, j: usize) -> bool {
        self.lower[j].is_finite() || self.upper[j].is_finite()
    }

    /// Whether there is none at all.
    fn is_open(&self) -> bool {
        self.lower.iter().fold(true, |open, low| open & (*low == f64::NEG_INFINITY))
            & self.upper.iter().fold(true, |open, high| open & (*high == f64::INFINITY))
    }

    /// Whether it is a smooth function on all of space.
    pub fn is_smooth(&self) -> bool {
        let smooth = |j: usize| self.l1[j] == 0.0 && !self.is_bounded(j);
        (0..self.n_columns()).all(smooth) && self.blocks.iter().all(|g| !g.is_active())
    }

    /// Whether it is a sum of functions of single columns.
    pub fn is_separable(&self) -> bool {
        self.metric.is_none() && self.blocks.iter().all(|g| !g.is_active())
    }

    /// Whether it is that, and every column has a weight.
    fn is_plain(&self) -> bool {
        let is_free = |[l1, l2, ..]: [f64; 4]| f64::from(u8::from((l1 == 0.0) & (l2 == 0.0)));
        self.is_separable() && sum_by_column([&self.l1, &self.l2, &self.l1, &self.l2], is_free) == 0.0
    }

    /// Whether coordinate descent finds its way: every column for itself, and none without a penalty.
    pub fn is_descended(&self) -> bool {
        let is_penalised = |j: usize| self.l1[j] > 0.0;
        self.metric.is_none() && !self.blocks.iter().any(Block::is_active) && (0..self.n_columns()).all(is_penalised)
    }

    /// Whether the columns of the same number as the entries of `true` carry a group norm.
    pub fn in_block(&self) -> Vec<bool> {
        let mut inside = vec![false; self.n_columns()];
        for block in self.blocks.iter().filter(|g| g.is_active()) {
            for (&j, scale) in block.members.iter().zip(&block.scale) {
                inside[j] = *scale > 0.0;
            }
        }
        inside
    }

    /// Columns without any penalty, bounded or not.
    pub fn unpenalised(&self) -> Vec<bool> {
        let inside = self.in_block();
        (0..self.n_columns())
            .map(|j| self.l1[j] == 0.0 && self.l2[j] == 0.0 && !inside[j] && self.metric.is_none())
            .collect()
    }

    /// Directions to be projected out of the dual point at `b`: unpenalised columns without bounds, those with one
    /// bound that they do not touch (on the other side any multiplier would make the dual value infinite), and the
    /// null space of the metric on the columns that touch no bound.
    pub fn directions(&self, b: &[f64]) -> Directions {
        if let Some((_, metric)) = &self.metric {
            let touches = |j: usize| b[j] <= self.lower[j] || b[j] >= self.upper[j];
            let held: Vec<bool> = (0..b.len()).map(touches).collect();
            return Directions { columns: vec![], combined: metric.null_space(&held) };
        }
        let open = |j: usize| {
            let (low, high) = (self.lower[j], self.upper[j]);
            (low.is_infinite() && b[j] < high) || (high.is_infinite() && b[j] > low)
        };
        if self.is_plain() {
            return Directions::default();
        }
        let unpenalised = self.unpenalised();
        Directions { columns: (0..b.len()).filter(|&j| unpenalised[j] && open(j)).collect(), combined: vec![] }
    }

    /// Combinations of columns without bounds that a metric does not penalise.
    pub fn unbounded_combinations(&self) -> Vec<Vec<f64>> {
        let bounded: Vec<bool> = (0..self.n_columns()).map(|j| self.is_bounded(j)).collect();
        self.metric.as_ref().map_or_else(Vec::new, |(_, metric)| metric.null_space(&bounded))
    }

    /// Minimiser of `a b^2 / 2 - z b` plus the terms and bounds of column j.
    #[inline(always)]
    pub fn prox(&self, j: usize, z: f64, a: f64) -> f64 {
        (soft_threshold(z, self.l1[j]) / (a + self.l2[j])).clamp(self.lower[j], self.upper[j])
    }

    /// The same penalty on some columns, all others at 0.
    pub fn restrict(&self, set: &[usize]) -> Self {
        let pick = |values: &[f64]| set.iter().map(|&j| values[j]).collect();
        let mut place = vec![usize::MAX; self.n_columns()];
        set.iter().enumerate().for_each(|(a, &j)| place[j] = a);
        let blocks = self.blocks.iter().filter_map(|block| block.restrict(&place)).collect();
        let metric = self.metric.as_ref().map(|(alpha, metric)| (*alpha, Arc::new(metric.restrict(set))));
        Self {
            l1: pick(&self.l1),
            l2: pick(&self.l2),
            lower: pick(&self.lower),
            upper: pick(&self.upper),
            blocks,
            metric,
        }
    }

    /// Largest `s` in \[0, 1\] with `s u` in the domain of the conjugate; `free` columns have been projected out, and
    /// entries up to `rounding` count as 0.
    pub fn feasible_scale(&self, u: &[f64], free: &Directions, rounding: f64) -> f64 {
        if self.metric.is_some() {
            return 1.0;
        }
        if self.is_plain() {
            return self.plain_scale(u, rounding);
        }
        let noise = noise(u, rounding);
        let mut skip = self.in_block();
        free.columns.iter().for_each(|&j| skip[j] = true);
        let bound = |j: usize| if skip[j] { 1.0 } else { self.scale_bound(j, u[j], noise) };
        let separable = (0..u.len()).map(bound).fold(1.0, f64::min);
        self.blocks.iter().filter(|g| g.is_active()).map(|g| g.feasible_scale(u, self)).fold(separable, f64::min)
    }

    /// Largest `s <= 1` for which the conjugate of column j's terms is finite at `s u`.
    #[inline(always)]
    fn scale_bound(&self, j: usize, u: f64, noise: f64) -> f64 {
        if self.l2[j] > 0.0 || u.abs() <= self.l1[j].max(noise) {
            return 1.0;
        }
        let is_open = if u > 0.0 { self.upper[j].is_infinite() } else { self.lower[j].is_infinite() };
        if is_open { self.l1[j] / u.abs() } else { 1.0 }
    }

    /// [`Self::feasible_scale`] and [`Self::fenchel`] of a separable penalty on every column.
    pub fn plain_fenchel(&self, b: &[f64], u: &[f64], rounding: f64) -> Option<(f64, f64)> {
        self.is_plain().then(|| {
            let s = self.plain_scale(u, rounding);
            (s, self.plain_bracket(b, u, s))
        })
    }

    fn plain_scale(&self, u: &[f64], rounding: f64) -> f64 {
        let noise = noise(u, rounding);
        let is_beyond = |[u, l1, l2, _]: [f64; 4]| f64::from(u8::from((l2 <= 0.0) & (u.abs() > l1.max(noise))));
        if sum_by_column([u, &self.l1, &self.l2, u], is_beyond) == 0.0 {
            return 1.0;
        }
        (0..u.len()).map(|j| self.scale_bound(j, u[j], noise)).fold(1.0, f64::min)
    }

    fn plain_bracket(&self, b: &[f64], u: &[f64], s: f64) -> f64 {
        if self.is_open() {
            return sum_by_column([b, u, &self.l1, &self.l2], |[b, u, l1, l2]| open_share(b, s * u, l1, l2));
        }
        (0..b.len()).map(|j| self.share(j, b[j], s * u[j])).sum()
    }

    /// `Omega(b) + Omega*(s u) - s u' b`, each term's share at least 0, the conjugate being the supremum over the box.
    ///
    /// Without bounds, with `t = soft_threshold(u, l1)`, the share of a column is
    /// `l1 |b| - (u - t) b + (l2 b - t)^2 / (2 l2)`.
    pub fn fenchel(&self, b: &[f64], u: &[f64], s: f64, free: &Directions, rounding: f64) -> f64 {
        if let Some((alpha, metric)) = &self.metric {
            let scaled: Vec<f64> = u.iter().map(|u| s * u).collect();
            return metric.fenchel(*alpha, b, &scaled, (&self.lower, &self.upper), rounding);
        }
        if self.is_plain() {
            return self.plain_bracket(b, u, s);
        }
        let mut skip = self.in_block();
        free.columns.iter().for_each(|&j| skip[j] = true);
        let separable: f64 = (0..b.len()).filter(|&j| !skip[j]).map(|j| self.share(j, b[j], s * u[j])).sum();
        if self.blocks.is_empty() {
            return separable;
        }
        let scaled: Vec<f64> = u.iter().map(|u| s * u).collect();
        separable + self.blocks.iter().filter(|g| g.is_active()).map(|g| g.share(b, &scaled, self)).sum::<f64>()
    }

    fn share(&self, j: usize, b: f64, u: f64) -> f64 {
        if self.is_bounded(j) {
            return self.bounded_share(j, b, u);
        }
        open_share(b, u, self.l1[j], self.l2[j])
    }

    /// `f(b) - f(c) - u (b - c)` with c the point of the box where `u c - f(c)` is largest.
    fn bounded_share(&self, j: usize, b: f64, u: f64) -> f64 {
        let t = soft_threshold(u, self.l1[j]);
        let c = if t == 0.0 { 0.0 } else { (t / self.l2[j]).clamp(self.lower[j], self.upper[j]) };
        // beyond the domain by rounding of s only
        let c = if c.is_finite() { c } else { 0.0 };
        (self.term(j, b) - self.term(j, c) - u * (b - c)).max(0.0)
    }

    /// Distance of `slope = -grad loss` from the subdifferential of the penalty over its box at `b`, column by column.
    /// A member of a block whose norm is 0 gets its share of how far the block's slope lies outside the dual ball.
    pub fn violations(&self, b: &[f64], slope: &[f64]) -> Vec<f64> {
        let mut rest: Vec<f64> = slope.iter().zip(self.quadratic_slope(b)).map(|(s, q)| s - q).collect();
        for block in self.blocks.iter().filter(|g| g.is_active()) {
            block.subtract_slope(b, &mut rest, self);
        }
        (0..b.len()).map(|j| self.off_at(j, b[j], rest[j])).collect()
    }

    /// The largest of these, each in the `units` of its column.
    pub fn largest_violation(&self, b: &[f64], slope: &[f64], units: impl Fn(usize) -> f64) -> f64 {
        if !self.is_separable() {
            let off = self.violations(b, slope);
            return off.iter().enumerate().map(|(j, off)| off / units(j)).fold(0.0, f64::max);
        }
        let off = |j: usize| self.off_at(j, b[j], slope[j] - self.l2[j] * b[j]) / units(j);
        (0..b.len()).map(off).fold(0.0, f64::max)
    }

    /// How far `rest` lies from `l1 sign(b)` plus the normal cone of the box at b.
    #[inline(always)]
    pub(crate) fn off_at(&self, j: usize, b: f64, rest: f64) -> f64 {
        let l1 = self.l1[j];
        if b > self.lower[j] && b < self.upper[j] {
            return if b == 0.0 { (rest.abs() - l1).max(0.0) } else { (rest - l1.copysign(b)).abs() };
        }
        let (low, high) = if b == 0.0 { (-l1, l1) } else { (l1 * b.signum(), l1 * b.signum()) };
        let low = if b <= self.lower[j] { f64::NEG_INFINITY } else { low };
        let high = if b >= self.upper[j] { f64::INFINITY } else { high };
        (low - rest).max(rest - high).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn prox_is_the_minimiser(
            z in -5.0..5.0f64, a in 0.1..4.0f64, l1 in 0.0..3.0f64, l2 in 0.0..3.0f64, low in -1.0..0.0f64, high in 0.0..9.0f64,
        ) {
            let mut p = ScaledPenalty::separable(vec![l1], vec![l2]);
            (p.lower, p.upper) = (vec![low], vec![high]);
            let f = |b: f64| 0.5 * a * b * b - z * b + p.value(&[b]);
            let best = p.prox(0, z, a);
            for step in [-1e-3, -1e-5, 1e-5, 1e-3] {
                prop_assert!(f(best) <= f((best + step).clamp(low, high)) + 1e-14);
            }
        }

        /// The bracket bounds `Omega(b) - Omega(c) + u'(c - b)` for every c of the box, and some c comes close to it.
        #[test]
        fn brackets_are_suprema(
            b in prop::collection::vec(-2.0..2.0f64, 3), u in prop::collection::vec(-5.0..5.0f64, 3),
            l1 in 0.0..2.0f64, l2 in 0.0..2.0f64, weight in 0.0..3.0f64, ends in prop::collection::vec(0.2..4.0f64, 6),
            grouped: bool, kind in 0usize..4,
        ) {
            let l2 = if grouped || l2 < 0.5 { 0.0 } else { l2 };
            let mut p = ScaledPenalty::separable(vec![l1; 3], vec![l2; 3]);
            for j in 0..3 {
                p.upper[j] = if kind % 2 == 1 { ends[j] } else { f64::INFINITY };
                p.lower[j] = if kind > 1 { -ends[3 + j] } else { f64::NEG_INFINITY };
            }
            if grouped {
                p.blocks.push(Block { weight, members: vec![0, 1], scale: vec![1.0, 0.5] });
            }
            let free = p.directions(&[0.0; 3]);
            let b: Vec<f64> = (0..3).map(|j| b[j].clamp(p.lower[j], p.upper[j])).collect();
            let s = p.feasible_scale(&u, &free, 0.0);
            let bracket = p.fenchel(&b, &u, s, &free, 0.0);
            let mut best = 0.0f64;
            for step in 0..9261 {
                let c: Vec<f64> = (0..3).map(|j| {
                    let share = f64::from((step / [1, 21, 441][j]) % 21) / 20.0;
                    let (low, high) = (p.lower[j].max(-4.0), p.upper[j].min(4.0));
                    low + share * (high - low)
                }).collect();
                let linear: f64 = (0..3).map(|j| s * u[j] * (c[j] - b[j])).sum();
                best = best.max(p.value(&b) - p.value(&c) + linear);
            }
            prop_assert!(bracket >= best - 1e-9, "{} is no bound of {}", bracket, best);
            prop_assert!(kind != 3 || bracket <= best + 2.5, "{} is far above {}", bracket, best);
        }
    }

    #[test]
    fn a_strength_that_keeps_a_block_at_0_is_the_least() {
        let mut p = ScaledPenalty::separable(vec![0.3; 2], vec![0.0; 2]);
        p.blocks.push(Block { weight: 0.9, members: vec![0, 1], scale: vec![1.0, 2.0] });
        let u = [1.7, -2.2];
        let alpha = p.blocks[0].least_strength(&u, &p);
        for (factor, stays) in [(1.0 + 1e-12, true), (1.0 - 1e-12, false)] {
            let mut scaled = p.clone();
            scaled.l1.iter_mut().for_each(|l1| *l1 *= factor * alpha);
            scaled.blocks[0].weight *= factor * alpha;
            assert_eq!(scaled.blocks[0].excess(&u, &scaled) <= 0.0, stays);
        }
    }
}
