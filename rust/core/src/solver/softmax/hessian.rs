//! Hessians of the softmax loss, added up edge by edge.

use super::Softmax;
use super::laplacian::Laplacian;
use crate::columns::{Column, correlate, gram};
use crate::simd::{axpy, dot, multiply, sum};

/// Mean curvature below which its digits are gone.
const SMALLEST_CURVATURE: f64 = 1e-150;
/// Curvature along moves that are the same in all classes, in units of that along others.
const GAUGE: f64 = 1e-8;

/// Hessian and slope on a set of coefficients with the intercepts eliminated, and what that left behind.
#[derive(Clone)]
pub(super) struct System {
    pub set: Vec<usize>,
    pub hessian: Vec<f64>,
    pub slope: Vec<f64>,
    majorised: bool,
    /// Hessian between the set and each class's intercept, one class after another.
    cross: Vec<f64>,
    /// Hessian of the intercepts: sums of the edges, then what their elimination left.
    edges: Vec<f64>,
    intercepts: Option<Laplacian>,
}

/// Entries of a set that belong to one class.
#[derive(Default)]
pub(super) struct Members {
    /// Their numbers in the set.
    pub entries: Vec<usize>,
    /// Their columns.
    pub columns: Vec<usize>,
    /// Where these stand in the union that a product is made of.
    places: Vec<usize>,
}

impl System {
    /// The intercepts' best answer to a move of the set.
    pub fn answer(&self, along: &[f64], direction: &[f64]) -> Vec<f64> {
        let Some(laplacian) = &self.intercepts else { return vec![0.0; along.len()] };
        let m = direction.len();
        let rest = along.iter().enumerate().map(|(k, s)| s - dot(&self.cross[k * m..(k + 1) * m], direction));
        let mut answer: Vec<f64> = rest.collect();
        laplacian.solve(&mut answer);
        answer
    }

    /// Takes `C D^+ C'` from the Hessian and `C D^+ s` from the slope, D being the Hessian of the intercepts.
    fn eliminate(&mut self, along: &[f64]) {
        let (m, n_classes) = (self.set.len(), along.len());
        let laplacian = Laplacian::new(std::mem::take(&mut self.edges), n_classes);
        for a in 0..m {
            let mut shares: Vec<f64> = (0..n_classes).map(|k| self.cross[k * m + a]).collect();
            laplacian.solve(&mut shares);
            for (k, share) in shares.iter().enumerate() {
                axpy(-share, &self.cross[k * m..(k + 1) * m], &mut self.hessian[a * m..(a + 1) * m]);
            }
            self.slope[a] -= dot(&shares, along);
        }
        self.intercepts = Some(laplacian);
    }

    /// Adds what an edge between classes k and l, of that total weight, puts between intercepts and coefficients, whose
    /// products with its weights are `sums`.
    fn add_cross(&mut self, members: &[Members], (k, l): (usize, usize), sums: &[f64], total: f64) {
        let (m, n_classes) = (self.set.len(), members.len());
        for (own, other) in [(k, l), (l, k)] {
            self.edges[own * n_classes + other] = total;
            for (&a, &place) in members[own].entries.iter().zip(&members[own].places) {
                self.cross[own * m + a] += sums[place];
                self.cross[other * m + a] -= sums[place];
            }
        }
    }

    /// Adds what an edge between classes k and l puts between coefficients.
    fn add_edge(&mut self, members: &[Members], (k, l): (usize, usize), block: &[f64]) {
        for (rows, others, sign) in [(k, k, 1.0), (l, l, 1.0), (k, l, -1.0), (l, k, -1.0)] {
            self.add(&members[rows], &members[others], block, sign);
        }
    }

    fn add(&mut self, rows: &Members, others: &Members, block: &[f64], sign: f64) {
        let (m, width) = (self.set.len(), block.len().isqrt());
        for (&b, &place_b) in others.entries.iter().zip(&others.places) {
            let column = &block[place_b * width..(place_b + 1) * width];
            for (&a, &place_a) in rows.entries.iter().zip(&rows.places) {
                self.hessian[b * m + a] += sign * column[place_a];
            }
        }
    }
}

impl<'a> Softmax<'a> {
    /// The system on `set` at the position: the last one, where it is that.
    pub(super) fn system_on(&mut self, set: &[usize], majorised: bool) -> System {
        let known = self.system.take().filter(|known| known.set == set && known.majorised == majorised);
        known.unwrap_or_else(|| self.assemble(set, majorised))
    }

    /// The system on `set`. Where of two classes only one has members, these need no product of their own: the weights of
    /// all such edges are added up first.
    fn assemble(&self, set: &[usize], majorised: bool) -> System {
        let mut system = self.empty_system(set, majorised);
        if set.is_empty() {
            self.join(&mut system);
            return system;
        }
        let mut members = self.members(set);
        let mut alone: Vec<Option<Vec<f64>>> = vec![None; self.n_classes];
        for edge in (0..self.n_classes).flat_map(|k| (k + 1..self.n_classes).map(move |l| (k, l))) {
            let weights = self.edge(edge, majorised);
            let union = self.union(&mut members, &[edge.0, edge.1]);
            if self.fit_intercept {
                system.add_cross(&members, edge, &correlate(&union, &weights), sum(&weights));
            }
            match (members[edge.0].entries.is_empty(), members[edge.1].entries.is_empty()) {
                (true, true) => {}
                (false, false) => system.add_edge(&members, edge, &gram(&union, &weights)),
                (_, true) => add_to(&mut alone[edge.0], weights),
                (true, _) => add_to(&mut alone[edge.1], weights),
            }
        }
        for (k, weights) in alone.iter().enumerate().filter_map(|(k, weights)| Some((k, weights.as_ref()?))) {
            let own = self.union(&mut members, &[k]);
            system.add(&members[k], &members[k], &gram(&own, weights), 1.0);
        }
        if self.fit_intercept {
            system.eliminate(&self.along);
        }
        system
    }

