//! The repository as the rules see it: the text of every file that git tracks or would track.
//! Files that are not text are left out.

use std::fs;
use std::path::Path;

use crate::Failed;
use crate::step::in_root;

/// All text files, by path.
pub(super) struct Tree {
    files: Vec<File>,
}

/// One text file.
pub(super) struct File {
    /// Its path from the repository's root, with slashes.
    pub(super) path: String,
    /// What is in it.
    pub(super) text: String,
}

impl Tree {
    /// Reads what is tracked, and what is new and not ignored.
    pub(super) fn read(root: &Path) -> Result<Self, Failed> {
        // In a container the files often belong to somebody else, which git refuses unless told.
        let listing =
            in_root(root, "git -c safe.directory=* ls-files --cached --others --exclude-standard -z").output();
        let listing = listing.map_err(|cause| Failed::because("run git", cause))?;
        if !listing.status.success() {
            let said = String::from_utf8_lossy(&listing.stderr).into_owned();
            return Err(Failed::because("list the files of the repository", said.trim()));
        }
        let mut paths: Vec<&str> =
            listing.stdout.split(|byte| *byte == 0).filter_map(|path| str::from_utf8(path).ok()).collect();
        paths.sort_unstable();
        paths.dedup();
        // A file that was removed and not yet committed is listed and cannot be read.
        let read =
            |path: &&str| Some(File { path: (*path).to_owned(), text: fs::read_to_string(root.join(path)).ok()? });
        Ok(Self { files: paths.iter().filter_map(read).collect() })
    }

    /// A tree made up by a test.
    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let file = |(path, text): &(&str, &str)| File { path: (*path).to_owned(), text: (*text).to_owned() };
        Self { files: files.iter().map(file).collect() }
    }

    /// Every file.
    pub(super) fn files(&self) -> impl Iterator<Item = &File> {
        self.files.iter()
    }

    /// The Rust that people write.
    pub(super) fn rust(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.has_extension("rs") && !file.is_generated())
    }

    /// The text of one file.
    pub(super) fn text(&self, path: &str) -> Option<&str> {
        self.files.iter().find(|file| file.path == path).map(|file| file.text.as_str())
    }
}

impl File {
    /// Whether it is printed by `cargo xtask gen`.
    pub(super) fn is_generated(&self) -> bool {
        self.path.contains("/src/generated/")
    }

    /// Whether all of it is test, example or measurement.
    pub(super) fn is_apart(&self) -> bool {
        ["/tests/", "/examples/", "/benches/"].iter().any(|part| self.path.contains(part))
    }

    /// Whether its name ends with a dot and this.
    pub(super) fn has_extension(&self, extension: &str) -> bool {
        Path::new(&self.path).extension().is_some_and(|end| end == extension)
    }

    /// The name of the crate it belongs to: the directory below `crates/`.
    pub(super) fn house_crate(&self) -> Option<&str> {
        self.path.strip_prefix("crates/")?.split('/').next()
    }
}
