//! The stores of peers, when the content has bytes: every peer's own, as its profile has it, driven by the code that
//! drives it in a real client ([`bt_runtime::store`]).

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bt_api::contain::contain;
use bt_api::{
    Block, BlockRef, BoxFuture, Host, InfoHash, Instant, PeerKey, PieceHash, PieceIndex, PieceSet,
    StorageBackend, StorageError, StorageErrorKind, Torrent, TorrentLayout, TorrentStore,
};
use bt_engine::Verdict;
use bt_engine::wire::Message;
use bt_runtime::Profile;
use bt_runtime::store::assembly::{Assembly, Done};
use bt_runtime::store::guard::Guard;
use bt_runtime::store::pool::BufferPool;
use bt_runtime::store::uploads::{CacheBudget, Slot, Uploads};
use bt_runtime::store::{CACHE_DIVISOR, Desk, Tasks, reading};
use futures::FutureExt;
use tempfile::TempDir;

use super::executor::Clock;
use super::host::VirtualHost;
use super::ip_of;
use super::network::Network;
use super::plugins::{News, NewsDesk};
use crate::made;
use crate::scenario::Scenario;

/// What the torrent is called, so the folder or file that a store makes of it.
const NAME: &str = "content";

/// The most that one call writes of what a peer comes with.
const WRITE_RUN: usize = 1 << 20;

/// The most memory that is kept to be used again by the stores of all peers.
const POOL: usize = 64 << 20;

/// Runs the work on the store of one peer.
struct Workers {
    node: u32,
    clock: Arc<Clock>,
    news: NewsDesk,
}

impl Tasks for Workers {
    fn start(&self, work: BoxFuture<'static, Option<Box<Done>>>) {
        let (node, news) = (self.node, self.news.clone());
        let telling = async move {
            if let Some(done) = work.await {
                news.put(node, News::Done(done));
            }
        };
        self.clock.start(telling.boxed());
    }
}

/// The stores of all peers.
pub(super) struct Stores {
    clock: Arc<Clock>,
    network: Arc<Network>,
    pool: BufferPool,
    news: NewsDesk,
    seed: u64,
    layout: TorrentLayout,
    hashes: Vec<PieceHash>,
    /// Where each peer has a folder of its own; it is gone after the run.
    folder: Result<TempDir, String>,
    peers: BTreeMap<u32, Peer>,
    /// Bytes of blocks that are sent, by who will receive them.
    flying: BTreeMap<(u32, PeerKey), VecDeque<(BlockRef, Block)>>,
}

/// The store of one peer.
struct Peer {
    guard: Arc<Guard>,
    /// After how long without an answer it is said to hang.
    patience: Duration,
    folder: PathBuf,
    host: Arc<dyn Host>,
    tasks: Arc<dyn Tasks>,
    torrent: Arc<Torrent>,
    /// `None` until it is open.
    open: Option<Open>,
    leaving: bool,
}

struct Open {
    desk: Desk,
    assembly: Assembly,
    uploads: Uploads,
    /// Blocks that arrived, until the engine says what becomes of them.
    received: BTreeMap<u64, Block>,
    /// What is to be sent to each neighbour once the store has read what stands before it.
    waiting: BTreeMap<PeerKey, VecDeque<Item>>,
    reads: u64,
    /// Whether it was told to keep everything.
    kept: bool,
    /// Why it could not take a piece, the last time that it could not.
    error: Option<String>,
}

/// What became of a piece.
type Finished = (PieceIndex, Result<Verdict, StorageError>);

/// Something to be sent.
pub(super) enum Item {
    /// A block, the number of its reading, and its bytes when they are here.
    Block(BlockRef, u64, Option<Result<Block, StorageError>>),
    /// A message that must not overtake the block before it.
    Message(Message),
}

