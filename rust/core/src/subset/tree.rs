//! Held-out squared errors of every column subset by a tree of Schur complements.
//!
//! A node of the tree is a set of eliminated columns. It holds two symmetric matrices over the target and the columns
//! that may still join: the training Gram matrix A (with the ridge on its diagonal) and the held-out one T, both of
//! columns from which the eliminated ones are regressed out *on the training rows*. Column r joins by
//! `z_i <- z_i - l_i z_r`, `l_i = A_ir / A_rr`, on both sides:
//!
//! ```text
//! A'_ik = A_ik - l_i A_rk
//! T'_ik = T_ik - l_i T_rk - l_k T_ir + l_i l_k T_rr = T_ik - l_i u_k - l_k u_i,   u_i = T_ir - l_i T_rr / 2
//! ```
//!
//! and `T_yy` is the held-out squared error of the node. The target comes first, then columns in ascending order, in
//! packed rows (entry (i, k <= i) at `i (i + 1) / 2 + k`): columns join from the last to the first, so that to leave the
//! last one out is to look at a shorter prefix, and the errors of a subtree are neighbours in memory.
//!
//! SIMD lanes are subsets of the first columns, which are eliminated at the root in some lanes only. No lane is idle
//! whatever the number of folds, none is ever summed with another, and lanes are neighbours in memory too.

use pulp::{Arch, Simd, WithSimd};

/// Both matrices of one fold over p columns and, before them, the target: packed rows, unit diagonal of A.
#[derive(Debug, Clone)]
pub struct Root {
    /// A; the entry of the target with itself is not read.
    pub train: Vec<f64>,
    /// T.
    pub test: Vec<f64>,
}

/// Squared pivot (of columns of unit norm) below which a subset's error is not trusted. Its error has lost the digits
/// of `eps / pivot`, about ten of sixteen are left.
const PIVOT_FLOOR: f64 = 1e-6;

/// Columns of the part that is written out in full.
const BOTTOM: usize = 3;
/// Columns of the deepest tree.
const DEEPEST: usize = 32;
/// Folds that go through a subtree together: so many working sets fit the nearest cache.
const TOGETHER: usize = 8;

/// Columns from which on trees are deep enough for lanes and the part written out; others are padded.
pub fn least_columns() -> usize {
    BOTTOM + Arch::new().dispatch(Lanes)
}

struct Lanes;

impl WithSimd for Lanes {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> usize {
        S::F64_LANES.ilog2() as usize
    }
}

/// Entry (i, k), k <= i, of packed rows.
pub fn packed(i: usize, k: usize) -> usize {
    i * (i + 1) / 2 + k
}

/// One subtree: that of subsets whose last columns are given by the bits of `number`.
pub struct Subtree<'a> {
    /// Folds, over `p >=` [`least_columns`] columns.
    pub roots: &'a [Root],
    /// p.
    pub n_columns: usize,
    /// Which of the columns beyond those of the subtree are in.
    pub number: usize,
    /// Sums over the folds are added to these, entry m for the columns in the bits of m.
    pub errors: &'a mut [f64],
}

impl Subtree<'_> {
    /// Adds the errors of its subsets; NaN where a pivot is too small.
    pub fn add_errors(self) {
        Arch::new().dispatch(self);
    }
}

impl WithSimd for Subtree<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let kernel = Kernel { simd, floor: simd.splat_f64s(PIVOT_FLOOR), nan: simd.splat_f64s(f64::NAN) };
        let n_own = self.errors.len().ilog2() as usize - S::F64_LANES.ilog2() as usize;
        let (errors, _) = S::as_mut_simd_f64s(self.errors);
        for roots in self.roots.chunks(TOGETHER) {
            // no closure around a kernel: it would be compiled for the baseline
            let mut folds = Vec::with_capacity(roots.len());
            for root in roots {
                folds.push(kernel.slots(kernel.start(root, self.n_columns, self.number, n_own), n_own));
            }
            kernel.walk(&mut folds, errors);
        }
    }
}

/// A and T of one node, a subset in each lane.
struct Node<S: Simd> {
    train: Vec<S::f64s>,
    test: Vec<S::f64s>,
}

