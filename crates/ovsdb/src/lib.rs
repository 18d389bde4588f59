//! RFC 7047 client: JSON-RPC, monitored replica, transactions, typed Open_vSwitch rows.
