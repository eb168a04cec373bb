use std::sync::Arc;

use metafit_core::loss::LossKind;
use metafit_core::penalty::{Penalty, PenaltyKind};
use metafit_core::solver::Solver;
use metafit_core::{Cell, Csc, Features, Split};
use numpy::ndarray::{ArrayView1, ArrayView2};
use numpy::{PyReadonlyArray1, PyReadonlyArray2};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::errors::to_python;
use crate::run::reserve;

/// One table in the engine's own layout.
#[pyclass(frozen, module = "metafit._core")]
pub struct Table(pub Arc<metafit_core::Table>);

/// Values that are looked at sooner than others could use the time.
pub const FEW_VALUES: usize = 10_000;

type Floats<'py> = PyReadonlyArray1<'py, f64>;
type Ints<'py> = PyReadonlyArray1<'py, i64>;

fn to_vec(array: Option<Floats<'_>>) -> Option<Vec<f64>> {
    array.map(|a| floats(&a))
}

fn floats(array: &Floats<'_>) -> Vec<f64> {
    array.as_slice().map_or_else(|_| array.as_array().to_vec(), <[f64]>::to_vec)
}

fn numbers(array: &Ints<'_>) -> Vec<usize> {
    // a negative number turns into one beyond every table, which the plan refuses
    array.as_array().iter().map(|&i| usize::try_from(i).unwrap_or(usize::MAX)).collect()
}

#[pymethods]
impl Table {
    #[new]
    fn new(
        py: Python<'_>,
        x: PyReadonlyArray2<'_, f64>,
        y: Floats<'_>,
        weights: Option<Floats<'_>>,
        offset: Option<Floats<'_>>,
    ) -> PyResult<Self> {
        let x = x.as_array();
        let (n, p) = x.dim();
        reserve(n.saturating_mul(p).saturating_mul(size_of::<f64>())).map_err(to_python)?;
        let columns = columns_of(x);
        let (y, weights, offset) = (floats(&y), to_vec(weights), to_vec(offset));
        let make = || metafit_core::Table::new(n, p, columns, y, weights, offset);
        let table = if n * p < FEW_VALUES { make() } else { py.detach(make) };
        table.map(|t| Self(Arc::new(t))).map_err(to_python)
    }

    /// A table of compressed columns, rows ascending strictly within each.
    #[staticmethod]
    #[allow(clippy::too_many_arguments)]
    fn sparse(
        py: Python<'_>,
        n_rows: usize,
        n_columns: usize,
        indptr: Ints<'_>,
        indices: Ints<'_>,
        values: Floats<'_>,
        y: Floats<'_>,
        weights: Option<Floats<'_>>,
        offset: Option<Floats<'_>>,
    ) -> PyResult<Self> {
        let starts = numbers(&indptr);
        if starts.len() != n_columns + 1 {
            return Err(PyValueError::new_err(format!(
                "X has {n_columns} columns but {} starts of them",
                starts.len()
            )));
        }
        // a row that is none turns into one beyond every table, which the core refuses
        let indices = indices.as_array().iter().map(|&i| u32::try_from(i).unwrap_or(u32::MAX)).collect();
        let values = floats(&values);
        let (y, weights, offset) = (floats(&y), to_vec(weights), to_vec(offset));
        let table = py.detach(|| {
            let x = Features::new_sparse(n_rows, Csc::new(n_rows, starts, indices, values)?)?;
            metafit_core::Table::on(Arc::new(x), y, weights, offset)
        });
        table.map(|t| Self(Arc::new(t))).map_err(to_python)
    }

    /// A table with the same X, which both keep one copy of.
    fn with_rows(&self, y: Floats<'_>, weights: Option<Floats<'_>>, offset: Option<Floats<'_>>) -> PyResult<Self> {
        let x = self.0.features().clone();
        let table = metafit_core::Table::on(x, floats(&y), to_vec(weights), to_vec(offset));
        table.map(|t| Self(Arc::new(t))).map_err(to_python)
    }

