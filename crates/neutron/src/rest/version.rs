//! What the API says of itself: its versions, its resources and its extensions.

use serde::Serialize;
use serde_json::{Value, json};

use super::{
    ADDRESS_GROUP, AGENT, DEFAULT_SECURITY_GROUP_RULE, NETWORK, PORT, QOS_BANDWIDTH_LIMIT_RULE,
    QOS_DSCP_MARKING_RULE, QOS_MINIMUM_BANDWIDTH_RULE, QOS_MINIMUM_PACKET_RATE_RULE,
    QOS_PACKET_RATE_LIMIT_RULE, QOS_POLICY, QOS_RULE_TYPE, Resource, SECURITY_GROUP,
    SECURITY_GROUP_RULE, SEGMENT, SUBNET, TRUNK,
};

/// An extension that is there, whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Extension {
    /// Its short name, which clients look for.
    pub alias: &'static str,
    /// Its name.
    pub name: &'static str,
    /// What it is for.
    pub description: &'static str,
    /// When it last changed.
    pub updated: &'static str,
    /// Empty.
    pub links: [(); 0],
}

/// Every extension that is there. What an alias promises is served in full.
pub const EXTENSIONS: &[Extension] = &[
    extension("address-group", "Address group", "Support address group"),
    extension("agent", "agent", "The agent management extension."),
    extension("allowed-address-pairs", "Allowed Address Pairs", "Provides allowed address pairs"),
    extension("binding", "Port Binding", "Expose port bindings of a virtual port to application"),
    extension(
        "binding-extended",
        "Port Bindings Extended",
        "Expose port bindings of a virtual port to external application",
    ),
    extension("filter-validation", "Filter parameters validation", "Validates filters of lists."),
    extension(
        "multi-provider",
        "Multi Provider Network",
        "Expose mapping of virtual networks to multiple physical networks",
    ),
    extension("net-mtu", "Network MTU", "Provides MTU attribute for a network resource."),
    extension("net-mtu-writable", "Network MTU (writable)", "Provides a writable MTU attribute."),
    extension("pagination", "Pagination support", "Lists are paginated natively."),
    extension("port-security", "Port Security", "Provides port security"),
    extension("project-id", "project_id field enabled", "Resources have a field project_id."),
    extension("provider", "Provider Network", "Expose mapping of virtual networks to physical"),
    extension("qos", "Quality of Service", "The Quality of Service extension."),
    extension(
        "qos-bw-limit-direction",
        "Direction for QoS bandwidth limit rule",
        "A bandwidth limit can be for either direction",
    ),
    extension(
        "qos-bw-minimum-ingress",
        "Ingress direction for QoS minimum bandwidth rule",
        "A minimum bandwidth can be for either direction",
    ),
    extension("qos-default", "QoS default policy", "New networks can have a policy by default."),
    extension(
        "qos-port-network-policy",
        "QoS port network policy ID",
        "A port shows the QoS policy of its network",
    ),
    extension("qos-pps", "QoS Rule Type Packet per Second Extension", "Limits packets a second."),
    extension(
        "qos-pps-minimum",
        "QoS minimum packet rate rule",
        "Keeps minimum packet rates, for a scheduler to look at",
    ),
    extension(
        "qos-rule-type-details",
        "Details of QoS rule types",
        "Shows who serves a type of QoS rules, and with what values",
    ),
    extension("quotas", "Quota management support", "Limits the resources of a project."),
    extension("security-group", "security-group", "The security groups extension."),
    extension(
        "security-groups-default-rules",
        "Default rules for security groups",
        "The rules that every new security group has are a resource",
    ),
    extension(
        "security-groups-normalized-cidr",
        "Normalized CIDR field for security group rules",
        "Shows the remote prefix of a rule with its host bits zero",
    ),
    extension(
        "security-groups-remote-address-group",
        "Remote address group id field for security group rules",
        "The other side of a rule can be an address group",
    ),
    extension(
        "security-groups-rules-belongs-to-default-sg",
        "Security group rule belongs to the project's default security group",
        "Shows whether the group of a rule is the default one of its project",
    ),
    extension("sorting", "Sorting support", "Lists are sorted natively."),
    extension("standard-attr-description", "standard-attr-description", "Resources have text."),
    extension("standard-attr-revisions", "Resource revision numbers", "Resources count changes."),
    extension("standard-attr-tag", "Tag support", "Networks, ports and others can have tags."),
    extension(
        "standard-attr-timestamp",
        "Resource timestamps",
        "Resources say when they were created and last changed.",
    ),
    extension("stateful-security-group", "Stateful security group", "Groups may be stateless."),
    extension("trunk", "Trunk Extension", "Provides support for trunk ports"),
    extension("trunk-details", "Trunk port details", "Expose trunk port details"),
];

/// The resources at `/v2.0/`.
pub(super) const RESOURCES: [&Resource; 17] = [
    &NETWORK,
    &SEGMENT,
    &SUBNET,
    &PORT,
    &SECURITY_GROUP,
    &SECURITY_GROUP_RULE,
    &DEFAULT_SECURITY_GROUP_RULE,
    &ADDRESS_GROUP,
    &QOS_POLICY,
    &QOS_BANDWIDTH_LIMIT_RULE,
    &QOS_DSCP_MARKING_RULE,
    &QOS_MINIMUM_BANDWIDTH_RULE,
    &QOS_MINIMUM_PACKET_RATE_RULE,
    &QOS_PACKET_RATE_LIMIT_RULE,
    &QOS_RULE_TYPE,
    &TRUNK,
    &AGENT,
];

/// The body of `GET /`. `base` is the URL that the client came by, without a slash at its end.
pub fn versions(base: &str) -> Value {
    json!({ "versions": [version(base)] })
}

/// The body of `GET /v2.0/`.
pub fn resources(base: &str) -> Value {
    let link = |resource: &Resource| {
        json!({
            "name": resource.name,
            "collection": resource.plural,
            "links": [{ "rel": "self", "href": format!("{base}/v2.0/{}", resource.path) }],
        })
    };
    // What stands below another resource has no URL of its own.
    let links = RESOURCES.iter().filter(|resource| !resource.path.contains('{'));
    json!({ "resources": links.map(|resource| link(resource)).collect::<Vec<_>>() })
}

fn version(base: &str) -> Value {
    json!({
        "id": "v2.0",
        "status": "CURRENT",
        "links": [{ "rel": "self", "href": format!("{base}/v2.0/") }],
    })
}

const fn extension(
    alias: &'static str,
    name: &'static str,
    description: &'static str,
) -> Extension {
    Extension { alias, name, description, updated: "2026-11-21T00:00:00-00:00", links: [] }
}
