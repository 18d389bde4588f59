//! Moves a machine that runs between a Linux bridge of its own and none.

#[allow(dead_code, reason = "the moves that use it follow")]
pub(crate) mod swap;
