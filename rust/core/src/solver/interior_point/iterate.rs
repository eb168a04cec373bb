//! Primal and dual points and their steps.

use super::cone::{Cone, ConeStep, Scaling};
use super::problem::Problem;
use super::system::System;
use crate::simd::axpy;

/// Largest distance from the bounds at the start, in units of t.
const INSIDE: f64 = 0.1;
/// Part of the way to the boundary that a step goes, at least.
const FRACTION: f64 = 0.995;
/// Length below which a corrected step is compared with one towards the centre.
const SHORT: f64 = 0.2;
/// Least part of mu that a predictor counts as promising, to the third power the least that a corrector aims at: below
/// that a full step would leave products that are made of its error.
const LEAST: f64 = 0.03;
/// Part of mu that a step towards the centre aims at.
const SAFE: f64 = 0.5;
/// Least eigenvalue of the product of a cone's points, as a part of mu.
const CENTRED: f64 = 0.01;
/// Least product of a row or bound, as a part of mu.
const PAIRED: f64 = 1e-7;
/// Factor by which a step is shortened until products are that well centred, and how often.
const BACK: f64 = 0.8;
const BACKWARDS: usize = 20;

/// A slack `sign (x_j - end) > 0` and its multiplier.
struct Bound {
    column: usize,
    sign: f64,
    end: f64,
    slack: f64,
    multiplier: f64,
}

/// Points strictly inside.
pub struct Iterate {
    /// Columns and intercept.
    pub x: Vec<f64>,
    /// Parts of the residuals above and below 0, and their multipliers `a = level - theta`, `b = theta + 1 - level`.
    u: Vec<f64>,
    v: Vec<f64>,
    a: Vec<f64>,
    b: Vec<f64>,
    bounds: Vec<Bound>,
    cones: Vec<Cone>,
    /// Part of mu that the product of every bound is driven to.
    bound_share: f64,
    /// Sum of all products, and of their shares.
    products: f64,
    shares: f64,
}

/// Steps of everything; `b` moves against `a`.
struct Step {
    x: Vec<f64>,
    u: Vec<f64>,
    v: Vec<f64>,
    a: Vec<f64>,
    /// Slacks and multipliers.
    bounds: Vec<(f64, f64)>,
    cones: Vec<ConeStep>,
}

/// What a step aims at: a mu, with the second-order part of an earlier step.
struct Aim<'s> {
    mu: f64,
    after: Option<&'s Step>,
}

/// Everything that steps from one point share.
struct Equations<'p> {
    problem: &'p Problem<'p>,
    system: &'p System,
    scalings: Vec<Scaling>,
    residuals: Residuals,
}

/// What a step is to change products by: of every row above and below, with the pull at theta that comes of both, of the
/// bounds, and (scaled) of the cones.
struct Goals {
    lag: Vec<f64>,
    above: Vec<f64>,
    below: Vec<f64>,
    bounds: Vec<f64>,
    cones: Vec<Vec<f64>>,
}

/// Parts of a step that are carried out.
#[derive(Clone, Copy)]
struct Lengths {
    primal: f64,
    dual: f64,
}

impl Lengths {
    fn shorter(self) -> f64 {
        self.primal.min(self.dual)
    }

    fn shortened(self, t: f64) -> Self {
        Self { primal: self.primal.min(t), dual: self.dual.min(t) }
    }
}

