//! Randomness for one request, passed in from the doors so that a transaction that runs again makes the same ids: numbers
//! and UUIDs that differ, and draws that nobody can guess. Where the randomness comes from is unknown here.

use std::cell::Cell;

use aws_lc_rs::hmac;

/// Randomness for one request.
pub(crate) struct Entropy {
    seed: u128,
    taken: Cell<u64>,
    forks: Cell<u64>,
}

impl Entropy {
    /// From sixteen random bytes.
    pub(crate) fn new(seed: u128) -> Self {
        Self { seed, taken: Cell::new(0), forks: Cell::new(0) }
    }

    /// Randomness of its own for another write of the same request.
    pub(crate) fn fork(&self) -> Self {
        self.forks.set(self.forks.get() + 1);
        Self::new(self.seed ^ u128::from(mix(self.forks.get())) << 64)
    }

    /// Starts over: a transaction that runs again draws the same.
    pub(crate) fn rewind(&self) {
        self.taken.set(0);
    }

    /// A number that no other call of this request gets.
    pub(crate) fn number(&self) -> u64 {
        let taken = self.taken.get();
        self.taken.set(taken + 1);
        let [high, low] =
            [self.seed >> 64, self.seed & u128::from(u64::MAX)].map(|half| u64::try_from(half).unwrap_or_default());
        mix(high ^ mix(low ^ mix(taken)))
    }

    /// Draws that cannot be guessed, not even from whatever else this request gives away.
    pub(crate) fn secret(&self) -> Secret {
        let taken = self.taken.get();
        self.taken.set(taken + 1);
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.seed.to_be_bytes());
        Secret { key, of: taken, block: [0; 32], used: 32, blocks: 0 }
    }

    /// A UUID that no other call of this request gets.
    pub(crate) fn uuid(&self) -> String {
        let taken = self.taken.get();
        self.taken.set(taken + 1);
        uuid(self.seed.wrapping_add(u128::from(taken) << 32))
    }
}

/// Bytes without end of which those seen tell nothing of the others: what keys and passwords are made of. The ids above are
/// mixed quickly and can be unmixed; they must only differ.
pub(crate) struct Secret {
    key: hmac::Key,
    of: u64,
    block: [u8; 32],
    used: usize,
    blocks: u64,
}

impl Secret {
    fn byte(&mut self) -> u8 {
        if self.used == self.block.len() {
            let mut counter = [0; 16];
            counter[..8].copy_from_slice(&self.of.to_be_bytes());
            counter[8..].copy_from_slice(&self.blocks.to_be_bytes());
            self.block.copy_from_slice(hmac::sign(&self.key, &counter).as_ref());
            self.blocks += 1;
            self.used = 0;
        }
        let byte = self.block.get(self.used).copied().unwrap_or_default();
        self.used += 1;
        byte
    }

    /// That many bytes.
    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.byte())
    }

    /// A number below `bound`, each as likely as the others; 0 if there is none.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let bound = u32::try_from(bound).unwrap_or(u32::MAX);
        // What does not divide evenly is drawn again.
        let even = u32::MAX - u32::MAX.checked_rem(bound).unwrap_or_default();
        loop {
            let drawn = u32::from_be_bytes(self.bytes());
            if drawn < even {
                return drawn.checked_rem(bound).map_or(0, |drawn| drawn as usize);
            }
        }
    }

    /// A text of so many characters, each from `alphabet`.
    pub(crate) fn text(&mut self, alphabet: &[u8], length: usize) -> String {
        let letter = |_| alphabet.get(self.below(alphabet.len())).map_or('-', |letter| char::from(*letter));
        (0..length).map(letter).collect()
    }
}

/// A version 4 UUID from a seed, mixed by splitmix64; what unpredictability there is comes from the seed.
pub fn uuid(seed: u128) -> String {
    let [high, low] = [seed >> 64, seed & u128::from(u64::MAX)].map(|half| u64::try_from(half).unwrap_or_default());
    let bits = u128::from(mix(high ^ mix(low))) << 64 | u128::from(mix(low ^ mix(!high)));
    let bits = bits & !(0xF000 << 64) | (0x4000 << 64);
    let bits = bits & !(0xC000 << 48) | (0x8000 << 48);
    let hex = format!("{bits:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_of_one_request_differ_and_a_rerun_repeats_them() {
        let entropy = Entropy::new(7);
        let first = [entropy.uuid(), entropy.uuid()];
        assert_ne!(first[0], first[1]);
        entropy.rewind();
        assert_eq!(first, [entropy.uuid(), entropy.uuid()]);
    }

    #[test]
    fn a_uuid_says_that_it_is_random() {
        let uuid = Entropy::new(u128::MAX / 3).uuid();
        assert_eq!(uuid.len(), 36);
        assert_eq!(&uuid[14..15], "4");
        assert!("89ab".contains(&uuid[19..20]), "{uuid}");
    }

    #[test]
    fn secrets_of_one_request_differ_and_a_rerun_repeats_them() {
        let entropy = Entropy::new(7);
        let draw = || entropy.secret().bytes::<40>();
        let first = [draw(), draw()];
        assert_ne!(first[0], first[1]);
        entropy.rewind();
        assert_eq!(first, [draw(), draw()]);
        assert_ne!(first[0], Entropy::new(8).secret().bytes::<40>());
    }

    #[test]
    fn every_letter_comes_as_often_as_the_others() {
        let text = Entropy::new(3).secret().text(b"abc", 30_000);
        for letter in ['a', 'b', 'c'] {
            let count = text.matches(letter).count();
            assert!((9_500..10_500).contains(&count), "{letter}: {count}");
        }
        assert_eq!(Entropy::new(3).secret().below(0), 0);
    }
}
