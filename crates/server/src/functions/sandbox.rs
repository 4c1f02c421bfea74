//! The walls around a function's process: namespaces of its own for processes, files and shared memory, a root that holds
//! only what a runtime needs, read-only but for its own temporary directory, and no privileges at all. Made by the
//! process inside for itself, before it becomes the runtime; what the runtime is, is unknown here.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{Gid, Uid};
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use rustix::thread::{CapabilitySet, CapabilitySets};
use serde::{Deserialize, Serialize};

/// The code, where AWS has it.
pub(super) const TASK: &str = "/var/task";

/// The one place it can write to.
pub(super) const TMP: &str = "/tmp";

/// What of the system a runtime sees, as far as it is there. No homes, no sockets of services, no data of anybody.
const SYSTEM: [&str; 9] = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/nix/store"];

/// The devices it sees.
const DEVICES: [&str; 5] = ["null", "zero", "full", "random", "urandom"];

/// What else is in `/dev`.
const DEVICE_LINKS: [(&str, &str); 4] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];

/// The walls.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Sandbox {
    /// An empty directory, on which the new root is built.
    pub(super) root: PathBuf,
    /// The function's code.
    pub(super) task: PathBuf,
    /// Its temporary directory.
    pub(super) tmp: PathBuf,
    /// Further directories that a runtime is made of, wherever they are.
    pub(super) visible: Vec<PathBuf>,
    /// The user it becomes, if we are root: one that owns nothing. Without it, it stays who we are.
    pub(super) user: Option<u32>,
}

/// What starts a process in namespaces of its own. If the process that asked for it is gone, so is all that is inside.
pub(super) fn command(sandbox: &Sandbox) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child", "--ipc", "--uts"]);
    if sandbox.user.is_none() {
        command.args(["--user", "--map-root-user"]);
    }
    command.arg("--");
    command
}

/// Builds the walls around this process.
pub(super) fn enter(sandbox: &Sandbox) -> io::Result<()> {
    let step = |what: &'static str| move |error: io::Error| io::Error::other(format!("{what}: {error}"));
    build(sandbox).map_err(step("the files it sees"))?;
    if let Some(user) = sandbox.user {
        // Whoever reopens its own output must be its owner.
        for output in [rustix::stdio::stdout(), rustix::stdio::stderr()] {
            let _ = rustix::fs::fchown(output, Some(Uid::from_raw(user)), Some(Gid::from_raw(user)));
        }
    }
    give_up_privileges(sandbox.user).map_err(step("its privileges"))
}

fn build(sandbox: &Sandbox) -> io::Result<()> {
    let root = sandbox.root.as_path();
    rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    let size = CString::new("size=1m,mode=0755").unwrap_or_default();
    rustix::mount::mount("tmpfs", root, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, Some(size.as_c_str()))?;
    // First, because what a runtime is made of may lie in there.
    temporary(sandbox)?;
    let mut bound: Vec<&Path> = Vec::new();
    for path in SYSTEM.map(Path::new).into_iter().chain(sandbox.visible.iter().map(PathBuf::as_path)) {
        if bound.iter().any(|bound| path.starts_with(bound)) {
            continue;
        }
        match fs::symlink_metadata(path) {
            Ok(meta) if meta.is_symlink() => std::os::unix::fs::symlink(fs::read_link(path)?, within(root, path))?,
            Ok(meta) if meta.is_dir() => {
                bind(path, &within(root, path))?;
                bound.push(path);
            }
            _ => {}
        }
    }
    names(root)?;
    bind(&sandbox.task, &within(root, Path::new(TASK)))?;
    make_dir(&within(root, Path::new("/opt")))?;
    devices(root)?;
    let proc = within(root, Path::new("/proc"));
    make_dir(&proc)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    rustix::mount::mount("proc", &proc, "proc", flags, None)?;
    seal(root)?;
    rustix::process::chdir(root)?;
    rustix::process::pivot_root(".", ".")?;
    rustix::mount::unmount(".", UnmountFlags::DETACH)?;
    rustix::process::chdir("/")?;
    Ok(())
}

/// Where a path of the system is in the new root.
fn within(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

fn make_dir(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o755).create(path)
}

fn bind(from: &Path, to: &Path) -> io::Result<()> {
    make_dir(to)?;
    rustix::mount::mount_bind_recursive(from, to)
        .map_err(|error| io::Error::other(format!("{}: {error}", from.display())))
}

