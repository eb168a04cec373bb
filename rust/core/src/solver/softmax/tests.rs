use std::sync::atomic::AtomicBool;

use proptest::prelude::*;

use super::*;
use crate::certificate::duality_gap;
use crate::linalg::Cholesky;
use crate::loss::Logistic;
use crate::penalty::{ScaledPenalty, soft_threshold};
use crate::solver::newton::{Report, Status, Stop, fit, fit_null};
use crate::solver::{Glm, PIVOT_FLOOR};

/// A small problem with plain formulas of its own.
#[derive(Debug, Clone)]
struct Problem {
    k: usize,
    /// Columns, n values each.
    z: Vec<Vec<f64>>,
    y: Vec<f64>,
    omega: Vec<f64>,
    base: Vec<f64>,
    fit_intercept: bool,
}

impl Problem {
    fn model(&self) -> Softmax<'_> {
        let columns = self.z.iter().map(|z| Column::Dense(z)).collect();
        Softmax::new(self.k, columns, &self.y, &self.omega, self.base.clone(), self.fit_intercept)
    }

    fn size(&self) -> usize {
        self.k * self.z.len()
    }

    /// Coefficients of the intercepts follow those of the columns.
    fn eta(&self, i: usize, b: &[f64], a: &[f64]) -> Vec<f64> {
        let (n, p) = (self.y.len(), self.z.len());
        let linear = |k: usize| (0..p).map(|j| self.z[j][i] * b[k * p + j]).sum::<f64>();
        (0..self.k).map(|k| self.base[k * n + i] + a[k] + linear(k)).collect()
    }

    fn probabilities(&self, i: usize, b: &[f64], a: &[f64]) -> Vec<f64> {
        let eta = self.eta(i, b, a);
        let top = eta.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = eta.iter().map(|e| (e - top).exp()).sum();
        eta.iter().map(|e| (e - top).exp() / sum).collect()
    }

    fn loss(&self, b: &[f64], a: &[f64]) -> f64 {
        let row = |i: usize| {
            let eta = self.eta(i, b, a);
            let top = eta.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            top + eta.iter().map(|e| (e - top).exp()).sum::<f64>().ln() - eta[self.y[i] as usize]
        };
        (0..self.y.len()).map(|i| self.omega[i] * row(i)).sum()
    }

    /// Column j of the design with one of ones behind the others.
    fn value(&self, j: usize, i: usize) -> f64 {
        self.z.get(j).map_or(1.0, |z| z[i])
    }

    /// Negative gradient with respect to columns and ones, numbered `k (p + 1) + j`.
    fn slope(&self, b: &[f64], a: &[f64]) -> Vec<f64> {
        let width = self.z.len() + 1;
        let mut slope = vec![0.0; self.k * width];
        for i in 0..self.y.len() {
            let p = self.probabilities(i, b, a);
            for (e, slope) in slope.iter_mut().enumerate() {
                let hit = f64::from(self.y[i] as usize == e / width);
                *slope += self.omega[i] * self.value(e % width, i) * (hit - p[e / width]);
            }
        }
        slope
    }

    fn hessian(&self, b: &[f64], a: &[f64]) -> Vec<Vec<f64>> {
        let width = self.z.len() + 1;
        let size = self.k * width;
        let mut hessian = vec![vec![0.0; size]; size];
        for i in 0..self.y.len() {
            let p = self.probabilities(i, b, a);
            for (e, row) in hessian.iter_mut().enumerate() {
                for (f, entry) in row.iter_mut().enumerate() {
                    let (k, l) = (e / width, f / width);
                    let curvature = p[k] * (f64::from(k == l) - p[l]);
                    *entry += self.omega[i] * self.value(e % width, i) * self.value(f % width, i) * curvature;
                }
            }
        }
        hessian
    }

    /// Number of the coefficient in those two.
    fn place(&self, index: usize) -> usize {
        let p = self.z.len();
        index / p * (p + 1) + index % p
    }

    /// Objective after many accelerated proximal steps from 0, with restarts.
    fn least(&self, penalty: &ScaledPenalty) -> f64 {
        let (p, size) = (self.z.len(), self.size());
        let largest: f64 =
            (0..self.y.len()).map(|i| 1.0 + self.z.iter().map(|z| z[i] * z[i]).sum::<f64>()).fold(0.0, f64::max);
        let length = 2.0 / largest;
        let split = |x: &[f64]| (x[..size].to_vec(), x[size..].to_vec());
        let objective = |x: &[f64]| self.loss(&x[..size], &x[size..]) + penalty.value(&x[..size]);
        let (mut x, mut ahead, mut momentum) = (vec![0.0; size + self.k], vec![0.0; size + self.k], 1.0_f64);
        for _ in 0..4000 {
            let (b, a) = split(&ahead);
            let slope = self.slope(&b, &a);
            let step = |e: usize| {
                if e >= size {
                    let own = slope[(e - size) * (p + 1) + p];
                    return if self.fit_intercept { ahead[e] + length * own } else { 0.0 };
                }
                let moved = ahead[e] + length * slope[self.place(e)];
                soft_threshold(moved, length * penalty.l1[e]) / (1.0 + length * penalty.l2[e])
            };
            let next: Vec<f64> = (0..x.len()).map(step).collect();
            let rises = objective(&next) > objective(&x);
            let after = if rises { 1.0 } else { 0.5 * (1.0 + (1.0 + 4.0 * momentum * momentum).sqrt()) };
            let carried = if rises { 0.0 } else { (momentum - 1.0) / after };
            if rises {
                ahead = x.clone();
            } else {
                ahead = next.iter().zip(&x).map(|(n, x)| n + carried * (n - x)).collect();
                x = next;
            }
            momentum = after;
        }
        objective(&x)
    }
}

