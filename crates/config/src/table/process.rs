//! Groups that say how Python processes work together.

use crate::kind::Kind;
use crate::option::{Definition, Part};

/// Those that nobody here reads.
pub(super) static OTHERS: &[Definition] = &[
    Definition::new("oslo_concurrency", "disable_process_locking", Kind::Bool)
        .default("False")
        .part(Part::NotNeeded, "Weir locks nothing by files of other programs."),
    Definition::new("oslo_concurrency", "lock_path", Kind::Text)
        .part(Part::NotNeeded, "Weir locks nothing by files of other programs."),
    Definition::new("privsep", "capabilities", Kind::List)
        .default("")
        .part(Part::NotNeeded, "Weir starts no other program and needs no helper."),
    Definition::new("privsep", "group", Kind::Text)
        .part(Part::NotNeeded, "Weir starts no other program and needs no helper."),
    Definition::new("privsep", "helper_command", Kind::Text)
        .part(Part::NotNeeded, "Weir starts no other program and needs no helper."),
    Definition::new("privsep", "log_daemon_traceback", Kind::Bool)
        .default("False")
        .part(Part::NotNeeded, "Weir starts no other program and needs no helper."),
    Definition::new("privsep", "logger_name", Kind::Text)
        .default("oslo_privsep.daemon")
        .part(Part::NotNeeded, "Weir starts no other program and needs no helper."),
    Definition::new("privsep", "thread_pool_size", Kind::at_least(1))
        .default("2")
        .part(Part::NotNeeded, "Weir starts no other program and needs no helper."),
    Definition::new("privsep", "user", Kind::Text)
        .part(Part::NotNeeded, "Weir starts no other program and needs no helper."),
];
