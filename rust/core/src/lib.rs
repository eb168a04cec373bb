//! Regularised loss minimisation for many feature subsets, strengths, folds and tables at once:
//!
//! ```text
//! (b, w)*  =  argmin_{b,w}  sum_i v_i L(y_i, b + o_i + x_i' w) / sum_i v_i  +  alpha * Omega(w)
//! ```
//!
//! with row weights `v`, offsets `o`, a loss `L` ([`loss`]) and a penalty `Omega` with factors and a centre
//! ([`penalty`]). Every fit carries a duality gap ([`certificate`]) and a status.
//!
//! The way of a request: [`problem`] checks it; [`batch`] runs its cells on threads; they share
//! [`moments`] for the squared loss (merged from folds that [`partition`] found) or a [`design`] of rows; [`path`]
//! walks one cell's strengths; [`frame`] turns its columns into solver coordinates and back; [`solver`] fits;
//! [`metric`] scores held-out rows. [`subset`] has shared routes for very many column subsets of one table.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod batch;
mod blocks;
pub mod certificate;
mod columns;
pub mod design;
pub mod error;
mod factor;
pub mod frame;
mod held_out;
mod linalg;
pub mod loss;
mod math;
mod matrix;
pub mod metric;
pub mod moments;
mod panel;
pub mod partition;
pub mod path;
pub mod penalty;
pub mod problem;
pub mod registry;
mod shared;
mod simd;
pub mod solver;
mod start;
mod stations;
pub mod subset;
mod syrk;

pub use batch::Plan;
pub use error::{Error, Result};
pub use matrix::{Csc, Values};
pub use path::{Fit, Path};
pub use problem::{Cell, Features, Recipe, Settings, Split, Table};
pub use solver::newton::Status;