/// Solution by Gaussian elimination with pivots.
fn solve(mut a: Vec<Vec<f64>>, mut rhs: Vec<f64>) -> Vec<f64> {
    let n = rhs.len();
    for c in 0..n {
        let best = (c..n).max_by(|&i, &j| a[i][c].abs().total_cmp(&a[j][c].abs())).unwrap();
        a.swap(c, best);
        rhs.swap(c, best);
        let pivot = a[c].clone();
        for i in c + 1..n {
            let share = a[i][c] / pivot[c];
            a[i].iter_mut().zip(&pivot).for_each(|(v, p)| *v -= share * p);
            rhs[i] -= share * rhs[c];
        }
    }
    for c in (0..n).rev() {
        rhs[c] = (rhs[c] - (c + 1..n).map(|j| a[c][j] * rhs[j]).sum::<f64>()) / a[c][c];
    }
    rhs
}

fn problems() -> impl Strategy<Value = Problem> {
    let values = |low: f64, high: f64, n: usize| prop::collection::vec(low..high, n);
    (2usize..5, 1usize..4, values(-2.0, 2.0, 90), values(0.2, 1.0, 20), values(-1.0, 1.0, 80), any::<bool>()).prop_map(
        |(k, p, z, weights, base, fit_intercept)| {
            let n = 20;
            let total: f64 = weights.iter().sum();
            // every class comes up, the rest as the values fall
            let label = |i: usize| if i < k { i } else { ((z[i + 60] + 2.0) / 4.0 * k as f64) as usize % k };
            Problem {
                k,
                z: (0..p).map(|j| z[j * n..(j + 1) * n].to_vec()).collect(),
                y: (0..n).map(|i| label(i) as f64).collect(),
                omega: weights.iter().map(|w| w / total).collect(),
                base: base[..k * n].to_vec(),
                fit_intercept,
            }
        },
    )
}

/// Moves from 0 to b and to some intercepts near the best for it.
fn move_to(model: &mut Softmax<'_>, b: &[f64]) {
    let all: Vec<usize> = (0..b.len()).collect();
    model.newton_system(&all);
    model.aim(&all, b);
    model.advance(1.0);
}

fn run(model: &mut impl Model, penalty: &ScaledPenalty, b: &mut [f64], tol: f64) -> Report {
    let cancel = AtomicBool::new(false);
    let null_objective = model.loss();
    fit(model, penalty, b, Stop { tol, max_iter: 200, null_objective, cancel: &cancel })
}