impl<S: Simd> Node<S> {
    #[inline(always)]
    fn part(&self) -> Part<'_, S> {
        (&self.train, &self.test)
    }

    #[inline(always)]
    fn part_mut(&mut self) -> PartMut<'_, S> {
        (&mut self.train, &mut self.test)
    }
}

/// Packed rows of A and T.
type Part<'a, S> = (&'a [<S as Simd>::f64s], &'a [<S as Simd>::f64s]);
type PartMut<'a, S> = (&'a mut [<S as Simd>::f64s], &'a mut [<S as Simd>::f64s]);

struct Kernel<S: Simd> {
    simd: S,
    floor: S::f64s,
    nan: S::f64s,
}

impl<S: Simd> Kernel<S> {
    /// The node of a subtree's own columns, the others being in or out.
    #[inline(always)]
    fn start(&self, root: &Root, n_columns: usize, number: usize, n_own: usize) -> Node<S> {
        let n_lane_columns = S::F64_LANES.ilog2() as usize;
        let n_tree = n_columns - n_lane_columns;
        let mut node = self.load(root, n_columns, n_lane_columns);
        for column in (0..n_lane_columns).rev() {
            let pivot = n_tree + 1 + column;
            let inverse = self.in_lanes(column, self.inverse(node.train[packed(pivot, pivot)]));
            node = self.joined(&node, pivot, inverse);
        }
        for pivot in (n_own + 1..=n_tree).rev().filter(|pivot| number >> (pivot - n_own - 1) & 1 == 1) {
            node = self.joined(&node, pivot, self.inverse(node.train[packed(pivot, pivot)]));
        }
        node
    }

    /// All lanes alike, the columns of the lanes behind the others.
    #[inline(always)]
    fn load(&self, root: &Root, n_columns: usize, n_lane_columns: usize) -> Node<S> {
        let order: Vec<usize> =
            [0].into_iter().chain(n_lane_columns + 1..=n_columns).chain(1..=n_lane_columns).collect();
        let at = |i: usize, k: usize| packed(order[i].max(order[k]), order[i].min(order[k]));
        let places: Vec<usize> =
            (0..=n_columns).flat_map(|i| (0..=i).map(move |k| (i, k))).map(|(i, k)| at(i, k)).collect();
        let spread = |values: &[f64]| places.iter().map(|&at| self.simd.splat_f64s(values[at])).collect();
        Node { train: spread(&root.train), test: spread(&root.test) }
    }

    /// Zero in the lanes whose subsets leave a column of the lanes out.
    #[inline(always)]
    fn in_lanes(&self, column: usize, value: S::f64s) -> S::f64s {
        let bits: Vec<f64> = (0..S::F64_LANES).map(|lane| f64::from((lane >> column & 1) as u8)).collect();
        let is_in = self.simd.greater_than_f64s(self.simd.partial_load_f64s(&bits), self.simd.splat_f64s(0.5));
        self.simd.select_f64s(is_in, value, self.simd.splat_f64s(0.0))
    }

    /// `-1 / pivot`, NaN for a small one.
    #[inline(always)]
    fn inverse(&self, pivot: S::f64s) -> S::f64s {
        let inverse = self.simd.div_f64s(self.simd.splat_f64s(-1.0), pivot);
        self.simd.select_f64s(self.simd.greater_than_f64s(pivot, self.floor), inverse, self.nan)
    }

    #[inline(always)]
    fn joined(&self, from: &Node<S>, pivot: usize, inverse: S::f64s) -> Node<S> {
        let mut to = self.node(pivot - 1);
        let zero = self.simd.splat_f64s(0.0);
        let mut room = (vec![zero; pivot], vec![zero; pivot]);
        self.join(from.part(), pivot, inverse, to.part_mut(), (&mut room.0, &mut room.1));
        to
    }

    /// A node of that many columns, not filled.
    #[inline(always)]
    fn node(&self, n_columns: usize) -> Node<S> {
        let values = vec![self.simd.splat_f64s(0.0); packed(n_columns + 1, 0)];
        Node { train: values.clone(), test: values }
    }

