//! What a path asks of a loss on one training set, whichever method fits it.

use super::Model;
use super::newton::{self, Report, Stop};
use crate::linalg::Cholesky;
use crate::penalty::{Curve, ScaledPenalty};
use crate::simd::dot;

/// A loss on one training set, fitted with one penalty after another, each fit starting from the last.
pub trait Fitter: Clone {
    /// Number of coordinates.
    fn n_coordinates(&self) -> usize;

    /// See [`Model::rounding`].
    fn slope_rounding(&self) -> f64;

    /// See [`Model::size`].
    fn loss_size(&self) -> f64;

    /// Says by how much each coordinate is expected to move in the next fit.
    fn expect(&mut self, _moves: impl Iterator<Item = f64>) {}

    /// Minimises mean loss plus penalty from the position `b`.
    fn minimise(&mut self, penalty: &ScaledPenalty, b: &mut [f64], stop: Stop<'_>) -> Report;

    /// Fits the unpenalised directions and the intercept with all others at the centre.
    fn minimise_null(&mut self, penalty: &ScaledPenalty, b: &mut [f64], stop: Stop<'_>);

    /// Mean loss at the position, above the least one.
    fn mean_loss(&self) -> f64;

    /// Negative gradient of the mean loss at the position; of a loss without one, the dual point's.
    fn slope(&mut self) -> Vec<f64>;

    /// The same with respect to the intercepts, largest of all classes.
    fn intercept_slope(&self) -> f64;

    /// Intercepts, one a class.
    fn intercepts(&self) -> Vec<f64>;

    /// Whether sums over rows stand for the rows.
    fn is_condensed(&self) -> bool {
        false
    }

    /// Newton steps towards a stationary point under a folded concave penalty, on the coordinates away from its kinks.
    fn polish(&mut self, _curve: &dyn Fn(usize, f64) -> Curve, _box: &ScaledPenalty, _b: &mut [f64]) {}
}

impl<M: Model + Clone> Fitter for M {
    fn n_coordinates(&self) -> usize {
        self.n_columns()
    }

    fn slope_rounding(&self) -> f64 {
        self.rounding()
    }

    fn loss_size(&self) -> f64 {
        self.size()
    }

    fn expect(&mut self, moves: impl Iterator<Item = f64>) {
        Model::expect(self, moves);
    }

    fn minimise(&mut self, penalty: &ScaledPenalty, b: &mut [f64], stop: Stop<'_>) -> Report {
        newton::fit(self, penalty, b, stop)
    }

    fn minimise_null(&mut self, penalty: &ScaledPenalty, b: &mut [f64], stop: Stop<'_>) {
        newton::fit_null(self, penalty, b, stop.max_iter);
    }

    fn mean_loss(&self) -> f64 {
        self.loss()
    }

    fn slope(&mut self) -> Vec<f64> {
        self.gradient()
    }

    fn intercept_slope(&self) -> f64 {
        Model::intercept_slope(self)
    }

    fn intercepts(&self) -> Vec<f64> {
        Model::intercepts(self)
    }

    fn is_condensed(&self) -> bool {
        Model::is_condensed(self)
    }

    fn polish(&mut self, curve: &dyn Fn(usize, f64) -> Curve, bounds: &ScaledPenalty, b: &mut [f64]) {
        const STEPS: usize = 20;
        for _ in 0..STEPS {
            if !polish_once(self, curve, bounds, b) {
                return;
            }
        }
    }
}

/// One step with the curvature of the penalty in it; false where it is no descent, leads across a kink, or gains nothing.
fn polish_once(
    model: &mut impl Model,
    curve: &dyn Fn(usize, f64) -> Curve,
    bounds: &ScaledPenalty,
    b: &mut [f64],
) -> bool {
    let inside = |j: usize| b[j] != 0.0 && b[j] > bounds.lower[j] && b[j] < bounds.upper[j];
    let set: Vec<usize> = (0..b.len()).filter(|&j| inside(j)).collect();
    let (mut hessian, mut slope) = model.newton_system(&set);
    let m = set.len();
    for (a, &j) in set.iter().enumerate() {
        let at = curve(j, b[j]);
        hessian[a * m + a] += at.curvature;
        slope[a] -= at.slope * b[j].signum();
    }
    let Some(factor) = Cholesky::new(&hessian, m) else { return false };
    let mut direction = slope.clone();
    factor.solve(&mut direction);
    let goal: Vec<f64> = set.iter().zip(&direction).map(|(&j, d)| b[j] + d).collect();
    let stays = |(&j, g): (&usize, &f64)| b[j] * g > 0.0 && *g > bounds.lower[j] && *g < bounds.upper[j];
    let promised = dot(&slope, &direction);
    if !goal.iter().all(|g| g.is_finite()) || !set.iter().zip(&goal).all(stays) || promised <= 0.0 {
        return false;
    }
    let value = |at: &dyn Fn(usize) -> f64| (0..m).map(|a| curve(set[a], at(a)).value).sum::<f64>();
    let (loss, penalty) = (model.loss(), value(&|a| b[set[a]]));
    model.aim(&set, &direction);
    let change = (model.loss_at(1.0) - loss) + (value(&|a| goal[a]) - penalty);
    let rounding = 1e-13 * (loss.abs() + penalty.abs());
    let falls = change <= -1e-4 * promised + rounding;
    model.advance(if falls { 1.0 } else { 0.0 });
    if falls {
        set.iter().zip(&goal).for_each(|(&j, g)| b[j] = *g);
    }
    falls && promised > rounding * 1e-3
}
