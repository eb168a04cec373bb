//! The squared loss on moments: a position costs no pass over rows.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use super::separable::{Descent, Form, Packed, is_held};
use super::spectrum::Spectrum;
use super::{Dual, Model, PIVOT_FLOOR};
use crate::factor::padded;
use crate::linalg::Cholesky;
use crate::penalty::{Directions, ScaledPenalty};
use crate::simd::{axpy, dot, largest, sum_abs};

/// Columns up to which the whole Gram matrix stays in cache and is worked on as it is.
const WHOLE: usize = 128;

/// Part of the largest entry of c above which what a solution lacks of the penalty's slope is solved for once more.
const ROUGH: f64 = 1e-13;

/// Times that columns are called into a pack before the certificate is looked at.
const MAX_PACKS: usize = 20;

/// Second moments `G` of the columns that may move, which targets share, and what is derived from them.
pub struct Curvature {
    k: usize,
    /// Columns, each [`padded`].
    gram: Vec<f64>,
    spectrum: OnceLock<Option<Spectrum>>,
}

impl Curvature {
    /// Takes the moments of k columns over, each [`padded`] with zeros.
    pub fn new(k: usize, gram: Vec<f64>) -> Self {
        Self { k, gram, spectrum: OnceLock::new() }
    }

    fn spectrum(&self, unit: &ScaledPenalty) -> Option<&Spectrum> {
        self.spectrum.get_or_init(|| Spectrum::new(self.k, &self.gram, &unit.l2)).as_ref()
    }
}

/// Squared loss with normalised moments `G`, `c`, `q = mean (y - o)^2` (centred where there is an intercept) of
/// the free columns in solver coordinates, the centre moved to 0.
#[derive(Clone)]
pub struct Gaussian {
    k: usize,
    curvature: Arc<Curvature>,
    linear: Vec<f64>,
    square: f64,
    intercept: f64,
    position: Vec<f64>,
    /// With the slope at the position.
    state: Descent,
    /// The columns that are worked on where there are many.
    pack: Packed,
    trail: Trail,
    /// `M'c` of the spectrum, where ridge problems are solved by it.
    projected: Option<Vec<f64>>,
    move_set: Vec<usize>,
    direction: Vec<f64>,
}

/// The last two solutions of a path of strengths.
#[derive(Clone, Default)]
struct Trail {
    before: Option<Milestone>,
    /// Sum of the weights of the penalty at the last one, 0 where there is none.
    last: f64,
}

/// The one before the last.
#[derive(Clone)]
struct Milestone {
    /// Sum of the weights of the penalty.
    weight: f64,
    b: Vec<f64>,
    slope: Vec<f64>,
}

impl Trail {
    /// Moves the last solution and its slope on in a straight line to a penalty of the same shape: between two kinks the
    /// solution is a smooth function of the strength. Columns that would meet a kink stay.
    fn lead(&mut self, form: Form<'_>, penalty: &ScaledPenalty, b: &mut [f64], slope: &mut [f64]) {
        let now = sum_abs(&penalty.l1) + sum_abs(&penalty.l2);
        let from = std::mem::replace(&mut self.last, now);
        if now == from || from == 0.0 {
            return;
        }
        let here = Milestone { weight: from, b: b.to_vec(), slope: slope.to_vec() };
        let Some(before) = self.before.replace(here) else { return };
        let share = (now - from) / (from - before.weight);
        // strengths that are nearly the same say nothing of a direction
        if !(0.0..=2.0).contains(&share) {
            return;
        }
        slope.iter_mut().zip(&before.slope).for_each(|(s, before)| *s += share * (*s - before));
        for (j, (b, before)) in b.iter_mut().zip(&before.b).enumerate() {
            let way = share * (*b - before);
            let on = *b + way;
            if on * *b > 0.0 && on > penalty.lower[j] && on < penalty.upper[j] && !is_held(penalty, j, *b) {
                *b = on;
            } else if way != 0.0 {
                axpy(way, form.column(j), slope);
            }
        }
    }
}

fn form<'a>(k: usize, gram: &'a [f64], linear: &'a [f64]) -> Form<'a> {
    Form { k, stride: padded(k), gram, linear }
}

