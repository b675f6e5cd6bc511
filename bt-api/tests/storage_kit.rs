//! The kit of stores and layers: good ones keep every promise, and each of these broken ones breaks the one meant.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;

use bt_api::testkit::broken_promises;
use bt_api::testkit::storage::{LAYER_PROMISES, LayerSubject, PROMISES, Reference, Subject};
use bt_api::{
    Block, BoxFuture, Bytes, Host, InfoHash, PieceIndex, PieceSet, StorageBackend, StorageError,
    StorageErrorKind, StorageLayer, Torrent, TorrentStore, run_blocking,
};
use futures::future::poll_fn;

/// What is wrong with a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    None,
    StopsReadsAtFileEdges,
    FillsUpTheLastPiece,
    IgnoresWritesToSealedPieces,
    MakesUpZeros,
    ReadsLess,
    MakesUpPadding,
    LosesTheSeventhWrite,
    HasOneCursor,
    ClearsThePieceWhenDropped,
    VouchesForWhatIsWritten,
    CountsOneTooMany,
    ForgetsAtTheEnd,
    KeepsOnlyWhatIsClosed,
    TrustsWhatWasSaved,
    LetsGoOnlyWhenDropped,
    MixesTorrentsUp,
    PanicsWithoutAFolder,
    IsFullForOtherReasons,
    KeepsBlocks,
}

/// The reference store with a flaw.
struct Flawed {
    flaw: Flaw,
    inner: Reference,
    in_use: InUse,
    lost: Lost,
}

/// The folders of the stores that are open.
type InUse = Arc<Mutex<BTreeSet<PathBuf>>>;

/// How often the stores of a folder were lost.
type Lost = Arc<Mutex<BTreeMap<PathBuf, u32>>>;

struct Store {
    flaw: Flaw,
    torrent: Arc<Torrent>,
    host: Arc<dyn Host>,
    inner: Box<dyn TorrentStore>,
    state: Mutex<State>,
    in_use: InUse,
    lost: Lost,
}

#[derive(Default)]
struct State {
    written: Vec<PieceIndex>,
    sealed: Vec<PieceIndex>,
    writes: u32,
    cursor: Option<PieceIndex>,
    kept: Vec<Block>,
    closed: bool,
}

impl StorageBackend for Flawed {
    fn open(
        &self,
        torrent: Arc<Torrent>,
        host: Arc<dyn Host>,
    ) -> BoxFuture<'_, Result<Box<dyn TorrentStore>, StorageError>> {
        Box::pin(async move {
            let mut opened = (*torrent).clone();
            match self.flaw {
                Flaw::PanicsWithoutAFolder => assert!(torrent.folder.is_dir(), "where to put it?"),
                Flaw::MixesTorrentsUp => {
                    let in_use = self.in_use.lock().unwrap();
                    if let Some(other) = in_use.iter().find(|&other| *other != torrent.folder) {
                        (opened.folder, opened.info_hash) = (other.clone(), InfoHash([3; 20]));
                    }
                }
                Flaw::ForgetsAtTheEnd => {
                    static OPENED: AtomicU32 = AtomicU32::new(0);
                    opened.folder.push(OPENED.fetch_add(1, Ordering::Relaxed).to_string());
                }
                Flaw::KeepsOnlyWhatIsClosed => {
                    let lost = self.lost.lock().unwrap().get(&torrent.folder).copied();
                    opened.folder.push(lost.unwrap_or_default().to_string());
                }
                _ => {}
            }
            let free = self.in_use.lock().unwrap().insert(torrent.folder.clone());
            if self.flaw == Flaw::LetsGoOnlyWhenDropped && !free {
                return Err(StorageError::new(StorageErrorKind::Denied, "opening: it is in use"));
            }
            let (in_use, lost) = (self.in_use.clone(), self.lost.clone());
            let inner = self.inner.open(opened.into(), host.clone()).await?;
            let store =
                Store { flaw: self.flaw, torrent, host, inner, state: Mutex::default(), in_use, lost };
            Ok(Box::new(store) as Box<dyn TorrentStore>)
        })
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.in_use.lock().unwrap().remove(&self.torrent.folder);
        if !self.state.lock().unwrap().closed {
            *self.lost.lock().unwrap().entry(self.torrent.folder.clone()).or_default() += 1;
        }
    }
}