    /// Room for the nodes of a walk, by the number of the column that joined last; behind them the start.
    #[inline(always)]
    fn slots(&self, start: Node<S>, n_own: usize) -> Vec<Node<S>> {
        (BOTTOM..n_own).map(|n_columns| self.node(n_columns)).chain([start]).collect()
    }

    /// Visits all sets of columns above the bottom in the order of their masks. The parent of a mask is the mask
    /// without its lowest bit: it was visited before, and since then only nodes of lower bits were.
    #[inline(always)]
    fn walk(&self, folds: &mut [Vec<Node<S>>], errors: &mut [S::f64s]) {
        let (bottoms, _) = errors.as_chunks_mut::<{ 1 << BOTTOM }>();
        for (mask, errors) in bottoms.iter_mut().enumerate() {
            for slots in &mut *folds {
                let start = slots.len() - 1;
                let slot_of = |mask: usize| if mask == 0 { start } else { mask.trailing_zeros() as usize };
                let slot = slot_of(mask);
                if mask != 0 {
                    let (to, from) = slots.split_at_mut(slot + 1);
                    self.join_at(slot, from[slot_of(mask & (mask - 1)) - slot - 1].part(), to[slot].part_mut());
                }
                self.bottom(slots[slot].part(), errors);
            }
        }
    }

    /// Lets the column of a slot join. Half of all nodes are of the lowest slot, a quarter of the next: their loops
    /// are unrolled.
    #[inline(always)]
    fn join_at(&self, slot: usize, from: Part<'_, S>, to: PartMut<'_, S>) {
        match slot {
            0 => self.join_few::<{ BOTTOM + 1 }>(from, to),
            1 => self.join_few::<{ BOTTOM + 2 }>(from, to),
            2 => self.join_few::<{ BOTTOM + 3 }>(from, to),
            3 => self.join_few::<{ BOTTOM + 4 }>(from, to),
            _ => {
                let (pivot, zero) = (BOTTOM + 1 + slot, self.simd.splat_f64s(0.0));
                let inverse = self.inverse(from.0[packed(pivot, pivot)]);
                let mut room = ([zero; DEEPEST], [zero; DEEPEST]);
                self.join(from, pivot, inverse, to, (&mut room.0, &mut room.1));
            }
        }
    }

    #[inline(always)]
    fn join_few<const PIVOT: usize>(&self, from: Part<'_, S>, to: PartMut<'_, S>) {
        let zero = self.simd.splat_f64s(0.0);
        let inverse = self.inverse(from.0[packed(PIVOT, PIVOT)]);
        self.join(from, PIVOT, inverse, to, (&mut [zero; PIVOT], &mut [zero; PIVOT]));
    }

    /// Regresses the column `pivot` out of those before it; `inverse` is `-1 / A_rr`, and there is room for -l and u.
    #[inline(always)]
    fn join(&self, from: Part<'_, S>, pivot: usize, inverse: S::f64s, to: PartMut<'_, S>, room: PartMut<'_, S>) {
        let (simd, last) = (self.simd, packed(pivot, 0));
        let (a, t) = (&from.0[last..=last + pivot], &from.1[last..=last + pivot]);
        let (l, u) = (&mut room.0[..pivot], &mut room.1[..pivot]);
        let half = simd.mul_f64s(simd.splat_f64s(0.5), t[pivot]);
        for i in 0..pivot {
            l[i] = simd.mul_f64s(a[i], inverse);
            u[i] = simd.mul_add_e_f64s(l[i], half, t[i]);
        }
        for i in 0..pivot {
            let row = packed(i, 0)..=packed(i, i);
            let (train, test) = (&from.0[row.clone()], &from.1[row.clone()]);
            let (to_train, to_test) = (&mut to.0[row.clone()], &mut to.1[row]);
            for k in 0..=i {
                to_train[k] = simd.mul_add_e_f64s(l[i], a[k], train[k]);
                to_test[k] = simd.mul_add_e_f64s(u[i], l[k], simd.mul_add_e_f64s(l[i], u[k], test[k]));
            }
        }
    }