/// A direction v, as numbers and entries of its columns, with its image `G v`.
type Move<'a> = (Vec<(usize, f64)>, Cow<'a, [f64]>);

impl Gaussian {
    /// At position 0; `linear` is [`padded`] with zeros. `intercept` is that of centred columns, whatever the position: the
    /// mean of the target, or 0 without one.
    pub fn new(curvature: Arc<Curvature>, linear: Vec<f64>, square: f64, intercept: f64) -> Self {
        let (k, state) = (curvature.k, Descent::at(linear.clone()));
        let (position, move_set, direction) = (vec![0.0; k], vec![], vec![]);
        let (pack, trail, projected) = (Packed::default(), Trail::default(), None);
        Self { k, curvature, linear, square, intercept, position, state, pack, trail, projected, move_set, direction }
    }

    /// Gets ready for many strengths of a penalty: if it is the square of every column, for one decomposition in place of a
    /// factorisation each.
    pub fn diagonalise(&mut self, unit: &ScaledPenalty) {
        if self.k > WHOLE || self.k == 0 || !unit.is_separable() || !unit.is_smooth() {
            return;
        }
        self.projected = self.curvature.spectrum(unit).map(|spectrum| spectrum.project(&self.linear[..self.k]));
    }

    fn column(&self, j: usize) -> &[f64] {
        &self.curvature.gram[j * padded(self.k)..][..self.k]
    }

    /// `c - G b` at the position.
    fn slope(&self) -> &[f64] {
        &self.state.slope[..self.k]
    }

    fn place(&mut self, b: &[f64]) {
        self.position.copy_from_slice(b);
        let Self { k, curvature, linear, state, .. } = self;
        state.place(form(*k, &curvature.gram, linear), b);
    }

    fn leap_on_all(&mut self, penalty: &ScaledPenalty, b: &mut [f64]) -> bool {
        let Self { k, curvature, linear, state, .. } = self;
        state.minimise(form(*k, &curvature.gram, linear), penalty, b, 0.0)
    }

    fn leap_by_descent(&mut self, penalty: &ScaledPenalty, b: &mut [f64], tol: f64) -> bool {
        if self.position != *b {
            self.place(b);
        }
        if self.k > WHOLE { self.leap_on_pack(penalty, b, tol) } else { self.leap_on_all(penalty, b) }
    }

    /// By the spectrum, if the problem is one of those that it has been made for and loses few digits; whether it is.
    fn leap_by_spectrum(&mut self, penalty: &ScaledPenalty, b: &mut [f64]) -> bool {
        let curvature = self.curvature.clone();
        let spectrum = self.projected.as_ref().and_then(|_| curvature.spectrum(penalty));
        let Some((spectrum, alpha)) = spectrum.and_then(|s| Some((s, s.strength_of(penalty)?))) else { return false };
        b.fill(0.0);
        let projected = self.projected.as_deref().unwrap_or_default();
        spectrum.add_solution(alpha, projected, b);
        self.place(b);
        let rest: Vec<f64> = self.slope().iter().zip(&penalty.l2).zip(&*b).map(|((s, l2), b)| s - l2 * b).collect();
        if largest(&rest) > ROUGH * largest(&self.linear) {
            spectrum.add_solution(alpha, &spectrum.project(&rest), b);
            self.place(b);
        }
        true
    }

    /// To a thousandth of the tolerance: what is left then costs the coefficients fewer digits than that.
    fn leap_on_pack(&mut self, penalty: &ScaledPenalty, b: &mut [f64], tol: f64) -> bool {
        let Self { k, curvature, linear, state, pack, trail, .. } = self;
        let form = form(*k, &curvature.gram, linear);
        trail.lead(form, penalty, b, &mut state.slope);
        let mut regular = true;
        for _ in 0..MAX_PACKS {
            regular = pack.minimise(form, &state.slope[..*k], penalty, b, (1e-3 * tol).min(1e-11));
            pack.spread_slope(form, b, state);
            if pack.holds_all(&state.slope[..*k], penalty) {
                break;
            }
        }
        regular
    }

    /// `q - 2 c'b + b'Gb = q - (c + slope)' b`.
    fn residual_square(&self) -> f64 {
        self.square_of(&self.position, self.slope())
    }