    /// Why a recipe does not fit these targets; empty if it does.
    fn refusal(&self, recipe: &Recipe) -> String {
        recipe.0.refuses_table(&self.0).unwrap_or_default()
    }

    #[getter]
    fn has_missing(&self) -> bool {
        self.0.has_missing()
    }

    #[getter]
    fn n_rows(&self) -> usize {
        self.0.n_rows()
    }

    #[getter]
    fn n_columns(&self) -> usize {
        self.0.n_columns()
    }
}

/// Columns of a matrix, one after another.
pub fn columns_of(x: ArrayView2<'_, f64>) -> Vec<f64> {
    let (n, p) = x.dim();
    match x.as_slice() {
        Some(rows) if p > 0 => transpose(rows, n, p),
        // iterating the transpose visits columns one after another whatever the strides
        _ => x.t().iter().copied().collect(),
    }
}

/// Columns of a matrix stored row by row, of some rows at a time, which stay in cache until all columns have them.
fn transpose(rows: &[f64], n: usize, p: usize) -> Vec<f64> {
    const AT_ONCE: usize = 128;
    let mut columns = vec![0.0; n * p];
    for (block, rows) in rows.chunks(AT_ONCE * p).enumerate() {
        for (j, column) in columns.chunks_exact_mut(n).enumerate() {
            let out = column[block * AT_ONCE..].iter_mut();
            out.zip(rows[j..].iter().step_by(p)).for_each(|(out, value)| *out = *value);
        }
    }
    columns
}

/// What is fitted, whatever the rows, columns and strengths.
#[pyclass(frozen, module = "metafit._core")]
pub struct Recipe(pub Arc<metafit_core::Recipe>);

#[pymethods]
impl Recipe {
    /// For more than two classes (`n_classes`, else 1) centre and bounds hold the columns of one class after another.
    #[new]
    #[pyo3(signature = (*, loss, loss_parameters, penalty, penalty_parameters, factors, center, lower, upper, groups,
                        metric, of_max, fit_intercept, standardize, scale_y, n_classes, solver))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        loss: &str,
        loss_parameters: Vec<f64>,
        penalty: &str,
        penalty_parameters: Vec<f64>,
        factors: Option<Floats<'_>>,
        center: Option<Floats<'_>>,
        lower: Option<Floats<'_>>,
        upper: Option<Floats<'_>>,
        groups: Option<Ints<'_>>,
        metric: Option<PyReadonlyArray2<'_, f64>>,
        of_max: bool,
        fit_intercept: bool,
        standardize: bool,
        scale_y: bool,
        n_classes: usize,
        solver: &str,
    ) -> PyResult<Self> {
        let penalty = Penalty {
            kind: PenaltyKind::named(penalty, &penalty_parameters).map_err(to_python)?,
            factors: to_vec(factors),
            center: to_vec(center),
            lower: to_vec(lower),
            upper: to_vec(upper),
            groups: groups.as_ref().map(numbers),
            metric: metric.map(|m| m.as_array().iter().copied().collect()),
        };
        let loss = LossKind::named(loss, &loss_parameters).map_err(to_python)?;
        let solver = Solver::named(solver).map_err(to_python)?;
        let recipe =
            metafit_core::Recipe { loss, penalty, n_classes, solver, of_max, fit_intercept, standardize, scale_y };
        Ok(Self(Arc::new(recipe)))
    }
}

/// Arrays one after another, and where each ends.
#[derive(FromPyObject)]
pub struct Ragged<'py, T: numpy::Element>(PyReadonlyArray1<'py, T>, Ints<'py>);

