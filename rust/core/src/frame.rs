//! How the columns of one cell meet a solver: which may move, in which units, about which centre.

use std::sync::Arc;

use crate::columns::{Column, combine};
use crate::design::{Design, solver_scale};
use crate::factor::padded;
use crate::moments::{ColumnMoments, ColumnStats, Moments};
use crate::penalty::{Block, Curve, Metric, PenaltyKind, ScaledPenalty, Shares};
use crate::problem::Cell;
use crate::solver::{Curvature, Gaussian};

/// Solver coordinates `b_j = (w_j - w0_j) d_j` of the columns that may move.
///
/// `d` is the root mean square that the design divides by, so one matrix serves penalties on raw and on
/// standardised coefficients: the penalised quantity is `w_j s_j` with `s` the standard deviation or 1, hence its
/// weights take the factor `s_j / d_j`. With more than two classes the coordinates of one class follow those of another;
/// which columns may move is the same for all.
pub struct Frame {
    /// Columns of the table that may move.
    pub free: Vec<usize>,
    n_classes: usize,
    kind: PenaltyKind,
    /// `d_j` of each free column.
    scale: Vec<f64>,
    /// `s_j / d_j` of each free column.
    unit: Vec<f64>,
    /// Factor of each free column.
    factor: Vec<f64>,
    /// Ends of the box in solver coordinates, class after class, and in original units.
    lower: Vec<f64>,
    upper: Vec<f64>,
    ends: Vec<(f64, f64)>,
    /// Group norms at strength 1, over the columns of all classes.
    blocks: Vec<Block>,
    metric: Option<Arc<Metric>>,
    /// What multiplies terms of degree one: see [`Frame::new`].
    target_sd: f64,
    /// Where the coordinates are 0: class, column, value other than 0.
    origin: Vec<(usize, usize, f64)>,
    fit_intercept: bool,
    mean: Vec<f64>,
}

impl Frame {
    /// `target_sd` multiplies terms of degree one: minimising over y / sd with weight alpha is minimising over y with
    /// alpha sd on `|w|` and alpha on `w^2`.
    pub fn new(cell: &Cell, stats: &ColumnStats, target_sd: f64) -> Self {
        let all: Vec<usize> = (0..stats.mean.len()).collect();
        let allowed = cell.columns.as_deref().unwrap_or(&all);
        let mut frame = Self {
            free: vec![],
            n_classes: cell.n_classes,
            kind: cell.penalty.kind,
            scale: vec![],
            unit: vec![],
            factor: vec![],
            lower: vec![],
            upper: vec![],
            ends: vec![],
            blocks: vec![],
            metric: None,
            target_sd,
            origin: vec![],
            fit_intercept: cell.fit_intercept,
            mean: stats.mean.clone(),
        };
        for &j in allowed {
            frame.admit(j, cell, stats);
        }
        frame.place(cell, allowed, stats);
        frame.blocks = frame.group(cell, allowed);
        frame.metric = cell.penalty.metric.as_ref().and_then(|metric| frame.scaled_metric(metric));
        frame
    }

    /// Lets column j move unless its factor pins it, or it cannot be told from the intercept or from 0.
    fn admit(&mut self, j: usize, cell: &Cell, stats: &ColumnStats) {
        let factor = cell.penalty.factor(j);
        let spread = if stats.constant[j] { 0.0 } else { stats.sd[j] };
        let shift = if self.fit_intercept { 0.0 } else { stats.mean[j] };
        let flat = spread == 0.0 && (cell.standardize || shift == 0.0);
        if flat || factor == f64::INFINITY {
            return;
        }
        let scale = solver_scale(stats.sd[j], shift);
        self.free.push(j);
        self.scale.push(scale);
        self.unit.push(if cell.standardize { spread } else { 1.0 } / scale);
        self.factor.push(factor);
    }

    /// Origin and box. A penalised or constant column is at its centre; one without penalty is not drawn there, and to
    /// start there could only be far from the solution.
    fn place(&mut self, cell: &Cell, allowed: &[usize], stats: &ColumnStats) {
        let p = stats.mean.len();
        let penalty = &cell.penalty;
        for class in 0..self.n_classes {
            let mut free = self.free.iter().zip(&self.scale).peekable();
            for &j in allowed {
                let at = class * p + j;
                let (low, high) = (penalty.lower_of(at), penalty.upper_of(at));
                let drawn = penalty.factor(j) > 0.0 || stats.constant[j];
                let origin = if drawn { penalty.center_of(at) } else { 0.0_f64.clamp(low, high) };
                if origin != 0.0 {
                    self.origin.push((class, j, origin));
                }
                if let Some((_, scale)) = free.next_if(|(free, _)| **free == j) {
                    self.lower.push((low - origin) * scale);
                    self.upper.push((high - origin) * scale);
                    self.ends.push((low, high));
                }
            }
        }
    }

