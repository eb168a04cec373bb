//! Which columns a step is taken on.

use crate::penalty::ScaledPenalty;

/// Columns that join a working set at once, at least.
const JOINING: usize = 100;

/// Columns away from 0, those that no kink holds there, and those (or those blocks) whose slope leads away from 0: the
/// steepest of these where there are many more than the others.
pub(super) fn working_set(slope: &[f64], penalty: &ScaledPenalty, b: &[f64]) -> Vec<usize> {
    let inside = penalty.in_block();
    let is_fixed = |j: usize| penalty.lower[j] == 0.0 && penalty.upper[j] == 0.0;
    let mut set = vec![];
    let mut joining: Vec<(f64, Vec<usize>)> = vec![];
    // most of very many columns stay where they are: nothing is made for them
    for j in (0..b.len()).filter(|&j| !inside[j] && !is_fixed(j)) {
        if b[j] != 0.0 || penalty.l1[j] == 0.0 {
            set.push(j);
            continue;
        }
        let excess = penalty.off_at(j, 0.0, slope[j]);
        if excess > 0.0 {
            joining.push((excess, vec![j]));
        }
    }
    for block in penalty.blocks.iter().filter(|g| g.is_active()) {
        let members = block.members.iter().zip(&block.scale).filter(|(j, s)| **s > 0.0 && !is_fixed(**j));
        let members = members.map(|(&j, _)| j);
        if members.clone().any(|j| b[j] != 0.0) {
            set.extend(members);
            continue;
        }
        let excess = block.excess(slope, penalty);
        if excess > 0.0 {
            joining.push((excess, members.collect()));
        }
    }
    let room = JOINING.max(set.len());
    if joining.iter().map(|(_, members)| members.len()).sum::<usize>() > room {
        joining.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    }
    let mut taken = 0;
    for (_, members) in joining {
        if taken >= room {
            break;
        }
        taken += members.len();
        set.extend(members);
    }
    set.sort_unstable();
    set
}
