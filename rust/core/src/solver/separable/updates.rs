//! Updates of columns one after another, and slopes, compiled for every instruction set.

use pulp::{Simd, WithSimd};

use super::{Descent, Form, MAX_SWEEPS, is_held};
use crate::penalty::{ScaledPenalty, soft_threshold};
use crate::simd::{add_scaled, add_scaled_each};

/// Sweeps over all columns, then over the active ones, until moves are small against the largest so far. True if nothing
/// moved at all.
pub(super) struct Sweeps<'a, 'f> {
    pub(super) form: Form<'f>,
    pub(super) penalty: &'a ScaledPenalty,
    pub(super) accuracy: f64,
    pub(super) b: &'a mut [f64],
    pub(super) state: &'a mut Descent,
}

impl WithSimd for Sweeps<'_, '_> {
    type Output = bool;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> bool {
        let Self { form, penalty, accuracy, b, state } = self;
        let Descent { slope, inverse, diagonal, swept, .. } = state;
        let k = b.len();
        let columns = Columns::new(form, penalty, diagonal, inverse);
        let first = (0..k).fold(0.0, |a: f64, j| a.max(columns.update(simd, j, b, slope)));
        let mut largest = first;
        for _ in 0..MAX_SWEEPS {
            swept.clear();
            swept.extend((0..k).filter(|&j| !is_held(penalty, j, b[j])));
            let moved = swept.iter().fold(0.0, |a: f64, &j| a.max(columns.update(simd, j, b, slope)));
            largest = largest.max(moved);
            // squares of moves
            if moved <= accuracy * accuracy * largest {
                break;
            }
        }
        first == 0.0
    }
}

/// What an update of one column takes.
struct Columns<'a> {
    form: Form<'a>,
    diagonal: &'a [f64],
    inverse: &'a [f64],
    l1: &'a [f64],
    lower: &'a [f64],
    upper: &'a [f64],
}

/// One update of each column that has been listed.
pub(super) struct Wake<'a, 'f> {
    pub(super) form: Form<'f>,
    pub(super) penalty: &'a ScaledPenalty,
    pub(super) b: &'a mut [f64],
    pub(super) state: &'a mut Descent,
}

impl WithSimd for Wake<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Descent { slope, inverse, diagonal, swept, .. } = self.state;
        let columns = Columns::new(self.form, self.penalty, diagonal, inverse);
        swept.iter().for_each(|&j| _ = columns.update(simd, j, self.b, slope));
    }
}

impl<'a> Columns<'a> {
    #[inline(always)]
    fn new(form: Form<'a>, penalty: &'a ScaledPenalty, diagonal: &'a [f64], inverse: &'a [f64]) -> Self {
        let k = form.k;
        let (l1, lower, upper) = (&penalty.l1[..k], &penalty.lower[..k], &penalty.upper[..k]);
        Self { form, diagonal: &diagonal[..k], inverse: &inverse[..k], l1, lower, upper }
    }

    /// Minimises over column j alone; the square of its move in units of the quadratic form.
    #[inline(always)]
    fn update<S: Simd>(&self, simd: S, j: usize, b: &mut [f64], slope: &mut [f64]) -> f64 {
        let (curvature, inverse, before) = (self.diagonal[j], self.inverse[j], b[j]);
        let pull = soft_threshold(slope[j] + curvature * before, self.l1[j]);
        let after = (pull * inverse).max(self.lower[j]).min(self.upper[j]);
        let moved = after - before;
        if moved == 0.0 || inverse == 0.0 {
            return 0.0;
        }
        b[j] = after;
        add_scaled(simd, -moved, self.form.column(j), slope);
        moved * moved * curvature
    }
}

/// `c - G b`.
pub(super) struct SlopeAt<'a, 'f> {
    pub(super) form: Form<'f>,
    pub(super) b: &'a [f64],
    pub(super) out: &'a mut Vec<f64>,
}

impl WithSimd for SlopeAt<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.out.clear();
        self.out.extend_from_slice(self.form.linear);
        let mut moved = self.b.iter().enumerate().filter(|(_, b)| **b != 0.0).map(|(j, b)| (self.form.column(j), -b));
        while let Some((first, by)) = moved.next() {
            match (moved.next(), moved.next(), moved.next()) {
                (Some(second), Some(third), Some(fourth)) => {
                    let columns = [first, second.0, third.0, fourth.0];
                    add_scaled_each(simd, [by, second.1, third.1, fourth.1], columns, self.out);
                }
                (second, third, _) => {
                    for (column, by) in [Some((first, by)), second, third].into_iter().flatten() {
                        add_scaled(simd, by, column, self.out);
                    }
                }
            }
        }
    }
}
