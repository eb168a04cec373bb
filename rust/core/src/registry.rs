//! What a loss or a penalty says of itself: its public name, its parameters, its documentation.
//!
//! The Python classes of `metafit.losses` and `metafit.penalties` are made from these descriptions, so that a new
//! member is one Rust file and one line in a registry.

use crate::error::{Error, Result};

/// A number that a loss or a penalty is told when it is made.
#[derive(Debug, Clone, Copy)]
pub struct Parameter {
    /// Its public name.
    pub name: &'static str,
    /// Value where none is given; `None` makes it a required argument.
    pub default: Option<f64>,
    /// Least value.
    pub low: f64,
    /// Largest value.
    pub high: f64,
    /// Whether the two ends are excluded.
    pub open: bool,
    /// What it does, in a sentence.
    pub doc: &'static str,
}

/// A name, a documentation and parameters.
#[derive(Debug, Clone, Copy)]
pub struct Spec {
    /// Name in requests and stored strategies, e.g. `squared_hinge`.
    pub name: &'static str,
    /// Name of the public class, e.g. `SquaredHinge`.
    pub class: &'static str,
    /// First line of the documentation: what it is and its formula.
    pub summary: &'static str,
    /// The rest: domain, prediction, source.
    pub notes: &'static str,
    /// What it is told, in order.
    pub parameters: &'static [Parameter],
}

impl Parameter {
    fn holds(&self, value: f64) -> bool {
        let inside =
            if self.open { value > self.low && value < self.high } else { value >= self.low && value <= self.high };
        inside && value.is_finite()
    }
}

impl Spec {
    /// Checks the number and the range of `values`.
    pub fn check(&self, values: &[f64]) -> Result<()> {
        if values.len() != self.parameters.len() {
            let message = format!("takes {} parameters, got {}", self.parameters.len(), values.len());
            return Err(Error::invalid(self.name, message));
        }
        let bad = self.parameters.iter().zip(values).find(|(parameter, value)| !parameter.holds(**value));
        match bad {
            Some((p, value)) => {
                let ends = if p.open { "between" } else { "from" };
                Err(Error::invalid(p.name, format!("is {value}, has to be {ends} {} and {}", p.low, p.high)))
            }
            None => Ok(()),
        }
    }
}

/// Makes a closed list from the types of its members: an enum, the descriptions, a constructor by name, and a macro
/// that hands the member inside a value to generic code (`$d` stands for the dollar sign in it).
macro_rules! registry {
    ($d:tt, $(#[$doc:meta])* $name:ident, $dispatch:ident, $argument:literal, $spec:ty: $($member:ident),+ $(,)?) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq)]
        #[allow(missing_docs)]
        pub enum $name { $($member($member)),+ }

        impl $name {
            /// Descriptions of all members.
            pub const SPECS: &'static [$spec] = &[$($member::SPEC),+];

            /// The member of that name, told `parameters`.
            pub fn named(name: &str, parameters: &[f64]) -> $crate::error::Result<Self> {
                $(if name == $member::SPEC.spec().name {
                    $member::SPEC.spec().check(parameters)?;
                    return Ok($name::$member($member::new(parameters)));
                })+
                Err($crate::error::Error::invalid($argument, format!("there is none called {name:?}")))
            }
        }

        /// Runs an expression with the member inside a value, its type known.
        macro_rules! $dispatch {
            ($d value:expr, $d inside:ident => $d result:expr) => {
                match $d value { $($name::$member($d inside) => $d result),+ }
            };
        }
        #[allow(unused_imports)]
        pub(crate) use $dispatch;
    };
}
pub(crate) use registry;
