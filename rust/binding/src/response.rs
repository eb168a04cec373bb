use metafit_core::{Path, Status};
use numpy::PyArray1;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// Names of the statuses; a fit's code is the position.
const STATUSES: [&str; 7] = ["converged", "max_iter", "separated", "rank_deficient", "local", "overflow", "failed"];

fn code(status: &Status) -> u8 {
    match status {
        Status::Converged => 0,
        Status::MaxIter => 1,
        Status::Separated => 2,
        Status::RankDeficient => 3,
        Status::Local => 4,
        Status::Overflow => 5,
        Status::Failed(_) => 6,
    }
}

/// Flat arrays over the fits of all cells, cell after cell; `coef` and `scores` run on within a fit.
pub fn arrays<'py>(py: Python<'py>, paths: &[Path]) -> PyResult<Bound<'py, PyDict>> {
    let fits = || paths.iter().flat_map(|path| &path.fits);
    let floats = |values: Vec<f64>| PyArray1::from_vec(py, values);
    let out = PyDict::new(py);
    out.set_item("statuses", STATUSES)?;
    out.set_item("status", PyArray1::from_iter(py, fits().map(|f| code(&f.report.status))))?;
    out.set_item("gap", floats(fits().map(|f| f.report.gap).collect()))?;
    out.set_item("kkt", floats(fits().map(|f| f.kkt).collect()))?;
    out.set_item("objective", floats(fits().map(|f| f.report.objective).collect()))?;
    out.set_item("n_iter", PyArray1::from_iter(py, fits().map(|f| f.report.n_iter as i64)))?;
    out.set_item("seconds", floats(fits().map(|f| f.seconds).collect()))?;
    out.set_item("intercept", floats(fits().flat_map(|f| f.intercept.iter().copied()).collect()))?;
    out.set_item("coef", floats(fits().flat_map(|f| f.coef.iter().copied()).collect()))?;
    out.set_item("scores", floats(fits().flat_map(|f| f.scores.iter().copied()).collect()))?;
    out.set_item("alphas", floats(paths.iter().flat_map(|p| p.alphas.iter().copied()).collect()))?;
    out.set_item("alpha_max", floats(paths.iter().map(|p| p.alpha_max).collect()))?;
    out.set_item("reasons", reasons(py, paths)?)?;
    Ok(out)
}

/// Number of the fit -> why it failed.
fn reasons<'py>(py: Python<'py>, paths: &[Path]) -> PyResult<Bound<'py, PyDict>> {
    let out = PyDict::new(py);
    for (i, fit) in paths.iter().flat_map(|path| &path.fits).enumerate() {
        if let Status::Failed(reason) = &fit.report.status {
            out.set_item(i, reason)?;
        }
    }
    Ok(out)
}
