//! Opens a file below a folder. Neither `..` nor a link leads out of it, even if files are swapped meanwhile: the
//! kernel resolves the whole path (`openat2`), or, without that call, each step is opened relative to the folder before
//! it.

use rustix::fd::OwnedFd;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::path::{Component, Path, PathBuf};

/// The kernel asks for a retry if something on the path was renamed.
const TRIES_MAX: usize = 64;

/// Opening a pipe would wait for its writer, and opening a terminal could make it the daemon's controlling terminal.
const TO_READ: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

#[cfg(target_os = "linux")]
const FOLDER: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
#[cfg(not(target_os = "linux"))]
const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Opens `path`, which is relative to `folder`, or absolute and inside it. Follows links that stay inside, also with an
/// absolute target.
pub(super) fn open(folder: &Path, path: &Path) -> io::Result<File> {
    open_with(whole_path, folder, path)
}

/// Opens a path relative to a folder, and refuses to leave the folder.
type Way = fn(&OwnedFd, &Path) -> Result<OwnedFd, Errno>;

fn open_with(whole_path: Way, folder: &Path, path: &Path) -> io::Result<File> {
    let real = folder.canonicalize()?;
    let root = openat(CWD, folder, FOLDER, Mode::empty())?;
    let inside = match path.is_absolute() {
        true => match path.strip_prefix(folder).or_else(|_| path.strip_prefix(&real)) {
            Ok(inside) => inside.to_owned(),
            Err(_) => without_links(&real, path)?,
        },
        false => path.to_owned(),
    };
    let opened = match whole_path(&root, &inside) {
        // The path leaves the folder, or has a link with an absolute target, which may lead back into it.
        Err(Errno::XDEV) => whole_path(&root, &without_links(&real, &real.join(&inside))?),
        // An old kernel, or a sandbox without `openat2`.
        Err(Errno::NOSYS | Errno::PERM) => step_by_step(root, &without_links(&real, &real.join(&inside))?),
        opened => opened,
    };
    match opened {
        Ok(opened) => Ok(File::from(opened)),
        Err(Errno::XDEV) => Err(leads_out()),
        Err(error) => Err(error.into()),
    }
}

fn leads_out() -> io::Error {
    io::Error::other("it leads out of credentials_dir")
}

/// The current target of a path, relative to the folder's real path. The result is only a hint: opening it is checked
/// again.
fn without_links(real: &Path, path: &Path) -> io::Result<PathBuf> {
    path.canonicalize()?.strip_prefix(real).map(Path::to_owned).map_err(|_| leads_out())
}

