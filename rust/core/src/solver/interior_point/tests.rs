use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::*;
use crate::penalty::{Block, Metric};

static GO_ON: AtomicBool = AtomicBool::new(false);

/// A stream of numbers in [-1, 1).
struct Stream(u64);

impl Stream {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }

    fn many(&mut self, n: usize) -> Vec<f64> {
        (0..n).map(|_| self.next()).collect()
    }
}

struct Case {
    z: Vec<Vec<f64>>,
    t: Vec<f64>,
    omega: Vec<f64>,
    level: f64,
    fit_intercept: bool,
    penalty: ScaledPenalty,
}

impl Case {
    fn columns(&self) -> Vec<Column<'_>> {
        self.z.iter().map(|z| Column::Dense(z)).collect()
    }

    fn fit(&self, tol: f64) -> PinballFit {
        let columns = self.columns();
        let stop = Stop { tol, max_iter: 60, null_objective: self.null(), cancel: &GO_ON };
        pinball(&columns, &self.t, &self.omega, self.fit_intercept, self.level, &self.penalty, stop)
    }

    fn null(&self) -> f64 {
        let stop = Stop { tol: 1e-8, max_iter: 60, null_objective: 0.0, cancel: &GO_ON };
        null_objective(&self.columns(), &self.t, &self.omega, self.fit_intercept, self.level, &self.penalty, stop)
    }

    fn objective(&self, b: &[f64], intercept: f64) -> f64 {
        let residual = |i: usize| self.t[i] - intercept - self.z.iter().zip(b).map(|(z, b)| z[i] * b).sum::<f64>();
        let rho = |r: f64| if r > 0.0 { self.level * r } else { (self.level - 1.0) * r };
        (0..self.t.len()).map(|i| self.omega[i] * rho(residual(i))).sum::<f64>() + self.penalty.value(b)
    }
}

const KINDS: usize = 10;

fn case(kind: usize, n: usize, k: usize, seed: u64) -> Case {
    let mut stream = Stream(seed.wrapping_mul(0x9E3779B97F4A7C15) ^ 0xABCDEF);
    (0..5).for_each(|_| {
        stream.next();
    });
    let z: Vec<Vec<f64>> = (0..k).map(|_| stream.many(n)).collect();
    let noise = stream.many(n);
    let beta = stream.many(k);
    let t = (0..n).map(|i| 0.3 + noise[i] + (0..k).map(|j| 2.0 * beta[j] * z[j][i]).sum::<f64>()).collect();
    let raw: Vec<f64> = stream.many(n).iter().map(|v| 1.05 + v).collect();
    let total: f64 = raw.iter().sum();
    let mut penalty = ScaledPenalty::none(k);
    let strength = 10f64.powf(-1.5 + 1.5 * stream.next());
    let sizes: Vec<f64> = stream.many(k).iter().map(|v| strength * (1.01 + v)).collect();
    match kind {
        0 => {}
        1 => penalty.l1 = sizes,
        2 => penalty.l2 = sizes,
        3 => (penalty.l1, penalty.l2) = (sizes.clone(), sizes),
        4 | 5 => {
            let ends = stream.many(2 * k);
            for j in 0..k {
                let (low, high) = ((-0.7 * (ends[2 * j] + 0.4)).min(0.0), (ends[2 * j + 1] + 0.3).max(0.0));
                penalty.lower[j] = if j % 3 == 1 { f64::NEG_INFINITY } else { low };
                penalty.upper[j] = if j % 3 == 2 { f64::INFINITY } else { high };
            }
            if kind == 5 {
                penalty.l1 = sizes;
            }
        }
        6 | 7 | 8 => {
            let half = k.div_ceil(2);
            let scale = |set: std::ops::Range<usize>| set.map(|j| 0.5 + sizes[j] / strength).collect();
            penalty.blocks.push(Block { weight: strength, members: (0..half).collect(), scale: scale(0..half) });
            if kind == 7 && half < k {
                penalty.blocks.push(Block {
                    weight: 2.0 * strength,
                    members: (half..k).collect(),
                    scale: scale(half..k),
                });
            }
            if kind == 7 {
                penalty.l1 = sizes.iter().map(|l1| 0.3 * l1).collect();
            }
            if kind == 8 {
                (0..k).for_each(|j| penalty.lower[j] = if j % 2 == 0 { 0.0 } else { -0.2 });
                penalty.upper[0] = 0.1;
            }
        }
        _ => {
            let root = stream.many(k * k);
            let rank = k.div_ceil(2);
            let entry = |i: usize, j: usize| (0..rank).map(|r| root[r * k + i] * root[r * k + j]).sum::<f64>();
            let matrix = (0..k).flat_map(|j| (0..k).map(move |i| (i, j))).map(|(i, j)| entry(i, j)).collect();
            penalty.metric = Some((strength, Arc::new(Metric::new(matrix, k).unwrap())));
        }
    }
    let level = [0.5, 0.1, 0.9, 0.25, 0.77][(seed % 5) as usize];
    Case { z, t, omega: raw.iter().map(|w| w / total).collect(), level, fit_intercept: seed % 4 != 0, penalty }
}

