use metafit_core::Error;
use pyo3::PyErr;
use pyo3::exceptions::{PyKeyboardInterrupt, PyMemoryError, PyValueError};

/// The one place where core errors become Python exceptions.
pub fn to_python(error: Error) -> PyErr {
    match error {
        Error::Invalid { .. } | Error::NotFinite { .. } => PyValueError::new_err(error.to_string()),
        Error::OutOfMemory { .. } => PyMemoryError::new_err(error.to_string()),
        Error::Cancelled => PyKeyboardInterrupt::new_err(()),
    }
}
