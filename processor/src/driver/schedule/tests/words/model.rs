//! The counts that must come out.

use std::collections::BTreeMap;

use super::jobs::{EVERY, FEW, GAP, Job, SIZE};

/// The counts that must come out for a word that occurs at these times, by the start of the window.
pub(super) fn model(job: Job, times: &[i64]) -> BTreeMap<i64, u64> {
    let mut counts = BTreeMap::new();
    let mut last = None;
    for time in times {
        match job {
            Job::WordCount(_) | Job::TwoStage | Job::Process | Job::Calls | Job::Finals | Job::Ends => {
                *counts.entry(time.div_euclid(10_000) * 10_000).or_default() += 1
            }
            Job::Sliding(_) => {
                let starts = (time - SIZE + 1..=*time).filter(|start| start % EVERY == 0);
                starts.for_each(|start| *counts.entry(start).or_default() += 1);
            }
            Job::ByRecord(_) => {
                for start in [(time - GAP).max(0), time + 1] {
                    let count = times.iter().filter(|at| (start..=start + GAP).contains(*at)).count() as u64;
                    counts.extend((count > 0).then_some((start, count)));
                }
            }
            Job::Sessions => {
                let start = last.filter(|(_, before)| time - before <= GAP).map_or(*time, |(start, _)| start);
                last = Some((start, *time));
                *counts.entry(start).or_default() += 1;
            }
            Job::Pattern => match last.take() {
                Some((one, _)) if time - one < GAP => *counts.entry(0).or_default() += 1,
                _ => last = Some((*time, *time)),
            },
            Job::SteeredSliding => *counts.entry(0).or_default() += (SIZE / EVERY).unsigned_abs(),
            Job::Cogroup => *counts.entry(0).or_default() += 2,
            Job::Found | Job::AsTable(_) => *counts.entry(0).or_default() += 1,
            Job::Latest(_) | Job::Table | Job::Thirds | Job::LastFew | Job::Steered | Job::SteeredSessions => {
                *counts.entry(0).or_default() += 1
            }
            Job::Failing => {
                let count = counts.entry(0).or_default();
                *count = FEW.min(*count + 1);
            }
            Job::Join => {
                let pairs = times.iter().filter(|other| other.abs_diff(*time) <= GAP.unsigned_abs()).count();
                *counts.entry(0).or_default() += pairs as u64;
            }
        }
    }
    if job == Job::Thirds {
        counts.values_mut().for_each(|count| *count -= *count % 3);
        counts.retain(|_, count| *count > 0);
    }
    if job == Job::LastFew {
        counts.values_mut().for_each(|count| *count = (1..=*count / 2).map(|result| (2 * result).min(4)).sum());
        counts.retain(|_, count| *count > 0);
    }
    counts
}
