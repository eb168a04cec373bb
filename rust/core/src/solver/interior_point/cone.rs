//! A group norm as a second-order cone.
//!
//! `weight |c|`, `c = S x`, is the least `weight t` over `(t, c)` in the cone `K = {|c| <= t}`. Its multiplier
//! `(weight, z)` lies in K too, and complementarity, `<(t, c), (weight, z)> = 0`, says `z = -weight c / |c|` or c = 0.
//! The scaling W of Nesterov and Todd (1997) takes both points to one, `lambda = W z = W^-1 s`; Newton's method for
//! `lambda o lambda = mu e` in Jordan products is
//!
//! ```text
//! lambda o (W^-1 ds + W dz) = d   <=>   dz = h - W^-2 ds,   h = W^-1 (lambda \ d)
//! W^-2 = (2 (J w)(J w)' - J) / eta^2,   w = (s/|s|_J + J z/|z|_J) / (2 gamma)
//! ```
//!
//! The first entry of z is fixed, which gives dt, and leaves for the columns the matrix
//! `(I - 2 w1 w1' / (2 w0^2 - 1)) / eta^2`.

use crate::penalty::Block;
use crate::simd::dot;

/// A point of the cone and its multiplier, for one group.
pub struct Cone {
    /// Columns of positive scale.
    pub members: Vec<usize>,
    scale: Vec<f64>,
    /// Part of mu that is the goal of their product.
    pub share: f64,
    s: Vec<f64>,
    z: Vec<f64>,
}

/// The scaling at the present points.
pub struct Scaling {
    eta: f64,
    w: Vec<f64>,
    lambda: Vec<f64>,
}

/// A step of both points.
#[derive(Clone)]
pub struct ConeStep {
    s: Vec<f64>,
    z: Vec<f64>,
}

impl Cone {
    /// Centred at `mu` where x is 0.
    pub fn new(block: &Block, x: &[f64], mu: f64) -> Self {
        let inside = || block.members.iter().zip(&block.scale).filter(|(_, s)| **s > 0.0);
        let scale: Vec<f64> = inside().map(|(_, s)| *s).collect();
        let typical = (dot(&scale, &scale) / scale.len() as f64).sqrt();
        let mut s = vec![0.0];
        s.extend(inside().map(|(&j, scale)| scale * x[j]));
        s[0] = (dot(&s, &s) + (mu * typical).powi(2)).sqrt();
        let mut z = vec![0.0; s.len()];
        z[0] = block.weight;
        Self { members: inside().map(|(&j, _)| j).collect(), scale, share: block.weight * typical, s, z }
    }

    /// Product of the points.
    pub fn product(&self) -> f64 {
        dot(&self.s, &self.z)
    }

    /// Product after steps.
    pub fn product_after(&self, step: &ConeStep, primal: f64, dual: f64) -> f64 {
        dot(&moved(&self.s, &step.s, primal), &moved(&self.z, &step.z, dual))
    }

    /// The scaling; `None` where rounding has brought a point onto the boundary.
    pub fn scaling(&self) -> Option<Scaling> {
        let (s_norm, z_norm) = (norm(&self.s)?, norm(&self.z)?);
        let gamma = (0.5 * (1.0 + dot(&self.s, &self.z) / (s_norm * z_norm))).sqrt();
        let mixed = |(i, (s, z)): (usize, (&f64, &f64))| {
            let z = if i == 0 { *z } else { -z };
            (s / s_norm + z / z_norm) / (2.0 * gamma)
        };
        let w = self.s.iter().zip(&self.z).enumerate().map(mixed).collect();
        let mut scaling = Scaling { eta: (s_norm / z_norm).sqrt(), w, lambda: vec![] };
        scaling.lambda = scaling.times(&self.z);
        Some(scaling)
    }

    /// `h` of the step to `lambda o lambda = target e`, less the second-order part of an earlier `step`.
    pub fn aim(&self, scaling: &Scaling, target: f64, step: Option<&ConeStep>) -> Vec<f64> {
        let mut d: Vec<f64> = jordan(&scaling.lambda, &scaling.lambda).iter().map(|v| -v).collect();
        if let Some(step) = step {
            let second = jordan(&scaling.divide(&step.s), &scaling.times(&step.z));
            d.iter_mut().zip(second).for_each(|(d, v)| *d -= v);
        }
        d[0] += target;
        scaling.divide(&jordan_divide(&scaling.lambda, &d))
    }

