//! Jobs on several workers, in an order drawn from a seed, compared with a model.

mod broadcast;
mod combined;
mod foreign;
mod global;
mod ordered;
mod starts;
mod words;

use std::time::Duration;

use super::TestDriver;

const SECOND: Duration = Duration::from_secs(1);

fn millis(millis: i64) -> Duration {
    Duration::from_millis(millis.try_into().expect("not negative"))
}

/// The seeds from `first` on, or the one seed that the environment names. `WATERWHEEL_SCHEDULES` multiplies their
/// number, for a run of hours.
fn seeds(first: u64, count: u64) -> std::ops::Range<u64> {
    let given = |name| std::env::var(name).ok().map(|number| number.parse::<u64>().expect("a number"));
    let times = given("WATERWHEEL_SCHEDULES").unwrap_or(1);
    given("WATERWHEEL_SEED").map_or(first..first + count * times, |seed| seed..seed + 1)
}

/// Lets the job finish, and everything come to light that it has written.
///
/// # Panics
/// If it fails, or does not finish; the message has `replay`.
fn finish(driver: &mut TestDriver, replay: &str) {
    driver.finish();
    // Transactions of dead members hide the records behind them until they time out.
    driver.advance_wall(20 * SECOND);
    driver.settle();
    assert_eq!(driver.fatal(), None, "{replay}");
    assert!(driver.is_finished(), "stuck: {:?}; {replay}", driver.reports());
}