impl Store {
    /// The bytes that are read, if not those that are there.
    fn wrong(&self, piece: PieceIndex, offset: u32, mut read: Vec<u8>) -> Vec<u8> {
        let layout = &self.torrent.layout;
        let mut spans = layout.spans(piece, offset, read.len() as u32);
        match self.flaw {
            Flaw::StopsReadsAtFileEdges => {
                let first = spans.next().map_or(0, |span| span.length as usize);
                read[first..].fill(0);
            }
            Flaw::FillsUpTheLastPiece
                if offset == 0 && read.len() > 1 && read.len() as u32 == layout.piece_length(piece) =>
            {
                read.resize(layout.nominal_piece_length() as usize, 0);
            }
            Flaw::MakesUpPadding => {
                let mut at = 0;
                for span in spans {
                    if span.pad {
                        read[at..at + span.length as usize].fill(b'p');
                    }
                    at += span.length as usize;
                }
            }
            _ => {}
        }
        read
    }
}

impl TorrentStore for Store {
    fn held(&self) -> BoxFuture<'_, Result<PieceSet, StorageError>> {
        Box::pin(async {
            match (self.flaw, &self.torrent.saved) {
                (Flaw::TrustsWhatWasSaved, Some(saved)) => {
                    let trusted = PieceSet::from_bitfield(self.torrent.layout.piece_count(), saved);
                    trusted.map_or_else(|_| Ok(PieceSet::new(self.torrent.layout.piece_count())), Ok)
                }
                (Flaw::CountsOneTooMany, _) => {
                    let held = self.inner.held().await?;
                    let mut more = PieceSet::new(held.pieces() + 1);
                    held.iter().for_each(|piece| _ = more.insert(piece));
                    Ok(more)
                }
                (Flaw::VouchesForWhatIsWritten, _) => {
                    let mut held = self.inner.held().await?;
                    self.state.lock().unwrap().written.iter().for_each(|&piece| _ = held.insert(piece));
                    Ok(held)
                }
                _ => self.inner.held().await,
            }
        })
    }

    fn read(
        &self,
        piece: PieceIndex,
        offset: u32,
        length: u32,
    ) -> BoxFuture<'_, Result<Block, StorageError>> {
        Box::pin(async move {
            match self.inner.read(piece, offset, length).await {
                Ok(read) => Ok(self.wrong(piece, offset, read.to_vec()).into()),
                Err(_) if self.flaw == Flaw::MakesUpZeros => Ok(Block::zeros(length as usize)),
                Err(_) if self.flaw == Flaw::ReadsLess && length > 1 => {
                    self.inner.read(piece, offset, length - 1).await
                }
                Err(error) => Err(error),
            }
        })
    }

    fn write(
        &self,
        piece: PieceIndex,
        offset: u32,
        blocks: Vec<Block>,
    ) -> BoxFuture<'_, Result<(), StorageError>> {
        Box::pin(async move {
            let (lost, sealed) = {
                let mut state = self.state.lock().unwrap();
                state.written.push(piece);
                state.writes += 1;
                state.cursor = Some(piece);
                if self.flaw == Flaw::KeepsBlocks {
                    state.kept.extend(blocks.iter().cloned());
                }
                (state.writes == 7, state.sealed.contains(&piece))
            };
            let mut target = piece;
            match self.flaw {
                Flaw::LosesTheSeventhWrite if lost && offset > 0 => return Ok(()),
                Flaw::IgnoresWritesToSealedPieces if sealed => {
                    // It does no longer vouch for it, at least.
                    let there = self.inner.read(piece, offset, 1).await?;
                    return self.inner.write(piece, offset, vec![there]).await;
                }
                Flaw::HasOneCursor => {
                    let mut waited = false;
                    let pause = poll_fn(|context| {
                        context.waker().wake_by_ref();
                        if std::mem::replace(&mut waited, true) { Poll::Ready(()) } else { Poll::Pending }
                    });
                    pause.await;
                    target = self.state.lock().unwrap().cursor.unwrap();
                }
                Flaw::ClearsThePieceWhenDropped => {
                    let length = self.torrent.layout.piece_length(piece);
                    let before = self.inner.read(piece, 0, length).await;
                    self.inner.write(piece, 0, vec![Block::zeros(length as usize)]).await?;
                    run_blocking(&*self.host, || ()).await;
                    if let Ok(before) = before {
                        self.inner.write(piece, 0, vec![before]).await?;
                    }
                }
                _ => {}
            }
            let written = self.inner.write(target, offset, blocks).await;
            written.map_err(|error| match self.flaw {
                Flaw::IsFullForOtherReasons => StorageError::new(StorageErrorKind::Other, "writing: no"),
                _ => error,
            })
        })
    }

    fn seal(&self, piece: PieceIndex) -> BoxFuture<'_, Result<(), StorageError>> {
        self.state.lock().unwrap().sealed.push(piece);
        self.inner.seal(piece)
    }

    fn checkpoint(&self) -> BoxFuture<'_, Result<Option<Bytes>, StorageError>> {
        self.inner.checkpoint()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StorageError>> {
        self.state.lock().unwrap().closed = true;
        self.inner.close()
    }
}

