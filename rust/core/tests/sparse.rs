//! A table of compressed columns is fitted as the dense table of the same numbers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};

use metafit_core::loss::LossKind;
use metafit_core::penalty::{Penalty, PenaltyKind};
use metafit_core::solver::Solver;
use metafit_core::{Cell, Csc, Features, Fit, Path, Plan, Recipe, Settings, Split, Status, Table};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// A table by columns; a value is stored or a 0 that is not.
#[derive(Debug, Clone)]
struct Given {
    columns: Vec<Vec<Option<f64>>>,
    y: Vec<f64>,
    weights: Option<Vec<f64>>,
    offset: Option<Vec<f64>>,
}

impl Given {
    fn n_rows(&self) -> usize {
        self.y.len()
    }

    fn dense(&self) -> Table {
        let x = self.columns.iter().flatten().map(|v| v.unwrap_or(0.0)).collect();
        let (n, p) = (self.n_rows(), self.columns.len());
        Table::new(n, p, x, self.y.clone(), self.weights.clone(), self.offset.clone()).unwrap()
    }

    fn sparse(&self) -> Table {
        let (mut starts, mut rows, mut values) = (vec![0], vec![], vec![]);
        for column in &self.columns {
            for (i, value) in (0..).zip(column).filter_map(|(i, v)| v.map(|v| (i, v))) {
                rows.push(i);
                values.push(value);
            }
            starts.push(rows.len());
        }
        let x = Csc::new(self.n_rows(), starts, rows, values).unwrap();
        let x = Arc::new(Features::new_sparse(self.n_rows(), x).unwrap());
        Table::on(x, self.y.clone(), self.weights.clone(), self.offset.clone()).unwrap()
    }
}

fn run(table: Table, splits: &[Split], cells: &[Cell], impute: bool, tol: f64) -> Vec<Path> {
    let settings = Settings { tol, impute, ..Settings::default() };
    let plan = Plan::new(vec![Arc::new(table)], splits.to_vec(), cells.to_vec(), settings).unwrap();
    plan.run(&AtomicBool::new(false), &AtomicUsize::new(0)).unwrap()
}

/// The largest difference is at most `bound` of the largest magnitude, or of 1.
fn close(a: &[f64], b: &[f64], bound: f64) -> bool {
    let size = b.iter().fold(1.0, |s: f64, v| s.max(v.abs()));
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= bound * size || (a.is_nan() && b.is_nan()))
}

fn assert_same(dense: &[Path], sparse: &[Path]) {
    for (dense, sparse) in dense.iter().zip(sparse) {
        dense.fits.iter().zip(&sparse.fits).for_each(|(d, s)| assert_same_fit(d, s));
        // a fit of dependent unpenalised columns leaves slopes with half of their digits
        if dense.fits.iter().all(|fit| fit.report.status != Status::RankDeficient) {
            assert!(close(&[sparse.alpha_max], &[dense.alpha_max], 1e-10) || dense.alpha_max.is_infinite());
        }
    }
}

fn assert_same_fit(dense: &Fit, sparse: &Fit) {
    let (d, s) = (&dense.report, &sparse.report);
    assert_eq!(d.status, s.status, "gaps {} and {}", d.gap, s.gap);
    assert!(close(&[s.objective], &[d.objective], 1e-10), "{} {}", s.objective, d.objective);
    assert!(close(&sparse.coef, &dense.coef, 1e-10), "{:?}\n{:?}", sparse.coef, dense.coef);
    assert!(close(&sparse.intercept, &dense.intercept, 1e-10), "{:?}\n{:?}", sparse.intercept, dense.intercept);
    // of the others, R2 divides by a variance that three rows may not have, and ties decide accuracy and AUC; columns of
    // hundreds multiply what differs in coef
    let loss = dense.scores.len().min(1);
    assert!(close(&sparse.scores[..loss], &dense.scores[..loss], 1e-8), "{:?}\n{:?}", sparse.scores, dense.scores);
}

/// Columns from nearly empty to full, some with stored zeros, some constant over the rows.
fn column(n: usize, missing: bool) -> impl Strategy<Value = Vec<Option<f64>>> {
    let share = prop_oneof![6 => 0.1..0.9f64, 1 => Just(1.0), 1 => Just(0.0)];
    let value = prop_oneof![8 => -3.0..3.0f64, 1 => Just(0.0), 1 => Just(if missing { f64::NAN } else { 1.0 })];
    let cells = prop::collection::vec((0.0..1.0f64, value), n);
    (share, cells, prop_oneof![8 => Just(1.0), 1 => Just(100.0), 1 => Just(0.0)])
        .prop_map(|(share, cells, unit)| cells.into_iter().map(|(u, v)| (u < share).then_some(v * unit)).collect())
}

