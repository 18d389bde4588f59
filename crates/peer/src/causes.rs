//! An error with all its causes, on one line.

use std::error::Error;

/// `what was wrong: why: why`.
pub fn chain(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Failure {
        text: &'static str,
        source: Option<Box<Failure>>,
    }

    #[test]
    fn every_cause_follows() {
        let failure =
            |text, source: Option<Failure>| Failure { text, source: source.map(Box::new) };
        let error = failure("one", Some(failure("two", Some(failure("three", None)))));
        assert_eq!(chain(&error), "one: two: three");
        assert_eq!(chain(&failure("one", None)), "one");
    }
}
