//! Where the programs are that run functions: an interpreter with AWS's own runtime interface client for it, or what the
//! package brings itself. Found once and remembered. How a program is then started is unknown here.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::process::Command;

/// How long an interpreter may take to say what it has.
const PATIENCE: Duration = Duration::from_secs(20);

/// For how long nothing is looked for that was not found.
const NOT_FOUND_FOR: Duration = Duration::from_secs(5);

/// Where `ombra runtime install` puts runtimes, below the data directory.
pub(crate) const DIRECTORY: &str = "runtimes";

/// What a runtime asks of an interpreter: who it is, where it lives, and whether it has the client.
const PYTHON: &str = "import sys, awslambdaric
print(sys.version.split()[0], sys.executable, sys.prefix, sys.base_prefix, *sys.path[1:], sep='\\n')";

/// The same in the words of the other.
const NODE: &str = "console.log([process.versions.node, process.execPath].join('\\n'))";

/// A program that can run functions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Runtime {
    pub(super) program: PathBuf,
    /// What it is told before the handler.
    pub(super) arguments: Vec<String>,
    /// The interpreter's version; none for a program that the package brings.
    pub(super) version: Option<String>,
    /// Directories that it is made of.
    pub(super) made_of: Vec<PathBuf>,
}

/// What kind of runtime a function asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Python,
    Node,
    Provided,
}

/// The runtimes of this machine.
pub(super) struct Runtimes {
    python: Option<PathBuf>,
    node: Option<PathBuf>,
    /// Where `ombra runtime install` puts them.
    installed: PathBuf,
    found: Mutex<HashMap<String, Found>>,
}

/// What was found for a runtime, and what was not and when.
type Found = Result<Runtime, (String, Instant)>;

impl Runtimes {
    /// Interpreters that the operator named come first, then those installed below the data directory.
    pub(super) fn new(data: &Path, python: Option<PathBuf>, node: Option<PathBuf>) -> Self {
        Self { python, node, installed: data.join(DIRECTORY), found: Mutex::default() }
    }

    /// The runtime of this name (`python3.12`), or in words why there is none and what to do.
    pub(super) async fn find(&self, name: &str) -> Result<Runtime, String> {
        match self.known(name) {
            Some(Ok(runtime)) => return Ok(runtime),
            Some(Err((why, since))) if since.elapsed() < NOT_FOUND_FOR => return Err(why),
            _ => {}
        }
        let found = self.look_for(name).await;
        let remembered = found.clone().map_err(|why| (why, Instant::now()));
        self.found.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), remembered);
        found
    }

    fn known(&self, name: &str) -> Option<Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    async fn look_for(&self, name: &str) -> Result<Runtime, String> {
        match family(name) {
            Some(Family::Python) => self.python(name).await,
            Some(Family::Node) => self.node().await,
            Some(Family::Provided) => Ok(provided()),
            None => Err(format!("The runtime {name} is not implemented yet; python3.*, nodejs* and provided.* are.")),
        }
    }

    async fn python(&self, name: &str) -> Result<Runtime, String> {
        let installed = self.installed.join("python/bin/python");
        let candidates = match &self.python {
            Some(named) => vec![named.clone()],
            None => vec![installed, name.into(), "python3".into()],
        };
        for candidate in candidates {
            let said = ask(&candidate, &["-c", PYTHON]).await;
            if let Some([version, program, made_of @ ..]) = said.as_deref() {
                // Entries of the path that are there, and no archives.
                let made_of: Vec<PathBuf> = made_of.iter().map(PathBuf::from).filter(|path| path.is_dir()).collect();
                return Ok(Runtime {
                    program: program.into(),
                    arguments: vec!["-m".to_owned(), "awslambdaric".to_owned()],
                    version: Some(version.clone()),
                    made_of: outermost(made_of),
                });
            }
        }
        Err("No Python with AWS's runtime interface client (awslambdaric) was found: run `ombra runtime install python3`, \
             or name one with --functions-python"
            .to_owned())
    }

    async fn node(&self) -> Result<Runtime, String> {
        let program = self.node.clone().unwrap_or_else(|| "node".into());
        let modules = self.installed.join("nodejs/node_modules");
        let client = modules.join("aws-lambda-ric");
        let script = ["bin/index.mjs", "index.mjs"].iter().map(|script| client.join(script)).find(|it| it.is_file());
        let said = ask(&program, &["-e", NODE]).await;
        match (script, said.as_deref()) {
            (Some(script), Some([version, program])) => {
                let program = PathBuf::from(program);
                let home = program.parent().and_then(Path::parent).map(Path::to_owned);
                Ok(Runtime {
                    program,
                    arguments: vec![script.display().to_string()],
                    version: Some(version.clone()),
                    made_of: outermost(home.into_iter().chain([modules]).collect()),
                })
            }
            _ => Err(
                "No Node.js with AWS's runtime interface client (aws-lambda-ric) was found: install Node.js and run \
                      `ombra runtime install nodejs`"
                    .to_owned(),
            ),
        }
    }
}

