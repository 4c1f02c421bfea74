//! The checksums of S3: the digests a body is measured by as it goes past, and what is made of those of parts. Where the
//! body comes from and goes to is unknown here.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crc::{CRC_32_ISCSI, CRC_32_ISO_HDLC, CRC_64_NVME, Crc, Table};
use md5::{Digest as _, Md5};

type Lanes = Table<16>;

static CRC32: Crc<u32, Lanes> = Crc::<u32, Lanes>::new(&CRC_32_ISO_HDLC);
static CRC32C: Crc<u32, Lanes> = Crc::<u32, Lanes>::new(&CRC_32_ISCSI);
static CRC64: Crc<u64, Lanes> = Crc::<u64, Lanes>::new(&CRC_64_NVME);

/// How a checksum is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// What SDKs send unless they are told otherwise.
    Crc32,
    /// Castagnoli's.
    Crc32c,
    /// What S3 makes when nothing was sent.
    Crc64Nvme,
    /// SHA-1.
    Sha1,
    /// SHA-256.
    Sha256,
}

/// What a checksum of an object in parts is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Of all its bytes.
    FullObject,
    /// Of the checksums of its parts.
    Composite,
}

impl Kind {
    /// As the wire writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::FullObject => "FULL_OBJECT",
            Self::Composite => "COMPOSITE",
        }
    }

    /// The kind of this name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::FullObject, Self::Composite].into_iter().find(|kind| kind.name() == name)
    }
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Crc32, Self::Crc32c, Self::Crc64Nvme, Self::Sha1, Self::Sha256];

    /// As in `x-amz-checksum-algorithm`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64Nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
        }
    }

    /// The header, or trailer, that holds one.
    pub fn header(self) -> &'static str {
        match self {
            Self::Crc32 => "x-amz-checksum-crc32",
            Self::Crc32c => "x-amz-checksum-crc32c",
            Self::Crc64Nvme => "x-amz-checksum-crc64nvme",
            Self::Sha1 => "x-amz-checksum-sha1",
            Self::Sha256 => "x-amz-checksum-sha256",
        }
    }

    /// The element of a document that holds one.
    pub fn element(self) -> &'static str {
        match self {
            Self::Crc32 => "ChecksumCRC32",
            Self::Crc32c => "ChecksumCRC32C",
            Self::Crc64Nvme => "ChecksumCRC64NVME",
            Self::Sha1 => "ChecksumSHA1",
            Self::Sha256 => "ChecksumSHA256",
        }
    }

    /// The algorithm of this name, in any case.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name().eq_ignore_ascii_case(name))
    }

    /// The kind that a multipart upload has unless it says: only the sums of CRC-64 can be nothing but whole.
    pub fn usual_kind(self) -> Kind {
        if self == Self::Crc64Nvme { Kind::FullObject } else { Kind::Composite }
    }

    /// Whether a text can be a checksum, by its length.
    pub fn is_sum(self, text: &str) -> bool {
        STANDARD.decode(text).is_ok_and(|sum| sum.len() == self.of(&[]).len())
    }

    /// Whether parts can be put together to this kind.
    pub fn has_kind(self, kind: Kind) -> bool {
        match self {
            Self::Crc32 | Self::Crc32c => true,
            Self::Crc64Nvme => kind == Kind::FullObject,
            Self::Sha1 | Self::Sha256 => kind == Kind::Composite,
        }
    }

    /// A digest that has seen nothing.
    pub fn start(self) -> Digest {
        match self {
            Self::Crc32 => Digest::Crc32(CRC32.digest()),
            Self::Crc32c => Digest::Crc32(CRC32C.digest()),
            Self::Crc64Nvme => Digest::Crc64(CRC64.digest()),
            Self::Sha1 => Digest::Sha(digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY)),
            Self::Sha256 => Digest::Sha(digest::Context::new(&digest::SHA256)),
        }
    }

    /// The checksum of `bytes`.
    pub fn of(self, bytes: &[u8]) -> Vec<u8> {
        let mut digest = self.start();
        digest.update(bytes);
        digest.finish()
    }

    /// The checksum of a whole from those of its parts and their lengths; none for algorithms that cannot do that.
    pub fn whole(self, parts: &[(Vec<u8>, u64)]) -> Option<Vec<u8>> {
        let (width, polynomial) = match self {
            Self::Crc32 => (32, u64::from(CRC_32_ISO_HDLC.poly.reverse_bits())),
            Self::Crc32c => (32, u64::from(CRC_32_ISCSI.poly.reverse_bits())),
            Self::Crc64Nvme => (64, CRC_64_NVME.poly.reverse_bits()),
            Self::Sha1 | Self::Sha256 => return None,
        };
        let field = Field { top: 1 << (width - 1), polynomial };
        let mut whole = 0;
        for (checksum, length) in parts {
            let part = checksum.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
            whole = field.product(whole, field.bytes(*length)) ^ part;
        }
        Some(whole.to_be_bytes()[8 - width / 8..].to_vec())
    }
}

/// The polynomials of a CRC, each in a word whose highest bit is the coefficient of 1.
struct Field {
    top: u64,
    polynomial: u64,
}

impl Field {
    fn product(&self, a: u64, mut b: u64) -> u64 {
        let mut product = 0;
        let mut bit = self.top;
        while bit != 0 {
            if a & bit != 0 {
                product ^= b;
            }
            b = if b & 1 == 0 { b >> 1 } else { b >> 1 ^ self.polynomial };
            bit >>= 1;
        }
        product
    }

