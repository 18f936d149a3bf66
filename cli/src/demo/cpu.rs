//! The CPU time of this process.

use std::fs;

/// User and system time of the process in seconds; `None` on systems without /proc (only Linux has it).
///
/// Fields 14 and 15 of /proc/self/stat, in ticks of 1/100 s on every architecture that Linux has (`USER_HZ`, proc(5)).
pub(crate) fn seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The second field, the name in parentheses, may contain any character: the fields are counted from after it.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((user + system) as f64 / 100.0)
}