fn table(missing: bool) -> impl Strategy<Value = Given> {
    (25usize..50, 1usize..7).prop_flat_map(move |(n, p)| {
        let weight = prop_oneof![1 => Just(0.0), 4 => 0.2..3.0f64];
        (
            prop::collection::vec(column(n, missing), p),
            prop::collection::vec(-2.0..2.0f64, n),
            prop::option::of(prop::collection::vec(weight, n)),
            prop::option::of(prop::collection::vec(-1.0..1.0f64, n)),
        )
            .prop_map(|(columns, y, weights, offset)| Given { columns, y, weights, offset })
    })
}

/// All rows; two folds; a training set with repeated rows in no order.
fn splits(n: usize) -> Vec<Split> {
    let half = |odd: usize| (0..n).filter(|i| i % 2 == odd).collect::<Vec<usize>>();
    let jumbled = (0..n).map(|i| (i * i + 3) % (n - 2)).collect();
    [((0..n).collect(), vec![]), (half(0), half(1)), (half(1), half(0)), (jumbled, vec![n - 1, n - 2, 0])]
        .map(|(train, test): (Vec<usize>, Vec<usize>)| Split { table: 0, train: train.into(), test: test.into() })
        .to_vec()
}

#[derive(Debug, Clone)]
struct Request {
    loss: &'static str,
    l1_ratio: f64,
    fit_intercept: bool,
    standardize: bool,
    factors: Option<Vec<f64>>,
    center: Option<Vec<f64>>,
    odd_only: bool,
}

fn request() -> impl Strategy<Value = Request> {
    let factor = prop_oneof![6 => 0.3..2.0f64, 1 => Just(f64::INFINITY)];
    (
        prop_oneof![Just("squared"), Just("logistic")],
        prop_oneof![Just(0.0), Just(1.0), Just(0.4)],
        any::<(bool, bool, bool)>(),
        prop::option::of(prop::collection::vec(factor, 6)),
        // some columns hold hundreds: from a centre of 1 there, rounding decides whether the floor of tol=0 is reached
        prop::option::of(prop::collection::vec(-0.01..0.01f64, 6)),
    )
        .prop_map(|(loss, l1_ratio, (fit_intercept, standardize, odd_only), factors, center)| Request {
            loss,
            l1_ratio,
            fit_intercept,
            standardize,
            factors,
            center,
            odd_only,
        })
}

fn penalty(l1_ratio: f64) -> Penalty {
    let (name, parameters) = match l1_ratio {
        0.0 => ("l2", vec![]),
        1.0 => ("l1", vec![]),
        ratio => ("elastic_net", vec![ratio]),
    };
    Penalty::plain(PenaltyKind::named(name, &parameters).unwrap())
}

fn cell(split: usize, request: &Request, p: usize, alphas: &[f64]) -> Cell {
    let first = |values: &Option<Vec<f64>>| values.as_ref().map(|v| v[..p].to_vec());
    let penalty =
        Penalty { factors: first(&request.factors), center: first(&request.center), ..penalty(request.l1_ratio) };
    let recipe = Recipe {
        loss: LossKind::named(request.loss, &[]).unwrap(),
        penalty,
        n_classes: 1,
        solver: Solver::Auto,
        of_max: false,
        fit_intercept: request.fit_intercept,
        standardize: request.standardize,
        scale_y: false,
    };
    let columns = request.odd_only.then(|| (0..p).filter(|j| j % 2 == 1).collect());
    Cell { split, columns, alphas: alphas.into(), recipe: Arc::new(recipe) }
}

/// Whether two columns differ on these rows by a factor (and a constant, if `centred`), as two with a single value
/// in the same row do: an L1 penalty may then share a coefficient among them in many ways that are equally good.
fn has_parallel_columns(given: &Given, rows: &[usize], centred: bool) -> bool {
    let weight = |i: usize| given.weights.as_ref().map_or(1.0, |w| w[i]);
    let total: f64 = rows.iter().map(|&i| weight(i)).sum();
    let direction = |column: &Vec<Option<f64>>| {
        let value = |i: usize| column[i].filter(|v| !v.is_nan()).unwrap_or(0.0);
        let mean = if centred { rows.iter().map(|&i| weight(i) * value(i)).sum::<f64>() / total } else { 0.0 };
        let z: Vec<f64> = rows.iter().map(|&i| weight(i).sqrt() * (value(i) - mean)).collect();
        let norm = z.iter().map(|z| z * z).sum::<f64>().sqrt();
        z.into_iter().map(|z| z / norm).collect::<Vec<f64>>()
    };
    let directions: Vec<Vec<f64>> = given.columns.iter().map(direction).collect();
    let cosine = |a: usize, b: usize| directions[a].iter().zip(&directions[b]).map(|(a, b)| a * b).sum::<f64>();
    (0..directions.len()).any(|b| (0..b).any(|a| cosine(a, b).abs() > 1.0 - 1e-6))
}

