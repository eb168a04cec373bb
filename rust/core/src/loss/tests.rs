//! What holds for every loss of the registry. Parameters, y and eta are random reals: they do not meet the kinks.

use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestError, TestRng, TestRunner};

use super::*;

/// Random numbers that a case is made of, the same whatever the loss.
#[derive(Debug, Clone, Copy)]
struct Draw {
    /// From which parameters are made, in (0, 1).
    share: f64,
    y: f64,
    /// Which of the targets made from `y` comes first.
    turn: usize,
    eta: f64,
    theta: f64,
}

fn draws() -> impl Strategy<Value = Draw> {
    let eta = prop_oneof![9 => -15.0..15.0f64, 1 => -700.0..700.0f64];
    (0.05..0.95f64, -3.0..3.0f64, 0..4usize, eta, -2.0..2.0f64).prop_map(|(share, y, turn, eta, theta)| Draw {
        share,
        y,
        turn,
        eta,
        theta,
    })
}

/// A kind with random parameters in their ranges.
fn kind(spec: &LossSpec, share: f64) -> LossKind {
    let value = |p: &crate::registry::Parameter| match p.high {
        high if high.is_finite() => p.low + share * (high - p.low),
        _ => p.low + 4.0 * share,
    };
    let parameters: Vec<f64> = spec.spec.parameters.iter().map(value).collect();
    LossKind::named(spec.spec.name, &parameters).unwrap()
}

/// A target in the domain: the number itself, its magnitude, a class, or 0.
fn target<L: Loss>(loss: L, draw: &Draw) -> f64 {
    let candidates = [draw.y, draw.y.abs(), f64::from(u8::from(draw.y > 0.0)), 0.0];
    let turned = (0..4).map(|i| candidates[(draw.turn + i) % 4]);
    turned.into_iter().find(|y| loss.admits(*y)).expect("no candidate lies in the domain: add one")
}

