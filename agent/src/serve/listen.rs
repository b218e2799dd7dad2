//! Opens the sockets.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio_stream::wrappers::UnixListenerStream;

use super::ServeError;
use crate::config::Listen;
use crate::mesh;

/// The application may run as another user of the same group.
const MODE: u32 = 0o660;

/// One place where the cache is served.
pub(super) enum CacheSocket {
    Unix(UnixSocket),
    Tcp(TcpListener, SocketAddr),
}

impl CacheSocket {
    pub(super) async fn bind(listen: &Listen) -> Result<Self, ServeError> {
        match listen {
            Listen::Unix(path) => UnixSocket::bind(path).await.map(Self::Unix),
            Listen::Tcp(address) => loopback(*address).await.map(|tcp| Self::Tcp(tcp, *address)),
        }
    }

    /// As it is written in CACHE_LISTEN.
    pub(super) fn address(&self) -> String {
        match self {
            Self::Unix(socket) => format!("unix://{}", socket.file.path.display()),
            Self::Tcp(_, address) => format!("tcp://{address}"),
        }
    }
}

/// A Unix socket, which is removed when it is dropped.
pub(super) struct UnixSocket {
    listener: UnixListener,
    file: SocketFile,
}

/// The file of a socket. Only the own one is removed, not that of a successor.
pub(super) struct SocketFile {
    path: PathBuf,
    inode: u64,
}

impl UnixSocket {
    /// Listens on `path`. What a dead process left behind there is replaced, a living one or another file is not.
    pub(super) async fn bind(path: &Path) -> Result<Self, ServeError> {
        let refused = |why: String| ServeError::Bind {
            address: format!("unix://{}", path.display()),
            variable: "CACHE_LISTEN",
            why,
        };
        match std::fs::symlink_metadata(path) {
            Ok(found) if !found.file_type().is_socket() => {
                return Err(refused(
                    "there is a file that is no socket; remove it or choose another path".into(),
                ));
            }
            Ok(_) if UnixStream::connect(path).await.is_ok() => {
                return Err(refused(
                    "another process serves this socket; stop it or choose another path".into(),
                ));
            }
            _ => {}
        }
        // Under a name of its own until the mode is set: nobody can connect before that, and the move takes the place
        // of a stale socket in one step.
        let own = path.with_file_name(format!(".{}", std::process::id()));
        let open = || -> io::Result<Self> {
            let _ = std::fs::remove_file(&own);
            let listener = UnixListener::bind(&own)?;
            std::fs::set_permissions(&own, std::fs::Permissions::from_mode(MODE))?;
            let inode = std::fs::symlink_metadata(&own)?.ino();
            std::fs::rename(&own, path)?;
            Ok(Self { listener, file: SocketFile { path: path.to_owned(), inode } })
        };
        open().map_err(|e| {
            let _ = std::fs::remove_file(&own);
            refused(advice(&e, path.parent()))
        })
    }

    /// The connections, and the file to be held as long as they are wanted.
    pub(super) fn into_incoming(self) -> (UnixListenerStream, SocketFile) {
        (UnixListenerStream::new(self.listener), self.file)
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if std::fs::symlink_metadata(&self.path).is_ok_and(|m| m.ino() == self.inode) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn advice(error: &io::Error, folder: Option<&Path>) -> String {
    let folder = folder.map_or_else(String::new, |f| f.display().to_string());
    match error.kind() {
        io::ErrorKind::NotFound => {
            format!("the folder {folder} does not exist; create it or choose another path")
        }
        io::ErrorKind::PermissionDenied => format!("this user may not write to {folder}"),
        io::ErrorKind::AddrInUse => "another process listens there; stop it or choose another address".into(),
        io::ErrorKind::AddrNotAvailable => "this host has no such address".into(),
        _ => error.to_string(),
    }
}

/// Loopback TCP for the cache.
async fn loopback(address: SocketAddr) -> Result<TcpListener, ServeError> {
    let refused =
        |why: String| ServeError::Bind { address: format!("tcp://{address}"), variable: "CACHE_LISTEN", why };
    if !address.ip().is_loopback() {
        return Err(refused(
            "only a loopback address is allowed, since the cache has no authentication".into(),
        ));
    }
    TcpListener::bind(address).await.map_err(|e| refused(advice(&e, None)))
}

/// TCP for probes and metrics: this address; `[::]` is every address of the host, IPv6 and IPv4.
pub(super) fn any(address: SocketAddr) -> Result<Vec<TcpListener>, ServeError> {
    let listeners = match address.ip() {
        IpAddr::V6(six) if six.is_unspecified() => mesh::listen::bind(address.port()),
        _ => mesh::listen::one(address).map(|one| vec![one]),
    };
    listeners.map_err(|e| ServeError::Bind {
        address: format!("http://{address}"),
        variable: "AGENT_HTTP",
        why: advice(&e, None),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_a_living_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cache.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "the listener of std leaves its file behind");
        let first = UnixSocket::bind(&path).await.unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, MODE);
        let Err(error) = UnixSocket::bind(&path).await else { panic!("two servers on one socket") };
        assert!(error.to_string().contains("another process serves this socket"), "{error}");
        assert!(UnixStream::connect(&path).await.is_ok());
        drop(first);
        assert!(!path.exists());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn what_is_in_the_way_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "precious").unwrap();
        let Err(error) = UnixSocket::bind(&file).await else { panic!("a file was replaced") };
        assert!(error.to_string().contains("no socket"), "{error}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
        let Err(error) = UnixSocket::bind(&dir.path().join("none/cache.sock")).await else {
            panic!("no folder")
        };
        assert!(error.to_string().contains("none does not exist"), "{error}");
    }

    #[tokio::test]
    async fn the_file_of_a_successor_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cache.sock");
        let UnixSocket { listener, file } = UnixSocket::bind(&path).await.unwrap();
        drop(listener);
        let _second = UnixSocket::bind(&path).await.unwrap();
        drop(file);
        assert!(UnixStream::connect(&path).await.is_ok());
    }

    #[tokio::test]
    async fn a_taken_port_is_named() {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = taken.local_addr().unwrap();
        for result in [any(address).map(|_| ()), loopback(address).await.map(|_| ())] {
            let error = result.err().map(|e| e.to_string()).unwrap();
            assert!(
                error.contains(&address.to_string()) && error.contains("another process listens"),
                "{error}"
            );
        }
        assert!(loopback("192.0.2.1:80".parse().unwrap()).await.is_err());
    }
}