fn subject(flaw: Flaw) -> Subject {
    let (inner, in_use, lost) = (Reference::default(), InUse::default(), Lost::default());
    let build = move |inner: &Reference| {
        let flawed = Flawed { flaw, inner: inner.clone(), in_use: in_use.clone(), lost: lost.clone() };
        Box::new(flawed) as Box<dyn StorageBackend>
    };
    let roomy = build.clone();
    let cramped = Subject::new("flawed", move || build(&Reference::with_room(10_000)));
    Subject::new("flawed", move || roomy(&inner)).with_little_room(cramped)
}

bt_api::testkit::storage_conformance!(a_good_store = subject(Flaw::None));

macro_rules! broken {
    ($($test:ident: $flaw:ident breaks $($promise:literal),+;)*) => {
        $(
            #[test]
            fn $test() {
                assert_eq!(broken_promises(PROMISES, &subject(Flaw::$flaw)), [$($promise),+]);
            }
        )*
    };
}

broken! {
    edges: StopsReadsAtFileEdges breaks "spans_cross_file_edges";
    a_full_last_piece: FillsUpTheLastPiece breaks "the_last_piece_may_be_short";
    a_sealed_piece: IgnoresWritesToSealedPieces breaks "a_span_may_be_written_again";
    made_up_zeros: MakesUpZeros breaks "what_was_never_written_is_missing";
    less: ReadsLess breaks "reads_are_whole";
    padding: MakesUpPadding breaks "padding_is_zeros";
    the_seventh_write: LosesTheSeventhWrite breaks "any_writes_are_read_back";
    one_cursor: HasOneCursor breaks "reads_and_writes_run_side_by_side";
    a_dropped_write: ClearsThePieceWhenDropped breaks "a_dropped_write_touches_no_other_byte";
    what_is_written: VouchesForWhatIsWritten breaks "vouches_only_for_what_was_sealed";
    another_count: CountsOneTooMany breaks "vouches_by_sets_of_this_torrent";
    the_end: ForgetsAtTheEnd breaks "sealed_pieces_outlive_a_restart", "saved_pieces_outlive_a_crash";
    no_close: KeepsOnlyWhatIsClosed breaks "saved_pieces_outlive_a_crash";
    what_was_saved: TrustsWhatWasSaved breaks
        "saved_pieces_outlive_a_crash", "saved_state_is_not_trusted_blindly";
    in_use: LetsGoOnlyWhenDropped breaks "close_lets_go";
    mixed_up: MixesTorrentsUp breaks "torrents_are_kept_apart";
    no_folder: PanicsWithoutAFolder breaks "an_unusable_folder_is_an_error";
    not_full: IsFullForOtherReasons breaks "a_full_store_says_so";
    kept_blocks: KeepsBlocks breaks "keeps_no_block";
}

