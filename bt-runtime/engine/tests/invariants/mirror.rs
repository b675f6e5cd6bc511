//! What must hold after every input, found out from what went in and what came out alone.

use std::collections::{BTreeMap, BTreeSet};

use bt_api::{BlockRef, PeerKey, PieceIndex, PieceSet};
use bt_engine::settings::{BacklogMode, ChokedRequest};
use bt_engine::wire::Message;
use bt_engine::{Engine, Input, Output, Settings, Tag};

use crate::common::BLOCK;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    /// Without a handshake.
    Pending,
    Accepted,
    Closed,
}

/// One connection as a driver sees it.
#[derive(Debug)]
struct Seen {
    stage: Stage,
    told_anything: bool,
    pieces: PieceSet,
    interests_us: bool,
    is_interested: bool,
    chokes_us: bool,
    is_choked: bool,
    /// Whether both know the fast extension (BEP 6).
    fast: bool,
    /// Pieces that it sends although it chokes us.
    allowed: BTreeSet<PieceIndex>,
    /// Our requests without an answer.
    asked: Vec<BlockRef>,
    /// Its requests; more than the engine keeps of them.
    wants: Vec<BlockRef>,
    uploads: u32,
}

pub(crate) struct Mirror {
    settings: Settings,
    pieces: u32,
    total: u64,
    piece_length: u32,
    seen: BTreeMap<PeerKey, Seen>,
    /// Blocks that were kept, by piece.
    kept: BTreeMap<PieceIndex, BTreeSet<u32>>,
    /// Pieces whose hash is being checked, without an answer so far.
    pub(crate) finishing: Vec<PieceIndex>,
    pub(crate) uploading: Vec<(PeerKey, BlockRef)>,
    pub(crate) dialling: Vec<PeerKey>,
    pub(crate) announces: Vec<u64>,
    pub(crate) stopped: bool,
    stopping: bool,
}

impl Mirror {
    pub(crate) fn new(settings: Settings, pieces: u32, piece_length: u32, total: u64) -> Self {
        Self {
            settings,
            pieces,
            total,
            piece_length,
            seen: BTreeMap::new(),
            kept: BTreeMap::new(),
            finishing: Vec::new(),
            uploading: Vec::new(),
            dialling: Vec::new(),
            announces: Vec::new(),
            stopped: false,
            stopping: false,
        }
    }

    fn length_of(&self, piece: PieceIndex) -> u32 {
        let begin = u64::from(piece.0) * u64::from(self.piece_length);
        (self.total - begin).min(u64::from(self.piece_length)) as u32
    }

    /// What we asked of `peer` and it did not send.
    pub(crate) fn asked_of(&self, peer: PeerKey) -> &[BlockRef] {
        self.seen.get(&peer).map_or(&[], |it| &it.asked)
    }

    /// Whether every block of `piece` is kept.
    pub(crate) fn is_whole(&self, piece: PieceIndex) -> bool {
        piece.0 < self.pieces
            && self.kept.get(&piece).map(BTreeSet::len)
                == Some(self.length_of(piece).div_ceil(BLOCK) as usize)
    }

    /// Before `input` goes in.
    pub(crate) fn before(&mut self, input: &Input) {
        match input {
            Input::Incoming { peer, .. } => self.meet(*peer),
            Input::Closed { peer, .. } => {
                self.dialling.retain(|it| it != peer);
                if let Some(it) = self.seen.get_mut(peer) {
                    (it.stage, it.asked) = (Stage::Closed, Vec::new());
                }
            }
            Input::Fast { peer } => {
                let reject = self.settings.upload.choked_request == ChokedRequest::Reject;
                if let Some(it) = self.seen.get_mut(peer).filter(|it| it.stage == Stage::Pending) {
                    it.fast = reject;
                }
            }
            Input::Handshake { peer, .. } => self.dialling.retain(|it| it != peer),
            Input::Message { peer, message } => {
                let Some(it) = self.seen.get_mut(peer).filter(|it| it.stage == Stage::Accepted) else {
                    return;
                };
                match message {
                    Message::Choke => {
                        it.chokes_us = true;
                        if !it.fast {
                            it.asked.clear();
                        }
                    }
                    Message::Reject(block) => it.asked.retain(|asked| asked != block),
                    Message::AllowedFast(piece) if it.fast => drop(it.allowed.insert(*piece)),
                    Message::HaveAll => it.pieces = PieceSet::full(self.pieces),
                    Message::Unchoke => it.chokes_us = false,
                    Message::Interested => it.is_interested = true,
                    Message::NotInterested => it.is_interested = false,
                    Message::Have(piece) if piece.0 < self.pieces => {
                        it.pieces.insert(*piece);
                    }
                    Message::Bitfield(pieces) if pieces.pieces() == self.pieces => {
                        pieces.iter().for_each(|piece| {
                            it.pieces.insert(piece);
                        });
                    }
                    Message::Request(block) => it.wants.push(*block),
                    _ => {}
                }
            }
            Input::Uploaded { peer, block, result } => {
                if let Some(it) = self.seen.get_mut(peer) {
                    it.uploads = it.uploads.saturating_sub(1);
                    if result.is_err() {
                        it.wants.push(*block);
                    }
                }
            }
            Input::Stop => self.stopping = true,
            _ => {}
        }
    }

