//! Many columns, of which few are worked on: their part of the Gram matrix, packed.

use super::{Descent, Form, NEAR};
use crate::factor::padded;
use crate::penalty::ScaledPenalty;
use crate::simd::dot;

/// Some columns of a form, packed so that what is worked on stays in cache. Columns come and do not go.
#[derive(Debug, Clone, Default)]
pub(in crate::solver) struct Packed {
    columns: Vec<usize>,
    is_inside: Vec<bool>,
    gram: Vec<f64>,
    linear: Vec<f64>,
    b: Vec<f64>,
    state: Descent,
}

impl Packed {
    /// Minimises over the columns of the pack and those that `slope`, the one at `b`, calls in; false where they are too
    /// dependent.
    pub(in crate::solver) fn minimise(
        &mut self,
        form: Form<'_>,
        slope: &[f64],
        penalty: &ScaledPenalty,
        b: &mut [f64],
        floor: f64,
    ) -> bool {
        self.is_inside.resize(form.k, false);
        self.linear.resize(form.stride, 0.0);
        let is_called = |j: usize| b[j] != 0.0 || slope[j].abs() >= NEAR * penalty.l1[j];
        let called: Vec<usize> = (0..form.k).filter(|&j| !self.is_inside[j] && is_called(j)).collect();
        self.admit(form.stride, &called, |i, j| form.column(j)[i]);
        self.columns.iter().zip(&mut self.linear).for_each(|(&j, linear)| *linear = form.linear[j]);
        self.solve(form.stride, slope, penalty, b, floor)
    }

    /// Minimises over the columns of the pack, which are `stride` numbers apart, from `b`, where the slope is known.
    fn solve(&mut self, stride: usize, slope: &[f64], penalty: &ScaledPenalty, b: &mut [f64], floor: f64) -> bool {
        let k = self.columns.len();
        let local = Form { k, stride, gram: &self.gram, linear: &self.linear[..padded(k)] };
        let penalty = penalty.restrict(&self.columns);
        self.b.clear();
        self.b.extend(self.columns.iter().map(|&j| b[j]));
        self.state.slope.clear();
        self.state.slope.extend(self.columns.iter().map(|&j| slope[j]));
        self.state.slope.resize(padded(k), 0.0);
        let regular = self.state.minimise(local, &penalty, &mut self.b, floor);
        self.columns.iter().zip(&self.b).for_each(|(&j, value)| b[j] = *value);
        regular
    }

    /// Takes `c - G b` at the b that was found: those of the columns inside are known.
    pub(in crate::solver) fn spread_slope(&self, form: Form<'_>, b: &[f64], whole: &mut Descent) {
        let outside = form.k - self.columns.len();
        if outside > b.iter().filter(|b| **b != 0.0).count() {
            whole.place(form, b);
            return;
        }
        self.columns.iter().zip(&self.state.slope).for_each(|(&j, slope)| whole.slope[j] = *slope);
        for j in (0..form.k).filter(|&j| !self.is_inside[j]) {
            whole.slope[j] = form.linear[j] - dot(&form.column(j)[..form.k], b);
        }
    }

    /// Takes columns in; `product(i, j)` is an entry of G, j a new column. Those that are there get all new entries at once:
    /// they lie far apart in memory.
    fn admit(&mut self, stride: usize, called: &[usize], mut product: impl FnMut(usize, usize) -> f64) {
        let m = self.columns.len();
        called.iter().for_each(|&j| self.is_inside[j] = true);
        self.columns.extend_from_slice(called);
        self.gram.resize(self.columns.len() * stride, 0.0);
        for (a, &i) in self.columns.iter().enumerate() {
            for (q, &j) in called.iter().enumerate().skip(a.saturating_sub(m)) {
                let product = product(i, j);
                self.gram[a * stride + m + q] = product;
                self.gram[(m + q) * stride + a] = product;
            }
        }
    }

    /// Minimises over the columns of the pack and those, up to `room` in all, that `slope` calls in, where no matrix of all
    /// columns is kept; `product(i, j)` is an entry of it. None where there is no room for those.
    pub(in crate::solver) fn minimise_by(
        &mut self,
        room: usize,
        slope: &[f64],
        penalty: &ScaledPenalty,
        b: &mut [f64],
        mut product: impl FnMut(usize, usize) -> f64,
    ) -> Option<bool> {
        let stride = padded(room);
        self.is_inside.resize(slope.len(), false);
        self.linear.resize(stride, 0.0);
        let is_called = |j: usize| b[j] != 0.0 || penalty.off_at(j, 0.0, slope[j] / NEAR) > 0.0;
        let called: Vec<usize> = (0..slope.len()).filter(|&j| !self.is_inside[j] && is_called(j)).collect();
        if self.columns.len() + called.len() > room {
            return None;
        }
        self.admit(stride, &called, &mut product);
        // c is what the slope at b says: its digits are those of the rows
        for (m, &j) in self.columns.iter().enumerate() {
            let column = &self.gram[m * stride..];
            let along = self.columns.iter().zip(column).map(|(&i, g)| g * b[i]).sum::<f64>();
            self.linear[m] = slope[j] + along;
        }
        Some(self.solve(stride, slope, penalty, b, 0.0))
    }

    /// Columns of the pack.
    pub(in crate::solver) fn columns(&self) -> &[usize] {
        &self.columns
    }

    /// Whether no column outside wants to move.
    pub(in crate::solver) fn holds_all(&self, slope: &[f64], penalty: &ScaledPenalty) -> bool {
        (0..slope.len()).all(|j| self.is_inside[j] || penalty.off_at(j, 0.0, slope[j]) == 0.0)
    }
}