    /// What a checksum is multiplied by when this many bytes follow.
    fn bytes(&self, mut count: u64) -> u64 {
        let mut power = self.top;
        let mut square = self.top >> 8;
        while count != 0 {
            if count & 1 == 1 {
                power = self.product(power, square);
            }
            square = self.product(square, square);
            count >>= 1;
        }
        power
    }
}

/// A checksum in the making.
pub enum Digest {
    /// Of 32 bits.
    Crc32(crc::Digest<'static, u32, Lanes>),
    /// Of 64 bits.
    Crc64(crc::Digest<'static, u64, Lanes>),
    /// SHA-1 or SHA-256.
    Sha(digest::Context),
}

impl Digest {
    /// Takes more bytes in.
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Crc32(digest) => digest.update(bytes),
            Self::Crc64(digest) => digest.update(bytes),
            Self::Sha(digest) => digest.update(bytes),
        }
    }

    /// The checksum.
    pub fn finish(self) -> Vec<u8> {
        match self {
            Self::Crc32(digest) => digest.finalize().to_be_bytes().to_vec(),
            Self::Crc64(digest) => digest.finalize().to_be_bytes().to_vec(),
            Self::Sha(digest) => digest.finish().as_ref().to_vec(),
        }
    }
}

/// What is found out about a body as it goes past: how long it is, its MD5, a checksum, and its SHA-256 if that was signed.
pub struct Measure {
    size: u64,
    md5: Md5,
    algorithm: Algorithm,
    digest: Digest,
    signed: Option<Digest>,
}

/// What was found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measured {
    /// Bytes.
    pub size: u64,
    /// The MD5, which is what an entity tag is made of.
    pub md5: [u8; 16],
    /// Which checksum.
    pub algorithm: Algorithm,
    /// Its bytes.
    pub checksum: Vec<u8>,
    /// The SHA-256 in hexadecimal, where it was asked for.
    pub sha256: Option<String>,
}

impl Measure {
    /// A measure of nothing yet.
    pub fn new(algorithm: Algorithm, is_signed: bool) -> Self {
        let signed = is_signed.then(|| Algorithm::Sha256.start());
        Self { size: 0, md5: Md5::new(), algorithm, digest: algorithm.start(), signed }
    }

    /// Takes more bytes in.
    pub fn update(&mut self, bytes: &[u8]) {
        self.size = self.size.saturating_add(bytes.len() as u64);
        self.md5.update(bytes);
        self.digest.update(bytes);
        if let Some(signed) = &mut self.signed {
            signed.update(bytes);
        }
    }

    /// How many bytes it has seen.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// What was found out.
    pub fn finish(self) -> Measured {
        Measured {
            size: self.size,
            md5: self.md5.finalize().into(),
            algorithm: self.algorithm,
            checksum: self.digest.finish(),
            sha256: self.signed.map(|digest| hex(&digest.finish())),
        }
    }
}

impl Measured {
    /// What there is to know about `bytes`.
    pub fn of(algorithm: Algorithm, bytes: &[u8]) -> Self {
        let mut measure = Measure::new(algorithm, false);
        measure.update(bytes);
        measure.finish()
    }

    /// The checksum as it is written.
    pub fn text(&self) -> String {
        STANDARD.encode(&self.checksum)
    }
}

/// The MD5 of what parts have for MD5, which is what their object's entity tag is made of.
pub fn md5_of_parts<'p>(parts: impl Iterator<Item = &'p [u8]>) -> [u8; 16] {
    let mut md5 = Md5::new();
    parts.for_each(|part| md5.update(part));
    md5.finalize().into()
}

/// In lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn checksums_are_those_that_are_known() {
        for (algorithm, expected) in [
            (Algorithm::Crc32, "cbf43926"),
            (Algorithm::Crc32c, "e3069283"),
            (Algorithm::Crc64Nvme, "ae8b14860a799888"),
            (Algorithm::Sha1, "f7c3bc1d808e04732adf679965ccc34ca7ae3441"),
            (Algorithm::Sha256, "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"),
        ] {
            assert_eq!(hex(&algorithm.of(b"123456789")), expected, "{}", algorithm.name());
            assert_eq!(Algorithm::named(&algorithm.name().to_lowercase()), Some(algorithm));
        }
    }

    #[test]
    fn a_measure_knows_length_md5_and_what_was_signed() {
        let mut measure = Measure::new(Algorithm::Crc32, true);
        measure.update(b"12345");
        measure.update(b"6789");
        let measured = measure.finish();
        assert_eq!((measured.size, &*hex(&measured.md5)), (9, "25f9e794323b453885f5181f1b624d0b"));
        assert_eq!(measured.text(), "y/Q5Jg==");
        assert_eq!(measured.sha256, Some(hex(&Algorithm::Sha256.of(b"123456789"))));
    }

    proptest! {
        #[test]
        fn the_sum_of_a_whole_follows_from_those_of_its_parts(
            parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..5),
        ) {
            for algorithm in [Algorithm::Crc32, Algorithm::Crc32c, Algorithm::Crc64Nvme] {
                let sums: Vec<_> = parts.iter().map(|part| (algorithm.of(part), part.len() as u64)).collect();
                prop_assert_eq!(algorithm.whole(&sums), Some(algorithm.of(&parts.concat())));
            }
        }
    }
}