    fn meet(&mut self, peer: PeerKey) {
        let seen = Seen {
            stage: Stage::Pending,
            told_anything: false,
            pieces: PieceSet::new(self.pieces),
            interests_us: false,
            is_interested: false,
            chokes_us: true,
            is_choked: true,
            fast: false,
            allowed: BTreeSet::new(),
            asked: Vec::new(),
            wants: Vec::new(),
            uploads: 0,
        };
        assert!(self.seen.insert(peer, seen).is_none(), "key {peer} twice");
    }

    fn open_connections(&self) -> usize {
        self.seen.values().filter(|it| it.stage != Stage::Closed).count()
    }

    fn accepted(&mut self, peer: PeerKey, what: &dyn std::fmt::Debug) -> &mut Seen {
        let it = self.seen.get_mut(&peer).unwrap_or_else(|| panic!("{what:?} for the stranger {peer}"));
        assert_eq!(it.stage, Stage::Accepted, "{what:?} for {peer}");
        it
    }

    /// What came out after `input` went in.
    pub(crate) fn after(&mut self, engine: &Engine, input: &Input, outputs: &[Output]) {
        let mut tags: Vec<Tag> = Vec::new();
        for output in outputs {
            match output {
                Output::Connect { peer, .. } => {
                    assert!(!self.stopping);
                    assert!(self.open_connections() < self.settings.peers.max_initiate as usize);
                    self.meet(*peer);
                    self.dialling.push(*peer);
                }
                Output::Accept { peer } => {
                    let it = self.seen.get_mut(peer).expect("a peer that was met");
                    assert_eq!(it.stage, Stage::Pending);
                    it.stage = Stage::Accepted;
                }
                Output::Send { peer, message } => self.sent(engine, *peer, message),
                Output::Upload { peer, block } => self.uploaded(engine, *peer, *block),
                Output::Close { peer, .. } => {
                    let it = self.seen.get_mut(peer).expect("a peer that was met");
                    assert_ne!(it.stage, Stage::Closed, "{peer} closed twice");
                    (it.stage, it.asked) = (Stage::Closed, Vec::new());
                    self.dialling.retain(|it| it != peer);
                }
                Output::Keep { tag, block } => {
                    let Input::Block { peer, block: came, .. } = input else { panic!("kept what?") };
                    assert_eq!(block, came);
                    let asked = &mut self.accepted(*peer, output).asked;
                    let place = asked.iter().position(|it| it == block).expect("only what was asked for");
                    asked.remove(place);
                    assert!(self.kept.entry(block.piece).or_default().insert(block.begin), "kept twice");
                    tags.push(*tag);
                }
                Output::Drop { tag } => {
                    let Input::Block { peer, block, .. } = input else { panic!("dropped what?") };
                    assert!(!self.asked_of(*peer).contains(block) || self.stopping, "it was asked for");
                    tags.push(*tag);
                }
                Output::Finish { piece, .. } => {
                    assert!(self.is_whole(*piece), "{piece} is not whole");
                    assert!(!self.finishing.contains(piece), "{piece} is being finished");
                    self.finishing.push(*piece);
                }
                Output::Discard { piece } => drop(self.kept.remove(piece)),
                Output::Announce { tag, .. } => self.announces.push(*tag),
                Output::Event(_) => {}
                Output::Failed { message } => {
                    let stored = matches!(input, Input::Finished { result: Err(_), .. });
                    assert!(stored, "no policy panicked here: {message}");
                    self.stopping = true;
                }
                Output::Stopped => {
                    assert!(self.stopping && !self.stopped);
                    self.stopped = true;
                }
            }
        }
        match input {
            Input::Block { tag, .. } => assert_eq!(tags, [*tag], "each block is answered once"),
            _ => assert!(tags.is_empty()),
        }
        if !self.stopping {
            self.compare(engine);
        }
    }

    /// The driver has stored the piece, or thrown its bytes away.
    pub(crate) fn settled(&mut self, piece: PieceIndex) {
        self.kept.remove(&piece);
    }

