//! Hashes, base64 and protobuf. Protobuf's descriptor sets are asked of the world; everything else is a function of the
//! message.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use md2::Md2;
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

use super::Arguments;
use crate::evaluate::{Evaluated, Stop};
use crate::proto::Decoder;
use crate::value::{Value, encode as base64};
use crate::world::Call;

/// Reading protobuf costs as much as going through a string so many times as long.
const READING: usize = 8;

/// A hash of the string in lower hexadecimal, which costs as much as going through it so many times.
fn hash<'d, H: Digest>(arguments: &mut Arguments<'_, 'd, '_>, cost: usize) -> Evaluated<'d> {
    let text = arguments.text(0)?;
    arguments.evaluation.charge_text(text.len() * cost)?;
    let digest = H::digest(text.as_bytes());
    let mut hex = String::with_capacity(digest.len() * 2);
    for byte in digest {
        hex.extend([byte >> 4, byte & 15].into_iter().filter_map(|digit| char::from_digit(digit.into(), 16)));
    }
    Ok(Value::text(hex))
}

macro_rules! hashes {
    ($($name:ident: $hash:ty, $cost:expr;)*) => {$(
        pub(super) fn $name<'d>(arguments: &mut Arguments<'_, 'd, '_>) -> Evaluated<'d> {
            hash::<$hash>(arguments, $cost)
        }
    )*};
}

hashes! {
    md2: Md2, 128;
    md5: Md5, 16;
    sha1: Sha1, 16;
    sha224: Sha224, 16;
    sha256: Sha256, 16;
    sha384: Sha384, 16;
    sha512: Sha512, 16;
}

/// `encode(*, 'base64')` takes the payload as it came; any other argument is made a string first.
pub(super) fn encode<'d>(arguments: &mut Arguments<'_, 'd, '_>) -> Evaluated<'d> {
    if arguments.text(1)? != "base64" {
        return Err(Stop::Undefined);
    }
    let encoded = if arguments.is_payload(0) {
        base64(arguments.evaluation.message.payload.bytes())
    } else {
        base64(arguments.text(0)?.as_bytes())
    };
    // The payload may be of the greatest length, and base64 makes it longer by a third.
    arguments.evaluation.charge_text(encoded.len())?;
    Ok(Value::text(encoded))
}

/// Base64 into the value of the JSON that it says, or a string, or Null if it says neither; or protobuf.
pub(super) fn decode<'d>(arguments: &mut Arguments<'_, 'd, '_>) -> Evaluated<'d> {
    match &*arguments.text(1)? {
        "base64" if arguments.count() == 2 => {}
        "proto" if arguments.count() == 6 => return protobuf(arguments),
        _ => return Err(Stop::Undefined),
    }
    let Some(bytes) = decoded(arguments)? else { return Ok(Value::Null) };
    if let Some(value) = Value::read(&bytes) {
        return Ok(value);
    }
    Ok(String::from_utf8(bytes).map_or(Value::Null, Value::text))
}

/// What the first argument says in base64, if it does.
fn decoded(arguments: &mut Arguments<'_, '_, '_>) -> Result<Option<Vec<u8>>, Stop> {
    let lenient = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let base64 = GeneralPurpose::new(&STANDARD, lenient);
    if arguments.is_payload(0) {
        return Ok(base64.decode(arguments.evaluation.message.payload.bytes()).ok());
    }
    Ok(base64.decode(&*arguments.text(0)?).ok())
}

/// `decode(bytes, 'proto', bucket, key, file, message)`, whose first argument is the payload or a string in base64. Whatever is
/// wrong with it fails.
fn protobuf<'d>(arguments: &mut Arguments<'_, 'd, '_>) -> Evaluated<'d> {
    let failed = |reason: String| Stop::failed("decode", reason);
    let bytes = if arguments.is_payload(0) {
        arguments.evaluation.message.payload.bytes().to_vec()
    } else {
        decoded(arguments)?.ok_or_else(|| failed("the value is not in base64".to_owned()))?
    };
    let (bucket, key) = (arguments.text(2)?.into_owned(), arguments.text(3)?.into_owned());
    let (file, message) = (arguments.text(4)?, arguments.text(5)?);
    let descriptors = arguments.evaluation.ask(&Call::Object { bucket, key })?;
    arguments.evaluation.charge_text((descriptors.len() + bytes.len()) * READING)?;
    let decoder = Decoder::new(&descriptors, &file, &message).map_err(failed)?;
    let json = decoder.decode(&bytes).map_err(failed)?;
    Value::read(json.as_bytes()).ok_or_else(|| failed("the message nests too deep".to_owned()))
}
