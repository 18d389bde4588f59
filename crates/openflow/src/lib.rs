//! OpenFlow 1.4 with Nicira extensions: codec, ovs-ofctl text, session, transport.
