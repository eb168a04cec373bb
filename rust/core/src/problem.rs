//! A checked view of what is to be fitted: tables, the rows of each split, and the cells of the plan.

use std::ops::Deref;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::loss::LossKind;
use crate::matrix::{Csc, Matrix, Values};
use crate::penalty::Penalty;
use crate::solver::Solver;

/// The columns of X (one after another, or compressed), checked. Tables that differ in targets, weights or offsets share
/// one; NaN marks a missing value.
#[derive(Debug)]
pub struct Features {
    n_rows: usize,
    n_columns: usize,
    x: Matrix,
    has_missing: bool,
}

/// One table: rows `x_i`, targets, row weights and offsets.
#[derive(Debug, Clone)]
pub struct Table {
    features: Arc<Features>,
    /// Targets, one a row.
    pub y: Vec<f64>,
    /// Row weights `v_i`; `None` means 1.
    pub weights: Option<Vec<f64>>,
    /// Offsets `o_i`; `None` means 0.
    pub offset: Option<Vec<f64>>,
    /// Power of two just below the largest weight. Weights are divided by it, so that their sums cannot overflow;
    /// being a power of two it changes no digit, whichever rows the largest weight stands on.
    pub(crate) weight_unit: f64,
}

/// Values beyond this, or columns that stay below its inverse, have squares that cannot be told from infinity or 0.
const LARGEST: f64 = 1e140;

impl Features {
    /// Takes `n_columns` columns over, one after another.
    pub fn new(n_rows: usize, n_columns: usize, x: Vec<f64>) -> Result<Self> {
        if x.len() != n_rows * n_columns {
            return Err(Error::invalid("X", format!("{} values for {n_rows} x {n_columns}", x.len())));
        }
        Self::of(Matrix::Dense { n_rows, values: x }, n_rows, n_columns)
    }

    /// Takes compressed columns over, which are never written out.
    pub fn new_sparse(n_rows: usize, x: Csc) -> Result<Self> {
        let n_columns = x.n_columns();
        Self::of(Matrix::Sparse(x), n_rows, n_columns)
    }

    /// Column j.
    pub(crate) fn column(&self, j: usize) -> Values<'_> {
        self.x.column(j)
    }

    fn of(x: Matrix, n_rows: usize, n_columns: usize) -> Result<Self> {
        let mut has_missing = false;
        for j in 0..n_columns {
            let (largest, missing) = extent(x.column(j).stored());
            has_missing |= missing;
            if largest.is_infinite() {
                let (row, column) = x.stored().iter().position(|v| v.is_infinite()).map_or((0, j), |at| x.place_of(at));
                return Err(Error::NotFinite { argument: "X", row, column: Some(column) });
            }
            check_scale("X", largest, Some(j))?;
        }
        Ok(Self { n_rows, n_columns, x, has_missing })
    }
}

impl Table {
    /// Takes the arrays over and checks their lengths and values. `x` holds column after column.
    pub fn new(
        n_rows: usize,
        n_columns: usize,
        x: Vec<f64>,
        y: Vec<f64>,
        weights: Option<Vec<f64>>,
        offset: Option<Vec<f64>>,
    ) -> Result<Self> {
        Self::on(Arc::new(Features::new(n_rows, n_columns, x)?), y, weights, offset)
    }

    /// A table of columns that others may share.
    pub fn on(
        features: Arc<Features>,
        y: Vec<f64>,
        weights: Option<Vec<f64>>,
        offset: Option<Vec<f64>>,
    ) -> Result<Self> {
        check_vector("y", &y, features.n_rows)?;
        if let Some(offset) = &offset {
            check_vector("offset", offset, features.n_rows)?;
        }
        if let Some(weights) = &weights {
            check_vector("sample_weight", weights, features.n_rows)?;
            check_weights(weights)?;
        }
        check_scale("y", extent(&y).0, None)?;
        let largest = weights.iter().flatten().fold(0.0, |a: f64, w| a.max(*w));
        let weight_unit = if largest > 0.0 { largest.log2().floor().clamp(-1000.0, 1000.0).exp2() } else { 1.0 };
        Ok(Self { features, y, weights, offset, weight_unit })
    }

    /// Its columns, of which tables share one [`Arc`].
    pub fn features(&self) -> &Arc<Features> {
        &self.features
    }

    /// Number of rows.
    pub fn n_rows(&self) -> usize {
        self.features.n_rows
    }

    /// Number of columns of X.
    pub fn n_columns(&self) -> usize {
        self.features.n_columns
    }

    /// Column j of X.
    pub fn column(&self, j: usize) -> Values<'_> {
        self.features.column(j)
    }

    /// Whether X is kept as compressed columns.
    pub fn is_sparse(&self) -> bool {
        matches!(self.features.x, Matrix::Sparse(_))
    }

    /// Whether a value of X is missing.
    pub fn has_missing(&self) -> bool {
        self.features.has_missing
    }

    /// Number of values of X that are kept.
    pub fn n_stored(&self) -> usize {
        self.features.x.stored().len()
    }

    /// Some rows of X, in this order.
    pub(crate) fn pick(&self, rows: &[usize]) -> Matrix {
        self.features.x.pick(rows, self.n_rows())
    }

    /// Weight of row i.
    pub fn weight(&self, i: usize) -> f64 {
        self.weights.as_ref().map_or(1.0, |w| w[i])
    }

    /// Offset of row i.
    pub fn offset_of(&self, i: usize) -> f64 {
        self.offset.as_ref().map_or(0.0, |o| o[i])
    }

    /// First missing value as (row, column).
    pub fn first_missing(&self) -> Option<(usize, usize)> {
        let Features { x, has_missing, .. } = &*self.features;
        let at = if *has_missing { x.stored().iter().position(|v| v.is_nan()) } else { None };
        at.map(|at| x.place_of(at))
    }
}

