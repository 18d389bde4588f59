//! Waiting: the one place where the kit lets time pass.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::{Error, Result};

/// How long from one question to the next: a twentieth of the time so far, so that asking takes
/// little of a slow machine's time, within these bounds.
const PACE: u32 = 20;
const SHORTEST: Duration = Duration::from_millis(2);
const LONGEST: Duration = Duration::from_millis(50);

/// What a condition says when asked: not yet, or this.
pub trait Ready {
    /// What there is once the condition holds.
    type Value;

    /// The value, or `None` while the condition does not hold.
    fn ready(self) -> Option<Self::Value>;
}

impl Ready for bool {
    type Value = ();

    fn ready(self) -> Option<()> {
        self.then_some(())
    }
}

impl<T> Ready for Option<T> {
    type Value = T;

    fn ready(self) -> Option<T> {
        self
    }
}

/// Asks every few milliseconds, later every 50 ms, until the condition holds, at least once,
/// and returns its value.
///
/// # Errors
/// [`Error::Deadline`] when it does not hold within that time.
pub fn eventually<R: Ready>(
    within: Duration,
    mut condition: impl FnMut() -> R,
) -> Result<R::Value> {
    let start = Instant::now();
    loop {
        if let Some(value) = condition().ready() {
            return Ok(value);
        }
        let elapsed = start.elapsed();
        if elapsed >= within {
            return Err(Error::Deadline { within });
        }
        thread::sleep((elapsed / PACE).clamp(SHORTEST, LONGEST));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn returns_the_value_or_the_deadline() {
        let mut asked = 0;
        let third = eventually(Duration::from_secs(5), || {
            asked += 1;
            (asked == 3).then_some("third")
        });
        assert_eq!(third.unwrap(), "third");
        assert!(matches!(eventually(Duration::ZERO, || false), Err(Error::Deadline { .. })));
    }
}