impl Stores {
    pub(super) fn new(
        scenario: &Scenario,
        seed: u64,
        clock: Arc<Clock>,
        network: Arc<Network>,
        news: NewsDesk,
    ) -> Self {
        let content = &scenario.content;
        let folder = tempfile::Builder::new().prefix("bt-lab-").tempdir();
        Self {
            clock,
            network,
            pool: BufferPool::new(POOL),
            news,
            seed,
            layout: TorrentLayout::single(NAME, content.size, content.piece)
                .expect("the limits of scenarios are those of layouts"),
            hashes: made::piece_hashes(content, seed),
            folder: folder.map_err(|error| error.to_string()),
            peers: BTreeMap::new(),
            flying: BTreeMap::new(),
        }
    }

    /// Opens the store of a new peer, which will hold `have`.
    pub(super) fn open(&mut self, node: u32, profile: &Profile, info_hash: InfoHash, have: PieceSet) {
        let (clock, pool, network) = (self.clock.clone(), self.pool.clone(), self.network.clone());
        let host: Arc<dyn Host> = VirtualHost::new(clock, pool, network, ip_of(node));
        let tasks = Arc::new(Workers { node, clock: self.clock.clone(), news: self.news.clone() });
        let folder = self.folder.as_ref().map(|folder| folder.path().join(node.to_string()));
        let made = folder.map_err(Clone::clone).and_then(|folder| {
            std::fs::create_dir(&folder).map(|()| folder).map_err(|error| error.to_string())
        });
        let (folder, problem) = match made {
            Ok(folder) => (folder, None),
            Err(problem) => (PathBuf::new(), Some(problem)),
        };
        let torrent = Arc::new(Torrent {
            info_hash,
            layout: self.layout.clone(),
            piece_hashes: self.hashes.clone(),
            folder: folder.clone(),
            saved: None,
        });
        let backend = match contain(|| profile.new_storage()) {
            Ok(backend) => backend,
            Err(said) => return self.news.put(node, News::Broke(said)),
        };
        let guard = {
            let news = self.news.clone();
            let tell = move |broke| news.put(node, News::Broke(broke));
            Guard::new(profile.storage_name(), host.clone(), None, tell)
        };
        let (seed, news) = (self.seed, self.news.clone());
        let opening = {
            let (guard, torrent, host) = (guard.clone(), torrent.clone(), host.clone());
            async move {
                let error = |message: String| StorageError::new(StorageErrorKind::Other, message);
                let opened = match problem {
                    Some(problem) => Err(error(format!("no temporary folder: {problem}"))),
                    None => begin(&guard, backend, torrent, host, have, seed).await,
                };
                news.put(node, News::Opened(opened));
            }
        };
        self.clock.start(opening.boxed());
        let patience = profile.settings.net.store_patience.get();
        let peer = Peer { guard, patience, folder, host, tasks, torrent, open: None, leaving: false };
        self.peers.insert(node, peer);
    }

    /// The store of `node` is open.
    pub(super) fn opened(&mut self, node: u32, store: Arc<dyn TorrentStore>) {
        let budget = CacheBudget::new(self.pool.limit() / CACHE_DIVISOR);
        let Some(peer) = self.peers.get_mut(&node) else { return };
        let (host, tasks) = (peer.host.clone(), peer.tasks.clone());
        let desk = Desk { store, torrent: peer.torrent.clone(), host, tasks };
        peer.open = Some(Open {
            assembly: Assembly::new(desk.clone()),
            uploads: Uploads::new(desk.clone(), budget),
            desk,
            received: BTreeMap::new(),
            waiting: BTreeMap::new(),
            reads: 0,
            kept: false,
            error: None,
        });
    }

    /// Of whom the store hangs at `now`, and in which words.
    pub(super) fn silent(&self, now: Instant) -> Vec<(u32, String)> {
        let silence = |(node, peer): (&u32, &Peer)| Some((*node, peer.guard.silence_at(now, peer.patience)?));
        self.peers.iter().filter_map(silence).collect()
    }

    fn at(&mut self, node: u32) -> Option<&mut Open> {
        self.peers.get_mut(&node)?.open.as_mut()
    }

    /// A block is part of its piece.
    pub(super) fn take(&mut self, node: u32, tag: u64, block: BlockRef) {
        let Some(open) = self.at(node) else { return };
        if let Some(bytes) = open.received.remove(&tag) {
            open.assembly.keep(block, vec![bytes]);
        }
    }

