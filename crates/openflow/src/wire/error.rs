//! Errors that a switch answers with, and their names. OpenFlow 1.4.1 § 7.5.4; Nicira's from Open
//! vSwitch's ofp-errors.h.

use super::{DecodeError, Reader, action::NICIRA};
use std::fmt;

/// An error that a switch answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorMessage {
    /// The type of the error; 0xffff for one of an experimenter.
    pub kind: u16,
    /// Its code within the type.
    pub code: u16,
    /// Whose it is, where the type says that it is an experimenter's.
    pub experimenter: Option<u32>,
    /// What the switch added: the beginning of the message refused, or a text.
    pub data: Vec<u8>,
}

const EXPERIMENTER: u16 = 0xffff;
const HELLO_FAILED: u16 = 0;

impl ErrorMessage {
    /// Its name as Open vSwitch has it, e.g. `OFPBMC_BAD_PREREQ`.
    pub fn name(&self) -> Option<&'static str> {
        match self.experimenter {
            None => STANDARD
                .binary_search_by_key(&(self.kind, self.code), |(kind, code, _)| (*kind, *code))
                .ok()
                .and_then(|index| STANDARD.get(index))
                .map(|(_, _, name)| *name),
            Some(NICIRA) => {
                NICIRAS.iter().find(|(number, _)| *number == self.code).map(|(_, name)| *name)
            }
            Some(_) => None,
        }
    }
}

impl fmt::Display for ErrorMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name)?,
            None => {
                write!(f, "error of type {}, code {}", self.kind, self.code)?;
                if let Some(experimenter) = self.experimenter {
                    write!(f, ", experimenter {experimenter:#x}")?;
                }
            }
        }
        // Of all errors only this one has a text for people.
        if self.kind == HELLO_FAILED && !self.data.is_empty() {
            write!(f, " ({})", String::from_utf8_lossy(&self.data).trim_end_matches('\0'))?;
        }
        Ok(())
    }
}

/// Reads the body of the message.
pub(crate) fn decode(body: &[u8]) -> Result<ErrorMessage, DecodeError> {
    let mut reader = Reader::new("error", body);
    let (kind, code) = (reader.u16()?, reader.u16()?);
    let experimenter = if kind == EXPERIMENTER { Some(reader.u32()?) } else { None };
    Ok(ErrorMessage { kind, code, experimenter, data: reader.rest().to_vec() })
}

