//! Newton steps on many coefficients by conjugate gradients.

use super::Softmax;
use super::rows::Bend;
use crate::columns::Many;
use crate::factor::Factor;
use crate::penalty::ScaledPenalty;
use crate::simd::axpy;
use crate::solver::PIVOT_FLOOR;
use crate::solver::inexact::conjugate_gradients;

/// Products with the Hessian that a step may take.
const MOST: usize = 300;
/// Part of what a step can gain that rounding leaves.
const FINEST: f64 = 1e-12;

/// Each class's own block of the Hessian, as a preconditioner: that of an earlier position, with the squares of the penalty.
///
/// A row's curvature `diag(p) - p p'` is at most twice its diagonal `diag(p (1 - p))`, and at least that over fields of
/// p-weighted mean 0. Moves that are the same in all classes, which have no curvature, are taken out before and after.
#[derive(Clone, Default)]
pub(super) struct Diagonal {
    grams: Vec<Vec<f64>>,
    squares: Vec<f64>,
    factors: Vec<Factor>,
    /// Products with the Hessian since the position was that of the blocks.
    products: usize,
}

impl Diagonal {
    /// Factors for these squares; false where a block is singular.
    fn factorise(&mut self, squares: &[f64]) -> bool {
        if self.squares != squares {
            let k = squares.len();
            self.factors.resize_with(self.grams.len(), Factor::default);
            for (factor, gram) in self.factors.iter_mut().zip(&self.grams) {
                factor.refresh(k, k, |j, out| {
                    out[j..].copy_from_slice(&gram[j * k + j..(j + 1) * k]);
                    out[j] += squares[j];
                });
            }
            self.squares = squares.to_vec();
        }
        self.factors.iter().all(|factor| factor.len() == squares.len() && factor.smallest_pivot() > PIVOT_FLOOR)
    }

    fn solve(&mut self, rest: &[f64]) -> Vec<f64> {
        let mut out = rest.to_vec();
        let k = self.squares.len();
        centre_classes(&mut out, k);
        out.chunks_exact_mut(k).zip(&mut self.factors).for_each(|(class, factor)| factor.solve(class));
        centre_classes(&mut out, k);
        out
    }
}

impl Softmax<'_> {
    /// Where the local model plus a penalty is least, near enough, and the intercepts' move to it. `None` where the penalty
    /// is none that treats classes alike with a square for every column.
    pub(super) fn approach(&mut self, penalty: &ScaledPenalty, b: &[f64], accuracy: f64) -> Option<Vec<f64>> {
        let many = self.many.clone()?;
        let squares = self.shared_squares(penalty)?;
        // the Gram matrices of an earlier position serve until they have cost as many products as new ones would
        let known = self.diagonal.take().filter(|known| known.products < many.len() / 2);
        let mut diagonal = known.unwrap_or_else(|| self.blocks(&many));
        if !diagonal.factorise(&squares) {
            return None;
        }
        let rest = self.rest(&squares, b);
        // of twice what the step can gain, which Newton's method squares: to leave more would cost the steps behind it
        let value = self.value + penalty.value(b);
        let enough = |first: f64| first * (first / value).clamp(FINEST, accuracy);
        let (x, products) =
            conjugate_gradients(|d| self.image(&many, &squares, d), |r| diagonal.solve(r), rest, enough, MOST)?;
        diagonal.products += products;
        self.diagonal = Some(diagonal);
        Some(self.split(&x, b))
    }

    /// Squares of one class's columns and, of the intercept, 0.
    fn shared_squares(&self, penalty: &ScaledPenalty) -> Option<Vec<f64>> {
        let p = self.columns.len();
        let (first, others) = penalty.l2.split_at_checked(p)?;
        let alike = first.iter().all(|l2| *l2 > 0.0) && others.chunks_exact(p).all(|l2| l2 == first);
        let serves = alike && penalty.is_smooth() && penalty.metric.is_none();
        serves.then(|| first.iter().copied().chain(self.fit_intercept.then_some(0.0)).collect())
    }

    fn blocks(&self, many: &Many<'_>) -> Diagonal {
        let of_class = |k: usize| {
            let rows = self.probability[self.rows_of(k)].iter().zip(self.omega);
            many.gram(&rows.map(|(p, omega)| omega * (p * (1.0 - p))).collect::<Vec<f64>>())
        };
        Diagonal { grams: (0..self.n_classes).map(of_class).collect(), ..Diagonal::default() }
    }

    /// What the slope lacks of the penalty's.
    fn rest(&self, squares: &[f64], b: &[f64]) -> Vec<f64> {
        let p = self.columns.len();
        let class = |k: usize| {
            let own = k * p..(k + 1) * p;
            let columns =
                self.slope[own.clone()].iter().zip(&b[own]).zip(squares).map(|((s, b), square)| s - square * b);
            columns.chain(self.fit_intercept.then_some(self.along[k]))
        };
        (0..self.n_classes).flat_map(class).collect()
    }

    /// The Hessian's product with a direction.
    fn image(&self, many: &Many<'_>, squares: &[f64], d: &[f64]) -> Vec<f64> {
        let bend = Bend { labels: &self.labels, omega: self.omega, probability: &self.probability, majorised: false };
        let mut image = many.through(d, |part| bend.weigh(part));
        let k = squares.len();
        for (image, d) in image.chunks_exact_mut(k).zip(d.chunks_exact(k)) {
            image.iter_mut().zip(d).zip(squares).for_each(|((i, d), square)| *i += square * d);
        }
        image
    }

    /// The goal of a move; the intercepts' move is kept for the aim. What all classes share of b costs and gains nothing.
    fn split(&mut self, x: &[f64], b: &[f64]) -> Vec<f64> {
        let p = self.columns.len();
        let k = p + usize::from(self.fit_intercept);
        let mut goal = b.to_vec();
        centre_classes(&mut goal, p);
        for (goal, x) in goal.chunks_exact_mut(p).zip(x.chunks_exact(k)) {
            axpy(1.0, &x[..p], goal);
        }
        let intercept = |class: &[f64]| class.get(p).copied().unwrap_or(0.0);
        self.intercept_goal = Some(x.chunks_exact(k).map(intercept).collect());
        goal
    }
}

/// Takes away what the classes share, column by column.
fn centre_classes(values: &mut [f64], k: usize) {
    let n_classes = values.len() / k;
    let mut mean = vec![0.0; k];
    values.chunks_exact(k).for_each(|class| axpy(1.0 / n_classes as f64, class, &mut mean));
    values.chunks_exact_mut(k).for_each(|class| axpy(-1.0, &mean, class));
}
