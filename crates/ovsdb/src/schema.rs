//! Rows of the database `Open_vSwitch`, one type for each table that is monitored
//! (`ovs-vswitchd.conf.db(5)`).
//!
//! A type holds the columns that are monitored and no others. Statistics are left out on purpose:
//! the switch writes them every few seconds.

use std::collections::{BTreeMap, BTreeSet};

use crate::datum::RowId;
use crate::row::{ColumnError, ColumnKind, ColumnType, Row};

/// A type that holds the monitored columns of a table.
pub trait TableRow: Sized {
    /// The name of the table.
    const TABLE: &'static str;
    /// The monitored columns.
    const COLUMNS: &'static [(&'static str, ColumnKind)];

    /// Reads a row; columns that are missing have their defaults.
    ///
    /// # Errors
    /// When a column holds a value that does not fit.
    fn from_row(row: &Row) -> Result<Self, ColumnError>;

    /// The row with all monitored columns.
    fn to_row(&self) -> Row;
}

macro_rules! table {
    (
        $(#[$doc:meta])*
        $name:ident = $table:literal {
            $($(#[$field_doc:meta])* $field:ident: $type:ty = $column:literal,)*
        }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
        }

        impl TableRow for $name {
            const TABLE: &'static str = $table;
            const COLUMNS: &'static [(&'static str, ColumnKind)] =
                &[$(($column, <$type as ColumnType>::KIND)),*];

            fn from_row(row: &Row) -> Result<Self, ColumnError> {
                Ok(Self { $($field: row.get($column)?),* })
            }

            fn to_row(&self) -> Row {
                Row::new()$(.with($column, self.$field.to_datum()))*
            }
        }

        impl TryFrom<&Row> for $name {
            type Error = ColumnError;

            fn try_from(row: &Row) -> Result<Self, ColumnError> {
                Self::from_row(row)
            }
        }
    };
}

table! {
    /// The switch: the one row of the root table.
    OpenVswitch = "Open_vSwitch" {
        /// Its bridges.
        bridges: BTreeSet<RowId> = "bridges",
        /// The version of Open vSwitch, as ovs-vswitchd or its start script wrote it.
        ovs_version: Option<String> = "ovs_version",
        /// The datapath types that ovs-vswitchd can make, such as `netdev`.
        datapath_types: BTreeSet<String> = "datapath_types",
        /// The interface types that ovs-vswitchd can make, such as `vxlan`.
        iface_types: BTreeSet<String> = "iface_types",
        /// Settings.
        other_config: BTreeMap<String, String> = "other_config",
        /// What other programs noted here.
        external_ids: BTreeMap<String, String> = "external_ids",
        /// The configuration that ovs-vswitchd has last carried out.
        cur_cfg: i64 = "cur_cfg",
        /// The configuration that was last asked for.
        next_cfg: i64 = "next_cfg",
    }
}

table! {
    /// A bridge.
    Bridge = "Bridge" {
        /// Its name, unique among bridges.
        name: String = "name",
        /// Its ports.
        ports: BTreeSet<RowId> = "ports",
        /// `netdev`, `system`, or empty, which means `system`.
        datapath_type: String = "datapath_type",
        /// `secure`, `standalone`, or nothing, which means `standalone`.
        fail_mode: Option<String> = "fail_mode",
        /// The identity that ovs-vswitchd gave it: 16 hexadecimal digits.
        datapath_id: Option<String> = "datapath_id",
        /// Whether multicast goes only to where it was asked for (IGMP and MLD).
        mcast_snooping_enable: bool = "mcast_snooping_enable",
        /// The OpenFlow versions allowed, such as `OpenFlow14`; nothing means the default.
        protocols: BTreeSet<String> = "protocols",
        /// Settings.
        other_config: BTreeMap<String, String> = "other_config",
        /// What other programs noted here.
        external_ids: BTreeMap<String, String> = "external_ids",
    }
}

table! {
    /// A port of a bridge.
    Port = "Port" {
        /// Its name, unique among ports.
        name: String = "name",
        /// Its interfaces: one, or several in a bond.
        interfaces: BTreeSet<RowId> = "interfaces",
        /// The VLAN it is in, 0 to 4095.
        tag: Option<u16> = "tag",
        /// `access`, `trunk`, `native-tagged`, `native-untagged` or `dot1q-tunnel`.
        vlan_mode: Option<String> = "vlan_mode",
        /// The VLANs it carries.
        trunks: BTreeSet<u16> = "trunks",
        /// How what leaves by it is queued.
        qos: Option<RowId> = "qos",
        /// Settings.
        other_config: BTreeMap<String, String> = "other_config",
        /// What other programs noted here.
        external_ids: BTreeMap<String, String> = "external_ids",
    }
}

table! {
    /// An interface of a port.
    Interface = "Interface" {
        /// Its name, unique among interfaces.
        name: String = "name",
        /// Column `type`: `internal`, `patch`, `vxlan`, …; empty for a device of the system.
        kind: String = "type",
        /// Its OpenFlow number; -1 when ovs-vswitchd could not open it, nothing before it tried.
        ofport: Option<i64> = "ofport",
        /// Its Ethernet address.
        mac_in_use: Option<String> = "mac_in_use",
        /// `up` or `down`, as it is set.
        admin_state: Option<String> = "admin_state",
        /// `up` or `down`, as the link is.
        link_state: Option<String> = "link_state",
        /// Why ovs-vswitchd could not open it.
        error: Option<String> = "error",
        /// How much may come in by it, in kilobits a second; 0 for no limit.
        ingress_policing_rate: i64 = "ingress_policing_rate",
        /// How much of that may come at once, in kilobits; 0 for the default.
        ingress_policing_burst: i64 = "ingress_policing_burst",
        /// Settings of its type, such as `peer` or `remote_ip`.
        options: BTreeMap<String, String> = "options",
        /// What other programs noted here, such as `iface-id`.
        external_ids: BTreeMap<String, String> = "external_ids",
    }
}

table! {
    /// How what leaves by a port is queued.
    Qos = "QoS" {
        /// Column `type`: `linux-htb`, `egress-policer`, ….
        kind: String = "type",
        /// Its queues by their numbers.
        queues: BTreeMap<i64, RowId> = "queues",
        /// Settings of its type, such as `max-rate`.
        other_config: BTreeMap<String, String> = "other_config",
        /// What other programs noted here.
        external_ids: BTreeMap<String, String> = "external_ids",
    }
}

table! {
    /// A queue.
    Queue = "Queue" {
        /// Settings of the type of its QoS, such as `max-rate`.
        other_config: BTreeMap<String, String> = "other_config",
        /// What other programs noted here.
        external_ids: BTreeMap<String, String> = "external_ids",
    }
}