    /// A block is not wanted, or its engine says nothing of it any more.
    pub(super) fn drop_block(&mut self, node: u32, tag: u64) {
        if let Some(open) = self.at(node) {
            open.received.remove(&tag);
        }
    }

    /// Work on a piece is done; answers what the engine is to be told.
    pub(super) fn done(&mut self, node: u32, now: Instant, done: Done) -> Option<Finished> {
        let answer = self.at(node)?.assembly.done(now, done);
        let answer =
            answer.map(|(piece, result)| (piece, result.map_err(|error| self.told_anywhere(node, error))));
        if let Some((_, Err(error))) = &answer
            && let Some(open) = self.at(node)
        {
            open.error = Some(error.to_string());
        }
        if self.peers.get(&node).is_some_and(|peer| peer.leaving) {
            self.leave(node);
        }
        answer
    }

    /// Whether this is what the store of `node` said last: then it is no fault of a policy.
    pub(super) fn is_cause(&self, node: u32, message: &str) -> bool {
        let open = self.peers.get(&node).and_then(|peer| peer.open.as_ref());
        open.is_some_and(|open| open.error.as_deref() == Some(message))
    }

    /// The assembly of `node`, which makes pieces of blocks.
    pub(super) fn assembly(&mut self, node: u32) -> Option<&mut Assembly> {
        self.at(node).map(|open| &mut open.assembly)
    }

    /// Begins to read a block that `node` is to send.
    pub(super) fn read(&mut self, node: u32, peer: PeerKey, block: BlockRef) {
        let news = self.news.clone();
        let Some(open) = self.at(node) else { return };
        open.reads += 1;
        let (number, slot) = (open.reads, open.uploads.get(block));
        open.waiting.entry(peer).or_default().push_back(Item::Block(block, number, None));
        let reading = async move {
            let bytes = bytes_of(&slot).await;
            news.put(node, News::Read(peer, number, bytes));
        };
        self.clock.start(reading.boxed());
    }

    /// Takes what was read.
    pub(super) fn was_read(
        &mut self,
        node: u32,
        peer: PeerKey,
        number: u64,
        bytes: Result<Block, StorageError>,
    ) {
        let Some(waiting) = self.at(node).and_then(|open| open.waiting.get_mut(&peer)) else { return };
        let own = |item: &&mut Item| matches!(item, Item::Block(_, of, _) if *of == number);
        if let Some(Item::Block(_, _, here)) = waiting.iter_mut().find(own) {
            *here = Some(bytes);
        }
    }

    /// What `node` can send to `peer` next, if its bytes are here.
    pub(super) fn next_to_send(&mut self, node: u32, peer: PeerKey) -> Option<Item> {
        let waiting = self.at(node)?.waiting.get_mut(&peer)?;
        match waiting.front()? {
            Item::Block(_, _, None) => None,
            _ => waiting.pop_front(),
        }
    }

    /// Whether a message must wait for what is being read: a choke must, and what comes behind it. It is kept then.
    pub(super) fn holds(&mut self, node: u32, peer: PeerKey, message: &Message) -> bool {
        let Some(waiting) = self.at(node).and_then(|open| open.waiting.get_mut(&peer)) else { return false };
        let behind = waiting.iter().any(|item| matches!(item, Item::Message(_)));
        let holds = behind || (*message == Message::Choke && !waiting.is_empty());
        if holds {
            waiting.push_back(Item::Message(message.clone()));
        }
        holds
    }

    /// The bytes of a block are on their way to `peer` at `to`.
    pub(super) fn fly(&mut self, to: u32, peer: PeerKey, block: BlockRef, bytes: Block) {
        self.flying.entry((to, peer)).or_default().push_back((block, bytes));
    }

