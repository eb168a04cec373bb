//! Penalties `Omega(w)`: the public kinds, and the separable form in which the solvers meet them.

mod elastic_net;

pub use elastic_net::Separable;

use crate::error::{Error, Result};

/// The closed list of penalties.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum PenaltyKind {
    /// `sum_j f_j (l1_ratio |w_j - w0_j| + (1 - l1_ratio) (w_j - w0_j)^2 / 2)`; L1 and L2 are its ends.
    ElasticNet {
        /// Share of the absolute value, in \[0, 1\].
        l1_ratio: f64,
    },
}

/// A penalty with its factors and its centre, one entry a column of the table.
#[derive(Debug, Clone)]
pub struct Penalty {
    /// The function.
    pub kind: PenaltyKind,
    /// Factors `f_j >= 0`: 0 leaves a column unpenalised, infinity pins it to its centre. `None` means 1.
    pub factors: Option<Vec<f64>>,
    /// Centre `w0` in original units. `None` means 0.
    pub center: Option<Vec<f64>>,
}

impl Penalty {
    /// Elastic net without factors or centre.
    pub fn elastic_net(l1_ratio: f64) -> Self {
        Self { kind: PenaltyKind::ElasticNet { l1_ratio }, factors: None, center: None }
    }

    /// Checks the fields against the number of columns.
    pub fn check(&self, n_columns: usize) -> Result<()> {
        let PenaltyKind::ElasticNet { l1_ratio } = self.kind;
        if !(0.0..=1.0).contains(&l1_ratio) {
            return Err(Error::invalid("l1_ratio", format!("is {l1_ratio}, has to be in [0, 1]")));
        }
        check_length("factors", &self.factors, n_columns)?;
        check_length("center", &self.center, n_columns)?;
        match self.factors.iter().flatten().position(|f| f.is_nan() || *f < 0.0) {
            Some(j) => Err(Error::invalid("factors", format!("has to be at least 0, column {j} is not"))),
            None => Ok(()),
        }
    }

    /// Factor of column j.
    pub fn factor(&self, j: usize) -> f64 {
        self.factors.as_ref().map_or(1.0, |f| f[j])
    }

    /// Centre of column j.
    pub fn center_of(&self, j: usize) -> f64 {
        self.center.as_ref().map_or(0.0, |c| c[j])
    }

    /// Share of the absolute value.
    pub fn l1_ratio(&self) -> f64 {
        let PenaltyKind::ElasticNet { l1_ratio } = self.kind;
        l1_ratio
    }
}

fn check_length(argument: &'static str, values: &Option<Vec<f64>>, n: usize) -> Result<()> {
    match values {
        Some(v) if v.len() != n => Err(Error::invalid(argument, format!("{} values for {n} columns of X", v.len()))),
        _ => Ok(()),
    }
}