    fn sent(&mut self, engine: &Engine, peer: PeerKey, message: &Message) {
        let length = |piece| self.length_of(piece);
        let lengths: Vec<u32> = (0..self.pieces).map(|piece| length(PieceIndex(piece))).collect();
        let settings = self.settings.requests.clone();
        let it = self.accepted(peer, message);
        match message {
            Message::KeepAlive => {}
            Message::Choke | Message::Unchoke => {
                let choke = *message == Message::Choke;
                assert_ne!(it.is_choked, choke, "{message:?} twice");
                it.is_choked = choke;
            }
            Message::Interested | Message::NotInterested => {
                let interested = *message == Message::Interested;
                assert_ne!(it.interests_us, interested, "{message:?} twice");
                it.interests_us = interested;
            }
            Message::Have(piece) => assert!(engine.have().contains(*piece), "{piece} is not had"),
            Message::Bitfield(pieces) => {
                // Or last, to a fellow seed from which something was hidden (SS-9).
                let farewell = engine.have().is_full() && it.pieces.is_full();
                assert!(!it.told_anything || farewell, "a bitfield comes first");
                assert!(pieces.iter().all(|piece| engine.have().contains(piece)));
            }
            Message::Request(block) => {
                assert!(it.interests_us, "it was not told");
                assert!(!it.chokes_us || it.allowed.contains(&block.piece), "it does not serve us");
                assert!(it.pieces.contains(block.piece) && !engine.have().contains(block.piece));
                assert!(!it.asked.contains(block), "asked twice");
                let end = lengths[block.piece.as_usize()];
                assert!(block.begin % BLOCK == 0 && block.begin < end, "{block:?}");
                assert_eq!(block.length, BLOCK.min(end - block.begin));
                it.asked.push(*block);
                let most = match settings.backlog_mode {
                    BacklogMode::Fixed => settings.backlog,
                    BacklogMode::Rate => settings.max_backlog.get().unwrap_or(u32::MAX).max(settings.backlog),
                };
                let most = if settings.endgame_respects_backlog { most } else { u32::MAX };
                assert!(it.asked.len() <= most as usize, "{} under way", it.asked.len());
            }
            Message::HaveAll | Message::HaveNone => {
                assert!(it.fast && !it.told_anything, "in place of a bitfield");
                assert!(*message == Message::HaveNone || engine.have().is_full());
            }
            Message::Reject(block) => {
                assert!(it.fast, "it knows no reject");
                let place = it.wants.iter().position(|wanted| wanted == block);
                it.wants.remove(place.expect("only what was asked for is rejected"));
            }
            Message::Suggest(_) | Message::AllowedFast(_) => panic!("{message:?} is never sent"),
            Message::Cancel(block) => {
                let place = it.asked.iter().position(|asked| asked == block);
                it.asked.remove(place.expect("only what was asked for is cancelled"));
            }
        }
        it.told_anything = true;
    }

    fn uploaded(&mut self, engine: &Engine, peer: PeerKey, block: BlockRef) {
        let (pieces, most) = (self.pieces, self.settings.upload.in_flight);
        assert!(block.piece.0 < pieces && engine.have().contains(block.piece));
        assert!(u64::from(block.begin) + u64::from(block.length) <= u64::from(self.length_of(block.piece)));
        assert!(block.length > 0 && u64::from(block.length) <= self.settings.upload.max_request_length.0);
        self.uploading.push((peer, block));
        let it = self.accepted(peer, &block);
        assert!(!it.is_choked && it.is_interested);
        let place = it.wants.iter().position(|wanted| *wanted == block);
        it.wants.remove(place.expect("only what was asked for is sent"));
        it.uploads += 1;
        assert!(it.uploads <= most, "{} blocks on their way", it.uploads);
    }

    /// The engine's own account of its peers is that of the driver.
    fn compare(&self, engine: &Engine) {
        let (swarm, view) = (engine.swarm(), engine.piece_view());
        let connected: Vec<PeerKey> = swarm.peers().iter().map(|peer| peer.key).collect();
        let accepted = self.seen.iter().filter(|(_, it)| it.stage == Stage::Accepted);
        assert_eq!(connected, accepted.map(|(&peer, _)| peer).collect::<Vec<_>>());
        let most = self.settings.peers.max_connections.max(self.settings.peers.max_initiate);
        assert!(self.open_connections() <= most as usize);
        for peer in swarm.peers() {
            let it = &self.seen[&peer.key];
            let account = (peer.am_choking, peer.peer_choking, peer.am_interested, peer.peer_interested);
            assert_eq!(account, (it.is_choked, it.chokes_us, it.interests_us, it.is_interested));
            assert_eq!(peer.requested as usize, it.asked.len());
            assert_eq!(peer.pieces, it.pieces);
            assert!(peer.queued <= self.settings.upload.max_queue);
            assert!(it.asked.iter().all(|&block| view.pieces().is_requested_of(block, peer.key)));
            // DL-18.
            let interests = !swarm.own().is_seed
                && (peer.pieces.common(view.pieces().open()) > 0
                    || peer.requested > 0
                    || view.endgame()
                        && view.pieces().started().iter().any(|&piece| peer.pieces.contains(piece)));
            assert_eq!(peer.am_interested, interests, "interest in {}", peer.key);
        }
        for piece in (0..self.pieces).map(PieceIndex) {
            let holders = swarm.peers().iter().filter(|peer| peer.pieces.contains(piece)).count();
            assert_eq!(view.pieces().availability(piece) as usize, holders);
        }
    }
}