    fn square_of(&self, b: &[f64], slope: &[f64]) -> f64 {
        (self.square - dot(&self.linear[..self.k], b) - dot(slope, b)).max(0.0)
    }

    fn moves(&self, free: &Directions) -> Vec<Move<'_>> {
        let single = free.columns.iter().map(|&j| (vec![(j, 1.0)], Cow::Borrowed(self.column(j))));
        let combined = free.combined.iter().map(|direction| {
            let mut image = vec![0.0; self.k];
            direction.iter().enumerate().for_each(|(j, v)| axpy(*v, self.column(j), &mut image));
            (direction.iter().copied().enumerate().collect(), Cow::Owned(image))
        });
        single.chain(combined).collect()
    }

    fn moved(&self, t: f64) -> Vec<f64> {
        let mut b = self.position.clone();
        for (&j, d) in self.move_set.iter().zip(&self.direction) {
            b[j] += t * d;
        }
        b
    }
}

impl Model for Gaussian {
    fn n_columns(&self) -> usize {
        self.k
    }

    fn loss(&self) -> f64 {
        0.5 * self.residual_square()
    }

    fn gradient(&mut self) -> Vec<f64> {
        self.slope().to_vec()
    }

    fn newton_system(&mut self, set: &[usize]) -> (Vec<f64>, Vec<f64>) {
        let slope = self.slope();
        let mut gram = Vec::with_capacity(set.len() * set.len());
        for &j in set {
            let column = self.column(j);
            gram.extend(set.iter().map(|&i| column[i]));
        }
        (gram, set.iter().map(|&j| slope[j]).collect())
    }

    fn aim(&mut self, set: &[usize], direction: &[f64]) {
        self.move_set = set.to_vec();
        self.direction = direction.to_vec();
    }

    fn loss_at(&mut self, t: f64) -> f64 {
        let b = self.moved(t);
        let mut slope = self.linear[..self.k].to_vec();
        for (j, b) in b.iter().enumerate().filter(|(_, b)| **b != 0.0) {
            axpy(-b, self.column(j), &mut slope);
        }
        0.5 * self.square_of(&b, &slope)
    }

    fn advance(&mut self, t: f64) {
        let b = self.moved(t);
        self.place(&b);
    }

    /// With `r = r' + Z c`, Z the free directions: `X'r' = slope - G_Z c` and `|r'|^2 = |r|^2 - c'Z'r`.
    fn dual(&mut self, free: &Directions) -> Option<Dual> {
        let mut correlation = self.slope().to_vec();
        let total = self.residual_square();
        let mut removed = 0.0;
        if !free.is_empty() {
            let moves = self.moves(free);
            let slope: Vec<f64> =
                moves.iter().map(|(at, _)| at.iter().map(|(j, v)| v * correlation[*j]).sum()).collect();
            let gram: Vec<f64> = moves
                .iter()
                .flat_map(|(_, image)| moves.iter().map(|(at, _)| at.iter().map(|(j, v)| v * image[*j]).sum::<f64>()))
                .collect();
            let mut c = slope.clone();
            let factor = Cholesky::new(&gram, moves.len()).filter(|f| f.smallest_pivot() > PIVOT_FLOOR)?;
            factor.solve(&mut c);
            removed = dot(&c, &slope).max(0.0);
            for ((_, image), c) in moves.iter().zip(&c) {
                axpy(-c, image, &mut correlation);
            }
        }
        Some(Dual { theta: vec![], correlation, scale: 1.0, squares: ((total - removed).max(0.0), removed) })
    }

    fn loss_gap(&self, dual: &Dual, s: f64) -> f64 {
        0.5 * ((1.0 - s).powi(2) * dual.squares.0 + dual.squares.1)
    }

    fn leap(&mut self, penalty: &ScaledPenalty, b: &mut [f64], tol: f64) -> Option<bool> {
        if !penalty.is_separable() || (self.k > WHOLE && penalty.is_smooth()) {
            return None;
        }
        let regular = self.leap_by_spectrum(penalty, b) || self.leap_by_descent(penalty, b, tol);
        if b.iter().all(|b| b.is_finite()) {
            self.position.copy_from_slice(b);
            return Some(regular);
        }
        b.copy_from_slice(&self.position);
        self.place(b);
        Some(false)
    }