    /// A block for each group with a column that may move: `sqrt|g|`, g all its columns within the subset.
    fn group(&self, cell: &Cell, allowed: &[usize]) -> Vec<Block> {
        let (norm, m) = (self.kind.shares().norm, self.free.len());
        let Some(label) = cell.penalty.groups.as_ref().filter(|_| norm > 0.0) else { return vec![] };
        let mut blocks: std::collections::BTreeMap<usize, (usize, Vec<usize>)> = Default::default();
        allowed.iter().for_each(|&j| blocks.entry(label[j]).or_default().0 += 1);
        for (a, &j) in self.free.iter().enumerate() {
            blocks.entry(label[j]).or_default().1.push(a);
        }
        let make = |(size, members): (usize, Vec<usize>)| Block {
            weight: norm * (size as f64).sqrt() * self.target_sd,
            scale: self.each_class(|_| members.iter().map(|&a| self.factor[a] * self.unit[a])),
            members: self.each_class(|class| members.iter().map(move |a| class * m + a)),
        };
        blocks.into_values().filter(|(_, members)| !members.is_empty()).map(make).collect()
    }

    /// Whether the coordinates are 0 where a coefficient is not.
    pub fn has_origin(&self) -> bool {
        !self.origin.is_empty()
    }

    fn each_class<T, I: Iterator<Item = T>>(&self, values: impl Fn(usize) -> I) -> Vec<T> {
        (0..self.n_classes).flat_map(values).collect()
    }

    /// `F P F` with the roots of the factors, on free columns, in solver coordinates; each class has its own.
    fn scaled_metric(&self, metric: &[f64]) -> Option<Arc<Metric>> {
        let (m, p) = (self.free.len(), self.mean.len());
        let k = m * self.n_classes;
        let weight: Vec<f64> = self.factor.iter().zip(&self.unit).map(|(f, u)| f.sqrt() * u).collect();
        let mut matrix = vec![0.0; k * k];
        for class in 0..self.n_classes {
            for a in 0..m {
                for c in 0..m {
                    let entry = weight[a] * weight[c] * metric[self.free[a] * p + self.free[c]];
                    matrix[(class * m + a) * k + class * m + c] = entry;
                }
            }
        }
        Metric::new(matrix, k).map(Arc::new)
    }

    /// Weights of the norm that is least among equally good unpenalised fits, for the columns of one class.
    pub fn norm(&self) -> Vec<f64> {
        let root = |f: f64| if f > 0.0 { f.sqrt() } else { 1.0 };
        self.unit.iter().zip(&self.factor).map(|(unit, f)| unit * root(*f)).collect()
    }

    /// The penalty at one strength; of a folded concave one the convex one with the same slope at 0.
    pub fn penalty(&self, alpha: f64) -> ScaledPenalty {
        let Shares { l1, l2, .. } = self.kind.shares();
        let weights = |f: &dyn Fn(f64, f64) -> f64| {
            self.each_class(|_| self.factor.iter().zip(&self.unit).map(|(factor, unit)| f(*factor, *unit)))
        };
        let metric = self.metric.as_ref().filter(|_| alpha > 0.0).map(|metric| (alpha, metric.clone()));
        let l2 = if self.metric.is_some() { 0.0 } else { l2 };
        ScaledPenalty {
            l1: weights(&|factor, unit| alpha * (l1 * factor * unit * self.target_sd)),
            l2: weights(&|factor, unit| alpha * (l2 * factor * unit * unit)),
            lower: self.lower.clone(),
            upper: self.upper.clone(),
            blocks: self.blocks.iter().map(|block| Block { weight: alpha * block.weight, ..block.clone() }).collect(),
            metric,
        }
    }

    /// The curve of a folded concave penalty of strength alpha at coordinate `b` of column `at`, in solver coordinates.
    pub fn curve(&self, alpha: f64, at: usize, b: f64) -> Curve {
        let a = at % self.free.len();
        let (lambda, unit) = (alpha * self.factor[a] * self.target_sd, self.unit[a]);
        let none = Curve { value: 0.0, slope: 0.0, curvature: 0.0 };
        let curve = if lambda > 0.0 { self.kind.curve(lambda, b.abs() * unit).unwrap_or(none) } else { none };
        Curve { value: curve.value, slope: curve.slope * unit, curvature: curve.curvature * unit * unit }
    }

    /// What a slope in solver coordinates is divided by to be one in the coordinates that are penalised.
    pub fn unit_of(&self, at: usize) -> f64 {
        self.unit[if self.n_classes == 1 { at } else { at % self.free.len() }]
    }

    /// Least strength at which all penalised columns stay at the centre, given the slopes there. A pure L2
    /// penalty has none: its L1 share is floored at 1e-3, as glmnet does.
    pub fn alpha_max(&self, slope: &[f64]) -> f64 {
        const FLOOR: f64 = 1e-3;
        let Shares { l1, norm, .. } = self.kind.shares();
        let unit = self.penalty(1.0);
        let inside = unit.in_block();
        let ratio = if l1 + norm < FLOOR { FLOOR } else { l1 };
        let m = self.free.len();
        let needed = |at: usize| {
            let weight = ratio * self.factor[at % m] * self.unit[at % m] * self.target_sd;
            let end = if slope[at] > 0.0 { unit.upper[at] } else { unit.lower[at] };
            if inside[at] || weight == 0.0 || end == 0.0 { 0.0 } else { slope[at].abs() / weight }
        };
        let single = (0..slope.len()).map(needed).fold(0.0, f64::max);
        unit.blocks.iter().filter(|g| g.is_active()).map(|g| g.least_strength(slope, &unit)).fold(single, f64::max)
    }

