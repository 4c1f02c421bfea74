//! Packages: zip files with a function's code, checked before anything of them is believed. Where they are unpacked is unknown
//! here; what comes out of one is bounded whatever it says of itself.

use std::io::{Cursor, Read};

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zip::{CompressionMethod, ZipArchive};

/// Bytes of a package that comes in a request.
pub(crate) const PACKED: usize = 50 * 1024 * 1024;

/// Bytes of all that is in one.
pub(crate) const UNPACKED: u64 = 262_144_000;

/// Files and directories in one.
const ENTRIES: usize = 50_000;

/// Bytes of the name of one.
const NAME: usize = 1024;

/// What AWS says of a package that is not a zip file, whatever is wrong with it.
const BROKEN: &str = "Could not unzip uploaded file. Please check your file, then try to upload again.";

/// A package that has been looked at.
pub struct Package<'a> {
    archive: ZipArchive<Cursor<&'a [u8]>>,
    left: u64,
}

/// One thing in a package.
#[derive(Debug, PartialEq, Eq)]
pub enum Entry {
    /// A directory.
    Directory,
    /// A file, and whether it can be run.
    File {
        /// What is in it.
        content: Vec<u8>,
        /// Whether it can be run.
        is_executable: bool,
    },
    /// A name for something else in the package, relative to where it stands.
    Link(String),
}

impl<'a> Package<'a> {
    /// Looks at the table of contents, and at nothing that is packed.
    pub fn open(bytes: &'a [u8]) -> Result<Self, String> {
        let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(|_| BROKEN.to_owned())?;
        if archive.len() > ENTRIES {
            return Err(format!("{BROKEN} It has {} entries; {ENTRIES} are the most.", archive.len()));
        }
        let mut size = 0_u64;
        for index in 0..archive.len() {
            let entry = archive.by_index_raw(index).map_err(|_| BROKEN.to_owned())?;
            let name = entry.name().map_err(|_| BROKEN.to_owned())?;
            if parts(&name).is_none() {
                return Err(format!("{BROKEN} The name of entry {index} leads out of the package."));
            }
            if entry.encrypted()
                || !matches!(entry.compression(), CompressionMethod::Stored | CompressionMethod::Deflated)
            {
                return Err(format!("{BROKEN} The entry {name} is neither stored nor deflated."));
            }
            size = size.saturating_add(entry.size());
        }
        if size > UNPACKED {
            return Err(format!("Unzipped size must be smaller than {UNPACKED} bytes"));
        }
        Ok(Self { archive, left: UNPACKED })
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.archive.len()
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.archive.is_empty()
    }

    /// Unpacks an entry: its path, none of whose parts leads upwards, and what it is.
    pub fn entry(&mut self, index: usize) -> Result<(Vec<String>, Entry), String> {
        let mut file = self.archive.by_index(index).map_err(|_| BROKEN.to_owned())?;
        let path = file.name().ok().and_then(|name| parts(&name)).ok_or(BROKEN)?;
        if file.is_dir() {
            return Ok((path, Entry::Directory));
        }
        let mode = file.unix_mode();
        let mut content = Vec::new();
        // What it says of its size is only what it says.
        let read = file.by_ref().take(self.left + 1).read_to_end(&mut content).map_err(|_| BROKEN.to_owned())?;
        self.left =
            self.left.checked_sub(read as u64).ok_or(format!("Unzipped size must be smaller than {UNPACKED} bytes"))?;
        if mode.is_some_and(|mode| mode & 0o17_0000 == 0o12_0000) {
            let target = String::from_utf8(content).map_err(|_| BROKEN.to_owned())?;
            if stays_inside(&path, &target) {
                return Ok((path, Entry::Link(target)));
            }
            return Err(format!("{BROKEN} The link {} leads out of the package.", path.join("/")));
        }
        Ok((path, Entry::File { content, is_executable: mode.is_some_and(|mode| mode & 0o111 != 0) }))
    }
}

