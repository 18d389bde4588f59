//! A virtual machine that sends frames with VLAN tags. Not every kernel has VLAN interfaces, so inside
//! it is a bridge of the switch, with a namespace for each interface that the machine has.

use crate::{Nic, Result, Switch, Vm};

/// A virtual machine with one device, by which it is in several VLANs.
#[derive(Debug)]
pub struct Guest {
    /// The bridge inside.
    bridge: String,
}

impl Guest {
    /// A virtual machine whose device is cabled to the switch but not yet plugged into a bridge: it is
    /// called `port` and waits in the switch's namespace.
    ///
    /// # Errors
    /// When there is such a device already, or its name has more than 12 characters.
    pub fn cabled(switch: &Switch, port: &str) -> Result<Self> {
        let (bridge, inner) = (format!("in-{port}"), format!("{port}-in"));
        switch.namespace().ip(&format!(
            "link add name {port} type veth peer name {inner}\n\
             link set dev {port} addrgenmode none\n\
             link set dev {inner} addrgenmode none\n\
             link set dev {port} up\n\
             link set dev {inner} up\n"
        ))?;
        switch.add_bridge(&bridge)?;
        switch.ofctl(&["add-flow", &bridge, "actions=NORMAL"])?;
        switch.vsctl(&["add-port", &bridge, &inner])?;
        Ok(Self { bridge })
    }

    /// An interface of the machine: for frames with this tag, or for those without one. `name` is
    /// unique on the switch.
    ///
    /// # Errors
    /// As [`Vm::plugged`].
    pub fn interface(
        &self,
        switch: &Switch,
        name: &str,
        tag: Option<u16>,
        nic: &Nic,
    ) -> Result<Vm> {
        let vm = Vm::plugged(switch, &self.bridge, name, nic)?;
        Self::retag(switch, name, tag)?;
        Ok(vm)
    }

    /// Gives an interface another tag, or none.
    ///
    /// # Errors
    /// When there is no such interface.
    pub fn retag(switch: &Switch, name: &str, tag: Option<u16>) -> Result<()> {
        let tag = format!("tag={}", tag.unwrap_or(0));
        switch.vsctl(&["set", "Port", name, "vlan_mode=access", &tag]).map(|_| ())
    }
}
