//! The shell of every store whose calls block: it has them run where blocking does no harm, lends them buffers, and
//! lets go of the store at its end. A backend writes a [`BlockingStore`].

use std::sync::{Arc, Mutex, PoisonError};

use bt_api::{
    Block, BoxFuture, Buffer, Bytes, Host, PieceIndex, PieceSet, StorageError, StorageErrorKind,
    TorrentStore, run_blocking,
};

/// A [`TorrentStore`] in calls that block. What is said there of each call holds here.
pub(crate) trait BlockingStore: Send + Sync + 'static {
    fn held(&self) -> Result<PieceSet, StorageError>;

    /// Whether the bytes of `piece` come in memory of the store's own. Called where nothing may block.
    fn lends(&self, _piece: PieceIndex) -> bool {
        false
    }

    fn read(&self, piece: PieceIndex, offset: u32, space: Space) -> Result<Block, StorageError>;

    fn write(&self, piece: PieceIndex, offset: u32, blocks: &[Block]) -> Result<(), StorageError>;

    fn seal(&self, piece: PieceIndex) -> Result<(), StorageError>;

    fn checkpoint(&self) -> Result<Option<Bytes>, StorageError>;

    /// The store is dropped after it, once the calls that still run have ended.
    fn close(&self) -> Result<(), StorageError>;
}

/// Where a read goes.
pub(crate) struct Space {
    /// In bytes.
    pub(crate) length: u32,
    /// As long; `None` where the store [lends](BlockingStore::lends).
    buffer: Option<Buffer>,
}

impl Space {
    /// The block that `fill` makes of it.
    pub(crate) fn fill(
        self,
        fill: impl FnOnce(&mut [u8]) -> Result<(), StorageError>,
    ) -> Result<Block, StorageError> {
        let mut buffer = self.buffer.unwrap_or_else(|| Buffer::unpooled(self.length as usize));
        fill(&mut buffer)?;
        Ok(buffer.freeze())
    }
}

/// The shell around `S`.
pub(crate) struct Blocking<S> {
    /// `None` once it is closed.
    store: Mutex<Option<Arc<S>>>,
    host: Arc<dyn Host>,
}

impl<S: BlockingStore> Blocking<S> {
    /// As what [`StorageBackend::open`](bt_api::StorageBackend::open) answers.
    pub(crate) fn boxed(store: Arc<S>, host: Arc<dyn Host>) -> Box<dyn TorrentStore> {
        Box::new(Self { store: Mutex::new(Some(store)), host })
    }

    fn store(&self) -> Result<Arc<S>, StorageError> {
        let store = self.store.lock().unwrap_or_else(PoisonError::into_inner).clone();
        store.ok_or_else(|| StorageError::new(StorageErrorKind::Other, "the store is closed"))
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&S) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let store = self.store()?;
        run_blocking(&*self.host, move || work(&store)).await
    }
}

impl<S: BlockingStore> TorrentStore for Blocking<S> {
    fn held(&self) -> BoxFuture<'_, Result<PieceSet, StorageError>> {
        Box::pin(self.run(S::held))
    }

    fn read(
        &self,
        piece: PieceIndex,
        offset: u32,
        length: u32,
    ) -> BoxFuture<'_, Result<Block, StorageError>> {
        Box::pin(async move {
            let buffer = match self.store()?.lends(piece) {
                true => None,
                false => Some(self.host.buffer(length as usize).await),
            };
            self.run(move |store| store.read(piece, offset, Space { length, buffer })).await
        })
    }

    fn write(
        &self,
        piece: PieceIndex,
        offset: u32,
        blocks: Vec<Block>,
    ) -> BoxFuture<'_, Result<(), StorageError>> {
        Box::pin(self.run(move |store| store.write(piece, offset, &blocks)))
    }

    fn seal(&self, piece: PieceIndex) -> BoxFuture<'_, Result<(), StorageError>> {
        Box::pin(self.run(move |store| store.seal(piece)))
    }

    fn checkpoint(&self) -> BoxFuture<'_, Result<Option<Bytes>, StorageError>> {
        Box::pin(self.run(S::checkpoint))
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StorageError>> {
        Box::pin(async {
            let store = self.store.lock().unwrap_or_else(PoisonError::into_inner).take();
            let Some(store) = store else { return Ok(()) };
            // To be dropped may take its time too.
            run_blocking(&*self.host, move || store.close()).await
        })
    }
}