    /// They arrived, and the engine will be told by this tag.
    pub(super) fn land(&mut self, to: u32, peer: PeerKey, block: BlockRef, tag: u64) {
        let Some(flying) = self.flying.get_mut(&(to, peer)) else { return };
        let Some(place) = flying.iter().position(|(other, _)| *other == block) else { return };
        let Some((_, bytes)) = flying.remove(place) else { return };
        if let Some(open) = self.at(to) {
            open.received.insert(tag, bytes);
        }
    }

    /// A connection of `node` is closed.
    pub(super) fn forget(&mut self, node: u32, peer: PeerKey) {
        self.flying.remove(&(node, peer));
        if let Some(open) = self.at(node) {
            open.waiting.remove(&peer);
        }
    }

    /// Everything is there: the store is told to keep it, once.
    pub(super) fn keep(&mut self, node: u32) {
        let news = self.news.clone();
        let Some(open) = self.at(node).filter(|open| !open.kept) else { return };
        open.kept = true;
        let store = open.desk.store.clone();
        let keeping = async move { tell_trouble(&news, node, store.checkpoint().await.map(drop)) };
        self.clock.start(keeping.boxed());
    }

    /// `node` is gone: its store is closed once nothing is done with it any more.
    pub(super) fn leave(&mut self, node: u32) {
        let Some(peer) = self.peers.get_mut(&node) else { return };
        peer.leaving = true;
        if peer.open.as_ref().is_some_and(|open| open.assembly.is_busy()) {
            return;
        }
        let Some(open) = self.peers.remove(&node).and_then(|peer| peer.open) else { return };
        let (store, news) = (open.desk.store, self.news.clone());
        let closing = async move {
            store.checkpoint().await?;
            store.close().await
        };
        self.clock.start(closing.map(move |closed| tell_trouble(&news, node, closed)).boxed());
    }

    /// Everyone leaves: the run is over.
    pub(super) fn leave_all(&mut self) {
        let nodes: Vec<u32> = self.peers.keys().copied().collect();
        nodes.into_iter().for_each(|node| self.leave(node));
    }

    /// An error without the name of the peer's folder, which differs from run to run.
    pub(super) fn told_anywhere(&self, node: u32, error: StorageError) -> StorageError {
        let folder = self.peers.get(&node).map(|peer| peer.folder.display().to_string());
        let text = error.to_string();
        match folder.filter(|folder| !folder.is_empty() && text.contains(folder.as_str())) {
            Some(folder) => StorageError::new(error.kind(), text.replace(&folder, &format!("peer-{node}"))),
            None => error,
        }
    }
}

fn tell_trouble(news: &NewsDesk, node: u32, result: Result<(), StorageError>) {
    if let Err(error) = result {
        news.put(node, News::Trouble(error));
    }
}

/// Opens a store behind its `guard` and has it hold `have`, whose bytes are those of `seed`.
async fn begin(
    guard: &Arc<Guard>,
    backend: Arc<dyn StorageBackend>,
    torrent: Arc<Torrent>,
    host: Arc<dyn Host>,
    have: PieceSet,
    seed: u64,
) -> Result<Arc<dyn TorrentStore>, StorageError> {
    let store = guard.open(backend, torrent.clone(), host.clone()).await?;
    let there = store.held().await?;
    for piece in have.iter().filter(|piece| !there.contains(*piece)) {
        let mut bytes = vec![0; torrent.layout.piece_length(piece) as usize];
        made::fill(seed, torrent.layout.piece_offset(piece), &mut bytes);
        let whole = Block::from(bytes);
        for offset in (0..whole.len()).step_by(WRITE_RUN) {
            let part = whole.slice(offset..(offset + WRITE_RUN).min(whole.len()));
            reading::patiently(&*host, || store.write(piece, offset as u32, vec![part.clone()])).await?;
        }
        reading::patiently(&*host, || store.seal(piece)).await?;
    }
    Ok(store)
}

/// The bytes of a block in memory of their own, as a network carries them: what the store lent goes back.
async fn bytes_of(slot: &Slot) -> Result<Block, StorageError> {
    let parts = slot.read().await?;
    Ok(parts.iter().flat_map(|part| part.iter().copied()).collect::<Vec<u8>>().into())
}
