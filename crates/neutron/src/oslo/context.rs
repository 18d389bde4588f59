//! The context of a message: who asks for it. Neutron's agents and servers ask as administrators
//! without a name. Receivers need none of the keys; the time is left out, and then theirs.

use serde_json::{Map, Value, json};
use uuid::Uuid;

/// Keys that say nothing of an administrator without a name.
const EMPTY: [&str; 13] = [
    "user",
    "user_id",
    "user_name",
    "user_domain",
    "project",
    "project_id",
    "project_name",
    "project_domain",
    "domain",
    "system_scope",
    "auth_token",
    "global_request_id",
    "resource_uuid",
];

/// Adds the keys to a message. What asks can be found in the logs by the request's id.
pub(super) fn add(message: &mut Map<String, Value>, request: Uuid) {
    let empty = EMPTY.into_iter().map(|key| (key, Value::Null));
    let said = [
        ("is_admin", json!(true)),
        ("is_admin_project", json!(true)),
        ("read_only", json!(false)),
        ("show_deleted", json!(false)),
        ("request_id", json!(format!("req-{request}"))),
        ("roles", json!(["admin", "member", "reader"])),
        ("user_identity", json!("- - - - -")),
        ("has_global_access", json!(true)),
        ("can_set_project_id", json!(true)),
    ];
    message.extend(empty.chain(said).map(|(key, value)| (format!("_context_{key}"), value)));
}
