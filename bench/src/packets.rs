//! The few MQTT 3.1.1 packets that a load needs, written once and sent often, and just enough reading to count what
//! comes back. It trusts its peer: whoever is measured here was started here.

pub(crate) const CONNECT: u8 = 1;
pub(crate) const CONNACK: u8 = 2;
pub(crate) const PUBLISH: u8 = 3;
pub(crate) const PUBACK: u8 = 4;
pub(crate) const SUBSCRIBE: u8 = 8;
pub(crate) const SUBACK: u8 = 9;

/// The whole packet.
pub(crate) const DISCONNECT: [u8; 2] = [0xe0, 0];

/// What the answer to each first packet of a relay is.
pub(crate) const ACCEPTED: [u8; 4] = [CONNACK << 4, 2, 0, 0];

const KEEP_ALIVE: u16 = 1200;

pub(crate) fn connect(client: &str) -> Vec<u8> {
    let clean_session = 2;
    let mut body = b"\x00\x04MQTT\x04".to_vec();
    body.push(clean_session);
    body.extend(KEEP_ALIVE.to_be_bytes());
    string(&mut body, client);
    packet(CONNECT << 4, &body)
}

pub(crate) fn subscribe(id: u16, filters: &[&str], qos: u8) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    for filter in filters {
        string(&mut body, filter);
        body.push(qos);
    }
    packet(SUBSCRIBE << 4 | 2, &body)
}

/// A PUBLISH; the identifier is left out at QoS 0.
pub(crate) fn publish(topic: &str, qos: u8, retain: bool, id: u16, payload: &[u8]) -> Vec<u8> {
    let mut body = Vec::with_capacity(payload.len() + topic.len() + 4);
    string(&mut body, topic);
    if qos > 0 {
        body.extend(id.to_be_bytes());
    }
    body.extend_from_slice(payload);
    packet(PUBLISH << 4 | qos << 1 | u8::from(retain), &body)
}

pub(crate) fn puback(id: [u8; 2]) -> [u8; 4] {
    [PUBACK << 4, 2, id[0], id[1]]
}

fn string(body: &mut Vec<u8>, text: &str) {
    body.extend(u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
    body.extend_from_slice(text.as_bytes());
}

fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    let mut left = body.len();
    loop {
        let low = u8::try_from(left % 128).unwrap_or_default();
        left /= 128;
        bytes.push(if left > 0 { low | 128 } else { low });
        if left == 0 {
            break;
        }
    }
    bytes.extend_from_slice(body);
    bytes
}

/// A whole packet at the beginning of some bytes.
#[derive(Clone, Copy)]
pub(crate) struct Frame<'a> {
    pub(crate) bytes: &'a [u8],
    head: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Published<'a> {
    pub(crate) topic: &'a [u8],
    /// Above QoS 0.
    pub(crate) id: Option<[u8; 2]>,
    pub(crate) payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The first packet, if all of it is there.
    pub(crate) fn first(bytes: &'a [u8]) -> Option<Self> {
        let mut length = 0;
        for (index, byte) in bytes.get(1..)?.iter().take(4).enumerate() {
            length |= usize::from(byte & 127) << (7 * index);
            if byte & 128 == 0 {
                let head = index + 2;
                return Some(Self { bytes: bytes.get(..head + length)?, head });
            }
        }
        None
    }

    pub(crate) fn kind(self) -> u8 {
        self.bytes[0] >> 4
    }

    pub(crate) fn body(self) -> &'a [u8] {
        &self.bytes[self.head..]
    }

    /// What a PUBLISH says.
    pub(crate) fn publish(self) -> Option<Published<'a>> {
        let (length, rest) = self.body().split_first_chunk()?;
        let (topic, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
        if self.bytes[0] & 6 == 0 {
            return Some(Published { topic, id: None, payload: rest });
        }
        let (id, payload) = rest.split_first_chunk()?;
        Some(Published { topic, id: Some(*id), payload })
    }

    /// The identifier a SUBSCRIBE begins with, and its first filter.
    pub(crate) fn subscribe(self) -> Option<([u8; 2], &'a [u8])> {
        let (id, rest) = self.body().split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        Some((*id, rest.get(..u16::from_be_bytes(*length).into())?))
    }

    /// Whether a CONNACK or SUBACK says yes.
    pub(crate) fn is_welcome(self) -> bool {
        match self.kind() {
            CONNACK => self.body().get(1) == Some(&0),
            SUBACK => self.body().get(2..).is_some_and(|codes| codes.iter().all(|code| *code < 128)),
            _ => false,
        }
    }
}

/// Shows each whole packet to `each`, and says how many bytes they were.
pub(crate) fn each_frame(bytes: &[u8], mut each: impl FnMut(Frame)) -> usize {
    let mut at = 0;
    while let Some(frame) = Frame::first(&bytes[at..]) {
        at += frame.bytes.len();
        each(frame);
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let read = |bytes: &[u8], id: Option<[u8; 2]>, payload: &[u8]| {
            let published = Frame::first(bytes).and_then(Frame::publish);
            assert_eq!(published, Some(Published { topic: b"a/b", id, payload }));
        };
        read(&publish("a/b", 1, false, 258, &[7; 1024]), Some([1, 2]), &[7; 1024]);
        read(&publish("a/b", 0, false, 9, b"x"), None, b"x");
        assert_eq!(Frame::first(&subscribe(5, &["c", "d"], 1)).and_then(Frame::subscribe), Some(([0, 5], &b"c"[..])));
    }

    #[test]
    fn only_whole_packets_are_shown() {
        let one = publish("t", 0, false, 0, &[1; 200]);
        let both = [one.clone(), one.clone()].concat();
        for end in 0..both.len() {
            let mut count = 0;
            let taken = each_frame(&both[..end], |_| count += 1);
            assert_eq!((count, taken), (end / one.len(), end / one.len() * one.len()), "{end}");
        }
    }

    #[test]
    fn a_refusal_is_not_a_welcome() {
        let welcome = |bytes: &[u8]| Frame::first(bytes).is_some_and(Frame::is_welcome);
        assert!(welcome(&ACCEPTED) && welcome(&[0x90, 3, 0, 1, 1]));
        assert!(!welcome(&[0x20, 2, 0, 5]) && !welcome(&[0x90, 3, 0, 1, 0x80]) && !welcome(&[0x40, 2, 0, 1]));
    }
}
