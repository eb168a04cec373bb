//! Penalties `Omega(w)`: the public kinds, and the form in which the solvers meet them.
//!
//! With `u_j = s_j (w_j - w0_j)`, `s_j` the standard deviation of column j where columns are standardised and 1
//! elsewhere, every penalty is made of four terms:
//!
//! ```text
//! alpha Omega = sum_j [ l1 |f_j u_j| + l2 f_j u_j^2 / 2 ]  +  norm sum_g sqrt|g| |(f_j u_j)_{j in g}|_2  -  sum_j h_j(|u_j|)
//! ```
//!
//! with factors f (infinity pins a column to its centre) and h convex, 0 but for folded concave penalties. A box of bounds
//! on w, and for L2 a metric in place of the identity, go with any of them.
//!
//! A penalty is one file: its formula, a [`Spec`] for the public class, an `impl Regulariser`. Its line in the registry
//! below enrols it in the tests of this module, in the public API and in the tests there.

mod block;
mod elastic_net;
mod group_lasso;
mod l1;
mod l2;
mod mcp;
pub mod metric;
mod scad;
pub mod scaled;
mod sparse_group_lasso;

pub use block::Block;
pub use elastic_net::ElasticNet;
pub use group_lasso::GroupLasso;
pub use l1::L1;
pub use l2::L2;
pub use mcp::MCP;
pub use metric::Metric;
pub use scad::SCAD;
pub use scaled::{Directions, ScaledPenalty, soft_threshold};
pub use sparse_group_lasso::SparseGroupLasso;

use crate::error::{Error, Result};
use crate::registry::{Spec, registry};

/// Description of a penalty.
#[derive(Debug, Clone, Copy)]
pub struct PenaltySpec {
    /// Name, documentation, parameters.
    pub spec: Spec,
    /// Whether it is told groups of columns.
    pub has_groups: bool,
    /// Whether it may be told a metric.
    pub has_metric: bool,
}

impl PenaltySpec {
    pub(crate) const fn spec(&self) -> &Spec {
        &self.spec
    }
}

/// Weights of the convex terms of a penalty at alpha = 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shares {
    /// Of `|u_j|`.
    pub l1: f64,
    /// Of `u_j^2 / 2`.
    pub l2: f64,
    /// Of `sqrt|g| |u_g|`.
    pub norm: f64,
}

/// A folded concave penalty at one point `t = |u| >= 0`: value, slope (at most lambda, at least 0), and derivative of the
/// slope (at most 0).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Curve {
    /// `pen(t)`.
    pub value: f64,
    /// `pen'(t)`, `lambda` at 0.
    pub slope: f64,
    /// `pen''(t)`.
    pub curvature: f64,
}

/// A penalty of the registry.
pub trait Regulariser: Copy + Send + Sync {
    /// Its description.
    const SPEC: PenaltySpec;

    /// The penalty that was told `parameters`, in the order of the description and within its ranges.
    fn new(parameters: &[f64]) -> Self;

    /// Weights of its convex terms. For a folded concave penalty those of the convex one with the same slope at 0.
    fn shares(self) -> Shares;

    /// The folded concave penalty of one column with slope `lambda` at 0, at `t >= 0`; `None` for convex penalties.
    fn curve(self, _lambda: f64, _t: f64) -> Option<Curve> {
        None
    }
}

registry! { $,
    /// The closed list of penalties.
    PenaltyKind, with_penalty, "penalty", PenaltySpec: L2, L1, ElasticNet, GroupLasso, SparseGroupLasso, MCP, SCAD
}

impl PenaltyKind {
    /// Weights of its convex terms at alpha = 1.
    pub fn shares(self) -> Shares {
        with_penalty!(self, penalty => penalty.shares())
    }

    /// See [`Regulariser::curve`].
    pub fn curve(self, lambda: f64, t: f64) -> Option<Curve> {
        with_penalty!(self, penalty => penalty.curve(lambda, t))
    }

    /// Whether it is convex.
    pub fn is_convex(self) -> bool {
        self.curve(1.0, 1.0).is_none()
    }
}