fn compare(mut given: Given, request: Request, impute: bool) {
    if request.loss == "logistic" {
        given.y.iter_mut().for_each(|y| *y = f64::from(u8::from(*y > 0.0)));
    }
    let mut splits = splits(given.n_rows());
    splits.retain(|split| !has_parallel_columns(&given, &split.train, request.fit_intercept));
    let cells: Vec<Cell> =
        (0..splits.len()).map(|s| cell(s, &request, given.columns.len(), &[0.3, 0.05, 0.01])).collect();
    let dense = run(given.dense(), &splits, &cells, impute, 0.0);
    assert_same(&dense, &run(given.sparse(), &splits, &cells, impute, 0.0));
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        rng_seed: RngSeed::Fixed(3),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn fits_are_those_of_the_dense_table(given in table(false), request in request()) {
        compare(given, request, false);
    }

    #[test]
    fn imputed_values_are_those_of_the_dense_table(given in table(true), request in request()) {
        compare(given, request, true);
    }

    #[test]
    fn unpenalised_columns_are_fitted_alike(given in table(false), mut request in request()) {
        request.loss = "squared";
        // without an L1 part the minimum norm tells dependent columns' solutions apart; with it a single one is free
        let others = if request.l1_ratio == 0.0 { 0.0 } else { 1.0 };
        request.factors = Some(vec![0.0, 1.0, others, 0.5, 1.0, others]);
        compare(given, request, false);
    }
}

fn plain(loss: &'static str, l1_ratio: f64) -> Request {
    let (fit_intercept, standardize, odd_only) = (true, false, false);
    Request { loss, l1_ratio, fit_intercept, standardize, factors: None, center: None, odd_only }
}

#[test]
fn a_missing_held_out_value_counts_as_the_training_mean() {
    let x = |last| vec![Some(1.0), None, Some(3.0), None, Some(2.0), None, None, last];
    let table = |last| Given {
        columns: vec![x(last)],
        y: vec![2.0, 1.0, 7.0, -1.0, 4.0, 0.0, 0.0, 5.0],
        weights: None,
        offset: None,
    };
    let split = Split { table: 0, train: (0..6).collect(), test: [6, 7].into() };
    let fit = |last, impute| {
        let cell = cell(0, &plain("squared", 0.0), 1, &[0.1]);
        run(table(last).sparse(), std::slice::from_ref(&split), &[cell], impute, 0.0).remove(0).fits.remove(0)
    };
    let (missing, filled) = (fit(Some(f64::NAN), true), fit(Some(1.0), false));
    assert!(missing.scores.iter().all(|s| s.is_finite()));
    assert!(close(&missing.scores, &filled.scores, 1e-12), "{:?}\n{:?}", missing.scores, filled.scores);
}

#[test]
fn dependent_unpenalised_columns_have_the_least_norm_and_say_so() {
    let first: Vec<Option<f64>> = (0..12).map(|i| (i % 3 == 0).then_some(f64::from(i + 1))).collect();
    let second = first.iter().map(|v| v.map(|v| 2.0 * v)).collect();
    let y = first.iter().map(|v| 5.0 * v.unwrap_or(0.0) + 1.0).collect();
    let given = Given { columns: vec![first, second], y, weights: None, offset: None };
    let split = Split { table: 0, train: (0..12).collect(), test: [].into() };
    let cell = cell(0, &plain("squared", 0.0), 2, &[0.0]);
    let fit = run(given.sparse(), &[split], &[cell], false, 1e-8).remove(0).fits.remove(0);
    assert_eq!(fit.report.status, Status::RankDeficient);
    // w1 + 2 w2 = 5
    assert!(close(&fit.coef, &[1.0, 2.0], 1e-12), "{:?}", fit.coef);
    assert!(close(&fit.intercept, &[1.0], 1e-12));
}
