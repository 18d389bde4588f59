//! Neutron's formats: versioned objects, RPC messages, REST bodies, and the bus.
//!
//! The only crate that knows a Neutron field, topic, method or version string. [`object`] is what
//! is told about, [`rpc`] is what is said, [`oslo`] is what that is on RabbitMQ, [`bus`] is how it
//! gets there, and [`convert`] makes the model's values of what came. Nothing here decides what a
//! server or an agent does.

pub mod bus;
pub mod convert;
pub mod object;
pub mod oslo;
pub mod rest;
pub mod rpc;