/// A penalty with what it says of each column of the table. `None` stands for factors 1, centre 0, no bounds.
#[derive(Debug, Clone)]
pub struct Penalty {
    /// The function.
    pub kind: PenaltyKind,
    /// Factors `f_j >= 0`: 0 leaves a column unpenalised, infinity pins it to its centre.
    pub factors: Option<Vec<f64>>,
    /// Centre `w0` in original units.
    pub center: Option<Vec<f64>>,
    /// Lower bounds of w in original units, at most the centre.
    pub lower: Option<Vec<f64>>,
    /// Upper bounds of w in original units, at least the centre.
    pub upper: Option<Vec<f64>>,
    /// Label of each column's group.
    pub groups: Option<Vec<usize>>,
    /// Symmetric positive semidefinite matrix P of `u' P u / 2`, column-major, for L2.
    pub metric: Option<Vec<f64>>,
}

impl Penalty {
    /// A penalty without anything said of single columns.
    pub fn plain(kind: PenaltyKind) -> Self {
        Self { kind, factors: None, center: None, lower: None, upper: None, groups: None, metric: None }
    }

    /// Elastic net of which nothing is said of single columns.
    pub fn elastic_net(l1_ratio: f64) -> Self {
        Self::plain(PenaltyKind::ElasticNet(ElasticNet { l1_ratio }))
    }

    /// Checks the fields against the number of columns, and of classes (1 unless there are more than 2).
    pub fn check(&self, n_columns: usize, n_classes: usize) -> Result<()> {
        check_length("factors", self.factors.as_ref().map(Vec::len), n_columns)?;
        check_length("groups", self.groups.as_ref().map(Vec::len), n_columns)?;
        check_length("metric", self.metric.as_ref().map(Vec::len), n_columns * n_columns)?;
        for (argument, values) in [("center", &self.center), ("lower", &self.lower), ("upper", &self.upper)] {
            check_length(argument, values.as_ref().map(Vec::len), n_columns * n_classes)?;
        }
        (0..n_columns).try_for_each(|j| check_factor(j, self.factor(j)))?;
        (0..n_columns * n_classes).try_for_each(|at| self.check_box(at, at % n_columns))
    }

    fn check_box(&self, at: usize, column: usize) -> Result<()> {
        let (low, center, high) = (self.lower_of(at), self.center_of(at), self.upper_of(at));
        if low <= center && center <= high {
            return Ok(());
        }
        let message = format!("[{low}, {high}] does not hold the centre {center} of column {column}");
        Err(Error::invalid("lower, upper", message))
    }

    /// Factor of column j.
    pub fn factor(&self, j: usize) -> f64 {
        self.factors.as_ref().map_or(1.0, |f| f[j])
    }

    /// Centre of column j.
    pub fn center_of(&self, j: usize) -> f64 {
        self.center.as_ref().map_or(0.0, |c| c[j])
    }

    /// Lower bound of column j.
    pub fn lower_of(&self, j: usize) -> f64 {
        self.lower.as_ref().map_or(f64::NEG_INFINITY, |l| l[j])
    }

    /// Upper bound of column j.
    pub fn upper_of(&self, j: usize) -> f64 {
        self.upper.as_ref().map_or(f64::INFINITY, |u| u[j])
    }

    /// Whether it is a smooth function on all of space.
    pub fn is_smooth(&self) -> bool {
        let Shares { l1, norm, .. } = self.kind.shares();
        l1 + norm == 0.0 && self.lower.is_none() && self.upper.is_none()
    }

    /// Share of the absolute value, as an elastic net has it: what a grid of strengths goes by.
    pub fn l1_ratio(&self) -> f64 {
        let Shares { l1, l2, norm } = self.kind.shares();
        (l1 + norm) / (l1 + l2 + norm)
    }
}

fn check_factor(column: usize, factor: f64) -> Result<()> {
    const RANGE: std::ops::RangeInclusive<f64> = 1e-100..=1e100;
    if factor == 0.0 || factor == f64::INFINITY || RANGE.contains(&factor) {
        return Ok(());
    }
    let message = format!("is {factor:e} for column {column}: it wants 0, a number from 1e-100 to 1e100, or infinity");
    Err(Error::invalid("factors", message))
}

fn check_length(argument: &'static str, length: Option<usize>, wanted: usize) -> Result<()> {
    match length {
        Some(n) if n != wanted => Err(Error::invalid(argument, format!("{n} values where X asks for {wanted}"))),
        _ => Ok(()),
    }
}
