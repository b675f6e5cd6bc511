//! In a bucket of S3 or a compatible server, of Google's or Azure's cloud, in a folder or in memory: one object a piece,
//! through the crate [object_store](https://docs.rs/object_store).
//!
//! Below the key `url` a piece lies at `INFO-HASH/PIECE`, its number in seven digits, padding (BEP 47) included. Objects
//! are written whole, so a piece gathers in memory and becomes an object when it is sealed; a `seal` answers when the
//! server has it. So each sealed piece is there whenever the process is killed, and needs no checkpoint. Clients that
//! use the same `url` share what they have: what one of them sealed, another finds at its start.
//!
//! - **Memory is bounded.** When the key `memory` of begun pieces is used up, the one begun first goes to an object below
//!   `INFO-HASH/begun/`, and comes back when it is written or sealed. What a killed process leaves there is deleted when
//!   the torrent is opened next; what was not sealed is lost with the process, and its pieces are fetched again.
//! - **A name proves nothing.** A start lists the objects of the torrent, a thousand a request. The store vouches for a
//!   piece when its object has the length of the piece and the entity tag that a checkpoint saved; every other object is
//!   read and hashed, and where there is none nothing is asked for. An object that changes while the client runs, and is
//!   no longer that piece, is [corrupt](bt_api::StorageErrorKind::Corrupt) from then on, one that is gone
//!   [missing](bt_api::StorageErrorKind::Missing).
//! - **A server that is away** is asked again, `retries` times with growing pauses; then the call fails in one line that
//!   names the object, nothing is lost, and the client tries again by itself. No call waits for longer than the
//!   time-outs allow.
//! - **Credentials** come from the environment only, as that crate and the cloud's own tools have them
//!   (`AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, a role, `GOOGLE_SERVICE_ACCOUNT`, `AZURE_STORAGE_ACCOUNT_KEY`, …). No
//!   profile holds them and no message shows them. What else those variables say holds where the profile says nothing.
//!
//! Pieces are never deleted. The HTTP client needs tokio: a runtime of its own runs on a thread of its own, from the first
//! torrent on until the backend and its stores are dropped. In a simulation a call takes no simulated time.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use ::object_store::ObjectStore;
use ::object_store::path::Path;
use bt_api::{
    BoxFuture, BuildError, Host, Plugin, StorageBackend, StorageError, Torrent, TorrentStore, config, plugin,
    run_blocking,
};
use serde::{Deserialize, Serialize};

use self::bucket::Bucket;
use self::pieces::Pieces;
use crate::blocking::Blocking;

mod begun;
mod bucket;
mod connect;
mod failure;
mod pieces;

/// The plug-in `object-store`.
pub struct ObjectStorage {
    config: Config,
    /// Where the objects go, if not to the `url`.
    given: Option<(Arc<dyn ObjectStore>, Path)>,
    /// The bucket while torrents use it.
    bucket: Mutex<Weak<Bucket>>,
}

/// The `[storage]` table of `object-store`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// Where the objects go: `s3://BUCKET/PREFIX`, `gs://…`, `az://CONTAINER/…`, `file:///FOLDER`, `memory:///`.
    pub url: String,
    /// The server of S3 or Azure, such as `https://minio.example:9000`; the cloud's own where it is empty.
    pub endpoint: String,
    /// The region of S3; `us-east-1` where neither this nor the environment names one.
    pub region: String,
    /// Whether the endpoint may be `http://`: everything but the secret key is readable on the way then.
    pub allow_http: bool,
    /// The most memory that pieces take up until they are sealed, for each torrent.
    pub memory: config::Size,
    /// How long to wait for a connection.
    pub connect_timeout: config::Duration,
    /// How long one request may take, from connecting to the last byte.
    pub timeout: config::Duration,
    /// How often a request is made again that the server did not answer, or answered with a fault of its own.
    pub retries: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            url: String::new(),
            endpoint: String::new(),
            region: String::new(),
            allow_http: false,
            memory: config::Size::mib(64),
            connect_timeout: config::Duration::secs(5),
            timeout: config::Duration::secs(30),
            retries: 3,
        }
    }
}

impl Plugin for ObjectStorage {
    type Kind = plugin::Storage;
    type Config = Config;
    const NAME: &'static str = "object-store";
    const SUMMARY: &'static str = "keeps each piece as an object of S3 or another cloud";
    fn build(config: Config) -> Result<Box<dyn StorageBackend>, BuildError> {
        connect::check(&config)?;
        Ok(Box::new(Self::with(config, None)))
    }
}
bt_api::register!(ObjectStorage);

impl ObjectStorage {
    /// Keeps the objects below `prefix` of `store`, whatever that is, and not at the `url` of `config`. The calls of
    /// `store` are made within a tokio runtime.
    pub fn over(store: Arc<dyn ObjectStore>, prefix: Path, config: Config) -> Self {
        Self::with(config, Some((store, prefix)))
    }

    fn with(config: Config, given: Option<(Arc<dyn ObjectStore>, Path)>) -> Self {
        Self { config, given, bucket: Mutex::default() }
    }

    /// The bucket, shared with the other torrents; `spare` is taken if there is none.
    fn share(&self, spare: Option<Arc<Bucket>>) -> Option<Arc<Bucket>> {
        let mut known = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        known.upgrade().or_else(|| {
            let bucket = spare?;
            *known = Arc::downgrade(&bucket);
            Some(bucket)
        })
    }
}

impl StorageBackend for ObjectStorage {
    fn open(
        &self,
        torrent: Arc<Torrent>,
        host: Arc<dyn Host>,
    ) -> BoxFuture<'_, Result<Box<dyn TorrentStore>, StorageError>> {
        Box::pin(async move {
            let bucket = match self.share(None) {
                Some(bucket) => bucket,
                None => {
                    // It reads the system's certificates.
                    let (config, given) = (self.config.clone(), self.given.clone());
                    let made = run_blocking(&*host, move || Bucket::open(&config, given)).await?;
                    self.share(Some(Arc::new(made))).expect("there is one to spare")
                }
            };
            let (memory, lent) = (self.config.memory.0, host.clone());
            let pieces = run_blocking(&*host, move || Pieces::open(torrent, bucket, memory, &*lent)).await?;
            Ok(Blocking::boxed(Arc::new(pieces), host))
        })
    }
}
