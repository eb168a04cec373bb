use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use metafit_core::{Error, Plan, Result, Settings};
use pyo3::prelude::*;

use crate::errors::to_python;
use crate::request::{CellNumbers, Ragged, Recipe, SplitNumbers, Table};
use crate::response::Fits;

/// How often a running call looks for Ctrl-C and reports progress.
const TICK: Duration = Duration::from_millis(50);

/// Solves every cell; `progress(done, total)` is called now and then.
#[pyfunction]
#[pyo3(signature = (tables, rows, splits, subsets, grids, recipes, cells, *, tol, max_iter, impute, keep_coef,
                    best_of, n_threads, progress))]
#[allow(clippy::too_many_arguments)]
pub fn run_cells<'py>(
    py: Python<'py>,
    tables: Vec<PyRef<'py, Table>>,
    rows: Ragged<'py, i64>,
    splits: SplitNumbers<'py>,
    subsets: Ragged<'py, i64>,
    grids: Ragged<'py, f64>,
    recipes: Vec<PyRef<'py, Recipe>>,
    cells: CellNumbers<'py>,
    tol: f64,
    max_iter: usize,
    impute: bool,
    keep_coef: bool,
    best_of: Option<usize>,
    n_threads: Option<usize>,
    progress: Option<Bound<'py, PyAny>>,
) -> PyResult<Fits> {
    let tables: Vec<_> = tables.iter().map(|t| t.0.clone()).collect();
    let splits = splits.splits(&rows, &tables)?;
    let cells = cells.cells(&subsets, &grids, &recipes)?;
    let settings = Settings { tol, max_iter, impute, keep_coef, best_of, n_threads };
    let plan = Plan::new(tables, splits, cells, settings).map_err(to_python)?;
    reserve(plan.answer_bytes()).map_err(to_python)?;
    let paths = if plan.is_small() {
        py.detach(|| plan.run(&AtomicBool::new(false), &AtomicUsize::new(0))).map_err(to_python)?
    } else {
        watch(py, plan.n_cells(), progress.as_ref(), move |cancel, done| plan.run(cancel, done))?
    };
    Ok(Fits::new(paths))
}

/// Asks for the memory of the answer before anything is computed.
pub fn reserve(bytes: usize) -> Result<()> {
    Vec::<u8>::new().try_reserve_exact(bytes).map_err(|_| Error::OutOfMemory { bytes })
}

/// Does `work` of that many steps beside this thread, which goes on to answer signals.
///
/// An exception here returns at once: the work is told to stop and, being the sole owner of what it reads, ends on
/// its own after the kernel in flight.
pub fn watch<T: Send + 'static>(
    py: Python<'_>,
    n_steps: usize,
    progress: Option<&Bound<'_, PyAny>>,
    work: impl FnOnce(&AtomicBool, &AtomicUsize) -> Result<T> + Send + 'static,
) -> PyResult<T> {
    let cancel = Arc::new(AtomicBool::new(false));
    let done = Arc::new(AtomicUsize::new(0));
    let (sender, receiver) = channel();
    let worker = {
        let (cancel, done) = (cancel.clone(), done.clone());
        std::thread::spawn(move || {
            let result = work(&cancel, &done);
            let _ = sender.send(());
            result
        })
    };
    let receiver = Mutex::new(receiver);
    let tick = || receiver.lock().ok().map(|r| r.recv_timeout(TICK));
    while let Some(Err(RecvTimeoutError::Timeout)) = py.detach(tick) {
        let told = progress.map_or(Ok(()), |p| p.call1((done.load(Ordering::Relaxed), n_steps)).map(|_| ()));
        if let Err(error) = py.check_signals().and(told) {
            cancel.store(true, Ordering::Relaxed);
            return Err(error);
        }
    }
    match py.detach(|| worker.join()) {
        Ok(result) => result.map_err(to_python),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}
