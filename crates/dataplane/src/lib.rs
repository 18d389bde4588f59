//! Snapshot to desired flows, and the difference from the installed ones.
