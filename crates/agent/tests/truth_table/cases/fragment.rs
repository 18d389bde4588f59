//! IP fragments (RFC 791 § 3.2, RFC 8200 § 4.5): a frame to its fragments, and back.
//!
//! For frames of [`testkit::frame`], whose IP headers have no options. What comes back is the frame
//! as it was, whoever put it together and took it apart again on the way.

use std::collections::BTreeMap;

use testkit::frame::number;

const ETHERNET: usize = 14;
const HEADER_V4: usize = 20;
const HEADER_V6: usize = 40;
/// The extension header of a fragment.
const FRAGMENT_V6: usize = 8;
const NEXT_IS_FRAGMENT: u8 = 44;
const DO_NOT_FRAGMENT: u16 = 0x4000;

/// The frame in fragments of so many bytes behind the IP header, the last one shorter.
///
/// # Panics
/// When it is no IP packet, or `size` is no multiple of 8 or more than a packet has.
pub(crate) fn split(frame: &[u8], id: u16, size: usize) -> Vec<Vec<u8>> {
    assert!(size > 0 && size.is_multiple_of(8), "fragments have 8 bytes, or a multiple");
    let v4 = is(frame, number::IPV4);
    assert!(v4 || is(frame, number::IPV6), "only IP has fragments");
    let (head, payload) = frame.split_at(ETHERNET + if v4 { HEADER_V4 } else { HEADER_V6 });
    let count = payload.len().div_ceil(size);
    let parts = payload.chunks(size).enumerate();
    parts
        .map(|(n, data)| {
            let offset = u16::try_from(n * size / 8).expect("a packet is no longer");
            Part { head, id: id.into(), offset, more: n + 1 < count, data }.frame(v4)
        })
        .collect()
}

/// Puts together what belongs together: whole frames, and the fragments that are left.
pub(crate) fn join(frames: impl IntoIterator<Item = Vec<u8>>) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let mut whole = Vec::new();
    let mut packets: BTreeMap<(Vec<u8>, u32), Vec<Vec<u8>>> = BTreeMap::new();
    for frame in frames {
        match Part::of(&frame) {
            None => whole.push(frame),
            Some(Part { head, id, .. }) => {
                let addresses = if is(&frame, number::IPV4) { 26 } else { 22 };
                let key = [&head[..ETHERNET], &head[addresses..]].concat();
                packets.entry((key, id)).or_default().push(frame);
            }
        }
    }
    let mut left = Vec::new();
    for fragments in packets.into_values() {
        match assemble(&fragments) {
            Some(frame) => whole.push(frame),
            None => left.extend(fragments),
        }
    }
    (whole, left)
}

/// A fragment: the headers in front of it, and what it says of itself.
struct Part<'a> {
    /// The Ethernet header and the IP header, without that of the fragment.
    head: &'a [u8],
    id: u32,
    /// In units of 8 bytes.
    offset: u16,
    more: bool,
    data: &'a [u8],
}

impl<'a> Part<'a> {
    fn of(frame: &'a [u8]) -> Option<Self> {
        if is(frame, number::IPV4) {
            let (head, data) = frame.split_at_checked(ETHERNET + HEADER_V4)?;
            let flags = word(head, 20);
            let (more, offset) = (flags & 0x2000 != 0, flags & 0x1fff);
            let part = Self { head, id: word(head, 18).into(), offset, more, data };
            (more || offset != 0).then_some(part)
        } else if is(frame, number::IPV6) && frame.get(20) == Some(&NEXT_IS_FRAGMENT) {
            let (head, rest) = frame.split_at_checked(ETHERNET + HEADER_V6)?;
            let (says, data) = rest.split_at_checked(FRAGMENT_V6)?;
            let place = word(says, 2);
            let id = u32::from(word(says, 4)) << 16 | u32::from(word(says, 6));
            Some(Self { head, id, offset: place >> 3, more: place & 1 != 0, data })
        } else {
            None
        }
    }

