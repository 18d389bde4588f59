//! How long to wait before the next attempt.

use super::*;

#[test]
fn attempts_are_put_off_ever_longer_and_never_too_long() {
    let options = Options::default();
    for (failures, longest) in [(0, 50), (1, 100), (2, 200), (4, 800), (5, 1000), (u32::MAX, 1000)]
    {
        let longest = Duration::from_millis(longest);
        for _ in 0..100 {
            let delay = options.retry_delay(failures);
            assert!(delay <= longest && delay >= longest / 2, "{failures}: {delay:?}");
        }
    }
}

#[test]
fn a_reason_tells_all_causes() {
    let source = io::Error::other("no such file");
    let loss = Loss::Connect(ConnectError::Socket { remote: "unix:/x".to_owned(), source });
    assert_eq!(chain(&loss), "cannot connect to unix:/x: no such file");
}
