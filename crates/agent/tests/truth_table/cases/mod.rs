//! The one table of what the firewall does with every class of packet, and how its rows are run:
//! what each node of Weir's must hold to, whichever server describes it.
//!
//! [`table`] is the table. Whoever includes this has the machines wired, makes the groups and the
//! changes, and gives the rows a [`run::Stage`].
//!
//! | module | what it has |
//! | --- | --- |
//! | [`machine`] | the machines, their ports and networks |
//! | [`group`] | the security groups, their rules, and the address group |
//! | [`packet`] | the machines' packets |
//! | [`fragment`] | packets in fragments |
//! | [`row`] | what a row is |
//! | [`run`] | how rows are run |
//! | [`table`] | the rows |
#![allow(dead_code, reason = "each test program uses its part")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]
#![allow(clippy::indexing_slicing, reason = "a test may")]

mod fragment;
pub(crate) mod group;
pub(crate) mod machine;
pub(crate) mod packet;
pub(crate) mod row;
pub(crate) mod run;
pub(crate) mod table;