    fn short_gap(&self, penalty: &ScaledPenalty, b: &[f64], _far: f64) -> Option<f64> {
        let (s, bracket) = penalty.plain_fenchel(b, self.slope(), self.rounding())?;
        Some(0.5 * (1.0 - s).powi(2) * self.residual_square() + bracket)
    }

    fn intercept(&self) -> f64 {
        self.intercept
    }

    fn rounding(&self) -> f64 {
        1e-13 * self.residual_square().sqrt() + 4.0 * f64::EPSILON * self.square.sqrt()
    }

    fn is_condensed(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::linalg::weighted_gram;
    use crate::solver::Fitter;
    use crate::solver::newton::{Status, Stop};

    /// Moments of k columns that share a factor, on n rows, and of a target of every third one.
    fn model(k: usize, n: usize, seed: u64) -> Gaussian {
        let mut state = seed;
        let mut draw = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1u64 << 53) as f64 - 0.5
        };
        let factor: Vec<f64> = (0..n).map(|_| draw()).collect();
        let mut columns: Vec<Vec<f64>> = (0..k).map(|_| factor.iter().map(|f| draw() + 0.7 * f).collect()).collect();
        let mut target: Vec<f64> = (0..n).map(|_| 2.0 * draw()).collect();
        columns.iter().step_by(3).for_each(|column| axpy(4.0 * draw(), column, &mut target));
        columns.push(target);
        let views: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
        let cross = weighted_gram(&views, &vec![(n as f64).sqrt().recip(); n]);
        let padded_column = |j: usize| {
            let mut column = cross[j * (k + 1)..][..k].to_vec();
            column.resize(padded(k), 0.0);
            column
        };
        let curvature = Curvature::new(k, (0..k).flat_map(padded_column).collect());
        Gaussian::new(Arc::new(curvature), padded_column(k), cross[k * (k + 2)], 0.0)
    }

    /// Whole matrices and packs, with new factors for every strength and with kept ones, with and without bounds.
    #[test]
    fn a_path_equals_cold_fits() {
        let cancel = AtomicBool::new(false);
        for (k, n, ridge, bound, tol) in [
            (20, 60, 0.0, f64::INFINITY, 1e-8),
            (20, 60, 0.5, f64::INFINITY, 1e-8),
            (20, 60, 0.5, 0.1, 1e-8),
            (90, 300, 0.5, f64::INFINITY, 1e-8),
            (90, 60, 0.0, f64::INFINITY, 1e-8),
            (160, 400, 0.0, f64::INFINITY, 0.0),
            (160, 400, 0.5, f64::INFINITY, 1e-8),
            (160, 400, 0.5, f64::INFINITY, 0.0),
            (160, 400, 0.1, 0.05, 1e-8),
        ] {
            let cold = model(k, n, (k + n) as u64);
            let (mut warm, mut b) = (cold.clone(), vec![0.0; k]);
            let top = cold.slope().iter().fold(0.0, |a: f64, c| a.max(c.abs()));
            for step in 0..25 {
                let alpha = 1.1 * top * 0.8_f64.powi(step);
                let mut penalty = ScaledPenalty::separable(vec![(1.0 - ridge) * alpha; k], vec![ridge * alpha; k]);
                penalty.upper.iter_mut().step_by(2).for_each(|upper| *upper = bound);
                let stop = Stop { tol, max_iter: 50, null_objective: cold.loss(), cancel: &cancel };
                let report = warm.minimise(&penalty, &mut b, stop);
                let mut alone = vec![0.0; k];
                cold.clone().minimise(&penalty, &mut alone, stop);
                let size = alone.iter().fold(0.0, |a: f64, b| a.max(b.abs()));
                let apart = alone.iter().zip(&b).fold(0.0, |a: f64, (x, y)| a.max((x - y).abs()));
                assert_eq!(report.status, Status::Converged, "k {k} ridge {ridge} step {step}: {report:?}");
                assert!(apart <= 1e-9 * size, "k {k} ridge {ridge} step {step}: {apart} of {size}");
                let off = penalty.largest_violation(&b, &warm.gradient(), |_| 1.0);
                assert!(off <= 1e-10 * top, "k {k} ridge {ridge} step {step}: {off}");
            }
        }
    }
}