#[test]
fn explore() {
    let sets: Vec<(usize, usize, u64)> = vec![(8, 2, 200), (30, 5, 200), (20, 40, 40), (400, 12, 20)];
    let tol = if std::env::var("TOL").is_ok() { 0.0 } else { 1e-8 };
    for kind in 0..KINDS {
        print!("kind {kind} ");
        let mut list = String::new();
        for &(n, k, count) in &sets {
            let (mut worst, mut most, mut mean, mut bad) = (0.0f64, 0, 0.0, 0);
            for seed in 0..count {
                let case = case(kind, n, k, seed);
                let fit = case.fit(tol);
                let p = case.objective(&fit.b, fit.intercept);
                let relative = fit.gap / p.max(1e-4 * case.null()).max(1e-6);
                if relative.is_nan() || relative > 1e-8 && fit.gap > fit.rounding {
                    bad += 1;
                    list += &format!(" {kind},{n},{k},{seed}:{:.0e}", fit.gap);
                }
                worst = worst.max(relative);
                most = most.max(fit.n_iter);
                mean += fit.n_iter as f64 / count as f64;
            }
            print!("| {bad:3} worst {worst:7.1e} most {most:2} mean {mean:4.1} ");
        }
        println!();
        println!("{:.200}", list);
    }
}

#[test]
fn trace_one() {
    let arg = |name: &str| std::env::var(name).map(|v| v.parse::<usize>().unwrap());
    let (Ok(kind), Ok(n), Ok(k), Ok(seed)) = (arg("KIND"), arg("N"), arg("K"), arg("SEED")) else { return };
    let case = case(kind, n, k, seed as u64);
    let columns = case.columns();
    let stop = Stop {
        tol: if std::env::var("TOL").is_ok() { 0.0 } else { 1e-8 },
        max_iter: 60,
        null_objective: case.null(),
        cancel: &GO_ON,
    };
    println!("--- null {:e}", stop.null_objective);
    let fit = pinball(&columns, &case.t, &case.omega, case.fit_intercept, case.level, &case.penalty, stop);
    println!("{:?} {} gap {:e} loss {}", fit.b, fit.intercept, fit.gap, fit.loss);
}

