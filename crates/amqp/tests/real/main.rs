//! The client against real RabbitMQs, each with its own address, data and users.
//!
//! Nothing stands in for a broker. Where a fault is needed, the broker is frozen or killed, or
//! somebody listens who is none.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on should say where"
)]

mod broker;
mod connection;
mod consumer;
mod declaration;
mod publisher;
mod tls;
mod trouble;