    /// Adds its matrix to one over `width` unknowns.
    pub fn add_to(&self, scaling: &Scaling, matrix: &mut [f64], width: usize) {
        let w1 = &scaling.w[1..];
        let radial = 2.0 / scaling.pole();
        for (a, &j) in self.members.iter().enumerate() {
            for (b, &i) in self.members.iter().enumerate() {
                let unit = if a == b { 1.0 } else { 0.0 };
                matrix[j * width + i] +=
                    self.scale[a] * self.scale[b] * (unit - radial * w1[a] * w1[b]) / scaling.eta.powi(2);
            }
        }
    }

    /// Adds what `h` pulls at the columns.
    pub fn add_pull(&self, scaling: &Scaling, h: &[f64], slope: &mut [f64]) {
        self.scatter(&scaling.pull(h), slope);
    }

    /// Adds the multiplier's pull at the columns.
    pub fn add_multiplier(&self, slope: &mut [f64]) {
        self.scatter(&self.z[1..], slope);
    }

    fn scatter(&self, values: &[f64], slope: &mut [f64]) {
        for ((&j, scale), v) in self.members.iter().zip(&self.scale).zip(values) {
            slope[j] += scale * v;
        }
    }

    /// The step that goes with a step `dx` of the columns.
    pub fn step(&self, scaling: &Scaling, h: &[f64], dx: &[f64]) -> ConeStep {
        let dc: Vec<f64> = self.members.iter().zip(&self.scale).map(|(&j, scale)| scale * dx[j]).collect();
        let along = dot(&scaling.w[1..], &dc);
        let square = scaling.eta.powi(2);
        let dt = (h[0] * square + 2.0 * scaling.w[0] * along) / scaling.pole();
        let radial = 2.0 * along / scaling.pole();
        let pulls = scaling.pull(h);
        let dz = pulls.iter().zip(&dc).zip(&scaling.w[1..]).map(|((pull, c), w)| pull - (c - radial * w) / square);
        ConeStep { z: std::iter::once(0.0).chain(dz).collect(), s: std::iter::once(dt).chain(dc).collect() }
    }

    /// Longest steps within the cone.
    pub fn longest(&self, step: &ConeStep) -> (f64, f64) {
        (longest(&self.s, &step.s), longest(&self.z, &step.z))
    }

    /// Carries a step out.
    pub fn advance(&mut self, step: &ConeStep, primal: f64, dual: f64) {
        self.s = moved(&self.s, &step.s, primal);
        self.z = moved(&self.z, &step.z, dual);
    }

    /// Smaller eigenvalue of `lambda o lambda` after steps, as a part of the share.
    pub fn centrality(&self, step: &ConeStep, primal: f64, dual: f64) -> f64 {
        let (s, z) = (moved(&self.s, &step.s, primal), moved(&self.z, &step.z, dual));
        let (Some(ns), Some(nz)) = (norm(&s), norm(&z)) else { return 0.0 };
        let (product, det) = (dot(&s, &z), (ns * nz).powi(2));
        det / (product + (product * product - det).max(0.0).sqrt()) / self.share
    }

    /// Whether the norm is on its way to 0: it is smaller, in the units of the columns, than what its multiplier has to
    /// spare, in units of the weight.
    pub fn vanishes(&self) -> bool {
        let typical = self.share / self.z[0];
        let spare = 1.0 - dot(&self.z[1..], &self.z[1..]).sqrt() / self.z[0];
        self.s[0] < spare * typical
    }
}

impl Scaling {
    /// `2 w0^2 - 1 = w0^2 + |w1|^2`.
    fn pole(&self) -> f64 {
        dot(&self.w, &self.w)
    }

    fn pull(&self, h: &[f64]) -> Vec<f64> {
        let tilt = 2.0 * self.w[0] * h[0] / self.pole();
        h[1..].iter().zip(&self.w[1..]).map(|(h, w)| h + tilt * w).collect()
    }

    /// `W v`.
    fn times(&self, v: &[f64]) -> Vec<f64> {
        let along = dot(&self.w[1..], &v[1..]);
        let share = v[0] + along / (1.0 + self.w[0]);
        let rest = v[1..].iter().zip(&self.w[1..]).map(|(v, w)| self.eta * (v + share * w));
        std::iter::once(self.eta * (self.w[0] * v[0] + along)).chain(rest).collect()
    }

    /// `W^-1 v`.
    fn divide(&self, v: &[f64]) -> Vec<f64> {
        let along = dot(&self.w[1..], &v[1..]);
        let share = along / (1.0 + self.w[0]) - v[0];
        let rest = v[1..].iter().zip(&self.w[1..]).map(|(v, w)| (v + share * w) / self.eta);
        std::iter::once((self.w[0] * v[0] - along) / self.eta).chain(rest).collect()
    }
}