impl Iterate {
    /// At the constant fit (moved into the bounds), every product on the central path of mu = 1.
    pub fn start(problem: &Problem<'_>) -> Self {
        let mut x = inner_point(problem);
        x.resize(problem.width(), 0.0);
        let mu = 1.0;
        let fitted = problem.times(&x);
        let residual: Vec<f64> = problem.target.iter().zip(&fitted).map(|(t, f)| t - f).collect();
        let a: Vec<f64> = residual.iter().map(|r| central(r / mu)).collect();
        let b: Vec<f64> = residual.iter().map(|r| central(-r / mu)).collect();
        let bound_share = 1.0 / problem.width() as f64;
        let mut iterate = Self {
            u: a.iter().map(|a| mu / a).collect(),
            v: b.iter().map(|b| mu / b).collect(),
            a,
            b,
            bounds: bounds(problem, &x, bound_share * mu),
            cones: problem.blocks().iter().map(|block| Cone::new(block, &x, mu)).collect(),
            x,
            bound_share,
            products: 0.0,
            shares: 0.0,
        };
        iterate.shares = 2.0 * problem.weight.iter().sum::<f64>()
            + bound_share * iterate.bounds.len() as f64
            + iterate.cones.iter().map(|cone| cone.share).sum::<f64>();
        iterate.products = iterate.sum_of_products(problem);
        iterate
    }

    /// `theta` of the rows of the loss.
    pub fn theta(&self, problem: &Problem<'_>) -> Vec<f64> {
        (0..problem.n).map(|i| self.theta_of(problem, i)).collect()
    }

    fn theta_of(&self, problem: &Problem<'_>, i: usize) -> f64 {
        let level = problem.level_of(i);
        // from the end that is nearer, which keeps the distance from it exact
        if self.a[i] < self.b[i] { level - self.a[i] } else { self.b[i] - (1.0 - level) }
    }

    /// Duality gap of points that are feasible: the sum of all products.
    pub fn path_gap(&self) -> f64 {
        self.products
    }

    /// `D`.
    pub fn stiffness(&self) -> Vec<f64> {
        (0..self.u.len()).map(|i| 1.0 / (self.u[i] / self.a[i] + self.v[i] / self.b[i])).collect()
    }

    /// Adds bounds and cones to the matrix of a step.
    pub fn add_barriers(&self, matrix: &mut [f64], width: usize) {
        for bound in &self.bounds {
            matrix[bound.column * width + bound.column] += bound.multiplier / bound.slack;
        }
        for cone in &self.cones {
            if let Some(scaling) = cone.scaling() {
                cone.add_to(&scaling, matrix, width);
            }
        }
    }

    /// `x` with the coefficients that vanish at 0 and those that meet a bound there.
    pub fn rounded(&self, problem: &Problem<'_>) -> Vec<f64> {
        let mut x = self.x.clone();
        for (i, &j) in (problem.n..).zip(&problem.l1_columns) {
            if self.u[i] / self.a[i] + self.v[i] / self.b[i] < 1.0 {
                x[j] = 0.0;
            }
        }
        for cone in self.cones.iter().filter(|cone| cone.vanishes()) {
            cone.members.iter().for_each(|&j| x[j] = 0.0);
        }
        for bound in self.bounds.iter().filter(|bound| bound.slack < bound.multiplier) {
            x[bound.column] = bound.end;
        }
        x
    }

    /// One step of predictor and corrector, or towards the centre where that is a short one; `None` where rounding
    /// forbids it.
    pub fn advance(&mut self, problem: &Problem<'_>, system: &System) -> Option<()> {
        let scalings: Vec<Scaling> = self.cones.iter().map(Cone::scaling).collect::<Option<_>>()?;
        let equations = Equations { problem, system, scalings, residuals: Residuals::new(self, problem) };
        let mu = self.products / self.shares;
        let predictor = self.step(&equations, &Aim { mu: 0.0, after: None })?;
        let lengths = self.longest(problem, &predictor, 1.0);
        let promised = self.products_after(problem, &predictor, lengths) / self.products;
        let aim = Aim { mu: mu * promised.max(LEAST).powi(3), after: Some(&predictor) };
        let mut step = self.step(&equations, &aim)?;
        let mut lengths = self.centred(problem, &step, mu);
        if lengths.shorter() < SHORT || self.products_after(problem, &step, lengths) > self.products {
            let safe = self.step(&equations, &Aim { mu: SAFE * mu, after: None })?;
            let safe_lengths = self.centred(problem, &safe, mu);
            if safe_lengths.shorter() > lengths.shorter() {
                (step, lengths) = (safe, safe_lengths);
            }
        }
        self.carry_out(&step, lengths);
        self.products = self.sum_of_products(problem);
        (self.products > 0.0 && self.products.is_finite()).then_some(())
    }