fn devices(root: &Path) -> io::Result<()> {
    let dev = within(root, Path::new("/dev"));
    make_dir(&dev)?;
    for name in DEVICES {
        let (from, to) = (Path::new("/dev").join(name), dev.join(name));
        fs::File::create(&to)?;
        rustix::mount::mount_bind(&from, &to)?;
    }
    for (name, target) in DEVICE_LINKS {
        std::os::unix::fs::symlink(target, dev.join(name))?;
    }
    Ok(())
}

/// Names are often resolved by a file that `/etc` only points to.
fn names(root: &Path) -> io::Result<()> {
    let Ok(real) = fs::canonicalize("/etc/resolv.conf") else { return Ok(()) };
    let to = within(root, &real);
    if to.exists() {
        return Ok(());
    }
    if let Some(parent) = to.parent() {
        make_dir(parent)?;
    }
    fs::File::create(&to)?;
    Ok(rustix::mount::mount_bind(&real, &to)?)
}

/// Makes everything below the new root read-only but for the temporary directory, each mount with the flags it has.
fn seal(root: &Path) -> io::Result<()> {
    let temporary = within(root, Path::new(TMP));
    let mounts = fs::read("/proc/self/mountinfo")?;
    for line in mounts.split(|byte| *byte == b'\n') {
        let mut fields = line.split(|byte| *byte == b' ').skip(4);
        let (Some(point), Some(options)) = (fields.next(), fields.next()) else { continue };
        let point = unescaped(point);
        if !point.starts_with(root) || point == temporary {
            continue;
        }
        let kept = String::from_utf8_lossy(options).split(',').fold(MountFlags::empty(), |flags, option| {
            flags
                | match option {
                    "nosuid" => MountFlags::NOSUID,
                    "nodev" => MountFlags::NODEV,
                    "noexec" => MountFlags::NOEXEC,
                    "noatime" => MountFlags::NOATIME,
                    "nodiratime" => MountFlags::NODIRATIME,
                    "relatime" => MountFlags::RELATIME,
                    _ => MountFlags::empty(),
                }
        });
        rustix::mount::mount_remount(&point, MountFlags::BIND | MountFlags::RDONLY | kept, "")?;
    }
    Ok(())
}

/// A path as mountinfo writes it: spaces and the like as three octal digits.
fn unescaped(path: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after.get(..3).filter(|_| byte == b'\\').and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped = digits.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        bytes.push(escaped.unwrap_or(byte));
        rest = if escaped.is_some() { &after[3..] } else { after };
    }
    PathBuf::from(std::ffi::OsString::from_vec(bytes))
}

/// The one place it can write to.
fn temporary(sandbox: &Sandbox) -> io::Result<()> {
    if let Some(user) = sandbox.user {
        std::os::unix::fs::chown(&sandbox.tmp, Some(user), Some(user))?;
    }
    let to = within(&sandbox.root, Path::new(TMP));
    make_dir(&to)?;
    rustix::mount::mount_bind(&sandbox.tmp, &to)?;
    let flags = MountFlags::BIND | MountFlags::NOSUID | MountFlags::NODEV;
    Ok(rustix::mount::mount_remount(&to, flags, "")?)
}

/// From here on the process and whatever it starts can do no more than any other of its user, and never gains anything.
pub(super) fn give_up_privileges(user: Option<u32>) -> io::Result<()> {
    // Without this capability there is nothing in the set that could be had again.
    for capability in CapabilitySet::all().iter() {
        let _ = rustix::thread::remove_capability_from_bounding_set(capability);
    }
    if let Some(user) = user {
        rustix::thread::set_thread_groups(&[])?;
        let (uid, gid) = (Uid::from_raw(user), Gid::from_raw(user));
        rustix::thread::set_thread_res_gid(gid, gid, gid)?;
        rustix::thread::set_thread_res_uid(uid, uid, uid)?;
    }
    let none = CapabilitySet::empty();
    rustix::thread::set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
    Ok(rustix::thread::set_no_new_privs(true)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_point_is_read_as_it_is_meant() {
        assert_eq!(unescaped(br"/a\040b\134c"), Path::new(r"/a b\c"));
        assert_eq!(unescaped(br"/plain\04"), Path::new(r"/plain\04"));
    }
}
