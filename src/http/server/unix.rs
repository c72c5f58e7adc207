//! A Unix socket in the file system. It has its permissions before it is visible. It replaces a stale socket, and is
//! removed at the end.

use super::address::Mode;
use socket2::{Domain, SockAddr, Socket, Type};
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream as Probe;
use std::path::{Path, PathBuf};
use tokio::net::UnixListener;

const BACKLOG: i32 = 1024;

/// A listening socket. Dropping it removes its file, unless another socket has replaced it.
pub struct UnixSocket {
    pub listener: UnixListener,
    path: PathBuf,
    /// Device and inode.
    own: (u64, u64),
}

impl UnixSocket {
    /// Binds to `path`. Replaces a socket that no process listens on any more, and no other file.
    pub fn bind(path: &Path, mode: Mode) -> io::Result<Self> {
        make_room(path)?;
        // Created beside its path and renamed: no caller sees it with wrong permissions, or sees it missing.
        let beside = path.with_extension("new");
        remove_socket(&beside)?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.bind(&SockAddr::unix(&beside)?)?;
        fs::set_permissions(&beside, Permissions::from_mode(mode.0))?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        let listener = UnixListener::from_std(std::os::unix::net::UnixListener::from(socket))?;
        let own = identity(&beside)?;
        fs::rename(&beside, path)?;
        Ok(Self { listener, path: path.to_owned(), own })
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|found| found == self.own) {
            // A file that cannot be removed is stale then, and the next start replaces it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn make_room(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(found) if !found.file_type().is_socket() => Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "the path exists and is not a socket: remove it or choose another path",
        )),
        Ok(_) => match Probe::connect(path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
            Err(error) => Err(error),
            Ok(_) => Err(io::Error::new(
                io::ErrorKind::AddrInUse,
                "another process listens on this path: stop it or choose another path",
            )),
        },
    }
}

fn remove_socket(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => fs::remove_file(path),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_a_live_one_or_another_file_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("api.sock");
        // The state after a killed process.
        drop(std::os::unix::net::UnixListener::bind(&path).expect("a socket"));
        let socket = UnixSocket::bind(&path, Mode(0o620)).expect("a stale socket is no hindrance");
        assert_eq!(fs::metadata(&path).expect("it is there").permissions().mode() & 0o777, 0o620);
        let refused = UnixSocket::bind(&path, Mode(0o600)).err().expect("it is in use");
        assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
        assert!(Probe::connect(&path).is_ok());
        drop(socket);
        assert!(!path.exists());

        fs::write(&path, "precious").expect("a file");
        assert_eq!(
            UnixSocket::bind(&path, Mode(0o600)).err().map(|error| error.kind()),
            Some(io::ErrorKind::AlreadyExists)
        );
        assert_eq!(fs::read_to_string(&path).expect("a file"), "precious");
    }

    #[tokio::test]
    async fn the_socket_of_another_process_at_the_same_path_is_not_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("api.sock");
        let socket = UnixSocket::bind(&path, Mode(0o600)).expect("a socket");
        fs::remove_file(&path).expect("it is there");
        let _other = std::os::unix::net::UnixListener::bind(&path).expect("a socket");
        drop(socket);
        assert!(path.exists());
    }
}