/// Type, code, name.
#[rustfmt::skip]
const STANDARD: [(u16, u16, &str); 150] = [
    (0, 0, "OFPHFC_INCOMPATIBLE"),
    (0, 1, "OFPHFC_EPERM"),
    (1, 0, "OFPBRC_BAD_VERSION"),
    (1, 1, "OFPBRC_BAD_TYPE"),
    (1, 2, "OFPBRC_BAD_STAT"),
    (1, 3, "OFPBRC_BAD_VENDOR"),
    (1, 4, "OFPBRC_BAD_SUBTYPE"),
    (1, 5, "OFPBRC_EPERM"),
    (1, 6, "OFPBRC_BAD_LEN"),
    (1, 7, "OFPBRC_BUFFER_EMPTY"),
    (1, 8, "OFPBRC_BUFFER_UNKNOWN"),
    (1, 9, "OFPBRC_BAD_TABLE_ID"),
    (1, 10, "OFPBRC_IS_SECONDARY"),
    (1, 11, "OFPBRC_BAD_PORT"),
    (1, 12, "OFPBRC_BAD_PACKET"),
    (1, 13, "OFPBRC_MULTIPART_BUFFER_OVERFLOW"),
    (1, 14, "OFPBRC_MULTIPART_REQUEST_TIMEOUT"),
    (1, 15, "OFPBRC_MULTIPART_REPLY_TIMEOUT"),
    (2, 0, "OFPBAC_BAD_TYPE"),
    (2, 1, "OFPBAC_BAD_LEN"),
    (2, 2, "OFPBAC_BAD_VENDOR"),
    (2, 3, "OFPBAC_BAD_VENDOR_TYPE"),
    (2, 4, "OFPBAC_BAD_OUT_PORT"),
    (2, 5, "OFPBAC_BAD_ARGUMENT"),
    (2, 6, "OFPBAC_EPERM"),
    (2, 7, "OFPBAC_TOO_MANY"),
    (2, 8, "OFPBAC_BAD_QUEUE"),
    (2, 9, "OFPBAC_BAD_OUT_GROUP"),
    (2, 10, "OFPBAC_MATCH_INCONSISTENT"),
    (2, 11, "OFPBAC_UNSUPPORTED_ORDER"),
    (2, 12, "OFPBAC_BAD_TAG"),
    (2, 13, "OFPBAC_BAD_SET_TYPE"),
    (2, 14, "OFPBAC_BAD_SET_LEN"),
    (2, 15, "OFPBAC_BAD_SET_ARGUMENT"),
    (3, 0, "OFPBIC_UNKNOWN_INST"),
    (3, 1, "OFPBIC_UNSUP_INST"),
    (3, 2, "OFPBIC_BAD_TABLE_ID"),
    (3, 3, "OFPBIC_UNSUP_METADATA"),
    (3, 4, "OFPBIC_UNSUP_METADATA_MASK"),
    (3, 5, "OFPBIC_BAD_EXPERIMENTER"),
    (3, 6, "OFPBIC_BAD_EXP_TYPE"),
    (3, 7, "OFPBIC_BAD_LEN"),
    (3, 8, "OFPBIC_EPERM"),
    (3, 9, "OFPBIC_DUP_INST"),
    (4, 0, "OFPBMC_BAD_TYPE"),
    (4, 1, "OFPBMC_BAD_LEN"),
    (4, 2, "OFPBMC_BAD_TAG"),
    (4, 3, "OFPBMC_BAD_DL_ADDR_MASK"),
    (4, 4, "OFPBMC_BAD_NW_ADDR_MASK"),
    (4, 5, "OFPBMC_BAD_WILDCARDS"),
    (4, 6, "OFPBMC_BAD_FIELD"),
    (4, 7, "OFPBMC_BAD_VALUE"),
    (4, 8, "OFPBMC_BAD_MASK"),
    (4, 9, "OFPBMC_BAD_PREREQ"),
    (4, 10, "OFPBMC_DUP_FIELD"),
    (4, 11, "OFPBMC_EPERM"),
    (5, 0, "OFPFMFC_UNKNOWN"),
    (5, 1, "OFPFMFC_TABLE_FULL"),
    (5, 2, "OFPFMFC_BAD_TABLE_ID"),
    (5, 3, "OFPFMFC_OVERLAP"),
    (5, 4, "OFPFMFC_EPERM"),
    (5, 5, "OFPFMFC_BAD_TIMEOUT"),
    (5, 6, "OFPFMFC_BAD_COMMAND"),
    (5, 7, "OFPFMFC_BAD_FLAGS"),
    (5, 8, "OFPFMFC_CANT_SYNC"),
    (5, 9, "OFPFMFC_BAD_PRIORITY"),
    (5, 10, "OFPFMFC_IS_SYNC"),
    (6, 0, "OFPGMFC_GROUP_EXISTS"),
    (6, 1, "OFPGMFC_INVALID_GROUP"),
    (6, 2, "OFPGMFC_WEIGHT_UNSUPPORTED"),
    (6, 3, "OFPGMFC_OUT_OF_GROUPS"),
    (6, 4, "OFPGMFC_OUT_OF_BUCKETS"),
    (6, 5, "OFPGMFC_CHAINING_UNSUPPORTED"),
    (6, 6, "OFPGMFC_WATCH_UNSUPPORTED"),
    (6, 7, "OFPGMFC_LOOP"),
    (6, 8, "OFPGMFC_UNKNOWN_GROUP"),
    (6, 9, "OFPGMFC_CHAINED_GROUP"),
    (6, 10, "OFPGMFC_BAD_TYPE"),
    (6, 11, "OFPGMFC_BAD_COMMAND"),
    (6, 12, "OFPGMFC_BAD_BUCKET"),
    (6, 13, "OFPGMFC_BAD_WATCH"),
    (6, 14, "OFPGMFC_EPERM"),
    (7, 0, "OFPPMFC_BAD_PORT"),
    (7, 1, "OFPPMFC_BAD_HW_ADDR"),
    (7, 2, "OFPPMFC_BAD_CONFIG"),
    (7, 3, "OFPPMFC_BAD_ADVERTISE"),
    (7, 4, "OFPPMFC_EPERM"),
    (8, 0, "OFPTMFC_BAD_TABLE"),
    (8, 1, "OFPTMFC_BAD_CONFIG"),
    (8, 2, "OFPTMFC_EPERM"),
    (9, 0, "OFPQOFC_BAD_PORT"),
    (9, 1, "OFPQOFC_BAD_QUEUE"),
    (9, 2, "OFPQOFC_EPERM"),
    (10, 0, "OFPSCFC_BAD_FLAGS"),
    (10, 1, "OFPSCFC_BAD_LEN"),
    (10, 2, "OFPSCFC_EPERM"),
    (11, 0, "OFPRRFC_STALE"),
    (11, 1, "OFPRRFC_UNSUP"),
    (11, 2, "OFPRRFC_BAD_ROLE"),
    (12, 0, "OFPMMFC_UNKNOWN"),
    (12, 1, "OFPMMFC_METER_EXISTS"),
    (12, 2, "OFPMMFC_INVALID_METER"),
    (12, 3, "OFPMMFC_UNKNOWN_METER"),
    (12, 4, "OFPMMFC_BAD_COMMAND"),
    (12, 5, "OFPMMFC_BAD_FLAGS"),
    (12, 6, "OFPMMFC_BAD_RATE"),
    (12, 7, "OFPMMFC_BAD_BURST"),
    (12, 8, "OFPMMFC_BAD_BAND"),
    (12, 9, "OFPMMFC_BAD_BAND_VALUE"),
    (12, 10, "OFPMMFC_OUT_OF_METERS"),
    (12, 11, "OFPMMFC_OUT_OF_BANDS"),
    (13, 0, "OFPTFFC_BAD_TABLE"),
    (13, 1, "OFPTFFC_BAD_METADATA"),
    (13, 5, "OFPTFFC_EPERM"),
    (14, 0, "OFPBPC_BAD_TYPE"),
    (14, 1, "OFPBPC_BAD_LEN"),
    (14, 2, "OFPBPC_BAD_VALUE"),
    (14, 3, "OFPBPC_TOO_MANY"),
    (14, 4, "OFPBPC_DUP_TYPE"),
    (14, 5, "OFPBPC_BAD_EXPERIMENTER"),
    (14, 6, "OFPBPC_BAD_EXP_TYPE"),
    (14, 7, "OFPBPC_BAD_EXP_VALUE"),
    (14, 8, "OFPBPC_EPERM"),
    (15, 0, "OFPACFC_INVALID"),
    (15, 1, "OFPACFC_UNSUPPORTED"),
    (15, 2, "OFPACFC_EPERM"),
    (16, 0, "OFPMOFC_UNKNOWN"),
    (16, 1, "OFPMOFC_MONITOR_EXISTS"),
    (16, 2, "OFPMOFC_INVALID_MONITOR"),
    (16, 3, "OFPMOFC_UNKNOWN_MONITOR"),
    (16, 4, "OFPMOFC_BAD_COMMAND"),
    (16, 5, "OFPMOFC_BAD_FLAGS"),
    (16, 6, "OFPMOFC_BAD_TABLE_ID"),
    (16, 7, "OFPMOFC_BAD_OUT"),
    (17, 0, "OFPBFC_UNKNOWN"),
    (17, 1, "OFPBFC_EPERM"),
    (17, 2, "OFPBFC_BAD_ID"),
    (17, 3, "OFPBFC_BUNDLE_EXIST"),
    (17, 4, "OFPBFC_BUNDLE_CLOSED"),
    (17, 5, "OFPBFC_OUT_OF_BUNDLES"),
    (17, 6, "OFPBFC_BAD_TYPE"),
    (17, 7, "OFPBFC_BAD_FLAGS"),
    (17, 8, "OFPBFC_MSG_BAD_LEN"),
    (17, 9, "OFPBFC_MSG_BAD_XID"),
    (17, 10, "OFPBFC_MSG_UNSUP"),
    (17, 11, "OFPBFC_MSG_CONFLICT"),
    (17, 12, "OFPBFC_MSG_TOO_MANY"),
    (17, 13, "OFPBFC_MSG_FAILED"),
    (17, 14, "OFPBFC_TIMEOUT"),
    (17, 15, "OFPBFC_BUNDLE_IN_PROGRESS"),
];

