//! Credentials given as a path on the server: which files may be read for whom.

use super::Secret;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Largest credential file, in bytes.
pub const FILE_BYTES_MAX: u64 = 64 * 1024;

const WRITABLE_BY_OTHERS: u32 = 0o022;
/// A group is how a service gets at what root owns, and a volume of secrets may be open to all: that works.
const READABLE_BY_EVERYONE: u32 = 0o004;

/// Why a credential file is not read. Callers of the API get the same answer whatever stands, or does not stand, at a
/// path.
#[derive(Debug, thiserror::Error)]
pub enum PathError {
    #[error("paths are not read, since no `credentials_dir` is configured: send the credential's text itself")]
    NotConfigured,
    #[error(
        "no such credential: only regular files of at most {FILE_BYTES_MAX} bytes inside the configured `credentials_dir`, which only their owner may write, are read"
    )]
    NotInside,
    #[error("the credential file {path} cannot be read: {source}")]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("the credential file {path} is no regular file of at most {FILE_BYTES_MAX} bytes")]
    Unsuitable { path: PathBuf },
    #[error("the credential file {path} is not read, since others than its owner may write it: chmod go-w {path}")]
    Writable { path: PathBuf },
}

impl PathError {
    /// The stable word for it in an answer.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotConfigured => "credential_paths_off",
            Self::NotInside | Self::Unreadable { .. } | Self::Unsuitable { .. } | Self::Writable { .. } => {
                "credential_path_refused"
            }
        }
    }
}

/// Whether this is PEM, or a text with PEM in it, rather than a path to it.
pub fn is_pem(text: &[u8]) -> bool {
    const BEGIN: &[u8] = b"-----BEGIN ";
    text.windows(BEGIN.len()).any(|window| window == BEGIN)
}

/// Reads a file for a caller of the API: relative to `credentials_dir`, or absolute and inside it. Neither `..` nor a
/// symbolic link leads out, and what others than its owner may write is not read. The caller learns nothing of what stands where; the
/// log does, but not what was given: people send keys where a path belongs. Blocks for as long as the disk does.
pub fn read_inside(credentials_dir: Option<&Path>, path: &str) -> Result<Secret, PathError> {
    let root = credentials_dir.ok_or(PathError::NotConfigured)?;
    find_inside(root, path).map_err(|why| {
        tracing::warn!(why, "a credential that was given as a path is not read");
        PathError::NotInside
    })
}

fn find_inside(root: &Path, path: &str) -> Result<Secret, String> {
    let root = root.canonicalize().map_err(|error| format!("credentials_dir: {error}"))?;
    let real = root.join(path).canonicalize().map_err(|error| error.to_string())?;
    if !real.starts_with(&root) {
        return Err("it leads out of credentials_dir".to_owned());
    }
    let read = read_trusted(&real).map_err(|error| error.to_string())?;
    if let Some(exposed) = exposed(&real) {
        tracing::warn!("{exposed}");
    }
    Ok(read)
}

/// Reads a file named by the operator's own configuration, wherever it is, unless others than its owner may write it.
/// Blocks for as long as the disk does.
pub fn read_trusted(path: &Path) -> Result<Secret, PathError> {
    let unreadable = |source| PathError::Unreadable { path: path.to_owned(), source };
    let file = open_regular(path).map_err(unreadable)?;
    let file = file.ok_or_else(|| PathError::Unsuitable { path: path.to_owned() })?;
    if file.metadata().map_err(unreadable)?.mode() & WRITABLE_BY_OTHERS != 0 {
        return Err(PathError::Writable { path: path.to_owned() });
    }
    let secret = read_whole(file).map_err(unreadable)?;
    secret.ok_or_else(|| PathError::Unsuitable { path: path.to_owned() })
}

/// What an operator should know of a file with a secret in it that everyone on the machine may read.
pub fn exposed(path: &Path) -> Option<String> {
    let mode = fs::metadata(path).ok()?.mode();
    let path = path.display();
    (mode & READABLE_BY_EVERYONE != 0).then(|| format!("every user of this machine may read {path}: chmod o-r {path}"))
}

/// `None` for what is not a regular file, or was swapped for another between the look and the opening.
fn open_regular(path: &Path) -> io::Result<Option<File>> {
    let seen = fs::metadata(path)?;
    // Looked at first, since opening a pipe would wait for its writer.
    if !seen.is_file() {
        return Ok(None);
    }
    let file = File::open(path)?;
    let opened = file.metadata()?;
    Ok(((opened.dev(), opened.ino()) == (seen.dev(), seen.ino())).then_some(file))
}

/// `None` for what is too large.
fn read_whole(file: File) -> io::Result<Option<Secret>> {
    // Reserved at once: a growing vector would leave copies of the key behind.
    let mut bytes = Vec::with_capacity(FILE_BYTES_MAX as usize + 1);
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    let secret = Secret::from(bytes);
    Ok((secret.expose().len() as u64 <= FILE_BYTES_MAX).then_some(secret))
}

#[cfg(test)]
mod tests {
    use super::*;
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
    fn no_path_leads_out_and_every_refusal_reads_the_same() {
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
    fn what_others_may_write_is_not_read_and_what_all_may_read_is_told() {
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

    #[test]
    fn a_pipe_is_refused_without_waiting_for_its_writer() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert!(matches!(read_trusted(&pipe), Err(PathError::Unsuitable { .. })));
    }
}