    fn frame(&self, v4: bool) -> Vec<u8> {
        let mut frame = self.head.to_vec();
        if v4 {
            let flags = self.offset | if self.more { 0x2000 } else { 0 };
            let id = u16::try_from(self.id).unwrap_or_default();
            finish_v4(&mut frame, id, flags, self.data.len());
        } else {
            let next = std::mem::replace(&mut frame[20], NEXT_IS_FRAGMENT);
            put(&mut frame, 18, self.data.len() + FRAGMENT_V6);
            frame.extend_from_slice(&[next, 0]);
            frame.extend_from_slice(&(self.offset << 3 | u16::from(self.more)).to_be_bytes());
            frame.extend_from_slice(&self.id.to_be_bytes());
        }
        [&frame[..], self.data].concat()
    }
}

/// The frame of these fragments, where they are all there and none overlaps another.
fn assemble(fragments: &[Vec<u8>]) -> Option<Vec<u8>> {
    let mut parts: Vec<Part<'_>> = fragments.iter().filter_map(|it| Part::of(it)).collect();
    parts.sort_by_key(|part| part.offset);
    let mut payload = Vec::new();
    let last = parts.len().checked_sub(1)?;
    for (n, part) in parts.iter().enumerate() {
        if usize::from(part.offset) * 8 != payload.len() || part.more == (n == last) {
            return None;
        }
        payload.extend_from_slice(part.data);
    }
    let first = fragments.iter().find(|it| Part::of(it).is_some_and(|part| part.offset == 0))?;
    let mut frame = Part::of(first)?.head.to_vec();
    if is(first, number::IPV4) {
        finish_v4(&mut frame, 0, DO_NOT_FRAGMENT, payload.len());
    } else {
        frame[20] = *first.get(ETHERNET + HEADER_V6)?;
        put(&mut frame, 18, payload.len());
    }
    Some([frame, payload].concat())
}

fn finish_v4(frame: &mut [u8], id: u16, flags: u16, payload: usize) {
    put(frame, 16, payload + HEADER_V4);
    put(frame, 18, id.into());
    put(frame, 20, flags.into());
    put(frame, 24, 0);
    let sum = checksum(&frame[ETHERNET..ETHERNET + HEADER_V4]);
    put(frame, 24, sum.into());
}

/// The internet checksum (RFC 1071) of an even number of bytes.
pub(crate) fn checksum(bytes: &[u8]) -> u16 {
    let sum: u32 = bytes.chunks_exact(2).map(|pair| u32::from(word(pair, 0))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !u16::try_from((folded & 0xffff) + (folded >> 16)).expect("it is folded")
}

fn is(frame: &[u8], ethertype: u16) -> bool {
    frame.get(12..14) == Some(&ethertype.to_be_bytes())
}

fn word(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn put(bytes: &mut [u8], at: usize, value: usize) {
    let value = u16::try_from(value).expect("it fits its field");
    bytes[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use testkit::frame;

    use super::*;

    #[test]
    fn what_was_split_is_joined() {
        let pairs: [(IpAddr, IpAddr, u16); 2] = [
            ([192, 0, 2, 1].into(), [192, 0, 2, 2].into(), number::IPV4),
            ("2001:db8::1".parse().unwrap(), "2001:db8::2".parse().unwrap(), number::IPV6),
        ];
        for (from, to, ethertype) in pairs {
            let packet = frame::ip(from, to, number::UDP, &frame::udp(1, 2, &[7; 3000]));
            let whole = frame::ethernet([1; 6], [2; 6], ethertype, &packet);
            let mut fragments = split(&whole, 5, 1400);
            assert_eq!(fragments.len(), 3);
            if from.is_ipv4() {
                assert!(fragments.iter().all(|it| checksum(&it[14..34]) == 0));
            }
            fragments.reverse();
            assert_eq!(join(fragments.clone()), (vec![whole.clone()], vec![]));
            let missing = fragments.pop().unwrap();
            let (none, left) = join(fragments);
            assert!(none.is_empty() && left.len() == 2);
            let other = split(&whole, 6, 1400);
            assert_eq!(join([missing, other[1].clone()]).1.len(), 2, "of two packets");
        }
    }
}
