use std::sync::Arc;

use metafit_core::loss::LossKind;
use metafit_core::penalty::{Penalty, PenaltyKind};
use metafit_core::solver::Solver;
use metafit_core::{Cell, Csc, Error, Split};
use numpy::{PyReadonlyArray1, PyReadonlyArray2};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::errors::to_python;

/// One table in the engine's own layout.
#[pyclass(frozen, module = "metafit._core")]
pub struct Table(pub Arc<metafit_core::Table>);

fn to_vec(array: Option<PyReadonlyArray1<'_, f64>>) -> Option<Vec<f64>> {
    array.map(|a| a.as_array().to_vec())
}

#[pymethods]
impl Table {
    #[new]
    fn new(
        py: Python<'_>,
        x: PyReadonlyArray2<'_, f64>,
        y: PyReadonlyArray1<'_, f64>,
        weights: Option<PyReadonlyArray1<'_, f64>>,
        offset: Option<PyReadonlyArray1<'_, f64>>,
    ) -> PyResult<Self> {
        let x = x.as_array();
        let (n, p) = x.dim();
        let mut columns = Vec::new();
        let bytes = n.saturating_mul(p).saturating_mul(size_of::<f64>());
        columns.try_reserve_exact(n * p).map_err(|_| to_python(Error::OutOfMemory { bytes }))?;
        match x.as_slice() {
            Some(rows) if p > 0 => transpose(rows, n, p, &mut columns),
            // iterating the transpose visits columns one after another whatever the strides
            _ => columns.extend(x.t().iter()),
        }
        let (y, weights, offset) = (y.as_array().to_vec(), to_vec(weights), to_vec(offset));
        let table = py.detach(|| metafit_core::Table::new(n, p, columns, y, weights, offset));
        table.map(|t| Self(Arc::new(t))).map_err(to_python)
    }

    /// A table of compressed columns, rows ascending strictly within each.
    #[staticmethod]
    #[allow(clippy::too_many_arguments)]
    fn sparse(
        py: Python<'_>,
        n_rows: usize,
        n_columns: usize,
        indptr: PyReadonlyArray1<'_, i64>,
        indices: PyReadonlyArray1<'_, i64>,
        values: PyReadonlyArray1<'_, f64>,
        y: PyReadonlyArray1<'_, f64>,
        weights: Option<PyReadonlyArray1<'_, f64>>,
        offset: Option<PyReadonlyArray1<'_, f64>>,
    ) -> PyResult<Self> {
        let starts = rows(&indptr);
        if starts.len() != n_columns + 1 {
            return Err(PyValueError::new_err(format!(
                "X has {n_columns} columns but {} starts of them",
                starts.len()
            )));
        }
        // a row that is none turns into one beyond every table, which the core refuses
        let indices = indices.as_array().iter().map(|&i| u32::try_from(i).unwrap_or(u32::MAX)).collect();
        let values = values.as_array().to_vec();
        let (y, weights, offset) = (y.as_array().to_vec(), to_vec(weights), to_vec(offset));
        let table = py.detach(|| {
            let x = Csc::new(n_rows, starts, indices, values)?;
            metafit_core::Table::new_sparse(n_rows, x, y, weights, offset)
        });
        table.map(|t| Self(Arc::new(t))).map_err(to_python)
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

/// Columns of a matrix stored row by row, some at a time so that the lines read for one serve the next.
fn transpose(rows: &[f64], n: usize, p: usize, columns: &mut Vec<f64>) {
    const AT_ONCE: usize = 8;
    columns.resize(n * p, 0.0);
    for (block, out) in columns.chunks_mut(n * AT_ONCE).enumerate() {
        for (i, row) in rows.chunks_exact(p).enumerate() {
            let values = &row[block * AT_ONCE..];
            for (column, value) in out.chunks_exact_mut(n).zip(values) {
                column[i] = *value;
            }
        }
    }
}

/// `(table, train, test)`.
pub type SplitTuple<'py> = (usize, PyReadonlyArray1<'py, i64>, PyReadonlyArray1<'py, i64>);

fn rows(array: &PyReadonlyArray1<'_, i64>) -> Vec<usize> {
    // a negative number turns into one beyond every table, which the plan refuses
    array.as_array().iter().map(|&i| usize::try_from(i).unwrap_or(usize::MAX)).collect()
}

pub fn split((table, train, test): &SplitTuple<'_>) -> Split {
    Split { table: *table, train: rows(train), test: rows(test) }
}

/// A cell as Python objects with these attributes describe it. For more than two classes (`n_classes`, else 1) centre
/// and bounds hold the columns of one class after another.
#[derive(FromPyObject)]
pub struct CellRequest<'py> {
    split: usize,
    columns: Option<PyReadonlyArray1<'py, i64>>,
    loss: String,
    loss_parameters: Vec<f64>,
    penalty: String,
    penalty_parameters: Vec<f64>,
    factors: Option<PyReadonlyArray1<'py, f64>>,
    center: Option<PyReadonlyArray1<'py, f64>>,
    lower: Option<PyReadonlyArray1<'py, f64>>,
    upper: Option<PyReadonlyArray1<'py, f64>>,
    groups: Option<PyReadonlyArray1<'py, i64>>,
    metric: Option<PyReadonlyArray2<'py, f64>>,
    alphas: PyReadonlyArray1<'py, f64>,
    of_max: bool,
    fit_intercept: bool,
    standardize: bool,
    scale_y: bool,
    n_classes: usize,
    solver: String,
}

impl CellRequest<'_> {
    /// Bytes of the answer: figures of each fit, and its coefficients with the copy that goes out.
    pub fn answer_bytes(&self, n_columns: usize) -> usize {
        const FIGURES: usize = 400;
        let coef = n_columns.saturating_mul(self.n_classes).saturating_mul(2 * size_of::<f64>());
        self.alphas.len().unwrap_or(0).saturating_mul(coef.saturating_add(FIGURES))
    }

    pub fn split(&self) -> usize {
        self.split
    }

    pub fn cell(self) -> PyResult<Cell> {
        Ok(Cell {
            split: self.split,
            columns: self.columns.as_ref().map(rows),
            loss: LossKind::named(&self.loss, &self.loss_parameters).map_err(to_python)?,
            penalty: Penalty {
                kind: PenaltyKind::named(&self.penalty, &self.penalty_parameters).map_err(to_python)?,
                factors: to_vec(self.factors),
                center: to_vec(self.center),
                lower: to_vec(self.lower),
                upper: to_vec(self.upper),
                groups: self.groups.as_ref().map(rows),
                metric: self.metric.map(|m| m.as_array().iter().copied().collect()),
            },
            n_classes: self.n_classes,
            solver: Solver::named(&self.solver).map_err(to_python)?,
            alphas: self.alphas.as_array().to_vec(),
            of_max: self.of_max,
            fit_intercept: self.fit_intercept,
            standardize: self.standardize,
            scale_y: self.scale_y,
        })
    }
}
