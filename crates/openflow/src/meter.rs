//! Meters: how much may pass whoever goes through one. OpenFlow 1.4.1 § 5.7.

/// A meter of a switch.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Meter {
    /// Its number, 1 to 0xffff0000; above are meters of the switch's own.
    pub number: u32,
    /// What it counts, and which of its values are there.
    pub flags: MeterFlags,
    /// What it does with what is too much.
    pub bands: Vec<MeterBand>,
}

/// What a meter counts, and which of its values are there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MeterFlags(pub u16);

impl MeterFlags {
    /// Rates are kilobits a second.
    pub const KBPS: Self = Self(1);
    /// Rates are packets a second.
    pub const PACKETS: Self = Self(1 << 1);
    /// Bands have a burst.
    pub const BURST: Self = Self(1 << 2);
    /// The switch counts what went through.
    pub const STATS: Self = Self(1 << 3);

    /// Both.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of the other are in this.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// What a meter does with what is more than a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MeterBand {
    /// What it does.
    pub kind: MeterBandKind,
    /// Kilobits or packets a second.
    pub rate: u32,
    /// Kilobits or packets at once, with [`MeterFlags::BURST`].
    pub burst: u32,
}

/// What a band does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MeterBandKind(pub u16);

impl MeterBandKind {
    /// Drops the packet.
    pub const DROP: Self = Self(1);
}

/// A change of the meters of a switch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MeterMod {
    /// A new one; its number must be free.
    Add(Meter),
    /// One that is there gets other values.
    Modify(Meter),
    /// The one with this number goes, and every flow that names it. One that is not there is no
    /// error.
    Delete(u32),
}

impl Meter {
    /// A meter that drops packets above this many a second. `burst` may come at once.
    pub fn packets(number: u32, rate: u32, burst: Option<u32>) -> Self {
        Self::dropping(number, MeterFlags::PACKETS, rate, burst)
    }

    /// A meter that drops packets above this many kilobits a second. `burst` may come at once.
    pub fn kilobits(number: u32, rate: u32, burst: Option<u32>) -> Self {
        Self::dropping(number, MeterFlags::KBPS, rate, burst)
    }

    fn dropping(number: u32, unit: MeterFlags, rate: u32, burst: Option<u32>) -> Self {
        let flags = if burst.is_some() { unit.with(MeterFlags::BURST) } else { unit };
        let band = MeterBand { kind: MeterBandKind::DROP, rate, burst: burst.unwrap_or(0) };
        Self { number, flags, bands: vec![band] }
    }

    /// Whether it lets the same pass: a burst that no flag speaks of is the switch's own choice.
    pub fn is_like(&self, other: &Self) -> bool {
        let has_burst = self.flags.has(MeterFlags::BURST);
        let counted = |flags: MeterFlags| flags.0 & !MeterFlags::STATS.0;
        let alike = |(one, other): (&MeterBand, &MeterBand)| {
            (one.kind, one.rate) == (other.kind, other.rate)
                && (!has_burst || one.burst == other.burst)
        };
        counted(self.flags) == counted(other.flags)
            && self.bands.len() == other.bands.len()
            && self.bands.iter().zip(&other.bands).all(alike)
    }
}
