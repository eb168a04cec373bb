use metafit_core::loss::{Kind, LossKind};
use metafit_core::penalty::PenaltyKind;
use metafit_core::registry::Spec;
use numpy::{PyArray1, PyReadonlyArray1, PyReadonlyArrayDyn};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::errors::to_python;
use crate::request::FEW_VALUES;

/// Descriptions of all losses, from which Python makes its classes.
#[pyfunction]
pub fn losses(py: Python<'_>) -> PyResult<Vec<Bound<'_, PyDict>>> {
    let describe = |loss: &metafit_core::loss::LossSpec| {
        let out = description(py, &loss.spec)?;
        let kind = match loss.kind {
            Kind::Regression => "regression",
            Kind::Classification => "classification",
        };
        out.set_item("kind", kind)?;
        out.set_item("score", loss.score)?;
        out.set_item("scores", loss.scores.to_vec())?;
        out.set_item("has_probabilities", loss.has_probabilities)?;
        out.set_item("is_multinomial", loss.is_multinomial)?;
        Ok(out)
    };
    LossKind::SPECS.iter().map(describe).collect()
}

/// Descriptions of all penalties, from which Python makes its classes.
#[pyfunction]
pub fn penalties(py: Python<'_>) -> PyResult<Vec<Bound<'_, PyDict>>> {
    let describe = |penalty: &metafit_core::penalty::PenaltySpec| {
        let out = description(py, &penalty.spec)?;
        out.set_item("has_groups", penalty.has_groups)?;
        out.set_item("has_metric", penalty.has_metric)?;
        Ok(out)
    };
    PenaltyKind::SPECS.iter().map(describe).collect()
}

/// Share of `|u|` (or of a norm) of a penalty told these parameters, from 0 to 1; and whether it is convex.
#[pyfunction]
pub fn penalty_shape(name: &str, parameters: Vec<f64>) -> PyResult<(f64, bool)> {
    let kind = PenaltyKind::named(name, &parameters).map_err(to_python)?;
    Ok((metafit_core::penalty::Penalty::plain(kind).l1_ratio(), kind.is_convex()))
}

/// Predictions (means, quantiles, probabilities of the second class) that belong to linear predictions.
#[pyfunction]
pub fn predictions<'py>(
    py: Python<'py>,
    loss: &str,
    parameters: Vec<f64>,
    eta: PyReadonlyArray1<'py, f64>,
) -> PyResult<Bound<'py, PyArray1<f64>>> {
    let kind = LossKind::named(loss, &parameters).map_err(to_python)?;
    Ok(PyArray1::from_vec(py, kind.means(eta.as_array().iter().copied())))
}

/// Whether every entry is finite.
#[pyfunction]
pub fn all_finite(py: Python<'_>, values: PyReadonlyArrayDyn<'_, f64>) -> bool {
    let values = values.as_array();
    // some at a time, without a branch for each
    let of_chunk = |chunk: &[f64]| chunk.iter().fold(true, |all, v| all & v.is_finite());
    let look = || match values.as_slice_memory_order() {
        Some(flat) => flat.chunks(256).all(of_chunk),
        None => values.iter().all(|v| v.is_finite()),
    };
    if values.len() < FEW_VALUES { look() } else { py.detach(look) }
}

/// The two values that occur, ascending, and 0 or 1 for each entry; none where there are not two.
#[pyfunction]
pub fn two_labels<'py>(
    py: Python<'py>,
    y: PyReadonlyArray1<'py, f64>,
) -> Option<(f64, f64, Bound<'py, PyArray1<f64>>)> {
    let ([low, high], codes) = match y.as_slice() {
        Ok(y) => two_labels_of(y)?,
        Err(_) => two_labels_of(&y.as_array().to_vec())?,
    };
    Some((low, high, PyArray1::from_vec(py, codes)))
}

/// The same of a slice.
pub fn two_labels_of(y: &[f64]) -> Option<([f64; 2], Vec<f64>)> {
    let first = *y.first()?;
    let second = *y.iter().find(|v| **v != first)?;
    let (low, high) = if first < second { (first, second) } else { (second, first) };
    let two = y.iter().fold(true, |two, v| two & ((*v == low) | (*v == high)));
    two.then(|| ([low, high], y.iter().map(|v| f64::from(u8::from(*v == high))).collect()))
}

fn description<'py>(py: Python<'py>, spec: &Spec) -> PyResult<Bound<'py, PyDict>> {
    let out = PyDict::new(py);
    out.set_item("name", spec.name)?;
    out.set_item("class", spec.class)?;
    out.set_item("summary", spec.summary)?;
    out.set_item("notes", spec.notes)?;
    let parameters: Vec<_> =
        spec.parameters.iter().map(|p| (p.name, p.default, p.low, p.high, p.open, p.doc)).collect();
    out.set_item("parameters", parameters)?;
    Ok(out)
}