    /// Adds the errors of all subsets of the first three columns.
    #[inline(always)]
    fn bottom(&self, node: Part<'_, S>, errors: &mut [S::f64s; 1 << BOTTOM]) {
        let zero = self.simd.splat_f64s(0.0);
        let (mut a, mut t) = ([zero; 6], [zero; 6]);
        self.join_few::<BOTTOM>(node, (&mut a, &mut t));
        let (without, with) = (self.pair(node), self.pair((&a, &t)));
        for at in 0..1 << (BOTTOM - 1) {
            errors[at] = self.simd.add_f64s(errors[at], without[at]);
            errors[at + 4] = self.simd.add_f64s(errors[at + 4], with[at]);
        }
    }

    /// Errors of the subsets of the first two columns.
    #[inline(always)]
    fn pair(&self, node: Part<'_, S>) -> [S::f64s; 4] {
        let zero = self.simd.splat_f64s(0.0);
        let (mut a, mut t) = ([zero; 3], [zero; 3]);
        self.join_few::<2>(node, (&mut a, &mut t));
        [node.1[0], self.single(node), t[0], self.single((&a, &t))]
    }

    /// Error of the first column alone: `T_yy - 2 l T_jy + l^2 T_jj`.
    #[inline(always)]
    fn single(&self, (a, t): Part<'_, S>) -> S::f64s {
        let l = self.simd.mul_f64s(a[1], self.inverse(a[2]));
        let slope = self.simd.mul_add_e_f64s(l, t[2], self.simd.add_f64s(t[1], t[1]));
        self.simd.mul_add_e_f64s(l, slope, t[0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A symmetric positive definite matrix in packed rows.
    fn definite(size: usize, seed: usize) -> Vec<f64> {
        let at = |i: usize, r: usize| (((1 + i) * (1 + r) + 97 * seed) as f64 * 0.7548776662).sin();
        let entry = |i: usize, k: usize| (0..40).map(|r| at(i, r) * at(k, r)).sum::<f64>();
        (0..size).flat_map(|i| (0..=i).map(move |k| (i, k))).map(|(i, k)| entry(i, k)).collect()
    }

    /// `T_yy - 2 w'T_Xy + w'T_XX w` with `A w = A_y`, by elimination without any sharing.
    fn plain(root: &Root, columns: &[usize]) -> f64 {
        let at = |values: &[f64], i: usize, k: usize| values[packed(i.max(k), i.min(k))];
        let k = columns.len();
        let gram: Vec<f64> = columns
            .iter()
            .flat_map(|&i| columns.iter().map(move |&j| (i, j)))
            .map(|(i, j)| at(&root.train, i, j))
            .collect();
        let mut w: Vec<f64> = columns.iter().map(|&j| at(&root.train, j, 0)).collect();
        if k > 0 {
            crate::linalg::Cholesky::new(&gram, k).unwrap().solve(&mut w);
        }
        let all: Vec<(usize, f64)> = columns.iter().copied().zip(w.iter().map(|w| -w)).chain([(0, 1.0)]).collect();
        all.iter()
            .flat_map(|a| all.iter().map(move |b| (a, b)))
            .map(|((i, a), (j, b))| a * b * at(&root.test, *i, *j))
            .sum()
    }

    #[test]
    fn every_subset_of_every_subtree_equals_a_fit_of_its_own() {
        let p = least_columns().max(8);
        let roots: Vec<Root> =
            (0..11).map(|f| Root { train: definite(p + 1, f), test: definite(p + 1, f + 50) }).collect();
        let mut errors = vec![0.0; 1 << p];
        for (number, part) in errors.chunks_mut(1 << (p - 1)).enumerate() {
            Subtree { roots: &roots, n_columns: p, number, errors: part }.add_errors();
        }
        for (mask, error) in errors.iter().enumerate() {
            let columns: Vec<usize> = (0..p).filter(|j| mask >> j & 1 == 1).map(|j| j + 1).collect();
            let wanted: f64 = roots.iter().map(|root| plain(root, &columns)).sum();
            assert!((error - wanted).abs() < 1e-9 * wanted, "{mask}: {error} against {wanted}");
        }
    }
}
