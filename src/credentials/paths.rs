//! Reads credentials given as a path on the server, and decides which files may be read.

mod beneath;

use super::Secret;
use rustix::fs::OFlags;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The maximum size of a credential file, in bytes.
pub const FILE_BYTES_MAX: u64 = 64 * 1024;

const WRITABLE_BY_OTHERS: u32 = 0o022;
/// Only write permissions are checked: a service may read root's files by its group, and a volume of secrets may be
/// readable by all.
const READABLE_BY_EVERYONE: u32 = 0o004;

/// The reason that a credential file is not read. Callers of the API get the same response for every path, so that it
/// reveals no file.
#[derive(Debug, thiserror::Error)]
pub enum PathError {
    #[error("paths are not read, because `credentials_dir` is not set: send the text of the credential")]
    NotConfigured,
    #[error(
        "no such credential: the path must name a regular file of at most {FILE_BYTES_MAX} bytes inside `credentials_dir` that only its owner may write"
    )]
    NotInside,
    #[error("the credential file {path} cannot be read: {source}")]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("the credential file {path} is not a regular file of at most {FILE_BYTES_MAX} bytes")]
    Unsuitable { path: PathBuf },
    #[error(
        "the credential file {path} is not read, because other users than its owner may write it: chmod go-w {path}"
    )]
    Writable { path: PathBuf },
}

impl PathError {
    /// The error's `reason` in a response.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotConfigured => "credential_paths_off",
            Self::NotInside | Self::Unreadable { .. } | Self::Unsuitable { .. } | Self::Writable { .. } => {
                "credential_path_refused"
            }
        }
    }
}

/// Returns true for PEM, or a text with PEM in it, as distinct from a path.
pub fn is_pem(text: &[u8]) -> bool {
    const BEGIN: &[u8] = b"-----BEGIN ";
    text.windows(BEGIN.len()).any(|window| window == BEGIN)
}

/// Reads a file for a caller of the API: relative to `credentials_dir`, or absolute and inside it. Neither `..` nor a
/// symbolic link leads out, even while they are swapped. Refuses a file that other users than its owner may write. The
/// response does not reveal the cause; the log has it, without the path, since callers may send a key in its place.
/// Blocks on the disk.
pub fn read_inside(credentials_dir: Option<&Path>, path: &str) -> Result<Secret, PathError> {
    let root = credentials_dir.ok_or(PathError::NotConfigured)?;
    find_inside(root, path).map_err(|why| {
        tracing::warn!(why, "a credential given as a path is not read");
        PathError::NotInside
    })
}

fn find_inside(root: &Path, path: &str) -> Result<Secret, String> {
    let file = beneath::open(root, Path::new(path)).map_err(|error| error.to_string())?;
    // The file exists, so this is a path and not a key sent in its place.
    let path = root.join(path);
    let (read, mode) = read_opened(file, &path).map_err(|error| error.to_string())?;
    if let Some(exposed) = exposed_by(mode, &path) {
        tracing::warn!("{exposed}");
    }
    Ok(read)
}

/// Reads a file that the configuration names, at any path, unless other users than its owner may write it. Blocks on
/// the disk.
pub fn read_trusted(path: &Path) -> Result<Secret, PathError> {
    let unreadable = |source| PathError::Unreadable { path: path.to_owned(), source };
    // Checked first, since opening a device can start it.
    if !fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(PathError::Unsuitable { path: path.to_owned() });
    }
    read_opened(open_nonblocking(path).map_err(unreadable)?, path).map(|(read, _)| read)
}

/// Opens a path that was a file at the check. If it is a pipe by now, this does not wait for a writer.
fn open_nonblocking(path: &Path) -> io::Result<File> {
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

/// Reads an open file, if it is suitable, and returns its mode. `path` is for errors.
fn read_opened(file: File, path: &Path) -> Result<(Secret, u32), PathError> {
    let unreadable = |source| PathError::Unreadable { path: path.to_owned(), source };
    let unsuitable = || PathError::Unsuitable { path: path.to_owned() };
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(unsuitable());
    }
    if metadata.mode() & WRITABLE_BY_OTHERS != 0 {
        return Err(PathError::Writable { path: path.to_owned() });
    }
    let secret = read_whole(file).map_err(unreadable)?.ok_or_else(unsuitable)?;
    Ok((secret, metadata.mode()))
}

/// A warning about a file with a secret that every user of the machine may read.
pub fn exposed(path: &Path) -> Option<String> {
    exposed_by(fs::metadata(path).ok()?.mode(), path)
}

fn exposed_by(mode: u32, path: &Path) -> Option<String> {
    let path = path.display();
    (mode & READABLE_BY_EVERYONE != 0).then(|| format!("every user of this machine may read {path}: chmod o-r {path}"))
}

