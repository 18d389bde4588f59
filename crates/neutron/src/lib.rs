//! Neutron's formats: versioned objects, RPC messages, REST bodies, and the bus.