/// Random cases of a fixed seed.
fn runner() -> TestRunner {
    let config = ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

/// Runs a check on random cases of every loss.
macro_rules! for_every_loss {
    ($($test:ident: $check:ident),+ $(,)?) => {$(
        #[test]
        fn $test() {
            for spec in LossKind::SPECS {
                let run = |draw: Draw| {
                    with_loss!(kind(spec, draw.share), loss => $check(loss, target(loss, &draw), &draw))
                };
                if let Err(error) = runner().run(&draws(), run) {
                    panic!("{}: {error}", spec.spec.name);
                }
            }
        }
    )+};
}

for_every_loss! {
    derivatives_are_those_of_the_value: derivatives,
    values_are_those_above_the_least: least,
    brackets_are_those_of_the_conjugate: brackets,
    scales_reach_the_edge_of_the_domain: scales,
    brackets_of_a_shift_are_bounded: bounded_brackets,
    majorants_lie_above: majorants,
    directions_recede_where_the_loss_never_rises: receding,
    terms_are_finite: finite,
    null_ranges_hold_the_best_constant: null_ranges,
    scores_are_those_of_the_description: described_scores,
}

type Verdict = std::result::Result<(), TestCaseError>;

fn derivatives<L: Loss>(loss: L, y: f64, draw: &Draw) -> Verdict {
    let eta = draw.eta;
    let (below, above) = (eta - 1e-5, eta + 1e-5);
    let (low, here, high) = (loss.terms(y, below), loss.terms(y, eta), loss.terms(y, above));
    let step = above - below;
    let size = here.residual.abs() + here.curvature;
    // the differences carry the rounding of what they are taken of
    let slope_error = ((high.value - low.value) / step + here.residual).abs();
    prop_assert!(slope_error <= 1e-6 * size + 1e-9 * here.value, "slope off by {slope_error:e}");
    let curvature_error = ((high.residual - low.residual) / step + here.curvature).abs();
    prop_assert!(curvature_error <= 1e-6 * size + 1e-9 * y.abs(), "curvature off by {curvature_error:e}");
    prop_assert!(here.curvature >= 0.0);
    Ok(())
}

/// Largest value of a concave function over the etas at which terms are finite, by golden section.
fn largest<L: Loss>(loss: L, of: impl Fn(f64) -> f64) -> f64 {
    let end = loss.largest_eta().min(700.0);
    let (mut low, mut high) = (-end, end);
    for _ in 0..200 {
        let (left, right) =
            (high - 0.618_033_988_749_894_8 * (high - low), low + 0.618_033_988_749_894_8 * (high - low));
        if of(left) < of(right) { low = left } else { high = right }
    }
    of(low).max(of(high)).max(of(-end)).max(of(end))
}

fn least<L: Loss>(loss: L, y: f64, draw: &Draw) -> Verdict {
    let value = loss.value(y, draw.eta);
    prop_assert!(value >= 0.0);
    prop_assert_eq!(value, loss.terms(y, draw.eta).value);
    prop_assert!(loss.least(y).is_finite());
    let least = -largest(loss, |e| -loss.value(y, e));
    prop_assert!(least.abs() < 1e-9, "comes no closer to 0 than {least:e}");
    Ok(())
}

fn brackets<L: Loss>(loss: L, y: f64, draw: &Draw) -> Verdict {
    let eta = draw.eta;
    let here = loss.terms(y, eta);
    prop_assert_eq!(loss.fenchel(y, eta, here.residual, here.residual), 0.0);
    let theta = loss.feasible_scale(y, draw.theta) * draw.theta;
    let bracket = loss.fenchel(y, eta, here.residual, theta);
    // Fenchel and Young: L*(-theta) is the largest of -theta e - L(e)
    let bound = |e: f64| here.value + theta * (eta - e) - loss.value(y, e);
    let rounding = 1e-9 * (1.0 + here.value);
    for step in -80..=80 {
        let bound = bound(f64::from(step) * 0.5);
        prop_assert!(bracket >= bound - rounding, "{bracket} is less than {bound}");
    }
    let reached = largest(loss, bound);
    prop_assert!(bracket <= reached + 1e-6 * reached + rounding, "{bracket} is more than {reached}");
    Ok(())
}

fn bounded_brackets<L: Loss>(loss: L, y: f64, draw: &Draw) -> Verdict {
    let shift = draw.theta / 4.0;
    let Terms { residual, curvature, .. } = loss.terms(y, draw.eta);
    let theta = residual - shift * curvature;
    if loss.has_chi_square_bound() {
        let bound = shift * shift * curvature;
        // of y - theta, of which nothing may be left
        let rounding = 4.0 * f64::EPSILON * (y.abs() + residual.abs());
        prop_assert!(loss.feasible_scale(y, theta) >= 1.0 - 4.0 * f64::EPSILON);
        let bracket = loss.fenchel(y, draw.eta, residual, theta);
        let is_lost = curvature < rounding;
        prop_assert!(bracket <= bound * (1.0 + 1e-9) + rounding || is_lost, "{bracket} > {bound}");
    }
    Ok(())
}

fn scales<L: Loss>(loss: L, y: f64, draw: &Draw) -> Verdict {
    let s = loss.feasible_scale(y, draw.theta);
    prop_assert!((0.0..=1.0).contains(&s));
    let residual = loss.terms(y, draw.eta).residual;
    let bracket = |s: f64| loss.fenchel(y, draw.eta, residual, s * draw.theta);
    prop_assert!(bracket(s).is_finite() && bracket(s) >= 0.0, "{} at the scale", bracket(s));
    prop_assert!(s == 1.0 || bracket(s * (1.0 + 1e-12) + 1e-300) == f64::INFINITY);
    prop_assert!(
        loss.fenchel(y, draw.eta, residual, f64::NAN).is_nan()
            || !loss.fenchel(y, draw.eta, residual, f64::NAN).is_finite()
    );
    for zero in [0.0, -0.0] {
        prop_assert_eq!(loss.feasible_scale(y, zero), 1.0);
    }
    Ok(())
}

fn majorants<L: Loss>(loss: L, y: f64, draw: &Draw) -> Verdict {
    let here = loss.terms(y, draw.eta);
    let majorant = loss.majorant(y, draw.eta);
    prop_assert!(majorant > 0.0 || here.value == 0.0, "not positive");
    // what grows faster than any parabola has none above it
    let outgrows = |side: f64| loss.value(y, side * 600.0) > 5.0 * loss.value(y, side * 300.0);
    if outgrows(1.0) || outgrows(-1.0) {
        prop_assert_eq!(majorant, here.curvature);
        return Ok(());
    }
    for step in -200..=200 {
        let e = f64::from(step) * 0.25;
        let d = e - draw.eta;
        let parabola = here.value - here.residual * d + 0.5 * majorant * d * d;
        let rounding = 1e-12 * (1.0 + here.value + (here.residual * d).abs());
        prop_assert!(loss.value(y, e) <= parabola + rounding, "at {e}");
    }
    Ok(())
}

fn receding<L: Loss>(loss: L, y: f64, draw: &Draw) -> Verdict {
    let eta = draw.eta.clamp(-15.0, 15.0);
    for d in [0.5 + draw.share, -0.5 - draw.share, 0.0, -0.0] {
        let steps = (0..12).map(|k| f64::exp2(f64::from(k)) * 0.15);
        let path: Vec<f64> = std::iter::once(0.0).chain(steps).map(|t| loss.value(y, eta + t * d)).collect();
        let rises = path.windows(2).any(|pair| pair[1] > pair[0] * (1.0 + 1e-12));
        prop_assert_eq!(loss.recedes(y, d), !rises, "along {}", d);
    }
    Ok(())
}

fn finite<L: Loss>(loss: L, y: f64, draw: &Draw) -> Verdict {
    prop_assert!(loss.largest_eta() >= 700.0);
    prop_assert!(loss.longest_step() > 0.0);
    for eta in [draw.eta, 700.0, -700.0, 0.0] {
        let Terms { value, residual, curvature } = loss.terms(y, eta);
        for number in [value, residual, curvature, loss.majorant(y, eta), loss.mean(eta)] {
            prop_assert!(number.is_finite(), "at {eta}");
        }
        prop_assert!(value >= 0.0);
    }
    prop_assert!(loss.value(y, f64::NAN).is_nan() && loss.terms(y, f64::NAN).value.is_nan());
    Ok(())
}

/// Targets that a loss accepts together.
fn accepted<L: Loss>(loss: L, y: f64, draw: &Draw) -> Vec<f64> {
    let others = (0..4).map(|turn| target(loss, &Draw { turn, y: draw.theta, ..*draw }));
    let mut targets: Vec<f64> = std::iter::once(y).chain(others).collect();
    if loss.refuses(&targets, true).is_some() {
        targets.push(target(loss, &Draw { turn: 1, y: 1.0 - y, ..*draw }));
    }
    targets
}

fn null_ranges<L: Loss>(loss: L, y: f64, draw: &Draw) -> Verdict {
    let targets = accepted(loss, y, draw);
    prop_assert_eq!(loss.refuses(&targets, true), None);
    let weights: Vec<f64> = (0..targets.len()).map(|i| 1.0 + draw.share * i as f64).collect();
    let total: f64 = weights.iter().sum();
    let mean = targets.iter().zip(&weights).map(|(y, w)| y * w).sum::<f64>() / total;
    let (low, high) = loss.null_range(&targets, mean);
    let slope = |b: f64| targets.iter().zip(&weights).map(|(y, w)| w * loss.terms(*y, b).residual).sum::<f64>();
    prop_assert!(low <= high && slope(low) >= -1e-12 * total && slope(high) <= 1e-12 * total);
    Ok(())
}

fn described_scores<L: Loss>(loss: L, y: f64, draw: &Draw) -> Verdict {
    let LossSpec { score, scores, kind, .. } = L::SPEC;
    prop_assert!(scores.contains(&score));
    let has_squares = ["mean_squared_error", "r2_score"].iter().all(|name| scores.contains(name));
    prop_assert!(kind == Kind::Classification || has_squares);
    let targets = accepted(loss, y, draw);
    let eta: Vec<f64> = (0..targets.len()).map(|i| 0.01 * draw.eta + i as f64).collect();
    let weights = vec![1.0; targets.len()];
    let rows = Rows::new(&targets, &eta, &weights).unwrap();
    let values = loss.scores(&rows);
    prop_assert_eq!(values.len(), scores.len());
    prop_assert!(values.iter().all(|v| v.is_finite()), "{values:?}");
    Ok(())
}

/// A loss that belongs in no registry: its derivative is off by a thousandth.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Wrong;

impl Loss for Wrong {
    const SPEC: LossSpec = Squared::SPEC;

    fn new(_parameters: &[f64]) -> Self {
        Self
    }

    fn terms(self, y: f64, eta: f64) -> Terms {
        let terms = Squared.terms(y, eta);
        Terms { residual: 1.001 * terms.residual, ..terms }
    }

    fn value(self, y: f64, eta: f64) -> f64 {
        Squared.value(y, eta)
    }

    fn fenchel(self, y: f64, eta: f64, residual: f64, theta: f64) -> f64 {
        0.999 * Squared.fenchel(y, eta, residual, theta)
    }

    fn feasible_scale(self, _y: f64, _theta: f64) -> f64 {
        1.0
    }

    fn mean(self, eta: f64) -> f64 {
        eta
    }

    fn null_range(self, _y: &[f64], mean: f64) -> (f64, f64) {
        (mean, mean)
    }

    fn scores(self, rows: &Rows<'_>) -> Vec<f64> {
        Squared.scores(rows)
    }
}

#[test]
fn a_wrong_loss_is_found_out() {
    let found = |check: fn(Wrong, f64, &Draw) -> Verdict| {
        let result = runner().run(&draws(), |draw| check(Wrong, draw.y, &draw));
        matches!(result, Err(TestError::Fail(..)))
    };
    assert!(found(derivatives) && found(brackets));
}

#[test]
fn a_probability_that_rounds_to_one_has_a_finite_gap() {
    let eta = 800.0;
    let residual = Logistic.terms(0.0, eta).residual;
    // q = 1/2 against p = 1 - exp(-800): log(1/2) + 800/2
    let bracket = Logistic.fenchel(0.0, eta, residual, -0.5);
    assert!((bracket - (400.0 + 0.5f64.ln())).abs() < 1e-12 * bracket);
}

#[test]
fn a_dual_point_of_zero_certifies_nothing_but_the_objective() {
    for spec in LossKind::SPECS {
        with_loss!(kind(spec, 0.3), loss => {
            for y in [0.0, 1.0, 2.5].into_iter().filter(|y| loss.admits(*y)) {
                let terms = loss.terms(y, 0.7);
                let bracket = loss.fenchel(y, 0.7, terms.residual, 0.0);
                assert!((bracket - terms.value).abs() < 1e-14 * (1.0 + terms.value), "{}", spec.spec.name);
            }
        });
    }
}

/// With a log link, `k` times the target and the mean is `k^degree` times the loss above the least and its bracket.
fn check_units<L: Loss>(loss: L, degree: f64) {
    for k in [1e-140, 1e-30, 1e30, 1e140f64] {
        for (y, eta, theta) in [(2.0, 0.6, 0.1), (2.0, 0.7, -0.4), (0.5, 3.0, 0.3), (7.0, -1.0, 1.5)] {
            let (unit, moved) = (k.powf(degree), eta + k.ln());
            let residual = loss.terms(y, eta).residual;
            let bracket = |y, eta, theta| loss.fenchel(y, eta, loss.terms(y, eta).residual, theta);
            let pairs = [
                (loss.value(y, eta), loss.value(k * y, moved) / unit),
                (bracket(y, eta, theta), bracket(k * y, moved, unit * theta) / unit),
            ];
            for (here, there) in pairs {
                // an eta of 320 is rounded by 6e-14, which moves the loss by its slope times that
                let rounding = 2e-13 * (residual.abs() + theta.abs());
                assert!((there - here).abs() < 1e-12 * here + rounding, "{here} {there}");
            }
        }
    }
}

#[test]
fn losses_with_a_log_link_know_no_units() {
    check_units(Poisson, 1.0);
    check_units(Gamma, 0.0);
    check_units(Tweedie { power: 1.2 }, 0.8);
    check_units(Tweedie { power: 1.9 }, 0.1);
}

#[test]
fn scales_keep_to_the_limit_after_rounding() {
    for i in 1..2000 {
        let (limit, size) = (0.001 * f64::from(i), 2.0 + 0.37 * f64::from(i));
        let s = largest_scale(size, limit);
        assert!(s * size <= limit && s * size >= limit * (1.0 - 4.0 * f64::EPSILON));
    }
}

#[test]
fn targets_outside_the_domain_are_named() {
    let refused = |name: &str, y: &[f64]| LossKind::named(name, &[]).unwrap().refuses(y, true).unwrap();
    assert_eq!(refused("poisson", &[1.0, -2.0]), "y holds -2, the poisson loss wants numbers of at least 0");
    assert_eq!(refused("gamma", &[1.0, 0.0]), "y holds 0, the gamma loss wants numbers above 0");
    assert_eq!(refused("squared_hinge", &[1.0, 0.5]), "y holds 0.5, the squared_hinge loss wants 0 and 1");
    assert_eq!(refused("logistic", &[1.0, 1.0]), "the training rows hold a single class");
    assert_eq!(refused("poisson", &[0.0; 3]), "y is 0 on every row: the fit is at minus infinity");
    assert_eq!(Poisson.refuses(&[0.0; 3], false), None);
    assert_eq!(Tweedie { power: 1.5 }.refuses(&[0.0, 1.0], true), None);
}

#[test]
fn names_resolve() {
    for spec in LossKind::SPECS {
        let parameters: Vec<f64> = spec.spec.parameters.iter().map(|p| p.default.unwrap_or(0.5)).collect();
        assert_eq!(LossKind::named(spec.spec.name, &parameters).unwrap().name(), spec.spec.name);
    }
    assert!(LossKind::named("nonsense", &[]).is_err());
    assert!(LossKind::named("tweedie", &[2.0]).is_err() && LossKind::named("huber", &[0.0]).is_err());
}
