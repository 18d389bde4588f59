//! The binary `weir`: every command is a module, and this file only tells them apart.

#![allow(dead_code, reason = "the commands are on their way")]

mod api;
mod output;
mod state_dir;

fn main() {}