    /// Coefficients of all columns in original units, class after class.
    pub fn coef(&self, b: &[f64]) -> Vec<f64> {
        let p = self.mean.len();
        let mut coef = vec![0.0; self.n_classes * p];
        self.origin.iter().for_each(|&(class, j, origin)| coef[class * p + j] = origin);
        let columns = (0..self.n_classes)
            .flat_map(|class| self.free.iter().zip(&self.scale).map(move |(&j, scale)| (class * p + j, *scale)));
        for ((at, (place, scale)), b) in columns.enumerate().zip(b) {
            let (low, high) = self.ends[at];
            let w = &mut coef[place];
            // a change of units by rounding does not lead out of the box, and a bound that is met is met exactly
            *w = match *b {
                b if b <= self.lower[at] => low,
                b if b >= self.upper[at] => high,
                b => (*w + b / scale).clamp(low, high),
            };
        }
        coef
    }

    /// Intercepts in original units from those of centred columns; their sum is 0 where there are more than two classes.
    pub fn intercepts(&self, centred: &[f64], coef: &[f64]) -> Vec<f64> {
        let p = self.mean.len();
        if !self.fit_intercept {
            return vec![0.0; centred.len()];
        }
        let shift = |class: usize| crate::simd::dot(&self.mean, &coef[class * p..(class + 1) * p]);
        let mut intercepts: Vec<f64> = centred.iter().enumerate().map(|(class, b)| b - shift(class)).collect();
        if self.n_classes > 1 {
            let mean = intercepts.iter().sum::<f64>() / self.n_classes as f64;
            intercepts.iter_mut().for_each(|b| *b -= mean);
        }
        intercepts
    }

    /// Training mean of column j, which stands for its missing values.
    pub fn mean_of(&self, j: usize) -> f64 {
        self.mean[j]
    }

    /// `o_i + (x_i - mean)' w0` on the rows of a design, class after class.
    pub fn base(&self, design: &Design) -> Vec<f64> {
        let n = design.n_rows();
        let mut base = self.each_class(|_| design.offset.iter().copied());
        for (class, base) in base.chunks_exact_mut(n.max(1)).enumerate() {
            let here = || self.origin.iter().filter(|(of, ..)| *of == class);
            let columns: Vec<Column<'_>> = here().map(|(_, j, _)| design.column(*j)).collect();
            let moves: Vec<f64> = here().map(|(_, j, origin)| origin * design.scale[*j]).collect();
            let all: Vec<usize> = (0..columns.len()).collect();
            combine(&columns, &all, &moves, base);
        }
        base
    }

    /// Second moments of the columns that may move.
    pub fn curvature(&self, columns: &ColumnMoments) -> Curvature {
        let (k, stride) = (self.free.len(), padded(self.free.len()));
        let inverse: Vec<f64> = self.scale.iter().map(|d| d.recip()).collect();
        let shift = |j: usize| if self.fit_intercept { 0.0 } else { columns.mean()[j] };
        let per_weight = columns.weight().recip();
        let mut gram = vec![0.0; k * stride];
        for ((out, &j), dj) in gram.chunks_exact_mut(stride.max(1)).zip(&self.free).zip(&inverse) {
            let (products, own) = (columns.products_of(j), shift(j));
            let entries = self.free.iter().zip(&inverse);
            let entries = entries.map(|(&i, di)| (products[i] * per_weight + shift(i) * own) * (di * dj));
            out.iter_mut().zip(entries).for_each(|(o, entry)| *o = entry);
        }
        Curvature::new(k, gram)
    }

    /// The squared loss of these columns on moments.
    pub fn gaussian(&self, moments: &Moments, curvature: Arc<Curvature>) -> Gaussian {
        let target = moments.n_columns();
        let shift = |j: usize| if self.fit_intercept { 0.0 } else { moments.mean_of(j) };
        let product = |i: usize, j: usize| moments.cross_of(i, j) / moments.weight() + shift(i) * shift(j);
        // cross-product of a column with y - o - X w0
        let residual =
            |i: usize| product(i, target) - self.origin.iter().map(|(_, j, c)| product(i, *j) * c).sum::<f64>();
        let square = residual(target) - self.origin.iter().map(|(_, j, c)| residual(*j) * c).sum::<f64>();
        let mut linear: Vec<f64> = self.free.iter().zip(&self.scale).map(|(&j, d)| residual(j) / d).collect();
        linear.resize(padded(self.free.len()), 0.0);
        // without an intercept the moments are not centred, and there is no mean to add to predictions
        let intercept = if self.fit_intercept { moments.mean_of(target) } else { 0.0 };
        Gaussian::new(curvature, linear, square.max(0.0), intercept)
    }
}
