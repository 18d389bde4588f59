//! The client against real `ovsdb-server`s, each with its own directory, database and sockets.
//!
//! Nothing stands in for a server. Where a fault is needed, a [`relay::Relay`] between the two
//! cuts, holds back or spoils what goes through it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on should say where"
)]

mod connection;
mod monitor;
mod relay;
mod server;
mod switch;
mod tls;
mod transact;
