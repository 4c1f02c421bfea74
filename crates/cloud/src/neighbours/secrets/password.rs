//! Random passwords, from randomness that is passed in. What becomes of one is unknown here: it is answered and kept nowhere.

use wire::Refusal;
use wire::secretsmanager::{GetRandomPasswordRequest, GetRandomPasswordResponse};

use crate::entropy::Secret;
use crate::operation::{Answer, Op, ops};
use crate::scope::Read;

pub(crate) const OPS: &[Op] = ops! {
    read get_random_password on any;
};

const LOWERCASE: &str = "abcdefghijklmnopqrstuvwxyz";
const UPPERCASE: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const NUMBERS: &str = "0123456789";
const PUNCTUATION: &str = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";
const SPACE: &str = " ";

/// Characters, if the caller does not say.
const LENGTH: i64 = 32;

fn get_random_password(db: Read, input: &GetRandomPasswordRequest) -> Answer<GetRandomPasswordResponse> {
    let password = password(input, &mut db.cx.entropy.secret())?;
    Ok(GetRandomPasswordResponse::new().with_random_password(password))
}

/// The kinds of characters that are asked for, without those that are excluded one by one.
/// unconfirmed: a kind of which nothing is left is not among them, rather than a contradiction.
fn kinds(input: &GetRandomPasswordRequest) -> Vec<Vec<u8>> {
    let is = |flag: Option<bool>| flag == Some(true);
    let excluded = input.exclude_characters().unwrap_or_default();
    let kinds = [
        (LOWERCASE, !is(input.exclude_lowercase())),
        (UPPERCASE, !is(input.exclude_uppercase())),
        (NUMBERS, !is(input.exclude_numbers())),
        (PUNCTUATION, !is(input.exclude_punctuation())),
        (SPACE, is(input.include_space())),
    ];
    let kinds = kinds.into_iter().filter(|(_, is_asked)| *is_asked);
    let kinds = kinds.map(|(kind, _)| kind.bytes().filter(|byte| !excluded.contains(char::from(*byte))).collect());
    kinds.filter(|kind: &Vec<u8>| !kind.is_empty()).collect()
}

fn password(input: &GetRandomPasswordRequest, secret: &mut Secret) -> Answer<String> {
    let kinds = kinds(input);
    let length = usize::try_from(input.password_length().unwrap_or(LENGTH)).unwrap_or(0);
    let required = if input.require_each_included_type() == Some(false) { &[][..] } else { &kinds };
    if kinds.is_empty() {
        // unconfirmed: the text.
        let message = "A password can't be made when every type of character is excluded.";
        return Err(Refusal::new("InvalidParameterException", message).into());
    }
    if length < required.len() {
        let message = "Password length is too short based on the required types.";
        return Err(Refusal::new("InvalidParameterException", message).into());
    }
    let all: Vec<u8> = kinds.concat();
    let mut drawn: Vec<u8> = required.iter().map(|kind| draw(kind, secret)).collect();
    drawn.extend((required.len()..length).map(|_| draw(&all, secret)));
    // One of each kind came first; now any place is as likely for it as any other.
    for end in (1..drawn.len()).rev() {
        drawn.swap(end, secret.below(end + 1));
    }
    Ok(drawn.into_iter().map(char::from).collect())
}

fn draw(kind: &[u8], secret: &mut Secret) -> u8 {
    kind.get(secret.below(kind.len())).copied().unwrap_or_default()
}