#[cfg(target_os = "linux")]
fn whole_path(root: &OwnedFd, path: &Path) -> Result<OwnedFd, Errno> {
    use rustix::fs::{ResolveFlags, openat2};
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let mut tries = 1;
    loop {
        match openat2(root, path, TO_READ, Mode::empty(), resolve) {
            Err(Errno::AGAIN) if tries < TRIES_MAX => tries += 1,
            opened => return opened,
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn whole_path(_root: &OwnedFd, _path: &Path) -> Result<OwnedFd, Errno> {
    Err(Errno::NOSYS)
}

/// Opens a path without links, and refuses a link that was created meanwhile.
fn step_by_step(root: OwnedFd, path: &Path) -> Result<OwnedFd, Errno> {
    let mut steps = path.components().peekable();
    let mut folder = root;
    while let Some(step) = steps.next() {
        let Component::Normal(name) = step else { return Err(Errno::XDEV) };
        if steps.peek().is_none() {
            return openat(&folder, name, TO_READ | OFlags::NOFOLLOW, Mode::empty());
        }
        folder = openat(&folder, name, FOLDER | OFlags::NOFOLLOW, Mode::empty())?;
    }
    Err(Errno::ISDIR)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::testing::while_swapping;
    use std::fs;
    use std::io::Read;
    use std::os::unix::fs::symlink;

    /// The production code, and the same with the errors of old kernels and of sandboxes.
    const WAYS: [(&str, Way); 3] =
        [("openat2", whole_path), ("ENOSYS", |_, _| Err(Errno::NOSYS)), ("EPERM", |_, _| Err(Errno::PERM))];

    fn read(way: Way, folder: &Path, path: impl AsRef<Path>) -> io::Result<String> {
        let mut text = String::new();
        open_with(way, folder, path.as_ref())?.read_to_string(&mut text)?;
        Ok(text)
    }

    #[test]
    fn links_that_stay_inside_are_followed_as_kubernetes_creates_them() {
        let dir = tempfile::tempdir().unwrap();
        let (root, alias) = (dir.path().join("credentials"), dir.path().join("alias"));
        fs::create_dir_all(root.join("..2026_01_01/deep")).unwrap();
        fs::write(root.join("..2026_01_01/app.pem"), "first").unwrap();
        symlink("..2026_01_01", root.join("..data")).unwrap();
        symlink("..data/app.pem", root.join("app.pem")).unwrap();
        symlink("../app.pem", root.join("..2026_01_01/deep/up.pem")).unwrap();
        symlink(root.join("app.pem"), root.join("absolute.pem")).unwrap();
        symlink(&root, &alias).unwrap();
        symlink(alias.join("..data"), root.join("through_an_alias")).unwrap();
        let inside = [
            "app.pem".into(),
            "..data/app.pem".into(),
            "..data/deep/up.pem".into(),
            "..data/../app.pem".into(),
            "absolute.pem".into(),
            "through_an_alias/app.pem".into(),
            root.join("app.pem"),
            root.join("..data/../absolute.pem"),
            alias.join("app.pem"),
        ];
        for (name, way) in WAYS {
            for folder in [&root, &alias] {
                for path in &inside {
                    assert_eq!(read(way, folder, path).expect("inside"), "first", "{name}: {}", path.display());
                }
            }
        }
        fs::create_dir(root.join("..2026_02_01")).unwrap();
        fs::write(root.join("..2026_02_01/app.pem"), "second").unwrap();
        symlink("..2026_02_01", root.join("..data_new")).unwrap();
        fs::rename(root.join("..data_new"), root.join("..data")).unwrap();
        for (name, way) in WAYS {
            assert_eq!(read(way, &root, "app.pem").unwrap(), "second", "{name}");
        }
    }

    #[test]
    fn no_path_or_link_opens_a_file_outside() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("credentials");
        fs::create_dir_all(root.join("folder")).unwrap();
        let outside = dir.path().join("outside.pem");
        fs::write(&outside, "outside").unwrap();
        symlink(&outside, root.join("absolute.pem")).unwrap();
        symlink("../outside.pem", root.join("relative.pem")).unwrap();
        symlink("..", root.join("up")).unwrap();
        symlink("/proc/self/root", root.join("magic")).unwrap();
        symlink("loop.pem", root.join("loop.pem")).unwrap();
        let magic = Path::new("magic").join(outside.strip_prefix("/").unwrap());
        let leading_out = [
            "absolute.pem".into(),
            "relative.pem".into(),
            "up/outside.pem".into(),
            "folder/../../outside.pem".into(),
            "../credentials/../outside.pem".into(),
            outside,
            magic,
            "loop.pem".into(),
            root.clone(),
            "".into(),
        ];
        for (name, way) in WAYS {
            for path in &leading_out {
                assert!(read(way, &root, path).is_err(), "{name}: {}", path.display());
            }
        }
    }

    #[test]
    fn a_link_that_is_created_after_the_check_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("credentials");
        fs::create_dir_all(root.join("folder")).unwrap();
        fs::write(dir.path().join("app.pem"), "outside").unwrap();
        symlink(dir.path(), root.join("link")).unwrap();
        symlink(dir.path().join("app.pem"), root.join("folder/app.pem")).unwrap();
        for path in ["link/app.pem", "folder/app.pem", "folder/../../app.pem"] {
            let opened = openat(CWD, &root, FOLDER, Mode::empty()).unwrap();
            assert!(step_by_step(opened, Path::new(path)).is_err(), "{path}");
        }
    }

    /// A folder and a link that leads out are swapped all the time. Code that checks first and opens then would read
    /// outside every few hundred reads.
    #[test]
    fn no_read_escapes_while_a_folder_is_swapped_for_a_link_that_leads_out() {
        let dir = tempfile::tempdir().unwrap();
        let (root, outside) = (dir.path().join("credentials"), dir.path().join("outside"));
        fs::create_dir_all(root.join("app")).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(root.join("app/app.pem"), "inside").unwrap();
        fs::write(outside.join("app.pem"), "outside").unwrap();
        symlink(&outside, root.join("other")).unwrap();
        let names = ["app", "other"].map(|name| root.join(name));
        while_swapping(&names, move || {
            for (name, way) in WAYS {
                let (mut inside, mut refused) = (0, 0);
                // Both occur within a few reads; the others look for an escape, which must not occur.
                while inside + refused < 20_000 || inside.min(refused) < 10 {
                    match read(way, &root, "app/app.pem") {
                        Ok(text) => {
                            assert_eq!(text, "inside", "{name}: escaped after {} reads", inside + refused);
                            inside += 1;
                        }
                        Err(_) => refused += 1,
                    }
                }
            }
        });
    }
}
