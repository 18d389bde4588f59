//! Trunks: which port is reached under which tag.

use std::collections::BTreeMap;

use model::{PortId, TrunkId, TrunkStatus, VlanTag};

use super::{ConvertError, FieldError, Subject};
use crate::object::{SubPort, Trunk};

/// The only kind of tag.
const VLAN: &str = "vlan";

impl Trunk {
    /// The trunk as the model has it.
    ///
    /// # Errors
    ///
    /// An id, a status, a kind of tag or a tag that is none, and a tag of two subports.
    pub fn to_model(&self) -> Result<model::Trunk, ConvertError> {
        let subject = Subject { kind: "Trunk", id: &self.id };
        let mut subports: BTreeMap<PortId, VlanTag> = BTreeMap::new();
        for subport in &self.sub_ports {
            let (port, tag) = subport.to_model()?;
            let tags = subports.values();
            if tags.copied().any(|it| it == tag) {
                let source = FieldError::Repeated;
                return Err(subject.error("sub_ports.segmentation_id", tag.get(), source));
            }
            subports.insert(port, tag);
        }
        Ok(model::Trunk {
            id: subject.parse("id", &self.id)?,
            parent: subject.parse("port_id", &self.port_id)?,
            status: subject.parse::<TrunkStatus>("status", &self.status)?,
            subports,
        })
    }

    /// The port whose frames have no tag.
    ///
    /// # Errors
    ///
    /// An id that is none.
    pub fn parent(&self) -> Result<PortId, ConvertError> {
        Subject { kind: "Trunk", id: &self.id }.parse("port_id", &self.port_id)
    }
}

impl SubPort {
    /// The port and its tag.
    ///
    /// # Errors
    ///
    /// An id, a kind of tag or a tag that is none.
    pub fn to_model(&self) -> Result<(PortId, VlanTag), ConvertError> {
        let subject = Subject { kind: "SubPort", id: &self.port_id };
        if self.segmentation_type != VLAN {
            let source = FieldError::Segmentation;
            return Err(subject.error("segmentation_type", &self.segmentation_type, source));
        }
        let range = |_| {
            let source = FieldError::Range { high: VlanTag::MAX.get().into() };
            subject.error("segmentation_id", self.segmentation_id, source)
        };
        let tag = VlanTag::new(self.segmentation_id).map_err(range)?;
        Ok((subject.parse("port_id", &self.port_id)?, tag))
    }

    /// The trunk that it belongs to.
    ///
    /// # Errors
    ///
    /// An id that is none.
    pub fn trunk(&self) -> Result<TrunkId, ConvertError> {
        Subject { kind: "SubPort", id: &self.port_id }.parse("trunk_id", &self.trunk_id)
    }

    /// A port that a trunk reaches under this tag.
    pub fn new(trunk: TrunkId, port: PortId, tag: VlanTag) -> Self {
        Self {
            port_id: port.to_string(),
            trunk_id: trunk.to_string(),
            segmentation_type: VLAN.to_owned(),
            segmentation_id: tag.get().into(),
            ..Self::default()
        }
    }
}