/// Largest magnitude of the values that are there, and whether one is missing.
fn extent(values: &[f64]) -> (f64, bool) {
    let (chunks, rest) = values.as_chunks::<8>();
    let (mut largest, mut missing) = ([0.0; 8], [false; 8]);
    let mut look = |lane: usize, v: f64| {
        // false for NaN
        largest[lane] = if v.abs() > largest[lane] { v.abs() } else { largest[lane] };
        missing[lane] |= v.is_nan();
    };
    for chunk in chunks {
        (0..8).for_each(|lane| look(lane, chunk[lane]));
    }
    rest.iter().for_each(|v| look(0, *v));
    (largest.into_iter().fold(0.0, f64::max), missing.contains(&true))
}

fn check_scale(argument: &'static str, largest: f64, column: Option<usize>) -> Result<()> {
    if largest == 0.0 || (LARGEST.recip()..=LARGEST).contains(&largest) {
        return Ok(());
    }
    let place = column.map_or_else(String::new, |j| format!(" in column {j}"));
    Err(Error::invalid(argument, format!("holds {largest:e}{place}, whose square overflows or vanishes: rescale it")))
}

fn check_vector(argument: &'static str, values: &[f64], n: usize) -> Result<()> {
    if values.len() != n {
        return Err(Error::invalid(argument, format!("{} values for {n} rows of X", values.len())));
    }
    match values.iter().position(|v| !v.is_finite()) {
        Some(row) => Err(Error::NotFinite { argument, row, column: None }),
        None => Ok(()),
    }
}

fn check_weights(weights: &[f64]) -> Result<()> {
    match weights.iter().position(|w| *w < 0.0) {
        Some(row) => Err(Error::invalid("sample_weight", format!("is negative ({}) at row {row}", weights[row]))),
        None => Ok(()),
    }
}

/// The rows a fit learns from and the rows it is scored on (possibly none) of one table.
#[derive(Debug, Clone)]
pub struct Split {
    /// Index of the table.
    pub table: usize,
    /// Training rows.
    pub train: Arc<[usize]>,
    /// Held-out rows.
    pub test: Arc<[usize]>,
}

/// One path of fits: a recipe, strengths and a column subset on the training rows of one split.
#[derive(Debug, Clone)]
pub struct Cell {
    /// Index of the split.
    pub split: usize,
    /// Columns that may differ from 0, ascending; `None` means all.
    pub columns: Option<Arc<[usize]>>,
    /// Strengths, in any order; they are solved from the largest to the smallest.
    pub alphas: Arc<[f64]>,
    /// What is fitted, which cells of a call share.
    pub recipe: Arc<Recipe>,
}

/// A cell is read as its recipe, with a place in the call.
impl Deref for Cell {
    type Target = Recipe;

    fn deref(&self) -> &Recipe {
        &self.recipe
    }
}

/// What is fitted, on whichever rows and columns and at whichever strengths.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// The loss L.
    pub loss: LossKind,
    /// The penalty Omega.
    pub penalty: Penalty,
    /// Number of classes where it is more than 2 (softmax, a coefficient for each class and column), else 1.
    pub n_classes: usize,
    /// Which solver to take.
    pub solver: Solver,
    /// Whether strengths are multiples of the cell's own `alpha_max`.
    pub of_max: bool,
    /// Whether to fit the intercept b.
    pub fit_intercept: bool,
    /// Whether the penalty acts on columns scaled to unit standard deviation over the training rows.
    pub standardize: bool,
    /// Whether strengths are those of a target scaled to unit standard deviation (squared loss only).
    pub scale_y: bool,
}

impl Recipe {
    /// Why these training targets cannot be fitted, if so.
    pub fn refuses(&self, y: &[f64]) -> Option<String> {
        if self.n_classes == 1 {
            return self.loss.refuses(y, self.fit_intercept);
        }
        let absent = (0..self.n_classes).find(|class| y.iter().all(|y| *y != *class as f64))?;
        Some(format!("no training row is of class {absent}"))
    }

    /// Why the rows of positive weight of a table cannot be fitted, if so.
    pub fn refuses_table(&self, table: &Table) -> Option<String> {
        let Some(weights) = &table.weights else { return self.refuses(&table.y) };
        let rows = table.y.iter().zip(weights).filter(|(_, w)| **w > 0.0);
        self.refuses(&rows.map(|(y, _)| *y).collect::<Vec<f64>>())
    }

    /// Place of the held-out loss that fits are compared by among [`Recipe::score_names`].
    pub(crate) fn score(&self) -> usize {
        self.score_names().iter().position(|name| *name == self.loss.spec().score).unwrap_or(0)
    }

    /// Names of its held-out scores.
    pub fn score_names(&self) -> &'static [&'static str] {
        if self.n_classes > 1 { crate::metric::softmax_names() } else { crate::metric::names(self.loss) }
    }
}

/// What holds for all cells of a call.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Relative gap at which a fit has converged; 0 runs to the floating-point floor.
    pub tol: f64,
    /// Newton steps a fit may take.
    pub max_iter: usize,
    /// Whether missing values become the training mean of their column; otherwise they are an error.
    pub impute: bool,
    /// Whether coefficients are returned, or only scores and certificates.
    pub keep_coef: bool,
    /// Of every so many cells, a first one and its rivals in held-out rows, only the coefficients of the first at the
    /// strength with the least mean held-out loss of the others are returned.
    pub best_of: Option<usize>,
    /// Threads; `None` means one a core.
    pub n_threads: Option<usize>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { tol: 1e-8, max_iter: 1000, impute: false, keep_coef: true, best_of: None, n_threads: None }
    }
}
