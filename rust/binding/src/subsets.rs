use metafit_core::subset::{Exhaustive, Ridge};
use numpy::PyArray1;
use pyo3::prelude::*;

use crate::errors::to_python;
use crate::request::{Ragged, SplitNumbers, Table};
use crate::run::{reserve, watch};

/// Mean held-out squared errors of all column subsets, by the masks of their columns.
#[pyfunction]
#[pyo3(signature = (table, rows, splits, *, alpha, fit_intercept, standardize, n_threads, progress))]
#[allow(clippy::too_many_arguments)]
pub fn subset_errors<'py>(
    py: Python<'py>,
    table: PyRef<'py, Table>,
    rows: Ragged<'py, i64>,
    splits: SplitNumbers<'py>,
    alpha: f64,
    fit_intercept: bool,
    standardize: bool,
    n_threads: Option<usize>,
    progress: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyArray1<f64>>> {
    let ridge = Ridge { alpha, fit_intercept, standardize };
    let request =
        Exhaustive::new(table.0.clone(), splits.splits(&rows, std::slice::from_ref(&table.0))?, ridge, n_threads)
            .map_err(to_python)?;
    reserve(request.answer_bytes()).map_err(to_python)?;
    let n_steps = request.n_steps();
    let errors = watch(py, n_steps, progress.as_ref(), move |cancel, done| request.run(cancel, done))?;
    Ok(PyArray1::from_vec(py, errors))
}