/// The parts of a name, if it stays in the package.
fn parts(name: &str) -> Option<Vec<String>> {
    let is_plain = !name.is_empty() && name.len() <= NAME && !name.starts_with('/') && !name.contains(['\\', '\0']);
    let parts: Vec<&str> = name.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    let stays = is_plain && !parts.is_empty() && !parts.contains(&"..");
    stays.then(|| parts.into_iter().map(str::to_owned).collect())
}

/// Whether a link at `path` leads to somewhere in the package.
fn stays_inside(path: &[String], target: &str) -> bool {
    let mut depth = path.len() - 1;
    for part in target.split('/') {
        match part {
            "" if target.starts_with('/') => return false,
            "" | "." => {}
            ".." if depth == 0 => return false,
            ".." => depth -= 1,
            _ => depth += 1,
        }
    }
    !target.is_empty() && target.len() <= NAME && !target.contains('\0')
}

/// The SHA-256 of a package, as AWS writes it.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    STANDARD.encode(digest::digest(&digest::SHA256, bytes))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;

    fn packed(fill: impl FnOnce(&mut ZipWriter<Cursor<Vec<u8>>>)) -> Vec<u8> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        fill(&mut zip);
        zip.finish().unwrap().into_inner()
    }

    #[test]
    fn what_was_packed_comes_out() {
        let bytes = packed(|zip| {
            zip.add_directory("a", SimpleFileOptions::default()).unwrap();
            zip.start_file("a/run", SimpleFileOptions::default().unix_permissions(0o755)).unwrap();
            zip.write_all(b"#!").unwrap();
            zip.add_symlink("a/too", "../a/run", SimpleFileOptions::default()).unwrap();
        });
        let mut package = Package::open(&bytes).unwrap();
        let entries: Vec<_> = (0..package.len()).map(|index| package.entry(index).unwrap()).collect();
        let path = |path: &[&str]| path.iter().map(|part| (*part).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            entries,
            [
                (path(&["a"]), Entry::Directory),
                (path(&["a", "run"]), Entry::File { content: b"#!".to_vec(), is_executable: true }),
                (path(&["a", "too"]), Entry::Link("../a/run".to_owned())),
            ]
        );
    }

    #[test]
    fn names_that_lead_out_are_refused() {
        for name in ["../x", "a/../../x", "/x", "a\\b", "", "./."] {
            assert_eq!(parts(name), None, "{name}");
        }
        assert_eq!(parts("a//./b/").unwrap(), ["a", "b"]);
        let bytes = packed(|zip| {
            zip.start_file("../out", SimpleFileOptions::default()).unwrap();
        });
        assert!(Package::open(&bytes).is_err());
        for (target, inside) in [("b", true), ("../b", true), ("../../b", false), ("/etc", false), ("", false)] {
            assert_eq!(stays_inside(&["a".to_owned(), "l".to_owned()], target), inside, "{target}");
        }
        let bytes = packed(|zip| zip.add_symlink("l", "../x", SimpleFileOptions::default()).unwrap());
        assert!(Package::open(&bytes).unwrap().entry(0).is_err());
    }

    #[test]
    fn a_bomb_is_refused_by_what_it_says_and_by_what_comes_out() {
        let bytes = packed(|zip| {
            for index in 0..3 {
                zip.start_file(format!("{index}"), SimpleFileOptions::default()).unwrap();
                let zeros = vec![0; 1 << 20];
                for _ in 0..90 {
                    zip.write_all(&zeros).unwrap();
                }
            }
        });
        assert!(bytes.len() < 1 << 20);
        let refused = Package::open(&bytes).err().unwrap();
        assert_eq!(refused, "Unzipped size must be smaller than 262144000 bytes");
        let mut package = Package { archive: ZipArchive::new(Cursor::new(bytes.as_slice())).unwrap(), left: 100 };
        assert!(package.entry(0).unwrap_err().starts_with("Unzipped size"));
    }

    #[test]
    fn what_is_no_zip_file_is_refused() {
        assert_eq!(Package::open(b"print('hello')").err().unwrap(), BROKEN);
        assert_eq!(Package::open(b"").err().unwrap(), BROKEN);
    }
}
