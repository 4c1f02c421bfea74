//! The wire format of Protocol Buffers: numbered fields, each with one of five shapes, taken from the front of some bytes.
//! What a field is called and what its shape means is not known here.

use std::fmt;

/// Why bytes are not a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Malformed {
    /// The bytes end within something.
    Truncated,
    /// A number with more than 64 bits.
    Varint,
    /// A field without a number, or with one that there is not.
    FieldNumber,
    /// A shape that there is not, or the end of a group that did not begin.
    Shape,
    /// Messages within messages beyond the bound.
    Nesting,
    /// A text that is not UTF-8, in this field.
    Text(String),
    /// A required field that is missing.
    Missing(String),
    /// A reference to a type that the descriptor set does not hold.
    Type(String),
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Malformed::Truncated => f.write_str("the bytes end within a field"),
            Malformed::Varint => f.write_str("a number has more than 64 bits"),
            Malformed::FieldNumber => f.write_str("a field has a number that no field can have"),
            Malformed::Shape => f.write_str("a field has a wire type that there is not"),
            Malformed::Nesting => f.write_str("messages nest too deep"),
            Malformed::Text(field) => write!(f, "field {field} is not valid UTF-8"),
            Malformed::Missing(field) => write!(f, "required field {field} is missing"),
            Malformed::Type(name) => {
                write!(f, "type {name} is not in the descriptor set; make it with protoc --include_imports")
            }
        }
    }
}

/// The value of a field as it lies there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Raw<'b> {
    Varint(u64),
    Fixed64([u8; 8]),
    Bytes(&'b [u8]),
    /// A group: its fields follow, up to its end.
    Group,
    /// The end of the group of this number.
    EndGroup,
    Fixed32([u8; 4]),
}

/// Bytes being read.
#[derive(Clone, Debug)]
pub(super) struct Reader<'b> {
    rest: &'b [u8],
}

impl<'b> Reader<'b> {
    pub(super) fn new(bytes: &'b [u8]) -> Reader<'b> {
        Reader { rest: bytes }
    }

    /// Whether nothing is left.
    pub(super) fn is_done(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next field, if one is left.
    pub(super) fn field(&mut self) -> Result<Option<(u32, Raw<'b>)>, Malformed> {
        if self.is_done() {
            return Ok(None);
        }
        let tag = u32::try_from(self.varint()?).map_err(|_| Malformed::FieldNumber)?;
        let number = tag >> 3;
        if number == 0 {
            return Err(Malformed::FieldNumber);
        }
        let raw = match tag & 7 {
            0 => Raw::Varint(self.varint()?),
            1 => Raw::Fixed64(self.fixed()?),
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| Malformed::Truncated)?;
                let (bytes, rest) = self.rest.split_at_checked(length).ok_or(Malformed::Truncated)?;
                self.rest = rest;
                Raw::Bytes(bytes)
            }
            3 => Raw::Group,
            4 => Raw::EndGroup,
            5 => Raw::Fixed32(self.fixed()?),
            _ => return Err(Malformed::Shape),
        };
        Ok(Some((number, raw)))
    }

    /// A number of up to ten bytes, the lowest seven bits first.
    pub(super) fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.rest.split_first().ok_or(Malformed::Truncated)?;
            self.rest = rest;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(Malformed::Varint);
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed::Varint)
    }

    /// So many bytes.
    pub(super) fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(Malformed::Truncated)?;
        self.rest = rest;
        Ok(*bytes)
    }

    /// Passes a field whose number nobody knows. What a group holds goes with it.
    pub(super) fn skip(&mut self, number: u32, raw: Raw<'b>, nesting: usize) -> Result<(), Malformed> {
        match raw {
            Raw::Group => {}
            Raw::EndGroup => return Err(Malformed::Shape),
            _ => return Ok(()),
        }
        let nesting = nesting.checked_sub(1).ok_or(Malformed::Nesting)?;
        while let Some((inner, raw)) = self.field()? {
            if raw == Raw::EndGroup {
                return if inner == number { Ok(()) } else { Err(Malformed::Shape) };
            }
            self.skip(inner, raw, nesting)?;
        }
        Err(Malformed::Truncated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_at_most_64_bits() {
        let read = |bytes: &[u8]| Reader::new(bytes).varint();
        assert_eq!(read(&[0x96, 0x01]), Ok(150));
        assert_eq!(read(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]), Ok(u64::MAX));
        assert_eq!(read(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]), Err(Malformed::Varint));
        assert_eq!(read(&[0x80; 11]), Err(Malformed::Varint));
        assert_eq!(read(&[0x80]), Err(Malformed::Truncated));
    }

    #[test]
    fn a_group_ends_with_its_own_number() {
        let skip = |bytes: &[u8]| {
            let mut reader = Reader::new(bytes);
            let (number, raw) = reader.field().unwrap().unwrap();
            reader.skip(number, raw, 2)
        };
        assert_eq!(skip(&[0x0b, 0x10, 0x01, 0x0c]), Ok(()));
        assert_eq!(skip(&[0x0b, 0x13, 0x14, 0x0c]), Ok(()));
        assert_eq!(skip(&[0x0b, 0x14]), Err(Malformed::Shape));
        assert_eq!(skip(&[0x0c]), Err(Malformed::Shape));
        assert_eq!(skip(&[0x0b, 0x10, 0x01]), Err(Malformed::Truncated));
        assert_eq!(skip(&[0x0b, 0x13, 0x1b, 0x1c, 0x14, 0x0c]), Err(Malformed::Nesting));
        assert_eq!(Reader::new(&[0x0f]).field(), Err(Malformed::Shape));
        assert_eq!(Reader::new(&[0x02, 0x00]).field(), Err(Malformed::FieldNumber));
    }
}
