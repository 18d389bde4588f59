//! What a switch says of itself, `ofp_switch_features`. OpenFlow 1.4.1 § 7.3.1.

use super::{DecodeError, Reader};

/// What a switch says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Features {
    /// Number of the datapath; the lower 48 bits are usually an Ethernet address.
    pub datapath_id: u64,
    /// How many tables it has.
    pub n_tables: u8,
    /// What it can do, bits of `ofp_capabilities`.
    pub capabilities: u32,
}

/// Reads the body of the message.
pub(crate) fn decode(body: &[u8]) -> Result<Features, DecodeError> {
    let mut reader = Reader::new("features", body);
    let datapath_id = reader.u64()?;
    reader.skip(4)?; // buffers
    let n_tables = reader.u8()?;
    reader.skip(3)?; // auxiliary connection, padding
    let capabilities = reader.u32()?;
    reader.skip(4)?;
    reader.finish()?;
    Ok(Features { datapath_id, n_tables, capabilities })
}
