//! Work over very many rows, in blocks whose results are put together in order: the numbers do not depend on who does
//! which block. A call of few cells hands the blocks of each to its threads.

use std::cell::Cell;
use std::ops::Range;

use rayon::prelude::*;

/// Rows of a block. Fewer rows than that are one block.
pub(crate) const BLOCK: usize = 1 << 15;

thread_local! {
    /// Whether this thread hands blocks to the others of its pool.
    static SHARES: Cell<bool> = const { Cell::new(false) };
}

/// Runs something whose blocks the threads of the pool share. The blocks themselves are never cut further.
pub(crate) fn shared<T>(run: impl FnOnce() -> T) -> T {
    let _until_dropped = Sharing;
    SHARES.set(true);
    run()
}

/// Ends with the call, or with a panic in it.
struct Sharing;

impl Drop for Sharing {
    fn drop(&mut self) {
        SHARES.set(false);
    }
}

/// `of(0), of(1), ...`, each its own piece of work.
pub(crate) fn each<T: Send>(count: usize, of: impl Fn(usize) -> T + Sync) -> Vec<T> {
    if count > 1 && SHARES.get() {
        (0..count).into_par_iter().with_max_len(1).map(&of).collect()
    } else {
        (0..count).map(of).collect()
    }
}

/// What `of` makes of each block of rows.
pub(crate) fn blocks<T: Send>(n_rows: usize, of: impl Fn(Range<usize>) -> T + Sync) -> Vec<T> {
    each(n_rows.div_ceil(BLOCK).max(1), |b| of(b * BLOCK..((b + 1) * BLOCK).min(n_rows)))
}

/// Sums, entry by entry, of what `of` makes of each block of rows.
pub(crate) fn sums(n_rows: usize, of: impl Fn(Range<usize>) -> Vec<f64> + Sync) -> Vec<f64> {
    let mut parts = blocks(n_rows, of).into_iter();
    let mut total = parts.next().unwrap_or_default();
    parts.for_each(|part| total.iter_mut().zip(&part).for_each(|(t, v)| *t += v));
    total
}

/// Lets `fill` write each block of one value a row.
pub(crate) fn fill(out: &mut [f64], fill: impl Fn(Range<usize>, &mut [f64]) + Sync) {
    let place = |(b, out): (usize, &mut [f64])| fill(b * BLOCK..b * BLOCK + out.len(), out);
    if out.len() > BLOCK && SHARES.get() {
        out.par_chunks_mut(BLOCK).enumerate().for_each(place);
    } else {
        out.chunks_mut(BLOCK).enumerate().for_each(place);
    }
}

/// The same of several values a row, told where a block starts; returns what `fill` says of each block.
pub(crate) fn fill_all<const N: usize, T: Send>(
    out: [&mut [f64]; N],
    fill: impl Fn(usize, [&mut [f64]; N]) -> T + Sync,
) -> Vec<T> {
    let count = out.first().map_or(0, |out| out.len().div_ceil(BLOCK));
    let mut rest = out.map(|out| out.chunks_mut(BLOCK));
    let parts: Vec<_> = (0..count).map(|_| rest.each_mut().map(|rest| rest.next().unwrap_or_default())).collect();
    let place = |(b, part): (usize, [&mut [f64]; N])| fill(b * BLOCK, part);
    if count > 1 && SHARES.get() {
        parts.into_par_iter().with_max_len(1).enumerate().map(place).collect()
    } else {
        parts.into_iter().enumerate().map(place).collect()
    }
}
