//! `metafit._core`: arrays in and out, errors, interrupts. What the numbers mean stands in `metafit-core`; what a
//! user meets stands in `metafit.engine`.

mod errors;
mod members;
mod request;
mod response;
mod run;
mod single;
mod subsets;

use pyo3::prelude::*;

/// The compiled core of metafit.
#[pymodule]
mod _core {
    #[pymodule_export]
    use super::members::{all_finite, losses, penalties, penalty_shape, predictions, two_labels};
    #[pymodule_export]
    use super::request::{Recipe, Table};
    #[pymodule_export]
    use super::response::Fits;
    #[pymodule_export]
    use super::run::run_cells;
    #[pymodule_export]
    use super::single::run_single;
    #[pymodule_export]
    use super::subsets::subset_errors;
}
