//! Searches over column subsets.

mod exhaustive;
mod tree;

pub use exhaustive::{Exhaustive, MOST_COLUMNS, Ridge};