/// A program in the package that speaks the runtime API itself.
fn provided() -> Runtime {
    Runtime { program: "bootstrap".into(), arguments: Vec::new(), version: None, made_of: Vec::new() }
}

fn family(name: &str) -> Option<Family> {
    let families = [("python3.", Family::Python), ("nodejs", Family::Node), ("provided", Family::Provided)];
    families.into_iter().find(|(prefix, _)| name.starts_with(prefix)).map(|(_, family)| family)
}

/// Whether an interpreter is not of the version that was asked for.
pub(super) fn differs(asked: &str, version: &str) -> bool {
    let asked = asked.trim_start_matches(char::is_alphabetic).trim_end_matches(".x");
    !asked.is_empty() && version != asked && !version.starts_with(&format!("{asked}."))
}

/// What an interpreter answers, line by line; nothing if it does not.
async fn ask(program: &Path, words: &[&str]) -> Option<Vec<String>> {
    let mut command = Command::new(program);
    command.args(words).current_dir("/").stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output()).await.ok()?.ok()?;
    let text = output.status.success().then(|| String::from_utf8(output.stdout).ok())??;
    Some(text.lines().map(str::to_owned).collect())
}

/// Directories that are in none of the others, by their real names: they are what a sandbox must show.
fn outermost(paths: Vec<PathBuf>) -> Vec<PathBuf> {
    let mut kept: Vec<PathBuf> = Vec::new();
    let both = paths.into_iter().flat_map(|path| [path.canonicalize().ok(), Some(path)]).flatten();
    for path in both.filter(|path| path.is_absolute() && path.parent().is_some()) {
        if !kept.iter().any(|known| path.starts_with(known)) {
            kept.retain(|known| !known.starts_with(&path));
            kept.push(path);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_that_of_the_name_or_not() {
        for (asked, version, differing) in [
            ("python3.12", "3.12.1", false),
            ("python3.1", "3.12.1", true),
            ("python3.12", "3.11.7", true),
            ("nodejs20.x", "20.20.2", false),
            ("nodejs22.x", "20.20.2", true),
            ("provided.al2023", "1", true),
        ] {
            assert_eq!(differs(asked, version), differing, "{asked} {version}");
        }
    }

    #[test]
    fn what_is_in_another_is_not_named_twice() {
        let paths = ["/usr/lib", "/usr", "/usr/share", "relative", "/"].map(PathBuf::from).to_vec();
        assert_eq!(outermost(paths), [PathBuf::from("/usr")]);
    }

    #[tokio::test]
    async fn what_is_not_there_is_said_with_the_way_out() {
        let home = tempfile::tempdir().unwrap();
        let runtimes = Runtimes::new(home.path(), Some("/nowhere/python".into()), Some("/nowhere/node".into()));
        let why = runtimes.find("python3.12").await.unwrap_err();
        assert!(why.contains("ombra runtime install python3"), "{why}");
        let why = runtimes.find("nodejs22.x").await.unwrap_err();
        assert!(why.contains("ombra runtime install nodejs"), "{why}");
        assert!(runtimes.find("java21").await.unwrap_err().contains("not implemented yet"));
        assert_eq!(runtimes.find("provided.al2023").await.unwrap(), provided());
    }
}
