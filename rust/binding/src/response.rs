use std::sync::Mutex;

use metafit_core::{Fit, Path, Status};
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

/// The fits of all cells as flat arrays, cell after cell, each made when it is asked for; `coef`, `intercept` and
/// `scores` run on within a fit.
#[pyclass(frozen, module = "metafit._core")]
pub struct Fits {
    paths: Vec<Path>,
    coef: Mutex<Vec<f64>>,
}

impl Fits {
    pub fn new(mut paths: Vec<Path>) -> Self {
        let mut coef = Vec::with_capacity(paths.iter().flat_map(|path| &path.fits).map(|fit| fit.coef.len()).sum());
        for fit in paths.iter_mut().flat_map(|path| &mut path.fits) {
            coef.append(&mut std::mem::take(&mut fit.coef));
        }
        Self { paths, coef: Mutex::new(coef) }
    }

    fn fits(&self) -> impl Iterator<Item = &Fit> {
        self.paths.iter().flat_map(|path| &path.fits)
    }

    fn floats<'py>(&self, py: Python<'py>, value: impl Fn(&Fit) -> f64) -> Bound<'py, PyArray1<f64>> {
        PyArray1::from_vec(py, self.fits().map(value).collect())
    }
}

#[pymethods]
impl Fits {
    #[classattr]
    const STATUSES: [&'static str; 7] = STATUSES;

    /// Coefficients of those fits that kept them. They are handed over: a second call finds none.
    fn take_coef<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f64>> {
        let mut coef = self.coef.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        PyArray1::from_vec(py, std::mem::take(&mut *coef))
    }

    #[getter]
    fn intercept<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f64>> {
        PyArray1::from_vec(py, self.fits().flat_map(|fit| fit.intercept.iter().copied()).collect())
    }

    #[getter]
    fn scores<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f64>> {
        PyArray1::from_vec(py, self.fits().flat_map(|fit| fit.scores.iter().copied()).collect())
    }

    #[getter]
    fn objective<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f64>> {
        self.floats(py, |fit| fit.report.objective)
    }

    #[getter]
    fn gap<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f64>> {
        self.floats(py, |fit| fit.report.gap)
    }

    #[getter]
    fn kkt<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f64>> {
        self.floats(py, |fit| fit.kkt)
    }

    #[getter]
    fn seconds<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f64>> {
        self.floats(py, |fit| fit.seconds)
    }

    #[getter]
    fn n_iter<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<i64>> {
        PyArray1::from_iter(py, self.fits().map(|fit| fit.report.n_iter as i64))
    }

    /// Positions of the statuses in `STATUSES`.
    #[getter]
    fn status<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<u8>> {
        PyArray1::from_iter(py, self.fits().map(|fit| code(&fit.report.status)))
    }

    #[getter]
    fn all_converged(&self) -> bool {
        self.fits().all(|fit| fit.report.status == Status::Converged)
    }

    /// Number of fits of each status.
    #[getter]
    fn counts(&self) -> [usize; STATUSES.len()] {
        let mut counts = [0; STATUSES.len()];
        self.fits().for_each(|fit| counts[usize::from(code(&fit.report.status))] += 1);
        counts
    }

    #[getter]
    fn alphas<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f64>> {
        PyArray1::from_vec(py, self.paths.iter().flat_map(|path| path.alphas.iter().copied()).collect())
    }

    /// One a cell.
    #[getter]
    fn alpha_max<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f64>> {
        PyArray1::from_vec(py, self.paths.iter().map(|path| path.alpha_max).collect())
    }

    /// Number of the fit -> why it failed.
    #[getter]
    fn reasons<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let out = PyDict::new(py);
        for (i, fit) in self.fits().enumerate() {
            if let Status::Failed(reason) = &fit.report.status {
                out.set_item(i, reason)?;
            }
        }
        Ok(out)
    }
}
