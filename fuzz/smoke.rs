//! The same inputs in every run: noise, and valid inputs mangled. Each crate's tests feed them to the bodies that the fuzz
//! targets share with them, so that no target rots. What the bytes mean is unknown here.

/// Feeds a body with so many inputs: the seeds as they are, then noise and mangled seeds by turns.
///
/// A body panics when it finds a fault; the input is then shown.
pub(crate) fn smoke(body: fn(&[u8]), seeds: &[Vec<u8>], rounds: usize) {
    let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
    let feed = |input: &[u8]| {
        let shown = Shown(input);
        body(shown.0);
    };
    for seed in seeds {
        feed(seed);
    }
    for round in 0..rounds {
        match seeds.get(noise.below(seeds.len())) {
            Some(seed) if round % 4 != 0 => feed(&noise.mangled(seed)),
            _ => {
                let length = noise.below(64);
                feed(&noise.bytes(length));
            }
        }
    }
}

/// An input that is printed if the body panics.
struct Shown<'a>(&'a [u8]);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the input was {:02x?}, as text {:?}", self.0, String::from_utf8_lossy(self.0));
        }
    }
}

/// A tiny generator of the xorshift kind.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % (end.max(1) as u64)).unwrap_or_default()
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[3]
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.byte()).collect()
    }

    /// The seed after one to four changes: a byte replaced, a bit turned, a piece doubled, inserted or taken out.
    fn mangled(&mut self, seed: &[u8]) -> Vec<u8> {
        let mut bytes = seed.to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len());
            let end = (at + 1 + self.below(8)).min(bytes.len());
            match self.below(5) {
                0 if !bytes.is_empty() => bytes[at] = self.byte(),
                1 if !bytes.is_empty() => bytes[at] ^= 1 << self.below(8),
                2 if !bytes.is_empty() => drop(bytes.drain(at..end)),
                3 if !bytes.is_empty() => {
                    let piece = bytes[at..end].to_vec();
                    let into = self.below(bytes.len());
                    bytes.splice(into..into, piece);
                }
                _ => bytes.insert(at, self.byte()),
            }
        }
        bytes
    }
}