/// `Returns `None` for a file that is too large.
fn read_whole(file: File) -> io::Result<Option<Secret>> {
    // Reserved in advance: a growing vector would leave copies of the key in memory.
    let mut bytes = Vec::with_capacity(FILE_BYTES_MAX as usize + 1);
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    let secret = Secret::from(bytes);
    Ok((secret.expose().len() as u64 <= FILE_BYTES_MAX).then_some(secret))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::testing::while_swapping;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn a_file_inside_is_read_by_its_relative_and_by_its_absolute_path() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("app.pem");
        fs::write(&file, "pem").unwrap();
        for path in ["app.pem", "./app.pem", file.to_str().unwrap()] {
            assert_eq!(read_inside(Some(dir.path()), path).unwrap(), Secret::from("pem"));
        }
        assert_eq!(read_trusted(&file).unwrap(), Secret::from("pem"));
    }

    #[test]
    fn no_path_leads_out_and_every_refusal_is_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("credentials");
        fs::create_dir_all(root.join("folder")).unwrap();
        fs::create_dir(dir.path().join("credentials-old")).unwrap();
        let outside = dir.path().join("outside.pem");
        fs::write(&outside, "pem").unwrap();
        fs::write(dir.path().join("credentials-old/app.pem"), "pem").unwrap();
        fs::write(root.join("large.pem"), vec![b'x'; FILE_BYTES_MAX as usize + 1]).unwrap();
        fs::write(root.join("public.pem"), "pem").unwrap();
        fs::set_permissions(root.join("public.pem"), fs::Permissions::from_mode(0o646)).unwrap();
        symlink(&outside, root.join("link.pem")).unwrap();
        symlink(dir.path(), root.join("up")).unwrap();
        let paths = [
            "../outside.pem",
            "folder/../../outside.pem",
            outside.to_str().unwrap(),
            "link.pem",
            "up/outside.pem",
            "../credentials-old/app.pem",
            "missing.pem",
            "public.pem",
            "large.pem",
            "folder",
            "/etc/passwd",
            "/dev/zero",
            "nul\0byte",
            "",
        ];
        for path in paths {
            let refused = read_inside(Some(&root), path).expect_err(path);
            assert!(matches!(refused, PathError::NotInside), "{path}: {refused}");
        }
    }

    #[test]
    fn a_file_that_others_may_write_is_refused_and_one_that_all_may_read_is_warned_of() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("tls.key"), dir.path().join("link"));
        fs::write(&file, "pem").unwrap();
        symlink(&file, &link).unwrap();
        for (mode, read, told) in [
            (0o600, true, false),
            (0o640, true, false),
            (0o644, true, true),
            (0o444, true, true),
            (0o660, false, false),
            (0o602, false, false),
            (0o666, false, true),
        ] {
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            for path in [&file, &link] {
                assert_eq!(read_trusted(path).is_ok(), read, "{mode:o}");
                assert_eq!(exposed(path).is_some(), told, "{mode:o}");
            }
        }
        let said = format!("{}; {}", read_trusted(&file).unwrap_err(), exposed(&file).unwrap());
        let path = file.display();
        assert!(said.contains(&format!("chmod go-w {path}")) && said.contains(&format!("chmod o-r {path}")), "{said}");
        assert_eq!(exposed(&dir.path().join("missing")), None);
    }

    #[test]
    fn without_a_directory_no_path_is_read() {
        assert!(matches!(read_inside(None, "/etc/passwd"), Err(PathError::NotConfigured)));
    }

    /// /dev/zero represents all devices: it would be read without end.
    #[test]
    fn pipes_devices_sockets_and_folders_are_refused_without_reading() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("socket")).unwrap();
        fs::create_dir(dir.path().join("folder")).unwrap();
        for name in ["pipe", "socket", "folder", "."] {
            let refused = read_inside(Some(dir.path()), name).expect_err(name);
            assert!(matches!(refused, PathError::NotInside), "{name}: {refused}");
            assert!(read_trusted(&dir.path().join(name)).is_err(), "{name}");
        }
        assert!(matches!(read_trusted(&pipe), Err(PathError::Unsuitable { .. })));
        assert!(matches!(read_trusted(Path::new("/dev/zero")), Err(PathError::Unsuitable { .. })));
        assert!(matches!(read_inside(Some(Path::new("/dev")), "zero"), Err(PathError::NotInside)));
    }

    /// Opened like a file, a pipe would block the daemon's thread until somebody writes into it.
    #[test]
    fn a_pipe_is_opened_without_waiting_for_its_writer() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || tell.send(open_nonblocking(&pipe).is_ok()));
        assert_eq!(told.recv_timeout(std::time::Duration::from_secs(10)), Ok(true));
    }

    #[test]
    fn a_file_that_is_swapped_for_a_pipe_blocks_no_reader() {
        let dir = tempfile::tempdir().unwrap();
        let names = ["app.pem", "pipe"].map(|name| dir.path().join(name));
        fs::write(&names[0], "pem").unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&names[1]).status().unwrap().success());
        let (root, file) = (dir.path().to_owned(), names[0].clone());
        while_swapping(&names, move || {
            let (mut read, mut refused) = (0, 0);
            while read + refused < 8_000 || read.min(refused) < 10 {
                for found in [read_trusted(&file).ok(), read_inside(Some(&root), "app.pem").ok()] {
                    match found {
                        Some(secret) => read += usize::from(secret == Secret::from("pem")),
                        None => refused += 1,
                    }
                }
            }
        });
    }
}