/// Fits and checks the stationarity conditions with plain formulas.
fn check_fit(problem: &Problem, penalty: &ScaledPenalty) -> Result<(), TestCaseError> {
    let mut model = problem.model();
    let mut b = vec![0.0; problem.size()];
    let report = run(&mut model, penalty, &mut b, 0.0);
    prop_assert_eq!(&report.status, &Status::Converged, "gap {}", report.gap);
    let intercepts = model.intercepts();
    prop_assert!((problem.loss(&b, &intercepts) - model.loss()).abs() < 1e-12);
    let slope = problem.slope(&b, &intercepts);
    for (j, b) in b.iter().enumerate() {
        let g = slope[problem.place(j)] - penalty.l2[j] * b;
        let off = if *b == 0.0 { g.abs() - penalty.l1[j] } else { (g - penalty.l1[j] * b.signum()).abs() };
        prop_assert!(off < 1e-9, "coefficient {} of {} is off by {}", j, b, off);
    }
    if problem.fit_intercept {
        let p = problem.z.len();
        for k in 0..problem.k {
            prop_assert!(slope[k * (p + 1) + p].abs() < 1e-9);
        }
        prop_assert!(intercepts.iter().sum::<f64>().abs() < 1e-12);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn loss_and_gradient_equal_plain_formulas(problem in problems(), b in prop::collection::vec(-1.5..1.5f64, 12)) {
        let b = &b[..problem.size()];
        let mut model = problem.model();
        move_to(&mut model, b);
        let a = model.intercepts();
        prop_assert!((model.loss() - problem.loss(b, &a)).abs() < 1e-13);
        let h = 1e-5;
        for (j, slope) in model.gradient().iter().enumerate() {
            let at = |t: f64| {
                let mut b = b.to_vec();
                b[j] += t;
                problem.loss(&b, &a)
            };
            prop_assert!(((at(-h) - at(h)) / (2.0 * h) - slope).abs() < 1e-8);
            prop_assert!((problem.slope(b, &a)[problem.place(j)] - slope).abs() < 1e-13);
        }
        for (k, along) in model.along.iter().enumerate() {
            let at = |t: f64| {
                let mut a = a.clone();
                a[k] += t;
                problem.loss(b, &a)
            };
            prop_assert!(((at(-h) - at(h)) / (2.0 * h) - along).abs() < 1e-8);
        }
    }

    /// The Hessian from differences of plain slopes, the intercepts eliminated by a system that `1 1'` makes regular.
    #[test]
    fn systems_equal_schur_complements(
        problem in problems(),
        b in prop::collection::vec(-1.5..1.5f64, 12),
        keys in prop::collection::vec(0.0..1.0f64, 12),
        part in 0.0..1.0f64,
    ) {
        let (b, width, h) = (&b[..problem.size()], problem.z.len() + 1, 1e-5);
        let mut set: Vec<usize> = (0..problem.size()).filter(|&j| keys[j] > 0.7 * part).collect();
        set.sort_by(|&i, &j| keys[i].total_cmp(&keys[j]));
        let mut model = problem.model();
        move_to(&mut model, b);
        let a = model.intercepts();
        let System { hessian, slope, .. } = model.system_on(&set, false);
        let (plain_slope, plain) = (problem.slope(b, &a), problem.hessian(b, &a));
        for (s, &j) in set.iter().enumerate() {
            let at = |t: f64| {
                let mut b = b.to_vec();
                b[j] += t;
                problem.slope(&b, &a)
            };
            for (e, (low, high)) in at(-h).iter().zip(&at(h)).enumerate() {
                prop_assert!(((low - high) / (2.0 * h) - plain[problem.place(j)][e]).abs() < 1e-8);
            }
            let ones: Vec<usize> = (0..problem.k).map(|k| k * width + width - 1).collect();
            let regular = ones.iter().map(|&e| ones.iter().map(|&f| plain[e][f] + 1.0).collect()).collect();
            let cross: Vec<f64> = ones.iter().map(|&e| plain[e][problem.place(j)]).collect();
            let shares = if problem.fit_intercept { solve(regular, cross) } else { vec![0.0; problem.k] };
            let less = |row: &dyn Fn(usize) -> f64| ones.iter().zip(&shares).map(|(&e, s)| s * row(e)).sum::<f64>();
            let expected = plain_slope[problem.place(j)] - less(&|e| plain_slope[e]);
            prop_assert!((slope[s] - expected).abs() < 1e-11);
            for (t, &i) in set.iter().enumerate() {
                let i = problem.place(i);
                let expected = plain[problem.place(j)][i] - less(&|e| plain[e][i]);
                prop_assert!((hessian[s * set.len() + t] - expected).abs() < 1e-11);
            }
        }
    }

    /// Steps see the Hessian but for moves that are the same in all classes, along which theirs is regular.
    #[test]
    fn newton_systems_are_regular(problem in problems(), b in prop::collection::vec(-1.0..1.0f64, 12)) {
        let all: Vec<usize> = (0..problem.size()).collect();
        let mut model = problem.model();
        move_to(&mut model, &b[..problem.size()]);
        let exact = model.system_on(&all, false);
        let (regular, slope) = model.newton_system(&all);
        prop_assert_eq!(&slope, &exact.slope);
        for (e, (regular, exact)) in regular.iter().zip(&exact.hessian).enumerate() {
            let same_column = (e / all.len()) % problem.z.len() == (e % all.len()) % problem.z.len();
            let allowed = if same_column { 1e-8 } else { 0.0 };
            prop_assert!((regular - exact).abs() <= allowed);
        }
        prop_assert!(Cholesky::new(&regular, all.len()).unwrap().smallest_pivot() > PIVOT_FLOOR);
        let (part, _) = model.newton_system(&all[1..]);
        let exact = model.system_on(&all[1..], false).hessian;
        prop_assert!(problem.z.len() > 1 || part == exact);
    }

    #[test]
    fn the_majorant_lies_above_the_loss(
        problem in problems(),
        b in prop::collection::vec(-1.5..1.5f64, 12),
        d in prop::collection::vec(-2.0..2.0f64, 12),
    ) {
        let (mut problem, all) = (problem.clone(), (0..problem.size()).collect::<Vec<usize>>());
        problem.fit_intercept = false;
        let d = &d[..problem.size()];
        let mut model = problem.model();
        move_to(&mut model, &b[..problem.size()]);
        model.majorise(true);
        let (hessian, slope) = model.newton_system(&all);
        let curved = d.iter().enumerate().map(|(j, dj)| dj * dot(&hessian[j * d.len()..(j + 1) * d.len()], d));
        let parabola = model.loss() - dot(&slope, d) + 0.5 * curved.sum::<f64>();
        model.aim(&all, d);
        prop_assert!(model.loss_at(1.0) <= parabola + 1e-12);
    }

    #[test]
    fn the_prepared_move_is_carried_out(problem in problems(), b in prop::collection::vec(-1.5..1.5f64, 12), t in 0.0..1.0f64) {
        let all: Vec<usize> = (0..problem.size()).collect();
        let mut model = problem.model();
        let start = model.intercepts();
        model.newton_system(&all);
        model.aim(&all, &b[..problem.size()]);
        let promised = model.loss_at(t);
        model.loss_at(0.5 * t);
        model.advance(t);
        let moved: Vec<f64> = b[..problem.size()].iter().map(|b| t * b).collect();
        prop_assert!((promised - model.loss()).abs() < 1e-14);
        prop_assert!((promised - problem.loss(&moved, &model.intercepts())).abs() < 1e-13);
        prop_assert!(problem.fit_intercept || model.intercepts() == start);
    }

    /// Anywhere: the gap bounds the distance from the least objective, and a projected theta knows nothing of Z.
    #[test]
    fn gaps_bound_the_distance_from_the_least_objective(
        problem in problems(),
        b in prop::collection::vec(-1.0..1.0f64, 12),
        l1 in prop::collection::vec(0.0..0.3f64, 12),
        l2 in prop::collection::vec(0.02..0.5f64, 12),
        pure in 0usize..3,
        size in 0.0..1.0f64,
    ) {
        let m = problem.size();
        let keep = |values: &[f64], on: bool| values[..m].iter().map(|v| if on { *v } else { 0.0 }).collect();
        let penalty = ScaledPenalty::separable(keep(&l1, pure != 1), keep(&l2, pure != 2));
        let b: Vec<f64> = b[..m].iter().map(|b| size * b).collect();
        let mut model = problem.model();
        move_to(&mut model, &b);
        let gap = duality_gap(&mut model, &penalty, &b, f64::INFINITY);
        let distance = model.loss() + penalty.value(&b) - problem.least(&penalty);
        prop_assert!(gap >= distance - 1e-12, "gap {} distance {}", gap, distance);
        prop_assert!(gap.is_finite() && gap >= 0.0);
    }

    #[test]
    fn free_directions_are_projected_out(
        problem in problems(),
        b in prop::collection::vec(-0.1..0.1f64, 12),
        directions in prop::collection::vec(-1.0..1.0f64, 24),
        free in prop::collection::vec(any::<bool>(), 12),
        n_combined in 0usize..3,
    ) {
        let m = problem.size();
        let mut model = problem.model();
        move_to(&mut model, &b[..m]);
        let mut combined: Vec<Vec<f64>> = (0..n_combined).map(|c| directions[c * m..(c + 1) * m].to_vec()).collect();
        if n_combined == 2 {
            // a move of the first column that is the same in all classes
            combined.push((0..m).map(|j| f64::from(j % problem.z.len() == 0)).collect());
        }
        let free = Directions { columns: (0..m).filter(|&j| free[j]).collect(), combined };
        let Some(dual) = model.dual(&free) else { return Err(TestCaseError::fail("no dual point")) };
        for j in 0..m {
            let (k, j) = (j / problem.z.len(), j % problem.z.len());
            let plain: f64 = (0..20).map(|i| problem.omega[i] * problem.z[j][i] * dual.theta[k * 20 + i]).sum();
            prop_assert!((plain - dual.correlation[k * problem.z.len() + j]).abs() < 1e-14);
        }
        prop_assert!(free.columns.iter().all(|&j| dual.correlation[j].abs() < 1e-10));
        prop_assert!(free.combined.iter().all(|d| dot(d, &dual.correlation).abs() < 1e-10));
        for k in 0..problem.k {
            let left = dot(&problem.omega, &dual.theta[k * 20..(k + 1) * 20]).abs();
            prop_assert!(!problem.fit_intercept || left < 1e-10);
        }
        for i in 0..20 {
            let q = |k: usize, s: f64| f64::from(problem.y[i] as usize == k) - s * dual.theta[k * 20 + i];
            prop_assert!((0..problem.k).all(|k| q(k, dual.scale) >= 0.0));
            prop_assert!(((0..problem.k).map(|k| q(k, 1.0)).sum::<f64>() - 1.0).abs() < 1e-14);
        }
        // the divergence from its plain formula, in the interior
        let s = 0.9 * dual.scale;
        let a = model.intercepts();
        let plain = |i: usize| -> f64 {
            let p = problem.probabilities(i, &b[..m], &a);
            let q = |k: usize| f64::from(problem.y[i] as usize == k) - s * dual.theta[k * 20 + i];
            (0..problem.k).map(|k| if q(k) > 0.0 { q(k) * (q(k) / p[k]).ln() } else { 0.0 }).sum()
        };
        let sum: f64 = (0..20).map(|i| problem.omega[i] * plain(i)).sum();
        prop_assert!((model.loss_gap(&dual, s) - sum).abs() < 1e-13);
    }

    #[test]
    fn fits_are_stationary(
        problem in problems(),
        l1 in 0.005..0.2f64,
        l2 in 0.001..0.2f64,
        factors in prop::collection::vec(0.2..2.0f64, 12),
    ) {
        let times = |weight: f64| factors[..problem.size()].iter().map(|f| weight * f).collect::<Vec<f64>>();
        check_fit(&problem, &ScaledPenalty::separable(times(l1), times(0.0)))?;
        check_fit(&problem, &ScaledPenalty::separable(times(0.0), times(l2)))?;
        check_fit(&problem, &ScaledPenalty::separable(times(l1), times(l2)))?;
    }

    /// Unpenalised in all classes, the first column has coefficients of sum 0.
    #[test]
    fn unpenalised_columns_are_fitted(problem in problems(), l2 in 0.01..0.2f64) {
        let (p, m) = (problem.z.len(), problem.size());
        let mut penalty = ScaledPenalty::separable(vec![0.0; m], vec![l2; m]);
        let free: Vec<usize> = (0..problem.k).map(|k| k * p).collect();
        free.iter().for_each(|&j| penalty.l2[j] = 0.0);
        let mut model = problem.model();
        let mut b = vec![0.0; m];
        fit_null(&mut model, &penalty, &mut b, 100);
        let null_slope = model.gradient();
        let cancel = AtomicBool::new(false);
        let stop = Stop { tol: 0.0, max_iter: 200, null_objective: model.loss(), cancel: &cancel };
        if model.recedes() {
            // some class can be told from others: the loss has no minimum
            return Ok(());
        }
        prop_assert!(free.iter().all(|&j| null_slope[j].abs() < 1e-7));
        let report = fit(&mut model, &penalty, &mut b, stop);
        if report.status == Status::Separated {
            // with all columns at work it can be seen later than by the null fit's last step
            prop_assert!(model.recedes());
            return Ok(());
        }
        prop_assert_eq!(&report.status, &Status::Converged, "gap {} objective {}", report.gap, report.objective);
        prop_assert!(!report.ill_conditioned);
        // the loss does not see a move that is the same in all classes
        let mean = free.iter().map(|&j| b[j]).sum::<f64>() / problem.k as f64;
        free.iter().for_each(|&j| b[j] -= mean);
        prop_assert!((problem.loss(&b, &model.intercepts()) - model.loss()).abs() < 1e-12);
        let slope = problem.slope(&b, &model.intercepts());
        for (j, b) in b.iter().enumerate() {
            prop_assert!((slope[problem.place(j)] - penalty.l2[j] * b).abs() < 1e-9);
        }
    }

    /// With `w_1 = -w_0 = v / 2` a ridge `l2` on both classes is one of `l2 / 2` on v.
    #[test]
    fn two_classes_are_the_binary_loss(problem in problems(), l2 in 0.01..0.3f64) {
        let n = 20;
        let binary = Problem {
            k: 2,
            y: problem.y.iter().map(|y| y.min(1.0)).collect(),
            base: problem.base[..2 * n].to_vec(),
            ..problem
        };
        let difference: Vec<f64> = (0..n).map(|i| binary.base[n + i] - binary.base[i]).collect();
        let p = binary.z.len();
        let columns = binary.z.iter().map(|z| Column::Dense(z)).collect();
        let start = binary.fit_intercept.then_some((-1.0, 1.0));
        let mut glm = Glm::new(Logistic, columns, (&binary.y, &binary.omega), difference, start, false);
        let mut softmax = binary.model();
        let (mut v, mut b) = (vec![0.0; p], vec![0.0; 2 * p]);
        let two = run(&mut softmax, &ScaledPenalty::separable(vec![0.0; 2 * p], vec![l2; 2 * p]), &mut b, 0.0);
        let one = run(&mut glm, &ScaledPenalty::separable(vec![0.0; p], vec![0.5 * l2; p]), &mut v, 0.0);
        prop_assert!((one.objective - two.objective).abs() < 1e-13);
        for j in 0..p {
            prop_assert!((v[j] - (b[p + j] - b[j])).abs() < 1e-9 && (b[j] + b[p + j]).abs() < 1e-9);
        }
        let intercepts = softmax.intercepts();
        prop_assert!((glm.intercept() - (intercepts[1] - intercepts[0])).abs() < 1e-9);
        prop_assert!(one.gap < 1e-12 && two.gap < 1e-12);
    }

    /// The intercepts' conditions, at offsets that saturate all rows.
    #[test]
    fn first_intercepts_are_best_at_any_offset(problem in problems(), power in 0.0..3.5f64) {
        let mut problem = problem;
        problem.fit_intercept = true;
        problem.base.iter_mut().for_each(|o| *o *= 10f64.powf(power));
        let model = problem.model();
        let left: f64 = model.along.iter().map(|s| s.abs()).sum();
        // offsets have digits to their own size, and a step that gains less than the rounding of the loss is not taken
        let largest = problem.base.iter().fold(1.0, |a: f64, o| a.max(o.abs()));
        let bound = 1e-12 + 4.0 * f64::EPSILON * largest * problem.k as f64 + SUM_ROUNDING * model.value;
        prop_assert!(left < bound, "slopes {:?} of {}", model.along, model.value);
        let slope = problem.slope(&vec![0.0; problem.size()], &model.intercepts());
        let p = problem.z.len();
        prop_assert!((0..problem.k).all(|k| slope[k * (p + 1) + p].abs() < 1e-9));
        prop_assert!(model.intercepts().iter().sum::<f64>().abs() < 1e-9);
    }

    #[test]
    fn small_divergences_keep_their_digits(x in -0.3..0.3f64) {
        // (1 + x) log(1 + x) - x = integral of log(1 + t), by its series to convergence
        let series: f64 = (2..80).map(|n| f64::from(if n % 2 == 0 { 1 } else { -1 }) * x.powi(n) / f64::from(n * (n - 1))).sum();
        let (p, tiny) = (0.3, 1e-9 * x);
        let log_p = f64::ln(p);
        prop_assert!((rows::relative_entropy(p * (1.0 + x), p, p * x, log_p) - p * series).abs() <= 1e-13 * series + 1e-18);
        let second = 0.5 * p * tiny * tiny;
        prop_assert!((rows::relative_entropy(p + p * tiny, p, p * tiny, log_p) - second).abs() <= 1e-8 * second);
    }
}

#[test]
fn intercepts_start_at_centred_log_frequencies() {
    let (y, omega) = ([0.0, 1.0, 2.0, 2.0], [0.1, 0.3, 0.2, 0.4]);
    let model = Softmax::new(3, vec![], &y, &omega, vec![0.0; 12], true);
    let logs = [0.1f64.ln(), 0.3f64.ln(), 0.6f64.ln()];
    let mean = logs.iter().sum::<f64>() / 3.0;
    assert!(model.intercepts().iter().zip(logs).all(|(a, log)| (a - (log - mean)).abs() < 1e-14));
    assert!((model.loss() - (0.1 * -logs[0] + 0.3 * -logs[1] + 0.6 * -logs[2])).abs() < 1e-14);
    assert_eq!(model.intercept(), 0.0);
}

#[test]
fn probabilities_of_zero_have_finite_gaps() {
    // both rows on the wrong side by 800 without an intercept: r = e_y - e_wrong, p_y = exp(-800) = 0
    let (y, omega, z) = ([0.0, 1.0], [0.5, 0.5], [1.0, -1.0]);
    let base = vec![-800.0, 0.0, 0.0, -800.0, -900.0, -900.0];
    let mut model = Softmax::new(3, vec![Column::Dense(&z)], &y, &omega, base, false);
    assert!((model.loss() - 800.0).abs() < 1e-12);
    let dual = model.dual(&Directions::default()).unwrap();
    assert_eq!((dual.scale, model.loss_gap(&dual, 1.0)), (1.0, 0.0));
    // q = (1/2, 1/2, 0) against p = (exp(-800), 1, exp(-900))
    assert!((model.loss_gap(&dual, 0.5) - (400.0 + 0.5f64.ln())).abs() < 1e-11);
    let penalty = ScaledPenalty::separable(vec![0.1; 3], vec![0.0; 3]);
    let mut b = vec![0.0; 3];
    let report = run(&mut model, &penalty, &mut b, 1e-9);
    assert_eq!(report.status, Status::Converged);
    // b_0 - b_1 = 800 turns the rows; past that the loss falls by less than the penalty grows
    assert!(report.objective < 0.1 * 820.0 && (b[0] - b[1] - 800.0).abs() < 10.0);
}

#[test]
fn nan_is_no_certificate() {
    assert!(rows::relative_entropy(f64::NAN, 0.3, f64::NAN, 0.3f64.ln()).is_nan());
    assert_eq!(rows::relative_entropy(0.0, 0.3, -0.3, 0.3f64.ln()), 0.3);
    assert!(rows::relative_entropy(0.5, 0.0, 0.5, -800.0) > 399.0);
}

#[test]
fn separating_moves_recede() {
    let (y, omega, z) = ([0.0, 0.0, 1.0, 2.0], [0.25; 4], [-2.0, -1.0, 1.0, 1.5]);
    let mut model = Softmax::new(3, vec![Column::Dense(&z)], &y, &omega, vec![0.0; 12], false);
    let all = [0, 1, 2];
    let mut recedes = |direction: &[f64]| {
        model.newton_system(&all);
        model.aim(&all, direction);
        model.recedes()
    };
    // class 0 from the others, which stay as they are to each other
    assert!(recedes(&[-1.0, 0.0, 0.0]));
    assert!(recedes(&[-1e9, 1.0, 0.0]));
    assert!(!recedes(&[-1.0, 0.1, 0.0]));
    assert!(!recedes(&[1.0, 0.0, 0.0]));
    // the same in all classes moves nothing
    assert!(!recedes(&[1.0, 1.0, 1.0]));
    assert!(!recedes(&[0.0; 3]));
}

#[test]
fn separating_moves_of_the_binary_loss_recede() {
    let (y, omega, z, ones) = ([0.0, 0.0, 1.0, 1.0], [0.25; 4], [-2.0, 0.0, 1.0, 1.5], [1.0; 4]);
    let columns = vec![Column::Dense(&z), Column::Dense(&ones)];
    let mut model = Glm::new(Logistic, columns, (&y, &omega), vec![0.0; 4], None, false);
    let mut recedes = |direction: &[f64]| {
        model.newton_system(&[0, 1]);
        model.aim(&[0, 1], direction);
        model.recedes()
    };
    assert!(recedes(&[1.0, 0.0]) && recedes(&[1.0, -0.5]) && recedes(&[1e8, 1.0]));
    assert!(!recedes(&[1.0, 0.1]) && !recedes(&[-1.0, 0.0]) && !recedes(&[0.0, 0.0]));
}

/// The numbers under a key of a certified problem, in order.
fn certified(problem: &str, key: &str) -> Vec<f64> {
    const FILE: &str = include_str!("../../../../../tests/reference/certified_problems.json");
    let problem = FILE.split_once(&format!("\"{problem}\": {{")).unwrap().1;
    let value = problem.split_once(&format!("\"{key}\":")).unwrap().1;
    let inside = value.split('"').take_while(|piece| !piece.contains(':'));
    inside.filter_map(|piece| piece.parse().ok()).collect()
}

#[test]
fn certified_problems_are_solved() {
    for name in ["multinomial_ridge", "multinomial_enet", "iris_multinomial_lasso"] {
        let [x, y, weights, coef, intercept] =
            ["X", "y", "sample_weight", "coef", "intercept"].map(|key| certified(name, key));
        let [l1, l2, objective] = ["l1", "l2", "objective"].map(|key| certified(name, key)[0]);
        let (n, p, k) = (y.len(), x.len() / y.len(), 3);
        let total: f64 = weights.iter().sum();
        let omega: Vec<f64> = weights.iter().map(|w| w / total).collect();
        let column = |j: usize| (0..n).map(|i| x[i * p + j]).collect::<Vec<f64>>();
        let problem =
            Problem { k, z: (0..p).map(column).collect(), y, omega, base: vec![0.0; k * n], fit_intercept: true };
        let mut model = problem.model();
        let mut b = vec![0.0; k * p];
        let report = run(&mut model, &ScaledPenalty::separable(vec![l1; k * p], vec![l2; k * p]), &mut b, 0.0);
        assert_eq!(report.status, Status::Converged);
        assert!((report.objective - objective).abs() < 1e-14, "{name}: {} for {objective}", report.objective);
        let largest = coef.iter().fold(0.0, |a: f64, c| a.max(c.abs()));
        for (e, b) in b.iter().enumerate() {
            let expected = coef[e % p * k + e / p];
            assert!((b - expected).abs() <= 1e-9 * largest, "{name}: {b} for {expected}");
            assert_eq!(*b == 0.0, expected == 0.0, "{name}: support");
        }
        for (a, expected) in model.intercepts().iter().zip(&intercept) {
            assert!((a - expected).abs() <= 1e-9 * largest.max(1.0), "{name}: intercept {a} for {expected}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// 500 problems at two strengths each, the second from the first.
    #[test]
    fn conjugate_gradients_reach_what_newton_systems_do(
        problem in problems(), l2 in prop::collection::vec(-4.0..0.5f64, 4),
    ) {
        let (p, k) = (problem.z.len(), problem.k);
        let fits = [true, false].map(|inexact| {
            let mut model = problem.model();
            model.inexact = inexact;
            let mut b = vec![0.0; k * p];
            [1.0, 0.2].map(|alpha| {
                let l2: Vec<f64> = (0..k * p).map(|at| alpha * 10f64.powf(l2[at % p])).collect();
                let penalty = ScaledPenalty::separable(vec![0.0; k * p], l2);
                let report = run(&mut model, &penalty, &mut b, 0.0);
                assert_eq!(model.diagonal.is_some(), inexact);
                (report.status, b.clone(), model.intercepts())
            })
        });
        for (one, other) in fits[0].iter().zip(&fits[1]) {
            prop_assert_eq!(&one.0, &Status::Converged);
            prop_assert_eq!(&other.0, &Status::Converged);
            for (x, y) in one.1.iter().zip(&other.1).chain(one.2.iter().zip(&other.2)) {
                prop_assert!((x - y).abs() <= 1e-8 * y.abs().max(1.0), "{} {}", x, y);
            }
        }
    }
}