impl<T: numpy::Element + Copy> Ragged<'_, T> {
    fn parts<U>(&self, convert: impl Fn(T) -> U + Copy) -> PyResult<Vec<Arc<[U]>>> {
        let (values, mut start) = (self.0.as_array(), 0);
        let mut parts = Vec::with_capacity(self.1.as_array().len());
        for end in numbers(&self.1) {
            if end < start || end > values.len() {
                return Err(PyValueError::new_err("the ends of parts do not fit their values"));
            }
            parts.push((start..end).map(|at| convert(values[at])).collect());
            start = end;
        }
        Ok(parts)
    }
}

/// The entry of that number; `what` names it in an error.
fn entry<'a, T>(all: &'a [T], number: i64, what: &str) -> PyResult<&'a T> {
    let found = usize::try_from(number).ok().and_then(|at| all.get(at));
    found.ok_or_else(|| PyValueError::new_err(format!("cells names {what} {number} of {}", all.len())))
}

fn row(i: i64) -> usize {
    usize::try_from(i).unwrap_or(usize::MAX)
}

/// Splits by number: their tables, and the sets of rows they train on (-1 for all rows) and are scored on (-1 for none).
#[derive(FromPyObject)]
pub struct SplitNumbers<'py>(Ints<'py>, Ints<'py>, Ints<'py>);

impl SplitNumbers<'_> {
    pub fn splits(&self, sets: &Ragged<'_, i64>, tables: &[Arc<metafit_core::Table>]) -> PyResult<Vec<Split>> {
        let (sets, none): (_, Arc<[usize]>) = (sets.parts(row)?, [].into());
        let (of_tables, train, test) = (self.0.as_array(), self.1.as_array(), self.2.as_array());
        // tables of the same length share the list of all rows
        let mut all = none.clone();
        let mut every_row = |table: usize| {
            let n = tables.get(table).map_or(0, |table| table.n_rows());
            if all.len() != n {
                all = (0..n).collect();
            }
            all.clone()
        };
        let numbers = of_tables.iter().zip(train.iter().zip(test));
        let split = |(&table, (&train, &test)): (&i64, (&i64, &i64))| {
            let table = row(table);
            let train = if train == -1 { every_row(table) } else { entry(&sets, train, "rows")?.clone() };
            let test = if test == -1 { none.clone() } else { entry(&sets, test, "rows")?.clone() };
            Ok(Split { table, train, test })
        };
        numbers.map(split).collect()
    }
}

/// Cells by number: their splits, subsets of columns (-1 for all columns), grids of strengths and recipes. One number
/// stands for all cells.
#[derive(FromPyObject)]
pub struct CellNumbers<'py>(Ints<'py>, Ints<'py>, Ints<'py>, Ints<'py>);

impl CellNumbers<'_> {
    pub fn cells(
        &self,
        subsets: &Ragged<'_, i64>,
        grids: &Ragged<'_, f64>,
        recipes: &[PyRef<'_, Recipe>],
    ) -> PyResult<Vec<Cell>> {
        let (subsets, grids) = (subsets.parts(row)?, grids.parts(|alpha| alpha)?);
        let (splits, columns) = (self.0.as_array(), self.1.as_array());
        let (alphas, of_recipes) = (self.2.as_array(), self.3.as_array());
        let cell = |c: usize| {
            let at = |numbers: &ArrayView1<'_, i64>| if numbers.len() == 1 { numbers[0] } else { numbers[c] };
            let subset = at(&columns);
            Ok(Cell {
                split: row(splits[c]),
                columns: if subset == -1 { None } else { Some(entry(&subsets, subset, "subset")?.clone()) },
                alphas: entry(&grids, at(&alphas), "grid")?.clone(),
                recipe: entry(recipes, at(&of_recipes), "recipe")?.0.clone(),
            })
        };
        let n = splits.len();
        if [columns.len(), alphas.len(), of_recipes.len()].iter().any(|&m| m != n && m != 1) {
            return Err(PyValueError::new_err("cells has numbers of different lengths"));
        }
        (0..n).map(cell).collect()
    }
}
