//! What can be wrong with a request. A fit that merely ends badly is a [`crate::Status`], not an error.

/// The one error of the crate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// An argument whose value cannot be used.
    #[error("{argument}: {message}")]
    Invalid {
        /// The argument's public name.
        argument: &'static str,
        /// What it holds and what it has to hold.
        message: String,
    },
    /// NaN or infinity where a number has to be.
    #[error("{argument} holds NaN or infinity at row {row}{}", in_column(.column))]
    NotFinite {
        /// The argument's public name.
        argument: &'static str,
        /// First row at fault, counted from 0.
        row: usize,
        /// Its column, for a matrix.
        column: Option<usize>,
    },
    /// The arrays that the request needs do not fit into memory.
    #[error("the request needs {bytes} bytes, more than can be allocated")]
    OutOfMemory {
        /// Bytes asked for.
        bytes: usize,
    },
    /// The caller asked to stop.
    #[error("cancelled")]
    Cancelled,
}

fn in_column(column: &Option<usize>) -> String {
    column.map_or_else(String::new, |j| format!(", column {j}"))
}

impl Error {
    pub(crate) fn invalid(argument: &'static str, message: impl Into<String>) -> Self {
        Error::Invalid { argument, message: message.into() }
    }
}

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;
