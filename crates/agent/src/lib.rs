//! One node: inventory, plan, execute.
