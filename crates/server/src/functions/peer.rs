//! Whose connection is it? A child's door is on loopback, where every process of the machine can knock; only those that
//! came of the child may come in. The kernel's tables tell which process holds the other end.

use std::fs;
use std::io::{self, BufRead as _, BufReader};
use std::net::{IpAddr, SocketAddr};

use super::tree;

/// Whether the socket at `theirs`, connected to `ours`, belongs to a process below `root`.
pub(super) fn belongs_to(root: u32, theirs: SocketAddr, ours: SocketAddr) -> io::Result<bool> {
    let Some(inode) = inode(theirs, ours)? else { return Ok(false) };
    let link = format!("socket:[{inode}]");
    Ok(tree::descendants(root).into_iter().any(|pid| holds(pid, &link)))
}

fn holds(pid: u32, link: &str) -> bool {
    let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    files.flatten().any(|file| fs::read_link(file.path()).is_ok_and(|target| target.as_os_str() == link))
}

/// The socket from `local` to `remote` in the kernel's table of connections.
fn inode(local: SocketAddr, remote: SocketAddr) -> io::Result<Option<u64>> {
    let wanted = format!("{} {} ", hex(local)?, hex(remote)?);
    let table = BufReader::new(fs::File::open("/proc/net/tcp")?);
    for line in table.lines() {
        let line = line?;
        let Some((_, rest)) = line.split_once(": ") else { continue };
        if rest.starts_with(&wanted) {
            // sl local remote st tx:rx tr:when retrnsmt uid timeout inode
            return Ok(line.split_ascii_whitespace().nth(9).and_then(|inode| inode.parse().ok()));
        }
    }
    Ok(None)
}

/// An address as the table has it: each word as the machine holds it.
fn hex(address: SocketAddr) -> io::Result<String> {
    let IpAddr::V4(ip) = address.ip() else { return Err(io::Error::other("the door is not on IPv4")) };
    Ok(format!("{:08X}:{:04X}", u32::from_ne_bytes(ip.octets()), address.port()))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_socket_is_found_with_its_holder() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let ours = listener.local_addr().unwrap();
        let client = TcpStream::connect(ours).unwrap();
        let theirs = client.local_addr().unwrap();
        let found = inode(theirs, ours).unwrap().unwrap();
        assert!(holds(std::process::id(), &format!("socket:[{found}]")));
        // This process is not below itself: nobody but a child may come in.
        assert!(!belongs_to(std::process::id(), theirs, ours).unwrap());
        drop(client);
        assert!(!holds(std::process::id(), &format!("socket:[{found}]")));
    }

    #[test]
    fn addresses_are_written_as_the_kernel_writes_them() {
        let address = "127.0.0.1:8080".parse().unwrap();
        let expected = if cfg!(target_endian = "little") { "0100007F:1F90" } else { "7F000001:1F90" };
        assert_eq!(hex(address).unwrap(), expected);
    }
}