    /// The edges between the intercepts alone.
    fn join(&self, system: &mut System) {
        if !self.fit_intercept {
            return;
        }
        let (k, total) = (self.n_classes, sum(self.omega));
        let mut weighted = vec![0.0; self.labels.len()];
        for a in 0..k {
            multiply(&self.probability[self.rows_of(a)], self.omega, &mut weighted);
            for b in a + 1..k {
                let edge = dot(&weighted, &self.probability[self.rows_of(b)]);
                let edge = if edge < SMALLEST_CURVATURE { total * SMALLEST_CURVATURE } else { edge };
                let edge = if system.majorised { total * 0.5 / k as f64 } else { edge };
                (system.edges[a * k + b], system.edges[b * k + a]) = (edge, edge);
            }
        }
        system.eliminate(&self.along);
    }

    fn empty_system(&self, set: &[usize], majorised: bool) -> System {
        let (m, n_classes) = (set.len(), if self.fit_intercept { self.n_classes } else { 0 });
        System {
            set: set.to_vec(),
            hessian: vec![0.0; m * m],
            slope: set.iter().map(|&index| self.slope[index]).collect(),
            majorised,
            cross: vec![0.0; n_classes * m],
            edges: vec![0.0; n_classes * n_classes],
            intercepts: None,
        }
    }

    /// Weights of the edge between two classes in all rows: of the curvature, or of a bound of it, `(I - 1 1' / K) / 2`
    /// (Boehning, 1992).
    fn edge(&self, (k, l): (usize, usize), majorised: bool) -> Vec<f64> {
        let times = |edge: f64| self.omega.iter().map(|omega| omega * edge).collect();
        if majorised {
            return times(0.5 / self.n_classes as f64);
        }
        let mut weights = vec![0.0; self.labels.len()];
        multiply(&self.probability[self.rows_of(k)], &self.probability[self.rows_of(l)], &mut weights);
        weights.iter_mut().zip(self.omega).for_each(|(w, omega)| *w *= omega);
        // where every row's curvature has underflowed, the slope is all that is known of a direction
        if sum(&weights) < SMALLEST_CURVATURE { times(SMALLEST_CURVATURE) } else { weights }
    }

    pub(super) fn members(&self, set: &[usize]) -> Vec<Members> {
        let p = self.columns.len();
        let mut members: Vec<Members> = (0..self.n_classes).map(|_| Members::default()).collect();
        for (a, &index) in set.iter().enumerate() {
            members[index / p].entries.push(a);
            members[index / p].columns.push(index % p);
        }
        members
    }

    /// Columns of the members of some classes, each once; the members learn their places among them.
    fn union(&self, members: &mut [Members], classes: &[usize]) -> Vec<Column<'a>> {
        let mut numbers: Vec<usize> = classes.iter().flat_map(|&k| members[k].columns.iter().copied()).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let mut places = vec![0; self.columns.len()];
        numbers.iter().enumerate().for_each(|(place, &j)| places[j] = place);
        for &k in classes {
            members[k].places = members[k].columns.iter().map(|&j| places[j]).collect();
        }
        numbers.iter().map(|&j| self.columns[j]).collect()
    }

    /// Adds `GAUGE (sum_k h_k d_kj)^2 / sum_k h_k / 2` to the local model for columns j with all classes in the set, h being
    /// the Hessian's diagonal. The loss does not see a move that is the same in all classes, and an L1 penalty bounds such
    /// a move without curvature: the sum, small enough not to be felt beside a ridge, keeps systems regular. No term is
    /// larger than those it is added to, so that a class of vanishing probability keeps its digits.
    pub(super) fn regularise(&self, set: &[usize], hessian: &mut [f64]) {
        let (m, p) = (set.len(), self.columns.len());
        let mut entries: Vec<Vec<usize>> = vec![vec![]; p];
        set.iter().enumerate().for_each(|(a, index)| entries[index % p].push(a));
        for own in entries.iter().filter(|own| own.len() == self.n_classes) {
            let diagonal: Vec<f64> = own.iter().map(|&a| hessian[a * m + a]).collect();
            let total: f64 = diagonal.iter().sum();
            for (&b, h) in own.iter().zip(&diagonal).filter(|_| total > 0.0) {
                own.iter().zip(&diagonal).for_each(|(&a, g)| hessian[b * m + a] += GAUGE * (h / total) * g);
            }
        }
    }
}

fn add_to(sum: &mut Option<Vec<f64>>, weights: Vec<f64>) {
    match sum {
        Some(sum) => axpy(1.0, &weights, sum),
        None => *sum = Some(weights),
    }
}