    fn step(&self, equations: &Equations<'_>, aim: &Aim<'_>) -> Option<Step> {
        let goals = self.goals(equations, aim);
        let x = equations.system.solve(&self.right_hand_side(equations, &goals))?;
        Some(self.follow(equations, &goals, x))
    }

    /// What the products lack of the aim.
    fn goals(&self, equations: &Equations<'_>, aim: &Aim<'_>) -> Goals {
        let second = |i: usize| aim.after.map_or((0.0, 0.0), |s| (s.u[i] * s.a[i], -s.v[i] * s.a[i]));
        let rows = 0..self.u.len();
        let above: Vec<f64> = rows.clone().map(|i| aim.mu - self.u[i] * self.a[i] - second(i).0).collect();
        let below: Vec<f64> = rows.clone().map(|i| aim.mu - self.v[i] * self.b[i] - second(i).1).collect();
        let lag = |i: usize| equations.residuals.primal[i] - above[i] / self.a[i] + below[i] / self.b[i];
        let lag = rows.map(lag).collect();
        Goals { lag, above, below, bounds: self.bound_aims(aim), cones: self.cone_aims(&equations.scalings, aim) }
    }

    fn right_hand_side(&self, equations: &Equations<'_>, goals: &Goals) -> Vec<f64> {
        let stiff: Vec<f64> = goals.lag.iter().zip(&equations.system.stiffness).map(|(l, d)| l * d).collect();
        let mut rhs = equations.problem.correlate(&stiff);
        axpy(1.0, &equations.residuals.dual, &mut rhs);
        for (bound, goal) in self.bounds.iter().zip(&goals.bounds) {
            rhs[bound.column] += bound.sign * goal / bound.slack;
        }
        for (cone, (scaling, h)) in self.cones.iter().zip(equations.scalings.iter().zip(&goals.cones)) {
            cone.add_pull(scaling, h, &mut rhs);
        }
        rhs
    }

    /// The steps of everything else that go with a step of x.
    fn follow(&self, equations: &Equations<'_>, goals: &Goals, x: Vec<f64>) -> Step {
        let fitted = equations.problem.times(&x);
        let rows = 0..self.u.len();
        let stiffness = &equations.system.stiffness;
        let a: Vec<f64> = rows.clone().map(|i| -stiffness[i] * (goals.lag[i] - fitted[i])).collect();
        let bound_step = |(bound, goal): (&Bound, &f64)| {
            let slack = bound.sign * x[bound.column];
            (slack, (goal - bound.multiplier * slack) / bound.slack)
        };
        let cones = self.cones.iter().zip(equations.scalings.iter().zip(&goals.cones));
        Step {
            u: rows.clone().map(|i| (goals.above[i] - self.u[i] * a[i]) / self.a[i]).collect(),
            v: rows.map(|i| (goals.below[i] + self.v[i] * a[i]) / self.b[i]).collect(),
            a,
            bounds: self.bounds.iter().zip(&goals.bounds).map(bound_step).collect(),
            cones: cones.map(|(cone, (scaling, h))| cone.step(scaling, h, &x)).collect(),
            x,
        }
    }

    fn bound_aims(&self, aim: &Aim<'_>) -> Vec<f64> {
        let second = |i: usize| aim.after.map_or(0.0, |step| step.bounds[i].0 * step.bounds[i].1);
        let goal = |(i, bound): (usize, &Bound)| aim.mu * self.bound_share - bound.slack * bound.multiplier - second(i);
        self.bounds.iter().enumerate().map(goal).collect()
    }