#[test]
fn stress() {
    let names = [
        "integers",
        "scale1e6",
        "scale1e-6",
        "offset1e6",
        "level.001",
        "level.999",
        "duplicate",
        "skewed weights",
        "weak",
        "strong",
        "wide box",
        "n1",
        "n2",
        "perfect",
        "binary z",
        "binary z int t",
        "outlier",
        "scale1e150",
        "scale1e-150",
    ];
    for (variant, name) in names.iter().enumerate() {
        let (mut list, mut worst, mut most, mut total, mut count) = (String::new(), 0.0f64, 0, 0, 0);
        for kind in 0..KINDS {
            for seed in 0..30u64 {
                let (n, k) = match *name {
                    "n1" => (1, 3),
                    "n2" => (2, 3),
                    _ if seed % 3 == 2 => (60, 8),
                    _ => (25, 4),
                };
                let mut c = case(kind, n, k, seed + 1000);
                let unit = |c: &mut Case, f: f64| {
                    c.t.iter_mut().for_each(|t| *t *= f);
                    c.penalty.l2.iter_mut().for_each(|l| *l /= f);
                    c.penalty.lower.iter_mut().chain(&mut c.penalty.upper).for_each(|e| *e *= f);
                    if let Some(m) = &mut c.penalty.metric {
                        m.0 /= f;
                    }
                };
                let grow = |c: &mut Case, f: f64| {
                    c.penalty.l1.iter_mut().chain(&mut c.penalty.l2).for_each(|l| *l *= f);
                    c.penalty.blocks.iter_mut().for_each(|b| b.weight *= f);
                    if let Some(m) = &mut c.penalty.metric {
                        m.0 *= f;
                    }
                };
                match *name {
                    "integers" => c.t.iter_mut().for_each(|t| *t = (2.0 * *t).round()),
                    "scale1e6" => unit(&mut c, 1e6),
                    "scale1e-6" => unit(&mut c, 1e-6),
                    "scale1e150" => unit(&mut c, 1e150),
                    "scale1e-150" => unit(&mut c, 1e-150),
                    "offset1e6" => {
                        c.t.iter_mut().for_each(|t| *t += 1e6);
                        c.fit_intercept = true;
                    }
                    "level.001" => c.level = 0.001,
                    "level.999" => c.level = 0.999,
                    "duplicate" => c.z[1] = c.z[0].clone(),
                    "skewed weights" => {
                        c.omega.iter_mut().enumerate().for_each(|(i, w)| *w *= 10f64.powi(-((i % 9) as i32)));
                        let s: f64 = c.omega.iter().sum();
                        c.omega.iter_mut().for_each(|w| *w /= s);
                    }
                    "weak" => grow(&mut c, 1e-6),
                    "strong" => grow(&mut c, 1e6),
                    "wide box" => {
                        for j in 0..k {
                            if !c.penalty.is_bounded(j) {
                                c.penalty.lower[j] = -1e6;
                                c.penalty.upper[j] = 1e6;
                            }
                        }
                    }
                    "perfect" => c.t = (0..n).map(|i| 0.5 + c.z.iter().map(|z| z[i]).sum::<f64>()).collect(),
                    "binary z" | "binary z int t" => {
                        c.z.iter_mut().flatten().for_each(|z| *z = if *z > 0.2 { 1.0 } else { 0.0 });
                        if *name == "binary z int t" {
                            c.t.iter_mut().for_each(|t| *t = t.round());
                        }
                    }
                    "outlier" => c.t[0] = 1e8,
                    _ => {}
                }
                if *name == "wide box" && kind == 9 {
                    continue;
                }
                let tol = if std::env::var("TOL").is_ok() { 0.0 } else { 1e-8 };
                let fit = c.fit(tol);
                let p = c.objective(&fit.b, fit.intercept);
                let relative = fit.gap / p.max(1e-4 * c.null());
                if !(relative <= 1e-8 || fit.gap <= fit.rounding) {
                    list += &format!(" {kind}/{seed}:{relative:.0e}/{}", fit.n_iter);
                } else if p > 0.0 && fit.gap > fit.rounding {
                    worst = worst.max(relative);
                }
                most = most.max(fit.n_iter);
                total += fit.n_iter;
                count += 1;
            }
        }
        println!("kind {name}: worst {worst:.1e} most {most} mean {:.1} bad:{list:.400}", total as f64 / count as f64);
    }
}

#[test]
fn one() {
    let mut c = case(8, 60, 8, 1008);
    c.t[0] = 1e8;
    for m in 1..16 {
        let columns = c.columns();
        let stop = Stop { tol: 1e-8, max_iter: m, null_objective: c.null(), cancel: &GO_ON };
        let fit = pinball(&columns, &c.t, &c.omega, c.fit_intercept, c.level, &c.penalty, stop);
        println!(
            "kind {m} {} gap {:e} rounding {:e} p {:e} loss {:e} null {:e}",
            fit.n_iter,
            fit.gap,
            fit.rounding,
            c.objective(&fit.b, fit.intercept),
            fit.loss,
            c.null()
        );
    }
}
