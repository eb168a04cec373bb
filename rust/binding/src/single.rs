use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};

use metafit_core::loss::Kind;
use metafit_core::{Cell, Plan, Settings, Split};
use numpy::{PyArray0, PyArray1, PyArray2, PyArrayMethods};
use pyo3::prelude::*;

use crate::members::two_labels_of;
use crate::request::{FEW_VALUES, Recipe, columns_of};
use crate::response::Fits;

type Floats<'py> = Bound<'py, PyArray1<f64>>;
/// The fits, their coefficients and intercept, and the two labels of a classification.
type Single<'py> = (Fits, Floats<'py>, Bound<'py, PyArray0<f64>>, Option<Floats<'py>>);

/// The fit of a recipe at one strength to all of a small table: the numbers of [`run_cells`](crate::run::run_cells), at
/// the least cost of a call. None where the arrays are of an uncommon kind or hold what cannot be fitted, which the
/// general way has words for.
#[pyfunction]
pub fn run_single<'py>(
    py: Python<'py>,
    x: &Bound<'py, PyAny>,
    y: &Bound<'py, PyAny>,
    recipe: &Recipe,
    alpha: f64,
    tol: f64,
    max_iter: usize,
) -> PyResult<Option<Single<'py>>> {
    let Some((table, labels)) = small_table(x, y, recipe) else { return Ok(None) };
    if recipe.0.refuses_table(&table).is_some() {
        return Ok(None);
    }
    let split = Split { table: 0, train: (0..table.n_rows()).collect(), test: Arc::new([]) };
    let cell = Cell { split: 0, columns: None, alphas: Arc::new([alpha]), recipe: recipe.0.clone() };
    let settings = Settings { tol, max_iter, ..Settings::default() };
    let Ok(plan) = Plan::new(vec![Arc::new(table)], vec![split], vec![cell], settings) else { return Ok(None) };
    if !plan.is_small() {
        return Ok(None);
    }
    let run = || plan.run(&AtomicBool::new(false), &AtomicUsize::new(0));
    let Ok(paths) = py.detach(run) else { return Ok(None) };
    let fit = &paths[0].fits[0];
    let coef = PyArray1::from_slice(py, &fit.coef);
    let intercept = PyArray0::from_owned_array(py, numpy::ndarray::arr0(fit.intercept[0]));
    let labels = labels.map(|labels| PyArray1::from_slice(py, &labels));
    Ok(Some((Fits::new(paths), coef, intercept, labels)))
}

/// The table of two arrays of float64, with the labels that 0 and 1 stand for in a classification.
fn small_table(
    x: &Bound<'_, PyAny>,
    y: &Bound<'_, PyAny>,
    recipe: &Recipe,
) -> Option<(metafit_core::Table, Option<[f64; 2]>)> {
    let (x, y) = (exact::<PyArray2<f64>>(x)?.try_readonly().ok()?, exact::<PyArray1<f64>>(y)?.try_readonly().ok()?);
    let (x, y) = (x.as_array(), y.as_array());
    let (n, p) = x.dim();
    if n * p >= FEW_VALUES || n == 0 || y.len() != n {
        return None;
    }
    let y = y.to_vec();
    let (y, labels) = match recipe.0.loss.spec().kind {
        Kind::Regression => (y, None),
        Kind::Classification => two_labels_of(&y).map(|(labels, codes)| (codes, Some(labels)))?,
    };
    let is_finite = labels.is_none_or(|labels| labels.iter().all(|label| label.is_finite()));
    let table = metafit_core::Table::new(n, p, columns_of(x), y, None, None).ok().filter(|_| is_finite)?;
    Some((table, labels))
}

/// An array of that type which is no other class's: a matrix or a masked array means something else.
fn exact<'a, 'py, T: pyo3::PyTypeCheck>(value: &'a Bound<'py, PyAny>) -> Option<&'a Bound<'py, T>> {
    if value.is_exact_instance_of::<numpy::PyUntypedArray>() { value.cast::<T>().ok() } else { None }
}