    fn cone_aims(&self, scalings: &[Scaling], aim: &Aim<'_>) -> Vec<Vec<f64>> {
        let goal = |(i, (cone, scaling)): (usize, (&Cone, &Scaling))| {
            cone.aim(scaling, aim.mu * cone.share, aim.after.map(|step| &step.cones[i]))
        };
        self.cones.iter().zip(scalings).enumerate().map(goal).collect()
    }

    /// A part of the way to the boundary, at most 1.
    fn longest(&self, problem: &Problem<'_>, step: &Step, fraction: f64) -> Lengths {
        let mut primal = ratio(&self.u, &step.u, 1.0).min(ratio(&self.v, &step.v, 1.0));
        let mut dual = ratio(&self.a, &step.a, 1.0).min(ratio(&self.b, &step.a, -1.0));
        for (bound, (slack, multiplier)) in self.bounds.iter().zip(&step.bounds) {
            primal = primal.min(ratio(&[bound.slack], &[*slack], 1.0));
            dual = dual.min(ratio(&[bound.multiplier], &[*multiplier], 1.0));
        }
        for (cone, step) in self.cones.iter().zip(&step.cones) {
            let (s, z) = cone.longest(step);
            (primal, dual) = (primal.min(s), dual.min(z));
        }
        let lengths = Lengths { primal: (fraction * primal).min(1.0), dual: (fraction * dual).min(1.0) };
        // quadratic terms tie the dual equations to x, the scaling of a cone its two points to each other
        if problem.is_quadratic() || !self.cones.is_empty() { lengths.shortened(lengths.shorter()) } else { lengths }
    }

    /// Almost the whole way to the boundary, but no further than all products are of the order of mu.
    fn centred(&self, problem: &Problem<'_>, step: &Step, mu: f64) -> Lengths {
        let mut lengths = self.longest(problem, step, FRACTION.max(1.0 - mu));
        for _ in 0..BACKWARDS {
            let mu = self.products_after(problem, step, lengths) / self.shares;
            let cones = self.cones.iter().zip(&step.cones);
            let mut parts = cones.map(|(cone, step)| cone.centrality(step, lengths.primal, lengths.dual));
            if parts.all(|part| part >= CENTRED * mu) && self.least_product(step, lengths) >= PAIRED * mu {
                break;
            }
            lengths = Lengths { primal: BACK * lengths.primal, dual: BACK * lengths.dual };
        }
        lengths
    }

    /// Least product of a row or (as a part of its share) a bound.
    fn least_product(&self, step: &Step, lengths: Lengths) -> f64 {
        let Lengths { primal, dual } = lengths;
        let row = |i: usize| {
            let above = (self.u[i] + primal * step.u[i]) * (self.a[i] + dual * step.a[i]);
            let below = (self.v[i] + primal * step.v[i]) * (self.b[i] - dual * step.a[i]);
            above.min(below)
        };
        let bound = |(bound, (slack, multiplier)): (&Bound, &(f64, f64))| {
            (bound.slack + primal * slack) * (bound.multiplier + dual * multiplier) / self.bound_share
        };
        let bounds = self.bounds.iter().zip(&step.bounds).map(bound);
        (0..self.u.len()).map(row).chain(bounds).fold(f64::INFINITY, f64::min)
    }

    fn sum_of_products(&self, problem: &Problem<'_>) -> f64 {
        let row = |i: usize| problem.weight[i] * (self.u[i] * self.a[i] + self.v[i] * self.b[i]);
        (0..self.u.len()).map(row).sum::<f64>()
            + self.bounds.iter().map(|bound| bound.slack * bound.multiplier).sum::<f64>()
            + self.cones.iter().map(Cone::product).sum::<f64>()
    }