/// `sqrt(v0^2 - |v1|^2)` inside the cone.
fn norm(v: &[f64]) -> Option<f64> {
    let rest = dot(&v[1..], &v[1..]).sqrt();
    let square = (v[0] - rest) * (v[0] + rest);
    (v[0] > rest && square > 0.0).then(|| square.sqrt())
}

fn moved(v: &[f64], d: &[f64], t: f64) -> Vec<f64> {
    v.iter().zip(d).map(|(v, d)| v + t * d).collect()
}

/// Jordan product.
fn jordan(a: &[f64], b: &[f64]) -> Vec<f64> {
    let rest = a[1..].iter().zip(&b[1..]).map(|(x, y)| a[0] * y + b[0] * x);
    std::iter::once(dot(a, b)).chain(rest).collect()
}

/// x of `a o x = d`.
fn jordan_divide(a: &[f64], d: &[f64]) -> Vec<f64> {
    let rest = dot(&a[1..], &a[1..]).sqrt();
    let first = (a[0] * d[0] - dot(&a[1..], &d[1..])) / ((a[0] - rest) * (a[0] + rest));
    std::iter::once(first).chain(d[1..].iter().zip(&a[1..]).map(|(d, a1)| (d - first * a1) / a[0])).collect()
}

/// Largest t with `v + t d` in the cone: the first root of `C + 2 B t + A t^2`.
fn longest(v: &[f64], d: &[f64]) -> f64 {
    let form = |a: &[f64], b: &[f64]| a[0] * b[0] - dot(&a[1..], &b[1..]);
    let (a, b, c) = (form(d, d), form(v, d), norm(v).map_or(0.0, |norm| norm * norm));
    let root = (b * b - a * c).max(0.0).sqrt() - b;
    let crosses = a < 0.0 || (b < 0.0 && b * b >= a * c);
    if crosses && root > 0.0 { c / root } else { f64::INFINITY }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cone far from the centre.
    fn cone() -> Cone {
        let (s, z) = (vec![1.3, 0.9, -0.5, 0.7], vec![0.5, -0.2, 0.1, -0.44]);
        Cone { members: vec![0, 2, 3], scale: vec![1.0, 0.5, 2.0], share: 0.5, s, z }
    }

    fn close(a: &[f64], b: &[f64]) -> bool {
        a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-12)
    }

    #[test]
    fn both_points_are_scaled_to_the_same_one() {
        let cone = cone();
        let scaling = cone.scaling().unwrap();
        assert!(close(&scaling.lambda, &scaling.divide(&cone.s)));
        assert!(close(&scaling.times(&scaling.divide(&cone.s)), &cone.s));
        assert!((dot(&scaling.lambda, &scaling.lambda) - cone.product()).abs() < 1e-12);
    }

    #[test]
    fn a_step_solves_the_linearised_equation() {
        let cone = cone();
        let scaling = cone.scaling().unwrap();
        let dx = [0.3, 9.0, -0.2, 0.1];
        let h = cone.aim(&scaling, 0.07, None);
        let step = cone.step(&scaling, &h, &dx);
        let moved: Vec<f64> = scaling.divide(&step.s).iter().zip(scaling.times(&step.z)).map(|(s, z)| s + z).collect();
        let mut goal: Vec<f64> = jordan(&scaling.lambda, &scaling.lambda).iter().map(|v| -v).collect();
        goal[0] += 0.07;
        assert!(close(&jordan(&scaling.lambda, &moved), &goal));
        assert!(step.z[0] == 0.0 && close(&step.s[1..], &[0.3, -0.1, 0.2]));
        // what the step does to the columns' equations is what matrix and pull say
        let (mut matrix, mut pull) = (vec![0.0; 16], vec![0.0; 4]);
        cone.add_to(&scaling, &mut matrix, 4);
        cone.add_pull(&scaling, &h, &mut pull);
        let by_step = [step.z[1], 0.0, 0.5 * step.z[2], 2.0 * step.z[3]];
        let by_matrix: Vec<f64> =
            (0..4).map(|i| pull[i] - (0..4).map(|j| matrix[j * 4 + i] * dx[j]).sum::<f64>()).collect();
        assert!(close(&by_step, &by_matrix));
    }

    #[test]
    fn the_longest_step_ends_at_the_boundary() {
        let (v, d) = ([1.0, 0.5, 0.2], [-0.3, 0.4, 0.1]);
        let t = longest(&v, &d);
        let end = moved(&v, &d, t);
        assert!((end[0] - dot(&end[1..], &end[1..]).sqrt()).abs() < 1e-14);
        assert!(longest(&v, &[1.0, 0.3, 0.3]).is_infinite());
    }
}