/// What is wrong with a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LayerFlaw {
    None,
    SwallowsSeals,
    BlursErrors,
    LosesTheLastBlock,
}

impl StorageLayer for LayerFlaw {
    fn wrap(&self, inner: Box<dyn TorrentStore>, _: Arc<Torrent>, _: Arc<dyn Host>) -> Box<dyn TorrentStore> {
        Box::new(Layered { flaw: *self, inner, sealed: Mutex::default() })
    }
}

struct Layered {
    flaw: LayerFlaw,
    inner: Box<dyn TorrentStore>,
    sealed: Mutex<Vec<PieceIndex>>,
}

impl TorrentStore for Layered {
    fn held(&self) -> BoxFuture<'_, Result<PieceSet, StorageError>> {
        Box::pin(async {
            let mut held = self.inner.held().await?;
            self.sealed.lock().unwrap().iter().for_each(|&piece| _ = held.insert(piece));
            Ok(held)
        })
    }

    fn read(
        &self,
        piece: PieceIndex,
        offset: u32,
        length: u32,
    ) -> BoxFuture<'_, Result<Block, StorageError>> {
        Box::pin(async move {
            let read = self.inner.read(piece, offset, length).await;
            read.map_err(|error| match (self.flaw, error.kind()) {
                (LayerFlaw::BlursErrors, kind) if kind != StorageErrorKind::Missing => {
                    StorageError::new(StorageErrorKind::Other, "reading: no")
                }
                _ => error,
            })
        })
    }

    fn write(
        &self,
        piece: PieceIndex,
        offset: u32,
        mut blocks: Vec<Block>,
    ) -> BoxFuture<'_, Result<(), StorageError>> {
        self.sealed.lock().unwrap().retain(|sealed| *sealed != piece);
        if self.flaw == LayerFlaw::LosesTheLastBlock && blocks.len() > 2 {
            blocks.pop();
        }
        self.inner.write(piece, offset, blocks)
    }

    fn seal(&self, piece: PieceIndex) -> BoxFuture<'_, Result<(), StorageError>> {
        if self.flaw == LayerFlaw::SwallowsSeals {
            return Box::pin(async move {
                // An error it would tell: what it keeps to itself is the seal.
                self.inner.read(piece, 0, 1).await?;
                self.sealed.lock().unwrap().push(piece);
                Ok(())
            });
        }
        self.inner.seal(piece)
    }

    fn checkpoint(&self) -> BoxFuture<'_, Result<Option<Bytes>, StorageError>> {
        self.inner.checkpoint()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StorageError>> {
        self.inner.close()
    }
}

fn layer(flaw: LayerFlaw) -> LayerSubject {
    LayerSubject::new("flawed", move || Box::new(flaw))
}

bt_api::testkit::layer_conformance!(a_good_layer = layer(LayerFlaw::None));

#[test]
fn layers() {
    for (flaw, promise) in [
        (LayerFlaw::SwallowsSeals, "everything_is_passed_on"),
        (LayerFlaw::BlursErrors, "errors_keep_their_kind"),
        (LayerFlaw::LosesTheLastBlock, "changes_nothing"),
    ] {
        assert_eq!(broken_promises(LAYER_PROMISES, &layer(flaw)), [promise], "{flaw:?}");
    }
}
