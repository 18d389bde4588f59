//! What connections to any peer share: whom to believe and what to show over TLS ([`tls`]), and how a
//! failure is told ([`chain`]).
//!
//! What is spoken over the connection, and who is there, is the business of whoever makes it.

mod causes;
pub mod tls;

pub use causes::chain;