/// Number and name of Nicira's own.
#[rustfmt::skip]
const NICIRAS: [(u16, &str); 29] = [
    (2, "NXBRC_NXM_INVALID"),
    (3, "NXBRC_NXM_BAD_TYPE"),
    (4, "NXBRC_MUST_BE_ZERO"),
    (5, "NXBRC_BAD_REASON"),
    (9, "NXBRC_FM_BAD_EVENT"),
    (10, "NXBRC_UNENCODABLE_ERROR"),
    (11, "NXBAC_MUST_BE_ZERO"),
    (12, "NXFMFC_HARDWARE"),
    (13, "NXFMFC_BAD_TABLE_ID"),
    (15, "NXBAC_BAD_CONJUNCTION"),
    (16, "NXTTMFC_BAD_COMMAND"),
    (17, "NXTTMFC_BAD_OPT_LEN"),
    (18, "NXTTMFC_BAD_FIELD_IDX"),
    (19, "NXTTMFC_TABLE_FULL"),
    (20, "NXTTMFC_ALREADY_MAPPED"),
    (21, "NXTTMFC_DUP_ENTRY"),
    (22, "OFPBFC_BAD_VERSION"),
    (23, "NXQOFC_QUEUE_ERROR"),
    (34, "NXR_NOT_SUPPORTED"),
    (35, "NXR_STALE"),
    (36, "NXST_NOT_CONFIGURED"),
    (37, "NXFMFC_INVALID_TLV_FIELD"),
    (38, "NXTTMFC_INVALID_TLV_DEL"),
    (39, "NXBAC_BAD_HEADER_TYPE"),
    (40, "NXBAC_UNKNOWN_ED_PROP"),
    (41, "NXBAC_BAD_ED_PROP"),
    (42, "NXBAC_CT_DATAPATH_SUPPORT"),
    (43, "NXBMC_CT_DATAPATH_SUPPORT"),
    (44, "NXTFFC_DUP_TABLE"),
];