    fn products_after(&self, problem: &Problem<'_>, step: &Step, lengths: Lengths) -> f64 {
        let Lengths { primal, dual } = lengths;
        let row = |i: usize| {
            let above = (self.u[i] + primal * step.u[i]) * (self.a[i] + dual * step.a[i]);
            let below = (self.v[i] + primal * step.v[i]) * (self.b[i] - dual * step.a[i]);
            problem.weight[i] * (above + below)
        };
        let bound = |(bound, (slack, multiplier)): (&Bound, &(f64, f64))| {
            (bound.slack + primal * slack) * (bound.multiplier + dual * multiplier)
        };
        let cones = self.cones.iter().zip(&step.cones).map(|(cone, step)| cone.product_after(step, primal, dual));
        (0..self.u.len()).map(row).sum::<f64>()
            + self.bounds.iter().zip(&step.bounds).map(bound).sum::<f64>()
            + cones.sum::<f64>()
    }

    fn carry_out(&mut self, step: &Step, lengths: Lengths) {
        let Lengths { primal, dual } = lengths;
        axpy(primal, &step.x, &mut self.x);
        axpy(primal, &step.u, &mut self.u);
        axpy(primal, &step.v, &mut self.v);
        axpy(dual, &step.a, &mut self.a);
        axpy(-dual, &step.a, &mut self.b);
        for (bound, (slack, multiplier)) in self.bounds.iter_mut().zip(&step.bounds) {
            bound.slack += primal * slack;
            bound.multiplier += dual * multiplier;
        }
        self.cones.iter_mut().zip(&step.cones).for_each(|(cone, step)| cone.advance(step, primal, dual));
    }
}

/// What is missing in the linear equations.
struct Residuals {
    /// `t - A x - (u - v)`.
    primal: Vec<f64>,
    /// `A' Omega theta - grad` with the multipliers of bounds and cones.
    dual: Vec<f64>,
}

impl Residuals {
    fn new(iterate: &Iterate, problem: &Problem<'_>) -> Self {
        let fitted = problem.times(&iterate.x);
        let primal = (0..fitted.len()).map(|i| problem.target[i] - fitted[i] - (iterate.u[i] - iterate.v[i])).collect();
        let theta: Vec<f64> = (0..fitted.len()).map(|i| iterate.theta_of(problem, i)).collect();
        let mut dual = problem.correlate(&theta);
        axpy(-1.0, &problem.quadratic_slope(&iterate.x), &mut dual);
        iterate.bounds.iter().for_each(|bound| dual[bound.column] += bound.sign * bound.multiplier);
        iterate.cones.iter().for_each(|cone| cone.add_multiplier(&mut dual));
        Self { primal, dual }
    }
}

/// The multiplier a of the central path of mu = 1 at a residual r: `1 / a - 1 / (1 - a) = r`.
fn central(r: f64) -> f64 {
    2.0 / (2.0 + r + (r * r + 4.0).sqrt())
}

/// 0, or the point next to it that is well inside the bounds.
fn inner_point(problem: &Problem<'_>) -> Vec<f64> {
    let penalty = &problem.penalty;
    let inside = |j: usize| {
        let (low, high) = (penalty.lower[j], penalty.upper[j]);
        let margin = INSIDE.min(0.25 * (high - low));
        0.0_f64.max(low + margin).min(high - margin)
    };
    (0..problem.k).map(inside).collect()
}

fn bounds(problem: &Problem<'_>, x: &[f64], product: f64) -> Vec<Bound> {
    let bound = |column: usize, end: f64, sign: f64| {
        let slack = sign * (x[column] - end);
        end.is_finite().then_some(Bound { column, sign, end, slack, multiplier: product / slack })
    };
    let both = |j: usize| [bound(j, problem.penalty.lower[j], 1.0), bound(j, problem.penalty.upper[j], -1.0)];
    (0..problem.k).flat_map(both).flatten().collect()
}

/// Largest t with `v + t sign d >= 0`.
fn ratio(v: &[f64], d: &[f64], sign: f64) -> f64 {
    let shares = v.iter().zip(d).map(|(v, d)| (v, sign * d)).filter(|(_, d)| *d < 0.0);
    shares.map(|(v, d)| -v / d).fold(f64::INFINITY, f64::min)
}
